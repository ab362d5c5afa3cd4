"""A transformer block with its residual stream in 16 bits and 8-bit operands, through every executor, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conformance.graphs import forced, in_pattern, machine
from conformance.proofs import require, require_generated, require_rtl
from conformance.transformer import block, grouped_attention

from intar import pipeline, proof, rendering
from intar.design import Design
from intar.errors import UnsupportedError
from intar.frontends.builder import Builder
from intar.ir.nodes.arrays import Core
from intar.ir.nodes.movers import Gather, Router
from intar.ir.nodes.rows import Rows
from intar.ir.ops import Op
from intar.ir.quantgraph import QMatmul, QNorm, QProduct, QSoftmax, Quantised
from intar.ir.reference import run_float
from intar.ir.schedule import Mode
from intar.quant.golden import dequantise, quantise_input, run_golden
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs
from intar.quant.scheme import W8A8, W8A8R16, Scheme

MODES: tuple[Mode, ...] = ("auto", "sequential", "dataflow")


@pytest.fixture(scope="module")
def quantised() -> Quantised:
    graph, samples = block()
    return quantise(graph, W8A8R16, {"x": samples})


def test_operands_are_narrow_and_everything_else_is_wide(quantised: Quantised) -> None:
    graph = quantised.graph
    bits = {tensor.name: tensor.bits for tensor in graph.tensors}
    for task in graph.tasks:
        operands = {QMatmul: task.inputs[:1], QProduct: task.inputs}.get(type(task), ())
        assert all(bits[name] == 8 for name in operands), task.name
        if isinstance(task, QNorm | QSoftmax):
            assert bits[task.inputs[0]] == 16, task.name
        if isinstance(task, QMatmul) and task.tail:
            assert bits[task.output] == bits[task.inputs[1]] == 16, "the residual stream"
    assert [task.causal for task in graph.tasks if isinstance(task, QSoftmax)] == [True]


def noise(scheme: str) -> float:
    """Signal over noise of the output in decibels, on samples that calibration has seen."""
    graph, samples = block()
    made = quantise(graph, {"w8a8": W8A8, "w8a8r16": W8A8R16}[scheme], {"x": samples})
    out, signal, error = made.graph.outputs[0], 0.0, 0.0
    for x in samples:
        real = run_float(graph, {"x": x})[graph.outputs[0]]
        ints = run_golden(made, {"x": quantise_input(made.graph.tensor("x"), x)}).tensors[out]
        signal += float((real**2).sum())
        error += float(((real - dequantise(made.graph.tensor(out), ints)) ** 2).sum())
    return 10 * float(np.log10(signal / error))


def test_a_wide_residual_stream_is_less_noisy() -> None:
    assert noise("w8a8r16") > noise("w8a8") + 1 and noise("w8a8r16") > 30


@pytest.mark.parametrize("mode", MODES)
def test_every_pattern_in_the_engine(quantised: Quantised, mode: Mode) -> None:
    made = pipeline.compile_quantised(quantised, machine(2, rows=4), mode)
    require(proof.verify_engine(made, [random_inputs(quantised, seed) for seed in range(2)]))
    cores = [node for node in made.program.nodes if isinstance(node, Core)]
    assert {(core.a_bits, core.w_bits, core.operand_bits, core.pack) for core in cores} == {
        (16, 8, (8, 8), 2)
    }


def test_rows_of_a_softmax_are_divided_at_a_time(quantised: Quantised) -> None:
    one, several = (
        pipeline.compile_quantised(
            quantised, machine(2, rows=4).model_copy(update={"divisions": count}), "sequential"
        )
        for count in (1, 5)
    )
    (rows,) = (node for node in several.program.nodes if isinstance(node, Rows))
    assert (rows.divisions, rows.held) == (5, 16)
    assert several.predicted.cycles < one.predicted.cycles
    require(proof.verify_engine(several, [random_inputs(quantised, 0)]))


@pytest.fixture(scope="module")
def longer() -> Quantised:
    """Heads whose first rows see one beat of scores, and their last rows three."""
    graph, samples = block(tokens=20)
    return quantise(graph, W8A8R16, {"x": samples})


@pytest.mark.parametrize("mode", MODES)
def test_hidden_scores_are_not_made(longer: Quantised, mode: Mode) -> None:
    made = pipeline.compile_quantised(longer, machine(3, rows=4), mode)
    (rows,) = (node for node in made.program.nodes if isinstance(node, Rows))
    assert {step.cols for step in rows.steps if step.op == "softmax"} == {8, 16, 20}
    require(proof.verify_engine(made, [random_inputs(longer, seed) for seed in range(2)]))


@pytest.mark.sim
@pytest.mark.full
@pytest.mark.parametrize("mode", ("auto", "sequential"))
def test_hidden_scores_in_csim_and_rtl(longer: Quantised, mode: Mode, tmp_path: Path) -> None:
    made = pipeline.compile_quantised(longer, machine(3, rows=4), mode)
    inputs = [random_inputs(longer, seed) for seed in range(2)]
    require_generated(made, inputs, rendering.project(made).write(tmp_path))


@pytest.mark.sim
@pytest.mark.full
def test_a_block_like_those_of_gpt_2(tmp_path: Path) -> None:
    """Heads are cut out of one tensor, cores share what is left over of the column blocks, scores are made band by band."""
    graph, samples = block(width=40, heads=5, tokens=24, hidden=104, joined=True)
    quantised = quantise(graph, W8A8R16, {"x": samples})
    made = pipeline.compile_quantised(quantised, machine(2, rows=4), "auto")
    cores = [node for node in made.program.nodes if isinstance(node, Core)]
    shapes = [{(step.tiles, step.m_tiles) for step in core.steps if step.k == 40} for core in cores]
    assert (1, 3) in shapes[0] and (1, 3) in shapes[1], "half of the rows of the last column block each"
    inputs = [random_inputs(quantised, seed) for seed in range(2)]
    require_generated(made, inputs, rendering.project(made).write(tmp_path))


def test_one_wide_operand(tmp_path: Path) -> None:
    """What the last matmul reads, behind GELU, has 16 bits, all other operands 8; bit for bit in engine and C++."""
    graph, samples = block()
    last = next(task for task in reversed(graph.tasks) if task.op is Op.MATMUL)
    made = quantise(graph, W8A8R16.with_bits({f"{last.name}.in": 16}), {"x": samples})
    bits = {tensor.name: tensor.bits for tensor in made.graph.tensors}
    wide = [t.name for t in made.graph.tasks if isinstance(t, QMatmul) and bits[t.inputs[0]] == 16]
    assert wide == [last.name]
    design = pipeline.compile_quantised(made, machine(2, rows=4))
    widths = {(node.a_bits, node.w_bits) for node in design.program.nodes if isinstance(node, Core)}
    assert widths == {(16, 8)}, "no second operand of a product has more than 8 bits"
    assert any(isinstance(node, Router) and node.out_bits == 8 for node in design.program.nodes)
    inputs = [random_inputs(made, 3)]
    require(proof.verify_engine(design, inputs))
    rendering.project(design).write(tmp_path)
    require(proof.verify_csim(design, inputs, tmp_path))


def wide_weights() -> tuple[Quantised, Design]:
    """Weights of 16 bits where activations have 8: second operands are widened on their way to the arrays."""
    graph, samples = block()
    made = quantise(graph, Scheme("w16a8", 16, 8), {"x": samples})
    design = pipeline.compile_quantised(made, machine(2, rows=4))
    assert any(
        isinstance(node, Router) and (node.bits, node.out_bits) == (8, 16) for node in design.program.nodes
    )
    return made, design


def test_wide_weights_beside_narrow_activations() -> None:
    made, design = wide_weights()
    require(proof.verify_engine(design, [random_inputs(made, seed) for seed in range(2)]))


@pytest.mark.sim
@pytest.mark.full
def test_wide_weights_in_csim_and_rtl(tmp_path: Path) -> None:
    made, design = wide_weights()
    inputs = [random_inputs(made, 4)]
    require_generated(design, inputs, rendering.project(design).write(tmp_path))


@pytest.mark.parametrize(("lanes", "by_element"), [(8, False), (16, False), (32, True)])
def test_heads_of_whole_beats_are_moved_beat_by_beat(
    quantised: Quantised, lanes: int, by_element: bool
) -> None:
    """Heads have 16 columns."""
    made = pipeline.compile_quantised(quantised, machine(2, rows=4, lanes=lanes))
    assert any(isinstance(node, Gather) for node in made.program.nodes) == by_element
    require(proof.verify_engine(made, [random_inputs(quantised, 5)]))


CAUSAL = np.triu(np.full((6, 6), -np.inf), 1)
DISTANCE = -0.5 * np.abs(np.subtract.outer(np.arange(6), np.arange(6)))


@pytest.mark.parametrize(
    ("mask", "exact"), [(CAUSAL, True), (CAUSAL + np.tril(np.full((6, 6), -np.inf), -3) + DISTANCE, False)]
)
def test_grouped_attention_with_masks(mask: np.ndarray, exact: bool) -> None:
    """Hidden elements are 0 in every row; causal masks cost no task, others are added to the scores."""
    graph, samples = grouped_attention(mask)
    made = quantise(graph, W8A8R16, {"x": samples})
    (task,) = (task for task in made.graph.tasks if isinstance(task, QSoftmax))
    assert (task.visible, task.causal, task.batch) == ((1, True, 4) if exact else (0, False, 4))
    signal = error = 0.0
    for x in samples[:4]:
        result = run_golden(made, {"x": quantise_input(made.graph.tensor("x"), x)}).tensors
        p = dequantise(made.graph.tensor(task.output), result[task.output]).reshape(4, 6, 6)
        assert (p[:, np.isinf(mask)] == 0).all() and np.abs(p.sum(axis=2) - 1).max() < 0.05
        out = made.graph.outputs[0]
        real = run_float(graph, {"x": x})[graph.outputs[0]]
        signal += float((real**2).sum())
        error += float(((real - dequantise(made.graph.tensor(out), result[out])) ** 2).sum())
    assert 10 * np.log10(signal / error) > 34
    one_by_one = in_pattern(made, machine(2, rows=4), [("sequential", 1)] * len(made.graph.tasks))
    design = forced(made, one_by_one)
    require(proof.verify_engine(design, [random_inputs(made, 1)]))


def test_scores_too_far_apart_for_an_added_mask() -> None:
    g = Builder("wide")
    x = g.input("x", (4, 4))
    g.output(g.softmax(x, np.tril(np.full((4, 4), -np.inf), -1)))
    with pytest.raises(UnsupportedError, match=r"scores under the mask of .* are up to 80"):
        quantise(g.build(), W8A8R16, {"x": np.linspace(-40, 40, 16).reshape(1, 4, 4)})


@pytest.fixture(scope="module")
def generated(
    quantised: Quantised, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Design, Path, list[dict[str, np.ndarray]]]:
    made = pipeline.compile_quantised(quantised, machine(2, rows=4))
    out = tmp_path_factory.mktemp("block_small")
    rendering.project(made).write(out)
    return made, out, [random_inputs(quantised, seed) for seed in range(2)]


def test_csim(generated: tuple[Design, Path, list[dict[str, np.ndarray]]]) -> None:
    made, out, samples = generated
    require(proof.verify_csim(made, samples, out, sweep=True))


@pytest.mark.sim
@pytest.mark.full
def test_rtl(generated: tuple[Design, Path, list[dict[str, np.ndarray]]]) -> None:
    """The bits, and the engine's cycles exactly."""
    made, out, samples = generated
    require_rtl(made, samples, out)
