"""Lists of taps: the windows of convolutions and pools after all strides have become channels.

A tap is five numbers: the input channel, rows down, columns right, and whether the channel has one valid row or one valid
column less than the others (it is a phase of a space-to-depth image). Output position (r, c) reads as many rows down and
columns right of position (r · stride, c · stride). A group of output channels reads the same taps; a read outside the valid
image gives the padding. A task holds its taps in the attributes `taps` (flat), `counts` (taps of each group), `channels`
(output channels of each group), `size` (rows and columns of the output) and `stride` (rows, columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from intar.ir.shapes import Attrs, AttrValue, Shape

FIELDS = 5


def groups_of(attrs: Attrs) -> list[tuple[int, list[Shape]]]:
    """Output channels and taps of each group."""
    taps, counts, channels = attrs["taps"], attrs["counts"], attrs["channels"]
    assert isinstance(taps, tuple) and isinstance(counts, tuple) and isinstance(channels, tuple)
    listed: list[Shape] = list(zip(*[iter(taps)] * FIELDS, strict=True))
    groups, first = [], 0
    for count, outputs in zip(counts, channels, strict=True):
        groups.append((outputs, listed[first : first + count]))
        first += count
    return groups


def attributes(
    groups: Sequence[tuple[int, Sequence[Shape]]], size: Shape, stride: Shape = (1, 1)
) -> dict[str, AttrValue]:
    """The attributes of a task with these groups (the inverse of :func:`groups_of`)."""
    return {
        "taps": tuple(n for _, taps in groups for tap in taps for n in tap),
        "counts": tuple(len(taps) for _, taps in groups),
        "channels": tuple(channels for channels, _ in groups),
        "size": tuple(size),
        "stride": tuple(stride),
    }


@dataclass(frozen=True)
class Batch:
    """Consecutive groups that are worked out together.

    Parameters
    ----------
    first, channels : their output channels.
    taps : the distinct taps that they read.
    index : (channels, taps of each) positions in `taps` when each channel has a group of its own; None for one group,
        all of whose channels read `taps`.
    """

    first: int
    channels: int
    taps: list[Shape]
    index: np.ndarray | None


def batches(groups: Sequence[tuple[int, Sequence[Shape]]]) -> list[Batch]:
    """The groups in order: neighbours of one channel and equally many taps together, all others alone."""
    made, first, position = [], 0, 0
    while position < len(groups):
        channels, taps = groups[position]
        end = position + 1
        if channels == 1:
            while end < len(groups) and groups[end][0] == 1 and len(groups[end][1]) == len(taps):
                end += 1
        if end - position > 1:
            known: dict[Shape, int] = {}
            rows = [
                [known.setdefault(tuple(t), len(known)) for t in group[1]] for group in groups[position:end]
            ]
            made.append(Batch(first, end - position, list(known), np.array(rows)))
        else:
            made.append(Batch(first, channels, [tuple(t) for t in taps], None))
        first += made[-1].channels
        position = end
    return made


def weigh(weight: np.ndarray, reads: np.ndarray, index: np.ndarray | None) -> np.ndarray:
    """Weighted sums (channels, places) of a batch: `weight` (channels, taps of each), `reads` (distinct taps, places)."""
    if index is None:
        return weight @ reads
    total = weight[:, :1] * reads[index[:, 0]]
    for tap in range(1, index.shape[1]):
        total += weight[:, tap : tap + 1] * reads[index[:, tap]]
    return total


def largest(reads: np.ndarray, index: np.ndarray | None, channels: int) -> np.ndarray:
    """Maxima (channels, places) of a batch."""
    if index is None:
        return np.broadcast_to(reads.max(axis=0), (channels, reads.shape[1]))
    top = reads[index[:, 0]]
    for tap in range(1, index.shape[1]):
        np.maximum(top, reads[index[:, tap]], out=top)
    return top


def read_taps(
    image: np.ndarray, taps: Sequence[Shape], size: Shape, pad: float | int, stride: Shape = (1, 1)
) -> np.ndarray:
    """What each tap reads at each output position.

    Parameters
    ----------
    image : (channels, height, width). taps : of one group. size : rows and columns of the output.
    pad : what a read outside the valid image gives. stride : how many rows and columns of the image positions are apart.

    Returns
    -------
    (taps, rows, columns), of the image's type.
    """
    out = np.full((len(taps), *size), pad, image.dtype)
    alike: dict[Shape, list[int]] = {}
    for index, tap in enumerate(taps):
        alike.setdefault(tap[1:], []).append(index)
    for (dy, dx, short_rows, short_columns), mine in alike.items():
        height, width = image.shape[1] - short_rows, image.shape[2] - short_columns
        (top, bottom), rows = _inside(dy, height, size[0], stride[0])
        (left, right), columns = _inside(dx, width, size[1], stride[1])
        if top < bottom and left < right:
            channels = [taps[index][0] for index in mine]
            out[_chosen(mine), top:bottom, left:right] = image[_chosen(channels), rows, columns]
    return out


def _inside(distance: int, valid: int, size: int, stride: int) -> tuple[tuple[int, int], slice]:
    """The positions of `size` whose reads are inside, and what they read."""
    first, end = max(0, -(distance // stride)), min(size, -((distance - valid) // stride))
    return (first, end), slice(first * stride + distance, max(0, (end - 1) * stride + distance + 1), stride)


def _chosen(numbers: list[int]) -> slice | list[int]:
    """What chooses these along an axis: a slice, which copies nothing by itself, where they follow each other."""
    first, end = numbers[0], numbers[0] + len(numbers)
    return slice(first, end) if numbers == list(range(first, end)) else numbers
