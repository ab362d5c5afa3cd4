"""Embedding and argmax at the border of a network, through every executor, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conformance.proofs import require, require_generated

import intar
from intar import proof
from intar.errors import CalibrationError, ConfigError, UnsupportedError
from intar.frontends import Builder
from intar.ir.taskgraph import TaskGraph
from intar.quant.golden import run_golden
from intar.quant.random_graphs import random_inputs

ROWS, WIDTH, VOCABULARY = 11, 20, 37


def language(tokens: int, logits: bool = False, seed: int = 0) -> TaskGraph:
    """Tokens and positions → rows of two tables, added → logits → index of the largest (and the logits)."""
    rng = np.random.default_rng(seed)
    g = Builder("language")
    ids, places = g.input("tokens", (1, tokens)), g.input("positions", (1, tokens))
    x = g.embedding(ids, rng.normal(size=(ROWS, WIDTH)))
    x = g.add(x, g.embedding(places, rng.normal(size=(16, WIDTH))))
    y = g.matmul(x, rng.normal(size=(WIDTH, VOCABULARY)), rng.normal(size=VOCABULARY), name="logits")
    g.output(g.argmax(y, name="next"), *([y] if logits else []))
    return g.build()


def compiled(tokens: int, logits: bool, scheme: str, **budget: object) -> intar.Accelerator:
    rng = np.random.default_rng(1)
    data = {"tokens": rng.integers(0, ROWS, (8, tokens)), "positions": rng.integers(0, 16, (8, tokens))}
    given = {"multipliers": 32, "cores": 2, "port_bits": 128, **budget}
    return intar.compile(language(tokens, logits), data, budget=given, scheme=scheme)


@pytest.mark.parametrize("scheme", ["w8a8", "w8a8r16"])
@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize("tokens", [1, 3, 16])
def test_engine(tokens: int, logits: bool, scheme: str) -> None:
    made = compiled(tokens, logits, scheme).design
    samples = [random_inputs(made.quantised, seed) for seed in range(3)]
    require(proof.verify_engine(made, samples))
    makers = {link.src.split(".")[0] for link in made.program.links if "argmax_in" in link.dst}
    streamed = {"vector_0", "vector_1"} <= {
        name.removeprefix("split_").removesuffix("_out") for name in makers
    }
    assert streamed == (tokens == 1 and not logits), "a single row of logits goes straight to the argmax"


def test_several_outputs_and_inputs_share_ports() -> None:
    made = compiled(6, True, "w8a8", inputs=2, outputs=2).design
    require(proof.verify_engine(made, [random_inputs(made.quantised, seed) for seed in range(2)]))


@pytest.mark.sim
@pytest.mark.parametrize(("tokens", "logits"), [(1, False), pytest.param(6, True, marks=pytest.mark.full)])
def test_cpp_and_rtl(tokens: int, logits: bool, tmp_path: Path) -> None:
    """Ids beyond the ends of the tables among them; the engine's cycles exactly, whatever the ids are."""
    accelerator = compiled(tokens, logits, "w8a8")
    made, out = accelerator.design, accelerator.write(tmp_path / "project")
    samples = [random_inputs(made.quantised, seed) for seed in range(3)]
    require_generated(made, samples, out)


def test_first_of_equals_and_ends_of_the_table() -> None:
    made = compiled(3, True, "w8a8").design
    (argmax,) = (task for task in made.quantised.graph.tasks if task.kind == "argmax")
    inputs = {"tokens": np.array([[-5, 0, 400]]), "positions": np.array([[0, 0, 0]])}
    result = run_golden(made.quantised, inputs).tensors
    held = run_golden(made.quantised, {**inputs, "tokens": np.array([[0, 0, ROWS - 1]])}).tensors
    assert all(np.array_equal(result[name], held[name]) for name in ("logits", "next"))
    ties = np.zeros(made.quantised.graph.tensor(argmax.inputs[0]).shape, np.int64)
    ties[..., [5, 9, 30]] = 7
    assert ties.argmax(-1).tolist() == [[5, 5, 5]]


def test_mistakes() -> None:
    accelerator = compiled(3, False, "w8a8")
    with pytest.raises(ConfigError, match=r"ids are 0 … 10"):
        accelerator({"tokens": np.array([[0, 11, -1]]), "positions": np.zeros((1, 3))})
    with pytest.raises(CalibrationError, match=r"not all ids 0 … 10"):
        intar.compile(language(3), {"tokens": np.full((4, 3), 11), "positions": np.zeros((4, 3))})
    g = Builder("wrong")
    x, rng = g.input("ids", (4,)), np.random.default_rng(0)
    table = rng.normal(size=(5, 4))
    rows = g.embedding(x, table)
    chosen = g.argmax(g.matmul(rows, table.T))
    g.output(g.add(g.embedding(chosen, table), g.mul(g.reshape(x, (4, 1)), np.ones(4))), rows)
    with pytest.raises(UnsupportedError) as caught:
        intar.compile(g.build(), np.zeros((4, 4)))
    found = "\n".join(finding.what for finding in caught.value.findings)
    for expected in (
        "are read by reshape too",
        "not an output of the network",
        "are computed in the network",
    ):
        assert expected in found
