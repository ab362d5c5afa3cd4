"""Buffers under construction: tensor buffers, weight rings and parameter memories, with their step ordering.

Each side of a buffer posts one count per outermost iteration (`docs/program.md`); the classes here keep both counts in
program order and turn "this data must be there" and "this room must be free" into absolute `need` counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

import numpy as np

from intar.ir.nodes.memories import Buffer, BufferStep, ConstantMemory, ReadStep, Walk
from intar.lower.images import beats_to_bytes
from intar.lower.moves import WHOLE, fit_walks

PORTIONS = 8
"""Portions of a single row. With more of them readers are closer behind writers in the RTL, by a beat or two; in C++ every
one costs the latency of a loop."""


@dataclass
class Memory:
    """One memory: its two programs so far, and the order in which the iterations of both were appended; or what it holds
    from the start (`hold`), and its reads."""

    name: str
    lanes: int
    bits: int
    depth: int = 0
    writes: list[BufferStep] = field(default_factory=list)
    reads: list[BufferStep] = field(default_factory=list)
    written: int = 0
    read: int = 0
    order: list[tuple[Literal["w", "r"], int]] = field(default_factory=list)
    contents: dict[bytes, tuple[int, np.ndarray]] = field(default_factory=dict)

    def hold(self, beats: np.ndarray) -> int:
        """Have beats (n, lanes) there from the start, once however often they are asked for; returns where the first one
        lies. A memory that holds some is never written."""
        beats = beats.astype(np.int64)  # equal bytes are then equal beats, however wide their types were
        base, _ = self.contents.setdefault(beats.tobytes(), (self.depth, beats))
        if base == self.depth:
            self.depth += len(beats)
        return base

    def write(self, walk: Walk, need: int, need_step: int = 0, note: str = "") -> None:
        """Append a write step."""
        self.writes.append(BufferStep(walk=walk, need=need, need_step=need_step, note=note))
        self.written += walk.counts[0]
        self.order.append(("w", walk.counts[0]))

    def fetch(
        self, walk: Walk, need: int, need_step: int = 0, elements: bool = False, note: str = ""
    ) -> None:
        """Append a read step."""
        self.reads.append(BufferStep(walk=walk, need=need, need_step=need_step, elements=elements, note=note))
        self.read += walk.counts[0]
        self.order.append(("r", walk.counts[0]))

    @property
    def image(self) -> bytes:
        """What it holds from the start."""
        return beats_to_bytes(np.concatenate([beats for _, beats in self.contents.values()]), self.bits)

    def node(self) -> Buffer | ConstantMemory:
        """The node with what was appended so far."""
        if self.contents:
            reads = tuple(ReadStep(walk=step.walk, note=step.note) for step in self.reads)
            return ConstantMemory(
                name=self.name, depth=self.depth, lanes=self.lanes, bits=self.bits, reads=reads
            )
        return Buffer(
            name=self.name,
            depth=self.depth,
            lanes=self.lanes,
            bits=self.bits,
            writes=tuple(self.writes),
            reads=tuple(self.reads),
            merged=tuple(self.order),
        )


@dataclass(frozen=True)
class Blocks:
    """`rows` rows from `row` on are completed `height` at a time, each time with a write count after `before`."""

    row: int
    rows: int
    height: int
    before: int

    def need(self, row: int, rows: int, height: int) -> tuple[int, int] | None:
        """Write count from which on the first `height` of some rows are there, and growth from each `height` to the next;
        None if that is not known."""
        skipped, rest = divmod(row - self.row, self.height)
        within = self.row <= row and row + rows <= self.row + self.rows
        if within and rest + rows <= self.height:
            return self.before + skipped + 1, 0
        if not within or rest or height % self.height or (height > self.height and rows % height):
            return None
        step = height // self.height
        return self.before + skipped + step, step


@dataclass(frozen=True)
class Rounds:
    """`across` beats of each of `rows` rows from `row` on, the first of them beat `first`, are completed with every write
    count after `before`, `count` times, each time `across` beats further on."""

    row: int
    rows: int
    first: int
    across: int
    count: int
    before: int


def row_blocks(rows: int, size: int, pitch: int, base: int = 0) -> Walk:
    """Whole rows of `pitch` beats in order from beat `base` on, `size` rows an iteration of the outermost loop."""
    count = -(-rows // size)
    return Walk(
        base=base,
        counts=(count, 1, 1, 1, min(size, rows) * pitch),
        strides=(size * pitch, 0, 0, 0, 1),
        ragged=0,
        last=(rows - (count - 1) * size) * pitch,
    )


def affine_runs(needs: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
    """(first, count, need of the first, growth) of the stretches in which `needs` grow evenly."""
    first = 0
    while first < len(needs):
        last = first
        step = needs[first + 1] - needs[first] if first + 1 < len(needs) else 0
        while last + 1 < len(needs) and needs[last + 1] - needs[last] == step:
            last += 1
        yield first, last - first + 1, needs[first], step
        first = last + 1


@dataclass
class TensorMemory:
    """A copy of a tensor on chip: whole (`slots` 1) or as a ring of row tiles (`slots` 2).

    It begins at the start of its memory, when those that used it before have been read for the last time (`start` reads).
    `tile_rows` rows of `pitch` beats a slot. `ready[t]` is the write count after which tile `t` is complete,
    `drained[t]` the read count after which it is no longer needed. `loaded` rows have come from off chip.
    Where rows are written column by column (of beats), `columns[r][c]` is the write count from which on beat ``c`` of row
    ``r`` is there. `awaited` is the highest write count that a read in windows has waited for. It is read from beat `offset`
    of its place in the memory on.
    A tensor of a single row (of several beats) is written and read in `PORTIONS` portions: `beats` has the write count from
    which on each beat is there.
    """

    memory: Memory
    rows: int
    pitch: int
    tile_rows: int
    slots: int
    ready: dict[int, int] = field(default_factory=dict)
    drained: dict[int, int] = field(default_factory=dict)
    start: int = -1
    loaded: int = 0
    blocks: dict[int, list[Blocks]] = field(default_factory=dict)
    columns: dict[int, list[int]] = field(default_factory=dict)
    rounds: list[Rounds] = field(default_factory=list)
    portions: list[tuple[Walk, int]] = field(default_factory=list)
    awaited: int = 0
    offset: int = 0
    beats: dict[int, int] = field(default_factory=dict)
    _complete: list[int] | None = None

    @property
    def depth(self) -> int:
        """Beats that it takes."""
        return self.pitch * min(self.rows, self.slots * self.tile_rows)

    @property
    def by_beats(self) -> bool:
        """A row by itself: whoever reads it follows who writes it."""
        return self.rows == 1 and self.slots == 1 and self.pitch > 1

    @property
    def portion(self) -> int:
        """Beats of a row that are written, or read, with one count."""
        return -(-self.pitch // PORTIONS)

    def port(self, side: str) -> str:
        """Name of its ``in`` or ``out`` port."""
        return f"{self.memory.name}.{side}"

    def base(self, row: int) -> int:
        """Beat address of a row."""
        if self.slots == 1:
            return self.offset + row * self.pitch
        tile, inside = divmod(row, self.tile_rows)
        return ((tile % self.slots) * self.tile_rows + inside) * self.pitch

    def _tile(self, row: int) -> int:
        return row // self.tile_rows if self.slots > 1 else 0

    def write(
        self, row: int, walk: Walk, note: str, rows: int = 0, height: int = 0, whole: bool = False
    ) -> None:
        """Write (part of) the rows from `row` on; `walk` is relative to that row (its iterations stay if `whole`).

        With `height` each iteration of its outermost loop completes so many of the `rows` rows, and a reader that takes
        as many, or a multiple, can follow it.
        """
        tile = self._tile(row)
        if self.start < 0:
            self.start = self.memory.read
        need = max(self.start, self.drained.get(tile - self.slots, 0) if self.slots > 1 else 0)
        if self.by_beats and not whole and (count := _run(walk)) == walk.beats:
            size = self.portion
            self.beats |= {walk.base + beat: self.memory.written + beat // size + 1 for beat in range(count)}
            walk = row_blocks(count, size, 1, walk.base)
        elif height:
            self.blocks.setdefault(tile, []).append(Blocks(row, rows, height, self.memory.written))
        self.memory.write(walk.model_copy(update={"base": walk.base + self.base(row)}), need, note=note)
        self.ready[tile] = self.memory.written

    def write_rounds(self, row: int, rows: int, walk: Walk, first: int, across: int, note: str) -> None:
        """Write rows as `walk` says, whose second loop goes over rounds of `across` beats of each row, the first one beat
        `first`: a reader of a few columns can follow."""
        if self.by_beats:
            return self.write(row, walk, note)
        _, count, *inner = walk.counts
        _, stride, *strides = walk.strides
        self.rounds.append(Rounds(row, rows, first, across, count, self.memory.written))
        outer = {"counts": (count, 1, *inner), "strides": (stride, 0, *strides)}
        self.write(row, walk.model_copy(update=outer), note)

    @property
    def counts(self) -> np.ndarray:
        """(rows, pitch) of a tensor that is there as a whole: the write counts from which on its beats are there."""
        found = np.full((self.rows, self.pitch), self.ready[0])
        if self.beats:
            found[0, list(self.beats)] = list(self.beats.values())
        for done in self.rounds:
            rows = found[done.row : done.row + done.rows]
            for number in range(done.count):
                start = done.first + number * done.across
                rows[:, start : start + done.across] = done.before + number + 1
        for row, columns in self.columns.items():
            found[row] = np.where(columns, columns, found[row])
        for blocks in self.blocks.get(0, ()):
            counts = blocks.before + 1 + np.arange(blocks.rows) // blocks.height
            rows = found[blocks.row : blocks.row + blocks.rows]
            np.minimum(rows, counts[:, None], out=rows)
        return found

    def write_columns(self, row: int, rows: int, note: str, first: int = 0, count: int = 0) -> None:
        """Write `rows` rows from `row` on column by column: of each row one beat, then the next column.

        `count` columns from `first` on; 0: all.
        """
        before, count = self.memory.written, count or self.pitch
        walk = Walk(base=first, counts=(count, 1, 1, 1, rows), strides=(1, 0, 0, 0, self.pitch))
        self.write(row, walk, note, whole=True)
        for number in range(row, row + rows):
            counts = self.columns.setdefault(number, [0] * self.pitch)
            counts[first : first + count] = range(before + 1, before + count + 1)
        self._complete = None

    def write_beats(self, walk: Walk, note: str) -> None:
        """Write beats, addresses from the tensor's first one on; those of several rows have one count, in `columns`."""
        self.write(0, walk, note)
        if self.by_beats:
            return
        for address in walk.addresses():
            row, column = divmod(address, self.pitch)
            self.columns.setdefault(row, [0] * self.pitch)[column] = self.memory.written
        self._complete = None

    @property
    def complete(self) -> list[int] | None:
        """The write counts from which on each column and those before it are there in all rows; None if not known."""
        if len(self.columns) < self.rows:
            return None
        if self._complete is None:
            counts = [max(column) for column in zip(*self.columns.values(), strict=True)]
            self._complete = list(accumulate(counts, max))
        return self._complete

    def fetch_columns(self, note: str) -> None:
        """Read all rows column by column, each column as soon as it is there."""
        needs = self.complete or [self.ready[0]] * self.pitch
        for first, count, need, step in affine_runs(needs):
            start = self.base(0) + first
            walk = Walk(base=start, counts=(count, 1, 1, 1, self.rows), strides=(1, 0, 0, 0, self.pitch))
            self.memory.fetch(walk, need, step, note=note)
        self.drained[0] = self.memory.read

    def fetch_row(self, row: int, note: str) -> None:
        """Read one row, each beat as soon as it is there."""
        needs = self.columns.get(row, [self.ready[0]] * self.pitch)
        for first, count, need, step in affine_runs(needs):
            walk = Walk(base=self.base(row) + first, counts=(count, 1, 1, 1, 1), strides=(1, 0, 0, 0, 0))
            self.memory.fetch(walk, need, step, note=note)
        self.drained[0] = self.memory.read

    def write_portions(self, walk: Walk, note: str) -> None:
        """Write some column blocks of all rows with every outermost iteration, for a reader that follows."""
        self.portions.append((walk, self.memory.written))
        self.write(0, walk, note, whole=True)

    def follow(self, note: str) -> None:
        """Read all column blocks in the order and the portions in which they were written, each as soon as it is there."""
        for walk, before in self.portions:
            self.memory.fetch(
                walk.model_copy(update={"base": walk.base + self.base(0)}), before + 1, 1, note=note
            )
        self.drained[0] = self.memory.read

    def in_blocks(self, row: int, rows: int, height: int) -> bool:
        """A reader that takes some rows `height` at a time can follow, and has the first of them before all of the tile."""
        need = self._need(row, rows, height)
        return need is not None and (rows > height or need[0] < self.ready[self._tile(row)])

    def _need(self, row: int, rows: int, height: int) -> tuple[int, int] | None:
        needs = (blocks.need(row, rows, height) for blocks in self.blocks.get(self._tile(row), ()))
        return next((need for need in needs if need), None)

    def spans(self, row: int, rows: int) -> list[tuple[int, int, int]]:
        """(row, rows, height) of the writes that complete exactly these rows; empty if it was done otherwise."""
        found, end = [], row
        for blocks in self.blocks.get(self._tile(row), ()):
            if blocks.row == end:
                found.append((blocks.row, blocks.rows, blocks.height))
                end += blocks.rows
        return found if end == row + rows else []

    def finish(self, row: int, rows: int) -> None:
        """Some rows are there with all that has been written so far."""
        done = Blocks(row, rows, rows, self.memory.written - 1)
        self.blocks.setdefault(self._tile(row), []).append(done)

    def fetch_beats(self, walk: Walk, need: int, note: str) -> None:
        """Read beats of the tensor, addresses from its first one on, which are there from a write count on."""
        self.memory.fetch(walk.model_copy(update={"base": walk.base + self.base(0)}), need, note=note)
        self.drained[0] = self.memory.read

    def fetch(
        self,
        row: int,
        walk: Walk,
        note: str,
        elements: bool = False,
        rows: int = 0,
        height: int = 0,
        ahead: int = 0,
    ) -> None:
        """Read rows from `row` on; `walk` is relative to that row (in elements if `elements`).

        With `height` each iteration of its outermost loop takes so many of `rows` rows, and waits for these only where they
        are known to be completed so; otherwise all wait for the whole. `ahead`: it also takes as many so many rows further
        down, and waits for those.
        """
        tile = self._tile(row)
        if not elements and len(self.beats) == self.pitch and self._follow_beats(walk, note):
            return
        scale = self.memory.lanes if elements else 1
        moved = walk.model_copy(update={"base": walk.base + self.base(row) * scale})
        follows = self._need(row + ahead, rows, height) if height else None
        need, step = follows or (self.ready[tile], 0)
        self.memory.fetch(moved, need, step, elements=elements, note=note)
        self.drained[tile] = self.memory.read

    def _follow_beats(self, walk: Walk, note: str) -> bool:
        """Read a row as `walk` says, the first time each beat as soon as it is there; False if it is not read in order."""
        count = _run(walk)
        if count < 2:
            return False
        addresses = np.fromiter(walk.addresses(), dtype=np.int64)
        size, first = self.portion, self.base(0) + walk.base
        needs = list(accumulate((self.beats[beat] for beat in addresses[:count].tolist()), max))
        last = [needs[min(start + size, count) - 1] for start in range(0, count, size)]
        for portion, portions, need, step in affine_runs(last):
            start, end = portion * size, min((portion + portions) * size, count)
            self.memory.fetch(row_blocks(end - start, size, 1, first + start), need, step, note=note)
        if count < len(addresses):
            need = max(self.beats[beat] for beat in addresses.tolist())
            for again in fit_walks(self.base(0) + addresses[count:], WHOLE):
                self.memory.fetch(again, need, note=note)
        self.drained[0] = self.memory.read
        return True


def _run(walk: Walk) -> int:
    """How many addresses at the start of a walk follow each other."""
    count = 0
    for address in walk.addresses():
        if address != walk.base + count:
            break
        count += 1
    return count
