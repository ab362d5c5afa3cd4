"""What a run of the engine gives: outputs, cycles, where they went, and why it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from intar.errors import InternalError


@dataclass(frozen=True)
class NodeCycles:
    """Cycles of one unit from ap_start to ap_done; the five counts add up to the cycles of the run.

    Parameters
    ----------
    busy : the unit moved a beat (or was still at work on one).
    wait_in, wait_out : it waited for a beat (loads: for memory), or for room behind it.
    wait_token : it waited for `need` iterations or commands of another unit.
    idle : it had nothing to do: not started, finished, or between blocks.
    waits : link (``"memory"``, ``"token"``) waited for → cycles.
    """

    busy: int
    wait_in: int
    wait_out: int
    wait_token: int
    idle: int
    waits: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LinkUse:
    """Traffic of a link: beats pushed and popped, fullest level, cycles its two ends waited for it."""

    pushes: int
    pops: int
    high_water: int
    depth: int
    consumer_waits: int
    producer_waits: int


@dataclass(frozen=True)
class Span:
    """First and last cycle in which a unit worked on a step in a round of its segment (both -1: never)."""

    node: str
    step: int
    note: str
    first: int
    last: int
    round: int = 0


@dataclass(frozen=True)
class Stuck:
    """A unit that had not finished when nothing moved any more.

    `link`, `fill`, `depth` are set when it waits for a beat or for room, `need` and `posted` when for tokens.
    """

    node: str
    step: int
    note: str
    state: str
    link: str = ""
    fill: int = 0
    depth: int = 0
    need: int = 0
    posted: int = 0

    def __str__(self) -> str:
        where = f"{self.node}, step {self.step}" + (f" ({self.note})" if self.note else "")
        if self.state == "wait_token":
            return f"{where}: needs {self.need} finished iterations or commands, {self.posted} are posted"
        if self.link:
            verb = "a beat from" if self.state == "wait_in" else "room in"
            return (
                f"{where}: waits for {verb} link {self.link}, which holds {self.fill} of {self.depth} beats"
            )
        return f"{where}: {self.state}"


@dataclass(frozen=True)
class Deadlock:
    """Why a run did not end as it should.

    kind: ``deadlock`` (nothing moves), ``leftover`` (all stores are done, but units or beats are left),
    ``limit`` (max_cycles).
    `cycle` is a list of unit names that wait for each other in a ring, empty when there is none.
    """

    kind: str
    at: int
    stuck: tuple[Stuck, ...]
    cycle: tuple[str, ...] = ()
    beats_left: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        heads = {
            "deadlock": f"deadlock in cycle {self.at}: no node can move",
            "leftover": f"all stores are done, but work is left in cycle {self.at}",
            "limit": f"not finished after {self.at} cycles",
        }
        lines = [heads[self.kind]]
        if self.cycle:
            lines.append("  ring of waits: " + " -> ".join((*self.cycle, self.cycle[0])))
        lines += [f"  {stuck}" for stuck in self.stuck]
        lines += [f"  link {name}: {count} beats nobody took" for name, count in self.beats_left.items()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Play:
    """One play of a segment: it begins in cycle `first` with the start pulse."""

    segment: int
    round: int
    first: int


@dataclass(frozen=True)
class EngineResult:
    """The result of one inference.

    Parameters
    ----------
    outputs : final bytes of every argument that a store writes (outputs and scratch); empty without values.
    cycles : from ap_start (cycle 0) to ap_done, as the RTL simulation counts; 0 when ap_done was not reached.
    nodes : per unit; the sides of a buffer are ``name.in`` and ``name.out``.
    links : per link name.
    stages : one span per unit and step, in the order of the program, for every play.
    deadlock : None when everything finished.
    merged : the order of finished iterations of each buffer as runs, as in `Buffer.merged`, of the first rounds.
    plays : every play, in order.
    """

    outputs: dict[str, bytes]
    cycles: int
    nodes: dict[str, NodeCycles]
    links: dict[str, LinkUse]
    stages: tuple[Span, ...]
    deadlock: Deadlock | None
    merged: dict[str, tuple[tuple[str, int], ...]]
    plays: tuple[Play, ...]

    def raise_deadlock(self) -> None:
        """Raise InternalError with the full report when the run did not finish; do nothing otherwise."""
        if self.deadlock is not None:
            raise InternalError(str(self.deadlock))


def combine(plays: Sequence[EngineResult], outputs: dict[str, bytes]) -> EngineResult:
    """The result of an inference from those of its plays, which follow each other without a gap."""
    ends = [0, *accumulate(play.cycles for play in plays)]
    nodes, links = {name: _added(plays, name) for name in plays[0].nodes}, {}
    for name, first in plays[0].links.items():
        uses = [play.links[name] for play in plays]
        sums = (sum(getattr(use, part) for use in uses) for part in ("consumer_waits", "producer_waits"))
        pushes, pops = (sum(getattr(use, part) for use in uses) for part in ("pushes", "pops"))
        links[name] = LinkUse(pushes, pops, max(use.high_water for use in uses), first.depth, *sums)
    spans: list[Span] = []
    merged: dict[str, tuple[tuple[str, int], ...]] = {}
    for play, at in zip(plays, ends, strict=False):
        (place,) = play.plays
        if at == place.round == 0:
            spans += play.stages
        for span in play.stages if at or place.round else ():
            shift = at if span.first >= 0 else 0
            begin, end = span.first + shift, span.last + shift
            spans.append(replace(span, round=place.round, first=begin, last=end))
        if place.round == 0:
            for name, order in play.merged.items():
                merged[name] = merged.get(name, ()) + order
    deadlock = plays[-1].deadlock
    return EngineResult(
        outputs=outputs,
        cycles=ends[-1] if plays[-1].cycles else 0,
        nodes=nodes,
        links=links,
        stages=tuple(spans),
        deadlock=deadlock and replace(deadlock, at=deadlock.at + ends[-2]),
        merged={} if deadlock else merged,
        plays=tuple(play for one in plays for play in one.plays),
    )


def _added(plays: Sequence[EngineResult], name: str) -> NodeCycles:
    """The cycles of a unit over all plays."""
    parts = [play.nodes[name] for play in plays]
    waits: dict[str, int] = {}
    for part in parts:
        for link, cycles in part.waits.items():
            waits[link] = waits.get(link, 0) + cycles
    states = ("busy", "wait_in", "wait_out", "wait_token", "idle")
    return NodeCycles(**{state: sum(getattr(part, state) for part in parts) for state in states}, waits=waits)
