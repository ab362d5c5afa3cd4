"""Weights on chip from the start: golden's bits in every pattern, nothing but inputs and outputs through ports."""

from __future__ import annotations

import numpy as np
import pytest

from intar.engine import run
from intar.frontends import Builder
from intar.grid import prepare
from intar.ir.nodes.memories import Buffer, ConstantMemory
from intar.ir.nodes.ports import Load
from intar.ir.schedule import Machine
from intar.lower.buffers import Memory
from intar.lower.images import argument_bytes, argument_tensors, bytes_to_elements
from intar.lower.lower import lower
from intar.pipeline import compile_quantised
from intar.quant.golden import run_golden
from intar.quant.quantise import quantise
from intar.quant.scheme import W8A8
from lowering.chains import chain, machine, schedule

MACHINE = machine().model_copy(update={"weights": "chip"})


def check(quantised, plan):
    """Golden = engine; returns the lowered program and the engine's cycles."""
    lowered = lower(quantised, plan)
    source = quantised.graph.tensors[0]
    x = np.random.default_rng(1).integers(-100, 100, source.shape)
    arguments = {a.role: a for a in lowered.program.arguments}
    images = lowered.images | {"x": argument_bytes(arguments["input"], {source.name: x})}
    name = quantised.graph.outputs[0]
    result = run(lowered.program, images)
    result.raise_deadlock()
    golden = run_golden(quantised, {source.name: x}).tensors[name]
    np.testing.assert_array_equal(argument_tensors(arguments["output"], result.outputs["y"])[name], golden)
    return lowered, result.cycles


@pytest.mark.parametrize("w_bits", [4, 8])
@pytest.mark.parametrize("pattern,tile", [("sequential", 0), ("pipelined", 4), ("interleaved", 8)])
@pytest.mark.parametrize("rows,widths", [(11, [37, 19, 50, 3]), (1, [5, 7, 3])])
def test_nothing_is_loaded_but_the_input(rows, widths, pattern, tile, w_bits):
    quantised = chain(rows, widths, w_bits=w_bits)
    lowered, cycles = check(quantised, schedule(quantised, MACHINE, pattern, min(tile, rows)))
    assert [a.name for a in lowered.program.arguments] == ["x", "y"]
    assert [node.name for node in lowered.program.nodes if isinstance(node, Load)] == ["x"]
    memories = {node.name for node in lowered.program.nodes if isinstance(node, ConstantMemory)}
    assert memories == set(lowered.images) and {"w0", "params_0"} <= memories
    assert not any(n.name.startswith("weights_") for n in lowered.program.nodes if isinstance(n, Buffer))
    memory = schedule(quantised, machine(), pattern, min(tile, rows))
    ported = lower(quantised, memory)
    assert cycles <= run(ported.program, {}, values=False).cycles


def test_each_core_has_the_column_blocks_that_it_makes():
    """Three blocks of 8 columns on two cores: the first has two, each a beat for each of 5 channels."""
    quantised = chain(4, [5, 24])
    lowered, _ = check(quantised, schedule(quantised, MACHINE, "sequential"))
    weight = quantised.constants["w0"]
    held = {name: bytes_to_elements(lowered.images[name], 8).reshape(-1, 8) for name in ("w0", "w1")}
    np.testing.assert_array_equal(held["w0"], np.concatenate([weight[:, :8], weight[:, 16:]]))
    np.testing.assert_array_equal(held["w1"], weight[:, 8:16])


def test_beats_of_other_types_are_no_copies():
    """Zeros of 8 bits have the bytes of half as many of 16."""
    memory = Memory("w0", 8, 16)
    assert memory.hold(np.zeros((2, 8), np.int16)) == 0
    assert memory.hold(np.zeros((4, 8), np.int8)) == 2
    assert memory.hold(np.zeros((2, 8), np.int8)) == 0
    assert memory.depth == 6 and len(memory.image) == 6 * 8 * 2


def test_kernels_and_functions_are_on_chip_too():
    """A convolution, a function of vector units and a softmax: no port for constants, in as many bytes as was counted."""
    g, rng = Builder("net"), np.random.default_rng(0)
    x = g.input("x", (1, 3, 6, 6))
    y = g.gelu(g.conv2d(x, rng.normal(size=(4, 3, 3, 3)), rng.normal(size=4), pads=1))
    scores = g.matmul(g.reshape(y, (1, 144)), rng.normal(size=(144, 10)) / 12, rng.normal(size=10))
    g.output(g.softmax(scores))
    quantised = quantise(prepare(g.build()), W8A8, {"x": rng.normal(size=(8, 1, 3, 6, 6))})
    m = Machine(
        cores=2, rows=2, lanes=8, rate=4, port_bits=64, onchip_bytes=1 << 20, clock_mhz=100, weights="chip"
    )
    made = compile_quantised(quantised, m)
    assert {a.role for a in made.program.arguments} == {"input", "output"}
    held = [node for node in made.program.nodes if isinstance(node, ConstantMemory)]
    names = {"kernels_0", "kernels_1", "params_0", "params_1", "tables_rows"}
    assert names & {node.name for node in held} >= {"kernels_0", "kernels_1", "params_0"}
    for node in held:
        assert len(made.images[node.name]) == node.depth * node.lanes * node.bits // 8
