"""Resizing and padding of images by whole elements (copies), or as products with constant matrices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.onnx_matmul import along
from intar.frontends.onnx_moves import take
from intar.frontends.onnx_nodes import Node, Rejected
from intar.ir.ops import Op
from intar.ir.shapes import Shape


def resize(importer: Importer, node: Node) -> None:
    """Nearest neighbour: repeated elements (by whole factors), or chosen ones. Linear: a product along each axis."""
    shape, mode = importer.shape(node.inputs[0]), node.attrs.get("mode", "nearest")
    if mode not in ("nearest", "linear") or node.attrs.get("antialias", 0):
        raise Rejected(
            f"its mode is {mode}{' with antialiasing' * bool(node.attrs.get('antialias', 0))}",
            "nearest neighbour and linear are supported",
        )
    target, scales = _resized(importer, node, shape)
    x = importer.tensor(node.inputs[0])
    places = {axis: _places(node, shape[axis], target[axis], scales[axis]) for axis in range(len(shape))}
    if mode == "linear":
        for axis, place in places.items():
            if target[axis] != shape[axis] or not np.array_equal(place, np.arange(shape[axis])):
                x = along(importer, node, x, axis, _linear(place, shape[axis]))
        importer.alias[node.outputs[0]] = x
        return
    chosen = {axis: _nearest(node, place, shape[axis]) for axis, place in places.items()}
    factors = [new // old if new % old == 0 else 0 for new, old in zip(target, shape, strict=True)]
    repeats = 0 not in factors and all(
        np.array_equal(indices, np.arange(target[axis]) // factors[axis]) for axis, indices in chosen.items()
    )
    if len(shape) == 4 and repeats and factors[:2] == [1, 1] and factors[2:] != [1, 1]:
        importer.emit(node, Op.UPSAMPLE_NEAREST, [x], {"factors": (factors[2], factors[3])})
        return
    for axis, indices in chosen.items():
        x = take(importer, node, x, axis, [int(n) for n in indices])
    importer.alias[node.outputs[0]] = x


def _resized(importer: Importer, node: Node, shape: Shape) -> tuple[Shape, list[float]]:
    """The shape that a Resize or Upsample asks for, and how many elements it makes of one along each axis."""
    axes = [int(a) % len(shape) for a in node.attrs.get("axes", range(len(shape)))]
    if node.op == "Resize" and (name := node.input(3)):
        sizes = [int(n) for n in importer.value(name, "sizes").reshape(-1)]
        if node.attrs.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise Rejected("it keeps the aspect ratio", "give the size itself")
        given = dict(zip(axes, sizes, strict=True))
        target = tuple(given.get(axis, size) for axis, size in enumerate(shape))
        return target, [new / old for new, old in zip(target, shape, strict=True)]
    if node.op == "Upsample":
        scales = node.attrs.get("scales") or importer.value(node.inputs[1], "scales")
    else:
        scales = importer.value(node.inputs[1] if len(node.inputs) == 2 else node.input(2), "scales")
    found = dict(zip(axes, (float(s) for s in np.asarray(scales).reshape(-1)), strict=True))
    each = [found.get(axis, 1.0) for axis in range(len(shape))]
    return tuple(int(np.floor(size * scale)) for size, scale in zip(shape, each, strict=True)), each


def _places(node: Node, old: int, new: int, scale: float) -> np.ndarray:
    """Where each new element lies among the old ones, by the node's own rule. Raises Rejected."""
    default = "asymmetric" if node.op == "Upsample" or len(node.inputs) == 2 else "half_pixel"
    transform = node.attrs.get("coordinate_transformation_mode", default)
    i = np.arange(new, dtype=np.float64)
    middle = old / 2 * (1 - new / (scale * old))
    rules: dict[str, Callable[[], np.ndarray]] = {
        "half_pixel": lambda: (i + 0.5) / scale - 0.5,
        "pytorch_half_pixel": lambda: (i + 0.5) / scale - 0.5 if new > 1 else np.zeros(1),
        "half_pixel_symmetric": lambda: middle + (i + 0.5) / scale - 0.5,
        "align_corners": lambda: i * (old - 1) / (scale * old - 1) if scale * old > 1 else i * 0.0,
        "asymmetric": lambda: i / scale,
    }
    if transform not in rules:
        raise Rejected(f"its coordinates are {transform}", f"supported are {', '.join(sorted(rules))}")
    return rules[transform]()


def _nearest(node: Node, place: np.ndarray, size: int) -> np.ndarray:
    """The old element that each new one is a copy of."""
    default = "floor" if node.op == "Upsample" or len(node.inputs) == 2 else "round_prefer_floor"
    rounding = node.attrs.get("nearest_mode", default)
    rules: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    }
    if rounding not in rules:
        raise Rejected(f"its rounding is {rounding}", f"supported are {', '.join(sorted(rules))}")
    return rules[rounding](place).clip(0, size - 1).astype(np.int64)


def _linear(place: np.ndarray, size: int) -> np.ndarray:
    """The matrix that interpolates between neighbours; beyond the ends the last element goes on."""
    matrix = np.zeros((size, len(place)))
    below = np.floor(place).astype(np.int64)
    for column, (low, share) in enumerate(zip(below, place - below, strict=True)):
        matrix[np.clip(low, 0, size - 1), column] += 1 - share
        matrix[np.clip(low + 1, 0, size - 1), column] += share
    return matrix


def padded(mode: str, size: int, before: int, after: int) -> list[int]:
    """Elements that an axis has after padding with what is there already. Raises Rejected."""
    if mode not in ("edge", "reflect", "wrap"):
        raise Rejected(f"its mode is {mode}", "padding is constant, edge, reflect or wrap")
    kept = np.arange(size)[max(-before, 0) : size - max(-after, 0)]
    return [int(n) for n in np.pad(kept, (max(before, 0), max(after, 0)), mode=mode)]  # type: ignore[call-overload]
