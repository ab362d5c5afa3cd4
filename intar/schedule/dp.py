"""Exact dynamic programme over (finished tasks, tensors on chip).

A state is an order ideal of the task graph with the set of whole tensors on chip and their copies; a transition is a
stage. Every topological order, stage partition, core split and spill decision that `moves` offers is covered.
Tensors use memory in turn, so that the stage with the most bytes counts; resident weights add up over the run. A state keeps
every way that is not slower and bigger than another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from intar.schedule.moves import Move, Moves
from intar.schedule.problem import Problem, members

Residents = tuple[tuple[int, int], ...]
State = tuple[int, Residents]
Aim = Literal["cycles", "banks", "memory", "peak"]


@dataclass(frozen=True)
class Answer:
    """The cheapest sequence of moves; `exact` says that nothing was cut from the search; `bytes`: see `footprint`."""

    moves: tuple[Move, ...]
    cycles: int
    exact: bool
    states: int
    bytes: int = 0


@dataclass(frozen=True)
class _Node:
    """A way to a state: cycles, stages, bytes of resident weights so far, and of tensors by the measure of the search."""

    cycles: int
    stages: int
    weights: int
    memory: tuple[int, ...]
    state: State
    parent: _Node | None
    move: Move | None

    @property
    def peak(self) -> int:
        """Bytes of tensors so far."""
        return sum(self.memory)

    @property
    def rank(self) -> tuple[int, int, int]:
        return self.cycles, self.stages, self.weights + self.peak


def footprint(problem: Problem, moves: Sequence[Move]) -> tuple[int, int]:
    """Bytes of resident weights, and most bytes of tensors in any stage, of a whole schedule."""
    weights, peak = 0, 0
    state: State = (0, ())
    for move in moves:
        state, sizes = after(problem, state, move)
        weights, peak = weights + move.weights, max(peak, sum(sizes))
    return weights, peak


def after(problem: Problem, state: State, move: Move) -> tuple[State, list[int]]:
    """The state after a move, and the bytes of each copy of a tensor on chip during it, largest first."""
    held = (*state[1], *move.kept)
    sizes = [problem.tensors[t].bytes for t, copies in held for _ in range(copies)]
    return state_after(problem, state, move), sorted([*sizes, *move.staged], reverse=True)


def state_after(problem: Problem, state: State, move: Move) -> State:
    """The state after a move: what is read no more leaves the chip."""
    now = state[0] | move.mask
    gone = {t for t, _ in move.resident if not problem.tensors[t].consumers & ~now}
    new = [(t, copies) for t, copies in move.kept if problem.tensors[t].consumers & ~now]
    if not (gone or new):
        return now, state[1]
    return now, tuple(sorted([*(held for held in state[1] if held[0] not in gone), *new]))


def _together(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    """The larger of each two sizes: no banks for the copies of two stages have fewer bytes."""
    return tuple(map(max, zip_longest(one, other, fillvalue=0)))


class _Search:
    """One run of the programme; see `solve_dp`."""

    def __init__(
        self,
        problem: Problem,
        moves: Moves,
        width: int,
        upper: int | None,
        target: State,
        goal: Aim,
        effort: int | None,
    ):
        self.problem, self.moves, self.width, self.upper = problem, moves, width, upper
        self.target, self.aim, self.effort = target, goal, effort
        self.base = moves.remaining(target[0])
        self.tails: dict[int, int] = {}
        self.rests: dict[int, int] = {}
        self.levels: list[dict[State, list[_Node]]] = [{} for _ in range(len(problem.tasks) + 1)]
        self.exact, self.states, self.tried = True, 0, 0

    def tail(self, done: int) -> int:
        """Cycles that are still to come at least."""
        if done not in self.tails:
            self.tails[done] = self.moves.remaining(done) - self.base
        return self.tails[done]

    def rest(self, done: int) -> int:
        """Bytes of resident weights that may still come."""
        if done not in self.rests:
            rest = members(self.problem.everything & ~done)
            self.rests[done] = sum(self.problem.residents[t] for t in rest)
        return self.rests[done]

    def bytes(self, tensors: Residents) -> int:
        """Bytes of copies of tensors."""
        return sum(self.problem.tensors[t].bytes * copies for t, copies in tensors)

    def run(self, start: State, before: tuple[int, int]) -> _Node | None:
        """The best node of the target."""
        self.insert(_Node(0, 0, before[0], (before[1],), start, None, None))
        for level in range(start[0].bit_count(), self.target[0].bit_count()):
            nodes = self.cut([node for ways in self.levels[level].values() for node in ways])
            self.states += len(nodes)
            for node in nodes:
                for new in self.successors(node):
                    self.insert(new)
                if self.effort is not None and self.tried > self.effort:
                    self.exact = False
                    return None
            self.levels[level] = {}
        ways = self.levels[self.target[0].bit_count()].get(self.target, [])
        return min(ways, key=lambda node: node.rank) if ways else None

    def cut(self, nodes: list[_Node]) -> list[_Node]:
        """At most `width` of the nodes, the most promising."""
        if len(nodes) <= self.width:
            return nodes
        self.exact = False
        return sorted(nodes, key=lambda n: (n.cycles + self.tail(n.state[0]), *n.rank[1:], n.state))[
            : self.width
        ]

    def insert(self, new: _Node) -> None:
        """Keep a node unless a known one of its state is at least as good; drop those that it beats."""
        ways = self.levels[new.state[0].bit_count()].setdefault(new.state, [])
        if not any(self.beats(old, new) for old in ways):
            ways[:] = [old for old in ways if not self.beats(new, old)] + [new]

    def beats(self, a: _Node, b: _Node) -> bool:
        """True if every end of the schedule that fits after `b` fits after `a`, which is no slower."""
        if self.aim in ("memory", "peak"):
            return a.rank <= b.rank
        if (a.cycles, a.stages) > (b.cycles, b.stages) or a.weights > b.weights:
            return False
        if a.peak <= b.peak:
            return True
        if (a.cycles, a.stages, a.weights) == (b.cycles, b.stages, b.weights) or self.aim == "banks":
            return False
        return a.weights + self.rest(a.state[0]) + a.peak <= self.problem.capacity

    def successors(self, node: _Node) -> Iterator[_Node]:
        """Every node that one more stage leads to, within memory and upper bound."""
        problem = self.problem
        done, residents = node.state
        have = dict(residents)
        on_chip, held = frozenset(have), self.bytes(residents)
        by_copy = self.aim in ("banks", "memory")
        for mask in self.moves.extensions(done):
            now = done | mask
            if now & ~self.target[0]:
                continue
            for move in self.moves.options(done, mask, on_chip):
                self.tried += 1
                cycles = node.cycles + move.cycles
                if self.upper is not None and cycles + self.tail(now) > self.upper:
                    continue
                if any(have[tensor] < reads for tensor, reads in move.resident):
                    continue
                if by_copy:
                    state, sizes = after(problem, node.state, move)
                    memory = _together(node.memory, sizes)
                else:
                    state = state_after(problem, node.state, move)
                    memory = (max(node.peak, held + self.bytes(move.kept) + move.staging),)
                weights = node.weights + move.weights
                if self.aim in ("memory", "peak"):
                    if any(move.config.resident) or (
                        move.weights and not self.moves.rules.forces(move.config)
                    ):
                        continue
                    cycles = sum(memory)
                elif weights + sum(memory) > problem.capacity:
                    continue
                yield _Node(cycles, node.stages + 1, weights, memory, state, node, move)


def solve_dp(
    problem: Problem,
    moves: Moves,
    width: int,
    upper: int | None = None,
    start: State = (0, ()),
    goal: State | None = None,
    before: tuple[int, int] = (0, 0),
    aim: Aim = "cycles",
    effort: int | None = None,
) -> Answer | None:
    """The best schedule from `start` to `goal` (default: everything done).

    Parameters
    ----------
    width : most states kept for one number of finished tasks; a cut makes the answer inexact.
    upper : cycles of a known schedule; states that can't beat or equal it are dropped.
    start, goal : finished tasks and tensors on chip to begin and to end with.
    before : what is used apart from the stages that are searched for: bytes of weights, most bytes of tensors in a stage.
    aim : ``cycles`` with the bytes of each stage within the memory, exact; ``banks`` the same with the least bytes of banks
        for all stages so far, and of ways of equal bytes one only; ``memory`` these bytes instead of the cycles, without a
        limit and without resident weights; ``peak`` likewise the bytes of the fullest stage, exact.
    effort : stages tried after which the search is given up.

    Returns
    -------
    None if there is no schedule. An answer without moves: none was found, but the search was cut, or given up.
    """
    target = goal if goal is not None else (problem.everything, ())
    search = _Search(problem, moves, width, upper, target, aim, effort)
    end = search.run(start, before)
    if end is None:
        return None if search.exact else Answer((), -1, False, search.states)
    path: list[Move] = []
    node: _Node | None = end
    while node is not None:
        if node.move is not None:
            path.append(node.move)
        node = node.parent
    cycles = sum(move.cycles for move in path)
    exact = search.exact and aim in ("cycles", "peak")
    return Answer(tuple(reversed(path)), cycles, exact, search.states, end.weights + end.peak)
