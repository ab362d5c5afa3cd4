"""A block of a Kolmogorov-Arnold transformer from torch.export to bits: attention, then learned functions of 8 groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from intar import pipeline, proof, rendering
from intar.assets import import_file
from intar.design import Design
from intar.device import make_machine
from intar.ir.quantgraph import QMatmul, QNorm
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs
from intar.quant.scheme import scheme

script = import_file(Path(__file__).parents[2] / "benchmarks" / "kat_block.py")


@pytest.fixture(scope="module")
def made() -> Design:
    graph, samples = script.block("grkan", 16, 2, 5)
    quantised = quantise(graph, scheme("w8a8r16"), {graph.inputs[0]: samples})
    made = pipeline.compile_quantised(
        quantised, make_machine("u280", {"multipliers": 64, "cores": 2}, quantised)
    )
    assert script.quality(graph, made, samples) > 35
    return made


def test_engine(made: Design) -> None:
    """The first function joins the normalisation before it, the second one the matmul."""
    tables = [(type(task), task.table.groups) for task in made.quantised.graph.tasks if task.table]
    assert tables == [(QNorm, 8), (QMatmul, 8)]
    check = proof.verify_engine(made, [random_inputs(made.quantised, seed) for seed in range(2)])
    assert check.bit_exact, check.first


@pytest.mark.full
def test_csim_and_rtl(made: Design, tmp_path: Path) -> None:
    rendering.project(made).write(tmp_path)
    inputs = [random_inputs(made.quantised, seed) for seed in range(2)]
    for check in (
        proof.verify_csim(made, inputs, tmp_path),
        proof.verify_rtl(made, inputs, tmp_path),
    ):
        assert check.bit_exact, f"{check.executor}: {check.first}"
    assert max(check.cycles) == made.predicted.cycles
