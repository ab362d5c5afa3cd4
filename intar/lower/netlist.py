"""Nodes under construction, and the flows between their ports that become routers and links."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from intar.errors import InternalError
from intar.ir.names import sanitise
from intar.ir.nodes.movers import Leg, Router, RouterStep
from intar.ir.program import Link, Node

LINK_DEPTH = 4
WEIGHT_DEPTH = 16
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
        for src, dsts in sinks.items():
            if len(dsts) > 1:
                routers.append(self._split(src, dsts, through[src]))
                links.append(self._link(src, f"{_split_name(src)}.in0", src))
        for dst, srcs in sources.items():
            if len(srcs) > 1:
                routers.append(self._merge(dst, srcs, through[dst]))
                links.append(self._link(f"{_merge_name(dst)}.out0", dst, dst))
        for src, dsts in sinks.items():
            for index, dst in enumerate(dsts):
                start = f"{_split_name(src)}.out{index}" if len(dsts) > 1 else src
                merged = len(sources[dst]) > 1
                end = f"{_merge_name(dst)}.in{sources[dst].index(src)}" if merged else dst
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

    def _split(self, src: str, dsts: list[str], flows: Sequence[Flow]) -> Router:
        steps: list[RouterStep] = []
        for flow in flows:
            legs = tuple(
                Leg(src=0, dsts=tuple(sorted(dsts.index(d) for d in leg.dsts)))
                for leg in flow.legs
                if leg.src == src
            )
            _append(steps, legs, flow)
        return self._router(_split_name(src), 1, len(dsts), src, steps)

    def _merge(self, dst: str, srcs: list[str], flows: Sequence[Flow]) -> Router:
        steps: list[RouterStep] = []
        for flow in flows:
            legs = tuple(Leg(src=srcs.index(leg.src), dsts=(0,)) for leg in flow.legs if dst in leg.dsts)
            _append(steps, legs, flow)
        return self._router(_merge_name(dst), len(srcs), 1, dst, steps)

    def _fit(self, name: str, src: str, dst: str, flows: Sequence[Flow]) -> Router:
        """What gives the elements on the way from one port to another the other's width."""
        steps: list[RouterStep] = []
        for flow in flows:
            legs = tuple(Leg(src=0, dsts=(0,)) for leg in flow.legs if leg.src == src and dst in leg.dsts)
            _append(steps, legs, flow)
        router = self._router(name.replace(".", "_"), 1, 1, src, steps)
        return router.model_copy(update={"out_bits": self.types[dst].bits})

    def _router(self, name: str, inputs: int, outputs: int, port: str, steps: list[RouterStep]) -> Router:
        kind = self.types[port]
        return Router(
            name=name, inputs=inputs, outputs=outputs, lanes=kind.lanes, bits=kind.bits, steps=tuple(steps)
        )


def _add(items: list[str], item: str) -> None:
    if item not in items:
        items.append(item)


def _split_name(port: str) -> str:
    return "split_" + port.replace(".", "_")


def _merge_name(port: str) -> str:
    return "merge_" + port.replace(".", "_")


def _append(steps: list[RouterStep], legs: tuple[Leg, ...], flow: Flow) -> None:
    """Append one flow's share, joined to the step before when it is the same single leg."""
    if not legs:
        return
    if len(legs) > 1 and len({leg for leg in legs}) == 1 and flow.period == 1:
        legs = legs[:1]
        flow = replace(flow, rounds=flow.rounds * len(flow.legs), beats_last=-1)
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
    steps.append(
        RouterStep(
            rounds=flow.rounds,
            legs=legs,
            beats=flow.beats,
            period=flow.period,
            beats_last=flow.last,
            note=flow.note,
            segment=flow.segment,
        )
    )


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
