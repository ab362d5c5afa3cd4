"""The golden model against a slow reading of docs/numerics.md in Python integers, on random graphs."""

from __future__ import annotations

from itertools import product
from math import ceil, isqrt

import numpy as np
import pytest
from hypothesis import given, settings

from intar.errors import GraphError
from intar.frontends import Builder
from intar.ir import exp2
from intar.ir.quantgraph import (
    DirectSpec,
    QAffine,
    QBinary,
    QMatmul,
    QMove,
    QNorm,
    QPeak,
    QProduct,
    QSoftmax,
    Quantised,
    QUnit,
)
from intar.ir.rational import reciprocals
from intar.quant.golden import _sums, dequantise, golden_tensors, quantise_input, run_golden
from intar.quant.quantise import quantise
from intar.quant.random_graphs import OPS, TOKENS, quantised_graphs, random_inputs, random_quantised
from intar.quant.ranges import acc_bits, acc_range
from intar.quant.scheme import W16A16


def rq(v: int, m: int, s: int) -> int:
    assert abs(v) < 1 << 47 and abs(m) < 1 << 31 and 24 <= s <= 62
    return (v * m + (1 << (s - 1))) >> s


def slow(quantised: Quantised, inputs: dict[str, np.ndarray]) -> tuple[dict[str, list[int]], dict[str, int]]:
    """Every tensor as a flat list of Python integers, and the saturations."""
    graph, const = quantised.graph, {k: v.tolist() for k, v in quantised.constants.items()}
    flat = {name: [int(v) for v in array.reshape(-1)] for name, array in inputs.items()}
    saturations = {}
    for task in graph.tasks:
        out, count = graph.tensor(task.output), 0
        if isinstance(task, QMove):
            values = []
            for visit in range(task.visits):
                for piece in task.pieces:
                    for index in product(*map(range, piece.counts)):
                        at = piece.offset + visit * piece.step
                        at += sum(i * stride for i, stride in zip(index, piece.strides, strict=True))
                        values.append(flat[task.inputs[piece.input]][at])
        else:
            values = []
            for row in range(out.rows):
                for col in range(out.cols):
                    v = _linear(task, quantised, flat, const, row, col) + task.zero
                    count += v > task.hi or (v < task.lo and not task.relu)
                    v = min(max(v, task.lo), task.hi)
                    if isinstance(task, QMatmul) and task.tail:
                        tail = task.tail
                        v = _joined(tail, v, _second(task, quantised, flat, row, col)) + tail.zero
                        v += const[task.bias][col] if tail.late else 0
                        count += v > tail.hi or (v < tail.lo and not tail.relu)
                        v = min(max(v, tail.lo), tail.hi)
                    if task.table:
                        size = ceil(out.cols / task.table.groups)
                        v, extra = _table(task.table, const, v, col // size)
                        count += extra
                    values.append(v)
        flat[task.output] = values
        saturations[task.output] = count
    return flat, saturations


def _linear(task, quantised, flat, const, row: int, col: int) -> int:
    x = quantised.graph.tensor(task.inputs[0])
    if isinstance(task, QMatmul):
        acc, width = 0, task.acc_bits
        for k in range(x.cols):
            acc += flat[x.name][row * x.cols + k] * const[task.weight][k][col]
            assert -(1 << (width - 1)) <= acc < 1 << (width - 1)
        bias = 0 if task.tail and task.tail.late else const[task.bias][col]
        return rq(acc + bias, const[task.mult][col], const[task.shift][col])
    if isinstance(task, QProduct):
        y, acc = quantised.graph.tensor(task.inputs[1]), 0
        item = row // (x.rows // task.batch)
        for k in range(x.cols):
            inner, outer = (col, k) if task.transposed else (k, col)
            second = flat[y.name][(item * (y.rows // task.batch) + inner) * y.cols + outer]
            acc += flat[x.name][row * x.cols + k] * second
            assert -(1 << (task.acc_bits - 1)) <= acc < 1 << (task.acc_bits - 1)
        return rq(acc, task.mult, task.shift)
    if isinstance(task, QSoftmax):
        inner = row % (x.rows // task.batch)
        counted = min((task.visible or x.cols) + inner * task.causal, x.cols)
        whole = flat[x.name][row * x.cols : (row + 1) * x.cols]
        filled = min(flat["position"][0], task.cached) if task.cached else 0
        columns = [*range(filled), *range(task.cached, counted)]
        return _softmax(task, [whole[c] for c in columns], columns.index(col)) if col in columns else 0
    if isinstance(task, QNorm):
        return _norm(task, const, flat[x.name][row * x.cols : (row + 1) * x.cols], col)
    if isinstance(task, QUnit | QPeak):
        top = max(1, *(abs(value) for value in flat[x.name][row * x.cols : (row + 1) * x.cols]))
        return top if isinstance(task, QPeak) else _over(task, flat[x.name][row * x.cols + col], top)
    at = row * x.cols + col
    if isinstance(task, QAffine):
        v = flat[x.name][at] + const[task.bias][col]
        return rq(v, const[task.mult][col], const[task.shift][col])
    assert isinstance(task, QBinary)
    return _joined(task, flat[task.inputs[0]][at], _second(task, quantised, flat, row, col))


def _second(task, quantised, flat, row: int, col: int) -> int:
    """The second operand of a sum or product: of a product perhaps one for each row."""
    columns = quantised.graph.tensor(task.inputs[1]).cols
    return flat[task.inputs[1]][row * columns + (col if columns > 1 else 0)]


def _over(task, value: int, top: int) -> int:
    """A value over the largest of its row."""
    t = top.bit_length() - 1
    assert 1 << 42 <= task.numerator < 1 << 43 and top <= 1 << 15 and 1 <= task.out_shift <= 22
    quotient, down = (task.numerator << t) // (top << 24), task.out_shift + t
    assert quotient < 1 << 19
    return (value * quotient + (1 << (down - 1))) >> down


def _softmax(task, row: list[int], col: int) -> int:
    def power(value: int) -> int:
        u = ((max(row) - value) * task.mult + (1 << (task.shift - 1))) >> task.shift
        k, i, f = min(u >> 16, 26), (u >> 8) & 255, u & 255
        here, fall = exp2.table()[i]
        return (here - ((fall * f + 128) >> 8) + ((1 << k) >> 1)) >> k

    assert task.mult < 1 << 25 and 1 << 42 <= task.numerator < 1 << 43
    total = sum(power(value) for value in row)
    t = total.bit_length() - 25
    quotient, down = (task.numerator << t) // total, task.out_shift + t
    assert total < 1 << 41 and quotient < 1 << 19
    return (power(row[col]) * quotient + (1 << (down - 1))) >> down


def _norm(task, const, row: list[int], col: int) -> int:
    row, n = [value << task.lift for value in row], len(row)
    total = sum(row) if task.centred else 0
    w = n * sum(value * value for value in row) - total * total + task.epsilon
    t = (w.bit_length() - 1) // 2
    root = min(isqrt((1 << 60) // ((w << 22) >> (2 * t))), (1 << 19) - 1)
    down, q = task.shift + t, task.out_shift
    z = ((n * row[col] - total) * (2 * root + 1) + (1 << (down - 1))) >> down
    gain, offset = const[task.gain][col], const[task.offset][col]
    assert w < 1 << 62 and abs(z) < 1 << 24 and abs(gain) < 1 << 24 and abs(offset) < 1 << 31
    return (z * gain + (offset << (q - 14)) + (1 << (q - 1))) >> q


def _joined(task, x: int, y: int) -> int:
    """The sum or product of a binary task, or of a matmul's tail, before its zero point."""
    a, b = x - task.zx, y - task.zy
    if task.op == "mul":
        return rq(a * b, task.mx, task.shift)
    assert max(abs(task.mx), abs(task.my)) < 1 << 30 and 1 <= task.shift <= 46
    return (a * task.mx + b * task.my + (1 << (task.shift - 1))) >> task.shift


def _direct(spec, const, t: int, group: int) -> tuple[int, int]:
    """A rational function without a table."""
    c = const[spec.coefficients][group]
    v = (t - spec.zero) << spec.lift
    h, g = c[5], c[9]
    for n in (4, 3, 2, 1):
        h = (h * v + (c[n] << 16) + (1 << 15)) >> 16
        assert abs(h) < 1 << 24
    for n in (8, 7, 6):
        g = (g * abs(v) + (c[n] << 16) + (1 << 15)) >> 16
        assert g < 1 << 24
    above, below = (h * v >> (c[10] & 31)) + c[0], (g * abs(v) >> (c[10] >> 8)) + (1 << 20)
    assert abs(above) < 1 << 43 and 1 << 20 <= below < 1 << 36
    down = below.bit_length() - 21
    above, m = min(max(above >> down, -(1 << 24)), (1 << 24) - 1), below >> down
    value, fall = reciprocals()[(m >> 12) - 256]
    shift = spec.fraction + 19
    last = above * (value - (fall * (m % 4096) >> 12)) + (1 << (shift - 1)) >> shift
    last += spec.out_zero
    return min(max(last, spec.lo), spec.hi), int(not spec.lo <= last <= spec.hi)


def _table(table, const, t: int, group: int) -> tuple[int, int]:
    assert -(1 << (table.in_bits - 1)) <= t < 1 << (table.in_bits - 1)
    if isinstance(table, DirectSpec):
        return _direct(table, const, t, group)
    u = t + (1 << (table.in_bits - 1))
    i, f = u >> (table.in_bits - table.log_entries), u & ((1 << (table.in_bits - table.log_entries)) - 1)
    i += group * 2**table.log_entries
    steep = (const[table.slope][i] if table.slope else 0) + (
        const[table.curve][i] * f // 256 if table.curve else 0
    )
    v = const[table.base][i] + steep * f
    assert abs(v) < 1 << 31
    v = (v + (1 << (table.q - 1))) >> table.q if table.q else v
    return min(max(v, table.lo), table.hi), int(not table.lo <= v <= table.hi)


def check(quantised: Quantised, seed: int) -> None:
    inputs = random_inputs(quantised, seed)
    result = run_golden(quantised, inputs)
    expected, saturations = slow(quantised, inputs)
    assert {n: a.reshape(-1).tolist() for n, a in result.tensors.items()} == expected
    assert result.saturations == saturations
    for tensor in quantised.graph.tensors:
        array = result.tensors[tensor.name]
        assert array.shape == tensor.shape and array.dtype == np.int64
        assert array.min() >= -(1 << (tensor.bits - 1)) and array.max() < 1 << (tensor.bits - 1)


@pytest.mark.parametrize("rows", [1, 3])
def test_columns_behind_the_position(rows: int) -> None:
    """Rows of a state that no token has filled yet don't count, whatever they hold."""
    cached = 6
    g = Builder("cached")
    x, at = g.input("x", (2, rows, cached + rows)), g.input("position", (1,))
    g.output(g.cached_softmax(x, at, cached))
    data = {
        "x": np.random.default_rng(1).normal(size=(3, 2, rows, cached + rows)),
        "position": np.arange(3)[:, None],
    }
    quantised = quantise(g.build(), W16A16, data)
    inputs = random_inputs(quantised, 3)
    for position in range(cached + 1):
        inputs["position"] = np.array([position])
        result = run_golden(quantised, inputs)
        expected, _ = slow(quantised, inputs)
        assert {n: a.reshape(-1).tolist() for n, a in result.tensors.items()} == expected
        behind = inputs["x"].copy()
        behind[..., position:cached] = 32767
        again = run_golden(quantised, inputs | {"x": behind}).tensors
        name = quantised.graph.outputs[0]
        assert np.array_equal(again[name], result.tensors[name])
        assert (result.tensors[name][..., position:cached] == quantised.graph.tensor(name).zero).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(quantised_graphs(max_tasks=5))
def test_golden_is_the_specification(quantised: Quantised) -> None:
    check(quantised, 7)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(quantised_graphs(max_tasks=5, ops=TOKENS))
def test_golden_with_scales_for_each_token(quantised: Quantised) -> None:
    check(quantised, 7)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(quantised_graphs(max_tasks=5, bits=(8, 16), inputs=2))
def test_golden_with_mixed_widths(quantised: Quantised) -> None:
    check(quantised, 8)


@pytest.mark.parametrize("op", OPS)
def test_every_kind_of_task_alone(op: str) -> None:
    for seed in range(3):
        quantised = random_quantised(seed, 3, ops=(op,))
        kinds = (op, "move", "peak") if op == "token" else (op, "move")
        assert any(task.kind in kinds for task in quantised.graph.tasks)
        check(quantised, seed)


def test_random_graphs_repeat() -> None:
    one, two = random_quantised(5, 6), random_quantised(5, 6)
    assert one.graph == two.graph and one.graph.digest != random_quantised(6, 6).graph.digest


@pytest.mark.parametrize("seed", range(4))
def test_inferences_side_by_side_are_those_one_by_one(seed: int) -> None:
    quantised = random_quantised(seed, 8)
    batch = [random_inputs(quantised, number) for number in range(3)]
    alone = [run_golden(quantised, inputs) for inputs in batch]
    found = {name: (arrays, count) for name, arrays, count in golden_tensors(quantised, batch)}
    assert found.keys() == {tensor.name for tensor in quantised.graph.tensors}
    for name, (arrays, count) in found.items():
        assert all(np.array_equal(a, b.tensors[name]) for a, b in zip(arrays, alone, strict=True))
        assert count == sum(result.saturations.get(name, 0) for result in alone)


@pytest.mark.parametrize("rows", [1032, 1036])
def test_sums_are_exact_on_both_sides_of_single_precision(rows: int) -> None:
    """The largest sums that 25 bits hold, which are floats of 24, and some larger ones."""
    rng = np.random.default_rng(rows)
    a = rng.choice((-128, -127, 127), (4, rows))
    b = np.full((rows, 2), 127, np.int8)
    b[::3, 1] = -126
    bits = acc_bits(b, 8)
    assert (bits <= 25) == (rows == 1032)
    assert np.array_equal(_sums(a, b, bits), a @ b.astype(np.int64))
    assert np.array_equal(_sums(np.full((1, rows), -128), b, bits)[0], -128 * b.astype(np.int64).sum(axis=0))


def test_accumulator_width_is_tight() -> None:
    weight = np.array([[127, -127], [-3, 8]])
    low, high = acc_range(weight, 8)
    assert low.tolist() == [-128 * 127 - 3 * 127, -127 * 127 - 8 * 128]
    assert high.tolist() == [127 * 127 + 3 * 128, 127 * 128 + 8 * 127]
    assert acc_bits(weight, 8) == 16
    assert acc_bits(np.array([[1]]), 8) == 8 and acc_bits(np.array([[-1]]), 8) == 9


def test_inputs_are_checked_all_at_once() -> None:
    quantised = random_quantised(3, 3, bits=(8,))
    name = quantised.graph.inputs[0]
    tensor = quantised.graph.tensor(name)
    with pytest.raises(GraphError, match="no integers were given") as caught:
        run_golden(quantised, {"other": np.zeros(3, int)})
    assert len(caught.value.findings) == 2
    with pytest.raises(GraphError, match="not integers"):
        run_golden(quantised, {name: np.zeros(tensor.shape)})
    with pytest.raises(GraphError, match="leave the type's range"):
        run_golden(quantised, {name: np.full(tensor.shape, 128)})


def test_input_quantisation_rounds_to_even_and_saturates() -> None:
    tensor = random_quantised(3, 1, bits=(8,)).graph.tensors[0].model_copy(update={"scale": 0.5, "zero": 3})
    ints = quantise_input(tensor, np.array([0.25, 0.75, -0.25, 1000.0, -1000.0]))
    assert ints.tolist() == [3, 5, 3, 127, -128]
    assert dequantise(tensor, ints[:2]).tolist() == [0.0, 1.0]
