"""The CP-SAT model: every stage that could be is a column; positions order the chosen ones.

It solves the problem of the dynamic programme without its state space: a column is a stage with its traffic decided
(`moves.Move`), the columns chosen cover each task once, and one cumulative over stage positions bounds the memory.
Every alternative is an interval of fixed size that shares nothing but a start (see `docs/schedule.md` for the trap).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

from intar.errors import ConfigError, Finding
from intar.schedule import bounds, solver
from intar.schedule.dp import Answer, footprint
from intar.schedule.moves import Move, Moves
from intar.schedule.problem import Problem, members

MOST_COLUMNS = 40000


def columns(problem: Problem, moves: Moves) -> list[Move]:
    """Every move from every order ideal, whatever is on chip; ConfigError if there are too many for this engine."""
    found: dict[tuple[object, ...], Move] = {}
    level, seen = [0], {0}
    while level:
        done = level.pop()
        for mask in moves.extensions(done):
            if done | mask not in seen:
                seen.add(done | mask)
                level.append(done | mask)
            external = sorted(moves.externals(mask))
            for size in range(len(external) + 1):
                for near in combinations(external, size):
                    if any(
                        problem.tensors[t].producer < 0 and not problem.tensors[t].reads(done) for t in near
                    ):
                        continue
                    for move in moves.options(done, mask, frozenset(near)):
                        found.setdefault((mask, move.config, move.kept, move.resident, move.stores), move)
        if len(found) > MOST_COLUMNS:
            raise ConfigError(
                Finding(
                    f"{problem.name!r} has more than {MOST_COLUMNS} possible stages",
                    "engine 'cpsat'",
                    "the CP-SAT model lists all stages",
                    "use engine 'dp'",
                )
            )
    return list(found.values())


@dataclass
class _Parts:
    """Variables of the model by what they mean."""

    model: solver.Model
    chosen: list[solver.Variable]
    position: list[solver.Variable]
    stay: dict[int, solver.Variable] = field(default_factory=dict)
    copies: dict[int, solver.Variable] = field(default_factory=dict)


def solve_cpsat(
    problem: Problem, moves: Moves, seed: int = 0, limit: float = 120.0, presolve: bool = True
) -> tuple[Answer | None, int]:
    """The best schedule and a proved bound; None if there is none (or, bound 0, none was found in the limit)."""
    table = columns(problem, moves)
    table = [m for m in table if _need(problem, m) <= problem.capacity and not _reloads(problem, moves, m)]
    count = len(problem.tasks)
    model = solver.Model()
    parts = _Parts(
        model,
        [model.new_bool_var("") for _ in table],
        [model.new_int_var(0, count - 1, "") for _ in range(count)],
    )
    if not _cover(problem, parts, table):
        return None, 0
    _order(problem, parts, table)
    _residency(problem, parts, table)
    _memory(problem, parts, table)
    total = solver.weighted_sum(parts.chosen, [m.cycles for m in table])
    model.add(total >= max(bounds.lower_bounds(problem.works, problem.machine).values()))
    model.minimize(total)
    outcome = solver.run(model, [*parts.chosen, *parts.position], seed, limit, presolve)
    if not outcome.found:
        return None, 0
    picked = [m for m, x in zip(table, parts.chosen, strict=True) if outcome[x]]
    picked.sort(key=lambda m: outcome[parts.position[members(m.mask)[0]]])
    size = sum(footprint(problem, picked))
    answer = Answer(tuple(picked), outcome.objective, outcome.status == "OPTIMAL", len(table), size)
    return answer, outcome.bound


def _need(problem: Problem, move: Move) -> int:
    """Bytes that a move needs at least."""
    held = move.kept + move.resident
    return move.staging + move.weights + sum(problem.tensors[t].bytes * copies for t, copies in held)


def _reloads(problem: Problem, moves: Moves, move: Move) -> bool:
    """True if the move loads, for itself, a tensor that must stay on chip for readers in other stages, too."""
    kept = dict(move.kept)
    return any(
        t in moves.rules.chip and t not in kept and problem.tensors[t].reads(~move.mask) for t in move.loads
    )


def _cover(problem: Problem, parts: _Parts, table: list[Move]) -> bool:
    for task in range(len(problem.tasks)):
        having = [x for x, m in zip(parts.chosen, table, strict=True) if m.mask >> task & 1]
        if not having:
            return False
        parts.model.add_exactly_one(having)
    return True


def _order(problem: Problem, parts: _Parts, table: list[Move]) -> None:
    """Tasks of a column share a position, different columns do not, and producers come first."""
    model = parts.model
    pairs: dict[tuple[int, int], list[solver.Variable]] = {}
    leaders: dict[int, list[solver.Variable]] = {}
    for x, move in zip(parts.chosen, table, strict=True):
        tasks = members(move.mask)
        leaders.setdefault(tasks[0], []).append(x)
        for pair in combinations(tasks, 2):
            pairs.setdefault(pair, []).append(x)
    together = {}
    for pair, having in sorted(pairs.items()):
        same = model.new_bool_var("")
        model.add(solver.linear_sum(having) == same)
        model.add(parts.position[pair[0]] == parts.position[pair[1]]).only_enforce_if(same)
        together[pair] = same
    for task, before in enumerate(problem.predecessors):
        for u in members(before):
            joint = together.get((min(u, task), max(u, task)))
            if joint is None:
                model.add(parts.position[task] > parts.position[u])
            else:
                model.add(parts.position[task] + joint > parts.position[u])
    slots = []
    for task, having in sorted(leaders.items()):
        leads = model.new_bool_var("")
        model.add(solver.linear_sum(having) == leads)
        slots.append(model.new_optional_fixed_size_interval_var(parts.position[task], 1, leads, ""))
    model.add_no_overlap(slots)


def _residency(problem: Problem, parts: _Parts, table: list[Move]) -> None:
    """A tensor that one column keeps is on chip for all later readers, with copies enough; else they load it."""
    model = parts.model
    for t in range(len(problem.tensors)):
        keeping = [
            (x, dict(m.kept)[t]) for x, m in zip(parts.chosen, table, strict=True) if t in dict(m.kept)
        ]
        if not keeping:
            for x, move in zip(parts.chosen, table, strict=True):
                if t in dict(move.resident):
                    model.add(x == 0)
            continue
        stay = model.new_bool_var("")
        most = max(copies for _, copies in keeping)
        copies = model.new_int_var(0, most, "")
        model.add(solver.linear_sum([x for x, _ in keeping]) == stay)
        model.add(solver.weighted_sum([x for x, _ in keeping], [c for _, c in keeping]) == copies)
        parts.stay[t], parts.copies[t] = stay, copies
        for x, move in zip(parts.chosen, table, strict=True):
            if problem.tensors[t].producer < 0 and t in dict(move.kept):
                for reader in set(problem.tensors[t].readers):
                    leader = parts.position[members(move.mask)[0]]
                    model.add(parts.position[reader] >= leader).only_enforce_if(x)
            resident = dict(move.resident)
            if t in resident:
                model.add_implication(x, stay)
                model.add(copies >= resident[t]).only_enforce_if(x)
            elif t in move.loads and t not in dict(move.kept):
                model.add_implication(x, stay.negated())


def _memory(problem: Problem, parts: _Parts, table: list[Move]) -> None:
    """Bytes of tensors over positions, and resident weights all the time."""
    model, count = parts.model, len(problem.tasks)
    weights = model.new_int_var(0, max(0, problem.capacity), "")
    model.add(solver.weighted_sum(parts.chosen, [m.weights for m in table]) == weights)
    intervals: list[solver.Interval] = [model.new_fixed_size_interval_var(0, count, "")]
    demands: list[solver.Linear] = [weights]
    for task in range(count):
        led = [
            (x, m.staging)
            for x, m in zip(parts.chosen, table, strict=True)
            if members(m.mask)[0] == task and m.staging
        ]
        if led:
            work = model.new_int_var(0, max(w for _, w in led), "")
            model.add(solver.weighted_sum([x for x, _ in led], [w for _, w in led]) == work)
            intervals.append(model.new_fixed_size_interval_var(parts.position[task], 1, ""))
            demands.append(work)
    for t, stay in parts.stay.items():
        tensor = problem.tensors[t]
        start, end = model.new_int_var(0, count - 1, ""), model.new_int_var(1, count, "")
        size = model.new_int_var(1, count, "")
        if tensor.producer >= 0:
            model.add(start == parts.position[tensor.producer])
        for reader in sorted(set(tensor.readers)):
            model.add(end >= parts.position[reader] + 1)
            if tensor.producer < 0:
                model.add(start <= parts.position[reader])
        if tensor.producer < 0:
            for x, move in zip(parts.chosen, table, strict=True):
                if t in dict(move.kept):
                    model.add(start == parts.position[members(move.mask)[0]]).only_enforce_if(x)
        intervals.append(model.new_optional_interval_var(start, size, end, stay, ""))
        demands.append(parts.copies[t] * tensor.bytes)
    model.add_cumulative(intervals, demands, max(0, problem.capacity))
