"""ATen operators that reduce axes: sums, means, variances, lengths, the largest element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isinf, prod
from operator import getitem
from typing import Any

import torch

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
            return
        _reduce(op)(w, a)
        if isinstance(a.get("dim"), int):
            attrs = {"axis": a["dim"], "keepdims": int(a.get("keepdim", False))}
            _second(w, lambda: w.emit(op.replace("Reduce", "Arg"), [a["self"]], attrs))

    return handler


def _second(w: Writer, write: Callable[[], str]) -> None:
    """Write the second result of the current operator, if somebody reads it."""
    readers = [
        user for user in w.current.users if user.target is getitem and user.args[1] == 1 and user.users
    ]
    made = write() if readers else ""
    w.names |= dict.fromkeys(readers, made)


def _top(w: Writer, a: Arguments) -> None:
    values, indices = (w.fresh(f"{w.current.name}:{role}") for role in ("values", "indices"))
    attrs = {"axis": int(a["dim"]), "largest": int(a["largest"])}
    w.emit("TopK", [a["self"], w.integers([int(a["k"])])], attrs, [values, indices])
    w.names[w.current] = values
    _second(w, lambda: indices)


def _any(w: Writer, a: Arguments) -> None:
    """Whether one element is not 0."""
    x = a["self"]
    if not w.holds(x, torch.bool):
        x = w.emit("Not", [w.emit("Equal", [x, 0.0])])
    w.give("ReduceMax", [x], {"axes": _axes(w, a), "keepdims": int(a.get("keepdim", False))})


def _scan(op: str) -> Handler:
    def handler(w: Writer, a: Arguments) -> None:
        w.give(op, [a["self"]], {"axis": a["dim"] % max(len(w.shape(a["self"])), 1)})

    return handler


def _moments(root: bool) -> Handler:
    """Variance or deviation, and the mean beside it."""

    def handler(w: Writer, a: Arguments) -> None:
        _variance(root)(w, a)
        attrs = {"axes": _axes(w, a), "keepdims": int(a.get("keepdim", False))}
        _second(w, lambda: w.emit("ReduceMean", [a["self"]], attrs))

    return handler


def _distances(w: Writer, a: Arguments) -> None:
    """Lengths of the differences between all rows of one tensor and all of the other."""
    first, second = w.shape(a["x1"]), w.shape(a["x2"])
    order = float(a["p"])
    if order not in (1.0, 2.0):
        raise Rejected(f"its order is {order:g}", "distances are of order 1 or 2")
    left = w.emit("Reshape", [a["x1"], w.integers((*first[:-1], 1, first[-1]))])
    right = w.emit("Reshape", [a["x2"], w.integers((*second[:-2], 1, *second[-2:]))])
    attrs = {"axes": [-1], "keepdims": 0}
    w.give(f"ReduceL{order:.0f}", [w.emit("Sub", [left, right])], attrs)


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
    attrs = {"axes": _axes(w, a), "keepdims": int(a.get("keepdim", False))}
    if order in (1.0, 2.0):
        w.give(f"ReduceL{order:.0f}", [a["self"]], attrs)
    elif isinf(order):
        w.give("ReduceMax" if order > 0 else "ReduceMin", [w.emit("Abs", [a["self"]])], attrs)
    elif order > 0:
        powers = w.emit("Pow", [w.emit("Abs", [a["self"]]), order])
        w.give("Pow", [w.emit("ReduceSum", [powers], attrs), 1 / order])
    else:
        raise Rejected(
            f"its order is {order:g}", "lengths are of an order above 0, or of the least element (-inf)"
        )


def _cumsum(w: Writer, a: Arguments) -> None:
    w.give("CumSum", [a["self"], w.integers([int(a["dim"])])])


REDUCTIONS: dict[str, Handler] = {
    "_cdist_forward": _distances,
    "amax": _reduce("ReduceMax"),
    "amin": _reduce("ReduceMin"),
    "any": _any,
    "cummax": _scan("intar.CumMax"),
    "cummin": _scan("intar.CumMin"),
    "cumprod": _scan("intar.CumProd"),
    "cumsum": _cumsum,
    "linalg_vector_norm": _vector_norm,
    "logsumexp": _reduce("ReduceLogSumExp"),
    "max": _extreme("ReduceMax", "Max"),
    "mean": _reduce("ReduceMean"),
    "min": _extreme("ReduceMin", "Min"),
    "prod": _reduce("ReduceProd"),
    "std": _variance(True),
    "std_mean": _moments(True),
    "sum": _reduce("ReduceSum"),
    "topk": _top,
    "var": _variance(False),
    "var_mean": _moments(False),
}
"""By the operator's name without namespace and overload."""
