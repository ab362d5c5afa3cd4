"""The dynamic programme, the CP-SAT model and brute force find the same optimum (the guard against a wrong OPTIMAL)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from brute import best
from graphs import random_case

from intar.errors import InfeasibleError
from intar.schedule import solve, validate


def objective(seed: int, tasks: int, mode: str, engine: str, sharing: bool = True) -> int | None:
    graph, machine = random_case(seed, tasks)
    try:
        schedule = solve(graph, machine, mode, engine=engine, sharing=sharing)
    except InfeasibleError:
        return None
    assert validate(schedule, graph) == []
    assert schedule.status == "OPTIMAL"
    assert schedule.bound == schedule.objective
    return schedule.objective


def agree(seed: int, tasks: int, sharing: bool = True) -> str:
    graph, machine = random_case(seed, tasks)
    mode = ("auto", "auto", "intar")[seed % 3]
    brute = best(graph, machine, mode, sharing)
    exact = objective(seed, tasks, mode, "dp", sharing)
    solved = objective(seed, tasks, mode, "cpsat", sharing)
    assert exact == brute, f"seed {seed}: dynamic programme {exact}, brute force {brute}"
    assert solved == brute, f"seed {seed}: CP-SAT {solved}, brute force {brute}"
    return "none" if brute is None else "some"


def test_small_graphs_agree_with_brute_force():
    found = [agree(seed, 2 + seed % 3) for seed in range(30)]
    assert found.count("some") > 15
    assert "none" in found, "no case was infeasible: the memory is not scarce enough to test anything"


def test_small_graphs_agree_with_brute_force_when_nothing_shares_memory():
    found = [agree(seed, 2 + seed % 3, sharing=False) for seed in range(30)]
    assert found.count("some") > 8
    assert found.count("none") > 2


@pytest.mark.full
@pytest.mark.parametrize("sharing", (True, False))
@pytest.mark.parametrize("block", range(15))
def test_many_small_graphs_agree_with_brute_force(block, sharing):
    for seed in range(1000 + 20 * block, 1020 + 20 * block):
        agree(seed, 3 + seed % 3, sharing)


@pytest.mark.parametrize("seed", range(8))
def test_engines_agree_on_graphs_too_large_for_brute_force(seed):
    assert objective(seed, 7, "auto", "dp") == objective(seed, 7, "auto", "cpsat")
