"""Reshape, transpose, concat and slice on the gather node, element by element."""

from __future__ import annotations

from collections.abc import Sequence

from intar.ir.program import GatherStep, Walk
from intar.ir.quantgraph import QMove
from intar.lower.moves import element_walks
from intar.lower.visits import Visit
from intar.lower.work import Work


def vector_cores(work: Work, visit: Visit) -> Sequence[int]:
    return ()


def prepare(work: Work, visit: Visit) -> None:
    """A move has no constants."""


def append(work: Work, visit: Visit) -> None:
    task = visit.task
    assert isinstance(task, QMove)
    site = work.site
    pitch = site.pitch(task.output)
    for slot, walk in element_walks(task, site.tensors, site.machine.lanes):
        source = work.tensors.reader(visit, slot)
        source.fetch(0, walk, task.name, elements=True)
        work.step("gather", GatherStep(walk=walk, row=site.tensors[task.output].cols, note=task.name))
        work.net.move(source.port("out"), ["gather.in"], walk.beats, note=task.name)
    work.net.move("gather.out", work.tensors.sinks(visit), visit.rows * pitch, note=task.name)
    walk = Walk(counts=(1, 1, 1, visit.rows, pitch), strides=(0, 0, 0, pitch, 1))
    for memory in work.tensors.results(visit):
        memory.write(0, walk, task.name)
