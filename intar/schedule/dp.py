"""Exact dynamic programme over (finished tasks, tensors on chip).

A state is an order ideal of the task graph with the set of whole tensors on chip and their copies; a transition is a
stage. Every topological order, stage partition, core split and spill decision that `moves` offers is covered.
Where buffers don't share memory, bytes add up over the run: a state then keeps every way that is not both slower and
bigger than another.
"""

from __future__ import annotations

from collections.abc import Iterator
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


@dataclass(frozen=True)
class _Node:
    """A way to a state. Ties: fewest stages, then least memory (summed over the stages)."""

    cycles: int
    stages: int
    memory: int
    state: State
    parent: _Node | None
    move: Move | None

    @property
    def rank(self) -> tuple[int, int, int]:
        return self.cycles, self.stages, self.memory


def remaining_area(problem: Problem, done: int) -> int:
    """Cycles that the tasks outside `done` take at least."""
    rest = problem.everything & ~done
    return cost.spread([problem.areas[t] for t in members(rest)], problem.machine)


def _after(problem: Problem, node: _Node, move: Move) -> tuple[Residents, int] | None:
    """Tensors on chip after the move and the bytes to count for it; None if a tensor has too few copies.

    Shared memory: bytes on chip during the stage. Otherwise: bytes of the buffers that begin with it.
    """
    have = dict(node.state[1])
    for tensor, reads in move.resident:
        if have[tensor] < reads:
            return None
    have.update(move.kept)
    counted = have.items() if problem.sharing else move.kept
    used = move.work + sum(problem.tensors[t].bytes * copies for t, copies in counted)
    now = node.state[0] | move.mask
    left = tuple(sorted((t, c) for t, c in have.items() if problem.tensors[t].consumers & ~now))
    return left, used


class _Search:
    """One run of the programme; see `solve_dp`."""

    def __init__(
        self, problem: Problem, moves: Moves, width: int, upper: int | None, target: State, peak: bool
    ):
        self.problem, self.moves, self.width, self.upper = problem, moves, width, upper
        self.target, self.peak = target, peak
        self.base = remaining_area(problem, target[0])
        self.tails: dict[int, int] = {}
        self.levels: list[dict[State, list[_Node]]] = [{} for _ in range(len(problem.tasks) + 1)]
        self.exact, self.states = True, 0

    def tail(self, done: int) -> int:
        """Cycles that are still to come at least."""
        if done not in self.tails:
            self.tails[done] = remaining_area(self.problem, done) - self.base
        return self.tails[done]

    def run(self, start: State) -> _Node | None:
        """The best node of the target."""
        self.insert(_Node(0, 0, 0, start, None, None))
        for level in range(start[0].bit_count(), self.target[0].bit_count()):
            nodes = self.cut([node for ways in self.levels[level].values() for node in ways])
            self.states += len(nodes)
            for node in nodes:
                for new in self.successors(node):
                    self.insert(new)
            self.levels[level] = {}
        ways = self.levels[self.target[0].bit_count()].get(self.target, [])
        return min(ways, key=lambda node: node.rank) if ways else None

    def cut(self, nodes: list[_Node]) -> list[_Node]:
        """At most `width` of the nodes, the most promising."""
        if len(nodes) <= self.width:
            return nodes
        self.exact = False
        return sorted(nodes, key=lambda n: (n.cycles + self.tail(n.state[0]), n.stages, n.memory, n.state))[
            : self.width
        ]

    def insert(self, new: _Node) -> None:
        """Keep a node unless a known one of its state is at least as good; drop those that it beats."""
        ways = self.levels[new.state[0].bit_count()].setdefault(new.state, [])
        if self.problem.sharing or self.peak:
            if not ways or new.rank < ways[0].rank:
                ways[:] = [new]
        elif not any(old.cycles <= new.cycles and old.memory <= new.memory for old in ways):
            ways[:] = [old for old in ways if old.cycles < new.cycles or old.memory < new.memory] + [new]

    def successors(self, node: _Node) -> Iterator[_Node]:
        """Every node that one more stage leads to, within memory and upper bound."""
        problem = self.problem
        done, residents = node.state
        on_chip = frozenset(t for t, _ in residents)
        for mask in self.moves.extensions(done):
            now = done | mask
            if now & ~self.target[0]:
                continue
            for move in self.moves.options(done, mask, on_chip):
                cycles = node.cycles + move.cycles
                if self.upper is not None and cycles + self.tail(now) > self.upper:
                    continue
                after = _after(problem, node, move)
                if after is None:
                    continue
                memory = node.memory + after[1]
                if self.peak:
                    cycles = max(node.cycles, after[1]) if problem.sharing else memory
                elif (after[1] if problem.sharing else memory) > problem.capacity:
                    continue
                yield _Node(cycles, node.stages + 1, memory, (now, after[0]), node, move)


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
    peak : minimise the memory instead, without a limit; `cycles` of the answer are then bytes.

    Returns
    -------
    None if there is no schedule. An answer without moves: none was found, but the search was cut.
    """
    target = goal if goal is not None else (problem.everything, ())
    search = _Search(problem, moves, width, upper, target, peak)
    end = search.run(start)
    if end is None:
        return None if search.exact else Answer((), -1, False, search.states)
    path: list[Move] = []
    node: _Node | None = end
    while node is not None:
        if node.move is not None:
            path.append(node.move)
        node = node.parent
    return Answer(tuple(reversed(path)), end.cycles, search.exact, search.states)
