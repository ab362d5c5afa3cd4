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


def _scaled(
    op: str, before: float = 1.0, offset: float = 0.0, after: float = 1.0, shift: float = 0.0
) -> Handler:
    """``op(before * x + offset) * after + shift``."""

    def handler(w: Writer, a: Arguments) -> None:
        x = a["self"]
        x = x if before == 1 else w.emit("Mul", [x, before])
        x = x if offset == 0 else w.emit("Add", [x, offset])
        if after == 1 and shift == 0:
            w.give(op, [x])
        elif shift == 0:
            w.give("Mul", [w.emit(op, [x]), after])
        else:
            w.give("Add", [w.emit(op, [x]), shift])

    return handler


def _pair(op: str) -> Handler:
    def handler(w: Writer, a: Arguments) -> None:
        w.give(op, [a["self"], a["other"]])

    return handler


FUNCTIONS: dict[str, Handler] = {
    **{name: _scaled(name.capitalize()) for name in NAMED},
    "exp2": _scaled("Exp", before=log(2)),
    "expm1": _scaled("Exp", shift=-1.0),
    "ge": _pair("GreaterOrEqual"),
    "gt": _pair("Greater"),
    "le": _pair("LessOrEqual"),
    "log10": _scaled("Log", after=1 / log(10)),
    "log1p": _scaled("Log", offset=1.0),
    "log2": _scaled("Log", after=1 / log(2)),
    "log_sigmoid_forward": _scaled("intar.LogSigmoid"),
    "lt": _pair("Less"),
    "maximum": _pair("Max"),
    "minimum": _pair("Min"),
}
"""By the operator's name without namespace and overload."""
