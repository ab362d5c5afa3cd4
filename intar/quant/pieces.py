"""Reshape, transpose, concat and slice as pieces of `QMove`: nested loops over flat indices."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from intar.ir.quantgraph import Piece

MAX_LOOPS = 5
Shape = tuple[int, ...]


class TooDeep(ValueError):
    """The order of elements needs more nested loops than a move has."""


def _piece(offset: int, loops: Sequence[tuple[int, int]], source: int = 0, step: int = 0) -> Piece:
    """A piece with loops of one iteration dropped and loops that continue each other merged."""
    merged: list[tuple[int, int]] = []
    for count, stride in loops:
        if count == 1:
            continue
        if merged and merged[-1][1] == count * stride:
            merged[-1] = (merged[-1][0] * count, stride)
        else:
            merged.append((count, stride))
    if len(merged) > MAX_LOOPS:
        raise TooDeep(f"it needs {len(merged)} nested loops, a move has {MAX_LOOPS}")
    merged = merged or [(1, 1)]
    counts, strides = zip(*merged, strict=True)
    return Piece(input=source, offset=offset, counts=counts, strides=strides, step=step)


def straight(size: int) -> tuple[Piece, ...]:
    """`size` elements as they lie."""
    return (_piece(0, [(size, 1)]),)


def reshape(shape: Shape) -> tuple[Piece, ...]:
    """All elements in row-major order."""
    return straight(prod(shape))


def transpose(shape: Shape, perm: Sequence[int]) -> tuple[Piece, ...]:
    """Output axis ``i`` is input axis ``perm[i]``. Raises TooDeep."""
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return (_piece(0, [(shape[axis], strides[axis]) for axis in perm]),)


def take(shape: Shape, axis: int, start: int, stop: int, step: int = 1) -> tuple[Piece, ...]:
    """Every `step`-th of the elements ``start … stop-1`` of one axis (slice)."""
    outer, inner = prod(shape[:axis]), prod(shape[axis + 1 :])
    count = -(-(stop - start) // step)
    return (_piece(start * inner, [(outer, shape[axis] * inner), (count, step * inner), (inner, 1)]),)


def concat(shapes: Sequence[Shape], axis: int, inputs: Sequence[int]) -> tuple[tuple[Piece, ...], int]:
    """The pieces, one an operand, and the visits; `inputs` are the operands' positions in the move's inputs."""
    visits = prod(shapes[0][:axis])
    sizes = [prod(shape[axis:]) for shape in shapes]
    pieces = [_piece(0, [(size, 1)], source, step=size) for size, source in zip(sizes, inputs, strict=True)]
    return tuple(pieces), visits


def blocks_to_grid(shape: Shape, block: tuple[int, int], rows: int, pitch: int) -> tuple[Piece, ...]:
    """An image (channels, height, width) as phases on a grid: (phases * channels, rows * pitch) elements.

    Element (i, j) of phase (a, b) is row ``i * block[0] + a``, column ``j * block[1] + b``. Filler behind the image's last
    row or column takes whatever element comes next in the image.
    """
    channels, height, width = shape
    loops = [
        (block[0], width),
        (block[1], 1),
        (channels, height * width),
        (rows, block[0] * width),
        (pitch, block[1]),
    ]
    return tuple(_inside(0, loops, channels * height * width))


def grid_to_image(shape: Shape, block: tuple[int, int], rows: int, pitch: int) -> tuple[Piece, ...]:
    """The inverse: the image (channels, height, width), row by row, from its phases."""
    channels, height, width = shape
    plane = rows * pitch
    lift, shift = block[1] * channels * plane, channels * plane
    across, whole = -(-width // block[1]), width // block[1]
    if width % block[1] == 0:
        row = [(across, 1), (block[1], shift)]
        if height % block[0] == 0:
            loops = [(channels, plane), (height // block[0], pitch), (block[0], lift), *row]
            return (_piece(0, loops),)
        starts = [
            c * plane + y // block[0] * pitch + y % block[0] * lift
            for c in range(channels)
            for y in range(height)
        ]
        return tuple(_piece(start, row) for start in starts)
    made = []
    for c in range(channels):
        for y in range(height):
            start = c * plane + y // block[0] * pitch + y % block[0] * lift
            made += [_piece(start, [(whole, 1), (block[1], shift)])] if whole else []
            made.append(_piece(start + whole, [(width % block[1], shift)]))
    return tuple(made)


def _inside(offset: int, loops: list[tuple[int, int]], size: int) -> list[Piece]:
    """The loops, cut where they leave ``0 … size-1``: what lies outside becomes the last element again and again."""
    if offset >= size:
        return [_piece(size - 1, [(prod(count for count, _ in loops), 0)])]
    last = offset + sum((count - 1) * stride for count, stride in loops)
    if last < size:
        return [_piece(offset, loops)]
    (count, stride), rest = loops[0], loops[1:]
    if not rest:
        inside = max(0, min(count, (size - 1 - offset) // stride + 1))
        made = [_piece(offset, [(inside, stride)])] if inside else []
        return [*made, _piece(size - 1, [(count - inside, 0)])]
    reach = sum((n - 1) * s for n, s in rest)
    whole = max(0, min(count, (size - 1 - offset - reach) // stride + 1))
    made = [_piece(offset, [(whole, stride), *rest])] if whole else []
    for index in range(whole, count):
        made += _inside(offset + index * stride, rest, size)
    return made
