"""Softmax and products of two activations in integers: the table, the error against real numbers, operands' formats."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from intar.assets import asset_dir
from intar.errors import UnsupportedError
from intar.frontends import Builder
from intar.ir import exp2
from intar.ir.quantgraph import QAffine, QProduct, QSoftmax
from intar.ir.reference import run_float
from intar.ir.taskgraph import QuantParams, TaskGraph, make_graph
from intar.quant.fixed import exponent_factor, inverse_factor, softmax
from intar.quant.golden import dequantise, quantise_input, run_golden
from intar.quant.quantise import quantise
from intar.quant.scheme import W8A8, W16A16, Scheme


def real_softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_table_is_the_nearest_integer_and_the_same_in_all_languages() -> None:
    table = exp2.table()
    real = 2.0 ** (exp2.ONE_BITS - np.arange(257) / 256)
    assert np.abs([value for value, _ in table] - real[:256]).max() <= 0.5
    assert all(value - fall == after for (value, fall), (after, _) in itertools.pairwise(table))
    verilog = (asset_dir("rtl") / "intar_rows_table.sv").read_text()
    assert [(int(a), int(b)) for a, b in re.findall(r"\{25'd(\d+), 16'd(\d+)\}", verilog)] == list(table)
    header = (asset_dir("hls") / "intar_rows_table.h").read_text()
    assert [(int(a), int(b)) for a, b in re.findall(r"\{(\d+), (\d+)\}", header)] == list(table)


def worst(bits: int, cols: int, scale: float, out_scale: float, seed: int = 0) -> float:
    """Largest error over random rows from flat to steep, in units of the output's last place."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.02, 1.0, (400, 1)) * (1 << (bits - 1))
    limit = (1 << (bits - 1)) - 1
    x = np.clip(np.rint(rng.normal(0, 0.5, (400, cols)) * spread), -limit - 1, limit).astype(np.int64)
    made = softmax(x, *exponent_factor(scale), *inverse_factor(out_scale))
    return float(np.abs(made - real_softmax(x * scale) / out_scale).max())


@pytest.mark.parametrize("cols", [1, 2, 7, 64, 256, 1000])
@pytest.mark.parametrize("scale", [2**-12, 2**-10, 0.037])
def test_error_of_16_bits_is_below_one_step(cols: int, scale: float) -> None:
    """Half a step is the least that rounding leaves."""
    assert worst(16, cols, scale, 1 / 32767) < 0.6


@pytest.mark.parametrize("cols", [1, 2, 7, 64, 256, 1000])
@pytest.mark.parametrize("scale", [2**-6, 2**-4, 0.2])
@pytest.mark.parametrize("out_scale", [1 / 127, 1 / 256, 0.004 / 127])
def test_error_of_8_bits_is_rounding(cols: int, scale: float, out_scale: float) -> None:
    assert worst(8, cols, scale, out_scale) < (0.502 if out_scale > 0.001 else 0.7)


def test_extreme_rows() -> None:
    one, zero = 32767, 0
    factors = (*exponent_factor(100.0), *inverse_factor(1 / 32767))
    assert softmax(np.array([[32767, -32768, 0]]), *factors).tolist() == [[one, zero, zero]]
    assert softmax(np.array([[-5, -5, -5, -5]]), *factors).tolist() == [[8192] * 4]
    long = softmax(
        np.zeros((1, 1 << exp2.MAX_LOG_COLS), np.int64), *exponent_factor(1.0), *inverse_factor(2**-30)
    )
    assert set(long.reshape(-1).tolist()) == {1 << (30 - exp2.MAX_LOG_COLS)}


def attention(rows: int, width: int) -> Builder:
    rng = np.random.default_rng(3)
    g = Builder("attention")
    x = g.input("x", (rows, width))
    q, k, v = (g.matmul(x, rng.normal(size=(width, width)) * width**-0.5) for _ in range(3))
    p = g.softmax(g.mul(g.product(q, k, "second"), width**-0.5))
    g.output(g.product(p, v, name="y"))
    return g


@pytest.mark.parametrize(("scheme", "decibel"), [(W8A8, 27), (W16A16, 75)])
def test_attention_close_to_float(scheme: Scheme, decibel: float) -> None:
    graph = attention(24, 32).build()
    data = np.random.default_rng(1).normal(size=(8, 24, 32))
    quantised = quantise(graph, scheme, {"x": data})
    kinds = [task.kind for task in quantised.graph.tasks]
    assert kinds == ["matmul"] * 3 + ["product", "softmax", "product"], "the scale joins the product"
    for task in quantised.graph.tasks:
        if isinstance(task, QProduct):
            assert all(quantised.graph.tensor(name).zero == 0 for name in task.inputs)
    real = run_float(graph, {"x": data[0]})["y"]
    made = run_golden(quantised, {"x": quantise_input(quantised.graph.tensor("x"), data[0])})
    error = dequantise(quantised.graph.tensor("y"), made.tensors["y"]) - real
    assert 10 * np.log10((real**2).sum() / (error**2).sum()) > decibel


def test_batch_of_products() -> None:
    g = Builder("batch")
    x, y = g.input("x", (2, 3, 5)), g.input("y", (2, 5, 4))
    g.output(g.product(x, y, name="z"))
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(4, 2, 3, 5)), "y": rng.normal(size=(4, 2, 5, 4))}
    quantised = quantise(g.build(), W16A16, data)
    (task,) = quantised.graph.tasks
    assert isinstance(task, QProduct) and task.batch == 2
    ints = {n: quantise_input(quantised.graph.tensor(n), data[n][0]) for n in ("x", "y")}
    made = dequantise(quantised.graph.tensor("z"), run_golden(quantised, ints).tensors["z"])
    assert np.abs(made - data["x"][0] @ data["y"][0]).max() < 3 * quantised.graph.tensor("z").scale + 1e-3


def grid(bits: int, scale: float, zero: int) -> QuantParams:
    return QuantParams(scale=scale, zero_point=zero, bits=bits, signed=True)


def with_grids(bits: int, zero: int) -> TaskGraph:
    """A product of a softmax, on a grid with a zero point, and an input."""
    g = Builder("grids")
    x, y = g.input("x", (4, 6)), g.input("y", (6, 5))
    g.output(g.product(g.softmax(x, name="p"), y, name="z"))
    graph = g.build()
    step = 2.0**-bits
    quants = {
        "x": grid(bits, 0.1, 3),
        "p": grid(bits, step, zero),
        "y": grid(bits, 0.05, 0),
        "z": grid(bits, 0.1, 0),
    }
    tensors = [t.model_copy(update={"quant": quants[t.name]}) for t in graph.tensors]
    return make_graph("grids", tensors, graph.tasks, graph.inputs, graph.outputs, {})


def test_zero_point_of_an_operand_goes_exactly() -> None:
    quantised = quantise(with_grids(8, -128), W8A8, None)
    assert [type(task) for task in quantised.graph.tasks] == [QSoftmax, QAffine, QProduct]
    rng = np.random.default_rng(0)
    ints = {"x": rng.integers(-128, 128, (4, 6)), "y": rng.integers(-128, 128, (6, 5))}
    values = run_golden(quantised, ints).tensors
    exact = (values["p"] + 128) @ ints["y"] * (0.05 / 256 / 0.1)
    assert np.abs(values["z"] - np.clip(exact, -128, 127)).max() <= 0.5 + 1e-6


def test_zero_point_of_16_bits_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="zero point"):
        quantise(with_grids(16, -32768), W16A16, None)
