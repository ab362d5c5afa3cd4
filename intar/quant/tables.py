"""Functions as tables: exact up to 10 input bits, beyond pieces of straight lines or parabolas, whichever costs less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from intar.errors import Finding
from intar.ir.ops import TABULATED, Op
from intar.ir.reference import KERNELS, rational
from intar.ir.shapes import Attrs
from intar.quant.fixed import limits
from intar.quant.golden import CURVE_SHIFT
from intar.quant.scheme import Scheme

MIN_LOG_ENTRIES, MAX_LOG_ENTRIES = 4, 10
GOOD_ERROR = 0.75
"""Units of the last place that a table of wide inputs may be wrong (rounding alone: 0.5); the smallest such is taken."""
MAX_Q = 16
UNARY = TABULATED | {Op.RATIONAL}
"""Operators that become tables."""

STRAIGHT_ENTRIES = 256
"""So many entries of straight pieces, of all groups, cost a vector lane less than the multiplier of parabolas."""

CURVE_BITS = 18

GUARD_BITS = 4
"""Bits by which an entry is finer than its effect at the end of its piece needs."""

CORNERS = {Op.HARDSWISH: 3.0, Op.ELU: 3.0}
"""Where a function has corners, left and right of 0, and in 0 (of an ELU there only)."""

JUMPS = ("negative", "not_negative")
"""Named functions that jump in 0, where a piece begins: they are exact, wherever their range ends."""

FLAT = 0.125
"""Output steps by which a function may vary where its tail is cut off."""

GRID = 1 << 12


@dataclass(frozen=True)
class TableData:
    """A table's contents (`docs/numerics.md`): int64 arrays of ``2**log_entries`` entries for each group; `slope` and
    `curve` may be absent.

    `max_error` is the largest distance to the real functions, limited to ``lo … hi``, over all inputs and groups, in units
    of the last place of the output.
    """

    log_entries: int
    q: int
    base: np.ndarray
    slope: np.ndarray | None
    curve: np.ndarray | None
    max_error: float

    @property
    def form(self) -> tuple[bool, int]:
        """Parabolas or not, and log2 of the entries: of two forms the larger is the finer one."""
        return self.curve is not None, self.log_entries


Function = Callable[[np.ndarray], np.ndarray]
"""From float64 arrays to float64 arrays, element by element."""


def real_functions(op: Op, attrs: Attrs, coefficients: Sequence[np.ndarray] = ()) -> tuple[Function, ...]:
    """The operator as a function for each group of columns; one that has `coefficients` takes these."""
    if op is Op.RATIONAL:
        return tuple(partial(rational, a=a, b=b) for a, b in rational_groups(attrs, coefficients))
    return (lambda x: KERNELS[op]([x], attrs),)


def rational_groups(attrs: Attrs, coefficients: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Numerator and denominator of each group."""
    a, b = coefficients
    groups = range(int(attrs["groups"]))  # type: ignore[arg-type]
    return [(a[group % len(a)], b[group % len(b)]) for group in groups]


def wrong_width(scheme: Scheme, bits: int, where: str) -> Finding | None:
    """What is wrong where somebody asks for the kind of table that inputs of other widths have."""
    if scheme.rational == "table" and bits > MAX_LOG_ENTRIES:
        return Finding(
            f"a table would have an entry for each of {1 << bits} inputs",
            where,
            f"inputs of more than {MAX_LOG_ENTRIES} bits take pieces or are evaluated",
            "use --rational pieces, direct or auto, or give the input fewer bits",
        )
    if scheme.rational == "pieces" and bits <= MAX_LOG_ENTRIES:
        return Finding(
            f"pieces are asked for, and its input has {bits} bits",
            where,
            f"up to {MAX_LOG_ENTRIES} bits a table is exact, which pieces are not",
            "use --rational table, direct or auto",
        )
    return None


def bent_range(function: Function, low: float, high: float, step: float) -> tuple[float, float]:
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


def build_table(
    functions: Sequence[Function], in_bits: int, lo: int, hi: int, form: tuple[bool, int] | None = None
) -> TableData:
    """Tabulate a function for each group.

    Parameters
    ----------
    functions : from every input integer ``t`` (float64 array) to the real output in units of the output's last place,
        zero point included.
    in_bits : width of ``t``, 4 … 16.
    lo, hi : limits of the output.
    form : `TableData.form` of a table of wide inputs; None: the first that is good enough.
    """
    low, high = limits(in_bits)
    inputs = np.arange(low, high + 1, dtype=np.float64)
    real = np.stack([function(inputs) for function in functions])
    if in_bits <= MAX_LOG_ENTRIES:
        wanted = np.clip(real, lo, hi).reshape(-1)
        base = (np.sign(wanted) * np.floor(np.abs(wanted) + 0.5)).astype(np.int64)
        return TableData(in_bits, 0, base, None, None, float(np.abs(base - wanted).max()))
    # Fitted beyond the limits, so that the piece in which the output saturates follows the function up to there.
    fitted = np.clip(real, 2 * lo - hi, 2 * hi - lo)
    if form:
        return _piecewise(fitted, form[1], form[0], lo, hi)
    best: TableData | None = None
    for curved in (False, True):
        for log_entries in range(MIN_LOG_ENTRIES, MAX_LOG_ENTRIES + 1):
            if not curved and len(functions) << log_entries > STRAIGHT_ENTRIES:
                break
            made = _piecewise(fitted, log_entries, curved, lo, hi)
            if best is None or made.max_error < best.max_error:
                best = made
            if best.max_error <= GOOD_ERROR:
                return best
    assert best is not None
    return best


def _piecewise(fitted: np.ndarray, log_entries: int, curved: bool, lo: int, hi: int) -> TableData:
    """Lines or parabolas over equal segments of every group (rows of `fitted`)."""
    pieces = fitted.reshape(len(fitted) << log_entries, -1)
    steps = np.arange(pieces.shape[1])
    bend = _bend(pieces) if curved else np.zeros(len(pieces))
    q = _precision(pieces, bend)
    curve = np.rint(bend * (1 << (q + CURVE_SHIFT))).astype(np.int64)
    rest = pieces * (1 << q) - (curve[:, None] * steps >> CURVE_SHIFT) * steps
    slope = np.rint(_slope(rest)).astype(np.int64)
    rest = rest - slope[:, None] * steps
    # The base is fitted to curve and slope as rounded.
    base = np.rint((rest.max(axis=1) + rest.min(axis=1)) / 2).astype(np.int64)
    steep = slope[:, None] + (curve[:, None] * steps >> CURVE_SHIFT)
    made = np.clip((base[:, None] + steep * steps + ((1 << q) >> 1)) >> q, lo, hi)
    error = float(np.abs(made - np.clip(pieces, lo, hi)).max())
    return TableData(log_entries, q, base, slope, curve if curved else None, error)


def _bend(pieces: np.ndarray) -> np.ndarray:
    """Coefficient of the square in the parabola with the least squared error on each row."""
    steps = np.arange(pieces.shape[1], dtype=np.float64)
    steps -= steps.mean()
    square = steps**2 - (steps**2).mean()
    return pieces @ square / (square**2).sum()


def _slope(rows: np.ndarray) -> np.ndarray:
    """Slope of a straight line near each row: from end to end, which is the best one for a convex row, or the one with the
    least squared error, whichever leaves less."""
    steps = np.arange(rows.shape[1], dtype=np.float64)
    centred = steps - steps.mean()
    ends = (rows[:, -1] - rows[:, 0]) / (len(steps) - 1)
    squares = rows @ centred / (centred**2).sum()
    left = [np.ptp(rows - slope[:, None] * steps, axis=1) for slope in (ends, squares)]
    return np.where(left[0] <= left[1], ends, squares)


def _precision(pieces: np.ndarray, bend: np.ndarray) -> int:
    """Fraction bits: what the last step of a piece needs, less where a number on the way would leave its width."""
    steps = pieces.shape[1]
    largest = 2 * np.abs(pieces).max() + 2 * np.abs(bend).max() * steps**2 + 1
    q = min(MAX_Q, steps.bit_length() - 1 + GUARD_BITS)
    while q > 0 and (
        largest * (1 << q) >= (1 << 31) - (1 << 16)
        or np.abs(bend).max() * (1 << (q + CURVE_SHIFT)) >= (1 << (CURVE_BITS - 1)) - 1
    ):
        q -= 1
    return q
