"""What the host does at the network's border: moves marked `host` (`intar.ir.quantgraph.QMove`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from intar.ir.quantgraph import QMove, QuantGraph
from intar.quant.golden import move


def loaded(graph: QuantGraph) -> dict[str, str]:
    """For each input of the network the tensor that the circuit loads: the input itself, or what the host makes of it."""
    made = {task.inputs[0]: task.output for task in _host_moves(graph) if task.inputs[0] in graph.inputs}
    return {name: made.get(name, name) for name in graph.inputs}


def stored(graph: QuantGraph) -> dict[str, str]:
    """For each output of the network the tensor that the circuit stores."""
    made = {task.output: task.inputs[0] for task in _host_moves(graph) if task.output in graph.outputs}
    return {name: made.get(name, name) for name in graph.outputs}


def to_circuit(graph: QuantGraph, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The integers of the network's inputs, by the name and in the shape of the tensors that the circuit loads."""
    moves = {task.output: task for task in _host_moves(graph)}
    found = {}
    for name, tensor in loaded(graph).items():
        array = np.asarray(inputs[name])
        if name != tensor:
            task = moves[tensor]
            array = move([array], task.pieces, task.visits).reshape(graph.tensor(tensor).shape)
        found[tensor] = array
    return found


def from_circuit(graph: QuantGraph, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The network's outputs from the tensors that the circuit stores."""
    moves = {task.output: task for task in _host_moves(graph)}
    found = {}
    for name, tensor in stored(graph).items():
        array = np.asarray(tensors[tensor])
        if name != tensor:
            array = move([array], moves[name].pieces, moves[name].visits)
        found[name] = array.reshape(graph.tensor(name).shape)
    return found


def _host_moves(graph: QuantGraph) -> list[QMove]:
    return [task for task in graph.tasks if isinstance(task, QMove) and task.host]
