"""Matmuls that follow their producer column block by column block: engine, generated C++ and RTL give golden's bits."""

from __future__ import annotations

import pytest

from intar import pipeline, proof, rendering
from intar.design import Design
from intar.ir.nodes.arrays import Core
from intar.quant.random_graphs import random_inputs, random_quantised
from intar.schedule import solve
from lowering.chains import chain, machine


def following(seed: int) -> Design:
    """A network of matmuls of few rows as a dataflow machine; some of them follow."""
    quantised = random_quantised(seed, tasks=4, ops=("matmul", "matmul", "matmul", "affine"))
    target = machine(cores=2 + seed % 3, rows=8, lanes=(4, 8)[seed % 2], port_bits=128)
    made = pipeline.design(quantised, solve(quantised.graph, target, "dataflow"))
    assert any(p.follows for stage in made.schedule.stages for p in stage.tasks), "nothing follows"
    contexts = [s.contexts for n in made.program.nodes if isinstance(n, Core) for s in n.steps]
    visits = [s.visits for n in made.program.nodes if isinstance(n, Core) for s in n.steps]
    assert max(contexts) > 1 or max(visits) > 1
    return made


SEEDS = (46, 15, 23, 58, 64)


@pytest.mark.parametrize("seed", SEEDS)
def test_engine(seed):
    made = following(seed)
    assert proof.verify_engine(made, [random_inputs(made.quantised, n) for n in range(3)]).bit_exact


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.parametrize("seed", SEEDS)
def test_generated_code(seed, tmp_path):
    made = following(seed)
    inputs = [random_inputs(made.quantised, n) for n in range(2)]
    rendering.project(made).write(tmp_path / "made")
    assert proof.verify_csim(made, inputs, tmp_path / "made").bit_exact
    simulated = proof.verify_rtl(made, inputs, tmp_path / "made")
    assert simulated.bit_exact, simulated.first
    assert set(simulated.cycles) == {made.predicted.cycles}


def test_dataflow_overlaps_layers_of_one_row():
    """The last layer of the paper's mlp hides behind the middle one, and the first block of that behind the first layer,
    portion by portion: 146,432 products in a row, not 180,224."""
    quantised = chain(1, [256, 1024, 2048, 256], 16, 16)
    target = machine(rows=1, lanes=16, rate=1, port_bits=256)
    made = pipeline.design(quantised, solve(quantised.graph, target, "dataflow"))
    assert 146_432 <= made.predicted.cycles <= 147_500
    assert abs(made.schedule.objective / made.predicted.cycles - 1) < 0.01
