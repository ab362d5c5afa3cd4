"""Constant masks of a softmax: those that the rows node knows, and the others as a sum before it."""

from __future__ import annotations

import numpy as np

from intar.ir.ops import HIDDEN
from intar.ir.shapes import Shape

ADDED = -64.0
"""What is added to a score that is hidden where a mask is added (`docs/numerics.md`)."""


def prefix_mask(mask: np.ndarray, shape: Shape) -> tuple[int, bool] | None:
    """(elements that count in the first row of each item, whether each row has one more) of an additive mask.

    (0, False) when nothing is hidden. None for any other mask: one with numbers between, one that leaves a row empty, one
    that differs from item to item, one that hides anything but the end of rows, by the same number or one less each row.

    Parameters
    ----------
    mask : real numbers that fit `shape`, the shape of the scores: rows are its last axis but one, items all before.
    """
    full = np.broadcast_to(mask, shape)
    items = full.reshape(-1, *((1, *shape)[-2:]))
    hidden = items <= HIDDEN
    if (items[~hidden] != 0).any() or (hidden != hidden[:1]).any():
        return None
    columns, counts = shape[-1], (~hidden[0]).sum(axis=1)
    if (hidden[0] != (np.arange(columns) >= counts[:, None])).any() or counts[0] == 0:
        return None
    for causal in (False, True):
        if (counts == np.minimum(counts[0] + causal * np.arange(len(counts)), columns)).all():
            return (0 if counts.min() == columns else int(counts[0])), causal
    return None
