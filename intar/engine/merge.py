"""Plans the static interleaving of every buffer for single-threaded back ends, and proves it by execution."""

from __future__ import annotations

from intar.engine.result import Deadlock, EngineResult
from intar.engine.run import run
from intar.engine.timing import MemoryModel
from intar.errors import InternalError
from intar.ir.program import Buffer, Program

_POLICIES = {0: "order of completion", 1: "writes first", 2: "reads first"}


def _with_orders(program: Program, result: EngineResult) -> Program:
    nodes = tuple(
        node.model_copy(update={"merged": result.merged[node.name]}) if isinstance(node, Buffer) else node
        for node in program.nodes
    )
    return program.model_copy(update={"nodes": nodes})


def _attempt(
    program: Program, memory: MemoryModel | None, max_cycles: int
) -> tuple[Program | None, list[str], Deadlock | None]:
    """The first order that works, or what each candidate ran into and the deadlock of the first candidate."""
    first = run(program, memory=memory, values=False, max_cycles=max_cycles)
    first.raise_deadlock()
    reasons: list[str] = []
    deadlock: Deadlock | None = None
    for policy, name in _POLICIES.items():
        found = first
        if policy:
            found = run(
                program, memory=memory, values=False, merged=True, policy=policy, max_cycles=max_cycles
            )
        checked = found
        if found.deadlock is None:
            candidate = _with_orders(program, found)
            checked = run(candidate, memory=memory, values=False, merged=True, max_cycles=max_cycles)
            if checked.deadlock is None:
                return candidate, [], None
        deadlock = deadlock or checked.deadlock
        reasons.append(f"{name}: {checked.deadlock}")
    return None, reasons, deadlock


def _deepen(program: Program, deadlock: Deadlock) -> Program | None:
    """Double the smallest full link of the ring of waits; None when there is none."""
    full = {stuck.link for stuck in deadlock.stuck if stuck.state == "wait_out" and stuck.link}
    ring = {stuck.link for stuck in deadlock.stuck if stuck.node in deadlock.cycle} & full
    candidates = [link for link in program.links if link.name in (ring or full)]
    if not candidates:
        return None
    smallest = min(candidates, key=lambda link: (link.depth * link.lanes * link.bits, link.name))
    links = tuple(
        link.model_copy(update={"depth": 2 * link.depth}) if link is smallest else link
        for link in program.links
    )
    return program.model_copy(update={"links": links})


def plan_merged(
    program: Program, memory: MemoryModel | None = None, *, deepen: int = 0, max_cycles: int = 1_000_000_000
) -> Program:
    """Return `program` with every `Buffer.merged` filled with an order that cannot deadlock.

    The first candidate is the order in which iterations finish when both sides run by themselves. If the
    strict run (`run` with ``merged=True``) gets stuck on it, orders found by running strictly and deciding on
    the way are tried; such a run is itself the proof. In the proof links hold no more than `Link.depth` beats
    and pipelines none, and a bounded Kahn network doesn't depend on speed: a back end that holds at least as
    much is safe.

    Parameters
    ----------
    deepen : how many times a link may be doubled when no order works: the smallest full link of the ring of
        waits each time. A walk whose single iteration is long makes the other side of its buffer wait, and what
        comes meanwhile must fit into the links; finer iterations are the other way out.

    Raises
    ------
    InternalError : the program deadlocks by itself, or no candidate order works.
    """
    if not any(isinstance(node, Buffer) for node in program.nodes):
        return program
    for _ in range(deepen + 1):
        planned, reasons, deadlock = _attempt(program, memory, max_cycles)
        if planned is not None:
            return planned
        deeper = _deepen(program, deadlock) if deadlock else None
        if deeper is None:
            break
        program = deeper
    raise InternalError(
        f"no static order found for the buffers of program {program.name!r} with these FIFO depths.\n"
        + "\n".join(reasons)
    )
