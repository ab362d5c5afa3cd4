"""The heads of an attention in groups, each of which has products, softmax and tensors of its own.

Groups don't depend on each other: with a rows node for each they run side by side. What cuts heads out of a tensor then
cuts out those of a group, and what joins heads joins those of all groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from intar.ir.quantgraph import Piece, QMove, QProduct, QSoftmax, QTask, QTensor, QuantGraph, Quantised


@dataclass(frozen=True)
class _Attention:
    """A softmax with the moves that cut its operands out, the products before and behind it, and the move that joins."""

    cuts: tuple[QMove, ...]
    scores: QProduct
    softmax: QSoftmax
    attended: QProduct
    join: QMove


def group_heads(quantised: Quantised, groups: int) -> Quantised:
    """The same network with every attention in so many groups of heads, or as many as its heads can be divided among.

    An attention is what the heads are cut out for by moves, and joined behind by a move, of whole rows; no other is changed.
    """
    graph = quantised.graph
    replaced: dict[str, list[QTask]] = {}
    tensors: dict[str, list[QTensor]] = {}
    names = _Names({task.name for task in graph.tasks}, {tensor.name for tensor in graph.tensors})
    for softmax in graph.tasks:
        found = _attention(graph, softmax) if isinstance(softmax, QSoftmax) else None
        if found is None:
            continue
        several = max(n for n in range(1, groups + 1) if found.softmax.batch % n == 0)
        grouped = _in_groups(graph, found, several, names) if several > 1 else None
        if grouped is not None:
            replaced |= grouped[0]
            tensors |= grouped[1]
    if not replaced:
        return quantised
    tasks = tuple(new for task in graph.tasks for new in replaced.get(task.name, [task]))
    kept = tuple(new for tensor in graph.tensors for new in tensors.get(tensor.name, [tensor]))
    return Quantised(graph.model_copy(update={"tasks": tasks, "tensors": kept}), quantised.constants)


@dataclass(frozen=True)
class _Names:
    """Those that are taken."""

    tasks: set[str]
    tensors: set[str]


def _attention(graph: QuantGraph, softmax: QSoftmax) -> _Attention | None:
    makers = {task.output: task for task in graph.tasks}

    def readers(tensor: str) -> list[QTask]:
        return [task for task in graph.tasks if tensor in task.inputs]

    scores = makers.get(softmax.inputs[0])
    behind = readers(softmax.output)
    attended = behind[0] if len(behind) == 1 else None
    if not isinstance(scores, QProduct) or not isinstance(attended, QProduct):
        return None
    joins = readers(attended.output)
    cuts = [makers.get(name) for name in (*scores.inputs, attended.inputs[1])]
    apart = (*scores.inputs, scores.output, softmax.output, *attended.inputs, attended.output)
    alone = all(len(readers(name)) == 1 and name not in graph.outputs for name in apart)
    alike = {scores.batch, softmax.batch, attended.batch} == {softmax.batch}
    moves = all(isinstance(task, QMove) and not task.host for task in (*cuts, *joins))
    whole = attended.inputs[0] == softmax.output and not (scores.state or attended.state or softmax.cached)
    if not (alone and alike and moves and whole) or len({*scores.inputs, attended.inputs[1]}) < 3:
        return None
    return _Attention(tuple(cuts), scores, softmax, attended, joins[0])  # type: ignore[arg-type]


def _in_groups(
    graph: QuantGraph, found: _Attention, groups: int, names: _Names
) -> tuple[dict[str, list[QTask]], dict[str, list[QTensor]]] | None:
    """The tasks and the tensors that stand for each one of an attention; None where a move can't be divided."""
    cut = {task.output: _cut(task, groups) for task in found.cuts}
    inside = graph.tensor(found.attended.output)
    joined = _joined(found.join, inside.rows * inside.cols, groups)
    if joined is None or not all(cut.values()):
        return None
    parts: tuple[QTask, ...] = (*found.cuts, found.scores, found.softmax, found.attended)
    of: dict[str, list[str]] = {}
    tensors: dict[str, list[QTensor]] = {}
    for task in parts:
        whole = graph.tensor(task.output)
        size = found.softmax.batch // groups
        shape = (size, whole.rows // found.softmax.batch, whole.cols)
        of[task.output] = _names(task.output, groups, names.tensors)
        tensors[task.output] = [
            whole.model_copy(update={"name": name, "shape": shape}) for name in of[task.output]
        ]
    replaced: dict[str, list[QTask]] = {}
    for task in parts:
        replaced[task.name] = []
        for n, name in enumerate(_names(task.name, groups, names.tasks)):
            inputs = tuple(of[tensor][n] if tensor in of else tensor for tensor in task.inputs)
            update: dict[str, object] = {"name": name, "inputs": inputs, "output": of[task.output][n]}
            if isinstance(task, QMove):
                update["pieces"] = (cut[task.output][n],)
            else:
                update["batch"] = found.softmax.batch // groups
            replaced[task.name].append(task.model_copy(update=update))
    visits, pieces = joined
    update = {"inputs": tuple(of[inside.name]), "pieces": pieces, "visits": visits}
    replaced[found.join.name] = [found.join.model_copy(update=update)]
    return replaced, tensors


def _names(name: str, groups: int, taken: set[str]) -> list[str]:
    """New names, which are taken then."""
    found: list[str] = []
    for n in range(groups):
        found.append(next(new for at in count(n) if (new := f"{name}_heads_{at}") not in taken))
        taken.add(found[-1])
    return found


def _cut(move: QMove, groups: int) -> list[Piece]:
    """A piece for each of the equal parts of what a move takes; none where its outermost loop can't be divided."""
    if len(move.pieces) > 1 or move.visits > 1 or move.pieces[0].counts[0] % groups:
        return []
    (piece,) = move.pieces
    size = piece.counts[0] // groups
    counts = (size, *piece.counts[1:])
    return [
        piece.model_copy(update={"counts": counts, "offset": piece.offset + n * size * piece.strides[0]})
        for n in range(groups)
    ]


def _joined(move: QMove, size: int, groups: int) -> tuple[int, tuple[Piece, ...]] | None:
    """(visits, pieces) of a move that takes the same elements in the same order from equal parts of its input, of `size`
    elements; None where parts don't follow each other so."""
    if len(move.pieces) > 1 or move.visits > 1 or move.pieces[0].offset:
        return None
    (piece,) = move.pieces
    loops = list(zip(piece.counts, piece.strides, strict=True))
    over = [
        at for at, (number, stride) in enumerate(loops) if number * stride == size and number % groups == 0
    ]
    if len(over) != 1 or over[0] > 1 or not _within(loops, over[0]):
        return None
    (visits, step), *_ = loops if over[0] else [(1, 0)]
    (number, stride), *inner = loops[over[0] :]
    counts, strides = zip((number // groups, stride), *inner, strict=True)
    return visits, tuple(
        Piece(input=n, offset=0, counts=counts, strides=strides, step=step) for n in range(groups)
    )


def _within(loops: Sequence[tuple[int, int]], over: int) -> bool:
    """True if the other loops stay within one iteration of the loop `over`."""
    others = [loop for at, loop in enumerate(loops) if at != over]
    return all(stride >= 0 for _, stride in others) and (
        sum((number - 1) * stride for number, stride in others) < loops[over][1]
    )
