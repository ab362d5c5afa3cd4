"""Plans the static interleaving of every buffer for single-threaded back ends, and proves it by execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from intar.engine.result import Deadlock, EngineResult
from intar.engine.run import LONGEST_RUN, run
from intar.engine.timing import MemoryModel
from intar.errors import InternalError
from intar.ir.nodes.memories import Buffer, BufferStep, Image, ImageStep
from intar.ir.nodes.movers import Router
from intar.ir.nodes.ports import Load, Store
from intar.ir.program import Program
from intar.ir.segments import iterations, merged_in, steps_in

Order = tuple[tuple[str, int], ...]

COMPLETION, TASKS = 0, -1
_POLICIES = {
    COMPLETION: "order of completion",
    TASKS: "task by task",
    3: "reads on demand",
    1: "writes first",
    2: "reads first",
}


def _with_orders(program: Program, found: Mapping[str, Order]) -> Program:
    constant = _constant_buffers(program)
    orders = dict(found)
    for node in program.nodes:
        if node.name in constant and isinstance(node, Buffer | Image):
            orders[node.name] = tuple(
                run for segment in program.segments for run in _writes_first(node, segment)
            )
    nodes = tuple(
        node.model_copy(update={"merged": orders[node.name]}) if isinstance(node, Buffer | Image) else node
        for node in program.nodes
    )
    return program.model_copy(update={"nodes": nodes})


def _writes_first(node: Buffer | Image, segment: int) -> Order:
    """All writes of a segment, then all its reads."""
    totals = {"w": iterations(steps_in(node.writes, segment)), "r": iterations(steps_in(node.reads, segment))}
    return tuple((side, count) for side, count in totals.items() if count)


def _in_turn(program: Program, completed: Mapping[str, Order]) -> dict[str, Order]:
    """The order of the tasks, one after the other, in each buffer; that of completion where `Buffer.merged` says none."""
    orders = dict(completed)
    for node in program.nodes:
        if isinstance(node, Buffer | Image):
            found = [_task_by_task(node, segment) for segment in program.segments]
            known = [order for order in found if order is not None]
            if len(known) == len(found):
                orders[node.name] = tuple(run for order in known for run in order)
    return orders


def _task_by_task(node: Buffer | Image, segment: int) -> Order | None:
    """What is written and then read, one after the other; of each the writes first, as far as its reads leave room for them
    (tiles of a ring). None where that is not possible, or not all."""
    needs = {"w": _needs(steps_in(node.writes, segment)), "r": _needs(steps_in(node.reads, segment))}
    runs = [
        (side, sum(count for _, count in run))
        for side, run in groupby(merged_in(node, segment), itemgetter(0))
    ]
    done, found = {"w": 0, "r": 0}, []
    while runs:
        ends = {"w": done["w"] + runs.pop(0)[1] if runs[0][0] == "w" else done["w"]}
        ends["r"] = done["r"] + (runs.pop(0)[1] if runs and runs[0][0] == "r" else 0)
        while done != ends:
            possible = [
                side
                for side, other in (("w", "r"), ("r", "w"))
                if done[side] < ends[side] and needs[side][done[side]] <= done[other]
            ]
            if not possible:
                return None
            done[possible[0]] += 1
            found.append(possible[0])
    if any(done[side] < len(listed) for side, listed in needs.items()):
        return None
    return tuple((side, len(list(run))) for side, run in groupby(found))


def _needs(steps: Sequence[BufferStep | ImageStep]) -> list[int]:
    """What the other side must have finished, for each iteration."""
    return [need for step in steps for need in step.needs()]


def _constant_buffers(program: Program) -> set[str]:
    """Buffers that are filled from ports whose data wait for nothing: parameters, for one.

    They take everything before they give anything, so that a reader that is slow to take its share does not keep the port
    from filling the next buffer. That holds when all that is behind the port are buffers of this kind, and nothing but such
    ports is before them: a ring of weights may need no read before any write, and yet take tiles that the core makes.
    """
    nodes = {node.name: node for node in program.nodes}
    edges = [(link.src.split(".")[0], link.dst.split(".")[0]) for link in program.links]

    def ends(name: str, forward: bool) -> set[str]:
        """The nodes that `name` sends to, or receives from, through routers."""
        near = {dst if forward else src for src, dst in edges if (src if forward else dst) == name}
        through = {n for n in near if isinstance(nodes[n], Router)}
        return (near - through).union(*(ends(n, forward) for n in through))

    free = {
        node.name
        for node in program.nodes
        if isinstance(node, Buffer) and not any(step.need or step.need_step for step in node.writes)
    }
    behind = {n.name: ends(n.name, True) for n in program.nodes if isinstance(n, Load) and not n.after}
    feeds = {name: ends(name, False) for names in behind.values() for name in names & free}
    while True:
        free = {name for name in free if feeds.get(name, {""}) <= set(behind)}
        held = {load for load, names in behind.items() if not names <= free}
        if not held:
            return free
        behind = {load: names for load, names in behind.items() if load not in held}


def _attempt(
    program: Program, memory: MemoryModel | None, max_cycles: int, first: EngineResult | None
) -> tuple[Program | None, list[str], Deadlock | None]:
    """The first order that works, or what each candidate ran into and the deadlock of the first candidate."""
    if first is None or any(isinstance(node, Store) and node.turns for node in program.nodes):
        first = run(program, memory=memory, values=False, turns=True, max_cycles=max_cycles)
        first.raise_deadlock()
    reasons: list[str] = []
    deadlock: Deadlock | None = None
    for policy, name in _POLICIES.items():
        found, orders = first, first.merged if policy == COMPLETION else _in_turn(program, first.merged)
        if policy > 0:
            found = run(
                program, memory=memory, values=False, merged=True, policy=policy, max_cycles=max_cycles
            )
            orders = found.merged
        checked = found
        if found.deadlock is None:
            candidate = _with_orders(program, orders)
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
    program: Program,
    memory: MemoryModel | None = None,
    *,
    ran: EngineResult | None = None,
    deepen: int = 0,
    max_cycles: int = LONGEST_RUN,
) -> Program:
    """Return `program` with every `Buffer.merged` filled with an order that cannot deadlock.

    The first candidate is the order in which iterations finish when both sides run by themselves. If the
    strict run (`run` with ``merged=True``) gets stuck on it, the order of the tasks is tried (one after the other,
    as if none followed another), then orders found by running strictly and deciding on the way; such a run is itself
    the proof. In the proof links hold no more than `Link.depth` beats and pipelines none, and a bounded Kahn network
    doesn't depend on speed: a back end that holds at least as much is safe. Rounds of a segment are alike: one of each
    is planned and proved.

    Parameters
    ----------
    ran : a finished run of the program on this memory: it is not done again where stores and loads take no turns.
    deepen : how many times a link may be doubled when no order works: the smallest full link of the ring of
        waits each time. A walk whose single iteration is long makes the other side of its buffer wait, and what
        comes meanwhile must fit into the links; finer iterations are the other way out.

    Raises
    ------
    InternalError : the program deadlocks by itself, or no candidate order works.
    """
    if not any(isinstance(node, Buffer | Image) for node in program.nodes):
        return program
    rounds = {"rounds": program.rounds}
    program = program.model_copy(
        update={"rounds": (1,) * len(program.rounds)}
    )  # later rounds' steps are not played
    for _ in range(deepen + 1):
        planned, reasons, deadlock = _attempt(program, memory, max_cycles, ran)
        if planned is not None:
            return planned.model_copy(update=rounds)
        deeper = _deepen(program, deadlock) if deadlock else None
        if deeper is None:
            break
        program, ran = deeper, None
    raise InternalError(
        f"no static order found for the buffers of program {program.name!r} with these FIFO depths.\n"
        + "\n".join(reasons)
    )
