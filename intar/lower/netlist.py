"""Nodes under construction, and the flows between their ports that become routers and links."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from intar.errors import InternalError
from intar.ir.names import sanitise
from intar.ir.nodes.movers import Leg, Router, RouterStep
from intar.ir.program import Link, Node

LINK_DEPTH = 4
WEIGHT_DEPTH = 16
MOST_INPUTS = 256
MOST_OUTPUTS = 128
"""Partners of a router: a step of `rtl/intar_router.sv` names an input in 8 bits, one of `hls/intar_router.h` has 128 bits
for outputs."""
MOST_LEGS = 256
MOST_DEPTH = 64
"""Beats of the deepest link: what is still LUTRAM (`rtl/intar_fifo.sv`)."""


@dataclass(frozen=True)
class FlowLeg:
    """Beats from one output port to one or several input ports (``"node.port"``)."""

    src: str
    dsts: tuple[str, ...]


@dataclass(frozen=True)
class Flow:
    """``for round in rounds: for leg in legs:`` `beats` beats (every `period`-th round `beats_last`)."""

    legs: tuple[FlowLeg, ...]
    rounds: int
    beats: int
    period: int = 1
    beats_last: int = -1
    note: str = ""
    segment: int = 0

    @property
    def last(self) -> int:
        """Beats of every `period`-th round."""
        return self.beats if self.beats_last < 0 else self.beats_last


@dataclass(frozen=True)
class PortType:
    """What a port carries."""

    lanes: int
    bits: int


@dataclass
class Netlist:
    """Collects flows in program order; `finish` makes the routers and links that they need and no more."""

    types: dict[str, PortType] = field(default_factory=dict)
    flows: list[Flow] = field(default_factory=list)
    waiting: dict[str, int] = field(default_factory=dict)

    def wait_at(self, dst: str, beats: int) -> None:
        """So many beats (at most `MOST_DEPTH`) may be in front of an input port before it takes the first."""
        self.waiting[dst] = max(self.waiting.get(dst, 0), min(beats, MOST_DEPTH))

    def flow(self, flow: Flow) -> None:
        """Append a flow; every port in it sees its share in this order."""
        if flow.rounds > 0 and (flow.beats > 0 or flow.last > 0):
            self.flows.append(flow)

    def move(self, src: str, dsts: Sequence[str], beats: int, note: str = "") -> None:
        """`beats` beats from `src` to each of `dsts`."""
        self.flow(Flow((FlowLeg(src, tuple(dsts)),), 1, beats, note=note))

    def finish(self) -> tuple[list[Router], list[Link]]:
        """Routers where a port has several partners or its partner another width, links between everything."""
        sinks: dict[str, list[str]] = {}
        sources: dict[str, list[str]] = {}
        through: dict[str, list[Flow]] = {}  # by port
        for flow in self.flows:
            for leg in flow.legs:
                for dst in leg.dsts:
                    _add(sinks.setdefault(leg.src, []), dst)
                    _add(sources.setdefault(dst, []), leg.src)
            for port in {port for leg in flow.legs for port in (leg.src, *leg.dsts)}:
                through.setdefault(port, []).append(flow)
        routers: list[Router] = []
        links: list[Link] = []
        starts = {src: self._split(src, dsts, through[src], routers, links) for src, dsts in sinks.items()}
        ends = {dst: self._merge(dst, srcs, through[dst], routers, links) for dst, srcs in sources.items()}
        for src, dsts in sinks.items():
            for dst in dsts:
                start, end = starts[src][dst], ends[dst][src]
                if self.types[src] == self.types[dst]:
                    links.append(self._link(start, end, src))
                    continue
                fit = self._fit(f"fit_{dst}_{sources[dst].index(src)}", src, dst, through[src])
                routers.append(fit)
                links += [self._link(start, f"{fit.name}.in0", src), self._link(f"{fit.name}.out0", end, dst)]
        names = sanitise([link.name for link in links])
        return routers, [link.model_copy(update={"name": names[link.name]}) for link in links]

    def _link(self, src: str, dst: str, typed: str) -> Link:
        kind = self.types[typed]
        depth = max(WEIGHT_DEPTH if dst.endswith(".w") else LINK_DEPTH, self.waiting.get(dst, 0))
        name = f"{src.split('.')[0]}_to_{dst}".replace(".", "_")
        if src.startswith("split_") and not dst.startswith("merge_"):
            name = f"to_{dst}".replace(".", "_")
        elif src.startswith("split_"):
            name = f"{src}_to_{dst}".replace(".", "_")
        return Link(name=name, src=src, dst=dst, lanes=kind.lanes, bits=kind.bits, depth=depth)

    def _split(
        self, src: str, dsts: Sequence[str], flows: Sequence[Flow], routers: list[Router], links: list[Link]
    ) -> dict[str, str]:
        """Where what an output port sends to each partner can be taken; with many of them behind routers in a row."""
        if len(dsts) == 1:
            return {dsts[0]: src}

        def split(name: str, start: str, dsts: Sequence[str]) -> dict[str, str]:
            groups = in_groups(dsts, MOST_OUTPUTS)
            place = {dst: index for index, group in enumerate(groups) for dst in group}
            steps: list[RouterStep] = []
            for flow in flows:
                legs = (
                    _leg(0, tuple(sorted({place[dst] for dst in leg.dsts if dst in place})))
                    for leg in flow.legs
                    if leg.src == src
                )
                _append(steps, tuple(leg for leg in legs if leg.dsts), flow)
            routers.append(self._router(name, 1, len(groups), src, steps))
            links.append(self._link(start, f"{name}.in0", src))
            found: dict[str, str] = {}
            for index, group in enumerate(groups):
                end = f"{name}.out{index}"
                found |= {group[0]: end} if len(group) == 1 else split(f"{name}_{index}", end, group)
            return found

        return split(_split_name(src), src, dsts)

    def _merge(
        self, dst: str, srcs: Sequence[str], flows: Sequence[Flow], routers: list[Router], links: list[Link]
    ) -> dict[str, str]:
        """Where each of an input port's partners sends its beats; many of them through routers in a row."""
        if len(srcs) == 1:
            return {srcs[0]: dst}

        def merge(name: str, end: str, srcs: Sequence[str]) -> dict[str, str]:
            groups = in_groups(srcs, MOST_INPUTS)
            place = {src: index for index, group in enumerate(groups) for src in group}
            steps: list[RouterStep] = []
            for flow in flows:
                legs = (
                    _leg(place[leg.src], (0,)) for leg in flow.legs if dst in leg.dsts and leg.src in place
                )
                _append(steps, tuple(legs), flow)
            routers.append(self._router(name, len(groups), 1, dst, steps))
            links.append(self._link(f"{name}.out0", end, dst))
            found: dict[str, str] = {}
            for index, group in enumerate(groups):
                start = f"{name}.in{index}"
                found |= {group[0]: start} if len(group) == 1 else merge(f"{name}_{index}", start, group)
            return found

        return merge(_merge_name(dst), dst, srcs)

    def _fit(self, name: str, src: str, dst: str, flows: Sequence[Flow]) -> Router:
        """What gives the elements on the way from one port to another the other's width."""
        steps: list[RouterStep] = []
        for flow in flows:
            legs = tuple(_leg(0, (0,)) for leg in flow.legs if leg.src == src and dst in leg.dsts)
            _append(steps, legs, flow)
        router = self._router(name.replace(".", "_"), 1, 1, src, steps)
        return router.model_copy(update={"out_bits": self.types[dst].bits})

    def _router(self, name: str, inputs: int, outputs: int, port: str, steps: list[RouterStep]) -> Router:
        kind = self.types[port]
        return Router(
            name=name, inputs=inputs, outputs=outputs, lanes=kind.lanes, bits=kind.bits, steps=tuple(steps)
        )


@cache
def _leg(src: int, dsts: tuple[int, ...]) -> Leg:
    """A leg; there are few different ones."""
    return Leg(src=src, dsts=dsts)


def _add(items: list[str], item: str) -> None:
    if item not in items:
        items.append(item)


def in_groups(items: Sequence[str], most: int) -> list[Sequence[str]]:
    """At most `most` groups of neighbours, each single where there are no more items; as large as a tree of these needs."""
    size = 1
    while -(-len(items) // size) > most:
        size *= most
    return [items[first : first + size] for first in range(0, len(items), size)]


def _split_name(port: str) -> str:
    return "split_" + port.replace(".", "_")


def _merge_name(port: str) -> str:
    return "merge_" + port.replace(".", "_")


def _append(steps: list[RouterStep], legs: tuple[Leg, ...], flow: Flow) -> None:
    """Append one flow's share, joined to the step before when that does the same."""
    if not legs:
        return
    count = len(legs)
    if count > 1 and len(set(legs)) == 1 and flow.period == 1:
        legs = legs[:1]
        flow = replace(flow, rounds=flow.rounds * count, beats_last=-1)
    if len(legs) == 1:
        shorter = flow.rounds // flow.period
        beats = (flow.rounds - shorter) * flow.beats + shorter * flow.last
        last = steps[-1] if steps else None
        if last and last.segment == flow.segment and last.legs == legs and last.rounds == 1:
            beats += steps.pop().beats
        steps.append(
            RouterStep(
                rounds=1, legs=legs, beats=beats, beats_last=beats, note=flow.note, segment=flow.segment
            )
        )
        return
    whole = RouterStep(
        rounds=flow.rounds,
        legs=legs,
        beats=flow.beats,
        period=flow.period,
        beats_last=flow.last,
        note=flow.note,
        segment=flow.segment,
    )
    if count <= MOST_LEGS:
        last = steps[-1] if steps else None
        like = {"rounds": flow.rounds, "note": flow.note}
        if (
            last
            and last.rounds % flow.period == 0
            and last.legs == legs
            and last.model_copy(update=like) == whole
        ):
            whole = whole.model_copy(update={"rounds": steps.pop().rounds + flow.rounds})
        steps.append(whole)
        return
    for turn in range(flow.rounds):  # round by round, each in several steps
        beats = flow.last if turn % flow.period == flow.period - 1 else flow.beats
        for first in range(0, count, MOST_LEGS):
            part = {"rounds": 1, "legs": legs[first : first + MOST_LEGS], "period": 1}
            steps.append(whole.model_copy(update=part | {"beats": beats, "beats_last": beats}))


def kernel_name(network: str, taken: Iterable[str]) -> str:
    """What the kernel of a network is called: as the network, with an end where an argument, node or link has that name."""
    name = sanitise([network])[network]
    return f"{name}_kernel" if name in {*taken, "entry", "position"} else name


def check_names(nodes: Sequence[Node]) -> None:
    """Every node has a name of its own (an internal error otherwise)."""
    names = [node.name for node in nodes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InternalError(f"nodes with the same name: {', '.join(twice)}")
