"""Fusion, formats and accuracy of the quantiser."""

from __future__ import annotations

import numpy as np
import pytest
from quant_networks import digits, digits_graph, everything

from intar.errors import CalibrationError, ConfigError, UnsupportedError
from intar.frontends.builder import Builder
from intar.ir.nodes.vector import UNIT_MULT, power_of_two
from intar.ir.quantgraph import QAffine, QBinary, QMatmul, QMove, Quantised, operand_bits, stored_bits
from intar.ir.reference import run_float
from intar.ir.taskgraph import TaskGraph
from intar.quant.accuracy import numerics_report, numerics_warnings
from intar.quant.fixed import VALUE_LIMIT
from intar.quant.golden import dequantise, quantise_input, run_golden
from intar.quant.quantise import quantise
from intar.quant.ranges import acc_range
from intar.quant.scheme import METHODS, W8A8, W8A8R16, W16A16, Scheme, scheme

RNG = np.random.default_rng(3)


def golden_real(quantised: Quantised, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    graph = quantised.graph
    ints = {name: quantise_input(graph.tensor(name), array) for name, array in inputs.items()}
    tensors = run_golden(quantised, ints).tensors
    return {name: dequantise(graph.tensor(name), array) for name, array in tensors.items()}


def build(*steps) -> TaskGraph:
    """A graph x (2, 6) → steps, each a function of (builder, tensor)."""
    g = Builder("t")
    y = g.input("x", (2, 6))
    for step in steps:
        y = step(g, y)
    g.output(y)
    return g.build()


WEIGHT, VECTOR = RNG.normal(size=(6, 6)), RNG.normal(size=6)
SAMPLES = {"x": RNG.normal(size=(30, 2, 6))}


def kinds(graph: TaskGraph, how: Scheme = W8A8) -> list[str]:
    return [
        task.kind + ("+relu" if task.relu else "") + ("+table" if task.table else "")
        for task in quantise(graph, how, SAMPLES).graph.tasks
    ]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([lambda g, y: g.matmul(y, WEIGHT), lambda g, y: g.add(y, VECTOR), lambda g, y: g.relu(y)], ["matmul+relu"]),
        ([lambda g, y: g.matmul(y, WEIGHT), lambda g, y: g.mul(y, VECTOR), lambda g, y: g.tanh(y)], ["matmul+table"]),
        ([lambda g, y: g.matmul(y, WEIGHT), lambda g, y: g.relu(y), lambda g, y: g.sigmoid(y)], ["matmul+relu+table"]),
        ([lambda g, y: g.relu(y), lambda g, y: g.add(y, VECTOR)], ["affine+relu", "affine"]),
        ([lambda g, y: g.sigmoid(y), lambda g, y: g.relu(y)], ["affine+table", "affine+relu"]),
        ([lambda g, y: g.mul(y, 2.0), lambda g, y: g.sub(1.0, y)], ["affine"]),
        ([lambda g, y: g.add(y, y)], ["affine"]),
        ([lambda g, y: g.sub(y, y)], ["affine"]),
        ([lambda g, y: g.mul(y, y), lambda g, y: g.relu(y)], ["binary+relu"]),
        ([lambda g, y: g.reshape(y, (1, 12)), lambda g, y: g.relu(y)], ["move", "affine+relu"]),
        ([lambda g, y: g.add(y, RNG.normal(size=(2, 6)))], ["move", "affine", "move"]),
        ([lambda g, y: g.scale_shift(y, [1.0, 2.0], [0.5, 0.0], axis=0)], ["move", "affine", "move"]),
        ([lambda g, y: g.scale_shift(y, VECTOR, VECTOR, axis=1)], ["affine"]),
    ],
)  # fmt: skip
def test_fusion_and_meaning(steps, expected: list[str]) -> None:
    graph = build(*steps)
    assert kinds(graph) == expected
    for how, bound in ((W8A8, 0.04), (W16A16, 4e-4)):
        quantised = quantise(graph, how, SAMPLES)
        out = graph.outputs[0]
        real = run_float(graph, {"x": SAMPLES["x"][4]})[out]
        made = golden_real(quantised, {"x": SAMPLES["x"][4]})[out]
        span = max(1e-9, np.abs([run_float(graph, {"x": s})[out] for s in SAMPLES["x"]]).max())
        assert np.abs(real - made).max() / span < bound


def test_tensors_with_several_readers_are_not_fused() -> None:
    g = Builder("t")
    x = g.input("x", (2, 6))
    h = g.matmul(x, WEIGHT)
    g.output(g.add(g.relu(h), h))
    assert kinds(g.build()) == ["matmul", "affine+relu", "binary"]
    g = Builder("t")
    x = g.input("x", (2, 6))
    h = g.matmul(x, WEIGHT, name="h")
    g.output(g.relu(h), h)
    assert kinds(g.build()) == ["matmul", "affine+relu"]


def test_every_float_task_is_performed_once() -> None:
    graph, samples = everything()
    quantised = quantise(graph, W8A8, samples)
    fused = [name for task in quantised.graph.tasks for name in task.fused]
    assert sorted(fused) == sorted(task.name for task in graph.tasks)
    known = set(quantised.graph.inputs)
    for task in quantised.graph.tasks:
        assert set(task.inputs) <= known
        known.add(task.output)
    assert {t.name for t in quantised.graph.tensors} == known
    assert {type(task) for task in quantised.graph.tasks} == {QMatmul, QAffine, QBinary, QMove}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("name", "least"), [("w8a8", 22.0), ("w16a16", 55.0), ("w4a8", 12.0)])
def test_every_operator_is_accurate(name: str, least: float, method: str) -> None:
    graph, samples = everything()
    quantised = quantise(graph, scheme(name, method), samples)
    report = {row["name"]: row for row in numerics_report(graph, quantised, {"x": samples["x"][:10]})}
    assert report["last"]["sqnr_db"] > least and report["last"]["output"]
    assert set(report) == {t.name for t in quantised.graph.tensors if t.name in graph.by_name}
    if name == "w16a16":
        assert all(row["sqnr_db"] > 50 for row in report.values())


def test_nobody_is_warned_of_indices() -> None:
    """How far two indices are apart says nothing, even where golden's differ from float's; all tensors are in the report."""
    g = Builder("chooser")
    scores = g.matmul(g.input("x", (3, 4)), WEIGHT[:4], name="scores")
    g.output(g.argmax(scores, name="next"))
    graph, samples = g.build(), {"x": np.random.default_rng(0).normal(size=(200, 3, 4))}
    rows = numerics_report(graph, quantise(graph, scheme("w4a8"), samples), samples)
    noise = {row["name"]: row["sqnr_db"] for row in rows}
    assert list(noise) == ["x", "scores", "next"] and noise["next"] is not None
    warned = numerics_warnings(rows, 1000)
    assert len(warned) == 2 and not any("'next'" in text for text in warned)


def test_quantising_twice_gives_the_same_bits() -> None:
    graph, samples = everything()
    one, two = (quantise(graph, scheme("w8a8", "mse"), samples) for _ in range(2))
    assert one.graph == two.graph
    assert one.graph.digest and all((one.constants[n] == two.constants[n]).all() for n in one.constants)


def test_table_input_has_ten_bits_when_activations_have_eight() -> None:
    graph = build(lambda g, y: g.matmul(y, WEIGHT), lambda g, y: g.gelu(y))
    (task,) = quantise(graph, W8A8, SAMPLES).graph.tasks
    assert task.table and (task.table.in_bits, task.lo, task.hi) == (10, -512, 511)
    assert task.table.function == "gelu" and task.table.max_error <= 0.5
    (task,) = quantise(graph, W16A16, SAMPLES).graph.tasks
    assert task.table and task.table.in_bits == 16 and task.table.max_error <= 0.75
    (task,) = quantise(build(lambda g, y: g.tanh(y)), W8A8, SAMPLES).graph.tasks
    assert task.table and task.table.in_bits == 8


def test_concat_parts_share_one_format() -> None:
    g = Builder("t")
    x = g.input("x", (2, 6))
    low, high = g.mul(x, 0.1, name="low"), g.mul(x, 10.0, name="high")
    g.output(g.concat([low, high, low], 1, name="joined"))
    quantised = quantise(g.build(), W8A8, SAMPLES)
    formats = {(t.scale, t.zero) for t in quantised.graph.tensors if t.name in ("low", "high", "joined")}
    assert len(formats) == 1
    move = quantised.graph.tasks[-1]
    assert move.inputs == ("low", "high") and [p.input for p in move.pieces] == [0, 1, 0]


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_accumulators_hold_every_sum(bits: int) -> None:
    graph = build(lambda g, y: g.matmul(y, WEIGHT * 1000, VECTOR * 1e6))
    quantised = quantise(graph, Scheme("own", bits, 16), SAMPLES)
    (task,) = quantised.graph.tasks
    weight, bias = quantised.constants[task.weight], quantised.constants[task.bias]
    assert np.abs(weight).max() == (1 << (bits - 1)) - 1
    assert weight.dtype == (np.int16 if bits == 16 else np.int8) and bias.dtype == np.int64
    low, high = acc_range(weight, 16)
    assert max(high) < 1 << (task.acc_bits - 1) and min(low) >= -(1 << (task.acc_bits - 1))
    assert max(np.abs(high + bias).max(), np.abs(low + bias).max()) < VALUE_LIMIT


@pytest.mark.parametrize("name", ["w8a8-pow2", "w16a16-pow2", "w4a8-pow2"])
def test_powers_of_two_need_shifts_only(name: str) -> None:
    """Every scale is one, every multiplier 2**30, and the result stays close."""
    graph = build(
        lambda g, y: g.relu(g.matmul(y, WEIGHT, VECTOR)),
        lambda g, y: g.add(y, y),
        lambda g, y: g.matmul(y, WEIGHT),
    )
    quantised = quantise(graph, scheme(name), SAMPLES)
    scales = [tensor.scale for tensor in quantised.graph.tensors]
    assert scales and all(np.frexp(scale)[0] == 0.5 for scale in scales)
    assert any(isinstance(task, QMatmul) for task in quantised.graph.tasks)
    for task in quantised.graph.tasks:
        if isinstance(task, QMatmul):
            assert set(quantised.constants[task.mult].tolist()) == {UNIT_MULT}
        if isinstance(task, QBinary):
            assert power_of_two(task.mx) and power_of_two(task.my)


def test_columns_without_weights_keep_their_bias() -> None:
    weight = WEIGHT.copy()
    weight[:, 2] = 0
    weight[:, 4] = 1e-12
    bias = VECTOR.copy()
    bias[3] = 0
    graph = build(lambda g, y: g.matmul(y, weight, bias), lambda g, y: g.mul(y, [1, 1, 1, 0, 1, 1.0]))
    quantised = quantise(graph, W16A16, SAMPLES)
    made = golden_real(quantised, {"x": SAMPLES["x"][0]})[graph.outputs[0]]
    real = run_float(graph, {"x": SAMPLES["x"][0]})[graph.outputs[0]]
    assert np.abs(made - real).max() < 2e-3
    assert (made[:, 3] == 0).all()


def test_offsets_survive_a_vanishing_gain() -> None:
    graph = build(lambda g, y: g.scale_shift(y, [0, 1e-30, 1, -1, 0, 2.0], [3, -2, 1, 0, 0, 1.0], axis=1))
    made = golden_real(quantise(graph, W16A16, SAMPLES), {"x": SAMPLES["x"][0]})[graph.outputs[0]]
    assert np.abs(made - run_float(graph, {"x": SAMPLES["x"][0]})[graph.outputs[0]]).max() < 1e-3


def test_numbers_added_to_a_product_of_activations() -> None:
    """They differ from column to column and from row to row, and a product has one factor and no addend."""
    g = Builder("t")
    x, y = g.input("x", (2, 3, 4)), g.input("y", (2, 4, 5))
    added = RNG.normal(size=(3, 5))
    g.output(g.add(g.product(x, y), added))
    graph = g.build()
    data = {"x": RNG.normal(size=(4, 2, 3, 4)), "y": RNG.normal(size=(4, 2, 4, 5))}
    one = {name: array[0] for name, array in data.items()}
    real = golden_real(quantise(graph, W16A16, data), one)
    assert np.abs(real[graph.outputs[0]] - (one["x"] @ one["y"] + added)).max() < 0.01


def test_unsupported_parts_are_listed_together() -> None:
    g = Builder("t")
    x, y = g.input("x", (2, 6)), g.input("y", (1, 6))
    g.output(g.add(x, y), g.concat([x, np.ones((1, 6))], 0))
    with pytest.raises(UnsupportedError) as caught:
        quantise(g.build(), W8A8, {"x": np.zeros((1, 2, 6)), "y": np.zeros((1, 1, 6))})
    assert len(caught.value.findings) == 2
    assert "add of tensors with different shapes (2×6 and 1×6)" in str(caught.value)
    assert "constant operand" in str(caught.value)


def test_a_constant_never_widens_a_tensor() -> None:
    g = Builder("t")
    g.output(g.add(g.input("x", (1, 6)), np.ones((3, 6))))
    with pytest.raises(UnsupportedError, match="repeats the tensor 'x'"):
        quantise(g.build(), W8A8, {"x": np.zeros((1, 1, 6))})


def test_a_range_that_can_not_be_reached_is_the_users_calibration() -> None:
    graph = build(lambda g, y: g.matmul(y, np.eye(6) * 50), lambda g, y: g.matmul(y, np.ones((6, 6)) * 9))
    balanced = np.zeros((1, 2, 6))
    balanced[..., 0], balanced[..., 1] = 1, -1 + 1e-4
    with pytest.raises(UnsupportedError, match="stay below 128") as caught:
        quantise(graph, Scheme("own", 8, 8), {"x": balanced})
    assert "calibrate with more" in str(caught.value)


def test_float_models_need_calibration() -> None:
    with pytest.raises(CalibrationError, match="have no range") as caught:
        quantise(digits_graph(), W8A8)
    assert ".npz" in str(caught.value)


def test_schemes_are_checked() -> None:
    with pytest.raises(ConfigError) as caught:
        Scheme("bad", 5, 9, "median", 10)  # type: ignore[arg-type]
    assert len(caught.value.findings) == 4
    with pytest.raises(ConfigError, match="one of: w8a8, w16a16, w4a8"):
        scheme("w2a2")


@pytest.mark.parametrize(
    ("name", "loss"), [("w8a8", 0.5), ("w16a16", 0.2), ("w4a8", 2.0), ("w8a8-pow2", 1.0)]
)
def test_digits_accuracy(name: str, loss: float) -> None:
    _, _, train, test, labels = digits()
    graph = digits_graph(len(test))
    quantised = quantise(graph, scheme(name), {"x": train[: len(test)][None]})
    real = run_float(graph, {"x": test})["logits"]
    made = golden_real(quantised, {"x": test})["logits"]
    accuracy = [100 * float((logits.argmax(axis=1) == labels).mean()) for logits in (real, made)]
    assert accuracy[0] > 95
    assert accuracy[0] - accuracy[1] <= loss


def test_report_and_warnings() -> None:
    _, _, train, test, _ = digits()
    graph = digits_graph()
    quantised = quantise(graph, W8A8, {"x": train[:100]})
    report = numerics_report(graph, quantised, {"x": test[:50]})
    assert [row["name"] for row in report] == ["x", "hidden", "logits"]
    assert all(row["sqnr_db"] > 30 and row["elements"] in (3200, 500) for row in report)
    assert numerics_warnings(report) == []
    (warning,) = numerics_warnings([{**report[1], "sqnr_db": 12.3}])
    assert "'hidden'" in warning and "12.3 dB" in warning
    shrunk = quantise(graph, W8A8, {"x": train[:100] * 0.2})
    rows = numerics_report(graph, shrunk, {"x": test[:50]})
    assert rows[1]["saturations"] > 0 and numerics_warnings(rows)


def two_layers() -> TaskGraph:
    """x → fc (relu) → both out and skip read it; out + skip."""
    g = Builder("t")
    x = g.input("x", (2, 6))
    h = g.relu(g.matmul(x, WEIGHT, name="fc"))
    a, b = g.matmul(h, WEIGHT, name="out"), g.matmul(h, WEIGHT, name="skip")
    g.output(g.add(a, b, name="sum"))
    return g.build()


def widths(how: Scheme) -> dict[str, tuple[int, int, int]]:
    """Bits of what a matmul reads, of its weights and of what it makes."""
    made = quantise(two_layers(), how, SAMPLES)
    bits = {tensor.name: tensor.bits for tensor in made.graph.tensors}
    return {
        task.name: (bits[task.inputs[0]], task.weight_bits, bits[task.output])
        for task in made.graph.tasks
        if isinstance(task, QMatmul)
    }


def test_widths_by_name() -> None:
    wide = W8A8.with_bits({"out.in": 16, "sk*.weight": 4})
    assert widths(wide) == {"fc": (8, 8, 16), "out": (16, 8, 8), "skip": (8, 4, 8)}
    assert widths(W8A8.with_bits({"*.in": 16, "fc.in": 8})) == {
        "fc": (8, 8, 16),
        "out": (16, 8, 8),
        "skip": (16, 8, 8),
    }
    assert widths(W16A16.with_bits({"out.in": 8})) == {
        "fc": (16, 16, 16),
        "out": (8, 16, 16),
        "skip": (16, 16, 16),
    }
    assert widths(W16A16.with_bits({"out.in": 8, "skip.in": 8}))["fc"] == (16, 16, 8), "nobody reads more"
    assert widths(W8A8.with_bits({"fc.out": 16})) == {"fc": (8, 8, 16), "out": (8, 8, 8), "skip": (8, 8, 8)}


def test_operands_of_a_product_by_number() -> None:
    g = Builder("t")
    x, y = g.input("x", (2, 6)), g.input("y", (6, 3))
    g.output(g.product(x, y, name="p"))
    data = {"x": SAMPLES["x"], "y": RNG.normal(size=(30, 6, 3))}
    for asked, expected in (("p.in", (16, 16)), ("p.in0", (16, 8)), ("p.in1", (8, 16))):
        made = quantise(g.build(), W8A8.with_bits({asked: 16}), data).graph
        assert tuple(made.tensor(name).bits for name in ("x", "y")) == expected


def test_a_wider_operand_is_less_noisy() -> None:
    graph, samples = everything()

    def noise(how: Scheme) -> float:
        rows = numerics_report(graph, quantise(graph, how, samples), {"x": samples["x"][:10]})
        return next(row["sqnr_db"] for row in rows if row["output"])

    assert (
        noise(W8A8) < noise(W8A8.with_bits({"*.in": 16})) < noise(W8A8.with_bits({"*": 16, "*.weight": 16}))
    )
    assert noise(W8A8R16) < noise(W8A8R16.with_bits({"*.in": 10})) < noise(W8A8R16.with_bits({"*.in": 16}))


@pytest.mark.parametrize("scheme", [W8A8, W8A8R16])
def test_operands_of_ten_bits(scheme: Scheme) -> None:
    """Arrays multiply ten bits, memories keep them in 16; weights have none."""
    made = quantise(two_layers(), scheme.with_bits({"*.in": 10}), SAMPLES).graph
    assert operand_bits(made) == (10, 8) and stored_bits(made) == (16, 8)
    with pytest.raises(ConfigError, match="a weight of 10 bits"):
        quantise(two_layers(), scheme.with_bits({"*.weight": 10}), SAMPLES)


def test_widths_of_what_is_not_there() -> None:
    asked = {"fc3.in": 16, "sum.weight": 8, "fc.in": 8}
    with pytest.raises(ConfigError) as caught:
        quantise(two_layers(), W8A8.with_bits(asked), SAMPLES)
    assert [finding.where for finding in caught.value.findings] == [
        "bits of 'fc3.in'",
        "bits of 'sum.weight'",
    ]
    assert "'fc.in'" in caught.value.findings[0].hint
    with pytest.raises(ConfigError, match="12 bits are asked for, expected 4, 8, 10, 16 or 8t"):
        W8A8.with_bits({"fc.in": 12})
