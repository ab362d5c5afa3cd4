"""Rational functions in integers without tables: coefficients with an exponent for each group, and what they compute.

`docs/numerics.md` defines the arithmetic; :func:`evaluate` is its golden model. The error is found by trying every input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from intar.errors import Finding
from intar.ir.ops import Op
from intar.ir.rational import (
    CHAIN_BITS,
    DENOMINATOR,
    FINE_BITS,
    FRACTIONS,
    LOG_ENTRIES,
    NUMERATOR,
    ONE_BITS,
    PRODUCT_BITS,
    RANGE_BITS,
    RECIPROCAL_BITS,
    SUM_BITS,
    VARIABLE_BITS,
    WORDS,
    reciprocals,
)
from intar.ir.reference import rational
from intar.quant.fixed import clamp, limits
from intar.quant.scheme import Scheme

MAX_ERROR = 1.0
"""Steps of the output that a result of wide inputs may be off."""

WAY_OUT = "build it from tables (--rational auto), or narrow the range of its input"

ONE = 1 << ONE_BITS
MAX_SHIFT = 31
EXACT_BITS = 10
"""Inputs of at most so many bits shall all have the nearest result."""

CHAIN = 1 << (CHAIN_BITS - 1)
"""All numbers of a chain are less than this, whatever the input."""

NUDGES = tuple(sign * size for size in (1, 2, 4, 8, 16) for sign in (1, -1))
"""By how many parts in 2**NUDGE_BITS a coefficient is moved where results are to be exact and some are not."""
NUDGE_BITS = 20


@dataclass(frozen=True)
class DirectData:
    """Coefficients int64 [groups, WORDS], fraction bits and lift.

    `max_error` is the largest error over all inputs and groups in units of the last place of the output; `wrong`: of all
    inputs of all groups how many have another result than the nearest one, which none should if `exact`.
    """

    coefficients: np.ndarray
    fraction: int
    lift: int
    max_error: float
    wrong: int
    exact: bool

    @property
    def good(self) -> bool:
        """Nearest results of narrow inputs, results within one step of wide ones."""
        return self.wrong == 0 if self.exact else self.max_error <= MAX_ERROR


def evaluate(
    t: np.ndarray,
    coefficients: np.ndarray,
    zero: int,
    lift: int,
    fraction: int,
    out_zero: int,
    lo: int,
    hi: int,
) -> tuple[np.ndarray, int]:
    """The function of inputs `t` with `coefficients` [WORDS, …], an axis of `t` or broadcast, and the saturations."""
    p, q = _quotient((t - zero) << lift, np.asarray(coefficients, np.int64))
    down = np.zeros_like(q)
    for bit in range(1, RANGE_BITS):
        down += q >> ONE_BITS + bit > 0
    limit = 1 << (PRODUCT_BITS - 1)
    above, m = np.clip(p >> down, -limit, limit - 1), q >> down
    value, fall = _pieces()
    piece = (m >> FINE_BITS) & ((1 << LOG_ENTRIES) - 1)
    reciprocal = value[piece] - ((fall[piece] * (m & ((1 << FINE_BITS) - 1))) >> FINE_BITS)
    shift = fraction + RECIPROCAL_BITS
    return clamp(((above * reciprocal + (1 << (shift - 1))) >> shift) + out_zero, lo, hi)


@cache
def _pieces() -> tuple[np.ndarray, np.ndarray]:
    value, fall = (np.array(column, np.int64) for column in zip(*reciprocals(), strict=True))
    return value, fall


def _quotient(v: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator, with `fraction` and `ONE_BITS` bits after the point."""
    size = np.abs(v)
    p = ((_steps(v, c[1:NUMERATOR])[-1] * v) >> (c[-1] & 0xFF)) + c[0]
    q = ((_steps(size, c[NUMERATOR:-1])[-1] * size) >> (c[-1] >> 8)) + ONE
    return p, q


def _steps(v: np.ndarray, c: np.ndarray) -> list[np.ndarray]:
    """All that becomes of ``c[0] + v (c[1] + v (c[2] + …))``, rounded after each product, from the inside out."""
    steps = [c[-1] + np.zeros_like(v)]
    for coefficient in c[-2::-1]:
        total = steps[-1] * v + (coefficient << VARIABLE_BITS) + (1 << (VARIABLE_BITS - 1))
        steps.append(total >> VARIABLE_BITS)
    return steps


@dataclass(frozen=True)
class _Domain:
    """All inputs `t`; chains are made of ``v = (t - zero) << lift``, whose ``2**VARIABLE_BITS`` is the real `unit`."""

    t: np.ndarray
    zero: int
    lift: int
    scale: float

    @property
    def v(self) -> np.ndarray:
        return (self.t - self.zero) << self.lift

    @property
    def unit(self) -> float:
        return self.scale * 2.0 ** (VARIABLE_BITS - self.lift)


def build_direct(
    coefficients: Sequence[tuple[np.ndarray, np.ndarray]],
    form: tuple[int, float, int],
    out: tuple[int, float, int],
) -> DirectData | None:
    """The coefficients in integers; None where numbers on the way do not fit.

    Parameters
    ----------
    coefficients : for each group numerator and denominator, as in :func:`intar.ir.reference.rational`.
    form, out : bits, scale and zero point of input and output.
    """
    bits, scale, zero = form
    if any(len(a) > NUMERATOR or len(b) > DENOMINATOR for a, b in coefficients):
        return None
    t = np.arange(limits(bits)[0], limits(bits)[1] + 1, dtype=np.int64)
    most = VARIABLE_BITS + 1 - int(np.abs(t - zero).max()).bit_length()
    made: list[DirectData] = []
    for lift in range(most, max(most - 2, -1), -1):
        groups = [_group(_Domain(t, zero, lift, scale), a, b, out) for a, b in coefficients]
        whole = [group for group in groups if group is not None]
        if len(whole) == len(groups):
            rows, errors, wrong = zip(*whole, strict=True)
            error, exact = max(errors), bits <= EXACT_BITS
            made.append(DirectData(np.stack(rows), _fraction(out[0]), lift, error, sum(wrong), exact))
    return min(made, key=lambda data: (data.exact and data.wrong, data.max_error), default=None)


def evaluated(op: Op, scheme: Scheme) -> bool:
    """Whether functions of this kind have no table."""
    return op is Op.RATIONAL and scheme.rational == "direct"


def too_coarse(data: DirectData | None, where: str) -> Finding:
    """Why a function can't be evaluated."""
    what = (
        f"evaluating the function takes numerators of {NUMERATOR} and denominators of {DENOMINATOR} coefficients at most"
        ", and all numbers on the way within their widths"
        if data is None
        else f"evaluated, {data.wrong} results are not the nearest integer"
        if data.exact
        else f"evaluated, results are up to {data.max_error:.2f} steps off, {MAX_ERROR:g} is allowed"
    )
    return Finding(what, where, f"its values vary too much for integers of {CHAIN_BITS} bits", WAY_OUT)


def _fraction(out_bits: int) -> int:
    return FRACTIONS[out_bits <= 8]


def _group(
    domain: _Domain, a: np.ndarray, b: np.ndarray, out: tuple[int, float, int]
) -> tuple[np.ndarray, float, int] | None:
    """The words of a group, its largest error, and how many results are not the nearest."""
    bits, step, zero = out
    lo, hi = limits(bits)
    fraction = _fraction(bits)
    v = domain.v
    above = np.zeros(NUMERATOR)
    above[: len(a)] = a
    below = np.zeros(DENOMINATOR)
    below[: len(b)] = np.abs(b)
    above *= domain.unit ** np.arange(NUMERATOR) / step
    below *= domain.unit ** np.arange(1, DENOMINATOR + 1)
    p, q = _scaled(v, above[1:], fraction), _scaled(np.abs(v), below, ONE_BITS)
    constant = round(float(above[0]) * (1 << fraction))
    if p is None or q is None:
        return None
    (p_words, p_shift), (q_words, q_shift) = p, q
    words = np.array([constant, *p_words, *q_words, p_shift | q_shift << 8])
    if not _fits(v, words):
        return None
    real = np.clip(rational(domain.scale * (domain.t - domain.zero), a, b) / step + zero, lo, hi)
    nearest = np.sign(real) * np.floor(np.abs(real) + 0.5)

    def tried(words: np.ndarray) -> tuple[np.ndarray, float, int]:
        got, _ = evaluate(domain.t, words, domain.zero, domain.lift, fraction, zero, lo, hi)
        return words, float(np.abs(got - real).max()), int(np.count_nonzero(got != nearest))

    best = tried(words)
    if len(domain.t) > 1 << EXACT_BITS:
        return best
    for index, nudge in product(range(WORDS - 1), NUDGES):
        if best[2] == 0:
            break
        moved = best[0].copy()
        moved[index] += nudge * max(1, abs(int(moved[index])) >> NUDGE_BITS)
        if _fits(v, moved):
            best = min(best, tried(moved), key=lambda one: one[2])
    return best


def _scaled(v: np.ndarray, real: np.ndarray, fraction: int) -> tuple[list[int], int] | None:
    """Coefficients of a chain, as fine as fit, and the shift that leaves `fraction` bits of its product with v."""
    size = np.abs(np.polynomial.polynomial.polyval(v / (1 << VARIABLE_BITS), np.abs(real))).max()
    most = MAX_SHIFT if size == 0 else int(CHAIN_BITS + 1 + VARIABLE_BITS - fraction - np.log2(size))
    for shift in range(min(most, MAX_SHIFT), -1, -1):
        words = [round(float(value)) for value in np.ldexp(real, shift + fraction - VARIABLE_BITS)]
        if max(map(abs, words)) < CHAIN and max(np.abs(h).max() for h in _steps(v, np.array(words))) < CHAIN:
            return words, shift
    return None


def _fits(v: np.ndarray, words: np.ndarray) -> bool:
    """No number on the way is wider than it may be."""
    chains = (_steps(v, words[1:NUMERATOR]), _steps(np.abs(v), words[NUMERATOR:-1]))
    p, q = _quotient(v, words)
    return bool(
        max(np.abs(step).max() for chain in chains for step in chain) < CHAIN
        and np.abs(words).max() < 1 << 31
        and np.abs(p).max() < 1 << (SUM_BITS - 1)
        and ONE <= q.min() <= q.max() < ONE << RANGE_BITS
    )
