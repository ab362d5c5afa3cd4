"""Learned functions of groups of channels in a network of images: they end the convolutions, in every executor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conformance.proofs import require, require_generated

import intar
from intar import proof
from intar.frontends import Builder
from intar.ir.quantgraph import QConv
from intar.ir.taskgraph import TaskGraph
from intar.quant.random_graphs import random_inputs

SHAPE = (1, 2, 8, 16)
TO_ROWS, BACK = (0, 2, 3, 1), (0, 3, 1, 2)


def network(channels: int = 7, groups: int = 3) -> TaskGraph:
    """Two convolutions, the second with a stride of 2; a function of groups behind each, over channels that lie in the last
    axis meanwhile, and over those of the image."""
    rng = np.random.default_rng(0)
    g = Builder("learned")

    def functions(count: int, shared: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.normal(size=(shared, 6)) * 0.5 ** np.arange(6), rng.uniform(0.1, 0.5, (count, 4))

    x = g.conv2d(g.input("x", SHAPE), 0.3 * rng.normal(size=(channels, 2, 3, 3)), np.zeros(channels), pads=1)
    rows = g.rational(g.transpose(x, TO_ROWS), *functions(groups, 1), groups=groups)
    x = g.conv2d(
        g.transpose(rows, BACK), 0.3 * rng.normal(size=(6, channels, 3, 3)), np.zeros(6), stride=2, pads=1
    )
    x = g.rational(x, *functions(2, 2), groups=2, axis=1, name="second")
    g.output(g.matmul(g.reshape(x, (1, -1)), 0.2 * rng.normal(size=(6 * 4 * 8, 5))))
    return g.build()


def compiled(scheme: str, rational: str = "auto") -> intar.Accelerator:
    data = np.random.default_rng(1).normal(size=(8, *SHAPE[1:]))
    budget = {"multipliers": 32, "cores": 2, "port_bits": 128}
    return intar.compile(network(), data, budget=budget, scheme=scheme, rational=rational)


@pytest.mark.parametrize(
    ("scheme", "rational"), [("w8a8", "table"), ("w16a16", "pieces"), ("w16a16", "direct"), ("w8a8", "auto")]
)
def test_engine(scheme: str, rational: str) -> None:
    """Nothing is left of the functions but what ends the convolutions: the first image is kept in four phases."""
    made = compiled(scheme, rational).design
    tasks = made.quantised.graph.tasks
    convs = [task for task in tasks if isinstance(task, QConv)]
    assert [(c.table.groups, c.table.repeats) for c in convs if c.table] == [(3, 4), (2, 1)]
    assert [task.kind for task in tasks] == ["move", "conv", "conv", "move", "matmul"]
    require(proof.verify_engine(made, [random_inputs(made.quantised, seed) for seed in range(2)]))


@pytest.mark.full
@pytest.mark.sim
def test_cpp_and_rtl(tmp_path: Path) -> None:
    accelerator = compiled("w8a8", "table")
    made, out = accelerator.design, accelerator.write(tmp_path / "project")
    inputs = [random_inputs(made.quantised, seed) for seed in range(2)]
    require_generated(made, inputs, out)
