"""ATen operators that reduce axes: sums, means, variances, lengths, the largest element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from intar.frontends.onnx_nodes import Rejected
from intar.frontends.torch_nodes import Writer

Arguments = Mapping[str, Any]
Handler = Callable[[Writer, Arguments], None]


def _axes(w: Writer, a: Arguments) -> list[int]:
    """The axes, from 0 on; the last one alone as −1: that is how spelled-out normalisations are found."""
    rank, given = len(w.shape(a["self"])), a.get("dim")
    chosen = [given] if isinstance(given, int) else given or range(rank)
    axes = sorted(int(axis) % rank for axis in chosen)
    return [-1] if axes == [rank - 1] else axes


def _reduce(op: str) -> Handler:
    def handler(w: Writer, a: Arguments) -> None:
        w.give(op, [a["self"]], {"axes": _axes(w, a), "keepdims": int(a.get("keepdim", False))})

    return handler


def _extreme(op: str, pair: str) -> Handler:
    """Of all elements, along an axis, or of two tensors."""

    def handler(w: Writer, a: Arguments) -> None:
        if "other" in a:
            w.give(pair, [a["self"], a["other"]])
        else:
            _reduce(op)(w, a)

    return handler


def _variance(root: bool) -> Handler:
    """The mean of the squared distances to the mean, over one less (`correction`) than there are elements."""

    def handler(w: Writer, a: Arguments) -> None:
        axes, shape = _axes(w, a), w.shape(a["self"])
        count = prod(shape[axis] for axis in axes)
        correction = a.get("correction")
        less = 1 if correction is None else float(correction)
        if count <= less:
            raise Rejected(f"it divides by {count - less:g}", "a variance needs more elements", code="graph")
        mean = w.emit("ReduceMean", [a["self"]], {"axes": axes, "keepdims": 1})
        apart = w.emit("Sub", [a["self"], mean])
        square = w.emit("Mul", [apart, apart])
        attrs = {"axes": axes, "keepdims": int(a.get("keepdim", False))}
        op, inputs = "ReduceMean", [w.name(square)]
        if less:
            inputs = [w.emit(op, inputs, attrs), w.name(count / (count - less))]
            op, attrs = "Mul", {}
        if root:
            w.give("Sqrt", [w.emit(op, inputs, attrs)])
        else:
            w.give(op, inputs, attrs)

    return handler


def _vector_norm(w: Writer, a: Arguments) -> None:
    """A length; the Euclidean one of rows is found as part of a normalisation."""
    order = float(a.get("ord", 2))
    if order not in (1.0, 2.0):
        raise Rejected(f"its order is {order:g}", "lengths are of order 1 or 2")
    w.give(
        f"ReduceL{order:.0f}", [a["self"]], {"axes": _axes(w, a), "keepdims": int(a.get("keepdim", False))}
    )


def _cumsum(w: Writer, a: Arguments) -> None:
    w.give("CumSum", [a["self"], w.integers([int(a["dim"])])])


REDUCTIONS: dict[str, Handler] = {
    "amax": _reduce("ReduceMax"),
    "amin": _reduce("ReduceMin"),
    "cumsum": _cumsum,
    "linalg_vector_norm": _vector_norm,
    "logsumexp": _reduce("ReduceLogSumExp"),
    "max": _extreme("ReduceMax", "Max"),
    "mean": _reduce("ReduceMean"),
    "min": _extreme("ReduceMin", "Min"),
    "std": _variance(True),
    "sum": _reduce("ReduceSum"),
    "var": _variance(False),
}
"""By the operator's name without namespace and overload."""
