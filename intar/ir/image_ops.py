"""Shapes and costs of the operators on images (batch × channels × height × width)."""

from __future__ import annotations

from math import prod

from intar.ir.shapes import Attrs, Shape, ShapeMismatch, show


def numbers(attrs: Attrs, name: str, count: int, least: int) -> Shape:
    """The attribute as `count` whole numbers of at least `least`; raises ShapeMismatch."""
    value = attrs[name]
    if not isinstance(value, tuple) or len(value) != count or any(n < least for n in value):
        got = list(value) if isinstance(value, tuple) else value
        raise ShapeMismatch(f"'{name}' has to be {count} whole numbers from {least} on, got {got}")
    return value


LENGTHS = {"pads": 4} | dict.fromkeys(
    ("stride", "dilation", "kernel", "factors", "output_padding", "block", "size"), 2
)
"""How many numbers the attributes of windows have: rows and columns; padding is top, left, bottom, right."""


def spread(name: str, value: object) -> object:
    """The attribute as it is stored: one number stands for all, two paddings for rows and columns; else as it is."""
    length = LENGTHS.get(name)
    if length is None:
        return value
    if type(value) is int:
        return (value,) * length
    if isinstance(value, (list, tuple)):
        return tuple(value) * 2 if (name, len(value)) == ("pads", 2) else tuple(value)
    return value


def image(shape: Shape) -> tuple[int, int, int, int]:
    """Batch, channels, height and width; raises ShapeMismatch."""
    if len(shape) != 4:
        raise ShapeMismatch(f"an image has the axes batch, channels, height and width, not {show(shape)}")
    return shape[0], shape[1], shape[2], shape[3]


def window_size(size: int, kernel: int, stride: int, pads: int, dilation: int, ceil: bool = False) -> int:
    """Number of window positions along one axis; 0 or less when the window is larger than the padded image."""
    return (size + pads - dilation * (kernel - 1) - 1 + (stride - 1 if ceil else 0)) // stride + 1


def _windows(shape: Shape, kernel: Shape, attrs: Attrs) -> tuple[int, int]:
    """Height and width of what a window of `kernel` makes of an image."""
    stride, dilation = numbers(attrs, "stride", 2, 1), numbers(attrs, "dilation", 2, 1)
    pads, ceil = numbers(attrs, "pads", 4, 0), bool(attrs.get("ceil", 0))
    sizes = []
    for axis in (0, 1):
        before, after = pads[axis], pads[axis + 2]
        size = window_size(shape[2 + axis], kernel[axis], stride[axis], before + after, dilation[axis], ceil)
        # A window of the rounding up has to start inside the image or its leading padding.
        if ceil and (size - 1) * stride[axis] >= shape[2 + axis] + before:
            size -= 1
        if size < 1:
            raise ShapeMismatch(f"the window {show(kernel)} is larger than the padded image {show(shape)}")
        sizes.append(size)
    return sizes[0], sizes[1]


def _check_bias(shapes: list[Shape], channels: int) -> None:
    if len(shapes) == 3 and shapes[2] != (channels,):
        raise ShapeMismatch(f"the bias has shape {show(shapes[2])}, expected {channels}")


def _groups(attrs: Attrs) -> int:
    groups = attrs["groups"]
    if not isinstance(groups, int) or groups < 1:
        raise ShapeMismatch(f"'groups' has to be a whole number from 1 on, got {groups}")
    return groups


def _weight(shape: Shape) -> Shape:
    if len(shape) != 4:
        raise ShapeMismatch(f"the weight needs four axes, not {show(shape)}")
    return shape


def conv2d(shapes: list[Shape], attrs: Attrs) -> Shape:
    """x (N, C, H, W), weight (O, C / groups, kernel height, kernel width), bias (O)."""
    batch, channels, _, _ = image(shapes[0])
    weight, groups = _weight(shapes[1]), _groups(attrs)
    if channels != weight[1] * groups or weight[0] % groups:
        raise ShapeMismatch(
            f"the weight {show(weight)} does not fit an image of {channels} channels in {groups} groups"
        )
    _check_bias(shapes, weight[0])
    return (batch, weight[0], *_windows(shapes[0], weight[2:], attrs))


def conv2d_macs(shapes: list[Shape], attrs: Attrs) -> int:
    """Products, those with padding among them."""
    return prod(conv2d(shapes, attrs)) * prod(shapes[1][1:])


def conv_transpose2d(shapes: list[Shape], attrs: Attrs) -> Shape:
    """x (N, C, H, W), weight (C, O / groups, kernel height, kernel width), bias (O)."""
    batch, channels, height, width = image(shapes[0])
    weight, groups = _weight(shapes[1]), _groups(attrs)
    if channels != weight[0] or channels % groups:
        raise ShapeMismatch(
            f"the weight {show(weight)} does not fit an image of {channels} channels in {groups} groups"
        )
    out = weight[1] * groups
    _check_bias(shapes, out)
    stride, dilation = numbers(attrs, "stride", 2, 1), numbers(attrs, "dilation", 2, 1)
    pads, extra = numbers(attrs, "pads", 4, 0), numbers(attrs, "output_padding", 2, 0)
    sizes = [
        (size - 1) * stride[axis]
        - pads[axis]
        - pads[axis + 2]
        + dilation[axis] * (weight[2 + axis] - 1)
        + extra[axis]
        + 1
        for axis, size in enumerate((height, width))
    ]
    if min(sizes) < 1:
        raise ShapeMismatch(f"the padding {list(pads)} leaves nothing of the result")
    return (batch, out, sizes[0], sizes[1])


def conv_transpose2d_macs(shapes: list[Shape], attrs: Attrs) -> int:
    """Products with elements of the input, those that the padding cuts off among them."""
    return prod(shapes[0]) * prod(shapes[1][1:])


def upsample_nearest(shapes: list[Shape], attrs: Attrs) -> Shape:
    """Every element repeated ``factors[0]`` times down and ``factors[1]`` times to the right."""
    batch, channels, height, width = image(shapes[0])
    down, right = numbers(attrs, "factors", 2, 1)
    return (batch, channels, height * down, width * right)


def pool2d(shapes: list[Shape], attrs: Attrs) -> Shape:
    """A window of `kernel` over each channel."""
    batch, channels, _, _ = image(shapes[0])
    kernel, pads = numbers(attrs, "kernel", 2, 1), numbers(attrs, "pads", 4, 0)
    dilation = numbers(attrs, "dilation", 2, 1)
    for axis in (0, 1):
        if max(pads[axis], pads[axis + 2]) > dilation[axis] * (kernel[axis] - 1):
            raise ShapeMismatch(f"with the padding {list(pads)} a window {show(kernel)} may see nothing")
    return (batch, channels, *_windows(shapes[0], kernel, attrs))


def global_pool(shapes: list[Shape], attrs: Attrs) -> Shape:
    """One number a channel."""
    return (*image(shapes[0])[:2], 1, 1)


def channelwise(shapes: list[Shape], attrs: Attrs) -> Shape:
    """x (N, C, …), slope (C)."""
    x, slope = shapes
    if len(x) < 2 or slope != (x[1],):
        raise ShapeMismatch(
            f"the slope has shape {show(slope)}, expected one number for each channel of {show(x)}"
        )
    return x


def space_to_depth(shapes: list[Shape], attrs: Attrs) -> Shape:
    """Phase (a, b) of a block is the channels ``(a * block[1] + b) * C …``; rows and columns are rounded up."""
    batch, channels, height, width = image(shapes[0])
    down, right = numbers(attrs, "block", 2, 1)
    return (batch, channels * down * right, -(-height // down), -(-width // right))


def depth_to_space(shapes: list[Shape], attrs: Attrs) -> Shape:
    """The inverse, cut to `size` rows and columns."""
    batch, channels, height, width = image(shapes[0])
    (down, right), size = numbers(attrs, "block", 2, 1), numbers(attrs, "size", 2, 1)
    if channels % (down * right):
        raise ShapeMismatch(f"{channels} channels are no blocks of {down}×{right}")
    if (
        not (height - 1) * down < size[0] <= height * down
        or not (width - 1) * right < size[1] <= width * right
    ):
        raise ShapeMismatch(
            f"{show(shapes[0])} in blocks of {down}×{right} is no image of {size[0]}×{size[1]}"
        )
    return (batch, channels // (down * right), size[0], size[1])


def tap_window(shapes: list[Shape], attrs: Attrs) -> Shape:
    """An image whose channels read lists of taps (`intar.ir.taps`)."""
    batch, channels, _, _ = image(shapes[0])
    size, counts, outputs = numbers(attrs, "size", 2, 1), attrs["counts"], attrs["channels"]
    numbers(attrs, "stride", 2, 1)
    taps = attrs["taps"]
    if not (isinstance(counts, tuple) and isinstance(outputs, tuple) and isinstance(taps, tuple)):
        raise ShapeMismatch("'taps', 'counts' and 'channels' are lists of whole numbers")
    if len(counts) != len(outputs) or min((*counts, *outputs), default=0) < 1 or 5 * sum(counts) != len(taps):
        raise ShapeMismatch("'counts' and 'channels' have an entry for each group, 'taps' five for each tap")
    if any(not 0 <= c < channels for c in taps[0::5]) or any(
        n not in (0, 1) for n in (*taps[3::5], *taps[4::5])
    ):
        raise ShapeMismatch(f"a tap reads no channel of {show(shapes[0])}, or is short by more than one")
    if len(shapes) > 1 and shapes[1] != (sum(outputs), max(counts)):
        raise ShapeMismatch(
            f"the weight has shape {show(shapes[1])}, expected {show((sum(outputs), max(counts)))}"
        )
    _check_bias(shapes, sum(outputs))
    return (batch, sum(outputs), *size)


def tap_macs(shapes: list[Shape], attrs: Attrs) -> int:
    """Products of taps with weights."""
    counts, outputs, size = attrs["counts"], attrs["channels"], attrs["size"]
    assert isinstance(counts, tuple) and isinstance(outputs, tuple) and isinstance(size, tuple)
    return prod(size) * sum(n * c for n, c in zip(counts, outputs, strict=True))
