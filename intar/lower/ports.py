"""The kernel's ports: network inputs and outputs as row tiles, constants as images in the order of consumption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

import numpy as np

from intar.ir.bits import INDEX_BITS
from intar.ir.nodes.movers import ArgmaxStep
from intar.ir.nodes.ports import Load, LoadStep, Store, StoreStep
from intar.ir.program import Argument, Node, Region
from intar.lower.buffers import TensorMemory, row_blocks
from intar.lower.images import beats_to_bytes, pad_to_word
from intar.lower.kept import kept_region
from intar.lower.netlist import Flow, FlowLeg, Netlist
from intar.lower.site import Place, Site
from intar.lower.tensors import Tensors
from intar.lower.visits import Visit

BURST_WORDS = 64
"""A load port's bursts end at multiples of so many words (`docs/program.md`)."""

Role = Literal["input", "output", "constant", "state", "scratch"]


def _role(port: str) -> Role:
    """What goes through a port, by its name."""
    roles: dict[str, Role] = {"x": "input", "i": "input", "y": "output", "n": "output", "s": "state"}
    return roles.get(port[0], "constant")


def rewritten(port: str) -> str:
    """The store whose argument a load port reads, through the other half of its AXI master; empty where it has its own."""
    return "y" if port == "r" else f"s{port[2:]}" if port.startswith("sr") else ""


def row_pitch(words: int) -> int:
    """Words from row to row of a table with so many in each: no row crosses a burst's block that it need not, so that the
    time that a lookup takes does not depend on the id."""
    return 1 << (words - 1).bit_length() if words < BURST_WORDS else -(-words // BURST_WORDS) * BURST_WORDS


@dataclass
class Port:
    """A load or store port: steps and, for constants, the image so far."""

    name: str
    port_bits: int
    steps: list = field(default_factory=list)
    image: bytearray = field(default_factory=bytearray)
    words: int = 0
    regions: list[Region] = field(default_factory=list)
    spills: list[Region] = field(default_factory=list)
    turns: list[Literal["w", "r"]] = field(default_factory=list)
    strides: tuple[int, ...] = ()
    row: int = 0

    def constants(self, beats: np.ndarray, bits: int, note: str) -> None:
        """Append constant beats (n, lanes) to the image, and a step that loads them."""
        base = len(self.image) * 8 // self.port_bits
        self.image += pad_to_word(beats_to_bytes(beats, bits), self.port_bits)
        self.steps.append(LoadStep(base=base, beats=len(beats), note=note))

    def repeat(self, beats: int, note: str) -> bool:
        """Load again what a step of this note and length loaded; False if there is none."""
        for step in self.steps:
            if step.note == note and step.beats == beats:
                self.steps.append(step)
                return True
        return False

    @property
    def size(self) -> int:
        """Words of the argument."""
        return self.words or len(self.image) * 8 // self.port_bits


class Ports:
    """Every port, in order of first use: ``x`` (``x1``, …) inputs, ``y`` (``y1``, …) outputs, ``p`` parameters and tables,
    ``w0``… weights; ``i`` ids, ``e`` the rows of tables that they choose; ``n`` indices of largest elements.

    Spilled tensors lie in the argument of ``y``, beside the outputs, and come back through the other half of its AXI
    master: ``r``. What the network keeps from call to call lies in that of ``s``; ``sr`` reads it.
    """

    def __init__(self, site: Site, net: Netlist, tensors: Tensors):
        self.site, self.net, self.tensors = site, net, tensors
        self.ports: dict[str, Port] = {}
        self.stored: dict[str, list[tuple[int, int]]] = {}
        self.tables: dict[str, int] = {}
        self.argmaxes: list[ArgmaxStep] = []

    def port(self, name: str) -> Port:
        """The port of that name, made on first use."""
        if name not in self.ports:
            reserved = self.site.common.reserved if name == "y" else 0
            self.ports[name] = Port(name, self.site.machine.port_bits, words=reserved)
        return self.ports[name]

    def load_inputs(self, visit: Visit) -> None:
        """Bring what a visit reads from off chip: its rows, or the whole before the first of them."""
        for name in dict.fromkeys(visit.task.inputs):
            if self.tensors.arrives(name, visit.stage):
                memory = self.tensors.copies(name, visit.stage)[0]
                whole = memory.slots == 1
                row, rows = (0, memory.rows) if whole else (visit.row, visit.rows)
                if memory.loaded < row + rows:
                    self._load(name, visit.stage, row, rows)
                    memory.loaded = row + rows

    def store_outputs(self, visit: Visit) -> None:
        """Store what a visit completed of an output or a spilled tensor: its rows, or the whole after the last of them."""
        name = visit.task.output
        if name not in self.site.graph.outputs and name not in self.tensors.spilled:
            return
        if name in self.tensors.streamed:
            self._index(name, 0, 1)
            return
        memory = self.tensors.plain(name, visit.stage)
        if memory.slots > 1:
            self._store(name, memory, visit.row, visit.rows, visit)
        elif visit.row + visit.rows == memory.rows:
            self._store(name, memory, 0, memory.rows, visit)

    def _region(self, port: Port, name: str, first: int = 0, step: int = 1) -> Region:
        for region in (*port.regions, *port.spills):
            if region.name == name:
                return region
        site, state = self.site, self.site.common.states.get(name)
        if name in site.indices:
            return self._index_region(port, name)
        shape = site.tensors[name]
        region = Region(
            name=name,
            base=state.base if state else port.words,
            rows=shape.rows,
            cols=shape.cols,
            row_beats=site.pitch(name),
            lanes=site.machine.lanes,
            bits=site.a_bits,
            first=first,
            step=step,
        )
        outside = name in self.site.graph.inputs or name in self.site.graph.outputs
        outside = outside and not state and name not in self.site.kept
        (port.regions if outside else port.spills).append(region)
        if not state:
            port.words += site.words(region.beats, region.bits)
        return region

    def _index_region(self, port: Port, name: str) -> Region:
        """Ids and indices: one a beat, densely."""
        shape = self.site.indices[name]
        form = {"rows": shape.rows, "cols": shape.cols, "row_beats": shape.cols}
        region = Region(name=name, base=port.words, lanes=1, bits=INDEX_BITS, **form)
        port.regions.append(region)
        port.words += -(-region.beats * INDEX_BITS // port.port_bits)
        return region

    def _look_up(self, name: str, row: int, rows: int, sinks: tuple[str, ...], note: str) -> None:
        """Rows of an embedding's output: their ids come first, and choose rows of its table."""
        task, ids, table = self.site.lookups[name], self.port("i"), self.port("e")
        region = self._region(ids, task.inputs[0])
        base = region.base + row * INDEX_BITS // ids.port_bits
        ids.steps.append(LoadStep(base=base, beats=rows, note=f"ids of {note}"))
        self.net.move("i.out", ["e.ids"], rows, note=note)
        beats = self.site.pitch(name)
        pitch = row_pitch(self.site.words(beats, self.site.a_bits))
        step = {"base": self._table(table, name, pitch), "table": len(self.site.constants[task.weight])}
        table.steps.append(LoadStep(**step, pitch=pitch, beats=beats, repeat=rows, note=note))
        self.net.move("e.out", sinks, rows * beats, note=name)

    def _table(self, port: Port, name: str, pitch: int) -> int:
        """First word of a table in the constants, whose rows are `pitch` words apart; it begins and ends a burst's block."""
        weight = self.site.lookups[name].weight
        if weight not in self.tables:
            self.tables[weight] = port.size
            values, bits = self.site.constants[weight], self.site.a_bits
            width = pitch * port.port_bits // bits
            data = beats_to_bytes(np.pad(values, ((0, 0), (0, width - values.shape[1]))), bits)
            port.image += pad_to_word(data, port.port_bits * BURST_WORDS)
        return self.tables[weight]

    def _runs(self, region: Region, row: int, rows: int) -> Iterator[tuple[int, int, int]]:
        """(first word, beats, `swap`) of each run in which rows of a spilled tensor, a state or an output lie."""
        state = self.site.common.states.get(region.name, Place(region.base))
        if state.pitch:
            for number in range(row, row + rows):
                yield state.base + number * state.pitch, region.row_beats, state.swap
        else:
            skipped = self.site.words(row * region.row_beats, region.bits)
            yield region.base + skipped, rows * region.row_beats, state.swap

    def _shared(self, kind: str, ports: int, name: str) -> list[tuple[Port, Region]]:
        """The ports that a tensor goes through, beat by beat in turn, and where it lies in their arguments."""
        ports = min(ports, self.site.tensors[name].rows * self.site.pitch(name))
        shares = [self.port(f"{kind}{number or ''}") for number in range(ports)]
        return [(port, self._region(port, name, first, ports)) for first, port in enumerate(shares)]

    def _dealt(self, name: str) -> bool:
        """An input goes through all ports for inputs: it comes as a whole, or in row tiles that are equally many whole words
        for each."""
        site, tensor = self.site, self.site.tensors[name]
        heights = {
            height
            for tile in self.tensors.tile_heights(name)
            for height in (tile, tensor.rows % tile)
            if height
        }
        beats = [divmod(height * site.pitch(name), site.machine.inputs) for height in heights]
        word, beat = site.machine.port_bits, site.machine.lanes * site.a_bits
        return not any(rest or share * beat % word for share, rest in beats)

    def _load(self, name: str, stage: int, row: int, rows: int) -> None:
        """Bring rows of a network input or a spilled tensor into all its copies."""
        memories = self.tensors.copies(name, stage)
        sinks = tuple(memory.port("in") for memory in memories)
        note = f"{name}: rows {row}..{row + rows - 1}"
        outside = name in self.site.graph.inputs and name not in self.site.common.states
        if name in self.site.lookups:
            self._look_up(name, row, rows, sinks, note)
        elif name in self.site.kept and name not in self.tensors.spilled:
            for end, count in self.keep(name, "sr", row, rows, self.site.pitch(name), note):
                self.net.move(f"{end}.out", sinks, count, note=name)
        elif outside and self._dealt(name):
            shares = self._shared("x", self.site.machine.inputs, name)
            skipped, share = (count * self.site.pitch(name) // len(shares) for count in (row, rows))
            for port, region in shares:
                base = region.base + self.site.words(skipped, region.bits)
                beats = region.beats if rows == region.rows else share
                port.steps.append(LoadStep(base=base, beats=beats, note=note))
            legs = tuple(FlowLeg(f"{port.name}.out", sinks) for port, _ in shares)
            self._take_turns(legs, rows * self.site.pitch(name), name)
        else:
            port = self.port("x" if outside else "r")
            owner = port if port.name == "x" else self.port("y")
            region = self._region(owner, name)
            need = max((done for first, done in self.stored.get(name, []) if first < row + rows), default=0)
            for base, beats, swap in self._runs(region, row, rows):
                port.steps.append(LoadStep(base=base, beats=beats, need=need, swap=swap, note=note))
                if owner is not port:
                    owner.turns.append("r")
            self.net.move(f"{port.name}.out", sinks, rows * region.row_beats, note=name)
        note = f"{name}: from off chip"
        for memory in memories:
            if name in self.tensors.images:
                for number in range(row, row + rows):
                    memory.write_columns(number, 1, note)
            else:
                size = self.site.machine.rows
                memory.write(row, row_blocks(rows, size, memory.pitch), note, rows, size)

    def _store(self, name: str, memory: TensorMemory, row: int, rows: int, visit: Visit) -> None:
        """Store rows, the last of which a visit has made; those that it has made by itself leave as they come."""
        beats = rows * memory.pitch
        note = f"{name}: rows {row}..{row + rows - 1}"
        picked = ("argmax.in",) if name in self.site.argmaxes else ()
        if picked:
            self._index(name, row, rows)
        if picked and name not in self.site.stored and name not in self.tensors.spilled:
            self.net.move(memory.port("out"), picked, beats, note=name)
        elif name in self.site.kept:
            # New rows of a state stand at the position of the call, where no load finds them: spilled ones are stored twice.
            again = [self._spill(name, row, rows, note)] if name in self.tensors.spilled else []
            for end, count in self.keep(name, "s", row, rows, memory.pitch, note):
                self.net.move(memory.port("out"), [f"{end}.in", *picked, *again], count, note=name)
        elif memory.slots == 1 and name not in self.tensors.spilled and name not in self.site.common.states:
            shares = self._shared("y", self.site.machine.outputs, name)
            for port, region in shares:
                port.steps.append(StoreStep(base=region.base, beats=region.beats, note=note))
                port.turns.append("w")
            legs = tuple(FlowLeg(memory.port("out"), (f"{port.name}.in", *picked)) for port, _ in shares)
            self._take_turns(legs, beats, name)
        else:
            entrance = self._spill(name, row, rows, note)
            self.net.move(memory.port("out"), [entrance, *picked], beats, note=name)
        note = f"{name}: to off chip"
        if memory.columns:
            for number in range(row, row + rows):
                memory.fetch_row(number, note)
        else:
            spans = memory.spans(row, rows) if visit.row == row else []
            for first, count, size in spans or [(row, rows, self.site.machine.rows)]:
                memory.fetch(first, row_blocks(count, size, memory.pitch), note, rows=count, height=size)

    def _spill(self, name: str, row: int, rows: int, note: str) -> str:
        """Commands for rows that loads may bring back, or of a tiled output; the input of the port that stores them."""
        port = self.port("y")
        region = self._region(port, name)
        for base, count, swap in self._runs(region, row, rows):
            port.steps.append(StoreStep(base=base, beats=count, swap=swap, note=note))
            port.turns.append("w")
        self.stored.setdefault(name, []).append((row, len(port.steps)))
        return f"{port.name}.in"

    def keep(
        self, name: str, end: str, row: int, rows: int, pitch: int, note: str
    ) -> Iterator[tuple[str, int]]:
        """Commands for rows, of `pitch` beats, of a state (``sr``), or for new ones (``s``): (port, beats) of each.

        Reads wait for no write: rows that a call stores stand at its position or behind, where what it reads does not count.
        """
        kept = self.site.kept[name]
        for number, base, count in kept.runs(name, row, rows):
            owner, port = self.port(f"s{number or ''}"), self.port(f"{end}{number or ''}")
            if not any(region.name == kept.state.name for region in owner.regions):
                owner.regions.append(kept_region(kept, self.site.machine.lanes, number))
                owner.words = max(owner.words, kept.base + kept.rows * kept.words)
                owner.row = kept.position_words
            step = StoreStep if end == "s" else LoadStep
            port.steps.append(step(base=base, beats=count * pitch, note=note))
            owner.turns.append("w" if end == "s" else "r")
            yield port.name, count * pitch

    def _index(self, name: str, row: int, rows: int) -> None:
        """The indices of the largest elements of rows that go to the argmax node."""
        port, task = self.port("n"), self.site.argmaxes[name]
        region = self._region(port, task.output)
        note = f"{task.output}: rows {row}..{row + rows - 1}"
        base = region.base + row * INDEX_BITS // port.port_bits
        port.steps.append(StoreStep(base=base, beats=rows, note=note))
        self.argmaxes.append(ArgmaxStep(rows=rows, cols=self.site.tensors[name].cols, note=note))
        self.net.move("argmax.out", ["n.in"], rows, note=note)

    def _take_turns(self, legs: tuple[FlowLeg, ...], beats: int, note: str) -> None:
        """A beat from each leg in turn."""
        rounds, rest = divmod(beats, len(legs))
        self.net.flow(Flow(legs, rounds, 1, note=note))
        if rest:
            self.net.flow(Flow(legs[:rest], 1, 1, note=note))


def port_nodes(ports: Mapping[str, Port]) -> list[Node]:
    """A load or store node for each port."""
    return [
        _store_node(port, ports)
        if _role(name) in ("output", "state") and not rewritten(name)
        else _load_node(port, ports)
        for name, port in ports.items()
    ]


def _load_node(port: Port, ports: Mapping[str, Port]) -> Load:
    owner = ports[rewritten(port.name) or port.name]
    return Load(
        name=port.name,
        port_bits=port.port_bits,
        argument=owner.name,
        words=owner.size,
        after="" if owner is port else owner.name,
        strides=port.strides,
        steps=tuple(port.steps),
    )


def _store_node(port: Port, ports: Mapping[str, Port]) -> Store:
    shared = any(rewritten(name) == port.name for name in ports)
    turns = [(side, len(list(run))) for side, run in groupby(port.turns)] if shared else []
    return Store(
        name=port.name,
        port_bits=port.port_bits,
        argument=port.name,
        words=port.size,
        strides=port.strides,
        row=port.row,
        steps=tuple(port.steps),
        turns=tuple(turns),
    )


def port_arguments(ports: Mapping[str, Port]) -> tuple[list[Argument], dict[str, bytes]]:
    """The kernel's arguments, and the bytes of the constant ones."""
    arguments, images = [], {}
    for name, port in ports.items():
        if rewritten(name):
            continue
        role = _role(name)
        arguments.append(
            Argument(
                name=name,
                role=role,
                port_bits=port.port_bits,
                words=port.size,
                fields=tuple(port.regions),
            )
        )
        if role == "constant":
            images[name] = bytes(port.image)
    return arguments, images
