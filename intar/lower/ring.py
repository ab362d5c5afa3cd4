"""A core's weight buffer: weights that stay below, above them a ring of column tiles on their way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby, pairwise
from typing import Literal

from intar.ir.nodes.memories import Walk
from intar.lower.buffers import Memory, affine_runs


@dataclass(frozen=True)
class _Stream:
    """`tiles` column tiles of `k` beats through the ring, each read `repeat` times."""

    task: str
    tiles: int
    repeat: int
    k: int


@dataclass
class Whole:
    """All `k` beats of a task's weights through the ring together; `walks` over them, from their first beat on, which are
    added as they are read."""

    task: str
    k: int
    walks: list[Walk] = field(default_factory=list)
    tiles: int = field(default=1, init=False)


@dataclass(frozen=True)
class _Keep:
    """`beats` beats of a task's weights that stay from beat `base` on."""

    task: str
    base: int
    beats: int


@dataclass(frozen=True)
class _Again:
    """Column tiles that stay from beat `base` on, each read `repeat` times."""

    task: str
    base: int
    tiles: int
    repeat: int
    k: int


@dataclass(frozen=True)
class _Tile:
    """Beats `start` to `end` - 1 of the ring, which are free again with read count `reads`."""

    start: int
    end: int
    reads: int


@dataclass(frozen=True)
class _Piece:
    """`size` beats of a tile from `start` on, which may be written from read count `need` on."""

    start: int
    size: int
    need: int


@dataclass
class WeightMemory:
    """`kept` beats of resident weights, then a ring of `room` beats, two column tiles of the longest reduction.

    Tiles stand in the ring one behind the other, each as long as its reduction: so short ones are further ahead of the
    core than long ones. Those of one length begin at multiples of it. `finish` places all of them: where the length
    changes, it leaves beats empty before the tiles of one length rather than behind them, where long ones would wait.
    """

    memory: Memory
    room: int
    kept: int
    resident: dict[str, int] = field(default_factory=dict)
    bottom: int = 0
    work: list[_Stream | Whole | _Keep | _Again] = field(default_factory=list)

    def keep(self, task: str, beats: int) -> None:
        """Load a task's weights for good."""
        self.resident[task] = self.bottom
        self.work.append(_Keep(task, self.bottom, beats))
        self.bottom += beats

    def read_resident(self, task: str, first: int, tiles: int, repeat: int, k: int) -> None:
        """Column tiles `first`… of a resident task, each `repeat` times over."""
        self.work.append(_Again(task, self.resident[task] + first * k, tiles, repeat, k))

    def stream(self, task: str, tiles: int, repeat: int, k: int) -> None:
        """`tiles` column tiles through the ring, each read `repeat` times."""
        last = self.work[-1] if self.work else None
        if isinstance(last, _Stream) and (last.task, last.repeat, last.k) == (task, repeat, k):
            tiles += last.tiles
            self.work.pop()
        self.work.append(_Stream(task, tiles, repeat, k))

    def whole(self, task: str, beats: int) -> Whole:
        """All weights of a task through the ring together: to it their reads are added."""
        self.work.append(Whole(task, beats))
        return self.work[-1]  # type: ignore[return-value]

    def finish(self) -> None:
        """Give the memory its steps."""
        streams = [one for one in self.work if isinstance(one, _Stream | Whole)]
        groups = [list(same) for _, same in groupby(streams, key=lambda one: one.k)]
        begins = _begins([(same[0].k, sum(one.tiles for one in same)) for same in groups], self.room)
        starts = {id(same[0]): start for same, start in zip(groups, begins, strict=True)}
        ring = _Ring(self.room)
        self.memory.depth = self.kept + self.room
        for one in self.work:
            if isinstance(one, _Stream):
                ring.end = starts.get(id(one), ring.end)
                self._through(ring, one)
            elif isinstance(one, Whole):
                ring.end = starts.get(id(one), ring.end)
                self._together(ring, one)
            elif isinstance(one, _Keep):
                walk = Walk(base=one.base, counts=(1, 1, 1, 1, one.beats), strides=(0, 0, 0, 0, 1))
                self.memory.write(walk, 0, note=f"{one.task}: weights for the whole inference")
            else:
                counts = (1, one.tiles, 1, one.repeat, one.k)
                walk = Walk(base=one.base, counts=counts, strides=(0, one.k, 0, 0, 1))
                self.memory.fetch(walk, self.memory.written, note=f"{one.task}: resident weights")

    def _through(self, ring: _Ring, one: _Stream) -> None:
        note, before, done = f"{one.task}: weight tiles", self.memory.written, len(self.memory.order)
        places = [ring.place(one.k, self.memory.read + n + 1) for n in range(one.tiles)]
        pieces = [piece for place in places for piece in place]
        for size, same in groupby(pieces, key=lambda piece: piece.size):
            alike = list(same)
            for first, count, need, step in affine_runs([piece.need for piece in alike]):
                starts = [piece.start for piece in alike[first : first + count]]
                for skipped, walk in self._walks(starts, 1, size):
                    self.memory.write(walk, need + skipped * step, step, note=note)
        ready = [before + count for count in accumulate(len(place) for place in places)]
        for first, count, need, step in affine_runs(ready):
            starts = [place[0].start for place in places[first : first + count]]
            for skipped, walk in self._walks(starts, one.repeat, one.k):
                self.memory.fetch(walk, need + skipped * step, step, note=note)
        self.memory.order[done:] = _tile_by_tile(len(place) for place in places)

    def _together(self, ring: _Ring, one: Whole) -> None:
        note = f"{one.task}: weights"
        place = ring.place(one.k, self.memory.read + sum(walk.counts[0] for walk in one.walks))
        for piece in place:
            walk = Walk(
                base=self.kept + piece.start, counts=(1, 1, 1, 1, piece.size), strides=(0, 0, 0, 0, 1)
            )
            self.memory.write(walk, piece.need, note=note)
        for walk in one.walks:
            there = walk.model_copy(update={"base": self.kept + place[0].start + walk.base})
            self.memory.fetch(there, self.memory.written, note=one.task)

    def _walks(self, starts: Sequence[int], repeat: int, k: int) -> Iterator[tuple[int, Walk]]:
        """Walks over `k` beats at each start, and how many before each: as far as they are neighbours, from the start of the
        ring on lap after lap."""
        first = 0
        while first < len(starts):
            base, count, lap = starts[first], 1, 0
            for start in starts[first + 1 :]:
                if start == base == 0 and not lap:
                    lap = count * k
                if start != base + (count * k % lap if lap else count * k):
                    break
                count += 1
            counts, strides = (count, 1, 1, repeat, k), (k, 0, 0, 0, 1)
            yield first, Walk(base=self.kept + base, wrap=lap, counts=counts, strides=strides)
            first += count


def _tile_by_tile(pieces: Iterable[int]) -> Iterator[tuple[Literal["w", "r"], int]]:
    """Each tile, in so many pieces, is read before the next one is written."""
    for count in pieces:
        yield "w", count
        yield "r", 1


@dataclass
class _Ring:
    """The tiles that were written last in each place of a ring, the oldest first; the next one begins at `end`, and what
    was written last needed `need` reads."""

    room: int
    end: int = 0
    need: int = 0
    tiles: list[_Tile] = field(default_factory=list)

    def place(self, k: int, reads: int) -> list[_Piece]:
        """Where the next tile goes: in pieces, each where another one was."""
        start = self.end if self.end + k <= self.room else 0
        self.end = start + k
        over = [n for n, tile in enumerate(self.tiles) if tile.start < self.end and start < tile.end]
        old = [self.tiles[n] for n in over]
        cuts = sorted({start, *(tile.start for tile in old if tile.start > start)})
        pieces = []
        for first, end in pairwise([*cuts, self.end]):
            self.need = max([self.need, *(t.reads for t in old if t.start < end and first < t.end)])
            pieces.append(_Piece(first, end - first, self.need))
        self.tiles = [*self.tiles[over[-1] + 1 if over else 0 :], _Tile(start, self.end, reads)]
        return pieces


def _begins(groups: Sequence[tuple[int, int]], room: int) -> list[int]:
    """Where the tiles of each group (length, number) begin: the last ones at 0, others so that they end just before the
    next ones."""
    found: list[int] = []
    for k, tiles in reversed(groups):
        found.append((found[-1] - tiles * k) // k * k % (room // k * k) if found else 0)
    return found[::-1]
