"""Reshape, transpose, concat and slice: whole beats from memory to memory, or on the gather node, element by element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intar.ir.beats import beat_addresses
from intar.ir.program import GatherStep, Walk
from intar.ir.quantgraph import QMove
from intar.lower.moves import element_walks, fit_walks
from intar.lower.visits import Visit
from intar.lower.work import Work

WHOLE = 4
"""Loops of a walk that is one iteration: it waits for all of its tensor, in whatever order it reads."""


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
    else:
        _by_beats(work, visit, beats)
    walk = Walk(counts=(1, 1, 1, visit.rows, pitch), strides=(0, 0, 0, pitch, 1))
    for memory in work.tensors.results(visit):
        memory.write(0, walk, task.name)


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
