"""Elementwise functions that become tables, and what is made of them: quotients, choices, larger and smaller of two."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.masks import FAR, additive_mask
from intar.frontends.onnx_broadcast import alike, repeated
from intar.frontends.onnx_moves import look_up
from intar.frontends.onnx_nodes import SCORES, Node, Rejected, scalar
from intar.ir.ops import HIDDEN, Op, broadcast_shape
from intar.ir.shapes import AttrValue

Handler = Callable[[Importer, Node], None]


def unary(op: Op, attrs: dict[str, AttrValue] | None = None) -> Handler:
    """The handler of an operator of one tensor."""

    def handler(importer: Importer, node: Node) -> None:
        importer.emit(node, op, [importer.tensor(node.inputs[0])], attrs)

    return handler


def _named(function: str) -> Handler:
    return unary(Op.FUNCTION, {"function": function})


def _step(importer: Importer, node: Node, op: Op, inputs: list[str], attrs: dict | None = None) -> str:
    """A task whose result something else of the same node reads."""
    output = importer.graph.fresh(f"{node.outputs[0]}:part")
    operands = alike(importer, node, inputs) if len(inputs) > 1 else inputs
    return importer.emit(node, op, operands, attrs, output=output)


def _constant(importer: Importer, node: Node, array: np.ndarray | float) -> str:
    return importer.graph.constant(f"{node.outputs[0]}:constant", np.asarray(array, np.float64))


def power(importer: Importer, node: Node) -> None:
    """To a constant power; squares and cubes are products."""
    base, raised = node.inputs
    if importer.is_constant(base) and (importer.real(base) > 0).all():
        logarithm = _constant(importer, node, np.log(importer.real(base).astype(np.float64)))
        scaled = _step(importer, node, Op.MUL, [importer.tensor(raised), logarithm])
        importer.emit(node, Op.EXP, [scaled])
        return
    x, exponent = importer.tensor(base), scalar(importer.values, raised)
    shape = importer.values[raised].shape if exponent is not None else ()
    if exponent is None or len(shape) > len(importer.graph.shapes[x]):
        raise Rejected(
            "its exponent is no constant number",
            "a power becomes a table, or products",
            "for positive numbers write exp(exponent * log(x))",
        )
    if exponent == 1.0:
        importer.alias[node.outputs[0]] = x
    elif exponent == 2.0:
        importer.emit(node, Op.MUL, [x, x])
    elif exponent == 3.0:
        importer.emit(node, Op.MUL, [_step(importer, node, Op.MUL, [x, x]), x])
    else:
        importer.emit(node, Op.POWER, [x], {"exponent": float(exponent)})


def divide(importer: Importer, node: Node) -> None:
    """By a constant a product with its inverse; by an activation one with its power of −1, which is a table."""
    a, b = node.inputs
    if not importer.is_constant(b):
        below = importer.tensor(b)
        if scalar(importer.values, a) == 1 and not importer.values[a].shape:
            importer.emit(node, Op.POWER, [below], {"exponent": -1.0})
            return
        inverse = _step(importer, node, Op.POWER, [below], {"exponent": -1.0})
        importer.emit(node, Op.MUL, alike(importer, node, [importer.tensor(a), inverse]))
        return
    with np.errstate(divide="ignore"):
        factor = np.asarray(1.0 / importer.real(b).astype(np.float64))
    if not np.isfinite(factor).all():
        raise Rejected(f"it divides by zero ('{b}')", hint="correct the model", code="graph")
    operands = [importer.tensor(a), importer.graph.constant(f"{b}:inverse", factor)]
    importer.emit(node, Op.MUL, alike(importer, node, operands))


def _extreme(largest: bool) -> Handler:
    """The larger or smaller of tensors, two at a time: one of them, and what the other is above or below it."""

    def two(importer: Importer, node: Node, a: str, b: str, output: str) -> str:
        graph = importer.graph
        if a in graph.constants:
            a, b = b, a
        if (
            b in graph.constants
            and graph.constants[b].size == 1
            and len(graph.shapes[b]) <= len(graph.shapes[a])
        ):
            bound = float(graph.constants[b].reshape(-1)[0])
            if largest and bound == 0:
                return importer.emit(node, Op.RELU, [a], output=output)
            limits = (bound, np.inf) if largest else (-np.inf, bound)
            return importer.emit(node, Op.CLIP, [a], dict(zip(("low", "high"), limits, strict=True)), output)
        a, b = alike(importer, node, [a, b])
        above = _step(importer, node, Op.RELU, [_step(importer, node, Op.SUB, [a, b])])
        op, operands = (Op.ADD, [b, above]) if largest else (Op.SUB, [a, above])
        return importer.emit(node, op, operands, output=output)

    def handler(importer: Importer, node: Node) -> None:
        made = importer.tensor(node.inputs[0])
        for position, name in enumerate(node.inputs[1:], 2):
            last = position == len(node.inputs)
            output = "" if last else importer.graph.fresh(f"{node.outputs[0]}:{position}")
            made = two(importer, node, made, importer.tensor(name), output)
        importer.alias[node.outputs[0]] = made

    return handler


def _compare(function: str, swapped: bool) -> Handler:
    """A comparison: 1 where it holds, else 0."""

    def handler(importer: Importer, node: Node) -> None:
        a, b = (importer.tensor(name) for name in node.inputs)
        difference = _step(importer, node, Op.SUB, [b, a] if swapped else [a, b])
        importer.emit(node, Op.FUNCTION, [difference], {"function": function})

    return handler


def _equal(importer: Importer, node: Node) -> None:
    """1 where both are alike; ids beside the numbers from 0 on (of which they are) choose rows of a matrix of ones."""
    for ids, numbers in (node.inputs, node.inputs[::-1]):
        if importer.id_input(ids) and numbers in importer.values:
            count = importer.values[numbers].size
            shapes = importer.shape(ids)[-1:], importer.values[numbers].shape[-1:]
            if shapes == ((1,), (count,)) and np.array_equal(
                importer.real(numbers).reshape(-1), range(count)
            ):
                column = f"{node.outputs[0]}:ids"
                importer.alias[column] = importer.emit(
                    node,
                    Op.RESHAPE,
                    [importer.tensor(ids)],
                    {"shape": importer.shape(ids)[:-1]},
                    output=importer.graph.fresh(column),
                )
                look_up(importer, node, column, _constant(importer, node, np.eye(count)))
                return
    a, b = (importer.tensor(name) for name in node.inputs)
    sides = [_step(importer, node, Op.SUB, [a, b]), _step(importer, node, Op.SUB, [b, a])]
    kinds = zip(sides, ("not_negative", "negative"), strict=True)
    least, more = (_step(importer, node, Op.FUNCTION, [x], {"function": kind}) for x, kind in kinds)
    importer.emit(node, Op.SUB, [least, more])


def _not(importer: Importer, node: Node) -> None:
    importer.emit(node, Op.SUB, [_constant(importer, node, 1.0), importer.tensor(node.inputs[0])])


def _and(importer: Importer, node: Node) -> None:
    importer.emit(node, Op.MUL, alike(importer, node, [importer.tensor(name) for name in node.inputs]))


def where(importer: Importer, node: Node) -> None:
    """A choice between two tensors: scores that a constant of −1000 or less hides are masked; of others, one of them and,
    where the condition says so, the difference to the other."""
    chosen, x, low = node.inputs
    placed = importer.mask(chosen)
    if placed is not None:
        scores, hidden = (x, low) if placed.form == "keeps" else (low, x)
        if placed.form == "added" or not _hides(importer, hidden):
            raise Rejected(
                "it chooses between two tensors", f"scores are hidden behind a constant of {HIDDEN:g} or less"
            )
        importer.put_mask(node, scores, placed)
        return
    if not importer.is_constant(chosen):
        hiding = [_hides(importer, name) for name in (x, low)]
        if node.attrs.get(SCORES) and sum(hiding) == 1:
            _hide(importer, node, keeps=hiding[1])
            return
        if any(importer.is_constant(name) and np.isinf(importer.real(name)).any() for name in (x, low)):
            raise Rejected(
                "it hides elements behind infinity, and a computed condition says which",
                "only a softmax behind it knows what that means",
                "write a finite number that the other elements do not reach",
            )
        weight = importer.tensor(chosen)
        other = importer.tensor(low)
        apart = _step(importer, node, Op.SUB, [importer.tensor(x), other])
        share = _step(importer, node, Op.MUL, [weight, apart])
        importer.emit(node, Op.ADD, alike(importer, node, [share, other]))
        return
    keep = np.asarray(importer.value(chosen, "condition"), bool)
    if keep.all() or not keep.any():
        shape = reduce(broadcast_shape, (importer.shape(name) for name in node.inputs))
        kept = importer.tensor(x if keep.all() else low)
        if kept not in importer.graph.constants:
            importer.alias[node.outputs[0]] = repeated(importer, node, kept, shape)
            return
    if importer.is_constant(x):
        x, low, keep = low, x, ~keep
    if _hides(importer, low):
        constant = importer.graph.constant(f"{node.outputs[0]}:mask", additive_mask(keep))
        importer.emit(node, Op.ADD, [importer.tensor(x), constant])
        return
    parts = [importer.tensor(x), _constant(importer, node, keep)]
    if importer.is_constant(low):
        rest = np.where(keep, 0.0, importer.real(low))
        if not rest.any():
            importer.emit(node, Op.MUL, alike(importer, node, parts))
            return
        other = _constant(importer, node, rest)
    else:
        other = _step(importer, node, Op.MUL, [importer.tensor(low), _constant(importer, node, ~keep)])
    importer.emit(node, Op.ADD, alike(importer, node, [_step(importer, node, Op.MUL, parts), other]))


def _hide(importer: Importer, node: Node, keeps: bool) -> None:
    """Scores, with so much added where a computed condition does not keep them that a softmax makes nothing of them."""
    chosen, x, low = node.inputs
    added = _step(
        importer, node, Op.MUL, [importer.tensor(chosen), _constant(importer, node, -FAR if keeps else FAR)]
    )
    if keeps:
        added = _step(importer, node, Op.ADD, [added, _constant(importer, node, FAR)])
    importer.emit(node, Op.ADD, alike(importer, node, [importer.tensor(x if keeps else low), added]))


def _hides(importer: Importer, name: str) -> bool:
    """Whether a mask of this constant leaves nothing of a score."""
    return importer.is_constant(name) and bool((importer.real(name) <= HIDDEN).all())


def _sign(importer: Importer, node: Node) -> None:
    """1 from 0 on, less 1 up to 0."""
    x = importer.tensor(node.inputs[0])
    minus = _step(importer, node, Op.MUL, [x, _constant(importer, node, -1.0)])
    sides = [_step(importer, node, Op.FUNCTION, [side], {"function": "not_negative"}) for side in (x, minus)]
    importer.emit(node, Op.SUB, sides)


def _hard_sigmoid(importer: Importer, node: Node) -> None:
    alpha, beta = (float(node.attrs.get(key, value)) for key, value in (("alpha", 0.2), ("beta", 0.5)))
    scaled = _step(
        importer, node, Op.MUL, [importer.tensor(node.inputs[0]), _constant(importer, node, alpha)]
    )
    shifted = _step(importer, node, Op.ADD, [scaled, _constant(importer, node, beta)])
    importer.emit(node, Op.CLIP, [shifted], {"low": 0.0, "high": 1.0})


NAMED = (
    *("Log", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Erf"),
    *("Softsign", "Floor", "Ceil", "Round"),
)
"""Operators whose names, in small letters, are those of functions."""

FUNCTIONS: dict[str, Handler] = {
    **{name: _named(name.lower()) for name in NAMED},
    "And": _and,
    "Div": divide,
    "Equal": _equal,
    "Greater": _compare("negative", True),
    "GreaterOrEqual": _compare("not_negative", False),
    "HardSigmoid": _hard_sigmoid,
    "Less": _compare("negative", False),
    "LessOrEqual": _compare("not_negative", True),
    "Max": _extreme(True),
    "Min": _extreme(False),
    "Not": _not,
    "Or": _extreme(True),
    "Pow": power,
    "Reciprocal": unary(Op.POWER, {"exponent": -1.0}),
    "Sign": _sign,
    "Sqrt": unary(Op.POWER, {"exponent": 0.5}),
    "Where": where,
    "intar.LogSigmoid": _named("log_sigmoid"),
    "intar.Trunc": _named("trunc"),
}
"""The translation of each of them."""
