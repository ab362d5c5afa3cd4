"""Affine and binary tasks: one vector unit, column block by column block."""

from __future__ import annotations

from collections.abc import Sequence

from intar.ir.nodes.memories import Walk
from intar.ir.quantgraph import QAffine
from intar.lower.visits import Visit
from intar.lower.work import Work


def vector_cores(work: Work, visit: Visit) -> Sequence[int]:
    """The visit's first core only."""
    return visit.cores[:1]


def prepare(work: Work, visit: Visit) -> None:
    """Of an affine task the parameters of every channel."""
    task, core = visit.task, visit.cores[0]
    if isinstance(task, QAffine):
        blocks = range(work.site.pitch(task.output))
        note = f"{task.name}: parameters"
        work.params.load([core], task.name, work.params.channels(task, blocks), note)


def append(work: Work, visit: Visit) -> None:
    """All rows through one vector unit, tile by tile where images are among them."""
    task, core = visit.task, visit.cores[0]
    pitch = work.site.pitch(task.output)
    note = f"{task.name} rows {visit.row}+{visit.rows}"
    walk = Walk(counts=(1, 1, 1, pitch, visit.rows), strides=(0, 0, 0, 1, pitch))
    sources = [work.tensors.reader(visit, slot) for slot in range(len(task.inputs))]
    results = work.tensors.results(visit)
    # Images are made and read tile by tile: whoever stands in between follows.
    images = task.output in work.tensors.images or any(source.columns for source in sources)
    images = images and all(memory.slots == 1 for memory in (*sources, *results))
    factors = work.site.row_factor(task)
    for source, port in zip(sources, ("x", "y"), strict=False):
        if factors and port == "y":  # of every row one beat, for each column block
            counts = (pitch, 1, 1, 1, visit.rows) if images else walk.counts
            source.fetch(visit.row, Walk(counts=counts, strides=(0, 0, 0, 0, 1)), note)
        elif images:
            source.fetch_columns(note)
        else:
            source.fetch(visit.row, walk, note)
        work.net.move(source.port("out"), [f"vector_{core}.{port}"], walk.beats, note=note)
    per_channel = isinstance(task, QAffine)
    if per_channel:
        work.params.read(core, task.name, 0, pitch, 4)
    work.vector(core, task, pitch, visit.rows, "x", per_channel, note)
    work.net.move(f"vector_{core}.out", work.tensors.sinks(visit), walk.beats, note=note)
    for memory in results:
        if images:
            memory.write_columns(0, memory.rows, note)
        else:
            memory.write(visit.row, walk, note)
