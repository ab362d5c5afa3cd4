"""Every RTL node computes the bits of an independent model, under random stalls, twice in a row."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_model import Model
from engine_programs import RANDOM
from extreme_programs import spill, wide_vector
from node_kernels import build, merge, one_of_each, random_parts, simulate
from program_builder import Builder

from intar.verify.simulate import MemoryModel

STALLS = (
    MemoryModel(latency=3),
    MemoryModel(latency=20, stall=0.3, seed=1),
    MemoryModel(latency=1, words_num=1, words_den=3, stall=0.6, seed=2),
)


def check(parts: list[Builder], directory: Path) -> None:
    program, images = merge("nodes", parts)
    expected = Model(program, images).run()
    simulation = build(program, images, directory)
    for memory in STALLS:
        result = simulate(simulation, program, images, memory, calls=2)
        for call in result.outputs:
            # Spill memory has a gap that nobody writes; what was spilled is compared where it comes back.
            results = {name: data.tobytes() for name, data in call.items() if not name.endswith("spill")}
            wrong = [name for name, data in results.items() if data != expected[name]]
            assert len(results) >= len(parts)
            assert not wrong, f"{memory}: {wrong}"


@pytest.mark.sim
def test_random_programs_equal_the_model(tmp_path: Path) -> None:
    check([*one_of_each(), wide_vector(1, True), spill(4, 4, 8, 64)], tmp_path)


@pytest.mark.sim
@pytest.mark.full
@pytest.mark.parametrize("kind", sorted(RANDOM))
def test_many_random_programs_equal_the_model(kind: str, tmp_path: Path) -> None:
    check(random_parts(kind, 8, first_seed=1000), tmp_path)


@pytest.mark.sim
@pytest.mark.full
def test_ranges_and_spills(tmp_path: Path) -> None:
    parts = [wide_vector(2, True), wide_vector(3, False)]
    check([*parts, spill(5, 2, 4, 64), spill(6, 16, 16, 32), spill(7, 4, 8, 32)], tmp_path)
