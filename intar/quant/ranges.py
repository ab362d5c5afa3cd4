"""Range analysis: how wide an accumulator must be so that it never overflows, whatever the input."""

from __future__ import annotations

import numpy as np

from intar.ir.bits import signed_bits
from intar.quant.fixed import limits

MAX_ACC_BITS = 47


def acc_range(weight: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest partial sum of ``x @ weight`` of each column, for any `bits`-bit integers `x`.

    Parameters
    ----------
    weight : integers (K, N).
    bits : width of the inputs; every value of the type is assumed to occur.

    Returns
    -------
    low, high : int64 (N,); sums over the negative and over the positive products taken apart, so that they bound
        the sum over any subset, in any order.
    """
    lo, hi = limits(bits)
    positive = np.maximum(weight, 0).sum(axis=0)
    negative = np.minimum(weight, 0).sum(axis=0)
    return positive * lo + negative * hi, positive * hi + negative * lo


def acc_bits(weight: np.ndarray, bits: int) -> int:
    """The smallest two's complement width that holds every partial sum of every column."""
    low, high = acc_range(weight, bits)
    return signed_bits(int(low.min()), int(high.max()))


def product_bits(x: tuple[int, int], y: tuple[int, int], k: int) -> int:
    """The smallest width that holds every partial sum of `k` products of values within the ranges `x` and `y`."""
    corners = [a * b for a in x for b in y]
    return signed_bits(k * min(0, *corners), k * max(0, *corners))
