"""Elements that constant indices choose or replace: moves of rows where the indices keep rows whole, else of elements.

What is added in places (not put there) is a product with a matrix of ones and zeros. All indices become positions among
the elements of a tensor in order (`positions`), whatever operator brought them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.onnx_broadcast import activations, alike
from intar.frontends.onnx_matmul import along
from intar.frontends.onnx_moves import take
from intar.frontends.onnx_nodes import Node, Rejected
from intar.ir.ops import Op
from intar.ir.shapes import AttrValue, Shape, show

Places = Callable[[Node, np.ndarray, Shape], np.ndarray]

LARGEST = 1 << 22
"""Elements of the largest matrix that adds in places."""


def positions(shape: Shape) -> np.ndarray:
    """The place of each element of a tensor among all of them in order."""
    return np.arange(prod(shape), dtype=np.int64).reshape(shape)


def _axis_of(chosen: np.ndarray, shape: Shape) -> tuple[int, list[int]] | None:
    """The one axis along which `chosen` positions pick among a tensor's elements, and which of it; None if there is none."""
    if chosen.ndim != len(shape) or not chosen.size:
        return None
    places = np.unravel_index(chosen, shape)
    for axis in range(len(shape)):
        first = tuple(slice(None) if a == axis else 0 for a in range(len(shape)))
        along_it = [int(n) for n in places[axis][first]]
        if chosen.shape[:axis] + chosen.shape[axis + 1 :] == shape[:axis] + shape[
            axis + 1 :
        ] and np.array_equal(chosen, np.take(positions(shape), along_it, axis)):
            return axis, along_it
    return None


def _rows_of(chosen: np.ndarray, size: int) -> tuple[int, list[int]]:
    """The longest rows that `chosen` positions of `size` elements keep whole, and which of these rows they are."""
    for axis in range(chosen.ndim + 1):
        length = prod(chosen.shape[axis:])
        rows = chosen.reshape(-1, length)
        whole = size % length == 0 and not (rows[:, 0] % length).any()
        if whole and np.array_equal(rows, rows[:, :1] + np.arange(length)):
            return length, [int(n) for n in rows[:, 0] // length]
    return 1, [int(n) for n in chosen.reshape(-1)]


def _step(importer: Importer, node: Node, op: Op, inputs: list[str], attrs: dict[str, AttrValue]) -> str:
    return importer.emit(node, op, inputs, attrs, output=importer.graph.fresh(f"{node.outputs[0]}:part"))


def _shaped(importer: Importer, node: Node, x: str, shape: Shape) -> str:
    """The tensor in another shape; of a constant the constant."""
    if importer.graph.shapes[x] == shape:
        return x
    if x in importer.graph.constants:
        return importer.graph.constant(f"{x}:shaped", importer.graph.constants[x].reshape(shape))
    return _step(importer, node, Op.RESHAPE, [x], {"shape": shape})


def pick(importer: Importer, node: Node, x: str, chosen: np.ndarray) -> str:
    """The elements of `x` at these positions, in their shape."""
    shape = importer.graph.shapes[x]
    if (found := _axis_of(chosen, shape)) is not None:
        return take(importer, node, x, *found)
    length, rows = _rows_of(chosen, prod(shape))
    made = take(importer, node, _shaped(importer, node, x, (prod(shape) // length, length)), 0, rows)
    return _shaped(importer, node, made, chosen.shape)


def put(importer: Importer, node: Node, x: str, updates: str, chosen: np.ndarray) -> str:
    """`x` with `updates` (in the shape of `chosen`) at these positions; of several for one place the last."""
    graph, shape = importer.graph, importer.graph.shapes[x]
    if updates in graph.constants:
        keep, rest = np.ones(prod(shape)), np.zeros(prod(shape))
        keep[chosen.reshape(-1)] = 0
        rest[chosen.reshape(-1)] = np.broadcast_to(graph.constants[updates], chosen.shape).reshape(-1)
        kept = [x, graph.constant(f"{node.outputs[0]}:kept", keep.reshape(shape))]
        made = _step(importer, node, Op.MUL, alike(importer, node, kept), {})
        if not rest.any():
            return made
        return _step(importer, node, Op.ADD, [made, graph.constant(f"{made}:put", rest.reshape(shape))], {})
    found = _axis_of(chosen, shape)
    if found is not None:
        axis, places = found
        order = list(range(shape[axis]))
        for new, place in enumerate(places, shape[axis]):
            order[place] = new
        return _joined(importer, node, x, updates, axis, order)
    length, rows = _rows_of(chosen, prod(shape))
    order = list(range(prod(shape) // length))
    for new, row in enumerate(rows, len(order)):
        order[row] = new
    x = _shaped(importer, node, x, (len(order), length))
    updates = _shaped(importer, node, updates, (len(rows), length))
    return _shaped(importer, node, _joined(importer, node, x, updates, 0, order), shape)


def _joined(importer: Importer, node: Node, x: str, updates: str, axis: int, order: list[int]) -> str:
    """Elements of both along an axis, in an order. A constant becomes an activation only as far as it is chosen."""
    graph, count = importer.graph, importer.graph.shapes[x][axis]
    if x in graph.constants:
        left = [n for n in order if n < count]
        if not left:
            return take(importer, node, updates, axis, [n - count for n in order])
        x = graph.constant(f"{x}:left", np.take(graph.constants[x], left, axis))
        order = [left.index(n) if n < count else n - count + len(left) for n in order]
    both = activations(importer, node, [x, updates], axis)
    return take(importer, node, _step(importer, node, Op.CONCAT, both, {"axis": axis}), axis, order)


def add_at(importer: Importer, node: Node, x: str, updates: str, chosen: np.ndarray) -> str:
    """`x` plus `updates` at these positions, all of them where several are for one place."""
    graph, shape = importer.graph, importer.graph.shapes[x]
    found = _axis_of(chosen, shape)
    if found is not None:
        axis, places, size = *found, shape[found[0]]
        rows = updates
    else:
        length, places = _rows_of(chosen, prod(shape))
        axis, size = 0, prod(shape) // length
        rows = _shaped(importer, node, updates, (len(places), length))
    if len(places) * size > LARGEST:
        raise Rejected(
            f"it adds {len(places)} elements in {size} places, one by one",
            f"this becomes a matrix, of at most {LARGEST} elements",
            "add whole rows",
        )
    matrix = np.zeros((len(places), size))
    matrix[np.arange(len(places)), places] = 1
    if rows in graph.constants:
        total = graph.constants[rows].astype(np.float64)
        added = graph.constant(
            f"{rows}:added", np.moveaxis(np.moveaxis(total, axis, -1) @ matrix, -1, axis).reshape(shape)
        )
    else:
        added = _shaped(importer, node, along(importer, node, rows, axis, matrix), shape)
    if x in graph.constants and not graph.constants[x].any():
        return added
    return _step(importer, node, Op.ADD, [x, added], {})


def _indices(importer: Importer, name: str) -> np.ndarray:
    if not importer.is_constant(name):
        raise Rejected(
            f"its indices '{name}' are computed at run time",
            "which elements move where is fixed in the circuit",
            "make them constants, or leave the operator to the host",
        )
    return np.asarray(importer.value(name, "indices"), np.int64)


def _within(indices: np.ndarray, sizes: Shape | np.ndarray, shape: Shape) -> np.ndarray:
    """Indices from 0 on. Raises Rejected where one is beyond the end."""
    sizes = np.asarray(sizes)
    if ((indices < -sizes) | (indices >= sizes)).any():
        raise Rejected(f"its indices are not inside {show(shape)}", code="graph")
    return indices % sizes


def _along_axis(node: Node, indices: np.ndarray, shape: Shape) -> np.ndarray:
    """The positions of ONNX's GatherElements and ScatterElements: an index along one axis, the others as they are."""
    axis = int(node.attrs.get("axis", 0)) % max(len(shape), 1)
    if indices.ndim != len(shape):
        raise Rejected(f"its indices have {indices.ndim} axes, expected {len(shape)}", code="graph")
    places: list[np.ndarray] = list(np.indices(indices.shape, sparse=True))
    places[axis] = _within(indices, shape[axis : axis + 1], shape)
    return positions(shape)[tuple(places)]


def _nd(node: Node, indices: np.ndarray, shape: Shape) -> np.ndarray:
    """The positions of GatherND and ScatterND: the last axis of the indices is a place, behind axes in common."""
    common, depth = int(node.attrs.get("batch_dims", 0)), indices.shape[-1]
    inside = _within(indices, shape[common : common + depth], shape)
    lead: tuple[np.ndarray, ...] = np.indices(indices.shape[:common], sparse=True)
    spread = [each.reshape(*each.shape, *(1,) * (indices.ndim - 1 - common)) for each in lead]
    return positions(shape)[(*spread, *np.moveaxis(inside, -1, 0))]


def _gather(places: Places) -> Callable[[Importer, Node], None]:
    def handler(importer: Importer, node: Node) -> None:
        data, indices = node.inputs[:2]
        chosen = places(node, _indices(importer, indices), importer.shape(data))
        importer.alias[node.outputs[0]] = pick(importer, node, importer.tensor(data), chosen)

    return handler


def _scatter(places: Places) -> Callable[[Importer, Node], None]:
    def handler(importer: Importer, node: Node) -> None:
        data, indices, updates = node.inputs[:3]
        chosen, how = (
            places(node, _indices(importer, indices), importer.shape(data)),
            node.attrs.get("reduction", "none"),
        )
        if how not in ("none", "add"):
            raise Rejected(
                f"its reduction is {how}", "elements are put in their places, or added there (add)"
            )
        make = put if how == "none" else add_at
        importer.alias[node.outputs[0]] = make(
            importer, node, importer.tensor(data), importer.tensor(updates), chosen
        )

    return handler


def _as_given(node: Node, chosen: np.ndarray, shape: Shape) -> np.ndarray:
    return chosen


CHOSEN: dict[str, Callable[[Importer, Node], None]] = {
    "GatherElements": _gather(_along_axis),
    "GatherND": _gather(_nd),
    "Scatter": _scatter(_along_axis),
    "ScatterElements": _scatter(_along_axis),
    "ScatterND": _scatter(_nd),
    "intar.Pick": _gather(_as_given),
    "intar.Put": _scatter(_as_given),
}
"""The translation of each of them; ours take positions for indices."""
