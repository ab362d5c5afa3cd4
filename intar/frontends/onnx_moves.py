"""Operators that move elements and compute nothing: shapes, axes, parts."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from intar.frontends.importer import Importer
from intar.frontends.onnx_broadcast import activations
from intar.frontends.onnx_nodes import Node, Rejected
from intar.ir.ops import Op
from intar.ir.shapes import show


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
        elif size == 0 and importer.is_read(output):
            raise Rejected(
                f"its part '{output}' is empty", "tensors of no elements have no place in a circuit"
            )
        elif output and size:
            attrs = {"axis": axis, "start": start, "stop": start + size}
            importer.alias[output] = importer.emit(node, Op.SLICE, [x], attrs, output=output)
        start += size


def _slice(importer: Importer, node: Node) -> None:
    name = node.inputs[0]
    shape = list(importer.shape(name))
    starts, stops = importer.integers(node, 1, "starts") or [], importer.integers(node, 2, "ends") or []
    axes = importer.integers(node, 3, "axes") or list(range(len(starts)))
    steps = importer.integers(node, 4, "steps") or [1] * len(starts)
    if any(step != 1 for step in steps):
        raise Rejected(f"its steps are {steps}", "only parts without gaps (step 1) are supported")
    if not len(axes) == len(starts) == len(stops) == len(steps):
        raise Rejected("its starts, ends, axes and steps differ in number", code="graph")
    cuts = []
    for axis, start, stop in zip(axes, starts, stops, strict=True):
        axis = _axis(axis, len(shape))
        first, last, _ = slice(start, stop).indices(shape[axis])
        if first >= last:
            raise Rejected(f"the range {start}:{stop} of axis {axis} of {show(tuple(shape))} is empty")
        if (first, last) != (0, shape[axis]):
            cuts.append({"axis": axis, "start": first, "stop": last})
    x = importer.tensor(name)
    for position, attrs in enumerate(cuts):
        output = "" if position == len(cuts) - 1 else f"{node.outputs[0]}:{position}"
        x = importer.emit(node, Op.SLICE, [x], attrs, output=output)
    if not cuts:
        importer.alias[node.outputs[0]] = x


MOVES: dict[str, Callable[[Importer, Node], None]] = {
    "Concat": _concat,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""The translation of each of them."""
