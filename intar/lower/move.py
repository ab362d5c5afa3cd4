"""Reshape, transpose, concat and slice: whole beats from memory to memory, or on the gather node, element by element.

Beats follow who makes them: those that are complete together move together, in whatever order that is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intar.ir.beats import beat_addresses
from intar.ir.nodes.memories import Walk
from intar.ir.nodes.movers import GatherStep
from intar.ir.quantgraph import QMove
from intar.lower.moves import element_walks, fit_walks
from intar.lower.visits import Visit
from intar.lower.work import Work

WHOLE = 4
"""Loops of a walk that is one iteration: it waits for all that it reads, in whatever order."""

MOST_PARTS = 64
"""A move goes in so many parts at most."""


def vector_cores(work: Work, visit: Visit) -> Sequence[int]:
    return ()


def prepare(work: Work, visit: Visit) -> None:
    """A move has no constants."""


def append(work: Work, visit: Visit) -> None:
    task = visit.task
    assert isinstance(task, QMove)
    pitch = work.site.pitch(task.output)
    beats = beat_addresses(task, work.site.tensors, work.site.machine.lanes)
    if beats is None:
        _by_elements(work, visit, task, visit.rows * pitch)
    elif _follow(work, visit, beats):
        return
    else:
        _by_beats(work, visit, beats)
    walk = Walk(counts=(1, 1, 1, visit.rows, pitch), strides=(0, 0, 0, pitch, 1))
    for memory in work.tensors.results(visit):
        memory.write(0, walk, task.name)


def _follow(work: Work, visit: Visit, beats: Sequence[tuple[int, np.ndarray]]) -> bool:
    """Move the beats of one tensor part by part, as these are there; False where that is one and the same time."""
    (slot, *others), name = dict.fromkeys(slot for slot, _ in beats), visit.task.name
    source = work.tensors.reader(visit, slot)
    if others or source.slots > 1:
        return False
    addresses = np.concatenate([part for _, part in beats])
    needs = source.counts.reshape(-1)[addresses]
    times = np.unique(needs)
    if len(times) == 1:
        return False
    size = -(-len(times) // MOST_PARTS)
    ends = np.append(times[size - 1 : -1 : size], times[-1])
    part = np.searchsorted(ends, needs)
    for number, need in enumerate(ends):
        targets = np.flatnonzero(part == number)
        for walk in fit_walks(addresses[targets], WHOLE):
            source.fetch_beats(walk, int(need), name)
        work.net.move(source.port("out"), work.tensors.sinks(visit), len(targets), note=name)
        for walk in fit_walks(targets, WHOLE):
            for memory in work.tensors.results(visit):
                memory.write(0, walk, name)
    return True


def _by_beats(work: Work, visit: Visit, beats: Sequence[tuple[int, np.ndarray]]) -> None:
    name = visit.task.name
    for slot, addresses in beats:
        source = work.tensors.reader(visit, slot)
        for walk in fit_walks(addresses, WHOLE):
            source.fetch(0, walk, name)
            work.net.move(source.port("out"), work.tensors.sinks(visit), walk.beats, note=name)


def _by_elements(work: Work, visit: Visit, task: QMove, beats: int) -> None:
    site = work.site
    for slot, walk in element_walks(task, site.tensors, site.machine.lanes):
        source = work.tensors.reader(visit, slot)
        source.fetch(0, walk, task.name, elements=True)
        work.step("gather", GatherStep(walk=walk, row=site.tensors[task.output].cols, note=task.name))
        work.net.move(source.port("out"), ["gather.in"], walk.beats, note=task.name)
    work.net.move("gather.out", work.tensors.sinks(visit), beats, note=task.name)
