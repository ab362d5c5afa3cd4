"""Several networks in one kernel, of which a call performs one: a prefill and a step, shorter forms of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import combinations

from intar.design import Design, engine_memory
from intar.engine import plan_merged, run
from intar.errors import ConfigError, Finding, UnsupportedError
from intar.ir.names import sanitise
from intar.ir.nodes.ports import Load
from intar.ir.ops import POSITION
from intar.ir.program import Program
from intar.ir.quantgraph import Part, Quantised
from intar.ir.schedule import Machine, Mode, PartedSchedule
from intar.ir.states import states
from intar.lower.parts import Network as LoweredNetwork
from intar.lower.parts import lower_networks
from intar.pipeline import best_of_part, plans
from intar.quant.blocks import Pieces
from intar.quant.divide import divide
from intar.quant.forms import machine_form
from intar.quant.shorter import shorter
from intar.schedule.parts import schedule_parts


@dataclass(frozen=True)
class Network:
    """A network to be compiled into a kernel with others: its name there, its integers, and its pieces (`quant.blocks`).

    Without pieces it is one part. It may be a shorter form `of` another one, for calls at the first positions.
    """

    name: str
    quantised: Quantised
    pieces: Pieces = ()
    of: str = ""

    @property
    def cut(self) -> Pieces:
        """Its pieces, or all its tasks as one."""
        return self.pieces or (((*(task.name for task in self.quantised.graph.tasks),),),)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The network in parts, each of which is scheduled by itself."""
        return divide(self.quantised, self.cut)


def at_lengths(network: Network, count: int) -> list[Network]:
    """The network, and shorter forms of it, each for another `count`-th of the rows of its states.

    Calls at the first positions read and multiply only so many rows of the states as their form has. Forms of no more rows
    than a call adds are left out.

    Raises
    ------
    ConfigError
        `count` is less than 1.
    UnsupportedError
        Nothing in the network depends on the position, or its states go through what has no shorter form.
    """
    if count < 1:
        raise ConfigError(Finding(f"{count} forms of a network", "lengths", hint="1, or more"))
    full = network.quantised.graph.positions
    if count > 1 and not full:
        what = f"nothing in it depends on the input '{POSITION}'"
        hint = "lengths are those of a cache of which the position decides what counts (docs/generate.md)"
        raise UnsupportedError(Finding(what, f"network {network.name}", hint=hint))
    added = max((state.length for state in states(network.quantised.graph)), default=0)
    rows = [-(-full * part // count) for part in range(1, count)]
    return [
        network,
        *(
            replace(
                network,
                name=f"{network.name}_{cached}",
                quantised=shorter(network.quantised, cached),
                of=network.name,
            )
            for cached in dict.fromkeys(rows)
            if added < cached < full
        ),
    ]


def compile_networks(networks: Sequence[Network], machine: Machine, mode: Mode = "auto") -> list[Design]:
    """Compile several networks into one program for one machine: a call performs one of them, its entry.

    Each is scheduled by itself, as the parts of a network are. Constants that networks load alike lie in memory once
    (`shared_bytes`).

    Raises
    ------
    ConfigError
        Two networks have one name.
    UnsupportedError
        A network does not fall into its pieces, or they keep states of one name in different ways.
    """
    names = Counter(network.name for network in networks)
    if twice := [name for name, times in names.items() if times > 1]:
        why = "a form of network X that reads N rows of its states is called X_N"
        raise ConfigError(
            Finding("two networks of the kernel have this name", f"entry {name}", why, "choose another name")
            for name in twice
        )
    networks = [replace(one, quantised=machine_form(one.quantised, machine)) for one in networks]
    schedules = [
        schedule_parts(
            network.quantised.graph.name,
            network.parts,
            network.cut,
            None,
            partial(best_of_part, machine, mode),
        )
        for network in networks
    ]
    return design_networks(networks, schedules)


def main_entry(name: str, others: Iterable[str]) -> str:
    """The entry of a kernel's first network, which is called as the network is where no other entry is called so."""
    safe = sanitise([name])[name]
    return safe if safe not in others else f"{safe}_main"


def design_networks(networks: Sequence[Network], schedules: Sequence[PartedSchedule]) -> list[Design]:
    """Lower the schedules of several networks into one program."""
    lowering = []
    for network, schedule in zip(networks, schedules, strict=True):
        own = plans(network.parts, schedule)
        lowering.append(LoweredNetwork(network.name, network.quantised, network.parts, own))
    lowered = lower_networks(lowering)
    memory = engine_memory(schedules[0].machine)
    program = plan_merged(lowered.program, memory)
    designs = []
    for entry, (network, schedule) in enumerate(zip(networks, schedules, strict=True)):
        predicted = run(program, {}, memory=memory, values=False, entry=entry)
        predicted.raise_deadlock()
        made = Design(network.quantised, schedule, program, lowered.images, predicted, entry, network.of)
        designs.append(made)
    return designs


def shared_bytes(program: Program) -> int:
    """Bytes of constants that several entries load from one place."""
    total = 0
    for node in program.nodes:
        constant = isinstance(node, Load) and any(
            a.name == node.argument and a.role == "constant" for a in program.arguments
        )
        if not isinstance(node, Load) or not constant:
            continue
        link = program.outputs_of(node.name)["out"]
        loaded = [
            {
                (node.base(step, round), step.beats, step.table, step.pitch)
                for segment, round in program.plays_of(entry)
                for step in node.steps
                if step.segment == segment
            }
            for entry in range(len(program.entries))
        ]
        for step in set.union(set(), *(a & b for a, b in combinations(loaded, 2))):
            _, beats, table, pitch = step
            words = -(-beats * link.lanes * link.bits // node.port_bits)
            total += (table * pitch if table else words) * node.port_bits // 8
    return total
