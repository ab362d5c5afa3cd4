"""Function tables: exact when small, near-optimal and honestly measured when interpolated."""

from __future__ import annotations

import math

import numpy as np
import pytest

from intar.ir.ops import FUNCTIONS, Op
from intar.ir.quantgraph import TableSpec
from intar.quant.formats import corner_format, format_of_range
from intar.quant.golden import lookup
from intar.quant.tables import CORNERS, FLAT, JUMPS, UNARY, TableData, bent_range, build_table, real_functions

ATTRS = {
    Op.GELU: {"approximate": "none"},
    Op.ELU: {"alpha": 1.6733, "scale": 1.0507, "rate": 1.0},
    Op.POWER: {"exponent": 4.0},
    Op.FUNCTION: {"function": "sin"},
}
UNARY_OPS = sorted(UNARY - {Op.RATIONAL})  # tests/quant/test_quant_rational.py


def spec(data: TableData, in_bits: int, lo: int, hi: int) -> tuple[TableSpec, dict[str, np.ndarray]]:
    arrays = {"base": data.base, "slope": data.slope, "curve": data.curve}
    constants = {role: array for role, array in arrays.items() if array is not None}
    table = TableSpec(
        function="f",
        in_bits=in_bits,
        log_entries=data.log_entries,
        q=data.q,
        lo=lo,
        hi=hi,
        **{role: role for role in constants},
        max_error=data.max_error,
    )
    return table, constants


@pytest.mark.parametrize("op", UNARY_OPS)
@pytest.mark.parametrize("in_bits", [4, 8, 10])
def test_small_tables_are_the_rounded_function(op: Op, in_bits: int) -> None:
    (evaluate,) = real_functions(op, ATTRS.get(op, {}))
    scale = 8 / (1 << (in_bits - 1))

    def function(t: np.ndarray) -> np.ndarray:
        return evaluate(t * scale) / 0.05 + 3

    data = build_table([function], in_bits, -128, 127)
    table, constants = spec(data, in_bits, -128, 127)
    t = np.arange(-(1 << (in_bits - 1)), 1 << (in_bits - 1))
    got, count = lookup(table, t, constants)
    real = np.clip(function(t.astype(float)), -128, 127)
    assert got.tolist() == [int(math.copysign(math.floor(abs(y) + 0.5), y)) for y in real.tolist()]
    assert (data.log_entries, data.q, count) == (in_bits, 0, 0) and data.max_error <= 0.5


@pytest.mark.parametrize("op", UNARY_OPS)
def test_interpolated_tables_state_their_error(op: Op) -> None:
    (evaluate,) = real_functions(op, ATTRS.get(op, {}))
    tops = {Op.SIGMOID: 1.0, Op.TANH: 1.0, Op.FUNCTION: 1.0, Op.EXP: float(np.exp(10.0)), Op.POWER: 1e4}
    top = tops.get(op, 10.0)

    def function(t: np.ndarray) -> np.ndarray:
        return evaluate(t * (10 / 32768)) / (top / 32767)

    data = build_table([function], 16, -32768, 32767)
    table, constants = spec(data, 16, -32768, 32767)
    t = np.arange(-32768, 32768)
    got, _ = lookup(table, t, constants)
    error = np.abs(got - np.clip(function(t.astype(float)), -32768, 32767)).max()
    assert error == data.max_error
    # In this format, which nobody chose for them, functions have their corners inside pieces.
    assert data.max_error < (4.1 if op in CORNERS else 0.75)
    assert data.slope is not None
    steps = np.arange(65536 >> data.log_entries)
    curve = np.zeros_like(data.slope) if data.curve is None else data.curve
    steep = data.slope[:, None] + (curve[:, None] * steps >> 8)
    assert np.abs(data.base[:, None] + steep * steps).max() < 1 << 31
    assert np.abs(steep).max() < 1 << 31 and np.abs(curve).max() < 1 << 17


def test_a_straight_line_is_exact_up_to_rounding() -> None:
    data = build_table([lambda t: 0.37 * t + 5], 16, -32768, 32767)
    assert data.max_error <= 0.52 and data.log_entries == 4


def test_gelu_forms_differ() -> None:
    exact, tanh = (real_functions(Op.GELU, {"approximate": form})[0] for form in ("none", "tanh"))
    x = np.array([1.0, 2.0])
    assert 0 < np.abs(exact(x) - tanh(x)).max() < 1e-3


WIDE = [
    (Op.GELU, -8, 8),
    (Op.GELU, -3, 25),
    (Op.GELU, -60, 60),
    (Op.SILU, -8, 8),
    (Op.SILU, -40, 40),
    (Op.SIGMOID, -8, 8),
    (Op.SIGMOID, -100, 100),
    (Op.TANH, -4, 4),
    (Op.TANH, -30, 30),
    (Op.EXP, -10, 0),
    (Op.EXP, -4, 4),
    (Op.EXP, -8, 8),
    (Op.MISH, -8, 8),
    (Op.MISH, -40, 40),
    (Op.SOFTPLUS, -8, 8),
    (Op.SOFTPLUS, -50, 20),
    (Op.ELU, -8, 8),
    (Op.ELU, -60, 30),
    (Op.HARDSWISH, -8, 8),
    (Op.HARDSWISH, -2, 10),
    (Op.HARDSWISH, -60, 60),
    (Op.HARDSWISH, -500, 300),
]


@pytest.mark.parametrize(("op", "low", "high"), WIDE)
def test_error_of_16_bits_over_all_inputs(op: Op, low: float, high: float) -> None:
    """In the formats that calibration would choose; what lies beyond the covered range saturates to nearly the same."""
    (evaluate,) = real_functions(op, ATTRS.get(op, {}))
    grid = np.linspace(low, high, 10001)
    out = format_of_range(min(float(evaluate(grid).min()), 0.0), max(float(evaluate(grid).max()), 0.0), 16)
    inner = bent_range(evaluate, float(low), float(high), out.scale)
    x = format_of_range(*inner, 16)
    if op in CORNERS:
        finer, x = x, corner_format(x, CORNERS[op])
        assert finer.scale < x.scale < 1.07 * finer.scale or high - low > 100
    ends = x.scale * (-32768 - x.zero), x.scale * (32767 - x.zero)
    assert ends[0] <= inner[0] + x.scale and inner[1] - x.scale <= ends[1], "the range is covered"
    data = build_table([lambda t: evaluate(x.scale * (t - x.zero)) / out.scale + out.zero], 16, -32768, 32767)
    assert data.max_error <= 0.75 and data.base.size <= (512 if high - low <= 120 else 1024)
    table, constants = spec(data, 16, -32768, 32767)
    t = np.arange(-32768, 32768)
    wanted = np.clip(evaluate(x.scale * (t - x.zero)) / out.scale + out.zero, -32768, 32767)
    assert np.abs(lookup(table, t, constants)[0] - wanted).max() == data.max_error
    cut = np.abs(evaluate(grid) - evaluate(np.clip(grid, *inner))).max() / out.scale
    assert cut <= FLAT


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("exponent", [None, -1.0, -0.5, 0.5, 4.0])
def test_small_tables_of_named_functions_and_powers(function: str, exponent: float | None) -> None:
    """Finite everywhere, also where the function is not defined, and exact."""
    if exponent is not None and function != FUNCTIONS[0]:
        return
    op, attrs = (
        (Op.FUNCTION, {"function": function}) if exponent is None else (Op.POWER, {"exponent": exponent})
    )
    (evaluate,) = real_functions(op, attrs)
    data = build_table([lambda t: evaluate(t / 32) / 0.05], 8, -128, 127)
    real = np.clip(evaluate(np.arange(-128, 128) / 32) / 0.05, -128, 127)
    assert np.isfinite(evaluate(np.array([-1e30, -1.0, 0.0, 1.0, 1e30]))).all()
    assert np.abs(data.base - real).max() <= 0.5 and data.max_error <= 0.5


@pytest.mark.parametrize("function", JUMPS)
@pytest.mark.parametrize(("low", "high"), [(-1, 1), (-0.3, 5), (0, 2), (-700, 40)])
def test_jumps_are_exact_with_16_bits(function: str, low: float, high: float) -> None:
    (evaluate,) = real_functions(Op.FUNCTION, {"function": function})
    out = format_of_range(0.0, 1.0, 16)
    x = corner_format(format_of_range(low, high, 16), max(-low, high))
    data = build_table([lambda t: evaluate(x.scale * (t - x.zero)) / out.scale + out.zero], 16, -32768, 32767)
    table, constants = spec(data, 16, -32768, 32767)
    t = np.arange(-32768, 32768)
    wanted = np.where((t < x.zero) == (function == "negative"), 32767, -32768)
    assert np.array_equal(lookup(table, t, constants)[0], wanted)


SMOOTH = [
    (Op.FUNCTION, {"function": "sin"}, -30, 30, 0.75),
    (Op.FUNCTION, {"function": "atan"}, -20, 20, 0.75),
    (Op.FUNCTION, {"function": "erf"}, -4, 4, 0.75),
    (Op.FUNCTION, {"function": "log_sigmoid"}, -20, 8, 0.75),
    (Op.FUNCTION, {"function": "softsign"}, -8, 8, 0.75),
    (Op.POWER, {"exponent": 4.0}, -3, 3, 0.75),
    (Op.POWER, {"exponent": 0.5}, 0, 9, 172),
]


@pytest.mark.parametrize(("op", "attrs", "low", "high", "bound"), SMOOTH)
def test_error_of_more_functions(op: Op, attrs: dict, low: float, high: float, bound: float) -> None:
    (evaluate,) = real_functions(op, attrs)
    grid = evaluate(np.linspace(low, high, 10001))
    out = format_of_range(min(float(grid.min()), 0.0), max(float(grid.max()), 0.0), 16)
    x = format_of_range(*bent_range(evaluate, float(low), float(high), out.scale), 16)
    data = build_table([lambda t: evaluate(x.scale * (t - x.zero)) / out.scale + out.zero], 16, -32768, 32767)
    assert data.max_error <= bound
