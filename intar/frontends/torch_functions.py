"""ATen functions of single elements, and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log
from typing import Any

from intar.frontends.torch_nodes import Writer

Arguments = Mapping[str, Any]
Handler = Callable[[Writer, Arguments], None]

NAMED = (
    *("log", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erf"),
    *("sign", "floor", "ceil", "round", "sqrt", "reciprocal"),
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


FUNCTIONS: dict[str, Handler] = {
    **{name: _with(name.capitalize()) for name in NAMED},
    "exp2": _with("Exp", before=("Mul", log(2))),
    "expm1": _with("Exp", after=("Add", -1.0)),
    "ge": _of_two("GreaterOrEqual"),
    "gt": _of_two("Greater"),
    "le": _of_two("LessOrEqual"),
    "log10": _with("Log", after=("Mul", 1 / log(10))),
    "log1p": _with("Log", before=("Add", 1.0)),
    "log2": _with("Log", after=("Mul", 1 / log(2))),
    "log_sigmoid_forward": _with("intar.LogSigmoid"),
    "lt": _of_two("Less"),
    "maximum": _of_two("Max"),
    "minimum": _of_two("Min"),
}
"""By the operator's name without namespace and overload."""
