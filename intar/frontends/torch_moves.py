"""ATen operators that move elements and compute nothing: views, axes, parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
from torch.fx import Node as FxNode

from intar.frontends.onnx_nodes import Rejected
from intar.frontends.torch_nodes import Writer

Arguments = Mapping[str, Any]


def reshape(w: Writer, a: Arguments) -> None:
    """Every operator that keeps the order of the elements: the program says which shape comes out."""
    source = a.get("self", a.get("input"))
    w.give("Reshape", [source, w.integers(w.shape(w.current))], {"allowzero": 1})


def _permute(w: Writer, a: Arguments) -> None:
    rank = len(w.shape(a["self"]))
    w.give("Transpose", [a["self"]], {"perm": tuple(axis % rank for axis in a["dims"])})


def _transpose(w: Writer, a: Arguments) -> None:
    rank = len(w.shape(a["self"]))
    perm = list(range(rank))
    if rank:
        first, second = a.get("dim0", 0) % rank, a.get("dim1", rank - 1) % rank
        perm[first], perm[second] = perm[second], perm[first]
    w.give("Transpose", [a["self"]], {"perm": tuple(perm)})


def _part(w: Writer, x: Any, axis: int, start: int, stop: int) -> str:
    return w.emit("Slice", [x, w.integers([start]), w.integers([stop]), w.integers([axis])])


def _select(w: Writer, a: Arguments) -> None:
    shape = w.shape(a["self"])
    axis = a["dim"] % len(shape)
    start = a["index"] % shape[axis]
    w.give(
        "Reshape",
        [_part(w, a["self"], axis, start, start + 1), w.integers(w.shape(w.current))],
        {"allowzero": 1},
    )


def _slice(w: Writer, a: Arguments) -> None:
    shape = w.shape(a["self"])
    axis = a["dim"] % len(shape)
    start, stop, step = slice(a["start"], a["end"], a["step"]).indices(shape[axis])
    inputs = [a["self"], *(w.integers([n]) for n in (start, stop, axis, step))]
    w.give("Slice", inputs)


def _position(user: FxNode) -> int:
    """Which result of an operator with several a getitem takes."""
    position = user.args[1]
    assert isinstance(position, int)
    return position


def _parts(w: Writer, a: Arguments, axis: int, sizes: list[int]) -> None:
    outputs = [w.fresh(f"{w.current.name}:{position}") for position in range(len(sizes))]
    w.emit("Split", [a["self"], w.integers(sizes)], {"axis": axis}, outputs)
    w.names[w.current] = ""
    for user in w.current.users:
        w.names[user] = outputs[_position(user) % len(outputs)]


def _split(w: Writer, a: Arguments) -> None:
    axis = a["dim"] % len(w.shape(a["self"]))
    _parts(w, a, axis, [int(value.shape[axis]) for value in w.current.meta["val"]])


def _unbind(w: Writer, a: Arguments) -> None:
    axis = a["dim"] % len(w.shape(a["self"]))
    w.names[w.current] = ""
    for user in w.current.users:
        position = _position(user) % w.shape(a["self"])[axis]
        part = _part(w, a["self"], axis, position, position + 1)
        w.names[user] = w.emit("Reshape", [part, w.integers(w.shape(user))], {"allowzero": 1})


def _cat(w: Writer, a: Arguments) -> None:
    parts = [part for part in a["tensors"] if w.shape(part) != (0,)]
    w.give("Concat", parts, {"axis": a["dim"] % len(w.shape(parts[0]))})


def _stack(w: Writer, a: Arguments) -> None:
    target = w.shape(w.current)
    axis = a["dim"] % len(target)
    one = w.integers((*target[:axis], 1, *target[axis + 1 :]))
    w.give(
        "Concat", [w.emit("Reshape", [part, one], {"allowzero": 1}) for part in a["tensors"]], {"axis": axis}
    )


def _expand(w: Writer, a: Arguments) -> None:
    """Broadcasting: the same elements, or each of them several times."""
    old, new = w.shape(a["self"]), w.shape(w.current)
    wide = (1,) * (len(new) - len(old)) + old
    x = w.name(a["self"])
    if wide != old:
        x = w.emit("Reshape", [x, w.integers(wide)], {"allowzero": 1})
    for axis, (have, want) in enumerate(zip(wide, new, strict=True)):
        if have != want:
            x = w.emit("Concat", [x] * want, {"axis": axis})
    w.give("Identity", [x])


def _repeat(w: Writer, a: Arguments) -> None:
    old, counts = w.shape(a["self"]), list(a["repeats"])
    wide = (1,) * (len(counts) - len(old)) + old
    x = w.emit("Reshape", [a["self"], w.integers(wide)], {"allowzero": 1})
    if 0 in counts:
        raise Rejected("it repeats an activation zero times")
    for axis, count in enumerate(counts):
        if count > 1:
            x = w.emit("Concat", [x] * count, {"axis": axis})
    w.give("Identity", [x])


def _chosen(w: Writer, x: Any, axis: int, indices: Any) -> str:
    """Elements of one axis, in the order of constant indices."""
    return w.emit("Gather", [x, w.integers([int(n) for n in indices])], {"axis": axis})


def _flip(w: Writer, a: Arguments) -> None:
    x, shape = w.name(a["self"]), w.shape(a["self"])
    for axis in a["dims"]:
        x = _chosen(w, x, axis % len(shape), range(shape[axis])[::-1])
    w.give("Identity", [x])


def _roll(w: Writer, a: Arguments) -> None:
    """Without axes all elements are rolled as one row."""
    shape, axes = w.shape(a["self"]), list(a["dims"])
    sizes, x = shape, w.name(a["self"])
    if not axes:
        sizes, axes = (prod(shape),), [0]
        x = w.emit("Reshape", [x, w.integers(sizes)])
    for axis, shift in zip(axes, a["shifts"], strict=True):
        size = sizes[axis]
        x = _chosen(w, x, axis % len(sizes), [(n - shift) % size for n in range(size)])
    w.give("Reshape", [x, w.integers(shape)], {"allowzero": 1})


def _index_select(w: Writer, a: Arguments) -> None:
    axis = a["dim"] % len(w.shape(a["self"]))
    _index(w, {"self": a["self"], "indices": [*[None] * axis, a["index"]]})


def _index(w: Writer, a: Arguments) -> None:
    """``x[:, indices]``: constant indices along axes that follow each other, taken as one axis."""
    shape, given = w.shape(a["self"]), list(a["indices"])
    axes = [axis for axis, each in enumerate(given) if each is not None]
    if not all(w.is_constant(given[axis]) for axis in axes):
        raise Rejected(
            "its indices are computed at run time", "which elements move where is fixed in the circuit"
        )
    arrays = [w.array(given[axis]) for axis in axes]
    if any(array.dtype.kind == "b" for array in arrays) or axes != list(range(axes[0], axes[-1] + 1)):
        raise Rejected(
            "it indexes with a mask, or along axes apart", "indices are numbers along axes side by side"
        )
    sizes = [shape[axis] for axis in axes]
    wrapped = [array % size for array, size in zip(arrays, sizes, strict=True)]
    flat = np.ravel_multi_index(np.broadcast_arrays(*wrapped), sizes).astype(np.int64)
    x = w.name(a["self"])
    if len(axes) > 1:
        x = w.emit("Reshape", [x, w.integers((*shape[: axes[0]], prod(sizes), *shape[axes[-1] + 1 :]))])
    w.give("Gather", [x, flat], {"axis": axes[0]})


def _unfold(w: Writer, a: Arguments) -> None:
    """Windows along an axis; what they hold becomes the last axis."""
    shape = w.shape(a["self"])
    axis, size, step = a["dimension"] % len(shape), int(a["size"]), int(a["step"])
    windows = np.arange(0, shape[axis] - size + 1, step)[:, None] + np.arange(size)
    x = w.emit("Gather", [a["self"], windows.astype(np.int64)], {"axis": axis})
    rank = len(shape) + 1
    w.give("Transpose", [x], {"perm": (*(n for n in range(rank) if n != axis + 1), axis + 1)})


MOVES: dict[str, Callable[[Writer, Arguments], None]] = {
    "_unsafe_view": reshape,
    "cat": _cat,
    "chunk": _split,
    "expand": _expand,
    "flatten": reshape,
    "flip": _flip,
    "index": _index,
    "index_select": _index_select,
    "permute": _permute,
    "repeat": _repeat,
    "reshape": reshape,
    "roll": _roll,
    "select": _select,
    "slice": _slice,
    "split": _split,
    "split_with_sizes": _split,
    "squeeze": reshape,
    "stack": _stack,
    "t": _transpose,
    "transpose": _transpose,
    "unbind": _unbind,
    "unflatten": reshape,
    "unfold": _unfold,
    "unsqueeze": reshape,
    "view": reshape,
}
"""By the operator's name without namespace and overload."""
