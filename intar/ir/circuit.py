"""What the circuit's stages run of a network: all but what happens at the border.

A move at the border says how the host lays a tensor out: it is marked `host`, or gives a network input another shape. Its
two tensors become one, under the name that it has outside and in the shape that it has inside. Embeddings and argmaxes
are done by ports, on the way in and out: what an embedding makes is an input of the circuit, what an argmax reads an output.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from intar.ir.quantgraph import PORT_WISE, Piece, QArgmax, QEmbedding, QMove, QProduct, QTensor, QuantGraph


def piece_indices(piece: Piece, visit: int) -> np.ndarray:
    """Flat row-major indices that a piece takes in one visit, in order."""
    index = np.array([piece.offset + visit * piece.step], dtype=np.int64)
    for count, stride in zip(piece.counts, piece.strides, strict=True):
        index = (index[:, None] + np.arange(count, dtype=np.int64) * stride).reshape(-1)
    return index


def move_indices(task: QMove) -> np.ndarray:
    """Flat index in the (only) input of each element of a move's output."""
    return np.concatenate([piece_indices(p, v) for v in range(task.visits) for p in task.pieces])


def identity_move(task: QMove, tensors: Mapping[str, QTensor]) -> bool:
    """True when the output's elements are the input's, in the same order."""
    size = int(np.prod(tensors[task.output].shape, dtype=np.int64))
    if size != int(np.prod(tensors[task.inputs[0]].shape, dtype=np.int64)):
        return False
    if len(task.pieces) != 1 or task.visits != 1:
        return False
    index = piece_indices(task.pieces[0], 0)
    return len(index) == size and bool(np.array_equal(index, np.arange(size)))


def border_moves(graph: QuantGraph) -> dict[str, QMove]:
    """The moves that the host does, by the name of the network's input or output that they lay out."""
    tensors = {tensor.name: tensor for tensor in graph.tensors}
    reads = Counter(name for task in graph.tasks for name in task.inputs)
    made = {task.output for task in graph.tasks}
    found: dict[str, QMove] = {}
    for task in graph.tasks:
        if not isinstance(task, QMove) or len(task.inputs) != 1:
            continue
        inside, outside = task.output, task.inputs[0]
        if outside in graph.inputs and inside not in graph.outputs and outside not in graph.outputs:
            if reads[outside] == 1 and (task.host or identity_move(task, tensors)):
                found[outside] = task
        elif task.host and inside in graph.outputs and outside in made:
            taken = {name for move in found.values() for name in (move.inputs[0], move.output)}
            if not reads[inside] and outside not in taken | set(graph.outputs):
                found[inside] = task
    return found


def lookups(graph: QuantGraph) -> dict[str, QEmbedding]:
    """The embeddings, by the name of the tensor that each makes: an input of the circuit."""
    return {task.output: task for task in graph.tasks if isinstance(task, QEmbedding)}


def argmaxes(graph: QuantGraph) -> dict[str, QArgmax]:
    """The argmaxes, by the name of the tensor that each reads: an output of the circuit."""
    return {task.inputs[0]: task for task in graph.tasks if isinstance(task, QArgmax)}


def _without_port_tasks(graph: QuantGraph) -> QuantGraph:
    """The graph without what ports do on the way, and numbers of the call: it takes embedded rows and gives what the
    argmaxes read."""
    looked, picked = lookups(graph), argmaxes(graph)
    numbers = {name for name in graph.given if name not in graph.inputs}
    if not looked and not picked and not numbers:
        return graph
    ids = {task.inputs[0] for task in looked.values()}
    chosen = {task.output: name for name, task in picked.items()}
    gone = {*ids, *chosen, *numbers}
    return graph.model_copy(
        update={
            "tensors": tuple(tensor for tensor in graph.tensors if tensor.name not in gone),
            "tasks": tuple(task for task in graph.tasks if not isinstance(task, PORT_WISE)),
            "inputs": (*(name for name in graph.inputs if name not in ids), *looked),
            "outputs": tuple(dict.fromkeys(chosen.get(name, name) for name in graph.outputs)),
        }
    )


def _without_streams(graph: QuantGraph) -> QuantGraph:
    """The graph without states that ports bring to the products that read them: the stages know nothing of these."""
    gone = {task.state for task in graph.tasks if isinstance(task, QProduct)} - {""}
    if not gone:
        return graph
    return graph.model_copy(
        update={
            "tensors": tuple(tensor for tensor in graph.tensors if tensor.name not in gone),
            "inputs": tuple(name for name in graph.inputs if name not in gone),
        }
    )


def circuit(graph: QuantGraph) -> QuantGraph:
    """The graph that is scheduled and lowered; itself where there is nothing to leave out."""
    moves = border_moves(graph)  # not those behind an embedding: a port brings a row for each id
    graph = _without_streams(_without_port_tasks(graph))
    if not moves:
        return graph
    names = {
        move.output if outside in graph.inputs else move.inputs[0]: outside for outside, move in moves.items()
    }
    gone = {move.name for move in moves.values()}
    return graph.model_copy(
        update={
            "tensors": tuple(
                t.model_copy(update={"name": names.get(t.name, t.name)})
                for t in graph.tensors
                if t.name not in moves
            ),
            "tasks": tuple(
                task.model_copy(
                    update={
                        "inputs": tuple(names.get(name, name) for name in task.inputs),
                        "output": names.get(task.output, task.output),
                    }
                )
                for task in graph.tasks
                if task.name not in gone
            ),
        }
    )


def to_circuit(graph: QuantGraph, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The integers of the network's inputs as the circuit takes them, flat."""
    moves = border_moves(graph)
    flat = {name: np.asarray(inputs[name]).reshape(-1) for name in graph.inputs}
    return {
        name: array[move_indices(moves[name])] if name in moves else array for name, array in flat.items()
    }


def from_circuit(graph: QuantGraph, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The network's outputs, in their own shapes, from the tensors that the circuit stores."""
    moves = border_moves(graph)
    found = {}
    for name in graph.outputs:
        flat = np.asarray(tensors[name]).reshape(-1)
        flat = flat[move_indices(moves[name])] if name in moves else flat
        found[name] = flat.reshape(graph.tensor(name).shape)
    return found


def as_stored(graph: QuantGraph, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors that the circuit stores, flat, from the network's outputs; elements that no output has are 0."""
    moves = border_moves(graph)
    found = {}
    for name in graph.outputs:
        values = np.asarray(outputs[name]).reshape(-1)
        if name in moves:
            inside = graph.tensor(moves[name].inputs[0])
            flat = np.zeros(inside.rows * inside.cols, np.int64)
            flat[move_indices(moves[name])] = values
            values = flat
        found[name] = values
    return found
