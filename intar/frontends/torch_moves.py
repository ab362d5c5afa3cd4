"""ATen operators that move elements and compute nothing: views, axes, parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
from torch.fx import Node as FxNode

from intar.frontends.onnx_nodes import Rejected
from intar.frontends.torch_nodes import Writer
from intar.frontends.torch_places import operator
from intar.ir.shapes import Shape, show

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
    w.give("Identity", [_spread(w, a["self"], w.shape(w.current))])


def _spread(w: Writer, source: Any, new: Shape) -> str:
    """Broadcasting: the same elements, or each of them several times."""
    old = w.shape(source)
    wide = (1,) * (len(new) - len(old)) + old
    x = w.name(source)
    if wide != old:
        x = w.emit("Reshape", [x, w.integers(wide)], {"allowzero": 1})
    for axis, (have, want) in enumerate(zip(wide, new, strict=True)):
        if have != want:
            x = w.emit("Concat", [x] * want, {"axis": axis})
    return x


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
        w.give("intar.Pick", [a["self"], _places(w, a)])
        return
    sizes = [shape[axis] for axis in axes]
    wrapped = [_inside(array, size, shape) for array, size in zip(arrays, sizes, strict=True)]
    flat = np.ravel_multi_index(np.broadcast_arrays(*wrapped), sizes).astype(np.int64)
    x = w.name(a["self"])
    if len(axes) > 1:
        x = w.emit("Reshape", [x, w.integers((*shape[: axes[0]], prod(sizes), *shape[axes[-1] + 1 :]))])
    w.give("Gather", [x, flat], {"axis": axes[0]})


def _inside(indices: np.ndarray, size: int, shape: Shape) -> np.ndarray:
    """Indices of an axis from 0 on. Raises Rejected where there are others: the export does not see that."""
    if ((indices < -size) | (indices >= size)).any():
        raise Rejected(
            f"its indices go beyond an axis of {size} of a tensor {show(shape)}",
            "the first axis of example inputs counts samples, and the network is made for one of them",
            "give the network's inputs an axis for samples in front",
            code="graph",
        )
    return indices % size


def _all_places(shape: Shape) -> np.ndarray:
    """The place of each element among all of a tensor."""
    return np.arange(prod(shape), dtype=np.int64).reshape(shape)


def _places(w: Writer, a: Arguments) -> np.ndarray:
    """The places that ``self[indices]`` names."""
    chosen: list[Any] = []
    for each in a["indices"]:
        if each is not None and not w.is_constant(each):
            raise Rejected(
                "its indices are computed at run time", "which elements move where is fixed in the circuit"
            )
        chosen.append(slice(None) if each is None else w.array(each))
    shape = w.shape(a["self"])
    numbers = [(each, size) for each, size in zip(chosen, shape, strict=False) if not isinstance(each, slice)]
    for each, size in numbers:
        if each.dtype.kind != "b":
            _inside(each, size, shape)
    return _all_places(shape)[tuple(chosen)]


def _along_axis(w: Writer, a: Arguments) -> np.ndarray:
    """The places that an index along one axis names, the other axes as in the index."""
    if not w.is_constant(a["index"]):
        raise Rejected(
            "its indices are computed at run time", "which elements move where is fixed in the circuit"
        )
    index, shape = w.array(a["index"]), w.shape(a["self"])
    if not shape:
        return index * 0
    axis = a["dim"] % len(shape)
    places: list[Any] = list(np.indices(index.shape, sparse=True))
    places[axis] = _inside(index, shape[axis], shape)
    return _all_places(shape)[tuple(places)]


def _gather(w: Writer, a: Arguments) -> None:
    w.give("intar.Pick", [a["self"], _along_axis(w, a)])


def _put(w: Writer, x: Any, places: np.ndarray, source: Any, add: bool = False) -> None:
    """Write a source (broadcast to the places) into places of a tensor, or add it there."""
    if w.is_constant(source):
        source = w.constant(np.broadcast_to(w.array(source), places.shape).astype(np.float32))
    elif w.shape(source) != places.shape:
        source = _spread(w, source, places.shape)
    w.give("intar.Put", [x, places, source], {"reduction": "add" if add else "none"})


def _scatter(w: Writer, a: Arguments) -> None:
    """Of a larger source the part that the index covers is read."""
    how, places = a.get("reduce"), _along_axis(w, a)
    add = how in ("add", "sum") or operator(w.current) == "scatter_add"
    if how not in (None, "add", "sum") or not a.get("include_self", True):
        raise Rejected(f"it reduces by {how}", "elements are put in their places, or added to what is there")
    source = a.get("src", a.get("value"))
    if isinstance(source, FxNode) and not w.is_constant(source):
        part: Any = source
        for axis, (have, want) in enumerate(zip(w.shape(source), places.shape, strict=True)):
            part = _part(w, part, axis, 0, want) if have != want else part
        w.give("intar.Put", [a["self"], places, part], {"reduction": "add" if add else "none"})
        return
    if isinstance(source, FxNode):
        source = w.array(source)[tuple(slice(n) for n in places.shape)]
    _put(w, a["self"], places, source, add)


def _index_put(w: Writer, a: Arguments) -> None:
    _put(w, a["self"], _places(w, a), a["values"], bool(a.get("accumulate", False)))


def _slice_scatter(w: Writer, a: Arguments) -> None:
    shape = w.shape(a["self"])
    axis = a["dim"] % len(shape)
    chosen = np.arange(shape[axis])[slice(a["start"], a["end"], a["step"])]
    _put(w, a["self"], np.take(_all_places(shape), chosen, axis), a["src"])


def _select_scatter(w: Writer, a: Arguments) -> None:
    shape = w.shape(a["self"])
    _put(w, a["self"], np.take(_all_places(shape), a["index"], a["dim"] % len(shape)), a["src"])


def _diagonal(w: Writer, a: Arguments) -> None:
    places = np.diagonal(_all_places(w.shape(a["self"])), a["offset"], a["dim1"], a["dim2"])
    w.give("intar.Pick", [a["self"], places])


def _as_strided(w: Writer, a: Arguments) -> None:
    """Places by steps: of a tensor whose elements lie in order."""
    given = a["self"].meta["val"]
    if not given.is_contiguous():
        raise Rejected("it reads the memory of a transposed tensor", hint="call .contiguous() before it")
    steps = [np.arange(n) * step for n, step in zip(a["size"], a["stride"], strict=True)]
    start = int(a.get("storage_offset") or 0) - int(given.storage_offset())
    places = sum(np.ix_(*steps)) + start if steps else np.asarray(start)
    w.give("intar.Pick", [a["self"], np.asarray(places)])


def _copy_over(w: Writer, a: Arguments) -> None:
    """``self.copy_(src)``: the source, in the shape of what it is written over."""
    w.give("Identity", [_spread(w, a["src"], w.shape(w.current))])


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
    "as_strided": _as_strided,
    "cat": _cat,
    "chunk": _split,
    "copy": _copy_over,
    "diagonal": _diagonal,
    "expand": _expand,
    "flatten": reshape,
    "flip": _flip,
    "gather": _gather,
    "index": _index,
    "index_put": _index_put,
    "index_select": _index_select,
    "permute": _permute,
    "repeat": _repeat,
    "reshape": reshape,
    "roll": _roll,
    "scatter": _scatter,
    "scatter_add": _scatter,
    "scatter_reduce": _scatter,
    "select": _select,
    "select_scatter": _select_scatter,
    "slice": _slice,
    "slice_scatter": _slice_scatter,
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
