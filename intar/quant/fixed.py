"""Fixed-point arithmetic of `docs/numerics.md`: requantise, factors as multiplier and shift, clamps."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from intar.ir import exp2

MAX_SHIFT, MIN_SHIFT = 62, 24
MULT_LIMIT = 1 << 31
VALUE_LIMIT = 1 << 47
"""What enters a requantisation stays below this, in magnitude."""

ADD_MULT_LIMIT = 1 << 30
ADD_MAX_SHIFT = 46
LOW_BITS = 24


class FactorRange(ValueError):
    """A real factor that no legal multiplier and shift stands for."""


def limits(bits: int) -> tuple[int, int]:
    """Smallest and largest two's complement integer of `bits` bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def requantise(v: np.ndarray, mult: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    """``(v * mult + 2**(shift-1)) >> shift`` exactly, in 64-bit arithmetic.

    Parameters
    ----------
    v : int64, ``|v| < 2**47``.
    mult, shift : int64, ``|mult| < 2**31``, ``24 <= shift <= 62``; broadcast against `v`.

    Returns
    -------
    int64 array of the broadcast shape.
    """
    v, m, s = np.asarray(v, np.int64), np.asarray(mult, np.int64), np.asarray(shift, np.int64)
    high = v >> LOW_BITS
    low = v - (high << LOW_BITS)
    carry = (low * m + (np.int64(1) << (s - 1))) >> LOW_BITS
    return (high * m + carry) >> (s - LOW_BITS)


def scaled(factor: Fraction, shift: int) -> int:
    """``round(factor * 2**shift)``, ties to even."""
    return round(factor * (1 << shift))


def power_above(values: np.ndarray) -> np.ndarray:
    """The smallest power of two that is not below each (positive) value."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(1.0, exponent - (mantissa == 0.5))


def factor(value: float) -> tuple[int, int]:
    """Multiplier and shift of a real factor: the largest shift up to 62 with ``|m| < 2**31``.

    Raises
    ------
    FactorRange
        The factor is not finite, or its magnitude is 128 or more (it would need a shift below 24).
    """
    if not np.isfinite(value):
        raise FactorRange(f"the factor {value} is not a number")
    exact = Fraction(float(value))
    shift = MAX_SHIFT
    if exact:
        # |f| * 2**s < 2**31 up to rounding: start from the exponent, then correct by at most a step or two.
        shift = min(MAX_SHIFT, max(0, 32 - int(np.frexp(float(value))[1])))
        while shift >= MIN_SHIFT and abs(scaled(exact, shift)) >= MULT_LIMIT:
            shift -= 1
    if shift < MIN_SHIFT:
        raise FactorRange(f"the factor {value:.4g} is 128 or more")
    return scaled(exact, shift), shift


def factors(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """:func:`factor` of each element of a vector, as two int64 arrays. Raises FactorRange.

    Times a power of two and rounded to an integer below 2**52, ties to even, a double is exact.
    """
    values = np.asarray(values, np.float64)
    finite = np.where(np.isfinite(values), values, 1.0)
    shift = np.where(finite == 0, MAX_SHIFT, np.clip(32 - np.frexp(finite)[1].astype(np.int64), 0, MAX_SHIFT))
    for _ in range(2):
        shift = shift - (np.abs(np.rint(np.ldexp(finite, shift))) >= MULT_LIMIT)
    for value in values[~np.isfinite(values) | (shift < MIN_SHIFT)]:
        factor(float(value))  # raises
    return np.rint(np.ldexp(finite, shift)).astype(np.int64), shift


def add_factors(fx: float, fy: float) -> tuple[int, int, int]:
    """Two multipliers (magnitude below 2**30) with a common shift of 1 … 46, as large as possible.

    Raises
    ------
    FactorRange
        A factor is not finite or has a magnitude of 2**29 or more.
    """
    if not (np.isfinite(fx) and np.isfinite(fy)):
        raise FactorRange(f"the factors {fx} and {fy} are not numbers")
    x, y = Fraction(float(fx)), Fraction(float(fy))
    for shift in range(ADD_MAX_SHIFT, 0, -1):
        mx, my = scaled(x, shift), scaled(y, shift)
        if max(abs(mx), abs(my)) < ADD_MULT_LIMIT:
            return mx, my, shift
    raise FactorRange(f"the factors {fx:.4g} and {fy:.4g} are too large")


def clamp(v: np.ndarray, lo: int, hi: int, relu: bool = False) -> tuple[np.ndarray, int]:
    """The values limited to ``lo … hi`` and how many changed (those below `lo` do not count with `relu`)."""
    changed = int(np.count_nonzero(v > hi))
    if not relu:
        changed += int(np.count_nonzero(v < lo))
    return np.clip(v, lo, hi), changed


EXP_MULT_BITS, EXP_MAX_SHIFT = 25, 46
OUT_MAX_SHIFT = 46


def exponent_factor(scale: float) -> tuple[int, int]:
    """Multiplier (below 2**25) and shift (1 … 46) from steps of `scale` to powers of two in units of 2**-STEP_BITS.

    A scale so coarse that one step makes any exponential vanish takes the largest multiplier. Raises FactorRange.
    """
    real = scale * math.log2(math.e) * (1 << exp2.STEP_BITS)
    if not (math.isfinite(real) and real > 0):
        raise FactorRange(f"the scale {scale} is not a positive number")
    exact = Fraction(real)
    for shift in range(EXP_MAX_SHIFT, 0, -1):
        if (mult := scaled(exact, shift)) < 1 << EXP_MULT_BITS:
            return mult, shift
    return (1 << EXP_MULT_BITS) - 1, 1


def inverse_factor(scale: float) -> tuple[int, int]:
    """``1 / scale`` as numerator (2**42 … 2**43 - 1) and shift (1 … 46). Raises FactorRange."""
    exact = 1 / Fraction(float(scale))
    for shift in range(OUT_MAX_SHIFT, 0, -1):
        numerator = scaled(exact, shift)
        if 1 << (exp2.NUMERATOR_BITS - 1) <= numerator < 1 << exp2.NUMERATOR_BITS:
            return numerator, shift
    raise FactorRange(f"a softmax can't have an output of scale {scale:.4g}")


def softmax(
    x: np.ndarray, mult: int, shift: int, numerator: int, out_shift: int, counts: np.ndarray | None = None
) -> np.ndarray:
    """Softmax of each row in units of the output's last place, before zero point and clamp (`docs/numerics.md`).

    Parameters
    ----------
    x : int64 (rows, cols), values of at most 16 bits, ``cols <= 2**16``.
    mult, shift : from :func:`exponent_factor`. numerator, out_shift : from :func:`inverse_factor`.
    counts : which elements count, at least one of each row; all when None.
    """
    counts = np.ones(x.shape, bool) if counts is None else counts
    value, fall = (np.array(column, np.int64) for column in zip(*exp2.table(), strict=True))
    top = np.where(counts, x, np.iinfo(np.int64).min).max(axis=1, keepdims=True)
    distance = np.where(counts, top - x, 0)
    t = (distance * mult + (1 << (shift - 1))) >> shift
    whole = np.minimum(t >> exp2.STEP_BITS, exp2.DEEPEST)
    entry = (t >> exp2.FINE_BITS) & ((1 << exp2.LOG_ENTRIES) - 1)
    fine = t & ((1 << exp2.FINE_BITS) - 1)
    power = value[entry] - ((fall[entry] * fine + (1 << (exp2.FINE_BITS - 1))) >> exp2.FINE_BITS)
    power = np.where(counts, (power + ((1 << whole) >> 1)) >> whole, 0)
    total = power.sum(axis=1, keepdims=True)
    extra = sum((total >> (exp2.ONE_BITS + i) > 0).astype(np.int64) for i in range(1, exp2.MAX_LOG_COLS + 1))
    reciprocal = (numerator << extra) // total
    down = out_shift + extra
    return (power * reciprocal + (np.int64(1) << (down - 1))) >> down


UNIT_LIFT = 24
"""A row's peak goes into the division times ``2**UNIT_LIFT``, as wide as the sum of a softmax."""


def unit_factor(scale: float) -> tuple[int, int]:
    """Numerator and shift (1 … 22) of rows over their peaks in steps of `scale`. Raises FactorRange."""
    numerator, shift = inverse_factor(scale)
    if shift <= UNIT_LIFT:
        raise FactorRange(f"rows over their peaks can't have an output of scale {scale:.4g}")
    return numerator, shift - UNIT_LIFT


def peak(x: np.ndarray) -> np.ndarray:
    """The largest magnitude of each row of integers, at least 1: (rows, 1)."""
    return np.maximum(np.abs(x).max(axis=1, keepdims=True), 1)


def unit(x: np.ndarray, numerator: int, out_shift: int) -> np.ndarray:
    """Each row over its peak in units of the output's last place, before zero point and clamp (`docs/numerics.md`).

    Parameters
    ----------
    x : int64 (rows, cols), values of at most 16 bits with zero point 0.
    numerator, out_shift : from :func:`unit_factor`.
    """
    top = peak(x)
    log = sum((top >> i > 0).astype(np.int64) for i in range(1, 16))
    reciprocal = (numerator << log) // (top << UNIT_LIFT)
    down = out_shift + log
    return (x * reciprocal + (np.int64(1) << (down - 1))) >> down
