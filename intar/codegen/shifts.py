"""Multipliers of vector units that only shift (`Vector.shift_only`), as RTL and C++ take them."""

from __future__ import annotations


def shift_code(multiplier: int) -> int:
    """A power of two as log2 of it, plus 32 (it is not 0), plus 64 if it is negative; 0 for 0."""
    if not multiplier:
        return 0
    return abs(multiplier).bit_length() - 1 + 32 + 64 * (multiplier < 0)
