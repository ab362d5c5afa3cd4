"""The ring of weight tiles: tiles of different lengths, none overwritten before it is read, long ones there in time."""

from __future__ import annotations

import random
from itertools import chain as joined

import pytest

from intar.ir.nodes.memories import Buffer, BufferStep
from intar.lower.buffers import Memory
from intar.lower.lower import lower
from intar.lower.ring import WeightMemory
from lowering.chains import chain, machine, schedule
from lowering.test_lowering import check


def tiles(steps: list[BufferStep]) -> list[tuple[set[int], int]]:
    """The beats of each iteration, and what it needs."""
    found = []
    for step in steps:
        needs = step.needs()
        found += [(set(step.walk.iteration(i)), next(needs)) for i in range(step.walk.counts[0])]
    return found


@pytest.mark.parametrize("seed", range(20))
def test_no_tile_is_overwritten_before_it_is_read(seed: int) -> None:
    chosen = random.Random(seed)
    lengths = [chosen.choice((1, 3, 4, 8, 12, 16)) for _ in range(4)]
    memory = Memory("weights", 8, 8)
    ring = WeightMemory(memory, 2 * max(lengths), kept=5)
    streams = [(chosen.randint(1, 9), chosen.randint(1, 3), k) for k in lengths for _ in range(2)]
    for number, (count, repeat, k) in enumerate(streams):
        ring.stream(f"task {number % 3}", count, repeat, k)
    ring.finish()
    written, read = tiles(memory.writes), tiles(memory.reads)
    assert [len(beats) for beats, _ in read] == list(joined(*([k] * count for count, _, k in streams)))
    owner: dict[int, int] = {}  # the tile that stands in each beat
    done = 0
    for n, (beats, need) in enumerate(read):
        pieces = written[done:need]
        assert set().union(*(part for part, _ in pieces)) == beats
        assert sum(len(part) for part, _ in pieces) == len(beats)
        assert min(beats) >= 5 and max(beats) < 5 + ring.room == memory.depth
        for part, reads in pieces:
            assert reads <= n, "waits for itself"
            assert all(owner[beat] < reads for beat in part if beat in owner), "overwritten"
            owner |= dict.fromkeys(part, n)
        done = need


def test_short_tiles_are_further_ahead() -> None:
    """Two tiles of the longest reduction, eight of one a quarter as long."""
    memory = Memory("weights", 8, 8)
    ring = WeightMemory(memory, 128, kept=0)
    ring.stream("short", 20, 2, 16)
    ring.stream("long", 5, 2, 64)
    ring.finish()
    needs = [need for _, need in tiles(memory.writes)]
    assert needs[:20] == [max(0, n - 7) for n in range(20)]
    assert needs[20:] == [*range(13, 21), 21, 22, 23], "as soon as a quarter of its place is free"


def test_a_long_reduction_follows_short_ones_without_a_gap() -> None:
    """Weights come twice as fast as they are used; the last layer's first tile is there when its products begin."""
    quantised = chain(8, [32, 256, 16])
    plan = schedule(quantised, machine(rows=4, rate=8, port_bits=64), "sequential")
    result = check(quantised, plan)
    (weights,) = (n for n in lower(quantised, plan).program.nodes if n.name == "weights_0")
    assert isinstance(weights, Buffer) and weights.depth == 2 * 256
    spans = {span.note.split()[0]: span for span in result.stages if span.node == "core_0"}
    assert spans["fc1"].first - spans["fc0"].last < 256 // 2, spans
