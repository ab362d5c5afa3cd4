"""The operators on images in float64: their meaning, and the float yardstick."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from intar.ir.image_ops import conv2d as conv_shape
from intar.ir.image_ops import conv_transpose2d as transposed_shape
from intar.ir.image_ops import pool2d as pool_shape
from intar.ir.shapes import Attrs, Shape
from intar.ir.taps import Batch, batches, groups_of, largest, read_taps, weigh

Array = np.ndarray


def _tuple(attrs: Attrs, name: str) -> Shape:
    value = attrs[name]
    assert isinstance(value, tuple)
    return value


def _padded(x: Array, attrs: Attrs, kernel: Shape, size: Shape, fill: float) -> Array:
    """The image with its padding, extended (or cut) to what `size` window positions see."""
    stride, pads, dilation = _tuple(attrs, "stride"), _tuple(attrs, "pads"), _tuple(attrs, "dilation")
    needed = [(size[a] - 1) * stride[a] + dilation[a] * (kernel[a] - 1) + 1 for a in (0, 1)]
    after = [max(0, needed[a] - pads[a] - x.shape[2 + a]) for a in (0, 1)]
    return np.pad(x, ((0, 0), (0, 0), (pads[0], after[0]), (pads[1], after[1])), constant_values=fill)


def _views(padded: Array, attrs: Attrs, kernel: Shape, size: Shape) -> list[Array]:
    """For each kernel position, row by row, the elements that the windows have there."""
    (sy, sx), (dy, dx) = _tuple(attrs, "stride"), _tuple(attrs, "dilation")
    return [
        padded[
            :,
            :,
            ky * dy : ky * dy + (size[0] - 1) * sy + 1 : sy,
            kx * dx : kx * dx + (size[1] - 1) * sx + 1 : sx,
        ]
        for ky in range(kernel[0])
        for kx in range(kernel[1])
    ]


def _mix(weight: Array, x: Array, groups: int) -> Array:
    """(O, C / groups) times (N, C, H, W): one product of matrices a group."""
    batch, channels, height, width = x.shape
    w = weight.reshape(groups, -1, channels // groups)
    flat = x.reshape(batch, groups, channels // groups, height * width)
    return (w @ flat).reshape(batch, -1, height, width)


def conv2d(x: list[Array], attrs: Attrs) -> Array:
    """Cross-correlation of (N, C, H, W) with (O, C / groups, kh, kw), plus the bias (O) where there is one."""
    image, weight = x[:2]
    shape = conv_shape([each.shape for each in x], attrs)
    kernel, size, groups = weight.shape[2:], shape[2:], int(attrs["groups"])  # type: ignore[arg-type]
    total = np.zeros(shape)
    views = _views(_padded(image, attrs, kernel, size, 0.0), attrs, kernel, size)
    for position, view in enumerate(views):
        total += _mix(
            weight[:, :, position // kernel[1], position % kernel[1]], np.ascontiguousarray(view), groups
        )
    return total + (x[2].reshape(1, -1, 1, 1) if len(x) == 3 else 0)


def conv_transpose2d(x: list[Array], attrs: Attrs) -> Array:
    """The gradient of `conv2d` by its input: (N, C, H, W) with a weight (C, O / groups, kh, kw) and a bias (O) or none."""
    image, weight = x[:2]
    shape, groups = transposed_shape([each.shape for each in x], attrs), int(attrs["groups"])  # type: ignore[arg-type]
    (sy, sx), (dy, dx), pads = _tuple(attrs, "stride"), _tuple(attrs, "dilation"), _tuple(attrs, "pads")
    height, width = image.shape[2:]
    kernel = weight.shape[2:]
    extra = _tuple(attrs, "output_padding")
    full = np.zeros(
        (
            *shape[:2],
            (height - 1) * sy + dy * (kernel[0] - 1) + 1 + extra[0],
            (width - 1) * sx + dx * (kernel[1] - 1) + 1 + extra[1],
        )
    )
    per_group = weight.reshape(groups, -1, *weight.shape[1:])
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            turned = per_group[:, :, :, ky, kx].swapaxes(1, 2).reshape(shape[1], -1)
            rows = slice(ky * dy, ky * dy + (height - 1) * sy + 1, sy)
            columns = slice(kx * dx, kx * dx + (width - 1) * sx + 1, sx)
            full[:, :, rows, columns] += _mix(turned, image, groups)
    out = full[:, :, pads[0] : pads[0] + shape[2], pads[1] : pads[1] + shape[3]]
    return out + (x[2].reshape(1, -1, 1, 1) if len(x) == 3 else 0)


def upsample_nearest(x: list[Array], attrs: Attrs) -> Array:
    """Each element repeated `factors` times down and right."""
    down, right = _tuple(attrs, "factors")
    return x[0].repeat(down, axis=2).repeat(right, axis=3)


def max_pool2d(x: list[Array], attrs: Attrs) -> Array:
    """The largest element of each window; padding never wins."""
    kernel = _tuple(attrs, "kernel")
    size = pool_shape([x[0].shape], attrs)[2:]
    views = _views(_padded(x[0], attrs, kernel, size, -np.inf), attrs, kernel, size)
    return np.maximum.reduce(views)


def window_counts(shape: Shape, attrs: Attrs) -> Array:
    """How many elements the mean of each window counts: (height, width) of the output.

    With `count_include_pad` those of the declared padding count, those that rounding up adds never do.
    """
    kernel, pads = _tuple(attrs, "kernel"), _tuple(attrs, "pads")
    size = pool_shape([shape], attrs)[2:]
    inside = np.ones((1, 1, *shape[2:]))
    if attrs["count_include_pad"]:
        inside = np.ones((1, 1, shape[2] + pads[0] + pads[2], shape[3] + pads[1] + pads[3]))
        attrs = {**attrs, "pads": (0, 0, 0, 0)}
    return sum(_views(_padded(inside, attrs, kernel, size, 0.0), attrs, kernel, size))[0, 0]  # type: ignore[index]


def avg_pool2d(x: list[Array], attrs: Attrs) -> Array:
    """The mean of each window over the elements that `window_counts` counts."""
    kernel = _tuple(attrs, "kernel")
    size = pool_shape([x[0].shape], attrs)[2:]
    views = _views(_padded(x[0], attrs, kernel, size, 0.0), attrs, kernel, size)
    return np.add.reduce(views) / window_counts(x[0].shape, attrs)


def space_to_depth(x: list[Array], attrs: Attrs) -> Array:
    """Phase (a, b) of each block in the channels from ``(a * block[1] + b) * C`` on; sizes are rounded up with zeros."""
    down, right = _tuple(attrs, "block")
    batch, channels, height, width = x[0].shape
    rows, columns = -(-height // down), -(-width // right)
    padded = np.pad(x[0], ((0, 0), (0, 0), (0, rows * down - height), (0, columns * right - width)))
    split = padded.reshape(batch, channels, rows, down, columns, right)
    return split.transpose(0, 3, 5, 1, 2, 4).reshape(batch, -1, rows, columns)


def depth_to_space(x: list[Array], attrs: Attrs) -> Array:
    """The inverse of `space_to_depth`, cut to `size`."""
    (down, right), size = _tuple(attrs, "block"), _tuple(attrs, "size")
    batch, channels, rows, columns = x[0].shape
    split = x[0].reshape(batch, down, right, channels // (down * right), rows, columns)
    whole = split.transpose(0, 3, 4, 1, 5, 2).reshape(batch, -1, rows * down, columns * right)
    return whole[:, :, : size[0], : size[1]]


def tap_conv(x: list[Array], attrs: Attrs) -> Array:
    """Sums of weighted taps (`intar.ir.taps`), plus the bias (O) where there is one; a tap outside of the image is 0."""
    total = _each_batch(x, attrs, 0.0)
    return total + (x[2].reshape(1, -1, 1, 1) if len(x) == 3 else 0)


def tap_max(x: list[Array], attrs: Attrs) -> Array:
    """The largest of each group's taps; a tap outside of the image never wins."""
    together = _each_batch(x, attrs, -np.inf)
    # Where all taps lie outside, in a phase's filler, the value means nothing; it has to be a number.
    return np.where(np.isneginf(together), 0.0, together)


def _each_batch(x: list[Array], attrs: Attrs, outside: float) -> Array:
    size, stride, images = _tuple(attrs, "size"), _tuple(attrs, "stride"), []
    found = _batches(*(_tuple(attrs, name) for name in ("taps", "counts", "channels")))
    for image in x[0]:
        parts = []
        for batch in found:
            reads = read_taps(image, batch.taps, size, outside, stride).reshape(len(batch.taps), -1)
            if len(x) == 1:
                parts.append(largest(reads, batch.index, batch.channels))
                continue
            count = len(batch.taps) if batch.index is None else batch.index.shape[1]
            weight = x[1][batch.first : batch.first + batch.channels, :count]
            parts.append(weigh(weight, reads, batch.index))
        images.append(np.concatenate(parts).reshape(-1, *size))
    return np.stack(images)


@lru_cache(maxsize=4)
def _batches(taps: Shape, counts: Shape, channels: Shape) -> list[Batch]:
    """The batches of a task, kept while sample after sample is run."""
    return batches(groups_of({"taps": taps, "counts": counts, "channels": channels}))
