"""Functions in the memories of vector lanes: which overlap, when they are loaded again, and that the bits stay the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from conformance.proofs import require_generated

from intar import pipeline, proof, rendering
from intar.design import Design
from intar.ir.nodes.vector import Vector
from intar.lower import params
from intar.lower.residents import Need, loads, overlap, places
from intar.quant.random_graphs import random_inputs
from intar.session import open_source


def needs(*functions: tuple[int, tuple[int, ...]]) -> list[Need]:
    return [Need(size, frozenset(stages)) for size, stages in functions]


def test_all_stay_where_they_fit() -> None:
    wanted = needs((64, (0,)), (32, (1, 3)), (32, (2,)))
    assert places(wanted, 128) == [0, 64, 96]
    assert loads(wanted, [0, 64, 96], 4) == {0: [0, 1, 2]}


def test_others_take_turns() -> None:
    """The second function keeps its place; the first and the third share one, and the first comes back."""
    wanted = needs((64, (0, 3)), (64, (1,)), (64, (2,)))
    found = places(wanted, 128)
    assert found == [0, 64, 0]
    assert loads(wanted, found, 4) == {0: [0], 1: [1], 2: [2], 3: [0]}


def test_functions_of_a_stage_never_overlap() -> None:
    """Even where they need more than there should be."""
    wanted = needs((100, (0,)), (100, (0, 1)), (100, (1,)), (30, (1,)))
    found = places(wanted, 128)
    for n, one in enumerate(wanted):
        for m, other in enumerate(wanted[:n]):
            assert not (one.stages & other.stages and overlap(found[n], one.size, found[m], other.size))


def reloading(method: str, monkeypatch: pytest.MonkeyPatch) -> Design:
    """The digits' GR-KAN on lanes with room for one of its two functions."""
    monkeypatch.setattr(params, "TABLE_ROOM", 2048)
    monkeypatch.setattr(params, "SET_ROOM", 8)
    source = open_source("grkan_digits", rational=method)
    made = pipeline.compile_quantised(source.quantised, source.machine, "sequential")
    unit = next(node for node in made.program.nodes if isinstance(node, Vector))
    held = unit.table_entries if method == "table" else unit.rational_groups
    assert held == (2048 if method == "table" else 8)
    assert [index for index, step in enumerate(unit.steps) if step.load >= 0] == [0, 2]
    return made


@pytest.mark.parametrize("method", ["table", "direct"])
def test_bits_in_the_engine(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = reloading(method, monkeypatch)
    check = proof.verify_engine(made, [random_inputs(made.quantised, seed) for seed in range(2)])
    assert check.bit_exact, check.first


@pytest.mark.full
@pytest.mark.parametrize("method", ["table", "direct"])
def test_bits_and_cycles_of_csim_and_rtl(
    method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = reloading(method, monkeypatch)
    inputs = [random_inputs(made.quantised, seed) for seed in range(2)]
    require_generated(made, inputs, rendering.project(made).write(tmp_path))
