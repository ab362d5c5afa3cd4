"""Unary functions as tables: exact up to 10 input bits, minimax piecewise linear beyond."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from intar.ir.ops import Attrs, Op
from intar.ir.reference import KERNELS
from intar.quant.fixed import limits

MIN_LOG_ENTRIES, MAX_LOG_ENTRIES = 4, 10
GOOD_ERROR = 0.75
"""Units of the last place that a table of wide inputs may be wrong (rounding alone: 0.5); the smallest such is taken."""
MAX_Q = 16
UNARY = frozenset({Op.SIGMOID, Op.TANH, Op.GELU, Op.HARDSWISH, Op.SILU, Op.EXP})
"""Operators that become tables."""

SEARCH_STEPS = 80

FLAT = 0.125
"""Output steps by which a function may vary where its tail is cut off."""

GRID = 1 << 12


@dataclass(frozen=True)
class TableData:
    """A table's contents (`docs/numerics.md`): int64 arrays of ``2**log_entries`` entries; `slope` may be absent.

    `max_error` is the largest distance to the real function, limited to ``lo … hi``, over all inputs, in units of
    the last place of the output.
    """

    log_entries: int
    q: int
    base: np.ndarray
    slope: np.ndarray | None
    max_error: float


def real_function(op: Op, attrs: Attrs) -> Callable[[np.ndarray], np.ndarray]:
    """The operator as a function of float64 arrays."""
    return lambda x: KERNELS[op]([x], attrs)


def bent_range(
    function: Callable[[np.ndarray], np.ndarray], low: float, high: float, step: float
) -> tuple[float, float]:
    """The part of ``low … high`` (0 inside) that a table of wide inputs has to cover: all of it where that is good enough.

    Equal segments are too coarse for a range far wider than the function's bend. Then the ends where the function stays
    within :data:`FLAT` output steps are cut off: inputs there saturate, to the same result.

    Parameters
    ----------
    function : on real numbers. step : the output's scale.
    """
    grid = np.linspace(low, high, GRID + 1)
    values = function(grid) / step
    half = GRID >> (MAX_LOG_ENTRIES + 1)  # points of half a segment
    bend = np.abs(values[2 * half :] - 2 * values[half:-half] + values[: -2 * half]).max()
    if 0.5 + bend / 4 <= 1:
        return low, high
    left = int(np.argmax(np.abs(values - values[0]) > FLAT))
    right = int(np.argmax(np.abs(values[::-1] - values[-1]) > FLAT))
    return min(float(grid[max(left - 1, 0)]), 0.0), max(float(grid[::-1][max(right - 1, 0)]), 0.0)


def build_table(function: Callable[[np.ndarray], np.ndarray], in_bits: int, lo: int, hi: int) -> TableData:
    """Tabulate a function.

    Parameters
    ----------
    function : from every input integer ``t`` (float64 array) to the real output in units of the output's last place,
        zero point included.
    in_bits : width of ``t``, 4 … 16.
    lo, hi : limits of the output.
    """
    low, high = limits(in_bits)
    real = function(np.arange(low, high + 1, dtype=np.float64))
    wanted = np.clip(real, lo, hi)
    if in_bits <= MAX_LOG_ENTRIES:
        base = (np.sign(wanted) * np.floor(np.abs(wanted) + 0.5)).astype(np.int64)
        return TableData(in_bits, 0, base, None, float(np.abs(base - wanted).max()))
    # Fitted beyond the limits, so that the piece in which the output saturates follows the function up to there.
    fitted = np.clip(real, 2 * lo - hi, 2 * hi - lo)
    for log_entries in range(MIN_LOG_ENTRIES, MAX_LOG_ENTRIES):
        made = _piecewise(fitted, log_entries, lo, hi)
        if made.max_error <= GOOD_ERROR:
            return made
    return _piecewise(fitted, MAX_LOG_ENTRIES, lo, hi)


def _piecewise(fitted: np.ndarray, log_entries: int, lo: int, hi: int) -> TableData:
    """Straight pieces over equal segments."""
    segments = fitted.reshape(1 << log_entries, -1)
    steps = np.arange(segments.shape[1])
    real_base, real_slope = _minimax(segments)
    q = _precision(real_base, real_slope, segments.shape[1])
    slope = np.rint(real_slope * (1 << q)).astype(np.int64)
    # The base is fitted once more, to the slope as rounded.
    rest = segments * (1 << q) - slope[:, None] * steps
    base = np.rint((rest.max(axis=1) + rest.min(axis=1)) / 2).astype(np.int64)
    rounding = (1 << q) >> 1
    made = np.clip((base[:, None] + slope[:, None] * steps + rounding) >> q, lo, hi)
    error = float(np.abs(made - np.clip(segments, lo, hi)).max())
    return TableData(log_entries, q, base, slope, error)


def _minimax(segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Base and slope of the straight line with the least largest error on each row.

    The spread ``max(y - s·i) - min(y - s·i)`` is convex in the slope ``s``: a ternary search finds its minimum between
    the least and the greatest difference of neighbours.
    """
    steps = np.arange(segments.shape[1])

    def spread(slope: np.ndarray) -> np.ndarray:
        rest = segments - slope[:, None] * steps
        return rest.max(axis=1) - rest.min(axis=1)

    jumps = np.diff(segments, axis=1)
    left, right = jumps.min(axis=1), jumps.max(axis=1)
    for _ in range(SEARCH_STEPS):
        third = (right - left) / 3
        a, b = left + third, right - third
        first = spread(a) <= spread(b)
        left, right = np.where(first, left, a), np.where(first, b, right)
    slope = (left + right) / 2
    rest = segments - slope[:, None] * steps
    return (rest.max(axis=1) + rest.min(axis=1)) / 2, slope


def _precision(base: np.ndarray, slope: np.ndarray, steps: int) -> int:
    """The most fraction bits with which every value on the way stays below 2**31."""
    largest = (np.abs(base) + np.abs(slope) * (steps - 1)).max() + 1
    q = MAX_Q
    while q > 0 and largest * (1 << q) >= (1 << 31) - (1 << 16):
        q -= 1
    return q
