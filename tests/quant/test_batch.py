"""Several samples a call: the network with a batch computes of each sample what the network alone computes, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conformance.proofs import require, require_generated
from torch import nn

import intar
from intar import proof
from intar.device import make_machine
from intar.errors import ConfigError, UnsupportedError
from intar.frontends import Builder, load_model
from intar.ir.batch import batched
from intar.ir.reference import run_float
from intar.ir.taskgraph import TaskGraph
from intar.pipeline import compile_quantised
from intar.quant.calibrate import in_batches
from intar.quant.golden import golden_outputs, quantise_input
from intar.quant.quantise import quantise
from intar.quant.scheme import scheme

SIZE = 3
RNG = np.random.default_rng(5)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0, shape[0] ** -0.5, shape).astype(np.float32)


def perceptron() -> TaskGraph:
    g = Builder("perceptron")
    x = g.relu(g.matmul(g.input("x", (1, 12)), weights(12, 20), weights(20)))
    g.output(g.softmax(g.matmul(x, weights(20, 5))))
    return g.build()


def rows() -> TaskGraph:
    """No axis for samples: a table added to its rows is added to those of each sample."""
    g = Builder("rows")
    x = g.add(g.input("x", (4, 6)), weights(4, 6))
    x = g.concat([g.matmul(x, weights(6, 8)), g.scale_shift(x, weights(6), weights(6), axis=1)], axis=1)
    g.output(g.layer_norm(x, weights(14), weights(14)))
    return g.build()


def attention() -> TaskGraph:
    """Heads side by side, places added to tokens, a causal mask; tokens of a sample are rows on the way out."""
    g, heads, tokens, width = Builder("attention"), 2, 5, 8
    x = g.add(g.input("x", (1, tokens, width)), weights(1, tokens, width))

    def split(name: str) -> str:
        made = g.reshape(g.matmul(name, weights(width, width)), (1, tokens, heads, width // heads))
        return g.transpose(made, (0, 2, 1, 3))

    hidden = np.triu(np.full((tokens, tokens), -1e4, np.float32), 1)
    shares = g.softmax(g.product(split(x), split(x), transposed="second"), mask=hidden)
    merged = g.reshape(g.transpose(g.product(shares, split(x)), (0, 2, 1, 3)), (tokens, width))
    made = g.reshape(g.matmul(merged, weights(width, width)), (1, tokens, width))
    g.output(g.slice(g.add(x, made), axis=1, start=0, stop=1))
    return g.build()


def encoder() -> TaskGraph:
    """PyTorch's own layer: tokens come before samples in it, heads of all samples side by side."""
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, norm_first=True, dropout=0.0)
    return load_model(layer.eval(), samples=torch.randn(2, 4, 8))


GRAPHS = {"perceptron": perceptron, "rows": rows, "attention": attention, "encoder": encoder}


@pytest.mark.parametrize("name", GRAPHS)
def test_each_sample_is_as_alone(name: str) -> None:
    graph = GRAPHS[name]()
    (source,), (out,) = graph.inputs, graph.outputs
    shape, size = graph.tensor(source).shape, graph.tensor(out).size
    samples = RNG.normal(size=(2 * SIZE, *shape))
    many = batched(graph, SIZE)
    calls = in_batches(graph, {source: samples}, SIZE)
    assert calls is not None and calls[source].shape == (2, SIZE * shape[0], *shape[1:])
    alone = np.stack([run_float(graph, {source: one})[out].reshape(size) for one in samples])
    for call, values in enumerate(calls[source]):
        made = run_float(many, {source: values})[out].reshape(SIZE, size)
        np.testing.assert_allclose(made, alone[call * SIZE : (call + 1) * SIZE], rtol=1e-12, atol=1e-12)

    one, all_ = (
        quantise(form, scheme("w8a8"), {source: data})
        for form, data in ((graph, samples), (many, calls[source]))
    )
    inputs = [{source: quantise_input(all_.graph.tensor(source), values)} for values in calls[source]]
    each = [{source: part} for values in inputs for part in values[source].reshape(SIZE, *shape)]
    wanted = np.stack([outputs[out].reshape(size) for outputs in golden_outputs(one, each)])
    made = compile_quantised(all_, make_machine("u280", {"cores": 2, "rows": 2, "lanes": 8}, all_))
    check = proof.verify_engine(made, inputs)
    require(check)
    got = np.concatenate([outputs[out].reshape(SIZE, size) for outputs in check.outputs])
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.sim
@pytest.mark.full
def test_in_hardware(tmp_path) -> None:
    accel = intar.compile(attention(), RNG.normal(size=(6, 5, 8)), batch=SIZE, budget="multipliers=32")
    inputs = [accel.integers(RNG.normal(size=(SIZE, 5, 8))) for _ in range(2)]
    require_generated(accel.design, inputs, accel.write(tmp_path / "made"))


def test_weights_are_read_once() -> None:
    """Eight samples of a network whose cycles are those of its weights take little more than one."""
    module, samples = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 64)), torch.randn(20, 256)
    cycles = []
    for size in (1, 8):
        accel = intar.compile(
            module.eval(), samples, batch=size, budget={"cores": 2, "rows": size, "lanes": 8, "port_bits": 64}
        )
        x = samples[:size]
        with torch.no_grad():
            noise = accel(x).reshape(size, 64) - module(x).numpy()
        assert np.abs(noise).max() < 0.1
        cycles.append(accel.design.predicted.cycles)
    assert cycles[1] < 1.1 * cycles[0]


def test_a_call_takes_a_sample_at_least() -> None:
    with pytest.raises(ConfigError, match="0 samples a call"):
        intar.compile(perceptron(), RNG.normal(size=(4, 12)), batch=0)


def test_last_call_is_filled_up() -> None:
    graph = perceptron()
    samples = RNG.normal(size=(4, 12))
    calls = in_batches(graph, {"x": samples}, SIZE)
    assert calls is not None
    np.testing.assert_array_equal(calls["x"].reshape(-1, 12), samples[[0, 1, 2, 3, 0, 1]])


def test_what_mixes_samples_is_refused() -> None:
    g = Builder("mixed")
    x = g.input("x", (4, 8))
    flat = g.softmax(g.reshape(x, (32,)))
    scores = g.product(x, x, transposed="second")
    first = g.slice(x, axis=0, start=0, stop=1)
    g.output(flat)
    g.output(g.relu(scores))
    g.output(first)
    with pytest.raises(UnsupportedError) as refused:
        batched(g.build(), 2)
    whys = [finding.why for finding in refused.value.findings]
    assert whys == [
        "the samples lie along the axis that it works on",
        "a product of two activations takes samples along leading axes of both",
        "the samples lie along the axis that it works on",
    ]


def test_images_are_one_finding() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 4))
    graph = load_model(module.eval(), samples=torch.randn(2, 1, 8, 8))
    with pytest.raises(UnsupportedError, match="convolutions and pools take one image a call, and 1 others"):
        batched(graph, 4)
