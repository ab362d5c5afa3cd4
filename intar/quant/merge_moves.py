"""Two moves one after the other are one, where its order of elements is still a few nested loops."""

from __future__ import annotations

from collections import Counter

import numpy as np

from intar.ir.quantgraph import Piece, QMove, QuantGraph
from intar.quant.pieces import MAX_LOOPS, Shape, straight


def merge_moves(graph: QuantGraph) -> QuantGraph:
    """The graph without moves whose only reader is a move of the whole tensor that can read their input itself."""
    tasks = list(graph.tasks)
    shapes = {tensor.name: tensor.shape for tensor in graph.tensors}
    changed = True
    while changed:
        changed = False
        moves = {task.output: task for task in tasks if isinstance(task, QMove)}
        readers = Counter(name for task in tasks for name in {*task.inputs})
        for second in moves.values():
            first = moves.get(second.inputs[0]) if len(second.inputs) == 1 else None
            if first is None or first.host or second.host or first.output in graph.outputs:
                continue
            merged = _merged(first, second, shapes) if readers[first.output] == 1 else None
            if merged is not None:
                tasks = [merged if task is second else task for task in tasks if task is not first]
                changed = True
                break
    if len(tasks) == len(graph.tasks):
        return graph
    kept = {*graph.given, *(task.output for task in tasks)}
    tensors = tuple(tensor for tensor in graph.tensors if tensor.name in kept)
    return graph.model_copy(update={"tasks": tuple(tasks), "tensors": tensors})


def _merged(first: QMove, second: QMove, shapes: dict[str, Shape]) -> QMove | None:
    """One move that does both; None when its order needs more than one piece."""
    sizes = [int(np.prod(shapes[name])) for name in (second.inputs[0], second.output)]
    if sizes[0] == sizes[1] and second.pieces == straight(sizes[0]):
        pieces, visits = first.pieces, first.visits
    elif (
        len(first.inputs) == 1
        and len(first.pieces) == 1 == len(second.pieces) == first.visits == second.visits
    ):
        piece = fit(_order(first.pieces[0])[_order(second.pieces[0])])
        if piece is None:
            return None
        pieces, visits = (piece,), 1
    else:
        return None
    sources = dict.fromkeys(source for source in (first.source, second.source) if source)
    return second.model_copy(
        update={
            "inputs": first.inputs,
            "pieces": pieces,
            "visits": visits,
            "source": " + ".join(sources),
            "fused": (*first.fused, *second.fused),
        }
    )


def _order(piece: Piece) -> np.ndarray:
    """Flat indices that a piece takes in one visit."""
    index = np.array([piece.offset], np.int64)
    for count, stride in zip(piece.counts, piece.strides, strict=True):
        index = (index[:, None] + np.arange(count, dtype=np.int64) * stride).reshape(-1)
    return index


def fit(index: np.ndarray) -> Piece | None:
    """The piece that takes exactly these elements in this order; None when it needs more loops than there are."""
    loops: list[tuple[int, int]] = []
    while len(index) > 1:
        steps = np.diff(index)
        other = np.flatnonzero(steps != steps[0])
        count = int(other[0]) + 1 if other.size else len(index)
        if len(loops) == MAX_LOOPS or len(index) % count:
            return None
        rows = index.reshape(-1, count)
        if not (np.diff(rows, axis=1) == steps[0]).all():
            return None
        loops.insert(0, (count, int(steps[0])))
        index = rows[:, 0]
    counts, strides = zip(*(loops or [(1, 1)]), strict=True)
    return Piece(input=0, offset=int(index[0]), counts=counts, strides=strides)
