"""Function tables: exact when small, near-optimal and honestly measured when interpolated."""

from __future__ import annotations

import math

import numpy as np
import pytest

from intar.ir.ops import Op
from intar.ir.quantgraph import TableSpec
from intar.quant.formats import format_of_range
from intar.quant.golden import lookup
from intar.quant.tables import FLAT, UNARY, bent_range, build_table, real_function

ATTRS = {Op.GELU: {"approximate": "none"}}


def spec(data, in_bits: int, lo: int, hi: int) -> tuple[TableSpec, dict[str, np.ndarray]]:
    constants = {"base": data.base} | ({} if data.slope is None else {"slope": data.slope})
    table = TableSpec(
        function="f",
        in_bits=in_bits,
        log_entries=data.log_entries,
        q=data.q,
        lo=lo,
        hi=hi,
        base="base",
        slope="" if data.slope is None else "slope",
        max_error=data.max_error,
    )
    return table, constants


@pytest.mark.parametrize("op", sorted(UNARY))
@pytest.mark.parametrize("in_bits", [4, 8, 10])
def test_small_tables_are_the_rounded_function(op: Op, in_bits: int) -> None:
    evaluate = real_function(op, ATTRS.get(op, {}))
    scale = 8 / (1 << (in_bits - 1))

    def function(t: np.ndarray) -> np.ndarray:
        return evaluate(t * scale) / 0.05 + 3

    data = build_table(function, in_bits, -128, 127)
    table, constants = spec(data, in_bits, -128, 127)
    t = np.arange(-(1 << (in_bits - 1)), 1 << (in_bits - 1))
    got, count = lookup(table, t, constants)
    real = np.clip(function(t.astype(float)), -128, 127)
    assert got.tolist() == [int(math.copysign(math.floor(abs(y) + 0.5), y)) for y in real.tolist()]
    assert (data.log_entries, data.q, count) == (in_bits, 0, 0) and data.max_error <= 0.5


@pytest.mark.parametrize("op", sorted(UNARY))
def test_interpolated_tables_state_their_error(op: Op) -> None:
    evaluate = real_function(op, ATTRS.get(op, {}))
    top = {Op.SIGMOID: 1.0, Op.TANH: 1.0, Op.EXP: float(np.exp(10.0))}.get(op, 10.0)

    def function(t: np.ndarray) -> np.ndarray:
        return evaluate(t * (10 / 32768)) / (top / 32767)

    data = build_table(function, 16, -32768, 32767)
    table, constants = spec(data, 16, -32768, 32767)
    t = np.arange(-32768, 32768)
    got, _ = lookup(table, t, constants)
    error = np.abs(got - np.clip(function(t.astype(float)), -32768, 32767)).max()
    assert error == data.max_error
    # The corners of hardswish lie inside a segment: half a slope's jump over its middle can't be avoided.
    # The exponential bends by 1.6 steps over its steepest segment.
    assert data.max_error < {Op.HARDSWISH: 4.1, Op.EXP: 2.1}.get(op, 1.1)
    steps = np.arange(65536 >> data.log_entries)
    inner = data.base[:, None] + data.slope[:, None] * steps
    assert np.abs(inner).max() < 1 << 31 and np.abs(data.slope).max() < 1 << 31


def test_a_straight_line_is_exact_up_to_rounding() -> None:
    data = build_table(lambda t: 0.37 * t + 5, 16, -32768, 32767)
    assert data.max_error <= 0.52 and data.log_entries == 4


def test_gelu_forms_differ() -> None:
    exact, tanh = (real_function(Op.GELU, {"approximate": form}) for form in ("none", "tanh"))
    x = np.array([1.0, 2.0])
    assert 0 < np.abs(exact(x) - tanh(x)).max() < 1e-3


WIDE = [
    (Op.GELU, -8, 8, 0.6),
    (Op.GELU, -3, 25, 0.6),
    (Op.GELU, -60, 60, 0.8),
    (Op.SILU, -8, 8, 0.75),
    (Op.SILU, -40, 40, 0.8),
    (Op.SIGMOID, -8, 8, 0.6),
    (Op.SIGMOID, -100, 100, 0.8),
    (Op.TANH, -4, 4, 0.6),
    (Op.TANH, -30, 30, 0.8),
    (Op.EXP, -10, 0, 0.9),
    (Op.EXP, -4, 4, 0.8),
    (Op.EXP, -8, 8, 1.6),
]


@pytest.mark.parametrize(("op", "low", "high", "bound"), WIDE)
def test_error_of_16_bits_over_all_inputs(op: Op, low: float, high: float, bound: float) -> None:
    """In the formats that calibration would choose; what lies beyond the covered range saturates to nearly the same."""
    evaluate = real_function(op, ATTRS.get(op, {}))
    grid = np.linspace(low, high, 10001)
    out = format_of_range(min(float(evaluate(grid).min()), 0.0), max(float(evaluate(grid).max()), 0.0), 16)
    inner = bent_range(evaluate, float(low), float(high), out.scale)
    x = format_of_range(*inner, 16)
    data = build_table(lambda t: evaluate(x.scale * (t - x.zero)) / out.scale + out.zero, 16, -32768, 32767)
    assert data.max_error < bound
    cut = np.abs(evaluate(grid) - evaluate(np.clip(grid, *inner))).max() / out.scale
    assert cut <= FLAT
