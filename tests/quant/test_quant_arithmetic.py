"""The 64-bit requantisation, factors and clamps against Python's unbounded integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from intar.ir.bits import signed_bits
from intar.quant.fixed import (
    FactorRange,
    add_factors,
    clamp,
    factor,
    factors,
    limits,
    requantise,
)

CORNER_VALUES = (
    0,
    1,
    -1,
    (1 << 24) - 1,
    1 << 24,
    -(1 << 24),
    (1 << 47) - 1,
    -(1 << 47) + 1,
    1 << 46,
    -12345678901,
)
CORNER_MULTS = (0, 1, -1, (1 << 31) - 1, -(1 << 31) + 1, 1 << 30, -(1 << 30), 3)
CORNER_SHIFTS = (24, 25, 31, 47, 48, 61, 62)


def exact(v: int, m: int, s: int) -> int:
    return (v * m + (1 << (s - 1))) >> s


def test_requantise_corners() -> None:
    for s in CORNER_SHIFTS:
        for m in CORNER_MULTS:
            got = requantise(np.array(CORNER_VALUES), m, s)
            assert got.tolist() == [exact(v, m, s) for v in CORNER_VALUES], (m, s)


def test_requantise_random() -> None:
    rng = np.random.default_rng(1)
    n = 20000
    v = rng.integers(-(1 << 47) + 1, 1 << 47, n) >> rng.integers(0, 46, n)
    m = rng.integers(-(1 << 31) + 1, 1 << 31, n) >> rng.integers(0, 30, n)
    s = rng.integers(24, 63, n)
    expected = [exact(*triple) for triple in zip(v.tolist(), m.tolist(), s.tolist(), strict=True)]
    assert requantise(v, m, s).tolist() == expected


def test_requantise_rounds_ties_up() -> None:
    assert requantise(np.array([-3, -1, 1, 3]), 1 << 23, 24).tolist() == [-1, 0, 1, 2]


@pytest.mark.parametrize("value", [1.0, -1.0, 0.5, 127.9999, 1e-3, -3.7e-9, 1e-18, 2.0**-31, 1 / 3, 0.0])
def test_factor_is_nearest_with_largest_shift(value: float) -> None:
    m, s = factor(value)
    assert abs(m) < 1 << 31 and 24 <= s <= 62
    assert m == round(Fraction(value) * (1 << s))
    assert s == 62 or abs(round(Fraction(value) * (1 << (s + 1)))) >= 1 << 31


def test_factors_are_those_of_each_element() -> None:
    rng = np.random.default_rng(2)
    near = [np.nextafter(power, side) for power in 2.0 ** np.arange(-70, 7) for side in (0, 1e9)]
    halves = np.arange(-9, 10, 2) * 2.0**-63  # ties of the last bit
    values = np.concatenate(
        [rng.choice((-1, 1), 2000) * np.exp(rng.uniform(-60, 4.8, 2000)), near, halves, [0.0]]
    )
    assert list(zip(*(array.tolist() for array in factors(values)), strict=True)) == [*map(factor, values)]
    with pytest.raises(FactorRange, match="the factor 256 is 128 or more"):
        factors(np.array([1.0, 256.0, np.nan]))


@pytest.mark.parametrize("value", [128.0, -1e9, float("nan"), float("inf")])
def test_factor_out_of_range(value: float) -> None:
    with pytest.raises(FactorRange):
        factor(value)


def test_factor_just_below_a_power_of_two_does_not_round_up_to_the_limit() -> None:
    m, s = factor(float(np.nextafter(1.0, 0)))
    assert (m, s) == (1 << 30, 30)


def test_add_factors_share_a_shift() -> None:
    mx, my, s = add_factors(0.75, -1e-4)
    assert max(abs(mx), abs(my)) < 1 << 30 and 1 <= s <= 46
    assert abs(mx / 2**s - 0.75) < 2**-29 and abs(my / 2**s + 1e-4) < 2**-29
    with pytest.raises(FactorRange):
        add_factors(2.0**30, 1.0)


def test_clamp_counts_what_it_changes() -> None:
    values, count = clamp(np.array([-200, -128, 0, 127, 128]), -128, 127)
    assert values.tolist() == [-128, -128, 0, 127, 127] and count == 2
    assert clamp(np.array([-5, 3, 300]), 0, 127, relu=True)[1] == 1


def test_widths() -> None:
    assert limits(4) == (-8, 7)
    assert [signed_bits(*r) for r in ((0, 0), (-1, 0), (0, 1), (-128, 127), (-129, 0), (0, 128))] == [
        1, 1, 2, 8, 9, 9,
    ]  # fmt: skip
