"""`solve`: the best schedule of a quantised graph on a machine, with a proved bound."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from intar.errors import InternalError
from intar.ir.quantgraph import QuantGraph
from intar.ir.schedule import Machine, Pattern, Schedule
from intar.schedule import bounds
from intar.schedule.build import build_schedule, lay_out
from intar.schedule.cpsat import solve_cpsat
from intar.schedule.dataflow import best_groups, first_groups
from intar.schedule.dp import Answer, solve_dp
from intar.schedule.infeasible import check_ring, explain
from intar.schedule.moves import WIDE_TASKS, Moves, Rules, roomy, too_many
from intar.schedule.pins import Pins, rules_of
from intar.schedule.problem import Problem, make_problem
from intar.schedule.settled import settled
from intar.schedule.stages import Limits, Stages
from intar.schedule.windows import improve

Mode = Literal["auto", "intar", "sequential", "dataflow"]
Engine = Literal["auto", "dp", "cpsat"]

PATTERNS: dict[str, tuple[Pattern, ...]] = {
    "auto": ("sequential", "pipelined", "parallel", "interleaved"),
    "intar": ("sequential", "pipelined", "parallel"),
    "sequential": ("sequential",),
    "dataflow": ("pipelined", "parallel"),
}

ATTEMPTS = 4
"""Searches by the bytes of banks, with less and less memory, until the banks of a schedule fit."""

BANKS_WIDTH = 400
"""States kept for one number of finished tasks in these searches."""

BEAM = 20
WIDTH = 4000
"""States kept for one number of finished tasks: in the quick first pass, and in the exact one. There, of more than
WIDE_TASKS tasks the width goes down with their square: so does then the time of a level, and there are more levels, each of
states with more tensors on chip."""

EFFORT = 100_000
"""Stages that each pass may try where the memory is never short, since there an answer is cheap (`settled`): some ten
seconds. Of the reference designs none needs a tenth of it."""


def lower_bounds(graph: QuantGraph, machine: Machine) -> dict[str, int]:
    """Bounds in cycles that hold for every schedule, by what they count (`bounds.lower_bounds`)."""
    return bounds.lower_bounds(make_problem(graph, machine).works, machine)


def moves_of(problem: Problem, mode: Mode, rules: Rules, limits: Limits | None = None) -> tuple[Moves, bool]:
    """All transitions that a mode allows; False if nothing fits whatever the core groups of dataflow are."""
    limits = replace(limits or Limits(), patterns=PATTERNS[mode], by_rows=rules.by_rows)
    fits = True
    if mode == "dataflow":
        groups = best_groups(problem, limits, rules)
        fits = groups is not None
        limits = replace(limits, groups=groups or first_groups(problem))
    return Moves(problem, Stages(problem, limits), rules), fits


def search(problem: Problem, moves: Moves, width: int = WIDTH) -> Answer | None:
    """Beam, then exact with the beam's cycles as upper bound; windows improve what could not be finished.

    Where the memory is never short, networks whose search would take too long get the best settled schedule instead.
    """
    if not roomy(problem):
        return _passes(problem, moves, width, None)
    answer = Answer((), -1, False, 0) if too_many(problem) else _passes(problem, moves, width, EFFORT)
    if answer is None or answer.exact:
        return answer
    found = [a for a in (answer, settled(problem, moves)) if a is not None and a.moves]
    return min(found, key=lambda a: a.cycles, default=answer)


def _passes(problem: Problem, moves: Moves, width: int, effort: int | None) -> Answer | None:
    """The passes over all schedules; an answer without moves if none is found with this effort."""
    quick = solve_dp(problem, moves, BEAM, effort=effort)
    if quick is None or quick.exact:
        return quick
    if quick.moves and quick.cycles == moves.remaining(0):
        return replace(quick, exact=True)
    if effort is not None and not quick.moves:
        return quick
    upper = quick.cycles if quick.moves else None
    answer = solve_dp(problem, moves, narrowed(width, len(problem.tasks)), upper, effort=effort)
    if answer is None and upper is not None:
        raise InternalError(
            f"schedule of {problem.name}: a schedule of {upper} cycles, below a bound that is no bound"
        )
    if answer is None or answer.exact:
        return answer
    found = [a for a in (answer, quick) if a.moves]
    if not found:
        return answer
    return improve(problem, moves, min(found, key=lambda a: a.cycles))


def narrowed(width: int, tasks: int) -> int:
    """The states to keep for one number of finished tasks, in a graph of so many tasks."""
    return max(BEAM, width * WIDE_TASKS**2 // max(tasks, WIDE_TASKS) ** 2)


def solve(
    graph: QuantGraph,
    machine: Machine,
    mode: Mode = "auto",
    pins: Pins | None = None,
    engine: Engine = "auto",
    limits: Limits | None = None,
    spills: bool = True,
) -> Schedule:
    """The best schedule of `graph` on `machine`.

    Parameters
    ----------
    mode : ``auto`` all patterns, ``intar`` without interleaving, ``sequential`` one task at a time, ``dataflow`` core
        groups fixed for the whole run.
    pins : what a person has decided.
        The bound is for the mode's patterns; the groups of ``dataflow`` are searched for and not proved best, so that
        mode's bound is the general one.
    engine : ``dp`` and ``auto`` the exact dynamic programme; ``cpsat`` the CP-SAT model (small graphs).
    spills : False keeps every tensor on chip that a later stage reads.
    limits : size of stages; the patterns in it are replaced by those of the mode, the axes by those of the pins.

    Raises
    ------
    InfeasibleError : no schedule fits the memory; says what binds and what would be enough.
    ConfigError : a pin names what is not in the graph or contradicts the machine.
    """
    began = time.perf_counter()
    check_ring(graph, machine)
    problem = make_problem(graph, machine)
    rules = rules_of(pins, problem)
    if not spills:
        rules = replace(rules, chip=frozenset(range(len(problem.tensors))) - rules.spill)
    floor = max(bounds.lower_bounds(problem.works, machine).values())
    moves, fits = moves_of(problem, mode, rules, limits)
    answer, bound = _decide(problem, moves, engine, floor) if fits else (None, floor)
    if mode == "dataflow":
        bound = floor
    name = "cpsat" if engine == "cpsat" else "dp"
    for found in _candidates(problem, moves, answer):
        layout = lay_out(problem, found.moves, overlap=mode == "dataflow")
        if sum(move.weights for move in found.moves) + layout.banks.total <= problem.capacity:
            seconds = time.perf_counter() - began
            return build_schedule(problem, mode, found.moves, layout, bound, name, seconds)
    raise explain(problem, mode, moves)


def _candidates(problem: Problem, moves: Moves, best: Answer | None) -> Iterator[Answer]:
    """The best answer by the bytes of each stage; then, since banks may need more, answers found by the bytes of banks."""
    if best is not None:
        yield best
        tight, width = problem, BANKS_WIDTH
        for _ in range(ATTEMPTS):
            answer = solve_dp(tight, moves, width, aim="banks")
            if answer is None or not answer.moves:
                break
            yield answer
            tight = replace(tight, fixed_bytes=problem.machine.onchip_bytes - answer.bytes + 1)
    lean = solve_dp(problem, moves, BANKS_WIDTH, aim="memory")
    if lean is not None and lean.moves:
        yield lean


def _decide(problem: Problem, moves: Moves, engine: Engine, floor: int) -> tuple[Answer | None, int]:
    if engine == "cpsat":
        answer, bound = solve_cpsat(problem, moves)
        return answer, max(bound, floor)
    answer = search(problem, moves)
    if answer is not None and not answer.moves:
        answer = _leanest(problem, moves)
    return answer, answer.cycles if answer is not None and answer.exact else floor


def _leanest(problem: Problem, moves: Moves) -> Answer | None:
    """Where the search was cut before it found anything that fits: the schedule with the least memory, improved."""
    lean = solve_dp(problem, moves, BEAM * 20, aim="memory")
    if lean is None or not lean.moves or lean.bytes > problem.capacity:
        return None
    return improve(problem, moves, replace(lean, exact=False))
