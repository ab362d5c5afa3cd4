"""Integer powers of two for the softmax: the one table that golden model, engine, C++ and RTL share.

``2**-t`` for ``t >= 0`` in units of ``2**-STEP_BITS``: the integer part of ``t`` shifts, the next :data:`LOG_ENTRIES` bits
choose an entry, the rest goes along the chord to the next entry (`docs/numerics.md`).
"""

from __future__ import annotations

from functools import cache

LOG_ENTRIES = 8
FINE_BITS = 8
STEP_BITS = LOG_ENTRIES + FINE_BITS
ONE_BITS = 24
"""``2**ONE_BITS`` stands for 1."""

DEEPEST = ONE_BITS + 2
"""From this integer part on the result is 0."""

QUOTIENT_BITS = 19
"""Steps of the division: the reciprocal is below ``2**QUOTIENT_BITS``."""

NUMERATOR_BITS = 43
MAX_LOG_COLS = 16
"""Longest row: the sum of ``2**MAX_LOG_COLS`` ones still has ``ONE_BITS + MAX_LOG_COLS + 1`` bits."""


@cache
def table() -> tuple[tuple[int, int], ...]:
    """(value, fall to the next value) of ``2**-(i / 2**LOG_ENTRIES)``, ``i`` from 0."""
    entries = 1 << LOG_ENTRIES
    values = [_nearest(i, entries) for i in range(entries + 1)]
    return tuple((values[i], values[i] - values[i + 1]) for i in range(entries))


def _nearest(i: int, entries: int) -> int:
    """``round(2**(ONE_BITS - i / entries))``, with integers only: the same on every machine."""
    target = 1 << (entries * ONE_BITS - i)
    low, high = 0, 1 << ONE_BITS
    while low < high:
        middle = (low + high + 1) // 2
        if (2 * middle - 1) ** entries <= target << entries:
            low = middle
        else:
            high = middle - 1
    return low
