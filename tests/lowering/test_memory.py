"""Scarce memory: tensors of different stages in one bank, bit-exact, within the budget."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from intar import pipeline, proof
from intar.design import Design
from intar.errors import InfeasibleError
from intar.ir.nodes.memories import Buffer
from intar.ir.schedule import Machine
from intar.quant.random_graphs import random_inputs, random_quantised
from intar.schedule import solve
from intar.schedule.problem import make_problem
from lowering.chains import chain, machine


def scarce(graph, target: Machine, share: float) -> Machine:
    """The machine with room for what is always there and a share of all tensors."""
    problem = make_problem(graph, target)
    tensors = sum(t.bytes * max(1, len(t.readers)) for t in problem.tensors)
    return target.model_copy(update={"onchip_bytes": problem.fixed_bytes + int(share * tensors)})


def buffer_bytes(design: Design) -> int:
    return sum(n.depth * n.lanes * n.bits // 8 for n in design.program.nodes if isinstance(n, Buffer))


def test_a_chain_needs_two_banks_only():
    """Seven equal tensors one after the other: two are there at a time."""
    quantised = chain(3, [24] * 7)
    target = machine(rows=4)
    problem = make_problem(quantised.graph, target)
    small = target.model_copy(update={"onchip_bytes": problem.fixed_bytes + 2 * problem.tensors[0].bytes})
    made = pipeline.design(quantised, solve(quantised.graph, small))
    assert [bank.bytes for bank in made.schedule.banks] == [problem.tensors[0].bytes] * 2
    assert buffer_bytes(made) <= small.onchip_bytes
    assert proof.verify_engine(made, [random_inputs(quantised, 0)]).bit_exact


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_in_scarce_memory(seed):
    quantised = random_quantised(seed, tasks=4 + seed % 6)
    target = machine(cores=1 + seed % 3, rows=(1, 2, 4)[seed % 3], port_bits=(32, 64, 128)[seed % 3])
    shared = 0
    for mode in ("auto", "dataflow"):
        for share in (0.35, 0.5, 0.7):
            small = scarce(quantised.graph, target, share)
            try:
                schedule = solve(quantised.graph, small, mode)
            except InfeasibleError:
                continue
            made = pipeline.design(quantised, schedule)
            assert buffer_bytes(made) <= small.onchip_bytes
            assert proof.verify_engine(made, [random_inputs(quantised, seed)]).bit_exact, (mode, share)
            copies = [copy for home in schedule.residency for copy in home.copies]
            shared += len({copy.bank for copy in copies}) < len(copies)
            break
    assert shared, "no memory was shared"


@pytest.mark.full
def test_the_model_foretells_the_cycles():
    """Objective against engine, in every mode, with room and without; a spilled tensor and a shared bank among them."""
    path = Path(__file__).parents[2] / "benchmarks" / "memory.py"
    spec = importlib.util.spec_from_file_location("benchmark_memory", path)
    assert spec and spec.loader
    benchmark = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = benchmark
    spec.loader.exec_module(benchmark)
    rows = list(benchmark.rows(("block 64 x 64", "block 197 x 96"), ("auto", "dataflow")))
    assert {row.mode for row in rows} == {"auto", "dataflow"}
    assert all(row.bit_exact for row in rows)
    assert all(abs(row.error) <= 0.05 for row in rows), [(row.case, row.mode, row.error) for row in rows]
    assert any(row.spilled for row in rows)
    assert any(row.banks < row.copies for row in rows)
