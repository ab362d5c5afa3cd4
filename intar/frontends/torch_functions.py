"""ATen functions of single elements, and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log
from typing import Any

import torch

from intar.frontends.onnx_nodes import Rejected
from intar.frontends.torch_nodes import Writer

Arguments = Mapping[str, Any]
Handler = Callable[[Writer, Arguments], None]

NAMED = (
    *("log", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erf"),
    *("sign", "floor", "ceil", "sqrt", "reciprocal"),
)
"""Functions that ONNX has under the same name."""


def _with(
    op: str, *, before: tuple[str, float] | None = None, after: tuple[str, float] | None = None
) -> Handler:
    """An operator with a sum or product with a number before or behind it."""

    def handler(w: Writer, a: Arguments) -> None:
        x = a["self"] if before is None else w.emit(before[0], [a["self"], before[1]])
        if after is None:
            w.give(op, [x])
        else:
            w.give(after[0], [w.emit(op, [x]), after[1]])

    return handler


def _of_two(op: str) -> Handler:
    def handler(w: Writer, a: Arguments) -> None:
        w.give(op, [a["self"], a["other"]])

    return handler


def _truth(w: Writer, x: Any) -> Any:
    """A number as a truth value; one that is one already as it is."""
    if w.holds(x, torch.bool) or isinstance(x, bool):
        return x
    return w.emit("Not", [w.emit("Equal", [x, 0.0])])


def _logic(op: str) -> Handler:
    def handler(w: Writer, a: Arguments) -> None:
        w.give(op, [_truth(w, a[name]) for name in ("self", "other") if name in a])

    return handler


def _bitwise(op: str) -> Handler:
    def handler(w: Writer, a: Arguments) -> None:
        if not w.holds(a["self"], torch.bool):
            raise Rejected(
                "it combines the bits of integers", "activations are real numbers, or truth values"
            )
        _logic(op)(w, a)

    return handler


def _unequal(w: Writer, a: Arguments) -> None:
    w.give("Not", [w.emit("Equal", [a["self"], a["other"]])])


def _modulo(fmod: int) -> Handler:
    def handler(w: Writer, a: Arguments) -> None:
        w.give("Mod", [a["self"], a["other"]], {"fmod": fmod})

    return handler


def _round(w: Writer, a: Arguments) -> None:
    """To whole numbers, or to so many decimals."""
    step = 10.0 ** -int(a.get("decimals") or 0)
    if step == 1:
        w.give("Round", [a["self"]])
    else:
        w.give("Mul", [w.emit("Round", [w.emit("Mul", [a["self"], 1 / step])]), step])


def _logaddexp(w: Writer, a: Arguments) -> None:
    """The larger one, and what the other adds to it: at most log 2."""
    apart = w.emit("Abs", [w.emit("Sub", [a["self"], a["other"]])])
    more = w.emit("Softplus", [w.emit("Neg", [apart])])
    w.give("Add", [w.emit("Max", [a["self"], a["other"]]), more])


def _hypot(w: Writer, a: Arguments) -> None:
    squares = [w.emit("Mul", [a[side], a[side]]) for side in ("self", "other")]
    w.give("Sqrt", [w.emit("Add", squares)])


FUNCTIONS: dict[str, Handler] = {
    **{name: _with(name.capitalize()) for name in NAMED},
    "bitwise_and": _bitwise("And"),
    "bitwise_not": _bitwise("Not"),
    "bitwise_or": _bitwise("Or"),
    "bitwise_xor": _bitwise("Xor"),
    "eq": _of_two("Equal"),
    "erfc": lambda w, a: w.give("Sub", [1.0, w.emit("Erf", [a["self"]])]),
    "exp2": _with("Exp", before=("Mul", log(2))),
    "expm1": _with("Exp", after=("Add", -1.0)),
    "ge": _of_two("GreaterOrEqual"),
    "gt": _of_two("Greater"),
    "fmax": _of_two("Max"),
    "fmin": _of_two("Min"),
    "fmod": _modulo(1),
    "hypot": _hypot,
    "le": _of_two("LessOrEqual"),
    "log10": _with("Log", after=("Mul", 1 / log(10))),
    "log1p": _with("Log", before=("Add", 1.0)),
    "log2": _with("Log", after=("Mul", 1 / log(2))),
    "log_sigmoid_forward": _with("intar.LogSigmoid"),
    "logaddexp": _logaddexp,
    "logical_and": _logic("And"),
    "logical_not": _logic("Not"),
    "logical_or": _logic("Or"),
    "logical_xor": _logic("Xor"),
    "lt": _of_two("Less"),
    "maximum": _of_two("Max"),
    "minimum": _of_two("Min"),
    "ne": _unequal,
    "remainder": _modulo(0),
    "round": _round,
    "signbit": lambda w, a: w.give("Less", [a["self"], 0.0]),
    "trunc": _with("intar.Trunc"),
}
"""By the operator's name without namespace and overload."""
