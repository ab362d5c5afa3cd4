"""Widths of LayerNorm and RMSNorm that golden model, engine, C++ and RTL share (`docs/numerics.md`)."""

from __future__ import annotations

MAX_COLS = 1 << 15
"""Longest row."""

BITS = 16
"""Narrower inputs are shifted up to this width, so that epsilon is fine enough for short rows of few bits."""

EPSILON_BITS = 61
ROOT_BITS = 19
"""Bits of the reciprocal root R."""

WIDTH_FRACTION = 22
"""The sum under the root is cut to so many bits behind its first pair of bits."""

GAIN_BITS = 25
"""Two's complement bits of a column's gain."""

MAX_GROUPS = 1 << (32 - GAIN_BITS)
"""Groups of tables that a column's word of 32 bits can name above its gain."""

OFFSET_FRACTION = 14
"""Bits after the point of a column's offset, in output steps."""

MAX_OUT_SHIFT = 45
MAX_SHIFT = 5


def fraction_bits(columns: int) -> int:
    """Bits after the point of a normalised element: its magnitude is below ``sqrt(columns)``, together below 2**24."""
    half = ((columns - 1).bit_length() + 1) // 2
    return min(19, 23 - half)
