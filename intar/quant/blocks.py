"""From the blocks that a float network repeats to the pieces of its integers."""

from __future__ import annotations

from intar.ir.quantgraph import QuantGraph
from intar.ir.repeats import Blocks

Pieces = tuple[tuple[tuple[str, ...], ...], ...]
"""For each part of a network the names of the tasks of each of its rounds."""


def pieces(graph: QuantGraph, blocks: Blocks) -> Pieces:
    """The tasks before the blocks, those of each block, those behind; empty without blocks, and where a task
    belongs to two of them.

    A task that no float task stands for (a reshape, a change of format) belongs to whoever reads its result first.
    """
    if not blocks:
        return ()
    where = {name: index for index, block in enumerate(blocks) for name in block}
    behind = len(blocks)
    place: dict[str, int] = {}
    for task in graph.tasks:
        inside = {where.get(name, -1) for name in task.fused}
        if len(inside) > 1:
            return ()
        if inside:
            (place[task.name],) = inside
    reached: set[str] = set()  # tensors that some block has a share in
    for task in graph.tasks:
        if reached & set(task.inputs) and place.get(task.name) == -1:
            place[task.name] = behind
        if reached & set(task.inputs) or place.get(task.name, -1) >= 0:
            reached.add(task.output)
    for task in reversed(graph.tasks):
        if task.name not in place:
            readers = [place[other.name] for other in graph.tasks if task.output in other.inputs]
            place[task.name] = min(readers, default=behind)
    rounds = [
        tuple(task.name for task in graph.tasks if place[task.name] == index)
        for index in range(-1, behind + 1)
    ]
    if not all(rounds[1:-1]):
        return ()
    ends = [((names,),) if names else () for names in (rounds[0], rounds[-1])]
    return (*ends[0], tuple(rounds[1:-1]), *ends[1])
