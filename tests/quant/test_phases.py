"""Phases of depthwise convolutions in one block: the same integers, fewer cycles; left alone where it does not pay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conformance.proofs import require_generated

from intar.frontends import Builder
from intar.grid import prepare
from intar.ir.circuit import circuit
from intar.ir.quantgraph import QConv, Quantised
from intar.ir.schedule import Machine
from intar.pipeline import compile_quantised
from intar.proof import verify_engine
from intar.quant.forms import machine_form
from intar.quant.golden import golden_outputs
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs
from intar.quant.scheme import W8A8
from intar.rendering import project
from intar.report.summary import macs


def machine(rows: int, lanes: int = 16, cores: int = 1) -> Machine:
    """One that drains a beat a cycle."""
    return Machine(
        cores=cores,
        rows=rows,
        lanes=lanes,
        rate=lanes,
        port_bits=128,
        onchip_bytes=1_000_000,
        clock_mhz=200,
    )


def separable(stored: bool = False) -> Quantised:
    """A depthwise convolution of 8 channels in four phases, read in steps of two by a pointwise one; or what is given."""
    rng, g = np.random.default_rng(0), Builder("separable")
    x = g.relu(g.conv2d(g.input("x", (1, 8, 24, 24)), rng.normal(size=(8, 1, 3, 3)), None, pads=1, groups=8))
    y = g.conv2d(x, rng.normal(size=(16, 8, 1, 1)), stride=2)
    g.output(y)
    if stored:
        g.output(x)
    return quantise(prepare(g.build()), W8A8, {"x": rng.normal(size=(2, 1, 8, 24, 24))})


def convolutions(quantised: Quantised) -> list[QConv]:
    """Those of the circuit."""
    return [task for task in circuit(quantised.graph).tasks if isinstance(task, QConv)]


@pytest.mark.parametrize("rows, together, taps", [(16, 4, 16), (4, 4, 16), (2, 2, 12), (3, 3, 15)])
def test_phases_share_a_block(rows: int, together: int, taps: int) -> None:
    """Four phases of 3 × 3 read 4 × 4 elements, two of them 3 × 4; the pointwise convolution reads them where they are."""
    quantised = separable()
    before, after = convolutions(quantised)[0], convolutions(machine_form(quantised, machine(rows)))[0]
    assert {(group.channels, len(group.taps)) for group in before.groups} == {(1, 9)}
    assert (after.groups[0].channels, len(after.groups[0].taps)) == (together, taps)
    assert sum(group.channels for group in after.groups) == len(before.groups) == 32
    assert macs(machine_form(quantised, machine(rows)).graph) == macs(quantised.graph)


def test_cycles_and_steps() -> None:
    """16 cycles for each of 8 channels in place of 4 · 9, and one step of the feed for all of them."""
    quantised, target = separable(), machine(4)
    made = compile_quantised(quantised, target)
    (feed,) = [node for node in made.program.nodes if node.name == "feed_0"]
    assert sum(step.note.startswith(convolutions(quantised)[0].name) for step in feed.steps) <= 3
    stages = {p.task: stage.cycles for stage in made.schedule.stages for p in stage.tasks}
    tiles = 12 * 12 // 16
    assert stages[convolutions(quantised)[0].name] < tiles * 8 * 16 * 1.3 + 200
    assert verify_engine(made, [random_inputs(quantised, 0)]).bit_exact


def test_a_gated_channel() -> None:
    """What a number for each channel multiplies is in one block, too: its phases stand together from the start."""
    rng, g = np.random.default_rng(0), Builder("gated")
    x = g.relu(g.conv2d(g.input("x", (1, 2, 24, 24)), rng.normal(size=(4, 2, 3, 3)), pads=1))
    x = g.relu(g.conv2d(x, rng.normal(size=(4, 1, 3, 3)), pads=1, groups=4))
    factors = g.sigmoid(g.conv2d(g.global_avg_pool(x), rng.normal(size=(4, 4, 1, 1))))
    x = g.mul(x, g.upsample_nearest(factors, (24, 24)))
    g.output(g.conv2d(x, rng.normal(size=(8, 4, 1, 1)), stride=2))
    quantised = quantise(prepare(g.build()), W8A8, {"x": rng.normal(size=(2, 1, 2, 24, 24))})
    made = compile_quantised(quantised, machine(4))
    own = convolutions(made.quantised)[1]
    assert {(group.channels, len(group.taps)) for group in own.groups} == {(4, 16)}
    given = [random_inputs(quantised, seed) for seed in range(2)]
    for expected, found in zip(
        golden_outputs(quantised, given), golden_outputs(made.quantised, given), strict=True
    ):
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)
    assert verify_engine(made, given).bit_exact


def drawn(seed: int) -> Quantised:
    """A depthwise convolution of any size, stride and dilation, read by another one, a pool and a dense one with strides."""
    rng, g = np.random.default_rng(seed), Builder("drawn")
    channels, size = int(rng.integers(2, 6)), rng.integers(14, 24, 2).tolist()
    times, kernel = int(rng.integers(1, 3)), rng.integers(1, 4, 2).tolist()
    x = g.input("x", (1, channels, *size))
    options = {
        "stride": rng.integers(1, 3, 2).tolist(),
        "dilation": rng.integers(1, 3, 2).tolist(),
        "groups": channels,
    }
    y = g.conv2d(
        x, rng.normal(size=(times * channels, 1, *kernel)), rng.normal(size=times * channels), **options
    )
    y = g.relu(y) if rng.random() < 0.5 else y
    wide = times * channels
    z = g.conv2d(
        y, rng.normal(size=(wide, 1, 3, 3)), stride=rng.integers(1, 3, 2).tolist(), pads=1, groups=wide
    )
    z = g.max_pool2d(z, 2, stride=2) if rng.random() < 0.4 else z
    g.output(g.conv2d(z, rng.normal(size=(3, wide, 1, 1)), stride=2))
    return quantise(prepare(g.build()), W8A8, {"x": rng.normal(size=(2, 1, channels, *size))})


def test_the_same_integers() -> None:
    """Golden of the form is golden of the network, and the engine's integers are those of the form."""
    merged = 0
    for seed in range(20):
        quantised = drawn(seed)
        given = [random_inputs(quantised, seed)]
        (expected,) = golden_outputs(quantised, given)
        target = machine((2, 3, 5, 16)[seed % 4], (16, 8, 32)[seed % 3], 1 + seed % 2)
        made = compile_quantised(quantised, target)
        merged += sum(task.useful > 0 for task in convolutions(made.quantised))
        assert machine_form(made.quantised, target) is made.quantised  # it is made of its own form once more
        (found,) = golden_outputs(made.quantised, given)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)
        assert verify_engine(made, given).bit_exact
    assert merged > 10, "next to nothing was merged"


@pytest.mark.full
@pytest.mark.sim
def test_generated_code(tmp_path: Path) -> None:
    quantised = drawn(6)
    made = compile_quantised(quantised, machine(3, 16, 2))
    assert any(task.useful for task in convolutions(made.quantised))
    require_generated(made, [random_inputs(quantised, 0)], project(made).write(tmp_path / "made"))


def test_left_alone() -> None:
    """Where the channels are given as they are, on arrays of one row, and where weights cost more than it saves."""
    for quantised, target in (
        (separable(stored=True), machine(4)),
        (separable(), machine(1)),
        (separable(), machine(4, 64, 8).model_copy(update={"port_bits": 32})),
    ):
        own = convolutions(machine_form(quantised, target))[0]
        assert own.useful == 0 and all(len(group.taps) <= 9 for group in own.groups)
