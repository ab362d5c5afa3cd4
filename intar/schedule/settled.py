"""Schedules of networks with very many tasks on machines whose memory is never short: what memory decides is settled.

What is read again stays on chip, and a task that can only run alone does so as soon as it can (:class:`Moves`): neither
costs cycles of the model, and little is left to search. Then what was settled without need is taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from intar.schedule.dp import Answer, solve_dp
from intar.schedule.moves import Move, Moves
from intar.schedule.problem import Problem, members

WIDTH = 100
"""States kept for one number of finished tasks. An LSTM of 244 tasks finds nothing better with 677."""


def settled(problem: Problem, moves: Moves) -> Answer | None:
    """The best schedule found of those that :class:`Moves` calls settled: not proved best of all."""
    few = Moves(problem, moves.stages, moves.rules, settled=True)
    answer = solve_dp(problem, few, WIDTH)
    if answer is None or not answer.moves:
        return answer
    return replace(answer, moves=_trimmed(problem, _late(problem, answer.moves)), exact=False)


def _late(problem: Problem, moves: Sequence[Move]) -> list[Move]:
    """Each move of elements right before the first stage that reads what it makes, which is not on chip before."""
    order = list(moves)
    for move in reversed(moves):
        task, *others = members(move.mask)
        entry = problem.tasks[task]
        brings = any(problem.tensors[tensor].producer < 0 for tensor, _ in move.kept)
        if others or brings or entry.work.kind != "move":
            continue
        readers = problem.tensors[entry.output].consumers
        place = order.index(move)
        reading = (n for n in range(place + 1, len(order)) if order[n].mask & readers)
        order.insert(next(reading, place + 1) - 1, order.pop(place))
    return order


def _trimmed(problem: Problem, moves: Sequence[Move]) -> tuple[Move, ...]:
    """The moves with as many copies of each tensor as are read at a time."""
    needed = {t: copies for move in moves for t, copies in move.kept if problem.tensors[t].windows}
    for move in moves:
        reads = [(t, problem.tensors[t].reads(move.mask)) for t, _ in move.kept]
        for tensor, count in (*reads, *move.resident):
            needed[tensor] = max(1, count, needed.get(tensor, 1))
    return tuple(replace(move, kept=tuple((t, needed[t]) for t, _ in move.kept)) for move in moves)
