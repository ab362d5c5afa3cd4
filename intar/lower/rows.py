"""Softmax, normalisation, peaks and rows over them on the rows node: row after row, following who makes the rows and
followed by who reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from intar.ir.nodes.memories import Walk
from intar.ir.nodes.rows import RowsStep
from intar.ir.norm import GAIN_BITS
from intar.ir.quantgraph import ROW_WISE, QNorm, QSoftmax, QUnit
from intar.lower.buffers import row_blocks
from intar.lower.params import ROWS, TABLES
from intar.lower.site import rows_node
from intar.lower.visits import Visit
from intar.lower.work import Work


def vector_cores(work: Work, visit: Visit) -> Sequence[int]:
    """Where a function's table belongs: not to a vector unit."""
    return (TABLES,)


def prepare(work: Work, visit: Visit) -> None:
    """Only a normalisation has constants: a gain and an offset for each column."""
    if isinstance(visit.task, QNorm):
        beats = _columns(work, visit.task)
        work.params.load([ROWS], visit.task.name, beats, f"{visit.task.name}: gains and offsets")


def append(work: Work, visit: Visit) -> None:
    """Rows in the order in which they come, where a causal softmax hides elements band by band."""
    task = visit.task
    assert isinstance(task, ROW_WISE)
    if isinstance(task, QSoftmax) and (bands := work.bands.get(task.output)):
        for part in bands.parts(visit):
            _band(work, part, task)
        return
    pitch, out_pitch = work.site.pitch(task.inputs[0]), work.site.pitch(task.output)
    note = f"{task.name} rows {visit.row}+{visit.rows}"
    source, size = work.tensors.reader(visit, 0), work.site.machine.rows
    for row, rows, height in source.spans(visit.row, visit.rows) or [(visit.row, visit.rows, size)]:
        source.fetch(row, row_blocks(rows, height, pitch), note, rows=rows, height=height)
    node = rows_node(visit.unit)
    work.net.move(source.port("out"), [f"{node}.in"], visit.rows * pitch, note=note)
    if isinstance(task, QNorm):
        work.params.repeat(ROWS, task.name, 2 * pitch, visit.rows)
    for step in _softmaxes(work, visit) if isinstance(task, QSoftmax) else [_plain(work, visit)]:
        work.step(node, step)
    work.net.move(f"{node}.out", work.tensors.sinks(visit), visit.rows * out_pitch, note=note)
    for memory in work.tensors.results(visit):
        memory.write(visit.row, row_blocks(visit.rows, size, out_pitch), note, visit.rows, size)


def _band(work: Work, part: Visit, task: QSoftmax) -> None:
    """Rows of which only the first beats count, for who makes them and who reads them, too."""
    pitch, note = work.site.pitch(task.output), f"{task.name} rows {part.row}+{part.rows}"
    walk = Walk(counts=(1, 1, 1, part.rows, part.beats), strides=(0, 0, 0, pitch, 1))
    source = work.tensors.reader(part, 0)
    source.fetch(part.row, walk, note, rows=part.rows, height=part.rows)
    node = rows_node(part.unit)
    work.net.move(source.port("out"), [f"{node}.in"], walk.beats, note=note)
    for step in _softmaxes(work, part):
        work.step(node, step)
    work.net.move(f"{node}.out", work.tensors.sinks(part), walk.beats, note=note)
    for memory in work.tensors.results(part):
        memory.write(part.row, walk, note, part.rows, part.rows)


def _columns(work: Work, task: QNorm) -> np.ndarray:
    """(2 * beats of a row, lanes): gains and offsets of each column block, 0 where no column is."""
    lanes, pitch = work.site.machine.lanes, work.site.pitch(task.output)
    beats = np.zeros((2, pitch * lanes), dtype=np.int64)
    for row, name in enumerate((task.gain, task.offset)):
        array = work.site.constants[name]
        beats[row, : len(array)] = array
    if task.table is not None:
        cols = work.site.tensors[task.output].cols
        gains = beats[0, :cols] & ((1 << GAIN_BITS) - 1)
        words = gains | task.table.group_of(cols) << GAIN_BITS
        beats[0, :cols] = words.astype(np.uint32).view(np.int32)
    return beats.reshape(2, pitch, lanes).transpose(1, 0, 2).reshape(-1, lanes)


def _softmaxes(work: Work, visit: Visit) -> Iterator[RowsStep]:
    """The visit's rows; where each row sees one element more, those of each item apart."""
    task = visit.task
    assert isinstance(task, QSoftmax)
    size = work.site.tensors[task.output].rows // task.batch
    row, end = visit.row, visit.row + visit.rows
    while row < end:
        rows = min((row // size + 1) * size, end) - row if task.causal else end - row
        visible = task.visible + row % size * task.causal
        own = {"visible": visible, "grow": task.causal, "cached": task.cached}
        own |= {
            "mult": task.mult,
            "shift": task.shift,
            "numerator": task.numerator,
            "out_shift": task.out_shift,
        }
        yield _step(work, visit, row, rows, **own)
        row += rows


def _plain(work: Work, visit: Visit) -> RowsStep:
    """The visit's rows, of which all elements count."""
    task = visit.task
    own: dict[str, Any] = {}
    if isinstance(task, QNorm):
        own = {"centred": task.centred, "lift": task.lift, "epsilon": task.epsilon, "shift": task.shift}
        own["out_shift"] = task.out_shift
    if isinstance(task, QUnit):
        own = {"numerator": task.numerator, "out_shift": task.out_shift}
    return _step(work, visit, visit.row, visit.rows, op=task.kind, **own)


def _step(work: Work, visit: Visit, row: int, rows: int, **own: Any) -> RowsStep:
    """A step over some rows, with the fields that only this kind of task has."""
    task, beats = visit.task, visit.beats
    cols = work.site.tensors[task.inputs[0]].cols
    return RowsStep(
        rows=rows,
        cols=min(cols, beats * work.site.machine.lanes) if beats else cols,
        zero=task.zero,
        lo=task.lo,
        hi=task.hi,
        table=work.params.slot(TABLES, task.name),
        relu=task.relu,
        tensor=task.output,
        note=f"{task.name} rows {row}+{rows}",
        **own,
    )
