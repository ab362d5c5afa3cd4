"""Tiles of pixels: `lanes` places of a flat image that are made at once, and what they read of another image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from intar.ir.parameters import parameter_bytes
from intar.ir.quantgraph import QConv, QPool, Tap
from intar.ir.schedule import Machine

STEP_PAYS = 8
"""Cycles that a step of a program has to save at least where steps are made for tiles with fewer taps."""

SHARE = 64
"""Parameters for such tiles take at most one part in so many of the on-chip memory, for each task."""


def last_read(task: QConv | QPool, taps: Sequence[Tap], tile: int, lanes: int) -> int:
    """The last element of a channel that a tile reads, as the channel lies in memory; negative where it reads none."""
    row, column = divmod(min((tile + 1) * lanes, task.height * task.pitch) - 1, task.pitch)
    if row:  # where rows of the input are shorter, the end of the row before may lie behind what the last pixel reads
        column = max(column, task.pitch - task.in_pitch - 1)
    return row * task.in_pitch + column + max(tap.dy * task.in_pitch + tap.dx for tap in taps)


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
    are maxima over groups of taps that stay as they are.
    """
    whole = whole_run(task, machine.lanes)
    if isinstance(task, QConv) and task.reduce > 1:
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


def variants(task: QConv, machine: Machine) -> list[tuple[tuple[int, int], ...]]:
    """The spans of taps for which a convolution has parameters, all taps first."""
    whole = whole_run(task, machine.lanes)
    return list(dict.fromkeys([whole.spans, *(run.spans for run in runs(task, machine) if task.pad)]))


def _tile_runs(task: QConv | QPool, whole: Run, lanes: int) -> Iterator[Run]:
    taps = [tap for group in task.groups for tap in group.taps]
    first, last = min(tap.dy for tap in taps), max(tap.dy for tap in taps)
    least = min(task.in_height - tap.short_rows for tap in taps)
    for tile in whole.tiles:
        top = tile * lanes // task.pitch
        bottom = (min((tile + 1) * lanes, task.height * task.pitch) - 1) // task.pitch
        spans = whole.spans
        if bottom + first < 0 or top + last >= least:
            spans = tuple(_span(task, group.taps, top, bottom) for group in task.groups)
        yield Run(tile, tile + 1, spans)


def _span(task: QConv | QPool, taps: Sequence[Tap], top: int, bottom: int) -> tuple[int, int]:
    """The taps from the first to the last one that reads a row of the image from one of the rows `top` to `bottom`."""
    inside = [
        i
        for i, tap in enumerate(taps)
        if bottom + tap.dy >= 0 and top + tap.dy < task.in_height - tap.short_rows
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
