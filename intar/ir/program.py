"""The program: what each node of the machine is and does, independent of any back end.

`docs/program.md` defines every node to the bit; this module is its typed, frozen, JSON-serialisable form.
A machine is a Kahn network: nodes joined by links (bounded FIFOs of beats); each node runs its own list of steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from intar.ir.frozen import Frozen
from intar.ir.nodes.arrays import Core, Feed
from intar.ir.nodes.memories import Buffer, ConstantMemory, Image
from intar.ir.nodes.movers import Argmax, Gather, Router
from intar.ir.nodes.ports import Load, Store
from intar.ir.nodes.rows import Rows
from intar.ir.nodes.vector import Vector

SCHEMA = "intar.program/1"


class Link(Frozen):
    """A FIFO from one output port to one input port.

    `src` and `dst` are ``"node.port"``; a beat is `lanes` signed elements of `bits` bits; `depth` is in beats.
    """

    name: str
    src: str
    dst: str
    lanes: int = Field(gt=0)
    bits: int = Field(gt=0)
    depth: int = Field(gt=0)


Node = Annotated[
    Load | Store | Buffer | ConstantMemory | Image | Feed | Core | Vector | Rows | Gather | Argmax | Router,
    Field(discriminator="kind"),
]


class Region(Frozen):
    """A rectangular piece of a kernel argument that holds a tensor or constant data.

    `rows` rows of `row_beats` beats of `lanes` elements of `bits` bits, `cols` of the elements used per row,
    starting at port word `base`; beats are packed from the least significant bit on. Where several ports share a tensor,
    this one has every `step`-th beat of all rows, from beat `first` on; where several share a state, it has every `parts`-th
    block of rows, from block `part` on. It is a tensor of the entry `entry`.
    """

    name: str
    base: int
    rows: int
    cols: int
    row_beats: int
    lanes: int
    bits: int
    first: int = 0
    step: int = 1
    part: int = 0
    parts: int = 1
    entry: int = 0

    @property
    def beats(self) -> int:
        """Beats of the tensor that lie here."""
        return len(range(self.first, self.rows * self.row_beats, self.step))


class Argument(Frozen):
    """One pointer argument of the kernel = one AXI bundle.

    role: ``input`` and ``output`` hold network tensors (`fields`), ``constant`` is an image made by the compiler,
    ``state`` holds what the network keeps from call to call, ``scratch`` is spill space.
    """

    name: str
    role: Literal["input", "output", "constant", "state", "scratch"]
    port_bits: int
    words: int
    fields: tuple[Region, ...] = ()


class Entry(Frozen):
    """A network that a call can perform: segments `first` to `end` - 1."""

    name: str
    first: int
    end: int


class Program(Frozen):
    """The whole machine. The bytes of constant arguments and of constant memories are kept beside it, keyed by their names.

    Segment `i` of all nodes' programs is played ``rounds[i]`` times before segment ``i + 1``. A play ends when all nodes
    have ended theirs; then the next one starts, and all counts (`need`) with it from 0. Vector units and rows nodes may have
    steps of each round for a segment (`Step.only`), which differ in their numbers alone: multipliers, shifts, offsets,
    bounds, functions.

    A call plays the segments of one of the `entries`, which its argument `entry` chooses; without any there is one, of all
    segments.

    `positions`: a call has an argument `position` from 0 to this one, which says where in a state it stores its new rows and
    how many rows of it count; the last one is behind all rows of a state (0: there is no such argument).
    """

    schema_: str = Field(default=SCHEMA, alias="schema")
    name: str
    rounds: tuple[Annotated[int, Field(gt=0)], ...] = (1,)
    entries: tuple[Entry, ...] = ()
    positions: int = Field(default=0, ge=0)
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    arguments: tuple[Argument, ...]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def node(self, name: str) -> Node:
        """The node called `name` (KeyError if there is none)."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def constants(self) -> tuple[ConstantMemory, ...]:
        """The memories of constants."""
        return tuple(node for node in self.nodes if isinstance(node, ConstantMemory))

    @property
    def scalars(self) -> tuple[str, ...]:
        """The arguments of a call that are numbers, 64 bits each, behind the pointers."""
        return ("entry",) * bool(self.entries) + ("position",) * bool(self.positions)

    def call(self, entry: int, position: int) -> tuple[int, ...]:
        """The numbers of a call, in the order of `scalars`."""
        return tuple({"entry": entry, "position": position}[name] for name in self.scalars)

    @property
    def segments(self) -> range:
        """The numbers of all segments."""
        return range(len(self.rounds))

    @property
    def plays(self) -> Iterator[tuple[int, int]]:
        """(segment, round) of every play of all entries, in order."""
        return self.plays_of(None)

    def plays_of(self, entry: int | None) -> Iterator[tuple[int, int]]:
        """(segment, round) of every play of a call, in order; None: of all entries, one behind the other."""
        chosen = self.entries[entry] if self.entries and entry is not None else None
        segments = range(chosen.first, chosen.end) if chosen else self.segments
        return ((segment, round) for segment in segments for round in range(self.rounds[segment]))

    def inputs_of(self, node: str) -> dict[str, Link]:
        """Links into `node`, by port name."""
        return {port: link for link in self.links for owner, port in [link.dst.split(".")] if owner == node}

    def outputs_of(self, node: str) -> dict[str, Link]:
        """Links out of `node`, by port name."""
        return {port: link for link in self.links for owner, port in [link.src.split(".")] if owner == node}

    def to_json(self) -> str:
        """Canonical JSON text."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"

    @staticmethod
    def from_json(text: str) -> Program:
        """Parse and validate; pydantic's ValidationError on a malformed file."""
        return Program.model_validate_json(text)
