"""Every node alone, with random stalls on both sides of its streams: the bits of an independent model, beat by beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from cocotb_program import run
from engine_programs import RANDOM
from node_kernels import merge, random_parts
from pins_top import PinsTop, nodes, nodes_with_segments
from stalls import PATTERNS

PAIRS = (("none", "none"), ("bursts", "light"), ("light", "heavy"), ("heavy", "bursts"), ("none", "bursts"))
"""Stalls of sources and of sinks, for a quick run."""

ALL_PAIRS = tuple((source, sink) for source in PATTERNS for sink in PATTERNS)


def runs(pairs: Sequence[tuple[str, str]], seeds: Sequence[int]) -> list[dict]:
    """For each seed a run with each pair of stalls, one of them left in the middle by a reset."""
    found = []
    for seed in seeds:
        for index, (source, sink) in enumerate(pairs):
            run = {"source": source, "sink": sink, "seed": 10_000 * seed + 100 * index, "leave": 0}
            run |= {"latency": (1, 3, 20, 60)[index % 4], "stall": (0.0, 0.3, 0.6)[index % 3]}
            found.append(run)
        left = found[-1] | {"leave": 20 + 37 * seed % 150, "seed": seed}
        found.insert(-1, left)
    return found


def check(
    top: PinsTop,
    images: Mapping[str, bytes],
    folder: Path,
    pairs: Sequence[tuple[str, str]] = PAIRS,
    seeds: Sequence[int] = range(2),
) -> None:
    simulator, file = top.build(images, folder), folder / "pins.json"
    top.describe(images, runs(pairs, seeds), file)
    assert run(simulator, "pins_cocotb", folder, INTAR_PINS=str(file)) == ["random_stalls"]


@pytest.mark.sim
def test_nodes(tmp_path: Path) -> None:
    check(*nodes(), tmp_path)


@pytest.mark.sim
@pytest.mark.full
def test_nodes_with_segments(tmp_path: Path) -> None:
    check(*nodes_with_segments(), tmp_path, PAIRS[:3])


@pytest.mark.sim
@pytest.mark.full
@pytest.mark.parametrize("kind", sorted(RANDOM))
def test_many_nodes(kind: str, tmp_path: Path) -> None:
    """Loads and stores at their own pins, too."""
    program, images = merge(kind, random_parts(kind, 8, first_seed=2000))
    check(PinsTop(program, lambda name: True), images, tmp_path, ALL_PAIRS, range(4))
