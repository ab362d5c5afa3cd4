"""Convolutions and pools on flat images: tiles of pixels in turn on the visit's cores, block of channels by block.

A convolution is a matrix product whose rows are output channels and whose columns are pixels: the weights of a block of
channels wait in the feed while the image sends, tile by tile, what their taps read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from intar.ir.pixels import last_read
from intar.ir.program import CoreStep, FeedStep, ImageStep
from intar.ir.quantgraph import QConv, QPool, Tap
from intar.lower.buffers import TensorMemory
from intar.lower.netlist import Flow, FlowLeg
from intar.lower.visits import Visit
from intar.lower.windows import read_tiles, window
from intar.lower.work import Work

BANDS = 16
"""Bands of tiles of a task that hands over to other cores."""


@dataclass(frozen=True)
class Block:
    """Channels ``first … first + rows*count - 1`` of the output, `count` blocks of `rows` rows of the array.

    `taps` are the reads of one tile. A block of a pooling convolution has one row, for which `members` channels with as many
    taps each follow each other.
    """

    taps: tuple[Tap, ...]
    first: int
    rows: int
    count: int
    members: int = 1


def blocks(task: QConv | QPool, rows: int) -> Iterator[Block]:
    """Equal blocks of each group together, then its last one if that is lower."""
    if isinstance(task, QConv) and task.reduce > 1:
        yield from _pooling(task)
        return
    first = 0
    for group in task.groups:
        full, rest = divmod(group.channels, rows)
        if full:
            yield Block(group.taps, first, rows, full)
        if rest:
            yield Block(group.taps, first + full * rows, rest, 1)
        first += group.channels


def _pooling(task: QConv) -> Iterator[Block]:
    """A block for each channel of the output; neighbours with the same taps are one."""
    channel = Block((), 0, 1, 0, task.reduce)
    for first in range(0, len(task.groups), task.reduce):
        taps = tuple(tap for group in task.groups[first : first + task.reduce] for tap in group.taps)
        if taps == channel.taps:
            channel = replace(channel, count=channel.count + 1)
            continue
        if channel.count:
            yield channel
        channel = Block(taps, first // task.reduce, 1, 1, task.reduce)
    yield channel


def vector_cores(work: Work, visit: Visit) -> Sequence[int]:
    """Those that have a tile to make."""
    return visit.cores[: work.site.pitch(visit.task.output)]


def prepare(work: Work, visit: Visit) -> None:
    """Weights and parameters of all channels, to every core."""
    task = visit.task
    if not isinstance(task, QConv):
        return
    cores = vector_cores(work, visit)
    work.kernels.load(cores, task)
    work.params.load(cores, task.name, work.params.rows(task), f"{task.name}: parameters")


def append(work: Work, visit: Visit) -> None:
    task = visit.task
    assert isinstance(task, QConv | QPool)
    rows = work.site.machine.rows if isinstance(task, QConv) else 1
    for band in _bands(work, visit):
        for block in blocks(task, rows):
            _block(work, visit, task, block, band)


def _bands(work: Work, visit: Visit) -> list[range]:
    """Tiles that a task makes all channels of before it goes on.

    One after the other the channels take the weights once; but where the tasks before and after run on other cores, these
    would have to wait for the last channel.
    """
    total, cores = work.site.pitch(visit.task.output), len(vector_cores(work, visit))
    near = work.site.neighbours(visit.task)
    if not any(set(work.site.cores(task)) - set(visit.cores) for task in near):
        return [range(total)]
    size = cores * max(1, -(-total // (BANDS * cores)))
    return [range(first, min(first + size, total)) for first in range(0, total, size)]


def _block(work: Work, visit: Visit, task: QConv | QPool, block: Block, band: range) -> None:
    """The tiles of a band, for one or more blocks of channels."""
    cores = vector_cores(work, visit)
    note = f"{task.name} channels {block.first}+{block.rows * block.count}"
    if len(band) < work.site.pitch(task.output):
        note += f" tiles {band.start}+{len(band)}"
    for position, core in enumerate(cores):
        tiles = band[position :: len(cores)]
        if not tiles:
            continue
        _windows(work, visit, task, block, position, tiles, note)
        if isinstance(task, QConv):
            _products(work, task, core, work.tensors.image(visit, position), block, len(tiles), note)
        else:
            image = work.tensors.image(visit, position).port("out")
            work.net.move(image, [f"vector_{core}.x"], block.count * len(tiles) * len(block.taps), note=note)
            work.maxima(core, task, block.count * len(tiles), len(block.taps), note)
    _results(work, visit, block, cores, band, note)


def _windows(
    work: Work, visit: Visit, task: QConv | QPool, block: Block, position: int, tiles: range, note: str
) -> None:
    """What the taps of a block read, from the image of the core at this position."""
    source = work.tensors.image(visit, position)
    lanes = work.site.machine.lanes
    row = work.site.pitch(task.inputs[0]) * lanes
    taps = [window(tap, row, task.in_pitch, task.in_height, task.in_width) for tap in block.taps]
    step = ImageStep(
        first=tiles.start,
        stride=tiles.step,
        tiles=len(tiles),
        passes=block.count,
        rows=task.height,
        columns=task.pitch,
        taps=len(taps),
        pad=task.pad,
        note=note,
    )
    read_tiles(source, taps, step, [last_read(task, block.taps, tile, lanes) for tile in tiles])


def _products(
    work: Work, task: QConv, core: int, image: TensorMemory, block: Block, tiles: int, note: str
) -> None:
    """The products of a block on one core, and what its vector unit makes of them."""
    taps, lanes = len(block.taps) // block.members, work.site.machine.lanes
    depth = -(-taps // lanes)
    # A row of weights that is one beat waits in the feed while all tiles pass; others come again for each tile.
    replay = tiles if depth * block.members == 1 else 1
    again = tiles // replay
    work.kernels.read(
        core, task, block.first * block.members, depth, block.rows, block.members, block.count, again
    )
    beats = block.count * again * block.members * block.rows * depth
    work.net.move(f"kernels_{core}.out", [f"feed_{core}.in"], beats, note=note)
    shape: dict = {"m_tiles": block.members, "rows": block.rows, "rows_last": block.rows, "note": note}
    feed = FeedStep(
        tiles=block.count * again, blocks=depth, k_last=taps - (depth - 1) * lanes, replay=replay, **shape
    )
    work.step(f"feed_{core}", feed)
    work.step(f"core_{core}", CoreStep(tiles=block.count * tiles, k=taps, k_last=taps, **shape))
    operands = block.count * tiles * len(block.taps)
    work.net.move(f"feed_{core}.out", [f"core_{core}.a"], operands, note=note)
    work.net.move(image.port("out"), [f"core_{core}.w"], operands, note=note)
    results = block.count * tiles * block.rows * block.members
    work.net.move(f"core_{core}.out", [f"vector_{core}.acc"], results, note=note)
    rows = block.rows * block.members
    groups, each = (block.count, tiles) if rows == 1 else (results, 1)
    work.params.read_rows(
        core, task.name, block.first * block.members, rows, block.count, tiles // each, note
    )
    work.vector(core, task, groups, each, "acc", True, note, params="row", pool=block.members)


def _results(work: Work, visit: Visit, block: Block, cores: Sequence[int], band: range, note: str) -> None:
    """The results of all cores, tile after tile, to all copies of the output."""
    full, rest = divmod(len(band), len(cores))
    sinks = work.tensors.sinks(visit)
    for number in range(block.count):
        for rounds, mine in ((full, cores), (1, cores[:rest])):
            legs = tuple(FlowLeg(f"vector_{core}.out", sinks) for core in mine)
            if legs:
                work.net.flow(Flow(legs, rounds, block.rows, note=note))
        for memory in work.tensors.results(visit):
            row = block.first + number * block.rows
            memory.write_columns(row, block.rows, note, band.start, len(band))
