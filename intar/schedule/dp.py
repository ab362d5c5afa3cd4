"""Exact dynamic programme over (finished tasks, tensors on chip).

A state is an order ideal of the task graph with the set of whole tensors on chip and their copies; a transition is a
stage. Every topological order, stage partition, core split and spill decision that `moves` offers is covered.
"""

from __future__ import annotations

from dataclasses import dataclass

from intar.schedule import cost
from intar.schedule.moves import Move, Moves
from intar.schedule.problem import Problem, members

Residents = tuple[tuple[int, int], ...]
State = tuple[int, Residents]


@dataclass(frozen=True)
class Answer:
    """The cheapest sequence of moves; `exact` says that nothing was cut from the search."""

    moves: tuple[Move, ...]
    cycles: int
    exact: bool
    states: int


@dataclass
class _Node:
    """The best way to a state: least cycles, then fewest stages, then least memory summed over the stages."""

    cycles: int
    stages: int
    memory: int
    parent: State | None
    move: Move | None


def remaining_area(problem: Problem, done: int) -> int:
    """Cycles that the tasks outside `done` take at least."""
    rest = problem.everything & ~done
    return cost.ceil_div(sum(problem.areas[t] for t in members(rest)), problem.machine.cores)


def _after(problem: Problem, done: int, residents: Residents, move: Move) -> tuple[Residents, int] | None:
    """Tensors on chip after the move and bytes on chip during it; None if a tensor has too few copies."""
    have = dict(residents)
    for tensor, reads in move.resident:
        if have[tensor] < reads:
            return None
    have.update(move.kept)
    used = move.work + sum(problem.tensors[t].bytes * copies for t, copies in have.items())
    now = done | move.mask
    left = tuple(sorted((t, c) for t, c in have.items() if problem.tensors[t].consumers & ~now))
    return left, used


def solve_dp(
    problem: Problem,
    moves: Moves,
    width: int,
    upper: int | None = None,
    start: State = (0, ()),
    goal: State | None = None,
    peak: bool = False,
) -> Answer | None:
    """The best schedule from `start` to `goal` (default: everything done).

    Parameters
    ----------
    width : most states kept for one number of finished tasks; a cut makes the answer inexact.
    upper : cycles of a known schedule; states that can't beat or equal it are dropped.
    start, goal : finished tasks and tensors on chip to begin and to end with.
    peak : minimise the peak of the memory instead, without a limit; `cycles` of the answer are then bytes.

    Returns
    -------
    None if there is no schedule. An answer without moves: none was found, but the search was cut.
    """
    target = goal if goal is not None else (problem.everything, ())
    levels: list[dict[State, _Node]] = [{} for _ in range(len(problem.tasks) + 1)]
    levels[start[0].bit_count()][start] = _Node(0, 0, 0, None, None)
    tail: dict[int, int] = {}
    exact, states = True, 0
    base = remaining_area(problem, target[0])
    for level in range(start[0].bit_count(), target[0].bit_count()):
        here = levels[level]
        if len(here) > width:
            exact = False
            ranked = sorted(
                here, key=lambda s: (here[s].cycles + remaining_area(problem, s[0]), here[s].stages, s)
            )
            levels[level] = here = {s: here[s] for s in ranked[:width]}
        states += len(here)
        for state in list(here):
            node = here[state]
            done, residents = state
            on_chip = frozenset(t for t, _ in residents)
            for mask in moves.extensions(done):
                now = done | mask
                if now & ~target[0]:
                    continue
                if now not in tail:
                    tail[now] = remaining_area(problem, now) - base
                for move in moves.options(done, mask, on_chip):
                    cycles = node.cycles + move.cycles
                    if upper is not None and cycles + tail[now] > upper:
                        continue
                    after = _after(problem, done, residents, move)
                    if after is None or (after[1] > problem.capacity and not peak):
                        continue
                    if peak:
                        cycles = max(node.cycles, after[1])
                    new = (now, after[0])
                    stages, memory = node.stages + 1, node.memory + after[1]
                    known = levels[now.bit_count()].get(new)
                    if known is None or (cycles, stages, memory) < (known.cycles, known.stages, known.memory):
                        levels[now.bit_count()][new] = _Node(cycles, stages, memory, state, move)
    end = levels[target[0].bit_count()].get(target)
    if end is None:
        return None if exact else Answer((), -1, False, states)
    return Answer(_trace(levels, target), end.cycles, exact, states)


def _trace(levels: list[dict[State, _Node]], target: State) -> tuple[Move, ...]:
    path: list[Move] = []
    state: State | None = target
    while state is not None:
        node = levels[state[0].bit_count()][state]
        if node.move is not None:
            path.append(node.move)
        state = node.parent
    return tuple(reversed(path))
