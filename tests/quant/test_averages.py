"""Global averages as matmuls: the same integers, fewer cycles; left alone where they would take more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conformance.proofs import require_generated
from quant.test_phases import machine

from intar.frontends import Builder
from intar.grid import prepare
from intar.ir.circuit import circuit
from intar.ir.nodes.vector import Vector
from intar.ir.quantgraph import QConv, QMatmul, Quantised
from intar.pipeline import compile_quantised
from intar.proof import verify_engine
from intar.quant.forms import machine_form
from intar.quant.golden import golden_outputs
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs
from intar.quant.scheme import W8A8
from intar.rendering import project


def pooled(channels: int, height: int, width: int, seed: int = 0) -> Quantised:
    """A convolution, the average of each of its channels, a classifier."""
    rng, g = np.random.default_rng(seed), Builder("pooled")
    x = g.relu(g.conv2d(g.input("x", (1, 3, height, width)), rng.normal(size=(channels, 3, 3, 3)), pads=1))
    mean = g.reshape(g.global_avg_pool(x), (1, channels))
    g.output(g.matmul(mean, rng.normal(size=(channels, 5)), rng.normal(size=5)))
    return quantise(prepare(g.build()), W8A8, {"x": rng.normal(size=(2, 1, 3, height, width))})


def kinds(quantised: Quantised) -> list[str]:
    """What runs on the arrays."""
    return [task.kind for task in circuit(quantised.graph).tasks if isinstance(task, QConv | QMatmul)]


@pytest.mark.parametrize("size, rows", [((7, 7), 16), ((5, 3), 4), ((6, 9), 3)])
def test_averages_are_matmuls(size: tuple[int, int], rows: int) -> None:
    quantised, target = pooled(24, *size), machine(rows, 16)
    assert kinds(quantised) == ["conv", "conv", "matmul"]
    made = compile_quantised(quantised, target)
    assert kinds(made.quantised) == ["conv", "matmul", "matmul"]
    given = [random_inputs(quantised, 0)]
    (expected,), (found,) = golden_outputs(quantised, given), golden_outputs(made.quantised, given)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    assert verify_engine(made, given).bit_exact
    (pool,) = [s for s in made.schedule.stages if s.tasks[0].task == made.quantised.graph.tasks[-3].name]
    assert pool.cycles < 24 * size[0] * size[1]


def test_left_alone() -> None:
    assert kinds(machine_form(pooled(24, 7, 7), machine(1))) == ["conv", "conv", "matmul"]
    assert kinds(machine_form(pooled(24, 7, 7), machine(2, 16, 4))) == ["conv", "conv", "matmul"]


@pytest.mark.full
@pytest.mark.sim
def test_generated_code(tmp_path: Path) -> None:
    quantised = pooled(12, 5, 5)
    made = compile_quantised(quantised, machine(4, 8))
    assert kinds(made.quantised) == ["conv", "matmul", "matmul"]
    require_generated(made, [random_inputs(quantised, 0)], project(made).write(tmp_path / "made"))


def gated(channels: int, height: int, width: int, seed: int = 0) -> Quantised:
    """A convolution, squeeze and excitation, a convolution."""
    rng, g = np.random.default_rng(seed), Builder("gated")
    x = g.relu(g.conv2d(g.input("x", (1, 3, height, width)), rng.normal(size=(channels, 3, 3, 3)), pads=1))
    few = g.relu(g.conv2d(g.global_avg_pool(x), rng.normal(size=(channels // 4, channels, 1, 1))))
    factors = g.sigmoid(g.conv2d(few, rng.normal(size=(channels, channels // 4, 1, 1))))
    x = g.mul(g.upsample_nearest(factors, (height, width)), x)
    g.output(g.conv2d(x, rng.normal(size=(8, channels, 1, 1))))
    return quantise(prepare(g.build()), W8A8, {"x": rng.normal(size=(2, 1, 3, height, width))})


@pytest.mark.parametrize("shape", [(1, 16), (4, 8), (16, 16, 4)])
def test_factors_of_channels(shape: tuple[int, ...]) -> None:
    """The image times a number for each channel is one task, without copies of that number; its average may be a matmul."""
    quantised = gated(16, 5, 6)
    tasks = circuit(quantised.graph).tasks
    assert [task.kind for task in tasks] == ["conv", "conv", "conv", "conv", "binary", "conv"]
    assert quantised.graph.tensor(tasks[4].inputs[1]).shape == (16, 1)
    made = compile_quantised(quantised, machine(*shape))
    assert kinds(made.quantised)[1] == ("conv" if shape[0] == 1 else "matmul")
    assert verify_engine(made, [random_inputs(quantised, seed) for seed in range(2)]).bit_exact
    (scaled,) = [
        step for node in made.program.nodes if isinstance(node, Vector) for step in node.steps if step.spread
    ]
    assert scaled.binary == "mul" and scaled.groups * scaled.beats == 16 * -(-30 // shape[1])


def test_factors_from_elsewhere() -> None:
    """The convolution whose result nothing else reads does not take the product along."""
    rng, g = np.random.default_rng(0), Builder("elsewhere")
    x = g.input("x", (1, 4, 6, 6))
    factors = g.conv2d(g.global_avg_pool(x), rng.normal(size=(8, 4, 1, 1)))
    y = g.conv2d(x, rng.normal(size=(8, 4, 3, 3)), stride=2, pads=1)
    g.output(g.mul(y, g.upsample_nearest(factors, (3, 3))))
    quantised = quantise(prepare(g.build()), W8A8, {"x": rng.normal(size=(2, 1, 4, 6, 6))})
    assert "binary" in [task.kind for task in quantised.graph.tasks]
    made = compile_quantised(quantised, machine(4, 8))
    assert verify_engine(made, [random_inputs(quantised, 0)]).bit_exact


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.parametrize("shape", [(1, 8), (4, 16, 4)])
def test_generated_code_of_factors(shape: tuple[int, ...], tmp_path: Path) -> None:
    quantised = gated(8, 5, 5)
    made = compile_quantised(quantised, machine(*shape))
    require_generated(made, [random_inputs(quantised, 0)], project(made).write(tmp_path / "made"))
