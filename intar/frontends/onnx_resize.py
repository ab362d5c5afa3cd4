"""Resizing and padding of images by whole elements (copies), or as products with constant matrices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.onnx_matmul import along
from intar.frontends.onnx_moves import take
from intar.frontends.onnx_nodes import Node, Rejected
from intar.ir.ops import Op
from intar.ir.shapes import Shape

Kernel = Callable[[np.ndarray], np.ndarray]
"""The weight of an element by its distance."""


@dataclass(frozen=True)
class _Grid:
    """Where the new elements of an axis lie: so many old ones, so many new ones of each, and their places among the old."""

    size: int
    scale: float
    place: np.ndarray
    outside: np.ndarray
    """New elements that lie beyond the ends, which a number of the node's own stands for."""

    @property
    def same(self) -> bool:
        return np.array_equal(self.place, np.arange(self.size))


def resize(importer: Importer, node: Node) -> None:
    """Nearest neighbour: elements repeated (by whole factors) or chosen. Linear and cubic: a product along each axis."""
    shape, mode = importer.shape(node.inputs[0]), node.attrs.get("mode", "nearest")
    target, scales = _resized(importer, node, shape)
    grids = _grids(importer, node, shape, target, scales)
    x = importer.tensor(node.inputs[0])
    if mode == "nearest" and not any(grid.outside.any() for grid in grids):
        _nearest(importer, node, x, grids)
        return
    for axis, grid in enumerate(grids):
        if not grid.same or grid.outside.any():
            x = along(importer, node, x, axis, _matrix(node, mode, grid))
    importer.alias[node.outputs[0]] = _beyond(importer, node, x, grids)


def _nearest(importer: Importer, node: Node, x: str, grids: list[_Grid]) -> None:
    shape = importer.graph.shapes[x]
    chosen = [_rounded(node, grid.place, grid.size) for grid in grids]
    factors = [len(new) // old if len(new) % old == 0 else 0 for new, old in zip(chosen, shape, strict=True)]
    repeats = 0 not in factors and all(
        np.array_equal(indices, np.arange(len(indices)) // factor)
        for indices, factor in zip(chosen, factors, strict=True)
    )
    if len(shape) == 4 and repeats and factors[:2] == [1, 1] and factors[2:] != [1, 1]:
        importer.emit(node, Op.UPSAMPLE_NEAREST, [x], {"factors": (factors[2], factors[3])})
        return
    for axis, indices in enumerate(chosen):
        x = take(importer, node, x, axis, [int(n) for n in indices])
    importer.alias[node.outputs[0]] = x


def _resized(importer: Importer, node: Node, shape: Shape) -> tuple[Shape, list[float]]:
    """The shape that a Resize or Upsample asks for, and how many elements it makes of one along each axis."""
    axes = _axes(node, shape)
    if node.op == "Resize" and (name := node.input(3)):
        sizes = [int(n) for n in importer.value(name, "sizes").reshape(-1)]
        policy = node.attrs.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            share = reduce(
                min if policy == "not_larger" else max,
                (n / shape[a] for a, n in zip(axes, sizes, strict=True)),
            )
            sizes = [int(shape[axis] * share + 0.5) for axis in axes]
            each = {axis: share for axis in axes}
        else:
            each = {axis: new / shape[axis] for axis, new in zip(axes, sizes, strict=True)}
        given = dict(zip(axes, sizes, strict=True))
        target = tuple(given.get(axis, size) for axis, size in enumerate(shape))
        return target, [each.get(axis, 1.0) for axis in range(len(shape))]
    if node.op == "Upsample":
        scales = node.attrs.get("scales") or importer.value(node.inputs[1], "scales")
    else:
        scales = importer.value(node.inputs[1] if len(node.inputs) == 2 else node.input(2), "scales")
    found = dict(zip(axes, (float(s) for s in np.asarray(scales).reshape(-1)), strict=True))
    factors = [found.get(axis, 1.0) for axis in range(len(shape))]
    # A factor of single precision may be less than the quotient of two sizes that it stands for.
    made = (int(np.floor(size * scale + 1e-6 * size)) for size, scale in zip(shape, factors, strict=True))
    return tuple(made), factors


def _axes(node: Node, shape: Shape) -> list[int]:
    return [int(a) % len(shape) for a in node.attrs.get("axes") or range(len(shape))]


def _grids(importer: Importer, node: Node, shape: Shape, target: Shape, scales: list[float]) -> list[_Grid]:
    """Where each new element lies among the old ones, by the node's own rule. Raises Rejected."""
    default = "asymmetric" if node.op == "Upsample" or len(node.inputs) == 2 else "half_pixel"
    transform = node.attrs.get("coordinate_transformation_mode", default)
    windows = {axis: (0.0, 1.0) for axis in range(len(shape))}
    if transform == "tf_crop_and_resize":
        axes, given = _axes(node, shape), importer.value(node.input(1), "region").reshape(-1)
        windows |= {axis: (float(given[i]), float(given[i + len(axes)])) for i, axis in enumerate(axes)}
    grids = []
    for axis, (old, new, scale) in enumerate(zip(shape, target, scales, strict=True)):
        place = _places(transform, old, new, scale, windows[axis])
        outside = np.zeros(new, bool)
        if transform == "tf_crop_and_resize":
            outside = (place < 0) | (place > old - 1)
        grids.append(_Grid(old, scale, place, outside))
    return grids


def _places(transform: str, old: int, new: int, scale: float, window: tuple[float, float]) -> np.ndarray:
    i, whole = np.arange(new, dtype=np.float64), scale * old
    first, last = (end * (old - 1) for end in window)
    rules: dict[str, Callable[[], np.ndarray]] = {
        "half_pixel": lambda: (i + 0.5) / scale - 0.5,
        "pytorch_half_pixel": lambda: (i + 0.5) / scale - 0.5 if new > 1 else np.full(1, -0.5),
        "half_pixel_symmetric": lambda: old / 2 * (1 - new / whole) + (i + 0.5) / scale - 0.5,
        "align_corners": lambda: i * (old - 1) / (whole - 1) if whole > 1 else i * 0.0,
        "asymmetric": lambda: i / scale,
        "tf_crop_and_resize": lambda: (
            first + i * (last - first) / (whole - 1) if whole > 1 else np.full(new, (first + last) / 2)
        ),
    }
    if transform not in rules:
        raise Rejected(f"its coordinates are {transform}", f"supported are {', '.join(sorted(rules))}")
    return rules[transform]()


def _rounded(node: Node, place: np.ndarray, size: int) -> np.ndarray:
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


def _cubic(a: float) -> Kernel:
    """Keys' cubic convolution; `a` is its slope at distance 1."""

    def kernel(x: np.ndarray) -> np.ndarray:
        x = np.abs(x)
        near, far = ((a + 2) * x - (a + 3)) * x * x + 1, ((x - 5) * x + 8) * x * a - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0.0))

    return kernel


def _matrix(node: Node, mode: str, grid: _Grid) -> np.ndarray:
    """The matrix that makes the new elements of an axis of the old ones. Raises Rejected."""
    kernels: dict[str, tuple[Kernel, int]] = {
        "linear": (lambda x: np.maximum(1 - np.abs(x), 0), 1),
        "cubic": (_cubic(float(node.attrs.get("cubic_coeff_a", -0.75))), 2),
    }
    matrix = np.zeros((grid.size, len(grid.place)))
    if mode == "nearest":
        matrix[_rounded(node, grid.place, grid.size), np.arange(len(grid.place))] = 1
    elif mode in kernels:
        kernel, reach = kernels[mode]
        # Shrinking, each new element is a mean of all old ones that it covers.
        wide = min(grid.scale, 1.0) if node.attrs.get("antialias", 0) else 1.0
        for column, place in enumerate(grid.place):
            near = np.arange(np.floor(place - reach / wide), np.ceil(place + reach / wide) + 1).astype(
                np.int64
            )
            weights = kernel((near - place) * wide)
            if node.attrs.get("exclude_outside", 0):
                weights = np.where((near < 0) | (near >= grid.size), 0, weights)
            np.add.at(matrix[:, column], near.clip(0, grid.size - 1), weights / weights.sum())
    else:
        raise Rejected(f"its mode is {mode}", "modes are nearest, linear and cubic")
    matrix[:, grid.outside] = 0
    return matrix


def _beyond(importer: Importer, node: Node, x: str, grids: list[_Grid]) -> str:
    """The image with the node's own number where a new element lies beyond the old ones."""
    value = float(node.attrs.get("extrapolation_value", 0.0))
    if not value or not any(grid.outside.any() for grid in grids):
        return x
    beyond = reduce(np.logical_or, np.ix_(*(grid.outside.astype(np.int64) for grid in grids)))
    number = importer.graph.constant(f"{node.outputs[0]}:beyond", np.where(beyond, value, 0.0))
    return importer.emit(node, Op.ADD, [x, number], output=importer.graph.fresh(f"{node.outputs[0]}:part"))


def padded(mode: str, size: int, before: int, after: int) -> list[int]:
    """Elements that an axis has after padding with what is there already. Raises Rejected."""
    if mode not in ("edge", "reflect", "wrap"):
        raise Rejected(f"its mode is {mode}", "padding is constant, edge, reflect or wrap")
    kept = np.arange(size)[max(-before, 0) : size - max(-after, 0)]
    return [int(n) for n in np.pad(kept, (max(before, 0), max(after, 0)), mode=mode)]  # type: ignore[call-overload]
