"""States of a network: what it keeps from call to call, known by the names of an input ``X`` and an output ``X_new``.

`X` holds rows for so many positions, `X_new` the rows that a call adds at its own position. Where both have one format and
lie the same way, they can lie in one place: the kernel then stores the new rows where the next call reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from intar.ir.bits import INDEX_BITS
from intar.ir.circuit import border_moves
from intar.ir.quantgraph import QAffine, QMove, QProduct, QSoftmax, QTensor, QuantGraph

NEW = "_new"


@dataclass(frozen=True)
class State:
    """Input `name` of `blocks` blocks (heads) of `rows` positions of `inner` rows; output `new` of as many blocks of
    `length` positions."""

    name: str
    new: str
    blocks: int
    rows: int
    length: int
    inner: int


def states(graph: QuantGraph) -> tuple[State, ...]:
    """The states of a network, in the order in which its tasks first read them.

    No state is an input whose new rows have another format, lie along its last axis, or that the host lays out.
    """
    moves = border_moves(graph)
    read = dict.fromkeys(name for task in graph.tasks for name in task.operands)
    made = {task.output for task in graph.tasks}
    found = []
    for name in read:
        new = f"{name}{NEW}"
        if name not in graph.inputs or new not in graph.outputs or new not in made:
            continue
        state = _state(graph.tensor(name), graph.tensor(new))
        if state and not {name, new} & moves.keys() and name not in graph.outputs:
            found.append(state)
    return tuple(found)


def exposed(graph: QuantGraph) -> tuple[str, ...]:
    """The outputs that depend on rows of states behind a call's position, such as scores before their softmax.

    These rows are whatever is there: where the kernel keeps the states, a call may find its own new rows among them.
    """
    if not graph.positions:
        return ()
    seen, shares = {state.name for state in states(graph)}, set[str]()
    for task in graph.tasks:
        copied = isinstance(task, QMove | QAffine) and shares.issuperset(task.inputs)
        if copied or (isinstance(task, QSoftmax) and task.cached):
            shares.add(task.output)  # those of rows that don't count are 0
        elif not (isinstance(task, QProduct) and task.inputs[0] in shares) and seen & {*task.operands}:
            seen.add(task.output)
    return tuple(name for name in graph.outputs if name in seen)


def _state(kept: QTensor, rows: QTensor) -> State | None:
    forms = {(one.bits, one.scale, one.zero, one.unsigned) for one in (kept, rows)}
    if len(forms) > 1 or kept.bits == INDEX_BITS:
        return None
    if len(kept.shape) != len(rows.shape):
        return None
    axes = [axis for axis, (a, b) in enumerate(zip(kept.shape, rows.shape, strict=True)) if a != b]
    if len(axes) != 1 or axes[0] == len(kept.shape) - 1 or rows.shape[axes[0]] > kept.shape[axes[0]]:
        return None
    axis = axes[0]
    blocks, inner = prod(kept.shape[:axis]), prod(kept.shape[axis + 1 : -1])
    return State(kept.name, rows.name, blocks, kept.shape[axis], rows.shape[axis], inner)
