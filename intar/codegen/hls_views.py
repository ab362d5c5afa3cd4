"""What each node becomes in C++, by its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from intar.codegen.hls_checks import check_supported, tensor_ids
from intar.codegen.hls_nodes import arrays, memories, movers, ports, units
from intar.codegen.hls_nodes.view import Parts, View
from intar.codegen.hls_types import NodeView
from intar.codegen.storage import ultra_memories
from intar.ir.program import Program

MAKERS: Mapping[str, Callable[[View, Any], Parts]] = {
    "load": ports.load,
    "store": ports.store,
    "buffer": memories.buffer,
    "constant": memories.constant,
    "image": memories.image,
    "feed": arrays.feed,
    "core": arrays.core,
    "vector": units.vector,
    "rows": units.rows,
    "gather": movers.gather,
    "argmax": movers.argmax,
    "router": movers.router,
}


def node_views(program: Program, uram: int) -> tuple[NodeView, ...]:
    """One view per node, in the program's order.

    Parameters
    ----------
    uram : UltraRAMs of the part, which large memories take (`intar.codegen.storage`).

    Raises
    ------
    UnsupportedError
        All loads that wait for a store, and all arguments with more than one port, unless the two take turns: neither has
        a canonical HLS form.
    InternalError
        A program that breaks its own rules (unused ports, an interleaving that does not match the steps).
    """
    check_supported(program)
    tensors = tensor_ids(program)
    ultra = ultra_memories(program, uram)
    views = [View(program, node, ultra, tensors) for node in program.nodes]
    return tuple(view.made(MAKERS[view.node.kind](view, view.node)) for view in views)
