"""Improve a schedule in windows: consecutive stages are solved again by the dynamic programme, between fixed states."""

from __future__ import annotations

from dataclasses import replace

from intar.schedule.dp import Answer, State, after, footprint, solve_dp
from intar.schedule.moves import Move, Moves
from intar.schedule.problem import Problem

WINDOW = 16
"""Tasks in a window."""

WIDTH = 300
PASSES = 4


def states_of(problem: Problem, moves: list[Move]) -> tuple[list[State], list[int]]:
    """The state before each move, and the last one; the bytes of tensors in each stage."""
    states: list[State] = [(0, ())]
    used = []
    for move in moves:
        state, size = after(problem, states[-1], move)
        states.append(state)
        used.append(sum(size))
    return states, used


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
            states, used = states_of(problem, best)
            old = sum(move.cycles for move in best[first:last])
            outside = sum(move.weights for move in best[:first] + best[last:])
            rest = outside, max(used[:first] + used[last:], default=0)
            found = solve_dp(problem, moves, WIDTH, old, states[first], states[last], rest)
            if found is not None and found.moves and found.cycles < old:
                best[first:last] = found.moves
                last = first + len(found.moves)
            first += max(1, (last - first) // 2)
        if sum(move.cycles for move in best) == before:
            break
    cycles, size = sum(move.cycles for move in best), sum(footprint(problem, best))
    return replace(answer, moves=tuple(best), cycles=cycles, exact=False, bytes=size)
