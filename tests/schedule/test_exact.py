"""The dynamic programme, the CP-SAT model and brute force find the same optimum (the guard against a wrong OPTIMAL)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from brute import best
from graphs import random_case

from intar.errors import InfeasibleError
from intar.ir.schedule import Schedule
from intar.schedule import solve, validate


def found(
    seed: int,
    tasks: int,
    mode: str,
    engine: str,
    spills: bool = True,
    products: bool = False,
    tall: bool = False,
    chip: bool = False,
) -> Schedule | None:
    graph, machine = random_case(seed, tasks, products, tall, chip)
    try:
        schedule = solve(graph, machine, mode, engine=engine, spills=spills)
    except InfeasibleError:
        return None
    assert validate(schedule, graph) == []
    assert (schedule.status == "OPTIMAL") == (schedule.bound == schedule.objective)
    return schedule


def agree(
    seed: int,
    tasks: int,
    spills: bool = True,
    products: bool = False,
    tall: bool = False,
    chip: bool = False,
) -> str:
    """The bound is the least cycles with the bytes of every stage within the memory; banks can only need more bytes."""
    graph, machine = random_case(seed, tasks, products, tall, chip)
    mode = ("auto", "auto", "intar")[seed % 3]
    brute = best(graph, machine, mode, spills)
    kind = "none"
    for engine in ("dp", "cpsat"):
        schedule = found(seed, tasks, mode, engine, spills, products, tall, chip)
        if schedule is not None:
            assert schedule.bound == brute, f"seed {seed}: {engine} {schedule.bound}, brute force {brute}"
            kind = "best" if schedule.status == "OPTIMAL" else "gap"
        elif brute is not None:
            kind = "banks"
    return kind


def test_small_graphs_agree_with_brute_force():
    kinds = [agree(seed, 2 + seed % 3) for seed in range(30)]
    assert kinds.count("best") > 15
    assert kinds.count("gap") + kinds.count("banks") < 6
    assert "none" in kinds, "no case was infeasible: the memory is not scarce enough to test anything"


@pytest.mark.full
def test_small_graphs_agree_with_brute_force_when_nothing_is_spilled():
    kinds = [agree(seed, 2 + seed % 3, spills=False) for seed in range(30)]
    assert kinds.count("best") > 8
    assert kinds.count("none") > 2


@pytest.mark.parametrize("spills", (True, False))
def test_products_and_softmax_agree_with_brute_force(spills):
    kinds = [agree(seed, 2 + seed % 3, spills, products=True) for seed in range(200, 220)]
    assert kinds.count("best") > 8


@pytest.mark.parametrize("tall", (False, True))
def test_weights_on_chip_agree_with_brute_force(tall):
    """They take memory all the time, more of it where cores share rows, and never a cycle."""
    kinds = [
        agree(seed, 2 + seed % 2, tall=tall, products=seed % 3 == 0, chip=True) for seed in range(320, 332)
    ]
    assert kinds.count("best") > 4


def shares_rows(seed: int, tasks: int, **case: bool) -> bool:
    """In the best schedule the cores of a task share its rows."""
    schedule = found(seed, tasks, ("auto", "auto", "intar")[seed % 3], "dp", **case)
    return schedule is not None and any(p.axis == "rows" for stage in schedule.stages for p in stage.tasks)


@pytest.mark.parametrize("products", (False, True))
def test_cores_that_share_rows_agree_with_brute_force(products):
    seeds = range(300, 320)
    kinds = [agree(seed, 2 + seed % 2, products=products, tall=True) for seed in seeds]
    assert kinds.count("best") > 10
    assert sum(shares_rows(seed, 2 + seed % 2, products=products, tall=True) for seed in seeds) > 3


@pytest.mark.full
@pytest.mark.parametrize("spills", (True, False))
@pytest.mark.parametrize("block", range(8))
def test_many_graphs_with_shared_rows_agree_with_brute_force(block, spills):
    case = {"products": block % 2 == 1, "tall": True}
    seeds = range(3000 + 20 * block, 3020 + 20 * block)
    for seed in seeds:
        agree(seed, 3 + seed % 2, spills, **case)
    assert sum(shares_rows(seed, 3 + seed % 2, spills=spills, **case) for seed in seeds) > 4


@pytest.mark.full
@pytest.mark.parametrize("spills", (True, False))
@pytest.mark.parametrize("block", range(15))
def test_many_small_graphs_agree_with_brute_force(block, spills):
    for seed in range(1000 + 20 * block, 1020 + 20 * block):
        agree(seed, 3 + seed % 3, spills, products=block % 2 == 1)


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.full) for n in range(2, 8))])
def test_engines_agree_on_graphs_too_large_for_brute_force(seed):
    one, other = (found(seed, 7, "auto", engine) for engine in ("dp", "cpsat"))
    assert (one is None) == (other is None)
    assert one is None or other is None or one.bound == other.bound


@pytest.mark.parametrize("seed", (1001, 1055, 1079))
def test_matmuls_that_follow_are_among_them(seed):
    tasks, mode = 3 + seed % 3, ("auto", "auto", "intar")[seed % 3]
    assert agree(seed, tasks) == "best"
    schedule = found(seed, tasks, mode, "dp")
    assert schedule is not None and any(p.follows for stage in schedule.stages for p in stage.tasks)
