"""Grouped rational functions: tables for each group, against exact arithmetic, over every input there is."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest

from intar.assets import asset_dir
from intar.errors import ConfigError, GraphError, UnsupportedError
from intar.frontends.builder import Builder
from intar.ir.ops import Op
from intar.ir.quantgraph import Quantised
from intar.ir.rational import ENTRIES, RECIPROCAL_BITS, reciprocals
from intar.ir.reference import KERNELS, run_float
from intar.ir.taskgraph import TaskGraph
from intar.quant.golden import dequantise, lookup, quantise_input, run_golden
from intar.quant.quantise import quantise
from intar.quant.scheme import scheme

SWISH = (3.0549e-7, 0.5000008, 0.2499978, 0.05326628, 0.005803035, 0.0002751961)
BELOW = (-4.1116e-6, 0.106529, -1.2690e-6, 0.000550233)
"""Coefficients with which the published models' second function starts."""


def coefficients(rows: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """As if learned: every group has moved away from the start."""
    rng = np.random.default_rng(seed)
    a, b = (np.tile(row, (n, 1)) for row, n in zip((SWISH, BELOW), rows, strict=True))
    return a * rng.uniform(0.7, 1.4, a.shape), b * rng.uniform(0.5, 2, b.shape)


def quantised(
    columns: int, groups: int, rows: tuple[int, int], name: str, spread: float = 2.0, rational: str = "auto"
) -> Quantised:
    """The function alone, on a tensor that is quantised itself."""
    g, (a, b) = Builder("one"), coefficients(rows)
    g.output(g.rational(g.input("x", (3, columns)), a, b, groups=groups))
    rng = np.random.default_rng(1)
    how = scheme(name).with_rational(rational)
    return quantise(g.build(), how, {"x": rng.normal(0, spread, (64, 3, columns))})


def exactly(x: Fraction, a: np.ndarray, b: np.ndarray) -> Fraction:
    above = sum((Fraction(float(c)) * x**i for i, c in enumerate(a)), Fraction(0))
    below = sum((abs(Fraction(float(c)) * x**i) for i, c in enumerate(b, 1)), Fraction(1))
    return above / below


def decibels(graph: TaskGraph, made: Quantised, samples: np.ndarray) -> float:
    """Signal over noise of golden's output against float's, over all samples."""
    out, signal, noise = graph.outputs[0], 0.0, 0.0
    for sample in samples:
        real = run_float(graph, {"x": sample})[out]
        ints = run_golden(made, {"x": quantise_input(made.graph.tensor("x"), sample)}).tensors[out]
        signal += float((real**2).sum())
        noise += float(((real - dequantise(made.graph.tensor(out), ints).reshape(real.shape)) ** 2).sum())
    return 10 * math.log10(signal / noise)


def joined(made: Quantised) -> list[tuple[str, bool]]:
    """Kind of each task, and whether a function ends it."""
    tasks = (task for task in made.graph.tasks if not task.name.endswith("rescale"))
    return [(task.kind, task.table is not None) for task in tasks]


@pytest.mark.parametrize(
    ("columns", "groups", "rows"), [(16, 8, (1, 8)), (6, 2, (2, 1)), (5, 1, (1, 1)), (11, 3, (3, 3))]
)
@pytest.mark.parametrize("method", ["table", "direct"])
def test_8_bits_are_the_exact_rounding(columns: int, groups: int, rows: tuple[int, int], method: str) -> None:
    """Of the real function, in fractions, for all 256 inputs of every group."""
    made = quantised(columns, groups, rows, "w8a8", rational=method)
    (task,) = made.graph.tasks
    table, x, y = task.table, made.graph.tensor("x"), made.graph.tensor(task.output)
    assert table is not None and (table.in_bits, table.groups, table.method) == (8, groups, method)
    a, b = coefficients(rows)
    t, wrong = np.arange(-128, 128), 0
    for group in range(groups):
        got, _ = lookup(table, t, made.constants, group)
        for q, found in zip(t.tolist(), got.tolist(), strict=True):
            real = exactly(Fraction(x.scale) * (q - x.zero), a[group % len(a)], b[group % len(b)])
            last = real / Fraction(y.scale) + y.zero
            nearest = math.floor(abs(last) + Fraction(1, 2)) * (1 if last >= 0 else -1)
            wrong += found != min(max(nearest, -128), 127)
    assert wrong == 0


@pytest.mark.parametrize("spread", [1.0, 2.0, 5.0])
@pytest.mark.parametrize(("columns", "groups", "rows"), [(16, 8, (1, 8)), (6, 2, (2, 1)), (5, 1, (1, 1))])
@pytest.mark.parametrize(("method", "bound"), [("pieces", 0.75), ("direct", 0.9)])
def test_16_bits_are_within_one_step(
    columns: int, groups: int, rows: tuple[int, int], spread: float, method: str, bound: float
) -> None:
    made = quantised(columns, groups, rows, "w16a16", spread, method)
    (task,) = made.graph.tasks
    table, x, y = task.table, made.graph.tensor("x"), made.graph.tensor(task.output)
    assert table is not None and (table.in_bits, table.groups, table.method) == (16, groups, method)
    assert method == "direct" or table.entries <= 1024
    a, b = coefficients(rows)
    t = np.arange(-32768, 32768)
    for group in range(groups):
        got, _ = lookup(table, t, made.constants, group)
        row = (a[group % len(a)][None], b[group % len(b)][None])
        real = KERNELS[Op.RATIONAL](
            [x.scale * (t - x.zero)[:, None], *row], {"groups": 1, "axis": 1, "repeats": 1}
        )[:, 0]
        error = np.abs(got - np.clip(real / y.scale + y.zero, -32768, 32767)).max()
        assert error <= table.max_error <= bound


@pytest.mark.parametrize(
    ("name", "floor"), [("w8a8", 30), ("w16a16", 75), ("w8a8r16", 33), ("w8a8-pow2", 27)]
)
@pytest.mark.parametrize("method", ["auto", "direct"])
def test_behind_a_matmul_and_in_front_of_one(name: str, floor: float, method: str) -> None:
    """The function joins the matmul before it, group by group of its columns; decibels of signal over noise."""
    rng = np.random.default_rng(2)
    g = Builder("layer")
    x = g.input("x", (5, 20))
    h = g.rational(g.matmul(x, rng.normal(size=(20, 36)) / 3), *coefficients((1, 8)), groups=8)
    g.output(g.matmul(h, rng.normal(size=(36, 11)) / 4))
    graph, samples = g.build(), rng.normal(size=(32, 5, 20))
    made = quantise(graph, scheme(name).with_rational(method), {"x": samples})
    assert joined(made) == [("matmul", True), ("matmul", False)]
    assert decibels(graph, made, samples) > floor


@pytest.mark.parametrize(("name", "floor"), [("w8a8", 27), ("w16a16", 70), ("w8a8r16", 33)])
@pytest.mark.parametrize("function", ["rational", "gelu"])
def test_behind_a_normalisation(name: str, floor: float, function: str) -> None:
    """The function ends the normalisation, group by group of its columns."""
    rng = np.random.default_rng(3)
    g = Builder("layer")
    x = g.input("x", (5, 24))
    h = g.layer_norm(x, 1 + rng.normal(size=24) / 4, rng.normal(size=24) / 4)
    h = g.rational(h, *coefficients((1, 8)), groups=8) if function == "rational" else g.gelu(h)
    g.output(g.matmul(h, rng.normal(size=(24, 11)) / 4))
    graph, samples = g.build(), rng.normal(size=(32, 5, 24))
    made = quantise(graph, scheme(name), {"x": samples})
    assert joined(made) == [("norm", True), ("matmul", False)]
    assert decibels(graph, made, samples) > floor


def test_more_groups_than_a_column_can_name_stand_apart() -> None:
    for groups, kinds in ((128, ["norm"]), (129, ["norm", "affine"])):
        g = Builder("wide")
        h = g.rms_norm(g.input("x", (3, groups)), np.ones(groups))
        g.output(g.rational(h, *coefficients((1, 1)), groups=groups))
        samples = {"x": np.random.default_rng(0).normal(size=(8, 3, groups))}
        assert [task.kind for task in quantise(g.build(), scheme("w8a8"), samples).graph.tasks] == kinds


def test_groups_that_do_not_join() -> None:
    """A sum says nothing of columns: a function of groups stands behind it on its own, one of all columns joins it."""
    for groups, kinds in ((2, ["binary", "affine"]), (1, ["binary"])):
        g = Builder("sum")
        x, y = g.input("x", (3, 8)), g.input("y", (3, 8))
        g.output(g.rational(g.add(x, y), *coefficients((1, 1)), groups=groups))
        samples = {name: np.random.default_rng(0).normal(size=(8, 3, 8)) for name in "xy"}
        assert [task.kind for task in quantise(g.build(), scheme("w8a8"), samples).graph.tasks] == kinds


def test_shapes_are_checked() -> None:
    g = Builder("wrong")
    x = g.input("x", (3, 9))
    g.output(
        g.rational(x, np.ones((1, 6)), np.ones((8, 4)), groups=8)
    )  # blocks of 2: the last three are empty
    g.output(g.rational(x, np.ones((2, 6)), np.ones((3, 4)), groups=3))
    with pytest.raises((GraphError, UnsupportedError)) as caught:
        g.build()
    assert "can't be cut into 8 groups of 2" in str(caught.value)
    assert "the numerator have shape 2×6, expected 3 rows, or 1 for all groups" in str(caught.value)


def test_reciprocals_are_the_same_in_all_languages() -> None:
    """And within 3 steps of 2^-19 of the real one over the whole of each piece."""
    pieces = list(reciprocals())
    verilog = (asset_dir("rtl") / "intar_reciprocal.sv").read_text()
    assert [(int(a), int(b)) for a, b in re.findall(r"\{19'd(\d+), 11'd(\d+)\}", verilog)] == pieces
    header = (asset_dir("hls") / "intar_rational.h").read_text()
    assert [(int(a), int(b)) for a, b in re.findall(r"\{(\d+), (\d+)\}", header)] == pieces
    rest = np.arange(4096)
    for index, (value, fall) in enumerate(pieces):
        real = 2.0**RECIPROCAL_BITS / (1 + (index + rest / 4096) / ENTRIES)
        assert np.abs(value - (fall * rest >> 12) - real).max() < 3


def test_a_function_that_varies_too_much_is_refused() -> None:
    """Its results are further than a step from the real ones, or its denominator grows beyond 2^16: all in one error."""
    g = Builder("steep")
    x = g.input("x", (3, 8))
    g.output(g.rational(x, np.array([[0, 1, 0, 0, 0, 0]]), np.array([[0, 0, 0, 1e6]]), groups=1))
    g.output(g.rational(x, np.array([[0, 0, 1e-9, 0, 0, 1]]), np.array([[40.0, 0, 0, 30]]), groups=1))
    samples = {"x": np.random.default_rng(0).normal(0, 3, (32, 3, 8))}
    assert len(quantise(g.build(), scheme("w16a16"), samples).graph.tasks) == 2
    with pytest.raises(UnsupportedError) as caught:
        quantise(g.build(), scheme("w16a16").with_rational("direct"), samples)
    assert "their widths" in str(caught.value) and "--rational auto" in str(caught.value)


def test_methods_that_do_not_go_with_a_width() -> None:
    with pytest.raises(UnsupportedError) as caught:
        quantised(8, 2, (2, 2), "w16a16", rational="table")
    assert "an entry for each of 65536 inputs" in str(caught.value)
    with pytest.raises(UnsupportedError) as caught:
        quantised(8, 2, (2, 2), "w8a8", rational="pieces")
    assert "exact" in str(caught.value)
    with pytest.raises(ConfigError):
        scheme("w8a8").with_rational("horner")


@pytest.mark.parametrize("method", ["table", "direct"])
def test_on_an_image(method: str) -> None:
    """One function for all channels ends the convolution before it; groups are blocks of the last axis, and stand apart."""
    rng = np.random.default_rng(5)
    for groups, kinds in ((1, ["conv", "conv"]), (2, ["conv", "affine", "conv"])):
        g = Builder("image")
        h = g.conv2d(g.input("x", (1, 3, 6, 8)), rng.normal(size=(4, 3, 3, 3)), np.zeros(4), pads=1)
        h = g.rational(h, *coefficients((1, groups)), groups=groups)
        g.output(g.conv2d(h, rng.normal(size=(2, 4, 3, 3)), np.zeros(2), pads=1))
        graph, samples = g.build(), rng.normal(size=(8, 1, 3, 6, 8))
        made = quantise(graph, scheme("w8a8").with_rational(method), {"x": samples})
        assert [task.kind for task in made.graph.tasks if task.kind != "move"] == kinds
        assert decibels(graph, made, samples[:1]) > 25
