"""The engine counts the very cycles of the RTL: no difference at all, whatever the memory does."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_programs import RANDOM
from node_kernels import build, merge, random_parts, simulate
from perceptron import perceptron

from intar.engine import MemoryModel, run
from intar.ir.program import Program
from intar.verify.simulate import MemoryModel as SimulatedMemory

MEMORIES = ((64, 1, 1), (5, 1, 1), (20, 1, 3), (30, 2, 3))


def check(program: Program, images: dict[str, bytes], directory: Path) -> None:
    simulation = build(program, images, directory)
    for latency, num, den in MEMORIES:
        counted = run(program, images, MemoryModel(latency, num, den))
        simulated = simulate(simulation, program, images, SimulatedMemory(latency, num, den))
        assert counted.cycles == simulated.cycles[0], (latency, num, den)
        for name, data in counted.outputs.items():
            assert simulated.outputs[0][name].tobytes() == data, name


@pytest.mark.sim
def test_two_layer_network_takes_the_same_cycles(tmp_path: Path) -> None:
    program, images, _ = perceptron(rows=7, sizes=(16, 24, 36), lanes=8, depth=2)
    check(program, images, tmp_path)


@pytest.mark.sim
@pytest.mark.full
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", sorted(RANDOM))
def test_random_node_programs_take_the_same_cycles(kind: str, seed: int, tmp_path: Path) -> None:
    program, images = merge("one", random_parts(kind, 1, 100 * seed))
    check(program, images, tmp_path)


@pytest.mark.sim
@pytest.mark.full
@pytest.mark.parametrize("seed", [14, 23, 39])
def test_rows_that_pass_by_the_tables(seed: int, tmp_path: Path) -> None:
    """Rows that are not looked up, right behind one that is, wait until they can't leave before it; a softmax that is looked
    up before a normalisation does not take the groups of the columns that wait for it."""
    program, images = merge("one", random_parts("rows", 1, seed))
    check(program, images, tmp_path)
