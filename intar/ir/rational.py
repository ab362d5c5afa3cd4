"""Rational functions evaluated directly: widths and the one constant table that all executors share (`docs/numerics.md`).

Numerator and denominator are Horner chains in the integer ``v``, in steps of ``2**-VARIABLE_BITS``. Then the denominator is
shifted to ``1 ≤ m < 2`` and its reciprocal found on :data:`ENTRIES` straight pieces.
"""

from __future__ import annotations

from functools import cache

VARIABLE_BITS = 16
"""Bits after the point of the variable, a signed number of 18 bits."""

CHAIN_BITS = 25
"""Of a number in a chain, signed: what the wide side of a multiplier block takes (25 or 27 × 18 bits)."""

NUMERATOR, DENOMINATOR = 6, 4
"""Coefficients of each."""

ONE_BITS = 20
"""Bits after the point of the denominator; it is below ``2**16``."""

RANGE_BITS = 16

SUM_BITS = 44
"""Of the numerator, signed."""

PRODUCT_BITS = 25
"""Of the numerator when it is multiplied with the reciprocal: it saturates."""

LOG_ENTRIES = 8
ENTRIES = 1 << LOG_ENTRIES
FINE_BITS = ONE_BITS - LOG_ENTRIES
RECIPROCAL_BITS = 19
"""Bits after the point of a reciprocal."""

FRACTIONS = (7, 15)
"""Bits after the point of the numerator, in steps of the output: of outputs of up to 16 bits, and of up to 8 bits."""

WORDS = NUMERATOR + DENOMINATOR + 1
"""32-bit numbers of a group: numerator from the constant term on, denominator from the linear one on, and both shifts, the
denominator's in bits 8 and up."""


@cache
def reciprocals() -> tuple[tuple[int, int], ...]:
    """(value, fall to the end of the piece) of ``2**RECIPROCAL_BITS / m`` for ``m = 1 + i / ENTRIES``, ``i`` from 0.

    A value is lowered by half of what the chord is above the curve in the middle of the piece, so that the error to both
    sides is the same.
    """
    return tuple(_piece(ENTRIES + i) for i in range(ENTRIES))


def _piece(m: int) -> tuple[int, int]:
    """`m` in steps of ``1 / ENTRIES``; nearest integers, with integers only: the same on every machine."""
    one = 1 << RECIPROCAL_BITS + LOG_ENTRIES
    value = (2 * (one * m * m - (one >> 3)) + m**3) // (2 * m**3)
    fall = (2 * one + m * (m + 1)) // (2 * m * (m + 1))
    return value, fall
