"""The form of a network in which blocks that repeat can be looped: what all blocks look up, each looks up itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intar.ir.ops import Op
from intar.ir.repeats import LEAST_ROUNDS, Blocks, Loops, cuts_row, cuts_rows, repeated_blocks
from intar.ir.taskgraph import Task, TaskGraph, Tensor, make_graph


def looped_form(graph: TaskGraph) -> tuple[TaskGraph, Loops]:
    """The graph with its repeated blocks (`intar.ir.repeats`); the same graph where it has none.

    A lookup that many tasks read (angles of positions) is made again for each of them: so it is none of the tensors from
    before a loop, which only the first block may read. Looked-up rows that are themselves what goes from block to block
    (tokens, of a network that adds no positions to them) are copied in front of the first block.
    """
    taken = {task.name for task in graph.tasks} | {tensor.name for tensor in graph.tensors}
    spread = _spread(graph, taken)
    # Nothing takes the states of the last step of a recurrent layer: its tasks may be joined in other ways.
    found = (blocks[:-1] if cuts_rows(spread, blocks) else blocks for blocks in repeated_blocks(spread))
    loops = _joined(spread, [blocks for blocks in found if len(blocks) >= LEAST_ROUNDS])
    return (_copied(spread, loops, taken), loops) if loops else (graph, ())


def _joined(graph: TaskGraph, loops: Sequence[Blocks]) -> Loops:
    """Loops of as many rounds that need nothing of each other (both directions of a recurrent layer) as one, whose rounds do
    what those of all do; unless they go through the rows of one matrix, perhaps in both directions."""
    joined: list[Blocks] = []
    for blocks in loops:
        if joined and len(joined[-1]) == len(blocks) and not _needs(graph, blocks, joined[-1]):
            joined[-1] = tuple(a + b for a, b in zip(joined[-1], blocks, strict=True))
        else:
            joined.append(blocks)
    return tuple(joined)


def _needs(graph: TaskGraph, blocks: Blocks, other: Blocks) -> bool:
    """Some block needs what one of the other loop makes, or rows of a matrix of which that one cuts rows."""
    inside, sources = ({name for block in each for name in block} for each in (blocks, other))
    reached = {task.inputs[0] for task in graph.tasks if task.name in sources and cuts_row(graph, task)}
    for task in graph.tasks:
        if task.name in sources or reached & set(task.inputs):
            reached.add(task.output)
            if task.name in inside:
                return True
    return False


def is_copy(graph: TaskGraph, task: Task) -> bool:
    """True if a task gives looked-up rows as they are."""
    maker = graph.producer(task.inputs[0]) if task.op is Op.SCALE_SHIFT else None
    if maker is None or maker.op is not Op.EMBEDDING:
        return False
    scale, shift = (graph.constant(name) for name in task.inputs[1:3])
    return bool(np.all(scale == 1) and not np.any(shift))


def _lookups(graph: TaskGraph) -> list[Task]:
    """Embeddings of ids that the network is given."""
    return [task for task in graph.tasks if task.op is Op.EMBEDDING and task.inputs[0] in graph.inputs]


def _fresh(base: str, taken: set[str]) -> str:
    """A name that nobody has."""
    count = 2
    while f"{base}_{count}" in taken:
        count += 1
    taken.add(f"{base}_{count}")
    return f"{base}_{count}"


def _spread(graph: TaskGraph, names: set[str]) -> TaskGraph:
    """The graph with a lookup in front of each reader of those that at least `LEAST_ROUNDS` tasks read.

    `names` are those that anything has or had: new ones are added.
    """
    shared = {
        task.output: task
        for task in _lookups(graph)
        if len(graph.consumers(task.output)) >= LEAST_ROUNDS and task.output not in graph.outputs
    }
    if not shared:
        return graph
    tensors = [tensor for tensor in graph.tensors if tensor.name not in shared]
    tasks: list[Task] = []
    for task in graph.tasks:
        if task.output in shared:
            continue
        own = {}
        for name in dict.fromkeys(task.inputs):
            if name in shared:
                own[name] = _fresh(name, names)
                tensors.append(graph.tensor(name).model_copy(update={"name": own[name]}))
                update = {"name": _fresh(shared[name].name, names), "output": own[name]}
                tasks.append(shared[name].model_copy(update=update))
        tasks.append(task.model_copy(update={"inputs": tuple(own.get(name, name) for name in task.inputs)}))
    return make_graph(graph.name, tensors, tasks, graph.inputs, graph.outputs, graph.constants)


def _copied(graph: TaskGraph, loops: Loops, names: set[str]) -> TaskGraph:
    """The graph with a copy of looked-up rows that a block reads and does not look up itself."""
    inside = {name for blocks in loops for block in blocks for name in block}
    for lookup in _lookups(graph):
        readers = [task for task in graph.consumers(lookup.output) if task.name in inside]
        if lookup.name in inside or not readers:
            continue
        shape = graph.tensor(lookup.output).shape
        copy, one, zero = (_fresh(lookup.output, names) for _ in range(3))
        task = Task(
            name=_fresh(lookup.name, names),
            op=Op.SCALE_SHIFT,
            inputs=(lookup.output, one, zero),
            output=copy,
            attrs={"axis": len(shape) - 1},
            source=lookup.source,
        )
        tasks: list[Task] = []
        for old in graph.tasks:
            own = old.name in inside
            inputs = tuple(copy if own and name == lookup.output else name for name in old.inputs)
            tasks.append(old.model_copy(update={"inputs": inputs}))
            tasks += [task] if old is lookup else []
        made = [Tensor(name=copy, shape=shape), *(Tensor(name=n, shape=shape[-1:]) for n in (one, zero))]
        constants = {one: np.ones(shape[-1], np.float32), zero: np.zeros(shape[-1], np.float32)}
        constants |= graph.constants
        tensors = (*graph.tensors, *made)
        graph = make_graph(graph.name, tensors, tasks, graph.inputs, graph.outputs, constants)
    return graph
