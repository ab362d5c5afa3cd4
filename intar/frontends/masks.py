"""Additive masks of a softmax as task graphs have them: finite, 0 where an element counts."""

from __future__ import annotations

import numpy as np

from intar.ir.ops import HIDDEN

FAR = 10 * HIDDEN
"""What a computed mask adds to a score that it hides: to a softmax as much as minus infinity, small enough for the scores
to keep their digits."""

_LOWEST = np.finfo(np.float32).min


def additive_mask(keep: np.ndarray) -> np.ndarray:
    """float32: 0 where `keep` is true, elsewhere its least number."""
    return np.where(keep, np.float32(0), _LOWEST).astype(np.float32)


def finite_mask(mask: np.ndarray) -> np.ndarray:
    """The mask with minus infinity held to the least number of float32."""
    return np.maximum(mask, _LOWEST)
