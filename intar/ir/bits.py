"""Widths of integers in two's complement."""

from __future__ import annotations


def signed_bits(low: int, high: int) -> int:
    """The smallest two's complement width that holds `low` … `high` (at least 1)."""
    return 1 + max(
        (-low - 1 if low < 0 else low).bit_length(), (-high - 1 if high < 0 else high).bit_length()
    )
