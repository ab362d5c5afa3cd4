"""The search of the cheapest formats: it meets its bound, counts what golden does, and says so when nothing does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conformance.transformer import block

from intar.cli import main
from intar.errors import ConfigError, InfeasibleError
from intar.frontends.builder import Builder
from intar.frontends.torch_graph import import_torch
from intar.ir.quantgraph import QMatmul, QTensor, QuantGraph
from intar.ir.reference import run_float
from intar.quant.chosen import read_formats
from intar.quant.golden import dequantise, quantise_input, run_golden
from intar.quant.quantise import quantise
from intar.quant.scheme import W8A8, W8A8R16
from intar.quant.search import Outputs, Search, bits_moved, cosine, search_formats, sqnr

COUNT = 4


@pytest.fixture(scope="module")
def found() -> Search:
    graph, samples = block()
    return search_formats(graph, W8A8R16, {"x": samples}, 42.0, metric="sqnr", count=COUNT, weights=True)


def test_the_bound_is_met_and_nothing_is_left_to_gain(found: Search) -> None:
    assert found.wide.score > found.chosen.score >= 42.0 > found.narrow.score
    assert found.chosen.moved < found.wide.moved
    kept = [step for step in found.steps if step.kept]
    assert kept and len(kept) < len(found.steps)
    best = found.wide
    for step in found.steps:
        assert step.kept == (step.trial.score >= 42.0 and step.trial.moved < best.moved)
        best = step.trial if step.kept else best
    assert best == found.chosen


def test_the_score_is_that_of_golden(found: Search) -> None:
    graph, samples = block()
    made = quantise(graph, W8A8R16.with_bits(found.chosen.bits), {"x": samples})
    out, real, golden = graph.outputs[0], [], []
    for x in samples[:COUNT]:
        real.append({out: run_float(graph, {"x": x})[out]})
        ints = run_golden(made, {"x": quantise_input(made.graph.tensor("x"), x)}).tensors[out]
        golden.append({out: dequantise(made.graph.tensor(out), ints)})
    assert sqnr(real, golden) == pytest.approx(found.chosen.score, abs=1e-9)
    assert bits_moved(made.graph) == found.chosen.moved


def test_cost_by_hand() -> None:
    tensors = (
        QTensor(name="x", shape=(3, 4), bits=8, scale=1.0),
        QTensor(name="y", shape=(3, 5), bits=16, scale=1.0),
    )
    common = {"lo": -9, "hi": 9, "weight": "w", "bias": "b", "mult": "m", "shift": "s", "acc_bits": 20}
    task = QMatmul(name="t", inputs=("x",), output="y", weight_bits=4, **common)
    graph = QuantGraph(name="g", tensors=tensors, tasks=(task,), inputs=("x",), outputs=("y",))
    assert bits_moved(graph) == 3 * 4 * 8 + 3 * 5 * 16 + 4 * 5 * 4


def test_places_that_are_alike_are_narrowed_together() -> None:
    rng = np.random.default_rng(2)
    g = Builder("chain")
    y = g.input("x", (4, 8))
    for index in range(4):
        y = g.relu(g.matmul(y, rng.normal(size=(8, 8)), name=f"fc_{index}"))
    g.output(y)
    graph, samples = g.build(), {"x": rng.normal(size=(6, 4, 8))}
    outputs = tuple(task.output for task in graph.tasks if task.name.startswith("fc_"))
    made = tuple(graph.consumers(name)[0].output for name in outputs)
    found = search_formats(graph, W8A8R16, samples, 0.9, count=2, alike=[outputs, made])
    assert [step.unit.patterns for step in found.steps] == [("fc_*.in",)]


def test_a_metric_of_ones_own() -> None:
    graph, samples = block()

    def same_signs(real: Outputs, golden: Outputs) -> float:
        return float(
            np.mean([(a[n] > 0) == (b[n] > 0) for a, b in zip(real, golden, strict=True) for n in a])
        )

    found = search_formats(graph, W8A8R16, {"x": samples}, 0.5, metric=same_signs, count=2)
    assert found.chosen.score <= 1 and all(
        step.kept or step.trial.moved >= found.chosen.moved for step in found.steps
    )


def test_a_bound_that_nothing_meets() -> None:
    graph, samples = block()
    with pytest.raises(InfeasibleError, match=r"places wide, the metric is .* and not 0.99999999"):
        search_formats(graph, W8A8, {"x": samples}, 0.99999999, count=2)


def test_indices_have_no_cosine() -> None:
    g = Builder("chooser")
    g.output(g.argmax(g.matmul(g.input("x", (2, 4)), np.eye(4))))
    with pytest.raises(ConfigError, match="is an index"):
        search_formats(g.build(), W8A8, {"x": np.ones((2, 2, 4))}, 0.9)
    assert cosine([{"y": np.zeros(2)}], [{"y": np.zeros(2)}]) == 1


def test_tune_and_use_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "formats.json"
    with pytest.raises(SystemExit) as stopped:
        main(
            [
                "tune",
                "digits",
                "--bound",
                "30",
                "--metric",
                "sqnr",
                "--samples",
                "8",
                "--weights",
                "-o",
                str(file),
            ]
        )
    assert stopped.value.code == 0 and "chosen: sqnr" in capsys.readouterr().out
    chosen = read_formats(file)
    assert chosen.scheme == "w8a8" and set(chosen.bits.values()) <= {4, 8, 16}
    with pytest.raises(SystemExit) as stopped:
        main(["schedule", "digits", "--bits", str(file), "--json"])
    assert stopped.value.code == 0
    with pytest.raises(SystemExit) as stopped:
        main(
            [
                "schedule",
                "digits",
                "--bits",
                "nothing.in=16",
                "--bits",
                "conv.weight=5",
                "--bits",
                str(tmp_path / "no.json"),
            ]
        )
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "5 bits are asked for" in said and "can't be read" in said


def test_tasks_of_one_name_in_the_model() -> None:
    """Two products that PyTorch calls ``matmul``: the name means the task that is called so in the graph, too."""

    class Attention(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x @ x.transpose(1, 2)).softmax(-1) @ x

    samples = np.random.default_rng(0).normal(size=(4, 6, 8)).astype(np.float32)
    graph = import_torch(Attention().eval(), samples)
    found = search_formats(graph, W8A8R16, {"x": samples}, 0.9)
    named = {pattern for step in found.steps for pattern in step.unit.patterns}
    assert named == {"matmul.in0", "matmul.in1", "matmul_2.in0", "matmul_2.in1"}
