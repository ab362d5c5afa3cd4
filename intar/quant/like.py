"""Formats that a network takes over from another one, so that what one gives the other takes as it is."""

from __future__ import annotations

from intar.errors import ConfigError, Finding
from intar.ir.bits import INDEX_BITS
from intar.ir.quantgraph import QuantGraph
from intar.ir.taskgraph import QuantParams, TaskGraph, make_graph


def take_formats(graph: TaskGraph, other: QuantGraph) -> TaskGraph:
    """The graph with `other`'s formats on the inputs and outputs that both have by name (but ids and indices).

    Raises
    ------
    ConfigError
        They share none.
    """
    ends = {*other.inputs, *other.outputs} & {*graph.inputs, *graph.outputs}
    formats = {
        tensor.name: QuantParams(bits=tensor.bits, scale=tensor.scale, zero_point=tensor.zero)  # type: ignore[arg-type]
        for tensor in other.tensors
        if tensor.name in ends and tensor.bits < INDEX_BITS
    }
    if not formats:
        what = f"it shares no input and no output with {other.name}, by name"
        raise ConfigError(Finding(what, graph.name, hint="leave --like away"))
    tensors = tuple(
        tensor.model_copy(update={"quant": formats[tensor.name]}) if tensor.name in formats else tensor
        for tensor in graph.tensors
    )
    return make_graph(graph.name, tensors, graph.tasks, graph.inputs, graph.outputs, graph.constants)
