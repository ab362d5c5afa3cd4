"""Networks that repeat a block: scheduled once, looped in hardware; golden, engine, C++ and RTL give the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intar import pipeline, proof, rendering
from intar.design import Design
from intar.engine import run
from intar.errors import ConfigError, UnsupportedError
from intar.ir.nodes.arrays import Core
from intar.ir.nodes.ports import Load
from intar.ir.program import Program
from intar.ir.schedule import Machine, PartedSchedule
from intar.ir.segments import first_rounds
from intar.ir.taskgraph import TaskGraph
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs
from intar.quant.scheme import METHODS, Method, scheme
from intar.reopen import open_project
from intar.report.gantt import gantt_rows
from intar.report.html import render_html
from intar.report.lost import lost_cycles
from intar.report.summary import pattern_rows, report_dict
from intar.schedule import Pins
from intar.schedule.show import to_text
from intar.session import size_network
from lowering.chains import machine
from lowering.stacks import attention_stack, rational_stack, residual_stack, rotary_stack, samples

ODD: dict[str, tuple[TaskGraph, str, Machine, int]] = {
    "one row, narrow": (
        residual_stack(3, rows=1, width=7, hidden=5),
        "w8a8",
        machine(1, 1, 4, 2, 32),
        3,
    ),
    "ends": (
        residual_stack(4, rows=9, width=17, hidden=33, enter=3, leave=2),
        "w16a16",
        machine(3, 2, 8, 8, 64),
        4,
    ),
    "tables": (residual_stack(5, function="gelu", leave=3), "w16a16", machine(2, 8, 4, 1, 512), 5),
    "small tables, behind a layer": (
        residual_stack(3, function="gelu", enter=11),
        "w4a8",
        machine(),
        3,
    ),
    "shifts": (residual_stack(3, rows=6), "w8a8-pow2", machine(2, 4, 8, 4, 64), 3),
    "attention": (
        attention_stack(3, rows=5, width=12, heads=3, norms=False),
        "w8a8",
        machine(3, 2, 4, 4, 64),
        3,
    ),
    "changes of format": (
        residual_stack(4, enter=7, leave=5, function="gelu"),
        "w8a8r16",
        machine(2, 4, 8, 4, 64),
        4,
    ),
    "rotary, causal, gated": (rotary_stack(3), "w8a8r16", machine(2, 4, 8, 4, 128), 3),
    "functions behind norms": (rational_stack(3), "w8a8r16", machine(2, 4, 8, 4, 128), 3),
    "attention with norms": (attention_stack(3), "w16a16", machine(2, 4, 8, 4, 128), 3),
}


def looped(graph: TaskGraph, name: str, target: Machine, mode: Any = "auto", **how: Any) -> Design:
    how_built = scheme(name).with_rational("pieces")
    quantised, _, loops = size_network(graph, how_built, samples(graph), lambda _: target, True)
    return pipeline.compile_quantised(quantised, target, mode, how.get("pins"), loops)


@pytest.mark.parametrize("mode", ["auto", "dataflow"])
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.full if "rotary" in case else ()) for case in ODD]
)
def test_engine(case: str, mode: str) -> None:
    graph, name, target, blocks = ODD[case]
    made = looped(graph, name, target, mode)
    assert blocks in made.program.rounds
    assert proof.verify_engine(made, [random_inputs(made.quantised, n) for n in range(2)]).bit_exact


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.parametrize("case", ODD)
def test_generated_code(case: str, tmp_path: Path) -> None:
    """Two inferences in a row in C++ and in RTL, whose cycles are the engine's."""
    made = looped(*ODD[case][:3])
    inputs = [random_inputs(made.quantised, n) for n in range(2)]
    rendering.project(made).write(tmp_path / "made")
    assert proof.verify_csim(made, inputs, tmp_path / "made").bit_exact
    simulated = proof.verify_rtl(made, inputs, tmp_path / "made")
    assert simulated.bit_exact, simulated.first
    assert set(simulated.cycles) == {made.predicted.cycles}


def step_count(program: Program) -> int:
    """Steps of one round each."""
    lists = ("steps", "writes", "reads")
    return sum(len(first_rounds(getattr(node, name, ()))) for node in program.nodes for name in lists)


@pytest.mark.parametrize("method", METHODS)
def test_every_calibration_gives_blocks_one_width(method: Method) -> None:
    graph = residual_stack(4, function="gelu")
    how = scheme("w8a8", method, 99.0)
    _, _, (blocks,) = size_network(graph, how, samples(graph), lambda _: machine(), True)
    assert len(blocks) == 4


def test_a_part_without_arrays_has_no_say_in_the_width_of_weights() -> None:
    made = looped(attention_stack(3, behind=True), "w8a8r16", machine(2, 4, 8, 4, 128))
    assert made.program.rounds == (1, 3, 1)
    assert {(node.a_bits, node.w_bits) for node in made.program.nodes if isinstance(node, Core)} == {(16, 8)}
    assert proof.verify_engine(made, [random_inputs(made.quantised, 0)]).bit_exact


def test_more_blocks_are_no_more_hardware() -> None:
    """Three blocks and nine have the same nodes, links and steps; the weights are three times as many."""
    few, many = (looped(residual_stack(n), "w8a8", machine()) for n in (3, 9))
    assert step_count(few.program) == step_count(many.program)
    assert few.program.links == many.program.links
    (first, second) = ({n.name: n for n in d.program.nodes if isinstance(n, Load)} for d in (few, many))
    assert first["w0"].strides == second["w0"].strides
    assert 3 * first["w0"].words == second["w0"].words
    assert [play.round for play in many.predicted.plays][1:] == list(range(9))


def test_a_round_waits_for_the_one_before() -> None:
    """Without the other region of the state a round would read what it is about to write."""
    made = looped(residual_stack(4), "w8a8", machine())
    inputs = random_inputs(made.quantised, 0)
    images = {**made.images, **made.input_images(inputs)}
    right = made.output_tensors(run(made.program, images).outputs)
    still = tuple(
        node.model_copy(update={"steps": tuple(step.model_copy(update={"swap": 0}) for step in node.steps)})
        if node.kind in ("load", "store")
        else node
        for node in made.program.nodes
    )
    broken = run(made.program.model_copy(update={"nodes": still}), images)
    wrong = made.output_tensors(broken.outputs)
    assert any(np.any(right[name] != wrong[name]) for name in right)


def test_pins_name_the_first_block() -> None:
    graph = residual_stack(3)
    made = looped(graph, "w8a8", machine(), pins=Pins(pattern={"matmul_1": "pipelined"}))
    assert isinstance(made.schedule, PartedSchedule)
    found = [(rounds, s.pattern) for rounds, s in made.schedule.laps for p in s.tasks if p.task == "matmul_1"]
    assert found == [(3, "pipelined")]
    with pytest.raises(ConfigError, match="no task 'matmul_3' in the first round"):
        looped(graph, "w8a8", machine(), pins=Pins(cores={"matmul_3": (1,)}))


def test_what_does_not_fall_into_parts_is_refused() -> None:
    """A tensor that is read two pieces on, and rounds that differ: all said at once."""
    graph = residual_stack(3, enter=9)
    quantised = quantise(graph, scheme("w8a8"), samples(graph))
    tasks = [task.name for task in quantised.graph.tasks]
    with pytest.raises(UnsupportedError, match="is read in pieces") as skipped:
        pipeline.compile_parts(quantised, machine(), (((*tasks[:1],),), ((tasks[1],),), (tuple(tasks[2:]),)))
    assert "matmul_1" in str(skipped.value)
    with pytest.raises(UnsupportedError, match="is not like the first of its part"):
        pipeline.compile_parts(quantised, machine(), ((tuple(tasks[:3]), tuple(tasks[3:])),))


def test_a_looped_project_opens_again(tmp_path: Path) -> None:
    """Parts and schedules are in the project; the same files come out."""
    made = looped(residual_stack(3, enter=9, leave=4), "w8a8", machine())
    first = rendering.project(made)
    again = open_project(first.write(tmp_path / "made"))
    assert isinstance(again.schedule, PartedSchedule) and again.program.rounds == (1, 3, 1)
    assert rendering.project(again).files == first.files


def test_the_report_counts_rounds() -> None:
    made = looped(residual_stack(3, enter=9), "w8a8", machine())
    found = report_dict(made, lost_cycles=lost_cycles(made), patterns=list(pattern_rows(made)))
    assert {stage["rounds"] for stage in found["stages"]} == {1, 3}
    assert found["schedule"]["objective"] == sum(s["cycles"] * s["rounds"] for s in found["stages"])
    assert [row["pattern"] for row in found["patterns"]] == ["auto", "intar", "sequential", "dataflow"]
    bars = [row for row in gantt_rows(made) if row.lane == "core_0" and row.label == "matmul_2"]
    plays = [play.first for play in made.predicted.plays[1:]]
    assert [sum(bar.first > play for play in plays) for bar in bars] == [1, 2, 3]
    assert "block × 3" in to_text(made.schedule)
    assert "part 1, × 3" in render_html(made, found).decode()
