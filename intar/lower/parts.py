"""Several parts of a network lowered into one machine: each is a segment of the program, played once for each of its rounds.
So are several networks, of which each is an entry of the program: a call performs one of them.

Parts share cores, vector units, ports and memories; links and routers are made for the flows of all. What goes from part to
part, and from round to round, lies in the output argument, in turn in two regions: a play reads where the one before has
stored. The constants of a part lie round after round, each in the order of consumption; what parts have in common lies there
once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np

from intar.errors import Finding, InfeasibleError, UnsupportedError
from intar.ir.nodes.ports import LoadStep, StoreStep
from intar.ir.program import Entry, Node, Program, Region
from intar.ir.quantgraph import (
    Part,
    QConv,
    QMatmul,
    QProduct,
    Quantised,
    TableSpec,
    operand_bits,
    stored_bits,
    weight_bits,
)
from intar.ir.schedule import Machine, Schedule
from intar.ir.states import states
from intar.lower.join import Held, Ported, join_nodes, join_ports, join_rounds
from intar.lower.kept import Kept, kept_region, kept_states
from intar.lower.lower import Lowered, perform
from intar.lower.netlist import Flow, FlowLeg, Netlist, check_names, kernel_name
from intar.lower.nodes import check_memory, held_images, make_nodes
from intar.lower.params import entry_bits, table_arrays
from intar.lower.ports import Port, port_arguments, port_nodes
from intar.lower.records import Records
from intar.lower.site import Common, Place, make_site


@dataclass(frozen=True)
class Network:
    """A network to be lowered: its name, its integers as a whole, its parts and the validated schedule of each."""

    name: str
    quantised: Quantised
    parts: Sequence[Part]
    schedules: Sequence[Schedule]


def lower_networks(networks: Sequence[Network]) -> Lowered:
    """Lower the parts of one or several networks, all for one machine; each of several networks is an entry.

    Where the first part of a network has several rounds, a segment before it copies the network's inputs to where a round
    looks for them.

    Raises
    ------
    InfeasibleError
        The buffers of all parts together do not fit on chip.
    UnsupportedError
        Rounds of a part need other steps, which the values of their constants decide; or networks keep states of one name in
        different ways.
    """
    try:
        return _lower(networks, forwards=True)
    except InfeasibleError:
        return _lower(networks, forwards=False)


def _lower(networks: Sequence[Network], forwards: bool) -> Lowered:
    machine = networks[0].schedules[0].machine
    parts = [part for network in networks for part in network.parts]
    schedules = [schedule for network in networks for schedule in network.schedules]
    common = _common(parts, schedules)
    keeping = _keep(networks, machine, common.a_bits)
    carried = [
        (Records if any(part.records for part in network.parts) else _States)(
            network.parts, machine, common.a_bits
        )
        for network in networks
    ]
    common = replace(common, reserved=max(own.reserved for own in carried), forwards=forwards)
    net = Netlist()
    nodes: dict[int, list[Node]] = {}
    ports: dict[int, Ported] = {}
    rounds: list[int] = []
    entries: list[Entry] = []
    held = Held()
    for number, (network, own) in enumerate(zip(networks, carried, strict=True)):
        first = len(rounds)
        if isinstance(own, _States) and own.enters:
            ports[first] = replace(own.enter(net, first), entry=number)
            rounds.append(1)
        for index, (part, schedule) in enumerate(zip(network.parts, network.schedules, strict=True)):
            segment = len(rounds)
            kept, stride = _kept_in(network.name, part, keeping[number])
            shared = replace(common, states=dict(own.places(index)), kept=kept)
            works = [
                perform(one, schedule, shared) for one in (part.rounds[:1] if part.same else part.rounds)
            ]
            nodes[segment] = join_rounds(network.name, [make_nodes(work) for work in works])
            held.add(network.name, segment, [held_images(work) for work in works], nodes[segment])
            loaded = [{n: bytes(port.image) for n, port in work.ports.ports.items()} for work in works]
            step = own.step if len(part.rounds) > 1 else 0
            ports[segment] = Ported(works[0].ports.ports, loaded, number, stride, step, len(part.rounds))
            net.types |= works[0].net.types
            for end, beats in works[0].net.waiting.items():
                net.wait_at(end, beats)
            net.flows += [replace(flow, segment=segment) for flow in works[0].net.flows]
            rounds.append(len(part.rounds))
        entries.append(Entry(name=network.name, first=first, end=len(rounds)))
    joined = join_ports(ports, rounds, common.reserved)
    for number, own in enumerate(carried):
        if left := own.leaves():
            joined["y"].regions += [region.model_copy(update={"entry": number}) for region in left]
    words = max((k.base + k.rows * k.words for found in keeping for k in found.values()), default=0)
    for number in range(max(1, machine.state_ports)):
        if (name := f"s{number or ''}") in joined:
            joined[name].regions = _kept_regions(keeping, machine.lanes, number)
            joined[name].words = words
    routers, links = net.finish()
    everything = [*port_nodes(joined), *join_nodes(nodes, held), *routers]
    check_memory(everything, machine.onchip_bytes)
    check_names(everything)
    arguments, images = port_arguments(joined)
    name = networks[0].name
    program = Program(
        name=kernel_name(name, (each.name for each in (*everything, *links, *arguments))),
        rounds=tuple(rounds),
        entries=tuple(entries) if len(entries) > 1 else (),
        positions=max(
            *(network.quantised.graph.positions for network in networks),
            *(kept.state.rows for found in keeping for kept in found.values()),
            0,
        ),
        nodes=tuple(everything),
        links=tuple(links),
        arguments=tuple(arguments),
    )
    return Lowered(program, images | held.images)


def _keep(networks: Sequence[Network], machine: Machine, a_bits: int) -> list[dict[str, Kept]]:
    """Where the states of each network lie: in the same words, where they have the same names."""
    known = [states(network.quantised.graph) for network in networks]
    rows = max((state.rows for found in known for state in found), default=0)
    room = rows + max((state.length for found in known for state in found), default=0)
    kept = [kept_states(network.quantised.graph, machine, a_bits, room) for network in networks]
    keeping = [found for found in kept if found]
    places = [
        {
            k.state.name: (k.base, k.words, k.room, k.state.blocks, k.state.inner, k.bits)
            for k in found.values()
        }
        for found in keeping
    ]
    names = {name for place in places for name in place}
    apart = [  # what others keep is an input of these
        {state.name for state in found} & names for found, own in zip(known, kept, strict=True) if not own
    ]
    if any(apart) or any(place != places[0] for place in places[1:]):
        raise UnsupportedError(
            Finding(
                "the networks keep other states from call to call, or in another order",
                ", ".join(network.name for network in networks),
                "in one kernel they share the states",
                "write them so that they read states of the same names and shapes in the same order",
            )
        )
    return kept


def _kept_in(name: str, part: Part, kept: Mapping[str, Kept]) -> tuple[dict[str, Kept], int]:
    """Where the states of a part's first round lie, by their names in the part, and words from round to round."""
    if not kept:
        if len(part.rounds) > 1 and any(part.kept):
            raise UnsupportedError(Finding("the states of a loop's rounds can't be kept on the device", name))
        return {}, 0
    rounds = [{known: kept[own] for known, own in names.items()} for names in part.kept]
    steps = {b[known].base - a[known].base for a, b in pairwise(rounds) for known in a}
    if len(steps) > 1:
        raise UnsupportedError(Finding("the states of a loop's rounds don't lie equally far apart", name))
    return rounds[0], steps.pop() if steps else 0


def _kept_regions(keeping: Sequence[Mapping[str, Kept]], lanes: int, port: int) -> list[Region]:
    """The places of all states in the argument of a port."""
    found: dict[str, Region] = {}
    for kept in keeping:
        for place in kept.values():
            found.setdefault(place.state.name, kept_region(place, lanes, port))
    return list(found.values())


def _common(parts: Sequence[Part], schedules: Sequence[Schedule]) -> Common:
    """The widths that serve all parts."""
    bits = [stored_bits(part.graph) for part in parts]
    activations = max(width for width, _ in bits)
    arrays = [
        any(isinstance(task, QMatmul | QProduct | QConv) for task in part.graph.tasks) for part in parts
    ]
    weights = max((width for (_, width), used in zip(bits, arrays, strict=True) if used), default=activations)
    loaded = max((weight_bits(part.graph) for part in parts if _weighs(part)), default=weights)
    if any(isinstance(task, QConv) for part in parts for task in part.graph.tasks):
        activations = weights = loaded = max(activations, weights)
    operands = [operand_bits(part.graph) for part in parts]
    sites = [make_site(part.rounds[0], schedule) for part, schedule in zip(parts, schedules, strict=True)]
    cores = range(schedules[0].machine.cores)
    return Common(
        a_bits=activations,
        w_bits=weights,
        weight_bits=loaded,
        operands=(max(a for a, _ in operands), max(w for _, w in operands)),
        acc_bits={core: max(site.acc_bits(core) for site in sites) for core in cores},
        slopes=any(_have(one, "slope", "curve") for part in parts for one in part.rounds),
        curves=any(_have(one, "curve") for part in parts for one in part.rounds),
        entry_bits=max(_entry_bits(one) for part in parts for one in part.rounds),
        banks=True,
    )


def _weighs(part: Part) -> bool:
    """It has weights."""
    return any(isinstance(task, QMatmul | QConv) for task in part.graph.tasks)


def _entry_bits(quantised: Quantised) -> int:
    """Bits that hold every number of all tables."""
    specs = [task.table for task in quantised.graph.tasks if isinstance(task.table, TableSpec)]
    return max((entry_bits(spec, table_arrays(spec, quantised.constants)) for spec in specs), default=8)


def _have(quantised: Quantised, *roles: str) -> bool:
    """True if the entries of some table have one of these."""
    arrays = [task.table.arrays for task in quantised.graph.tasks if task.table]
    return any(bool(np.any(quantised.constants[made[r]])) for made in arrays for r in roles if r in made)


class _States:
    """Where what goes from play to play lies in the output argument: two regions of `size` words, in turn."""

    def __init__(self, parts: Sequence[Part], machine: Machine, a_bits: int):
        self.parts, self.machine, self.a_bits = parts, machine, a_bits
        self.enters = int(len(parts[0].rounds) > 1)
        self.step = 0
        self.plays = list(accumulate((len(part.rounds) for part in parts), initial=self.enters))
        stored = [self._regions(part, names) for part in parts for names in (part.takes, self._given(part))]
        self.size = max(sum(map(self._words, regions)) for regions in stored)
        self.reserved = 2 * self.size

    def _given(self, part: Part) -> tuple[str, ...]:
        """What a part stores as a state: all that it gives, unless it stores the network's outputs once."""
        return () if part is self.parts[-1] and len(part.rounds) == 1 else part.gives

    def _words(self, region: Region) -> int:
        return -(-region.beats * region.lanes * region.bits // self.machine.port_bits)

    def _regions(self, part: Part, names: Sequence[str]) -> list[Region]:
        """The tensors one behind the other from word 0 on."""
        found: list[Region] = []
        base = 0
        for name in names:
            tensor, lanes = part.graph.tensor(name), self.machine.lanes
            shape = {"rows": tensor.rows, "cols": tensor.cols, "row_beats": -(-tensor.cols // lanes)}
            found.append(Region(name=name, base=base, lanes=lanes, bits=self.a_bits, **shape))
            base += self._words(found[-1])
        return found

    def places(self, number: int) -> Iterator[tuple[str, Place]]:
        """Where the states of a part lie. Play `g` stores in region ``g % 2`` and loads from the other one."""
        part, play = self.parts[number], self.plays[number]
        for names, side in ((part.takes, play - 1), (self._given(part), play)):
            for region in self._regions(part, names):
                away = self.size if side % 2 == 0 else -self.size
                swap = away if len(part.rounds) > 1 else 0
                yield region.name, Place(region.base + side % 2 * self.size, swap)

    def enter(self, net: Netlist, segment: int) -> Ported:
        """The segment that brings the inputs of a first part to where its first round looks for them."""
        inputs, states = Port("x", self.machine.port_bits), Port("y", self.machine.port_bits)
        part = self.parts[0]
        for region in self._regions(part, part.takes):
            note = f"{region.name}: to where the first round takes it"
            inputs.steps.append(LoadStep(base=region.base, beats=region.beats, note=note))
            states.steps.append(StoreStep(base=region.base, beats=region.beats, note=note))
            states.turns.append("w")
            inputs.regions.append(region)
            inputs.words += self._words(region)
            net.flow(Flow((FlowLeg("x.out", ("y.in",)),), 1, region.beats, note=note, segment=segment))
        states.words = 2 * self.size
        return Ported({"x": inputs, "y": states}, [{}])

    def leaves(self) -> list[Region]:
        """The network's outputs, where the last round of a last part leaves them."""
        part, last = self.parts[-1], self.plays[-1] - 1
        regions = self._regions(part, self._given(part))
        return [
            region.model_copy(update={"name": name, "base": region.base + last % 2 * self.size})
            for region, name in zip(regions, part.leaves, strict=False)
        ]
