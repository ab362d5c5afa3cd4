"""Scales for each token through every executor: rows over their peaks, peaks in the tails of matmuls, biases behind them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conformance.graphs import forced, in_pattern, machine
from conformance.proofs import require, require_generated
from conformance.transformer import block

from intar import pipeline, proof, rendering
from intar.frontends.builder import Builder
from intar.ir.nodes.arrays import Core
from intar.ir.quantgraph import QBinary, QMatmul, Quantised
from intar.ir.schedule import Mode
from intar.quant.quantise import quantise
from intar.quant.random_graphs import TOKENS, random_inputs, random_quantised
from intar.quant.scheme import W8A8, W8A8R16


def layers(tokens: int, width: int = 20, columns: int = 27) -> Quantised:
    """Two layers, the first with a function and a bias behind its peaks, the second without either; a product with peaks
    that no matmul makes."""
    rng = np.random.default_rng(5)
    g = Builder("layers")
    x = g.input("x", (tokens, width))
    h = g.gelu(g.matmul(x, rng.normal(size=(width, columns)), rng.normal(size=columns), name="first"))
    y = g.matmul(h, rng.normal(size=(columns, width)), name="second")
    g.output(g.mul(g.add(x, y), g.row_peak(y)))
    graph, samples = g.build(), rng.normal(size=(8, tokens, width)) * np.geomspace(1, 20, tokens)[:, None]
    return quantise(graph, W8A8R16.with_bits({"*.in": "8t"}), {"x": samples})


@pytest.mark.parametrize("mode", ["auto", "sequential", "dataflow", "intar"])
def test_every_pattern_in_the_engine(mode: Mode) -> None:
    """Operands of 8 bits share multipliers, as without scales for each token."""
    quantised = layers(8)
    made = pipeline.compile_quantised(quantised, machine(2, rows=4), mode)
    require(proof.verify_engine(made, [random_inputs(quantised, seed) for seed in range(2)]))
    cores = [node for node in made.program.nodes if isinstance(node, Core)]
    assert {core.operand_bits for core in cores} == {(8, 8)} and {core.pack for core in cores} == {2}


@pytest.mark.full
def test_a_block_in_cpp_and_rtl(tmp_path: Path) -> None:
    graph, samples = block()
    quantised = quantise(graph, W8A8R16.with_bits({"*.in": "8t"}), {"x": samples})
    made = pipeline.compile_quantised(quantised, machine(2, rows=4))
    late = [
        task for task in quantised.graph.tasks if isinstance(task, QMatmul) and task.tail and task.tail.late
    ]
    assert len(late) == 6
    require_generated(
        made, [random_inputs(quantised, seed) for seed in range(2)], rendering.project(made).write(tmp_path)
    )


@pytest.mark.parametrize(
    ("tokens", "by_rows", "tile"),
    [
        pytest.param(1, (), 0, marks=pytest.mark.full),
        pytest.param(7, (), 0, marks=pytest.mark.full),
        (6, (2, 3), 0),
        pytest.param(8, (), 4, marks=pytest.mark.full),
    ],
    ids=str,
)
def test_factors_follow_the_results(tokens: int, by_rows: tuple[int, ...], tile: int, tmp_path: Path) -> None:
    """One row, rows that fill no array, rows dealt out to cores, matmuls in row tiles."""
    quantised = layers(tokens)
    kinds = [task.kind for task in quantised.graph.tasks]
    assert kinds == ["unit", "peak", "matmul", "unit", "peak", "matmul", "binary", "peak", "binary"]
    stages = [("sequential", 1)] * len(kinds)
    if tile:
        stages = [("sequential", 1)] * 5 + [("interleaved", 2)] + [("sequential", 1)] * 2
    design = forced(quantised, in_pattern(quantised, machine(2), stages, tile, by_rows=by_rows))
    inputs = [random_inputs(quantised, seed) for seed in range(2)]
    require(proof.verify_engine(design, inputs))
    require_generated(design, inputs, rendering.project(design).write(tmp_path))


def test_powers_of_two_only_shift(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    g = Builder("shifts")
    x = g.input("x", (5, 12))
    g.output(g.matmul(x, rng.normal(size=(12, 9)), rng.normal(size=9), name="fc"))
    scheme = replace(W8A8, power_of_two=True).with_bits({"fc.in": "8t"})
    quantised = quantise(g.build(), scheme, {"x": rng.normal(size=(8, 5, 12))})
    made = pipeline.compile_quantised(quantised, machine(1))
    require_generated(
        made, [random_inputs(quantised, seed) for seed in range(2)], rendering.project(made).write(tmp_path)
    )


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 5, 47])
def test_random_tokens(seed: int) -> None:
    quantised = random_quantised(seed, 6, ops=TOKENS)
    for mode in ("auto", "sequential", "dataflow"):
        made = pipeline.compile_quantised(quantised, machine(1 + seed % 3, rows=1 + seed % 4), mode)
        require(proof.verify_engine(made, [random_inputs(quantised, one) for one in range(2)]))


def test_random_graphs_have_all_of_it() -> None:
    """Factors of rows in tails, with biases behind them or before, and in elementwise tasks."""
    found = set()
    for seed in range(40):
        graph = random_quantised(seed, 6, ops=TOKENS).graph
        for task in graph.tasks:
            if isinstance(task, QMatmul | QBinary) and len(task.inputs) == 2:
                one = graph.tensor(task.inputs[1]).cols == 1 < graph.tensor(task.output).cols
                found |= (
                    {(task.kind, isinstance(task, QMatmul) and bool(task.tail and task.tail.late))}
                    if one
                    else set()
                )
    assert found == {("matmul", True), ("matmul", False), ("binary", False)}
