"""Improve a schedule in windows: consecutive stages are solved again by the dynamic programme, between fixed states."""

from __future__ import annotations

from dataclasses import replace

from intar.schedule.dp import Answer, State, solve_dp
from intar.schedule.moves import Move, Moves
from intar.schedule.problem import Problem

WINDOW = 16
"""Tasks in a window."""

WIDTH = 300
PASSES = 4


def states_of(problem: Problem, moves: list[Move]) -> list[State]:
    """The state before each move, and the last one."""
    states: list[State] = [(0, ())]
    for move in moves:
        done, residents = states[-1]
        have = dict(residents)
        have.update(move.kept)
        now = done | move.mask
        left = tuple(sorted((t, c) for t, c in have.items() if problem.tensors[t].consumers & ~now))
        states.append((now, left))
    return states


def _without(problem: Problem, others: list[Move]) -> Problem:
    """The problem with the memory that moves outside the window leave."""
    if problem.sharing:
        return problem
    kept = sum(problem.tensors[t].bytes * copies for move in others for t, copies in move.kept)
    return replace(problem, fixed_bytes=problem.fixed_bytes + kept + sum(move.work for move in others))


def improve(problem: Problem, moves: Moves, answer: Answer) -> Answer:
    """Slide a window over the stages, by half its length, until a pass brings nothing."""
    best = list(answer.moves)
    for _ in range(PASSES):
        before = sum(move.cycles for move in best)
        first = 0
        while first < len(best):
            last, tasks = first, 0
            while last < len(best) and (tasks == 0 or tasks + best[last].mask.bit_count() <= WINDOW):
                tasks += best[last].mask.bit_count()
                last += 1
            states = states_of(problem, best)
            old = sum(move.cycles for move in best[first:last])
            inside = _without(problem, best[:first] + best[last:])
            found = solve_dp(inside, moves, WIDTH, old, states[first], states[last])
            if found is not None and found.moves and found.cycles < old:
                best[first:last] = found.moves
                last = first + len(found.moves)
            first += max(1, (last - first) // 2)
        if sum(move.cycles for move in best) == before:
            break
    return replace(answer, moves=tuple(best), cycles=sum(move.cycles for move in best), exact=False)
