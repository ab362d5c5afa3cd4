"""Moves that take one run of beats need no step: whoever makes the beats writes them into the run's memories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intar import pipeline, proof, rendering
from intar.frontends.builder import Builder
from intar.ir.beats import beat_runs
from intar.ir.circuit import circuit
from intar.ir.nodes.memories import Buffer
from intar.ir.program import Program
from intar.ir.quantgraph import QMove, Quantised
from intar.ir.schedule import Machine, Mode, Schedule
from intar.lower.lower import lower, perform
from intar.lower.site import Common
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs

LANES = 4
MACHINE = Machine(cores=2, rows=1, lanes=LANES, rate=2, port_bits=64, onchip_bytes=1 << 16, clock_mhz=250.0)
MODES: tuple[Mode, ...] = ("auto", "sequential", "dataflow")


def gated(steps: int = 2) -> Quantised:
    """An LSTM's arithmetic: the four gates are quarters of a row, again and again."""
    rng = np.random.default_rng(steps)
    width = 2 * LANES
    g = Builder("gated")
    x, weight = g.input("x", (1, width)), rng.normal(size=(width, 4 * width))
    state = g.mul(x, x)
    for _ in range(steps):
        gates = g.matmul(x, weight)
        i, f, c, o = (g.slice(gates, 1, n * width, (n + 1) * width) for n in range(4))
        state = g.add(g.mul(g.sigmoid(f), state), g.mul(g.sigmoid(i), g.tanh(c)))
        x = g.mul(g.sigmoid(o), g.tanh(state))
    g.output(x)
    return quantise(g.build(), calibration={"x": rng.normal(size=(4, 1, width))})


def one_token() -> Quantised:
    """Heads of a single token: cut out, put in front, and joined again; queries go outside, and a part of them."""
    rng = np.random.default_rng(0)
    g = Builder("one token")
    x = g.input("x", (1, 8))
    whole = g.matmul(x, rng.normal(size=(8, 9 * LANES)))
    parts = (g.slice(whole, 1, first, first + 3 * LANES) for first in range(0, 9 * LANES, 3 * LANES))
    q, k, v = (g.transpose(g.reshape(part, (1, 3, LANES)), (1, 0, 2)) for part in parts)
    summed = g.reshape(g.add(g.mul(q, k), v), (1, 3 * LANES))
    g.output(g.matmul(summed, rng.normal(size=(3 * LANES, 8))))
    g.output(q)
    g.output(g.slice(whole, 1, LANES, 2 * LANES))
    return quantise(g.build(), calibration={"x": rng.normal(size=(4, 1, 8))})


def moved(program: Program, quantised: Quantised) -> set[str]:
    """The moves of which some buffer has a step."""
    moves = {task.name for task in quantised.graph.tasks if isinstance(task, QMove)}
    buffers = (node for node in program.nodes if isinstance(node, Buffer))
    return moves & {step.note for node in buffers for step in (*node.reads, *node.writes)}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [gated, one_token])
def test_runs_are_written_by_who_makes_them(make, mode: Mode) -> None:
    quantised = make()
    made = pipeline.compile_quantised(quantised, MACHINE, mode)
    assert any(isinstance(task, QMove) for task in quantised.graph.tasks)
    assert not moved(made.program, quantised)
    assert proof.verify_engine(made, [random_inputs(quantised, seed) for seed in range(2)]).bit_exact


@pytest.mark.parametrize("make", [gated, one_token])
def test_the_model_knows_them(make) -> None:
    """They cost no cycles of the model either; only a result of the network takes its time to be stored."""
    quantised = make()
    graph = circuit(quantised.graph)
    schedule = pipeline.compile_quantised(quantised, MACHINE, "sequential").schedule
    assert isinstance(schedule, Schedule)
    runs = beat_runs(graph, LANES)
    assert runs == {task.name for task in graph.tasks if isinstance(task, QMove)}
    tasks = {task.name: task for task in graph.tasks}
    for stage in schedule.stages:
        (task,) = (tasks[place.task] for place in stage.tasks)
        assert (stage.cycles == 0) == (task.name in runs and task.output not in graph.outputs)


def test_it_saves_the_moves_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same schedule with moves that are done takes longer, and gives the same bits."""
    quantised = one_token()
    made = pipeline.compile_quantised(quantised, MACHINE, "sequential")
    plain = Common(forwards=False)
    monkeypatch.setattr(
        "intar.lower.lower.perform", lambda network, schedule, common=plain: perform(network, schedule, plain)
    )
    other = pipeline.design(quantised, made.schedule)
    assert moved(other.program, quantised)
    assert made.predicted.cycles < other.predicted.cycles
    assert proof.verify_engine(other, [random_inputs(quantised, 0)]).bit_exact


def test_where_memory_is_short_they_move() -> None:
    """The runs' memories hold all of their source: where that is too much, the schedule's own sizes do."""
    quantised = gated()
    made = pipeline.compile_quantised(quantised, MACHINE, "sequential")
    size = sum(n.depth * n.lanes * n.bits // 8 for n in made.program.nodes if isinstance(n, Buffer))
    small = made.schedule.machine.model_copy(update={"onchip_bytes": size - 1})
    lowered = lower(quantised, made.schedule.model_copy(update={"machine": small}))
    assert moved(lowered.program, quantised)


def test_a_part_of_a_beat_is_moved() -> None:
    """Quarters of 5 elements begin inside of beats; columns of several rows are no run."""
    rng = np.random.default_rng(1)
    g = Builder("no runs")
    x = g.input("x", (3, 8))
    whole = g.matmul(x, rng.normal(size=(8, 20)))
    left, middle = g.slice(whole, 1, 0, 8), g.slice(whole, 1, 5, 13)
    g.output(g.add(left, middle))
    quantised = quantise(g.build(), calibration={"x": rng.normal(size=(4, 3, 8))})
    assert not beat_runs(quantised.graph, LANES)
    made = pipeline.compile_quantised(quantised, MACHINE, "sequential")
    assert moved(made.program, quantised)
    assert proof.verify_engine(made, [random_inputs(quantised, seed) for seed in range(2)]).bit_exact


@pytest.mark.full
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [gated, one_token])
def test_runs_in_the_circuit(make, mode: Mode, tmp_path: Path) -> None:
    made = pipeline.compile_quantised(make(), MACHINE, mode)
    rendering.project(made).write(tmp_path)
    given = [random_inputs(made.quantised, seed) for seed in range(2)]
    for verify in (proof.verify_csim, proof.verify_rtl):
        assert verify(made, given, tmp_path).bit_exact
