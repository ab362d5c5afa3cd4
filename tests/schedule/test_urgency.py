"""The same stages in another order: what most work depends on comes first."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from graphs import attention, machine, mlp, random_case

from intar.errors import InfeasibleError
from intar.schedule import solve, validate
from intar.schedule.build import own_banks
from intar.schedule.urgency import by_urgency

SLOW_ROWS = machine(lanes=8, rate=8, rows=8)
"""Where a softmax takes longer than a projection."""


def names(stages: tuple) -> list[str]:
    return [place.task for stage in stages for place in stage.tasks]


@pytest.mark.parametrize("apart", (False, True), ids=("shared banks", "own banks"))
def test_values_are_made_while_the_softmax_is_on_its_way(apart: bool) -> None:
    graph = attention(rows=64)
    schedule = solve(graph, SLOW_ROWS, "sequential")
    schedule = own_banks(schedule) if apart else schedule
    before = names(schedule.stages)
    softmax, product, _ = (task.name for task in graph.tasks[-3:])
    (values,) = (task.name for task in graph.tasks if task.output == graph.tasks[-2].inputs[1])
    assert before.index(values) < before.index(softmax)
    better = by_urgency(schedule, graph)
    assert better is not None
    after = names(better.stages)
    assert after.index(softmax) < after.index(values) < after.index(product)
    assert sorted(after) == sorted(before)
    assert (better.objective, better.bound) == (schedule.objective, schedule.bound)
    assert validate(better, graph) == []
    assert by_urgency(better, graph) is None


def test_a_chain_stays_as_it_is() -> None:
    graph = mlp()
    assert by_urgency(solve(graph, machine()), graph) is None


def test_random_schedules_in_another_order_are_valid() -> None:
    moved = 0
    for seed in range(60):
        graph, small = random_case(seed, tasks=6, products=seed % 2 == 0)
        try:
            schedule = solve(graph, small, ("auto", "sequential")[seed % 3 == 0])
        except InfeasibleError:
            continue
        better = by_urgency(schedule, graph)
        if better is not None:
            moved += 1
            assert validate(better, graph) == []
            assert sorted(s.cycles for s in better.stages) == sorted(s.cycles for s in schedule.stages)
    assert moved >= 5
