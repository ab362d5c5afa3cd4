"""What ids decide: masks of the padding, parts of a row of ids, ids behind an offset. Each becomes a lookup of the ids.

A tensor whose every element one id of an input decides is not computed. It is kept as a function of ids (`OfIds`) until
something reads it: a table that it chooses rows of gets its rows in the order of the ids, and where its numbers are wanted
they are the rows, of one element, of a table of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import prod

import numpy as np
from onnx import TensorProto, helper

from intar.errors import Finding
from intar.frontends.importer import Importer
from intar.frontends.masks import FAR
from intar.frontends.onnx_chosen import pick, positions
from intar.frontends.onnx_fold import evaluate
from intar.frontends.onnx_nodes import Node, Rejected
from intar.ir.ops import Op
from intar.ir.shapes import Shape, show

FAR_BELOW = -1e6
"""Numbers from here down only hide."""

MOST = 64
"""Functions of ids, at most, that the elements of one tensor are."""

_Values = Callable[[np.ndarray], np.ndarray]

_FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "Abs": np.abs,
    "Add": np.add,
    "And": np.logical_and,
    "Clip": lambda x, low=-np.inf, high=np.inf: np.minimum(np.maximum(x, low), high),
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Max": lambda *parts: reduce(np.maximum, parts),
    "Min": lambda *parts: reduce(np.minimum, parts),
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Sign": np.sign,
    "Sub": np.subtract,
    "Where": np.where,
    "Xor": np.logical_xor,
    "intar.Trunc": np.trunc,
}
"""Elementwise operators, which are evaluated for every id."""

_LEFT_OUT = (0, -np.inf, np.inf)
"""Operands that a node may leave out: the bounds of a Clip."""

_SHAPES = ("Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")

_MOVES = (*_SHAPES, "Expand", "Gather", "Slice", "Split", "Tile", "Transpose")
"""Operators that move elements, by constants."""


@dataclass(frozen=True)
class OfIds:
    """A tensor that ids decide.

    Parameters
    ----------
    ids : the input, by the graph's name.
    places : which of the input's ids decides each element, in the tensor's shape.
    values : the elements (n, elements), or (n, 1) where all are the same function, if every id is the first, second, … of n.
    node : what made the tensor.
    """

    ids: str
    places: np.ndarray
    values: _Values
    node: Node

    @property
    def shape(self) -> Shape:
        """The tensor's shape."""
        return self.places.shape


@dataclass(frozen=True)
class IdTable:
    """A table in the making: how many ids an input has is known when all lookups are.

    Parameters
    ----------
    ids, constant : the input, and the table, by the graph's names.
    rows : the ids that it knows, 0 where it knows any.
    whole : the rows of all ids of the input are read, so that none may be larger.
    made : its rows for ids 0 … n − 1.
    """

    ids: str
    constant: str
    rows: int
    whole: bool
    made: Callable[[int], np.ndarray]


def follow_ids(importer: Importer, node: Node) -> bool:
    """Note the node's outputs if ids decide them, or translate it if it looks them up; True when it was done."""
    if node.domain or not any(name in importer.of_ids or importer.id_input(name) for name in node.inputs):
        return False
    if node.op in ("Cast", "CastLike") and node.inputs[0] in importer.of_ids:
        return _cast(importer, node)
    if node.op in _MOVES and (node.op != "Gather" or importer.is_constant(node.inputs[1])):
        return _move(importer, node)
    if node.op == "Gather" and node.inputs[1] in importer.of_ids:
        return _look_up(importer, node)
    return node.op in _FUNCTIONS and _function(importer, node)


def _operand(importer: Importer, name: str) -> OfIds | np.ndarray | None:
    """What ids decide, a constant, or None."""
    if name in importer.of_ids:
        return importer.of_ids[name]
    if name in importer.values:
        return importer.values[name]
    if not name or (ids := importer.id_input(name)) is None:
        return None
    shape = importer.shape(name)
    return OfIds(ids, positions(shape), lambda v: v[:, None], Node("Identity", name, [name], [name]))


def _cast(importer: Importer, node: Node) -> bool:
    source, kind = importer.of_ids[node.inputs[0]], node.attrs.get("to")
    values = source.values
    truth = kind == TensorProto.BOOL
    importer.of_ids[node.outputs[0]] = replace(
        source, values=(lambda v: values(v) != 0) if truth else values, node=node
    )
    return True


def _move(importer: Importer, node: Node) -> bool:
    """Move the places as the node moves elements, and where elements differ in their function these as well."""
    source = _operand(importer, node.inputs[0])
    rest = [name for name in node.inputs[1:] if name]
    if not isinstance(source, OfIds) or any(name not in importer.values for name in rest):
        return False
    if node.op in _SHAPES and node.inputs[0] not in importer.of_ids:
        return False  # an input in another shape stays an input
    proto = helper.make_node(node.op, node.inputs, node.outputs, **node.attrs)
    known = {name: importer.values[name] for name in rest} | {node.inputs[0]: positions(source.shape)}
    made = evaluate(replace(node, proto=proto), known, {"": importer.opset})
    for name, order in zip(node.outputs, made, strict=True):
        importer.of_ids[name] = OfIds(
            source.ids, source.places.reshape(-1)[order], _spread(source, order), node
        )
    return True


def _spread(source: OfIds, order: np.ndarray) -> _Values:
    """The values of elements in another order, or repeated."""

    def values(v: np.ndarray) -> np.ndarray:
        made = source.values(v)
        return made if made.shape[1] == 1 else made[:, order.reshape(-1)]

    return values


def _function(importer: Importer, node: Node) -> bool:
    """An elementwise function of one id and constants."""
    given = [
        _operand(importer, name) if name else np.asarray(_LEFT_OUT[at]) for at, name in enumerate(node.inputs)
    ]
    operands = [each for each in given if each is not None]
    ids = [each for each in operands if isinstance(each, OfIds)]
    plain = any(importer.id_input(name) for name in node.inputs)
    constants = [each for each in operands if isinstance(each, np.ndarray)]
    if len(operands) < len(given) or len({each.ids for each in ids}) > 1:
        return False
    if node.op == "Equal" and plain and any(each.size > 1 for each in constants):
        return False  # one-hot rows
    shape = np.broadcast_shapes(*(each.shape for each in operands))
    places = [np.broadcast_to(each.places, shape) for each in ids]
    if any(not np.array_equal(places[0], other) for other in places[1:]):
        return False
    function = _FUNCTIONS[node.op]
    parts = [
        _spread(each, np.broadcast_to(positions(each.shape), shape))
        if isinstance(each, OfIds)
        else _constant(each, shape)
        for each in operands
    ]
    importer.of_ids[node.outputs[0]] = OfIds(
        ids[0].ids, places[0], lambda v: function(*(part(v) for part in parts)), node
    )
    return True


def _constant(array: np.ndarray, shape: Shape) -> _Values:
    row = array.reshape(1, 1) if array.size == 1 else np.broadcast_to(array, shape).reshape(1, -1)
    return lambda v: row


def _look_up(importer: Importer, node: Node) -> bool:
    """Rows of a constant table that ids choose by way of a function."""
    name, of = node.inputs[0], importer.of_ids[node.inputs[1]]
    if int(node.attrs.get("axis", 0)) or not importer.is_constant(name) or len(importer.shape(name)) != 2:
        return False
    table = importer.real(name)
    count = len(table)

    def rows(chosen: np.ndarray) -> np.ndarray:
        """Rows of the table; ids that it does not know have any."""
        chosen = np.where(chosen < 0, chosen + count, chosen).astype(np.int64)
        return table[np.clip(chosen, 0, count - 1)]

    def known(chosen: np.ndarray) -> int:
        inside = np.flatnonzero((chosen >= 0) & (chosen < count))
        return int(inside[-1]) + 1 if inside.size else 0

    tables = _tables(importer, of, node, rows, known, name)
    importer.alias[node.outputs[0]] = _joined(importer, node, of, tables, (*of.shape, table.shape[1]))
    return True


def numbers(importer: Importer, name: str) -> str:
    """The tensor of the graph that holds the values of what ids decide. Raises Rejected for the ids themselves."""
    of = importer.of_ids[name]
    probe = np.arange(MOST)
    if (of.values(probe) == probe[:, None]).all():
        raise Rejected(
            f"it computes on the ids of '{of.ids}'", "ids are names of rows, not numbers", "look them up"
        )

    def rows(values: np.ndarray) -> np.ndarray:
        return np.where(values <= FAR_BELOW, FAR, values).astype(np.float64)[:, None]

    tables = _tables(importer, of, of.node, rows, lambda values: 0, name)
    importer.alias[name] = _joined(importer, of.node, of, tables, of.shape)
    return importer.alias[name]


def _tables(
    importer: Importer,
    of: OfIds,
    node: Node,
    rows: Callable[[np.ndarray], np.ndarray],
    known: Callable[[np.ndarray], int],
    name: str,
) -> list[str]:
    """The rows of every id of the input: (…, columns), of each function that elements are."""
    graph, made = importer.graph, []
    several = of.values(np.arange(1)).shape[1]
    if several > MOST:
        raise Rejected(
            f"it makes {several} functions of the ids '{of.ids}'", f"each is a table, {MOST} at most"
        )
    all_ids = np.array_equal(np.unique(of.places), np.arange(prod(graph.shapes[of.ids])))
    for column in range(several):
        constant = graph.constant(f"{name}:of_ids", rows(of.values(np.arange(1))[:, column]))

        def table(count: int, column: int = column) -> np.ndarray:
            return rows(of.values(np.arange(count))[:, column])

        span = np.arange(2 * len(importer.values[name])) if name in importer.values else np.arange(1)
        entry = IdTable(of.ids, constant, known(of.values(span)[:, column]), all_ids and several == 1, table)
        importer.id_tables.append(entry)
        label = f"{node.outputs[0]}:rows" if several == 1 else f"{node.outputs[0]}:rows:{column}"
        made.append(importer.emit(node, Op.EMBEDDING, [of.ids, constant], output=graph.fresh(label)))
    return made


def _joined(importer: Importer, node: Node, of: OfIds, tables: Sequence[str], shape: Shape) -> str:
    """The rows that the elements have, of those of all ids."""
    graph, flat = importer.graph, of.places.reshape(-1)
    width = graph.shapes[tables[0]][-1]
    parts = []
    for at, rows in enumerate(tables):
        mine = flat if len(tables) == 1 else flat[at : at + 1]
        chosen = positions(graph.shapes[rows]).reshape(-1, width)[mine]
        if chosen.size == prod(graph.shapes[rows]) and (np.diff(chosen.reshape(-1)) == 1).all():
            parts.append(rows)
        else:
            parts.append(pick(importer, node, rows, chosen))
    made = parts[0]
    if len(parts) > 1:
        made = graph.fresh(f"{node.outputs[0]}:joined")
        importer.emit(node, Op.CONCAT, parts, {"axis": 0}, output=made)
    if graph.shapes[made] == shape:
        return made
    return importer.emit(node, Op.RESHAPE, [made], {"shape": shape}, output=graph.fresh(node.outputs[0]))


def settle(importer: Importer) -> list[Finding]:
    """Make the tables as long as their inputs have ids, and give what is wrong.

    An input that is looked up whole has the rows of its smallest such table, else those of its largest.
    """
    graph, found = importer.graph, []
    ours = {entry.constant for entry in importer.id_tables}
    for ids in dict.fromkeys(entry.ids for entry in importer.id_tables):
        entries = [entry for entry in importer.id_tables if entry.ids == ids]
        whole = [entry.rows for entry in entries if entry.whole and entry.rows]
        whole += [
            graph.shapes[task.inputs[1]][0]
            for task in graph.tasks
            if task.op is Op.EMBEDDING and task.inputs[0] == ids and task.inputs[1] not in ours
        ]
        count = min(whole) if whole else max(entry.rows for entry in entries)
        if not count:
            found.append(
                Finding(
                    "how many ids there are is not known: it chooses no rows of a table",
                    f"input '{ids}'",
                    "what ids decide is a table with a row for each id",
                    f"give what is made of {show(graph.shapes[ids])} ids as an input of numbers",
                )
            )
            continue
        for entry in entries:
            graph.constants[entry.constant] = entry.made(count)
            graph.shapes[entry.constant] = graph.constants[entry.constant].shape
    return found
