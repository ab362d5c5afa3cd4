"""Tiles of pixels: `lanes` places of a flat image that are made at once, and what they read of another image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from intar.ir.kernels import comes_in_blocks
from intar.ir.parameters import parameter_bytes
from intar.ir.quantgraph import QConv, QPool, Tap
from intar.ir.schedule import Machine

STEP_PAYS = 8
"""Cycles that a step of a program has to save at least where steps are made for tiles with fewer taps."""

Rows = tuple[tuple[int, int], ...]
"""Of each tap of a group how many rows down it reads, and whether its channel is a row short."""

SHARE = 64
"""Parameters for such tiles take at most one part in so many of the on-chip memory, for each task."""


def last_read(task: QConv | QPool, taps: Sequence[Tap], tile: int, lanes: int) -> int:
    """The last element of a channel that a tile reads, as the channel lies in memory; negative where it reads none."""
    return last_reads(task, taps, range(tile, tile + 1), lanes)[0]


def last_reads(task: QConv | QPool, taps: Sequence[Tap], tiles: range, lanes: int) -> list[int]:
    """The same of several tiles."""
    furthest = max(tap.dy * task.in_pitch + tap.dx for tap in taps)
    places = _last_places(task.height, task.pitch, task.in_pitch, task.stride, tiles, lanes)
    return [place + furthest for place in places]


@lru_cache(maxsize=256)
def _last_places(
    height: int, pitch: int, in_pitch: int, stride: tuple[int, int], tiles: range, lanes: int
) -> tuple[int, ...]:
    """Where in the input the last pixel of each tile stands; blocks of channels have their tiles in common."""
    found = []
    for tile in tiles:
        row, column = divmod(min((tile + 1) * lanes, height * pitch) - 1, pitch)
        last, down = column * stride[1], stride[0] * in_pitch
        if row:  # where rows of the input are shorter, the end of the row before may lie behind what the last pixel reads
            last = max(last, (pitch - 1) * stride[1] - down)
        found.append(row * down + last)
    return tuple(found)


@dataclass(frozen=True)
class Run:
    """Tiles ``first … end - 1`` of a task, of each group's taps only those at positions ``span[0] … span[1] - 1``.

    The others are outside of the image for every pixel of these tiles.
    """

    first: int
    end: int
    spans: tuple[tuple[int, int], ...]

    @property
    def tiles(self) -> range:
        """The numbers of its tiles."""
        return range(self.first, self.end)

    @property
    def taps(self) -> tuple[int, ...]:
        """How many taps each group has."""
        return tuple(end - first for first, end in self.spans)


def whole_run(task: QConv | QPool, lanes: int) -> Run:
    """All tiles, all taps."""
    tiles = -(-task.height * task.pitch // lanes)
    return Run(0, tiles, tuple((0, len(group.taps)) for group in task.groups))


def runs(task: QConv | QPool, machine: Machine) -> tuple[Run, ...]:
    """The tiles in runs that read the same taps, where leaving out the others pays.

    What a convolution leaves out is the same for each pixel, weight times pad, and goes into the bias: where the pad is not
    0, such tiles have parameters of their own (:func:`variants`), which have to be loaded. Results of a pooling convolution
    are maxima over groups of taps that stay as they are. Weights that come block by block serve all tiles, one after the
    other.
    """
    whole = whole_run(task, machine.lanes)
    if isinstance(task, QConv) and (
        task.reduce > 1 or comes_in_blocks(task, machine.lanes, machine.kernel_ring)
    ):
        return (whole,)
    found = list(_joined(_tile_runs(task, whole, machine.lanes)))
    cost = _load_cycles(task, machine) if isinstance(task, QConv) and task.pad else 0
    kept = {whole.spans}
    room = machine.onchip_bytes // SHARE
    for spans in dict.fromkeys(run.spans for run in found if run.spans != whole.spans):
        mine = [run for run in found if run.spans == spans]
        saved = sum((run.end - run.first) * _saved(task, run, machine.rows) for run in mine)
        size = machine.cores * _parameter_bytes(task, machine) if isinstance(task, QConv) and cost else 0
        if saved > machine.cores * (cost + STEP_PAYS * len(mine) * len(task.groups)) and size <= room:
            kept.add(spans)
            room -= size
    return tuple(_joined(run if run.spans in kept else replace(run, spans=whole.spans) for run in found))


def variants(
    task: QConv, machine: Machine, found: Sequence[Run] | None = None
) -> list[tuple[tuple[int, int], ...]]:
    """The spans of taps for which a convolution has parameters, all taps first; `found` are its runs, if known."""
    whole = whole_run(task, machine.lanes)
    found = runs(task, machine) if found is None else found
    return list(dict.fromkeys([whole.spans, *(run.spans for run in found if task.pad)]))


def _tile_runs(task: QConv | QPool, whole: Run, lanes: int) -> Iterator[Run]:
    # Groups that differ in channels and columns only leave out the same rows.
    kinds: dict[Rows, int] = {}
    kind = [
        kinds.setdefault(tuple((tap.dy, tap.short_rows) for tap in group.taps), len(kinds))
        for group in task.groups
    ]
    distances, down = [dy for rows in kinds for dy, _ in rows], task.stride[0]
    first, last = min(distances), max(distances)
    least = task.in_height - max(short for rows in kinds for _, short in rows)
    known: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {}
    for tile in whole.tiles:
        top = tile * lanes // task.pitch * down
        bottom = (min((tile + 1) * lanes, task.height * task.pitch) - 1) // task.pitch * down
        spans = whole.spans
        if bottom + first < 0 or top + last >= least:
            if (top, bottom) not in known:
                each = [_span(task, rows, top, bottom) for rows in kinds]
                known[top, bottom] = tuple(each[number] for number in kind)
            spans = known[top, bottom]
        yield Run(tile, tile + 1, spans)


def _span(task: QConv | QPool, rows: Rows, top: int, bottom: int) -> tuple[int, int]:
    """The taps from the first to the last one that reads a row of the image from one in the place of the rows `top` to
    `bottom` of pixels."""
    inside = [
        i for i, (dy, short) in enumerate(rows) if bottom + dy >= 0 and top + dy < task.in_height - short
    ]
    return (inside[0], inside[-1] + 1) if inside else (0, 1)


def _joined(parts: Iterator[Run] | Sequence[Run]) -> Iterator[Run]:
    """Neighbours with the same taps as one."""
    last: Run | None = None
    for run in parts:
        if last is not None and last.spans == run.spans:
            last = replace(last, end=run.end)
            continue
        if last is not None:
            yield last
        last = run
    if last is not None:
        yield last


def _saved(task: QConv | QPool, run: Run, rows: int) -> int:
    """Cycles that a tile of a run saves, if products are all that takes time."""
    high = 1 if isinstance(task, QPool) else rows
    return sum(
        -(-group.channels // high) * (len(group.taps) - taps)
        for group, taps in zip(task.groups, run.taps, strict=True)
    )


def _parameter_bytes(task: QConv, machine: Machine) -> int:
    """The parameters of all channels once, on one core."""
    channels = [group.channels for group in task.groups]
    return parameter_bytes(channels, machine.rows, task.reduce, machine.lanes)


def _load_cycles(task: QConv, machine: Machine) -> int:
    """Cycles of the parameter port for the parameters of all channels once."""
    bits = _parameter_bytes(task, machine) * 8
    return max(bits // (machine.lanes * 32), -(-bits // machine.port_bits))
