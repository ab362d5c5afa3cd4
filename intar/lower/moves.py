"""Element moves as affine walks over padded rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from intar.ir.circuit import piece_indices
from intar.ir.nodes.memories import Walk
from intar.ir.quantgraph import QMove, QTensor

WHOLE = 4
"""Loops of a walk that is one iteration: it waits for all that it reads, in whatever order."""


def element_walks(task: QMove, tensors: Mapping[str, QTensor], lanes: int) -> Iterator[tuple[int, Walk]]:
    """(input slot, walk over padded element addresses) for the whole output, in order."""
    for visit in range(task.visits):
        for piece in task.pieces:
            cols = tensors[task.inputs[piece.input]].cols
            pitch = -(-cols // lanes) * lanes
            index = piece_indices(piece, visit)
            for walk in fit_walks(index // cols * pitch + index % cols):
                yield piece.input, walk


def fit_walks(addresses: np.ndarray, levels: int = 5) -> Iterator[Walk]:
    """Affine walks of at most `levels` loops that visit these addresses in this order (few when the pattern is regular)."""
    nest = _fit(addresses, levels)
    if nest is not None:
        base, loops = nest
        counts, strides = zip(*[(1, 0)] * (5 - len(loops)), *loops, strict=True)
        yield Walk.model_validate({"base": base, "counts": counts, "strides": strides})
        return
    length = _run(addresses)
    yield from fit_walks(addresses[:length], levels)
    yield from fit_walks(addresses[length:], levels)


def _run(addresses: np.ndarray) -> int:
    """Length of the longest constant-stride start."""
    if len(addresses) < 2:
        return len(addresses)
    steps = np.diff(addresses)
    other = np.nonzero(steps != steps[0])[0]
    return len(addresses) if len(other) == 0 else int(other[0]) + 1


def _fit(addresses: np.ndarray, levels: int) -> tuple[int, tuple[tuple[int, int], ...]] | None:
    """(base, loops outermost first) of one affine nest of at most `levels` loops, or None."""
    if len(addresses) == 1:
        return int(addresses[0]), ()
    length = _run(addresses)
    stride = int(addresses[1] - addresses[0])
    if length == len(addresses):
        return (int(addresses[0]), ((length, stride),)) if levels else None
    if levels < 2 or len(addresses) % length:
        return None
    blocks = addresses.reshape(-1, length)
    if not np.array_equal(blocks - blocks[:, :1], np.broadcast_to(blocks[0] - blocks[0, 0], blocks.shape)):
        return None
    outer = _fit(blocks[:, 0], levels - 1)
    return None if outer is None else (outer[0], (*outer[1], (length, stride)))
