"""From the blocks that a float network repeats to the pieces of its integers."""

from __future__ import annotations

from itertools import accumulate, pairwise

from intar.ir.quantgraph import QTask, QuantGraph
from intar.ir.repeats import Loops

Pieces = tuple[tuple[tuple[str, ...], ...], ...]
"""For each part of a network the names of the tasks of each of its rounds."""


def pieces(graph: QuantGraph, loops: Loops) -> Pieces:
    """The tasks before the first loop, those of each of its blocks, those behind it, and so on; empty without loops, and
    where a task belongs to two blocks.

    A task of no block stands between the loops where it stands in the network's order; one that no float task stands for (a
    reshape, a change of format) belongs to whoever reads its result first. What stands between two loops are two parts, if
    some of it has nothing to do with the first one: the rest, and then this.
    """
    if not loops:
        return ()
    gaps = list(
        accumulate((len(blocks) + 1 for blocks in loops), initial=0)
    )  # their blocks have the numbers between
    around = {n: (start, end) for start, end in pairwise(gaps) for n in range(start + 1, end)}
    where = {
        name: number
        for start, blocks in zip(gaps, loops, strict=False)
        for number, block in enumerate(blocks, start + 1)
        for name in block
    }
    place: dict[str, int] = {}
    order: dict[str, int] = {}  # of tasks of no block the place behind the last loop that has begun
    current = 0
    for task in graph.tasks:
        inside = {where.get(name, -1) for name in task.fused}
        if len(inside) > 1:
            return ()
        if inside == {-1}:
            order[task.name] = current
        elif inside:
            (place[task.name],) = inside
            current = max(current, around[place[task.name]][1])
    first: dict[str, int] = {}  # where a tensor is read first
    for task in reversed(graph.tasks):
        reader = first.get(task.output, gaps[-1])
        if task.name in order:
            reader = min(order[task.name], around[reader][0] if reader in around else reader)
        own = place.setdefault(task.name, reader)
        first |= {name: min(own, first.get(name, own)) for name in task.inputs}
    made: list[list[QTask]] = [[] for _ in range(gaps[-1] + 1)]
    for task in graph.tasks:
        made[place[task.name]].append(task)
    if not all(made[number] for number in around):
        return ()
    found: list[list[list[QTask]]] = [[made[0]]]
    for start, end in pairwise(gaps):
        rounds = made[start + 1 : end]
        found += [rounds, *([one] for one in (_halves(made[end], rounds) if end < gaps[-1] else [made[end]]))]
    return tuple(
        tuple(tuple(task.name for task in tasks) for tasks in part) for part in found if part != [[]]
    )


def _halves(tasks: list[QTask], loop: list[list[QTask]]) -> tuple[list[QTask], list[QTask]]:
    """The tasks that read what a loop makes, with what they need of the others; the others."""
    made = {task.output for block in loop for task in block}
    for task in tasks:
        if made & set(task.inputs):
            made.add(task.output)
    needed = set(made)
    for task in reversed(tasks):
        if task.output in needed:
            needed |= set(task.inputs)
    return [t for t in tasks if t.output in needed], [t for t in tasks if t.output not in needed]
