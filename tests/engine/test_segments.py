"""Programs with segments: plays follow each other with a barrier, ports move on from round to round; RTL does the same."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine_programs import RANDOM
from looped import replayed, result, sums
from node_kernels import merge, random_parts
from perceptron import perceptron
from test_against_rtl import check

from intar.engine import plan_merged, run
from intar.errors import InternalError


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_state_and_constants_move_on_from_round_to_round(rounds: int) -> None:
    program, images, expected = sums(rounds)
    for merged in (False, True):
        played = run(program, images, merged=merged)
        played.raise_deadlock()
        np.testing.assert_array_equal(result(played.outputs), expected)
        assert [play.segment for play in played.plays] == [0, *[1] * rounds, 2]
        assert [play.round for play in played.plays] == [0, *range(rounds), 0]


@pytest.mark.parametrize("rounds", [(3, 2), 130])
def test_without_values_rounds_that_are_alike_run_once(
    rounds: tuple[int, int] | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is known of a run but its bits is the same, wherever in a burst the constants of a round begin."""
    if isinstance(rounds, int):
        program, images, _ = sums(rounds)  # rounds begin 5 words apart, and bursts have 64
        different = 64 + 2
    else:
        program, images, _ = perceptron(rows=7, sizes=(16, 24, 36), lanes=8, depth=2)
        program, different = plan_merged(replayed(program, rounds)), 2
    module, executed = sys.modules["intar.engine.run"], []
    execute = module._execute
    monkeypatch.setattr(module, "_execute", lambda *given: executed.append(1) or execute(*given))
    timed = run(program, values=False)
    assert len(executed) == different < len(timed.plays)
    assert replace(run(program, images), outputs={}) == timed
    short = run(program, values=False, max_cycles=timed.plays[-1].first)
    assert short.deadlock is not None and short.deadlock.kind == "limit"


@pytest.mark.sim
def test_rtl_takes_the_same_cycles_over_rounds(tmp_path: Path) -> None:
    program, images, _ = sums(5)
    check(program, images, tmp_path)


def test_a_play_is_a_call_of_its_steps() -> None:
    """Replaying a whole program takes its cycles each time, and leaves the same bits; so does its order for C++."""
    program, images, _ = perceptron(rows=7, sizes=(16, 24, 36), lanes=8, depth=2)
    once, planned = run(program, images), plan_merged(replayed(program, (2, 3)))
    again = run(planned, images)
    assert again.cycles == 5 * once.cycles
    assert again.outputs == once.outputs == run(planned, images, merged=True).outputs
    assert len(again.stages) == 5 * len(once.stages)
    assert {span.step for span in again.stages} == set(range(2 * (1 + max(s.step for s in once.stages))))


@pytest.mark.sim
def test_rtl_replays_every_kind_of_node_and_lets_some_rest(tmp_path: Path) -> None:
    parts = [part for kind in sorted(RANDOM) for part in random_parts(kind, 1, 7)]
    program, images = merge("replayed", parts)

    def plays(node: object, segment: int) -> bool:
        part = int(str(getattr(node, "name", "")).split("_")[0][1:])
        return segment == 0 or part % 3 != segment

    check(replayed(program, (2, 1, 2), plays), images, tmp_path)


def test_segments_out_of_order_are_refused() -> None:
    program, images, _ = sums(2)
    nodes = tuple(
        node.model_copy(update={"steps": node.steps[::-1]}) if node.name == "y" else node
        for node in program.nodes
    )
    broken = program.model_copy(update={"nodes": nodes, "rounds": (1, 2, 1, 1)})
    with pytest.raises(
        InternalError, match=r"steps of 'y' are in segments \[2, 1, 0\].*segment 3 has no steps"
    ):
        run(broken, images)
