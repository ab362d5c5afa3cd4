"""Blocks that a network repeats: runs of tasks that are alike in everything but the values of their constants."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import prod

import numpy as np

from intar.ir.ops import Op
from intar.ir.states import NEW
from intar.ir.taskgraph import Task, TaskGraph

LEAST_ROUNDS = 3
"""So many consecutive equal blocks make a loop."""

Blocks = tuple[tuple[str, ...], ...]
"""The names of each block's tasks; tasks in the same place are the same."""

Loops = tuple[Blocks, ...]
"""The blocks of each loop of a network, in order."""


def repeated_blocks(graph: TaskGraph) -> Loops:
    """The loops of a graph, in order: each has `LEAST_ROUNDS` blocks or more.

    All tasks of a block stand together in the graph's order. What a block makes is read by itself and the next one only (the
    last one: by anybody), but for new rows of a state of its own (`intar.ir.states`), which leave the network; what comes
    from before the loop is read by the first block only, but for matrices of which each block reads the next row (or the one
    before); and rows that blocks make may be put one below the other behind the loop. Of the ways to cut a loop
    the one with most blocks is taken, then the one where the fewest elements go from block to block.

    Loops over the rows of matrices (`cuts_rows`: the steps of recurrent layers) may be several; of others there is the
    longest one, and only where it has more tasks than all of them together, and more than twice as many as those within it
    (layers of a stack are alike, too).
    """
    search = _Search(graph)
    rows = search.over_rows(0, len(graph.tasks))
    longest = search.longest(0, len(graph.tasks), least=sum(map(_weight, rows)))
    if longest:
        tasks = {task.name for block in longest for task in block}
        within = sum(_weight(blocks) for blocks in rows if blocks[0][0].name in tasks)
        found = [longest] if _weight(longest) > 2 * within else rows
    else:
        found = rows
    return tuple(tuple(tuple(task.name for task in block) for block in blocks) for blocks in found)


def _weight(blocks: Sequence[Sequence[Task]]) -> int:
    """The tasks of all blocks but the first."""
    return (len(blocks) - 1) * len(blocks[0])


class _Search:
    """Loops in stretches of a graph's tasks."""

    def __init__(self, graph: TaskGraph) -> None:
        self.graph = graph
        numbers: dict[Hashable, int] = {}
        signatures = [_signature(graph, task) for task in graph.tasks]
        self.kinds = np.array([numbers.setdefault(one, len(numbers)) for one in signatures], np.int64)

    def over_rows(self, first: int, end: int) -> list[Sequence[Sequence[Task]]]:
        """The loops over rows among tasks `first` … `end` - 1: the longest, and those on both sides of it."""
        blocks = self.longest(first, end, rows=True)
        if not blocks:
            return []
        start = self.graph.tasks.index(blocks[0][0])
        behind = start + len(blocks) * len(blocks[0])
        return [*self.over_rows(first, start), blocks, *self.over_rows(behind, end)]

    def longest(
        self, first: int, end: int, least: int = 0, rows: bool = False
    ) -> Sequence[Sequence[Task]] | None:
        """The longest loop among these tasks (with `rows` over rows of matrices), if it has more than `least` tasks besides
        those of its first round."""
        best: tuple[tuple[int, int, int, int], Sequence[Sequence[Task]]] | None = None
        for period in range(1, (end - first) // LEAST_ROUNDS + 1):
            for begin, count in _runs(self.kinds[first:end], period):
                for phase in range(period):
                    rounds = (count - phase) // period
                    weight, start = (rounds - 1) * period, first + begin + phase
                    shorter = best is not None and (weight, -period) < best[0][:2]
                    if rounds < LEAST_ROUNDS or weight <= least or shorter:
                        break
                    ends = range(start, start + rounds * period, period)
                    blocks = [self.graph.tasks[at : at + period] for at in ends]
                    if rows and not _cut_rows(self.graph, blocks):
                        continue
                    size = _handed_over(self.graph, blocks)
                    if size is None:
                        continue
                    # Most tasks in the loop but its first round; short blocks; few elements handed over.
                    key = (weight, -period, -size, -start)
                    if best is None or key > best[0]:
                        best = key, blocks
        return best[1] if best else None


def _signature(graph: TaskGraph, task: Task) -> Hashable:
    """What tasks in the same place of two blocks have in common."""
    operands = tuple(
        (name in graph.constants, graph.tensor(name).shape, _quant(graph, name)) for name in task.inputs
    )
    named = {"rows": 1} if cuts_row(graph, task) else task.attrs
    attrs = tuple(sorted((name, type(value).__name__, value) for name, value in named.items()))
    return task.op, attrs, operands, graph.tensor(task.output).shape, _quant(graph, task.output)


def cuts_row(graph: TaskGraph, task: Task) -> bool:
    """It takes one row of a matrix."""
    return task.op is Op.SLICE and graph.tensor(task.output).shape[:-1] == (1,) and task.attrs["axis"] == 0


def cuts_rows(graph: TaskGraph, blocks: Blocks) -> bool:
    """The blocks read rows of a tensor from before them, each its own."""
    tasks = {task.name: task for task in graph.tasks}
    return _cut_rows(graph, [[tasks[name] for name in block] for block in blocks[:2]])


def _cut_rows(graph: TaskGraph, blocks: Sequence[Sequence[Task]]) -> bool:
    same = zip(*blocks[:2], strict=True)
    return any(
        a.op is Op.SLICE and a.inputs == b.inputs and a.attrs != b.attrs and cuts_row(graph, a)
        for a, b in same
    )


def _quant(graph: TaskGraph, name: str) -> bool:
    return graph.tensor(name).quant is not None


def _runs(kinds: np.ndarray, period: int) -> Iterator[tuple[int, int]]:
    """(first, count) of the stretches of tasks that repeat with this period, at least `LEAST_ROUNDS` times."""
    again = np.concatenate([[False], kinds[period:] == kinds[:-period], [False]])
    edges = np.flatnonzero(again[1:] != again[:-1])
    for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if end - first >= (LEAST_ROUNDS - 1) * period:
            yield first, end - first + period


def _handed_over(graph: TaskGraph, blocks: Sequence[Sequence[Task]]) -> int | None:
    """Elements that go from block to block; None if the blocks don't make a chain."""
    where = {task.output: index for index, block in enumerate(blocks) for task in block}
    if not all(_rows_in_order(graph, same, where) for same in zip(*blocks, strict=True)):
        return None
    before = {task.output for task in graph.tasks} - set(where)
    crossing: set[str] = set()
    behind = False
    for task in graph.tasks:
        behind = behind or task.output in where
        mine = where.get(task.output, len(blocks) if behind else -1)
        for name in task.inputs:
            made = where.get(name, -1 if name in before else mine)
            cut = made < 0 and cuts_row(graph, task)
            if made < mine < len(blocks) and mine != made + 1 and not cut:
                return None
            if mine == len(blocks) and 0 <= made < len(blocks) - 1 and not _stacks(task):
                return None
            if 0 <= made < mine:
                crossing.add(name)
    leaving = [name for name in graph.outputs if name.removesuffix(NEW) not in graph.inputs]
    if any(0 <= where.get(name, -1) < len(blocks) - 1 for name in leaving):
        return None
    return sum(prod(graph.tensor(name).shape) for name in crossing)


def _rows_in_order(graph: TaskGraph, same: Sequence[Task], where: Mapping[str, int]) -> bool:
    """Tasks in one place of all blocks that cut rows take the same row of what a block makes, or one row after the other of
    a tensor from before the blocks."""
    if not cuts_row(graph, same[0]):
        return True
    starts = [int(str(task.attrs["start"])) for task in same]
    if same[0].inputs[0] in where or same[1].inputs[0] in where or same[0].inputs[0] in graph.inputs:
        return len(set(starts)) == 1
    steps = {b - a for a, b in pairwise(starts)}
    return len({task.inputs for task in same}) == 1 and steps in ({1}, {-1})


def _stacks(task: Task) -> bool:
    """It puts rows one below the other."""
    return task.op is Op.CONCAT and task.attrs["axis"] == 0


def alike(graph: TaskGraph, loops: Loops) -> list[tuple[str, ...]]:
    """The activations that stand in the same place of all blocks of a loop, one set for each place."""
    tasks = {task.name: task for task in graph.tasks}
    found = []
    for same in (same for blocks in loops for same in zip(*blocks, strict=True)):
        group = [tasks[name] for name in same]
        found.append(tuple(task.output for task in group))
        for operands in zip(*(task.inputs for task in group), strict=True):
            if not any(name in graph.constants for name in operands):
                found.append(operands)
    return found


def shares_constants(graph: TaskGraph, same: Sequence[Sequence[str]]) -> bool:
    """Blocks, given by their activations in the same place (`alike`), all have the same constants: steps of a recurrent
    layer."""
    found = False
    for names in same:
        made = [maker for name in names if (maker := graph.producer(name)) is not None]
        constants = {tuple(name for name in task.inputs if name in graph.constants) for task in made}
        if len(made) == len(names) and len({task.op for task in made}) == 1:
            if len(constants) > 1:
                return False
            found |= bool(made and constants != {()})
    return found
