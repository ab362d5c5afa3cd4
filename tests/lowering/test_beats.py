"""Moves of whole beats go from memory to memory, a beat a cycle, without the element mover."""

from __future__ import annotations

import numpy as np
import pytest

from intar import pipeline, proof
from intar.frontends.builder import Builder
from intar.ir.beats import beat_addresses
from intar.ir.nodes.memories import Buffer
from intar.ir.nodes.movers import Gather
from intar.ir.quantgraph import QMatmul, QMove, Quantised
from intar.ir.schedule import Machine, Mode
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs
from intar.schedule.timeline import timeline

LANES = 4
MACHINE = Machine(cores=2, rows=2, lanes=LANES, rate=2, port_bits=64, onchip_bytes=1 << 16, clock_mhz=250.0)


def heads(width: int) -> Quantised:
    """6 tokens, 3 heads of `width` channels each, to the front and back again; then a part of a concat."""
    rng = np.random.default_rng(width)
    g = Builder("heads")
    x = g.input("x", (6, 8))
    q = g.matmul(x, rng.normal(size=(8, 3 * width)))
    front = g.transpose(g.reshape(q, (6, 3, width)), (1, 0, 2))
    squared = g.mul(front, front)
    back = g.reshape(g.transpose(squared, (1, 0, 2)), (6, 3 * width))
    both = g.concat([back, q], axis=1)
    g.output(g.matmul(g.slice(both, 1, width, 5 * width), rng.normal(size=(4 * width, 8))))
    return quantise(g.build(), calibration={"x": rng.normal(size=(4, 6, 8))})


@pytest.mark.parametrize(("width", "whole"), [(LANES, True), (2 * LANES, True), (LANES + 1, False)])
@pytest.mark.parametrize("mode", ["auto", "sequential"])
def test_heads_move_as_beats(width: int, whole: bool, mode: Mode) -> None:
    made = pipeline.compile_quantised(heads(width), MACHINE, mode)
    assert any(isinstance(task, QMove) for task in made.quantised.graph.tasks)
    assert any(isinstance(node, Gather) for node in made.program.nodes) != whole
    assert proof.verify_engine(made, [random_inputs(made.quantised, seed) for seed in range(2)]).bit_exact
    assert 0.85 < made.schedule.objective / made.predicted.cycles < 1.35, "stages, one after the other"
    assert 0.9 < timeline(made.schedule, made.quantised.graph)[1] / made.predicted.cycles < 1.1, (
        "moves follow who makes what they take"
    )


def projections() -> Quantised:
    """Queries, keys and values of 3 heads out of one matmul of 6 tokens, multiplied with each other."""
    rng = np.random.default_rng(0)
    g = Builder("projections")
    x = g.input("x", (6, 8))
    whole = g.matmul(x, rng.normal(size=(8, 9 * LANES)))
    parts = (g.slice(whole, 1, first, first + 3 * LANES) for first in range(0, 9 * LANES, 3 * LANES))
    q, k, v = (g.transpose(g.reshape(part, (6, 3, LANES)), (1, 0, 2)) for part in parts)
    g.output(g.product(g.product(q, k, "second"), v))
    return quantise(g.build(), calibration={"x": rng.normal(size=(4, 6, 8))})


def test_moves_out_of_one_tensor_follow_it_together() -> None:
    """Beats of all three are moved in the order in which they are there."""
    quantised = projections()
    matmul, *moves = (task for task in quantised.graph.tasks if isinstance(task, QMatmul | QMove))
    assert [task.inputs for task in moves[:3]] == [(matmul.output,)] * 3
    made = pipeline.compile_quantised(quantised, MACHINE, "sequential")
    names = [task.name for task in moves[:3]]
    buffers = (node for node in made.program.nodes if isinstance(node, Buffer))
    (reads,) = (found for node in buffers if (found := [s for s in node.reads if s.note in names]))
    needs = [need for step in reads for need in step.needs()]
    assert needs == sorted(needs) and len(set(needs)) > 3, "beats wait for others that come later"
    assert {step.note for step in reads} == set(names)
    assert proof.verify_engine(made, [random_inputs(quantised, seed) for seed in range(2)]).bit_exact


def test_rows_of_an_input_are_padded() -> None:
    """A slice that begins inside of a beat, or rows that end inside of one, are moved element by element."""
    graph = heads(LANES).graph
    tensors = {tensor.name: tensor for tensor in graph.tensors}
    moves = [task for task in graph.tasks if isinstance(task, QMove)]
    assert all(beat_addresses(move, tensors, LANES) is not None for move in moves)
    assert all(beat_addresses(move, tensors, LANES + 1) is None for move in moves)
    for move in moves:
        addresses = np.concatenate([found for _, found in beat_addresses(move, tensors, 2) or []])
        assert len(addresses) == tensors[move.output].rows * tensors[move.output].cols // 2


def channels(width: int) -> Quantised:
    """A convolution's channels in two halves, what a second one makes of one of them, and all of it one after the other."""
    rng = np.random.default_rng(width)
    g = Builder("channels")
    x = g.conv2d(g.input("x", (1, 2, 3, width)), rng.normal(size=(8, 2, 1, 1)))
    half = g.slice(x, 1, 4, 8)
    made = g.conv2d(half, rng.normal(size=(4, 4, 3, 3)), pads=(1, 1, 1, 1))
    g.output(g.conv2d(g.concat([half, made, x], axis=1), rng.normal(size=(4, 16, 1, 1))))
    return quantise(g.build(), calibration={"x": rng.normal(size=(4, 1, 2, 3, width))})


@pytest.mark.parametrize("width", [4, 5])
def test_channels_move_as_beats_whose_last_one_is_not_full(width: int) -> None:
    """Rows of 12 and of 15 pixels are three and four beats of four."""
    made = pipeline.compile_quantised(channels(width), MACHINE, "sequential")
    assert any(isinstance(task, QMove) and not task.host for task in made.quantised.graph.tasks)
    assert not any(isinstance(node, Gather) for node in made.program.nodes)
    assert proof.verify_engine(made, [random_inputs(made.quantised, seed) for seed in range(2)]).bit_exact


def test_rows_that_end_at_other_lanes_are_moved_by_elements() -> None:
    rng = np.random.default_rng(0)
    g = Builder("columns")
    x = g.matmul(g.input("x", (3, 4)), rng.normal(size=(4, 7)))
    for first in (0, 2):  # five of seven columns: from a whole beat on, and to the end of the row
        g.output(g.mul(g.slice(x, 1, first, first + 5), 2.0))
    graph = quantise(g.build(), calibration={"x": rng.normal(size=(4, 3, 4))}).graph
    tensors = {tensor.name: tensor for tensor in graph.tensors}
    moves = [task for task in graph.tasks if isinstance(task, QMove)]
    assert len(moves) == 2 and all(beat_addresses(move, tensors, LANES) is None for move in moves)


def test_what_stands_behind_rows_does_not_move_where_it_is_multiplied() -> None:
    """Cells of 4 channels multiply what is behind 6: moves of elements leave zeros there. Behind 12 is nothing."""
    for width, whole in ((2, False), (4, True)):
        graph = channels(width).graph
        tensors = {tensor.name: tensor for tensor in graph.tensors}
        (joined,) = (task for task in graph.tasks if isinstance(task, QMove) and len(task.inputs) > 1)
        assert beat_addresses(joined, tensors, LANES) is not None
        assert (beat_addresses(joined, tensors, LANES, 4) is not None) == whole
