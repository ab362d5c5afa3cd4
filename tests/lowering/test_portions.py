"""A row by itself is written and read in portions: who reads it follows who writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intar import pipeline, proof, rendering
from intar.frontends.builder import Builder
from intar.ir.nodes.memories import Buffer, Walk
from intar.ir.quantgraph import Quantised
from intar.ir.schedule import Machine, Mode
from intar.lower.buffers import PORTIONS, Memory, TensorMemory
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs

MACHINE = Machine(cores=2, rows=1, lanes=4, rate=2, port_bits=64, onchip_bytes=1 << 16, clock_mhz=250.0)
MODES: tuple[Mode, ...] = ("auto", "sequential", "dataflow")


def row(width: int) -> Quantised:
    """Matmuls around a normalisation and a residual, on a single row."""
    rng = np.random.default_rng(width)
    g = Builder("row")
    x = g.input("x", (1, width))
    wide = g.gelu(g.matmul(x, rng.normal(size=(width, 2 * width))))
    y = g.add(g.matmul(wide, rng.normal(size=(2 * width, width))), x)
    y = g.layer_norm(y, rng.normal(size=width), rng.normal(size=width))
    g.output(g.matmul(y, rng.normal(size=(width, 12))))
    return quantise(g.build(), calibration={"x": rng.normal(size=(4, 1, width))})


@pytest.mark.parametrize("width", [8, 37, 72])
@pytest.mark.parametrize("mode", MODES)
def test_readers_follow(width: int, mode: Mode) -> None:
    made = pipeline.compile_quantised(row(width), MACHINE, mode)
    assert proof.verify_engine(made, [random_inputs(made.quantised, seed) for seed in range(2)]).bit_exact
    early = [
        step
        for node in made.program.nodes
        if isinstance(node, Buffer)
        for step in node.reads
        if not step.note.startswith(("function", "params")) and 0 < step.need < node.writes[-1].walk.counts[0]
    ]
    assert early, "every reader waits for a whole row"


@pytest.mark.full
@pytest.mark.parametrize("mode", MODES)
def test_in_the_circuit(mode: Mode, tmp_path: Path) -> None:
    made = pipeline.compile_quantised(row(72), MACHINE, mode)
    rendering.project(made).write(tmp_path)
    given = [random_inputs(made.quantised, seed) for seed in range(2)]
    assert proof.verify_csim(made, given, tmp_path).bit_exact
    simulated = proof.verify_rtl(made, given, tmp_path)
    assert simulated.bit_exact and set(simulated.cycles) == {made.predicted.cycles}


def held(pitch: int) -> TensorMemory:
    return TensorMemory(Memory("buffer", 4, 8), 1, pitch, 1, 1)


def reads(tensor: TensorMemory, walk: Walk) -> list[tuple[int, int]]:
    """(address, write count that it waits for) of each read."""
    tensor.fetch(0, walk, "read")
    steps = tensor.memory.reads
    return [
        (address, need)
        for step in steps
        for turn, need in enumerate(step.needs())
        for address in step.walk.iteration(turn)
    ]


def test_each_portion_waits_for_its_own_beats() -> None:
    """Three times over a row of 20 beats: the first time behind its writer, then at once; never before a beat is there."""
    tensor = held(20)
    tensor.write(0, Walk(counts=(1, 1, 1, 1, 20), strides=(0, 0, 0, 0, 1)), "write")
    assert tensor.memory.written == -(-20 // tensor.portion) <= PORTIONS
    found = reads(tensor, Walk(counts=(1, 3, 1, 20, 1), strides=(0, 0, 0, 1, 0)))
    assert [address for address, _ in found] == 3 * list(range(20))
    assert all(need == address // tensor.portion + 1 for address, need in found[:20])
    assert all(need == tensor.memory.written for _, need in found[20:])


def test_what_was_written_out_of_order_is_waited_for() -> None:
    """The second half first: who reads in order waits for the first half, and then for nothing."""
    tensor = held(16)
    for first in (8, 0):
        tensor.write(0, Walk(base=first, counts=(1, 1, 1, 1, 8), strides=(0, 0, 0, 0, 1)), "write")
    found = reads(tensor, Walk(counts=(1, 1, 1, 1, 16), strides=(0, 0, 0, 0, 1)))
    assert [need for _, need in found] == [5, 5, 6, 6, 7, 7, 8, 8] + 8 * [8]


def test_other_orders_wait_for_the_whole() -> None:
    tensor = held(6)
    tensor.write(0, Walk(counts=(1, 1, 1, 1, 6), strides=(0, 0, 0, 0, 1)), "write")
    found = reads(tensor, Walk(base=5, counts=(1, 1, 1, 1, 6), strides=(0, 0, 0, 0, -1)))
    assert found == [(address, 6) for address in range(5, -1, -1)]


def test_a_part_that_was_not_written_is_no_row() -> None:
    """Half a row: nobody knows the rest, so all wait for what was written last."""
    tensor = held(8)
    tensor.write(0, Walk(counts=(1, 1, 1, 1, 4), strides=(0, 0, 0, 0, 1)), "write")
    assert [need for _, need in reads(tensor, Walk(counts=(1, 1, 1, 1, 4), strides=(0, 0, 0, 0, 1)))] == 4 * [
        4
    ]
