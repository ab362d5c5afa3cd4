"""Heads in groups, each with a softmax on a rows node of its own: side by side, bit for bit in every executor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conformance.graphs import machine
from conformance.proofs import require, require_generated

from intar import pipeline, proof, rendering
from intar.design import Design
from intar.edited import edited_schedule
from intar.errors import ConfigError
from intar.frontends.builder import Builder
from intar.ir.nodes.rows import Rows
from intar.ir.quantgraph import QSoftmax, Quantised
from intar.ir.repeats import alike, repeated_blocks
from intar.ir.schedule import Mode, PartedSchedule
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs
from intar.quant.scheme import W8A8R16
from intar.schedule.validate import validate

TOKENS, WIDTH, HEADS = 16, 32, 4
TWO = machine(4, rows=4).model_copy(update={"row_units": 2})


def attend(g: Builder, x: str, rng: np.random.Generator) -> str:
    """All projections in one matmul, attention, and the matmul behind it."""
    whole = g.matmul(x, rng.normal(size=(WIDTH, 3 * WIDTH)) * WIDTH**-0.5)

    def by_head(n: int) -> str:
        part = g.slice(whole, 1, n * WIDTH, (n + 1) * WIDTH)
        return g.transpose(g.reshape(part, (TOKENS, HEADS, WIDTH // HEADS)), (1, 0, 2))

    scores = g.mul(g.product(by_head(0), by_head(1), "second"), 0.3)
    mixed = g.product(g.softmax(scores, np.triu(np.full((TOKENS, TOKENS), -np.inf), 1)), by_head(2))
    joined = g.reshape(g.transpose(mixed, (1, 0, 2)), (TOKENS, WIDTH))
    return g.matmul(joined, rng.normal(size=(WIDTH, WIDTH)) * WIDTH**-0.5)


@pytest.fixture(scope="module")
def attention() -> Quantised:
    """Causal attention of 4 heads of 8 columns, all cut out of one tensor, and the matmul behind it."""
    rng = np.random.default_rng(0)
    g = Builder("attention")
    g.output(attend(g, g.input("x", (TOKENS, WIDTH)), rng))
    return quantise(g.build(), W8A8R16, {"x": rng.normal(size=(16, TOKENS, WIDTH))})


@pytest.fixture(scope="module")
def made(attention: Quantised) -> Design:
    return pipeline.compile_quantised(attention, TWO)


def rows_nodes(design: Design) -> list[str]:
    return [node.name for node in design.program.nodes if isinstance(node, Rows)]


def test_softmaxes_side_by_side(attention: Quantised, made: Design) -> None:
    one = pipeline.compile_quantised(attention, TWO.model_copy(update={"row_units": 1}))
    assert (rows_nodes(one), rows_nodes(made)) == (["rows"], ["rows", "rows_1"])
    assert made.predicted.cycles < 0.9 * one.predicted.cycles
    (stage,) = (s for s in made.schedule.stages if sum(p.unit for p in s.tasks) == 1)
    assert stage.pattern == "pipelined" and len({core for p in stage.tasks for core in p.cores}) == 4
    first, second = (
        [span.first for span in made.predicted.stages if span.node == name] for name in ("rows", "rows_1")
    )
    assert abs(first[0] - second[0]) < 20, "none waits for the other"
    require(proof.verify_engine(made, [random_inputs(attention, seed) for seed in range(2)]))


@pytest.mark.parametrize("mode", ["sequential", pytest.param("dataflow", marks=pytest.mark.full)])
def test_other_patterns(attention: Quantised, mode: Mode) -> None:
    design = pipeline.compile_quantised(attention, TWO, mode)
    require(proof.verify_engine(design, [random_inputs(attention, 0)]))


def test_an_edited_schedule(attention: Quantised, made: Design, tmp_path: Path) -> None:
    """It names the groups' tasks; a rows node that is not there is refused."""
    path = tmp_path / "schedule.json"
    path.write_text(made.schedule.to_json())
    again = pipeline.design(attention, edited_schedule(path, attention))
    assert again.predicted.cycles == made.predicted.cycles
    path.write_text(made.schedule.to_json().replace('"unit": 1', '"unit": 2'))
    with pytest.raises(ConfigError, match="on rows node 2, of 2"):
        edited_schedule(path, attention)


@pytest.mark.parametrize("change", ["cores", "unit"])
def test_parts_that_are_not_alike(made: Design, change: str) -> None:
    stages = list(made.schedule.stages)
    at = next(n for n, stage in enumerate(stages) if sum(p.unit for p in stage.tasks))
    tasks = list(stages[at].tasks)
    where = next(n for n, p in enumerate(tasks) if p.unit == 1 or (change == "cores" and p.cores == (2,)))
    tasks[where] = tasks[where].model_copy(update={"unit": 0} if change == "unit" else {"cores": (1,)})
    stages[at] = stages[at].model_copy(update={"tasks": tuple(tasks)})
    broken = validate(made.schedule.model_copy(update={"stages": tuple(stages)}), made.quantised.graph)
    assert "pattern" in {violation.rule for violation in broken}


@pytest.mark.parametrize("mode", ["intar", "dataflow"])
def test_softmaxes_alone(mode: Mode) -> None:
    """Two that nothing else depends on are a parallel stage, on a rows node each: on one node they would wait."""
    g = Builder("two")
    g.output(*(g.softmax(g.input(name, (5, 11))) for name in "xy"))
    samples = {name: np.random.default_rng(0).normal(size=(4, 5, 11)) for name in "xy"}
    design = pipeline.compile_quantised(quantise(g.build(), W8A8R16, samples), TWO, mode)
    (stage,) = (stage for _, stage in design.schedule.laps)
    assert (stage.pattern, [place.unit for place in stage.tasks]) == ("parallel", [0, 1])
    require(proof.verify_engine(design, [random_inputs(design.quantised, 0)]))
    first = tuple(place.model_copy(update={"unit": 0}) for place in stage.tasks)
    schedule = design.schedule.model_copy(update={"stages": (stage.model_copy(update={"tasks": first}),)})
    assert "rows node 0 has 2 tasks" in [v.what for v in validate(schedule, design.quantised.graph)]


@pytest.mark.full
def test_in_a_loop() -> None:
    rng = np.random.default_rng(0)
    g = Builder("loop")
    x = g.input("x", (TOKENS, WIDTH))
    for _ in range(3):
        x = g.add(x, attend(g, x, rng))
    g.output(x)
    graph = g.build()
    loops = repeated_blocks(graph)
    samples = {"x": rng.normal(size=(8, TOKENS, WIDTH))}
    quantised = quantise(graph, W8A8R16, samples, alike=alike(graph, loops))
    one, two = (
        pipeline.compile_quantised(quantised, TWO.model_copy(update={"row_units": units}), loops=loops)
        for units in (1, 2)
    )
    assert isinstance(two.schedule, PartedSchedule) and rows_nodes(two) == ["rows", "rows_1"]
    assert two.predicted.cycles < 0.9 * one.predicted.cycles
    require(proof.verify_engine(two, [random_inputs(quantised, seed) for seed in range(2)]))


@pytest.mark.sim
@pytest.mark.full
def test_csim_and_rtl(attention: Quantised, made: Design, tmp_path: Path) -> None:
    assert sum(isinstance(task, QSoftmax) for task in made.quantised.graph.tasks) == 2
    inputs = [random_inputs(attention, seed) for seed in range(2)]
    require_generated(made, inputs, rendering.project(made).write(tmp_path))
