"""Softmax on the rows node: row after row."""

from __future__ import annotations

from collections.abc import Sequence

from intar.ir.program import RowsStep, Walk
from intar.ir.quantgraph import QSoftmax
from intar.lower.visits import Visit
from intar.lower.work import Work


def vector_cores(work: Work, visit: Visit) -> Sequence[int]:
    return ()


def prepare(work: Work, visit: Visit) -> None:
    """A softmax has no constants."""


def append(work: Work, visit: Visit) -> None:
    task = visit.task
    assert isinstance(task, QSoftmax)
    pitch = work.site.pitch(task.output)
    note = f"{task.name} rows {visit.row}+{visit.rows}"
    walk = Walk(counts=(1, 1, 1, visit.rows, pitch), strides=(0, 0, 0, pitch, 1))
    source = work.tensors.reader(visit, 0)
    source.fetch(visit.row, walk, note)
    work.net.move(source.port("out"), ["rows.in"], walk.beats, note=note)
    work.step(
        "rows",
        RowsStep(
            rows=visit.rows,
            cols=work.site.tensors[task.output].cols,
            mult=task.mult,
            shift=task.shift,
            numerator=task.numerator,
            out_shift=task.out_shift,
            zero=task.zero,
            lo=task.lo,
            hi=task.hi,
            tensor=task.output,
            note=note,
        ),
    )
    work.net.move("rows.out", work.tensors.sinks(visit), walk.beats, note=note)
    for memory in work.tensors.results(visit):
        memory.write(visit.row, walk, note)
