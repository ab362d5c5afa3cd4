"""The self-attention kernel with its dimensions cut, from YAML through every executor, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conformance.proofs import require, require_rtl

from intar import pipeline, proof, rendering
from intar.design import Design
from intar.ir.nodes.rows import Rows
from intar.ir.schedule import Mode
from intar.quant.random_graphs import random_inputs
from intar.report.summary import cycle_limit
from intar.session import open_source

Made = tuple[Design, Path, list[dict[str, np.ndarray]]]


@pytest.mark.parametrize("mode", ["auto", "intar", "sequential", "dataflow"])
def test_every_pattern_in_the_engine(mode: Mode) -> None:
    source = open_source("self_attn_small")
    made = pipeline.compile_quantised(source.quantised, source.machine, mode)
    assert sum(isinstance(node, Rows) for node in made.program.nodes) == 1
    require(proof.verify_engine(made, [random_inputs(made.quantised, seed) for seed in range(2)]))
    assert cycle_limit(made) == -(-294_912 // 32)
    # Alone in its stage the softmax follows the product before it and is followed, which the model does not see.
    assert -0.05 < made.schedule.objective / made.predicted.cycles - 1 < 0.1


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Made:
    source = open_source("self_attn_small")
    made = pipeline.compile_quantised(source.quantised, source.machine)
    out = tmp_path_factory.mktemp("self_attn_small")
    rendering.project(made).write(out)
    return made, out, [random_inputs(made.quantised, seed) for seed in range(2)]


def test_csim(generated: Made) -> None:
    made, out, samples = generated
    require(proof.verify_csim(made, samples, out, sweep=True))


@pytest.mark.full
@pytest.mark.sim
def test_rtl(generated: Made) -> None:
    """The bits, and the engine's cycles exactly."""
    made, out, samples = generated
    require_rtl(made, samples, out)
