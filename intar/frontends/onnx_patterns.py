"""Functions that exporters spell out in small operators, found again: GELU, SiLU, hard swish.

A pattern is an expression.  Sums and products match in any order; constants match within single precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import isclose, pi, sqrt

import numpy as np

from intar.frontends.onnx_nodes import SCORES, Node, live, scalar

COMMUTATIVE = ("Add", "Mul", "Sum", "Max")


@dataclass(frozen=True)
class Call:
    """An operator (one of several names) on sub-expressions."""

    ops: tuple[str, ...]
    args: tuple[Pattern, ...]
    attrs: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Number:
    """A constant of one element."""

    value: float


@dataclass(frozen=True)
class Variable:
    """The function's argument: the same tensor wherever it occurs."""


Pattern = Call | Number | Variable

X = Variable()


def _add(a: Pattern, b: Pattern) -> Call:
    return Call(("Add", "Sum"), (a, b))


def _mul(a: Pattern, b: Pattern) -> Call:
    return Call(("Mul",), (a, b))


def _scaled(a: Pattern, factor: float) -> list[Call]:
    return [_mul(a, Number(factor)), Call(("Div",), (a, Number(1 / factor)))]


def _product(a: Pattern, b: Pattern, factor: float) -> Iterator[Call]:
    """a · b · factor in every association."""
    yield from _scaled(_mul(a, b), factor)
    for half in _scaled(a, factor):
        yield _mul(half, b)
    for half in _scaled(b, factor):
        yield _mul(a, half)


def _patterns() -> Iterator[tuple[str, dict[str, str], Call]]:
    for argument in _scaled(X, 1 / sqrt(2)):
        for pattern in _product(X, _add(Call(("Erf",), (argument,)), Number(1)), 0.5):
            yield "Gelu", {"approximate": "none"}, pattern
    small = Number(0.044715)
    cubes = [_mul(cube, small) for cube in (Call(("Pow",), (X, Number(3))), _mul(_mul(X, X), X))]
    for cube in (*cubes, _mul(X, _mul(X, _mul(X, small))), _mul(X, _mul(_mul(X, X), small))):
        inner = _add(X, cube)
        for argument in _scaled(inner, sqrt(2 / pi)):
            for pattern in _product(X, _add(Call(("Tanh",), (argument,)), Number(1)), 0.5):
                yield "Gelu", {"approximate": "tanh"}, pattern
    yield "Swish", {}, _mul(X, Call(("Sigmoid",), (X,)))
    yield "Swish", {}, _mul(X, Call(("Sigmoid",), (_mul(X, Number(1)),)))
    yield "HardSwish", {}, _mul(X, Call(("HardSigmoid",), (X,), (("alpha", 1 / 6), ("beta", 0.5))))
    clip = Call(("Clip",), (_add(X, Number(3)), Number(0), Number(6)))
    for pattern in _product(X, clip, 1 / 6):
        yield "HardSwish", {}, pattern


PATTERNS = tuple(_patterns())

_DEFAULTS = {("HardSigmoid", "alpha"): 0.2, ("HardSigmoid", "beta"): 0.5}


def rewrite(nodes: Sequence[Node], values: dict[str, np.ndarray], outputs: Sequence[str]) -> list[Node]:
    """The nodes with each spelled-out function replaced by one node; those no longer needed are left out."""
    nodes = [_clip_inputs(node, values) for node in nodes]
    makers = {name: node for node in nodes for name in node.outputs}
    result = []
    for node in nodes:
        for op, attrs, pattern in PATTERNS if node.op in ("Mul", "Div") and node.domain == "" else ():
            if argument := _argument(pattern, node.outputs[0], makers, values):
                node = node.became(op, [argument], attrs)
                break
        result.append(node)
    kept = live(result, outputs)
    _mark_scores(kept, outputs)
    return kept


def _mark_scores(nodes: Sequence[Node], outputs: Sequence[str]) -> None:
    """Note on each choice whether all that reads it, be it behind a copy, are softmaxes along the last axis or another."""
    only = dict.fromkeys(outputs, False)
    for node in reversed(nodes):
        softmax = node.op in ("Softmax", "LogSoftmax") and not node.domain
        copy = node.op in ("Cast", "Identity") and not node.domain and only.get(node.outputs[0], False)
        if node.op == "Where" and only.get(node.outputs[0], False):
            node.attrs[SCORES] = 1
        for name in node.inputs:
            only[name] = (softmax or copy) and only.get(name, True)


def _clip_inputs(node: Node, values: dict[str, np.ndarray]) -> Node:
    """Clip of operator sets before 11 with its bounds as inputs, as it is today."""
    if node.op != "Clip" or not {"min", "max"} & node.attrs.keys():
        return node
    inputs = [node.inputs[0]]
    for bound in ("min", "max"):
        name = f"{node.outputs[0]}:{bound}" if bound in node.attrs else ""
        if name:
            values[name] = np.asarray(node.attrs[bound], np.float32)
        inputs.append(name)
    return Node(node.op, node.name, inputs, node.outputs)


def _argument(
    pattern: Call, name: str, makers: Mapping[str, Node], values: Mapping[str, np.ndarray]
) -> str | None:
    return next(iter(_match(pattern, name, None, makers, values)), None)


def _match(
    pattern: Pattern,
    name: str,
    bound: str | None,
    makers: Mapping[str, Node],
    values: Mapping[str, np.ndarray],
) -> Iterator[str | None]:
    """Every way to match: yields the tensor that the variable stands for."""
    if isinstance(pattern, Variable):
        if bound in (None, name) and name not in values:
            yield name
        return
    if isinstance(pattern, Number):
        value = scalar(values, name)
        if value is not None and isclose(value, pattern.value, rel_tol=2e-5):
            yield bound
        return
    node = makers.get(name)
    if node is None or node.domain or node.op not in pattern.ops or len(node.inputs) != len(pattern.args):
        return
    for key, expected in pattern.attrs:
        if not isclose(node.attrs.get(key, _DEFAULTS[node.op, key]), expected, rel_tol=2e-5):
            return
    orders = permutations(node.inputs) if node.op in COMMUTATIVE else [tuple(node.inputs)]
    for order in orders:
        yield from _match_all(pattern.args, order, bound, makers, values)


def _match_all(
    patterns: Sequence[Pattern],
    names: Sequence[str],
    bound: str | None,
    makers: Mapping[str, Node],
    values: Mapping[str, np.ndarray],
) -> Iterator[str | None]:
    if not patterns:
        yield bound
        return
    for inner in _match(patterns[0], names[0], bound, makers, values):
        yield from _match_all(patterns[1:], names[1:], inner, makers, values)
