"""Several parts of a network lowered into one machine: each is a segment of the program, played once for each of its rounds.

Parts share cores, vector units, ports and memories; links and routers are made for the flows of all. What goes from part to
part, and from round to round, lies in the output argument, in turn in two regions: a play reads where the one before has
stored. The constants of a part lie round after round, each in the order of consumption.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np

from intar.ir.names import sanitise
from intar.ir.program import LoadStep, Node, Program, Region, StoreStep
from intar.ir.quantgraph import Part, QConv, QMatmul, QProduct, Quantised, operand_bits, stored_bits
from intar.ir.schedule import Machine, Schedule
from intar.lower.join import Ported, join_nodes, join_ports, join_rounds
from intar.lower.lower import Lowered, perform
from intar.lower.netlist import Flow, FlowLeg, Netlist, check_names
from intar.lower.nodes import check_memory, make_nodes
from intar.lower.ports import Port, port_arguments, port_nodes
from intar.lower.site import Common, Place, make_site


def lower_parts(name: str, parts: Sequence[Part], schedules: Sequence[Schedule]) -> Lowered:
    """Lower the parts of a network, each with its validated schedule, all for one machine.

    Where the first part has several rounds, a segment before it copies the network's inputs to where a round looks for them.

    Raises
    ------
    InfeasibleError
        The buffers of all parts together do not fit on chip.
    UnsupportedError
        Rounds of a part need other steps, which the values of their constants decide.
    """
    machine = schedules[0].machine
    common = _common(parts, schedules)
    states = _States(parts, machine, common.a_bits)
    common = replace(common, reserved=2 * states.size)
    net = Netlist()
    nodes: dict[int, list[Node]] = {}
    ports: dict[int, Ported] = {}
    if states.enters:
        ports[0] = states.enter(net)
    for segment, (part, schedule) in enumerate(zip(parts, schedules, strict=True), states.enters):
        shared = replace(common, states=dict(states.places(segment - states.enters)))
        works = [perform(one, schedule, shared) for one in part.rounds]
        nodes[segment] = join_rounds(name, [make_nodes(work) for work in works])
        rounds = [{n: bytes(port.image) for n, port in work.ports.ports.items()} for work in works]
        ports[segment] = Ported(works[0].ports.ports, rounds)
        net.types |= works[0].net.types
        net.flows += [replace(flow, segment=segment) for flow in works[0].net.flows]
    joined = join_ports(ports, len(parts) + states.enters, common.reserved)
    joined["y"].regions += states.leaves()
    routers, links = net.finish()
    everything = [*port_nodes(joined), *join_nodes(nodes), *routers]
    check_memory(everything, machine.onchip_bytes)
    check_names(everything)
    arguments, images = port_arguments(joined)
    program = Program(
        name=sanitise([name])[name],
        rounds=(*[1] * states.enters, *(len(part.rounds) for part in parts)),
        nodes=tuple(everything),
        links=tuple(links),
        arguments=tuple(arguments),
    )
    return Lowered(program, images)


def _common(parts: Sequence[Part], schedules: Sequence[Schedule]) -> Common:
    """The widths that serve all parts."""
    bits = [stored_bits(part.graph) for part in parts]
    activations = max(width for width, _ in bits)
    arrays = [
        any(isinstance(task, QMatmul | QProduct | QConv) for task in part.graph.tasks) for part in parts
    ]
    weights = max((width for (_, width), used in zip(bits, arrays, strict=True) if used), default=activations)
    if any(isinstance(task, QConv) for part in parts for task in part.graph.tasks):
        activations = weights = max(activations, weights)
    operands = [operand_bits(part.graph) for part in parts]
    sites = [make_site(part.rounds[0], schedule) for part, schedule in zip(parts, schedules, strict=True)]
    cores = range(schedules[0].machine.cores)
    return Common(
        a_bits=activations,
        w_bits=weights,
        operands=(max(a for a, _ in operands), max(w for _, w in operands)),
        acc_bits={core: max(site.acc_bits(core) for site in sites) for core in cores},
        slopes=any(_have(one, "slope", "curve") for part in parts for one in part.rounds),
        curves=any(_have(one, "curve") for part in parts for one in part.rounds),
        banks=True,
    )


def _have(quantised: Quantised, *roles: str) -> bool:
    """True if the entries of some table have one of these."""
    arrays = [task.table.arrays for task in quantised.graph.tasks if task.table]
    return any(bool(np.any(quantised.constants[made[r]])) for made in arrays for r in roles if r in made)


class _States:
    """Where what goes from play to play lies in the output argument: two regions of `size` words, in turn."""

    def __init__(self, parts: Sequence[Part], machine: Machine, a_bits: int):
        self.parts, self.machine, self.a_bits = parts, machine, a_bits
        self.enters = int(len(parts[0].rounds) > 1)
        self.plays = list(accumulate((len(part.rounds) for part in parts), initial=self.enters))
        stored = [self._regions(part, names) for part in parts for names in (part.takes, self._given(part))]
        self.size = max(sum(map(self._words, regions)) for regions in stored)

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

    def enter(self, net: Netlist) -> Ported:
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
            net.flow(Flow((FlowLeg("x.out", ("y.in",)),), 1, region.beats, note=note))
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
