"""Channels put together: each row of a tensor from where it was first made, over all copies in between.

Channels of images are whole rows of tensors. A pool of one tap in its own place copies rows, and so do choices and
concatenations of channels. Several of them behind each other become one move each from the first tensors, and of those that
are the same one is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

import numpy as np

from intar.ir.circuit import piece_indices
from intar.ir.quantgraph import Piece, QMove, QPool, QTask, QTensor, QuantGraph

Rows = tuple[tuple[str, int], ...]
"""Of each row the tensor that it comes from, and its row there."""


def copy_channels(graph: QuantGraph) -> QuantGraph:
    """The graph with copies of channels as moves of whole rows; itself where no pool copies any."""
    if not any(_copied(task) for task in graph.tasks):
        return graph
    tensors = {tensor.name: tensor for tensor in graph.tensors}
    names: dict[str, str] = {}
    known: dict[str, Rows] = {}
    same: dict[tuple[Rows, QTensor], str] = {}
    tasks: list[QTask] = []
    for old in graph.tasks:
        task = old.model_copy(update={"inputs": tuple(names.get(name, name) for name in old.inputs)})
        if rows := _rows(task, tensors):
            rows = tuple(known[name][row] if name in known else (name, row) for name, row in rows)
            form = tensors[task.output].model_copy(update={"name": ""})
            first = same.setdefault((rows, form), task.output)
            if first != task.output and task.output not in graph.outputs:
                names[task.output] = first
                continue
            known[task.output] = rows
            task = _move(task, rows, tensors)
        tasks.append(task)
    needed, kept = set(graph.outputs), []
    for task in reversed(tasks):
        if task.output in needed:
            needed.update(task.inputs)
            kept.append(task)
    used = {*graph.given, *(task.output for task in kept)}
    left = tuple(tensor for tensor in graph.tensors if tensor.name in used)
    return graph.model_copy(update={"tasks": tuple(reversed(kept)), "tensors": left})


def _copied(task: QTask) -> tuple[int, ...]:
    """The rows that a pool copies as they are; none if it does anything else."""
    if not isinstance(task, QPool) or task.stride != (1, 1) or task.table is not None:
        return ()
    if (task.height, task.width, task.pitch) != (task.in_height, task.in_width, task.in_pitch):
        return ()
    if any(len(group.taps) > 1 or group.taps[0].dy or group.taps[0].dx for group in task.groups):
        return ()
    return tuple(group.taps[0].channel for group in task.groups for _ in range(group.channels))


def _rows(task: QTask, tensors: Mapping[str, QTensor]) -> Rows:
    """Which rows a task copies; none if it does anything else."""
    if channels := _copied(task):
        half = 1 << tensors[task.output].bits - 1
        clamped = task.relu or task.lo > -half or task.hi < half - 1
        return () if clamped else tuple((task.inputs[0], row) for row in channels)
    if not isinstance(task, QMove) or task.host:
        return ()
    cols = tensors[task.output].cols
    if any(tensors[name].cols != cols for name in task.inputs):
        return ()
    found: list[tuple[str, int]] = []
    for visit in range(task.visits):
        for piece in task.pieces:
            index = piece_indices(piece, visit)
            if len(index) % cols:
                return ()
            index = index.reshape(-1, cols)
            if (index[:, 0] % cols).any() or (index != index[:, :1] + np.arange(cols)).any():
                return ()
            found += [(task.inputs[piece.input], row) for row in (index[:, 0] // cols).tolist()]
    return tuple(found)


def _move(task: QTask, rows: Rows, tensors: Mapping[str, QTensor]) -> QMove:
    """The move that takes these rows."""
    inputs = tuple(dict.fromkeys(name for name, _ in rows))
    cols, pieces = tensors[task.output].cols, []
    numbered = enumerate(rows)
    for _, run in groupby(numbered, key=lambda item: (item[1][0], item[1][1] - item[0])):
        (_, (name, first)), *rest = run
        count = (len(rest) + 1) * cols
        pieces.append(Piece(input=inputs.index(name), offset=first * cols, counts=(count,), strides=(1,)))
    return QMove(
        name=task.name,
        inputs=inputs,
        output=task.output,
        lo=task.lo,
        hi=task.hi,
        pieces=tuple(pieces),
        source=task.source,
        fused=task.fused,
    )
