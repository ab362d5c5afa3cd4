"""Arrays whose cells multiply several channels a cycle: golden's bits in every pattern, on all executors, and sooner."""

from __future__ import annotations

import numpy as np
import pytest

from intar import pipeline, proof, rendering
from intar.design import Design, engine_memory
from intar.device import make_machine
from intar.errors import ConfigError, UnsupportedError
from intar.frontends.builder import Builder
from intar.ir.nodes.arrays import Core
from intar.lower.lower import lower
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs, random_quantised
from intar.quant.random_images import random_images
from intar.quant.scheme import scheme
from intar.schedule import solve
from lowering.chains import chain, machine, schedule
from lowering.stacks import attention_stack, samples
from lowering.test_lowering import check


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("pattern,tile", [("sequential", 0), ("pipelined", 4), ("interleaved", 8)])
@pytest.mark.parametrize("depth", [2, 8])
def test_chain(pattern: str, tile: int, resident: bool, depth: int) -> None:
    quantised = chain(11, [37, 19, 50, 3])
    target = machine().model_copy(update={"depth": depth})
    check(quantised, schedule(quantised, target, pattern, tile, resident))


@pytest.mark.parametrize("name, depth", [("w8a8", 2), ("w4a8r16", 4)])
def test_products_of_activations_in_patterns_that_the_solver_chooses(name: str, depth: int) -> None:
    graph = attention_stack(1, rows=5, width=12, heads=2)
    quantised = quantise(graph, scheme(name), samples(graph))
    target = machine(3, 2, 4, 4, 64).model_copy(update={"depth": depth})
    made = pipeline.compile_quantised(quantised, target)
    assert proof.verify_engine(made, [random_inputs(quantised, n) for n in range(2)]).bit_exact


def following(depth: int) -> Design:
    quantised = random_quantised(46, tasks=4, ops=("matmul", "matmul", "matmul", "affine"))
    target = machine(cores=3, rows=8, lanes=4).model_copy(update={"depth": depth})
    made = pipeline.design(quantised, solve(quantised.graph, target, "dataflow"))
    assert any(p.follows for stage in made.schedule.stages for p in stage.tasks), "nothing follows"
    return made


@pytest.mark.parametrize("depth", [2, 4])
def test_matmuls_that_follow(depth: int) -> None:
    made = following(depth)
    assert proof.verify_engine(made, [random_inputs(made.quantised, n) for n in range(2)]).bit_exact


def test_as_many_times_fewer_cycles() -> None:
    quantised = chain(1, [64, 256, 64], 8, 4)
    cycles = {}
    for depth in (1, 4):
        target = machine(2, 1, 16, 16, 512).model_copy(update={"depth": depth})
        plan = solve(quantised.graph, target, "sequential")
        made = pipeline.design(quantised, plan)
        cycles[depth] = made.predicted.cycles
        cores = [node for node in lower(quantised, plan).program.nodes if isinstance(node, Core)]
        assert {node.multipliers for node in cores} == {depth * 16 // cores[0].pack}
    products = 2 * 64 * 256 // (2 * 16)
    assert products < cycles[1] < products + 350
    assert products // 4 < cycles[4] < products // 4 + 350


@pytest.mark.full
@pytest.mark.sim
def test_generated_code(tmp_path) -> None:
    made = following(2)
    inputs = [random_inputs(made.quantised, n) for n in range(2)]
    rendering.project(made).write(tmp_path / "made")
    assert proof.verify_csim(made, inputs, tmp_path / "made").bit_exact
    simulated = proof.verify_rtl(made, inputs, tmp_path / "made")
    assert simulated.bit_exact, simulated.first
    assert set(simulated.cycles) == {made.predicted.cycles}


@pytest.mark.sim
@pytest.mark.full
def test_more_cores_than_a_word_has_bits(tmp_path) -> None:
    """Parameters of 34 cores leave one port."""
    quantised = chain(1, [8, 68], 8, 4)
    target = machine(34, 1, 2, 2, 32).model_copy(update={"depth": 2})
    made = pipeline.design(quantised, solve(quantised.graph, target, "sequential"))
    inputs = [random_inputs(quantised, n) for n in range(2)]
    assert proof.verify_engine(made, inputs).bit_exact
    rendering.project(made).write(tmp_path / "made")
    assert proof.verify_csim(made, inputs, tmp_path / "made").bit_exact
    simulated = proof.verify_rtl(made, inputs, tmp_path / "made")
    assert simulated.bit_exact, simulated.first
    assert set(simulated.cycles) == {made.predicted.cycles}


def test_mistakes() -> None:
    for quantised, budget, message in (
        (chain(1, [8, 8]), {"lanes": 8, "depth": 3}, "depth of 3 does not divide 8 lanes"),
        (chain(1, [8, 8]), {"cores": 64}, "64 cores"),
        (random_images(0, scheme("w8a8"))[1], {"depth": 2}, "in a network with convolutions"),
        (chain(1, [8, 8]), {"efficiency": 1.5}, "efficiency of 1.5"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_machine("u280", budget, quantised)


def test_a_slow_channel() -> None:
    """14.375 GB/s are 57.5 of the 64 bytes that a port of 512 bits takes at 250 MHz, and less where a channel gives less."""
    quantised = chain(1, [8, 8])
    target = make_machine("u280", {"port_bits": 512, "efficiency": 0.924}, quantised)
    assert (target.words_num, target.words_den) == (53, 64)
    assert engine_memory(target).words_num == 53
    narrow = make_machine("u280", {"port_bits": 256, "efficiency": 0.924}, quantised)
    assert (narrow.words_num, narrow.words_den) == (1, 1)


def test_what_stands_behind_both_operands_is_an_error() -> None:
    """Seven channels, two a cycle: behind the last one both operands hold 0.5."""
    rng = np.random.default_rng(5)
    g = Builder("behind")
    x = g.input("x", (1, 8))
    q, k = (g.sigmoid(g.matmul(x, rng.normal(size=(8, 7)))) for _ in range(2))
    g.output(g.product(q, k, "second"))
    quantised = quantise(g.build(), calibration={"x": rng.normal(size=(4, 1, 8))})
    with pytest.raises(UnsupportedError, match="7 channels, which are no multiple of 2"):
        pipeline.compile_quantised(quantised, machine().model_copy(update={"depth": 2}), "sequential")
