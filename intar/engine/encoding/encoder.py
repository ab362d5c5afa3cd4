"""The array under construction: what the encoding of each node appends to, and what it checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from intar.ir.nodes.memories import Buffer, Image, Walk
from intar.ir.nodes.step import Step
from intar.ir.program import Link, Node, Program
from intar.ir.segments import StepT, steps_in


@dataclass(frozen=True)
class UnitInfo:
    """One unit of the engine: a node, or one side of a buffer (`port` ``"in"`` or ``"out"``).

    `notes` are those of the steps that the play has, of the unit's list from step `first` on.
    """

    node: str
    port: str
    notes: tuple[str, ...]
    first: int = 0

    @property
    def name(self) -> str:
        """How messages call it: the node, or a buffer's side as ``node.port``."""
        return f"{self.node}.{self.port}" if self.port else self.node


@dataclass
class Encoded:
    """The array, and what the units and the recorded orders in the results belong to."""

    words: list[int] = field(default_factory=list)
    units: list[UnitInfo] = field(default_factory=list)
    iterations: list[tuple[str, int]] = field(default_factory=list)

    def array(self) -> np.ndarray:
        """The words as the C++ side reads them (int64)."""
        return np.array(self.words, dtype=np.int64)


class Encoder:
    """The array so far, and what is wrong with the program."""

    def __init__(
        self,
        program: Program,
        segment: int,
        round: int,
        position: int,
        merged: bool,
        policy: int,
        turns: bool,
        align: int,
    ):
        self.program = program
        self.segment = segment
        self.round = round
        self.numbers = 0 if align else round  # whose steps' numbers: they change no cycle
        self.position = position
        self.merged = merged
        self.policy = policy
        self.align = align
        self.take_turns = turns or merged
        self.problems: list[str] = []
        self.result = Encoded()
        self.ports: dict[tuple[str, str], int] = {}
        self.arguments = {argument.name: i for i, argument in enumerate(program.arguments)}
        self.constants = {
            node.name: i for i, node in enumerate(program.constants, len(program.arguments))
        }  # images behind those of the arguments
        for name in self.arguments.keys() & self.constants.keys():
            self.problems.append(f"an argument and a memory of constants are both called {name!r}")
        for index, link in enumerate(program.links):
            for end in (link.src, link.dst):
                node, _, port = end.partition(".")
                if (node, port) in self.ports:
                    self.problems.append(f"port {end} has two links")
                self.ports[node, port] = index
        self.used: set[tuple[str, str]] = set()

    def put(self, *values: int) -> None:
        """Append words."""
        self.result.words.extend(map(int, values))

    def expect(self, condition: bool, where: str, what: str) -> None:
        """Note a problem of the program, unless the condition holds; `encode` raises all of them."""
        if not condition:
            self.problems.append(f"{where}: {what}")

    def played(self, steps: tuple[StepT, ...]) -> tuple[StepT, ...]:
        """The steps of the play that is encoded."""
        return steps_in(steps, self.segment, self.numbers)

    def port(self, node: Node, name: str, needed: bool, lanes: int, bits: int = 0) -> Link | None:
        """Writes the link index of a port (-1: none) and checks its shape."""
        index = self.ports.get((node.name, name), -1)
        self.used.add((node.name, name))
        self.put(index)
        if index < 0:
            self.expect(not needed, f"{node.name}.{name}", "a step uses this port, but it has no link")
            return None
        link = self.program.links[index]
        self.expect(
            link.lanes == lanes, link.name, f"has {link.lanes} lanes, {node.name}.{name} needs {lanes}"
        )
        if bits:
            self.expect(
                link.bits <= bits, link.name, f"has {link.bits} bits, {node.name}.{name} holds {bits}"
            )
        return link

    def unit(self, node: Node, port: str, played: Sequence[Step], among: Sequence[Step]) -> None:
        """A unit that plays these steps of its list."""
        first = next((index for index, step in enumerate(among) if played and step is played[0]), 0)
        self.result.units.append(UnitInfo(node.name, port, tuple(step.note for step in played), first))

    def place_units(self) -> None:
        """Unit numbers must be known before loads refer to stores."""
        self.first_unit: dict[str, int] = {}
        number = 0
        for node in self.program.nodes:
            self.first_unit[node.name] = number
            number += 2 if isinstance(node, Buffer | Image) and not self.merged else 1

    def walk(self, where: str, walk: Walk) -> None:
        """Append a walk, whose loops must not be empty."""
        self.expect(min(walk.counts) > 0, where, f"empty loops {walk.counts}")
        self.expect(-1 <= walk.ragged <= 3 and (walk.ragged < 0 or walk.last > 0), where, "bad ragged loop")
        self.put(walk.base, walk.wrap, *walk.counts, *walk.strides, walk.ragged, walk.last)
