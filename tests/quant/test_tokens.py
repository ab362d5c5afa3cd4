"""A scale for each token: the integers of rows over their peaks, what it is good for, where it can be asked for."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from intar.errors import ConfigError, UnsupportedError
from intar.frontends.builder import Builder
from intar.ir.ops import Op
from intar.ir.quantgraph import QMatmul, QPeak, QUnit
from intar.ir.reference import run_float
from intar.ir.taskgraph import QuantParams, TaskGraph, make_graph
from intar.quant.fixed import FactorRange, peak, unit, unit_factor
from intar.quant.golden import dequantise, golden_outputs, quantise_input
from intar.quant.quantise import quantise
from intar.quant.scheme import W8A8, W8A8R16, Scheme
from intar.quant.search import search_formats
from intar.quant.tokens import rewrite, scalable

WIDTH, TOKENS = 24, 6
ROWS = 2.0 ** np.arange(0, -TOKENS, -1)[:, None]  # of each token its magnitude


def network() -> tuple[TaskGraph, np.ndarray]:
    """Two layers that read one tensor, a function behind one of them, and a third behind both; samples."""
    rng = np.random.default_rng(3)
    g = Builder("tokens")
    x = g.input("x", (TOKENS, WIDTH))
    a = g.gelu(g.matmul(x, rng.normal(size=(WIDTH, 40)), rng.normal(size=40), name="a"))
    b = g.matmul(x, rng.normal(size=(WIDTH, 40)), name="b")
    g.output(g.matmul(g.mul(a, b), rng.normal(size=(40, 20)) / 6, rng.normal(size=20), name="c"))
    return g.build(), rng.normal(size=(8, TOKENS, WIDTH)) * ROWS * 30


def noise(graph: TaskGraph, scheme: Scheme, samples: np.ndarray) -> np.ndarray:
    """Noise over signal of each token, decibel."""
    made = quantise(graph, scheme, {"x": samples})
    out, real, error = graph.outputs[0], 0.0, 0.0
    inputs = [{"x": quantise_input(made.graph.tensor("x"), x)} for x in samples]
    for x, golden in zip(samples, golden_outputs(made, inputs), strict=True):
        y = run_float(graph, {"x": x})[out]
        real = real + (y**2).sum(axis=1)
        error = error + ((dequantise(made.graph.tensor(out), golden[out]) - y) ** 2).sum(axis=1)
    return 10 * np.log10(error / real)


def test_rows_over_their_peaks() -> None:
    """Against fractions: half a step, and what the reciprocal leaves out; zeros, one element, the least integer."""
    rng = np.random.default_rng(4)
    rows = rng.integers(-32768, 32768, (300, 17)) >> rng.integers(0, 15, (300, 1))
    rows[0], rows[1], rows[2] = 0, -32768, [0] * 16 + [1]
    assert peak(rows)[:3, 0].tolist() == [1, 32768, 1]
    for bits, most in ((4, 0.501), (8, 0.501), (16, 0.63)):
        top = (1 << (bits - 1)) - 1
        found = unit(rows, *unit_factor(1 / top))
        real = [
            [Fraction(int(v) * top, int(m[0])) for v in row] for row, m in zip(rows, peak(rows), strict=True)
        ]
        assert (
            max(
                abs(float(y - r))
                for ys, rs in zip(found, real, strict=True)
                for y, r in zip(ys, rs, strict=True)
            )
            < most
        )
        assert np.abs(found).max() == top
    with pytest.raises(FactorRange, match="over their peaks"):
        unit_factor(2.0**-20)


def test_the_same_function() -> None:
    graph, samples = network()
    again = rewrite(graph, scalable(graph))
    assert rewrite(again, scalable(again)) is again
    out = graph.outputs[0]
    assert np.allclose(run_float(again, {"x": samples[0]})[out], run_float(graph, {"x": samples[0]})[out])
    ops = [task.op for task in again.tasks]
    assert ops.count(Op.ROW_UNIT) == ops.count(Op.ROW_PEAK) == 2  # a and b share them
    assert ops.count(Op.MUL) == 1 + 3


def test_small_tokens_keep_their_precision() -> None:
    """Noise over signal of each token: with one scale nothing is left of the smallest of six, with one each 28 dB."""
    graph, samples = network()
    one = noise(graph, W8A8R16, samples)
    each = noise(graph, W8A8R16.with_bits({"*.in": "8t"}), samples)
    wide = noise(graph, W8A8R16.with_bits({"*.in": 16}), samples)
    assert one[0] < -30 and one[-1] > -1
    assert each.max() < -25 and each[:-1].max() < -35
    assert (each < one).all() and (wide < each).all() and (each < wide + 5).all()


def test_the_matmul_takes_the_factor() -> None:
    """The peaks meet the results on their way out, and the bias comes behind them: no task and no tensor between."""
    graph, samples = network()
    made = quantise(graph, W8A8R16.with_bits({"*.in": "8t"}), {"x": samples}).graph
    tasks = {task.name: task for task in made.tasks}
    layers = [task for task in made.tasks if isinstance(task, QMatmul)]
    assert len(layers) == 3 and all(t.tail is not None and t.tail.op == "mul" for t in layers)
    units, peaks = ({t.output: t for t in made.tasks if isinstance(t, kind)} for kind in (QUnit, QPeak))
    for layer in layers:
        operand, factor = layer.inputs
        assert units[operand].inputs == peaks[factor].inputs
        assert made.tensor(operand).bits == 8 and made.tensor(operand).zero == 0
        source = made.tensor(peaks[factor].inputs[0])
        assert (made.tensor(factor).scale, source.zero, source.bits) == (source.scale, 0, 16)
    assert {task.name for task in layers} == {"a", "b", "c"} and not tasks["b"].tail.late
    assert tasks["a"].tail.late and tasks["c"].tail.late
    assert tasks["a"].table is not None and made.tasks[-1].name == "c"


def test_a_bias_is_as_fine_as_sixteen_bits() -> None:
    """An 8-bit result gets its bias in 16 bits and is rounded then: else it would be off in all rows alike."""
    graph, samples = network()
    made = quantise(graph, W8A8R16.with_bits({"*.in": "8t", "c.out": 8, "b.out": 8}), {"x": samples})
    kinds = [(task.name, task.kind) for task in made.graph.tasks if task.kind in ("matmul", "affine")]
    assert kinds == [("a", "matmul"), ("b", "matmul"), ("c", "matmul"), ("c_mul", "affine")]
    wide = quantise(graph, W8A8R16.with_bits({"*.in": "8t", "b.out": 8}), {"x": samples})
    out = graph.outputs[0]
    narrow, fine = (
        np.concatenate(
            [dequantise(one.graph.tensor(out), golden[out]) for golden in golden_outputs(one, inputs)]
        )
        for one in (made, wide)
        for inputs in [[{"x": quantise_input(one.graph.tensor("x"), x)} for x in samples]]
    )
    apart = (narrow - fine) / made.graph.tensor(out).scale
    assert np.abs(apart).max() < 0.6 and np.abs(apart.mean(axis=0)).max() < 0.15


def test_where_it_can_be_asked_for() -> None:
    graph, samples = network()
    with pytest.raises(ConfigError, match="for the first operand") as caught:
        quantise(graph, W8A8R16.with_bits({"a.weight": "8t", "x": "8t", "none.in": "8t"}), {"x": samples})
    assert len(caught.value.findings) == 3
    with pytest.raises(ConfigError, match="expected 4, 8, 10, 16 or 8t"):
        W8A8.with_bits({"a.in": "9t"})  # type: ignore[dict-item]
    own = QuantParams(bits=8, scale=0.1)
    tensors = [t.model_copy(update={"quant": own}) if t.name == "x" else t for t in graph.tensors]
    quantised = make_graph("own", tensors, graph.tasks, graph.inputs, graph.outputs, graph.constants)
    with pytest.raises(ConfigError, match="the model quantises 'x' itself"):
        quantise(quantised, W8A8R16.with_bits({"a.in": "8t"}), {"x": samples})


def test_the_search_keeps_the_scales_that_are_needed() -> None:
    graph, samples = network()
    found = search_formats(graph, W8A8R16, {"x": samples}, 34.0, metric="sqnr", count=4, tokens=True)
    assert set(found.wide.bits.values()) == {"8t"} and set(found.narrow.bits.values()) == {8}
    assert found.wide.moved > found.chosen.moved > found.narrow.moved
    made = quantise(graph, W8A8R16.with_bits(found.chosen.bits), {"x": samples})
    assert sum(isinstance(task, QUnit) for task in made.graph.tasks) == 1


def test_a_matmul_that_is_refused_is_the_only_finding() -> None:
    """The product with its peaks has nothing to join."""
    g = Builder("cancels")
    weight = np.array([[1, 2], [-1, -2], [1e-6, 0]])
    g.output(g.matmul(g.input("x", (4, 3)), weight, name="a"))
    samples = np.ones((2, 4, 3)) * np.arange(1, 9).reshape(2, 4, 1)
    with pytest.raises(UnsupportedError, match="far smaller") as refused:
        quantise(g.build(), W8A8R16.with_bits({"*.in": "8t"}), {"x": samples})
    assert len(refused.value.findings) == 1
