"""Operators that move elements and compute nothing: shapes, axes, parts."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.onnx_broadcast import activations
from intar.frontends.onnx_matmul import along
from intar.frontends.onnx_nodes import Node, Rejected
from intar.ir.ops import Op
from intar.ir.shapes import AttrValue, show


def _axis(axis: int, rank: int, what: str = "axis") -> int:
    """The axis counted from 0. Raises Rejected when there is none such."""
    if not -rank <= axis < rank:
        raise Rejected(f"its {what} {axis} does not exist in a tensor of {rank} axes", code="graph")
    return axis + rank * (axis < 0)


def _to_shape(importer: Importer, node: Node, shape: tuple[int, ...]) -> None:
    """Reshape; on a quantised constant the integers are reshaped, on equal shapes nothing happens."""
    name, old = node.inputs[0], importer.shape(node.inputs[0])
    if prod(shape) != prod(old):
        raise Rejected(f"shape {show(old)} can't become {show(shape)}", code="graph")
    if name in importer.packed:
        array, quant = importer.packed[name]
        if quant.axis is not None and shape != old:
            quant = quant.model_copy(update={"axis": _moved_axis(old, shape, quant.axis)})
        importer.packed[node.outputs[0]] = (array.reshape(shape), quant)
    elif shape == old:
        importer.alias[node.outputs[0]] = importer.tensor(name)
    else:
        importer.emit(node, Op.RESHAPE, [importer.tensor(name)], {"shape": shape})


def _moved_axis(old: tuple[int, ...], new: tuple[int, ...], axis: int) -> int:
    """Where a channel axis goes when axes of one element come or go."""
    if [n for n in old if n != 1] != [n for n in new if n != 1] or old[axis] == 1:
        raise Rejected("it reshapes a weight that is quantised per channel")
    before = sum(n != 1 for n in old[:axis])
    return [position for position, n in enumerate(new) if n != 1][before]


def _reshape(importer: Importer, node: Node) -> None:
    old = importer.shape(node.inputs[0])
    target = importer.integers(node, 1, "shape") or []
    if not node.attrs.get("allowzero", 0):
        target = [old[axis] if n == 0 and axis < len(old) else n for axis, n in enumerate(target)]
    if target.count(-1) == 1 and (rest := -prod(target)) > 0 and prod(old) % rest == 0:
        target[target.index(-1)] = prod(old) // rest
    _to_shape(importer, node, tuple(target))


def _flatten(importer: Importer, node: Node) -> None:
    old = importer.shape(node.inputs[0])
    axis = int(node.attrs.get("axis", 1))
    axis = axis if axis == len(old) else _axis(axis, len(old))
    _to_shape(importer, node, (prod(old[:axis]), prod(old[axis:])))


def _squeeze(importer: Importer, node: Node) -> None:
    old = importer.shape(node.inputs[0])
    axes = importer.integers(node, 1, "axes")
    gone = {a for a, n in enumerate(old) if n == 1} if axes is None else {_axis(a, len(old)) for a in axes}
    _to_shape(importer, node, tuple(n for axis, n in enumerate(old) if axis not in gone))


def _unsqueeze(importer: Importer, node: Node) -> None:
    old = list(importer.shape(node.inputs[0]))
    axes = importer.integers(node, 1, "axes") or []
    rank = len(old) + len(axes)
    for axis in sorted(_axis(a, rank) for a in axes):
        old.insert(axis, 1)
    _to_shape(importer, node, tuple(old))


def _transpose(importer: Importer, node: Node) -> None:
    name = node.inputs[0]
    rank = len(importer.shape(name))
    perm = tuple(int(p) for p in node.attrs.get("perm", range(rank)[::-1]))
    if sorted(perm) != list(range(rank)):
        raise Rejected(f"its perm {list(perm)} is not a permutation of {rank} axes", code="graph")
    if name in importer.packed:
        array, quant = importer.packed[name]
        if quant.axis is not None:
            quant = quant.model_copy(update={"axis": perm.index(quant.axis)})
        importer.packed[node.outputs[0]] = (array.transpose(perm), quant)
    elif perm == tuple(range(rank)):
        importer.alias[node.outputs[0]] = importer.tensor(name)
    else:
        importer.emit(node, Op.TRANSPOSE, [importer.tensor(name)], {"perm": perm})


def _concat(importer: Importer, node: Node) -> None:
    rank = len(importer.shape(node.inputs[0]))
    axis = _axis(int(node.attrs.get("axis", 1)), rank)
    named = [name for name in node.inputs if prod(importer.shape(name))] or node.inputs[:1]
    if len(named) == 1:
        importer.alias[node.outputs[0]] = importer.tensor(named[0])
        return
    parts = activations(importer, node, [importer.tensor(name) for name in named], axis)
    importer.emit(node, Op.CONCAT, parts, {"axis": axis})


def _split(importer: Importer, node: Node) -> None:
    shape = importer.shape(node.inputs[0])
    axis = _axis(int(node.attrs.get("axis", 0)), len(shape))
    parts = importer.integers(node, 1, "split")
    if parts is None:
        count = max(int(node.attrs.get("num_outputs", len(node.outputs))), 1)
        size = -(-shape[axis] // count)
        parts = [min(size, shape[axis] - start) for start in range(0, shape[axis], size)]
    if sum(parts) != shape[axis] or len(parts) != len(node.outputs):
        raise Rejected(f"parts {parts} don't make up axis {axis} of {show(shape)}", code="graph")
    x, start = importer.tensor(node.inputs[0]), 0
    for output, size in zip(node.outputs, parts, strict=True):
        if output and size == shape[axis]:
            importer.alias[output] = x
        elif size == 0:
            importer.values[output] = _nothing(shape, axis)
        elif output and size:
            attrs: dict[str, AttrValue] = {"axis": axis, "start": start, "stop": start + size}
            importer.alias[output] = importer.emit(node, Op.SLICE, [x], attrs, output=output)
        start += size


def _nothing(shape: tuple[int, ...], axis: int) -> np.ndarray:
    """What is empty along an axis: a constant, which a Concat leaves out."""
    return np.zeros((*shape[:axis], 0, *shape[axis + 1 :]), np.float32)


def _slice(importer: Importer, node: Node) -> None:
    name = node.inputs[0]
    shape = list(importer.shape(name))
    starts, stops = importer.integers(node, 1, "starts") or [], importer.integers(node, 2, "ends") or []
    axes = importer.integers(node, 3, "axes") or list(range(len(starts)))
    steps = importer.integers(node, 4, "steps") or [1] * len(starts)
    if not len(axes) == len(starts) == len(stops) == len(steps):
        raise Rejected("its starts, ends, axes and steps differ in number", code="graph")
    x = importer.tensor(name)
    for axis, start, stop, step in zip(axes, starts, stops, steps, strict=True):
        axis = _axis(axis, len(shape))
        if step == 0:
            raise Rejected("its step is 0", code="graph")
        chosen = range(*slice(start, stop, step).indices(shape[axis]))
        if not chosen:
            importer.values[node.outputs[0]] = _nothing(tuple(shape), axis)
            return
        x = take(importer, node, x, axis, list(chosen))
    importer.alias[node.outputs[0]] = x


TURNED = 16
"""Elements of the shortest run backwards that is turned round by a product."""


PIECES = 64
"""Slices that are joined at most, where a matrix of so many ones can choose the elements instead."""

MOST_PIECES = 4096

LARGEST = 1 << 20
"""Elements of the largest matrix that chooses elements."""


def _run(chosen: list[int], at: int, stride: int) -> int:
    """Where a run of equal steps that begins at `at` ends."""
    end = at + 1
    while end < len(chosen) and chosen[end] == chosen[end - 1] + stride:
        end += 1
    return end


def _runs(chosen: list[int], turned: bool) -> list[tuple[int, int, int]]:
    """Begin, end and step of the runs of equal steps; long ones backwards (step −1) are there if they can be `turned`."""
    runs, at = [], 0
    while at < len(chosen):
        back = _run(chosen, at, -1)
        if turned and back - at >= TURNED:
            runs.append((at, back, -1))
            at = back
            continue
        end = at + 1
        stride = max(chosen[end] - chosen[at], 0) if end < len(chosen) else 0
        if stride:
            end = _run(chosen, at, stride)
        if end - at == 2 and stride > 1:  # two elements are no pattern: the second may begin one
            end -= 1
        runs.append((at, end, max(stride, 1)))
        at = end
    return runs


def take(importer: Importer, node: Node, x: str, axis: int, chosen: list[int]) -> str:
    """Elements of one axis in any order: slices with equal steps, joined. A long run backwards along the last axis is one
    slice times the matrix that turns it round, and many slices are a product with ones where the elements are: by moves each
    would be a task."""
    size = importer.graph.shapes[x][axis]
    if chosen == list(range(size)):
        return x

    def step(op: Op, inputs: list[str], attrs: dict[str, AttrValue]) -> str:
        return importer.emit(node, op, inputs, attrs, output=importer.graph.fresh(f"{node.outputs[0]}:part"))

    runs = _runs(chosen, axis == len(importer.graph.shapes[x]) - 1)
    if len(runs) > PIECES and size * len(chosen) <= LARGEST:
        return along(importer, node, x, axis, np.eye(size)[:, chosen])
    if len(runs) > MOST_PIECES:
        raise Rejected(
            f"it moves {len(runs)} pieces one by one",
            f"a circuit has {MOST_PIECES} such moves at most",
            "choose whole rows",
        )
    parts = []
    for at, end, stride in runs:
        start, stop = sorted((chosen[at], chosen[end - 1]))
        attrs: dict[str, AttrValue] = {"axis": axis, "start": start, "stop": stop + 1, "step": max(stride, 1)}
        part = x if (start, stop + 1, stride) == (0, size, 1) else step(Op.SLICE, [x], attrs)
        parts.append(part if stride > 0 else along(importer, node, part, axis, np.eye(end - at)[::-1]))
    return parts[0] if len(parts) == 1 else step(Op.CONCAT, parts, {"axis": axis})


def _gather(importer: Importer, node: Node) -> None:
    """Rows of a constant table that an input of ids chooses, or elements of an activation that constants choose."""
    table, ids = node.inputs[:2]
    if not importer.is_constant(table) and importer.is_constant(ids):
        shape = importer.shape(table)
        axis = _axis(int(node.attrs.get("axis", 0)), len(shape))
        wanted = np.asarray(importer.value(ids, "indices"), np.int64)
        if wanted.size == 0 or wanted.min() < -shape[axis] or wanted.max() >= shape[axis]:
            raise Rejected(f"its indices are not inside axis {axis} of {show(shape)}", code="graph")
        chosen = [int(n) % shape[axis] for n in wanted.reshape(-1)]
        x = take(importer, node, importer.tensor(table), axis, chosen)
        made = (*shape[:axis], *wanted.shape, *shape[axis + 1 :])
        if importer.graph.shapes[x] == made:
            importer.alias[node.outputs[0]] = x
        else:
            importer.emit(node, Op.RESHAPE, [x], {"shape": made})
        return
    if int(node.attrs.get("axis", 0)) or not importer.is_constant(table) or len(importer.shape(table)) != 2:
        raise Rejected(
            "it does not choose rows of a constant matrix",
            "a lookup by address is Gather on axis 0 of a table",
        )
    look_up(importer, node, ids, importer.tensor(table))


def look_up(importer: Importer, node: Node, ids: str, table: str) -> None:
    """Rows of a constant table, one for each id; ids may have got another shape behind the input."""
    found = importer.id_input(ids)
    tensor = found or importer.tensor(ids)
    shape = importer.shape(ids)
    if importer.graph.shapes[tensor] == shape:
        importer.emit(node, Op.EMBEDDING, [tensor, table])
        return
    rows = importer.emit(node, Op.EMBEDDING, [tensor, table], output=f"{node.outputs[0]}:rows")
    importer.emit(node, Op.RESHAPE, [rows], {"shape": (*shape, importer.graph.shapes[table][1])})


MOVES: dict[str, Callable[[Importer, Node], None]] = {
    "Concat": _concat,
    "Flatten": _flatten,
    "Gather": _gather,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""The translation of each of them."""
