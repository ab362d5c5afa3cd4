"""Plans the static interleaving of every buffer for single-threaded back ends, and proves it by execution."""

from __future__ import annotations

from intar.engine.result import EngineResult
from intar.engine.run import run
from intar.engine.timing import MemoryModel
from intar.errors import InternalError
from intar.ir.program import Buffer, Program

_POLICIES = {1: "writes first", 2: "reads first"}


def _with_orders(program: Program, result: EngineResult) -> Program:
    nodes = tuple(
        node.model_copy(update={"merged": result.merged[node.name]}) if isinstance(node, Buffer) else node
        for node in program.nodes
    )
    return program.model_copy(update={"nodes": nodes})


def plan_merged(
    program: Program, memory: MemoryModel | None = None, *, max_cycles: int = 1_000_000_000
) -> Program:
    """Return `program` with every `Buffer.merged` filled with an order that cannot deadlock.

    The first candidate is the order in which iterations finish when both sides run by themselves. If the
    strict run (`run` with ``merged=True``) gets stuck on it, orders found by running strictly and deciding on
    the way are tried; such a run is itself the proof. In the proof links hold no more than `Link.depth` beats
    and pipelines none, and a bounded Kahn network doesn't depend on speed: a back end that holds at least as
    much is safe.

    Raises
    ------
    InternalError : the program deadlocks by itself, or no candidate order works.
    """
    first = run(program, memory=memory, values=False, max_cycles=max_cycles)
    first.raise_deadlock()
    if not any(isinstance(node, Buffer) for node in program.nodes):
        return program
    reasons = []
    candidate = _with_orders(program, first)
    checked = run(candidate, memory=memory, values=False, merged=True, max_cycles=max_cycles)
    if checked.deadlock is None:
        return candidate
    reasons.append(f"order of completion: {checked.deadlock}")
    for policy, name in _POLICIES.items():
        found = run(program, memory=memory, values=False, merged=True, policy=policy, max_cycles=max_cycles)
        if found.deadlock is not None:
            reasons.append(f"{name}: {found.deadlock}")
            continue
        candidate = _with_orders(program, found)
        checked = run(candidate, memory=memory, values=False, merged=True, max_cycles=max_cycles)
        if checked.deadlock is None:
            return candidate
        reasons.append(f"{name}, repeated: {checked.deadlock}")
    raise InternalError(
        f"no static order found for the buffers of program {program.name!r} with these FIFO depths.\n"
        + "\n".join(reasons)
    )
