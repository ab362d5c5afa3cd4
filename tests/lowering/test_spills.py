"""Tensors spilled off chip between stages and read back: engine, generated C++ and RTL give golden's bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from intar import pipeline, proof, rendering
from intar.codegen.hls import render_hls
from intar.design import Design
from intar.engine import run
from intar.errors import UnsupportedError
from intar.ir.nodes.ports import Load, Store
from intar.quant.random_graphs import random_inputs, random_quantised
from intar.schedule import Pins, solve
from lowering.chains import chain, machine
from lowering.test_memory import buffer_bytes, scarce

SPILLING = ((3, 0.35), (10, 0.35), (11, 0.35), (26, 0.3), (27, 0.5), (42, 0.5), (45, 0.35))
"""Random networks of which tensors go off chip with that share of their memory; 10, 26 and 45 in row tiles, too."""


def spilled(seed: int, share: float) -> Design:
    """A network in so little memory that intermediate tensors leave the chip."""
    quantised = random_quantised(seed, tasks=4 + seed % 6)
    target = machine(cores=1 + seed % 3, rows=(1, 2, 4)[seed % 3], port_bits=(32, 64, 128)[seed % 3])
    small = scarce(quantised.graph, target.model_copy(update={"latency": 16}), share)
    made = pipeline.design(quantised, solve(quantised.graph, small))
    assert buffer_bytes(made) <= small.onchip_bytes
    inside = {t.output for t in quantised.graph.tasks}
    homes = [h for h in made.schedule.residency if h.place == "spill" and h.first_stage < h.last_stage]
    assert inside & {h.tensor for h in homes}, "nothing is spilled"
    assert any(isinstance(n, Load) and n.name == "r" and n.after == "y" for n in made.program.nodes)
    return made


@pytest.mark.parametrize("seed,share", SPILLING)
def test_engine(seed, share):
    made = spilled(seed, share)
    assert proof.verify_engine(made, [random_inputs(made.quantised, n) for n in range(3)]).bit_exact


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.parametrize("seed,share", SPILLING)
def test_generated_code(seed, share, tmp_path):
    """Two inferences in a row: what the first one left in memory does no harm."""
    made = spilled(seed, share)
    inputs = [random_inputs(made.quantised, n) for n in range(2)]
    rendering.project(made).write(tmp_path / "made")
    assert proof.verify_csim(made, inputs, tmp_path / "made", sweep=True).bit_exact
    simulated = proof.verify_rtl(made, inputs, tmp_path / "made")
    assert simulated.bit_exact, simulated.first
    assert set(simulated.cycles) == {made.predicted.cycles}


def test_a_load_waits_for_the_store():
    """Without `need` a load would read before the tensor is there."""
    made = spilled(*SPILLING[0])
    inputs = random_inputs(made.quantised, 0)
    images = made.images | made.input_images(inputs)
    hasty = tuple(
        n.model_copy(update={"steps": tuple(s.model_copy(update={"need": 0}) for s in n.steps)})
        if isinstance(n, Load)
        else n
        for n in made.program.nodes
    )
    right = run(made.program, images).outputs["y"]
    assert run(made.program.model_copy(update={"nodes": hasty}), images).outputs["y"] != right


def test_a_pinned_spill():
    quantised = chain(8, [24, 40, 24, 16])
    schedule = solve(quantised.graph, machine(), "sequential", Pins(spill=frozenset({"t1"})))
    assert next(h.place for h in schedule.residency if h.tensor == "t1") == "spill"
    made = pipeline.design(quantised, schedule)
    assert proof.verify_engine(made, [random_inputs(quantised, 0)]).bit_exact


def test_one_process_has_the_memory_in_c():
    """Without turns there is no canonical C++; with them one function writes and reads the pointer."""
    made = spilled(*SPILLING[0])
    kernel = render_hls(made.program)["hls/kernel.cpp"].decode()
    assert "intar::exchange<" in kernel and "r_fetch" not in kernel
    free = tuple(
        n.model_copy(update={"turns": ()}) if isinstance(n, Store) else n for n in made.program.nodes
    )
    with pytest.raises(UnsupportedError, match="spilled to memory"):
        render_hls(made.program.model_copy(update={"nodes": free}))


def test_the_linter_finds_nothing(tmp_path: Path):
    linter = pytest.importorskip("intar.codegen.lint")
    pytest.importorskip("clang", reason="libclang is an optional extra")
    made = spilled(*SPILLING[2])
    rendering.project(made).write(tmp_path / "made")
    hls = tmp_path / "made" / "hls"
    words = {argument.name: argument.words for argument in made.program.arguments}
    assert linter.lint_project([hls / "kernel.cpp"], made.program.name, [hls, hls / "intar"], words) == []
