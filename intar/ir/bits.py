"""Widths of integers in two's complement."""

from __future__ import annotations

INDEX_BITS = 32
"""Width of ids and indices: integers that choose rows, which no core and no vector unit sees (scale 1, zero point 0)."""


def signed_bits(low: int, high: int) -> int:
    """The smallest two's complement width that holds `low` … `high` (at least 1)."""
    return 1 + max(
        (-low - 1 if low < 0 else low).bit_length(), (-high - 1 if high < 0 else high).bit_length()
    )
