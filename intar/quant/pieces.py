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


def reshape(shape: Shape) -> tuple[Piece, ...]:
    """All elements in row-major order."""
    return (_piece(0, [(prod(shape), 1)]),)


def transpose(shape: Shape, perm: Sequence[int]) -> tuple[Piece, ...]:
    """Output axis ``i`` is input axis ``perm[i]``. Raises TooDeep."""
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return (_piece(0, [(shape[axis], strides[axis]) for axis in perm]),)


def take(shape: Shape, axis: int, start: int, stop: int) -> tuple[Piece, ...]:
    """Elements ``start … stop-1`` of one axis (slice)."""
    outer, inner = prod(shape[:axis]), prod(shape[axis + 1 :])
    return (_piece(start * inner, [(outer, shape[axis] * inner), ((stop - start) * inner, 1)]),)


def concat(shapes: Sequence[Shape], axis: int, inputs: Sequence[int]) -> tuple[tuple[Piece, ...], int]:
    """The pieces, one an operand, and the visits; `inputs` are the operands' positions in the move's inputs."""
    visits = prod(shapes[0][:axis])
    sizes = [prod(shape[axis:]) for shape in shapes]
    pieces = [_piece(0, [(size, 1)], source, step=size) for size, source in zip(sizes, inputs, strict=True)]
    return tuple(pieces), visits
