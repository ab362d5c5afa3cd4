"""What the HLS back end refuses, and the numbers of its saturation counters."""

from __future__ import annotations

from collections.abc import Iterable

from intar.errors import Finding, UnsupportedError
from intar.ir.nodes.ports import Load, Store
from intar.ir.nodes.rows import Rows
from intar.ir.nodes.vector import Vector
from intar.ir.program import Program


def check_supported(program: Program) -> None:
    """Raise UnsupportedError with every reason why `program` has no canonical form in Vitis HLS."""
    findings = [*_waiting_loads(program), *_shared_arguments(program)]
    if findings:
        raise UnsupportedError(findings)


def tensor_ids(program: Program) -> dict[str, int]:
    """Number of the saturation counter of every tensor that a vector or rows step makes."""
    names = (step.tensor for node in program.nodes if isinstance(node, Vector | Rows) for step in node.steps)
    return {name: index for index, name in enumerate(dict.fromkeys(names))}


def mate(program: Program, store: Store) -> Load | None:
    """The load that takes turns with a store on its argument, if there is one."""
    for node in program.nodes:
        if (
            isinstance(node, Load)
            and store.turns
            and (node.argument, node.after) == (store.argument, store.name)
        ):
            return node
    return None


def _mates(program: Program) -> set[str]:
    found = (mate(program, node) for node in program.nodes if isinstance(node, Store))
    return {node.name for node in found if node}


def _waiting_loads(program: Program) -> Iterable[Finding]:
    mates = _mates(program)
    for node in program.nodes:
        waits = isinstance(node, Load) and (node.after or any(step.need for step in node.steps))
        if isinstance(node, Load) and waits and node.name not in mates:
            yield Finding(
                f"the load waits for the store {node.after!r} (a tensor is spilled to memory and read back)",
                f"node {node.name!r}",
                "Vitis HLS has no canonical form for memory that one process of a DATAFLOW region writes and another reads",
                "let both use the same argument in static turns (Store.turns): one process then does both",
            )


def _shared_arguments(program: Program) -> Iterable[Finding]:
    users: dict[str, list[str]] = {}
    mates = _mates(program)
    for node in program.nodes:
        if isinstance(node, Load | Store) and node.name not in mates:
            users.setdefault(node.argument, []).append(node.name)
    for argument, names in users.items():
        if len(names) > 1:
            yield Finding(
                f"the nodes {', '.join(map(repr, names))} share one kernel argument",
                f"argument {argument!r}",
                "in Vitis HLS each pointer of a DATAFLOW region belongs to one process",
                "use the RTL back end, or give each node an argument of its own",
            )
