"""Convolutions and pools on flat images: tiles of pixels in turn on the visit's cores, block of channels by block; where
there are fewer tiles than cores, or in the end left over, shares of the cores take blocks of channels in turn.

A convolution is a matrix product whose rows are output channels and whose columns are pixels: the weights of a block of
channels wait in the feed while the image sends, tile by tile, what their taps read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from intar.ir.nodes.arrays import CoreStep, FeedStep
from intar.ir.nodes.memories import ImageStep, Window
from intar.ir.pixels import Run, last_reads, whole_run
from intar.ir.quantgraph import QConv, QPool, Tap
from intar.lower.buffers import TensorMemory
from intar.lower.netlist import Flow, FlowLeg
from intar.lower.params import Sets
from intar.lower.visits import Visit
from intar.lower.windows import read_tiles, window
from intar.lower.work import Work

BANDS = 16
"""Bands of tiles of a task that hands over to other cores."""


@dataclass(frozen=True)
class Block:
    """Channels ``first … first + rows*count - 1`` of the output, `count` blocks of `rows` rows of the array.

    `taps` are the reads of one tile, of which those at the positions of `span` are performed. A block of a pooling
    convolution has one row, for which `members` channels with as many taps each follow each other. The first channel has the
    filter `filter`, the next ones those behind it, or all blocks the same ones where they are `alike`; members have one
    filter together unless they are `apart`. Each block reads channels that are `further` on than those of the one before.
    """

    taps: tuple[Tap, ...]
    span: tuple[int, int]
    first: int
    rows: int
    count: int
    members: int = 1
    filter: int = 0
    apart: bool = True
    alike: bool = False
    further: int = 0

    @property
    def filters(self) -> int:
        """Filters of a block."""
        return self.rows * (self.members if self.apart else 1)

    @property
    def sets(self) -> Sets:
        """The sets of parameters that its channels have, as the vector unit takes them: all tiles of a channel that is alone
        in the array come one after the other, so that the channels of such blocks follow each other."""
        each = self.rows * self.members
        first, channels = self.first * self.members, each * self.count
        return Sets(first, channels, 1) if each == 1 else Sets(first, each, self.count)


def blocks(task: QConv | QPool, rows: int, spans: Sequence[tuple[int, int]]) -> Iterator[Block]:
    """Equal blocks of each group together, then its last one if that is lower; `spans` are of the groups.

    Neighbours that read alike, each as many channels further on (depthwise convolutions, pools), are together.
    """
    last: Block | None = None
    for block in _blocks(task, rows, spans):
        joined = _joined(last, block) if last is not None else None
        if last is not None and joined is None:
            yield last
        last = joined or block
    if last is not None:
        yield last


def _blocks(task: QConv | QPool, rows: int, spans: Sequence[tuple[int, int]]) -> Iterator[Block]:
    if isinstance(task, QConv) and task.reduce > 1:
        yield from _pooling(task)
        return
    first = 0
    filters = task.filters if isinstance(task, QConv) else [0] * len(task.groups)
    for group, span, own in zip(task.groups, spans, filters, strict=True):
        full, rest = divmod(group.channels, rows)
        if full:
            yield Block(group.taps, span, first, rows, full, filter=own)
        if rest:
            done = full * rows
            yield Block(group.taps, span, first + done, rest, 1, filter=own + done)
        first += group.channels


def _pooling(task: QConv) -> Iterator[Block]:
    """A block for each channel of the output."""
    for channel in range(len(task.groups) // task.reduce):
        part = slice(channel * task.reduce, (channel + 1) * task.reduce)
        taps = tuple(tap for group in task.groups[part] for tap in group.taps)
        own, apart = task.filters[part.start], len(set(task.filters[part])) > 1
        yield Block(taps, (0, len(taps)), channel, 1, 1, task.reduce, own, apart)


def _joined(before: Block, block: Block) -> Block | None:
    """Both as one; None where that is not possible."""
    if block.count > 1 or (before.count > 1 and not before.further):
        return None
    further = block.taps[0].channel - before.taps[0].channel
    step, rest = divmod(further, before.count)
    alike = block.filter == before.filter and (before.count == 1 or before.alike)
    behind = block.filter == before.filter + before.count * before.filters and not before.alike
    if (
        (block.rows, block.span, block.members, block.apart)
        != (before.rows, before.span, before.members, before.apart)
        or block.first != before.first + before.count * before.rows
        or not (alike or behind)
        or rest
        or (before.count > 1 and step != before.further)
        or not _alike(before.taps, block.taps, further)
    ):
        return None
    return replace(before, count=before.count + 1, alike=alike, further=step)


def _alike(taps: Sequence[Tap], others: Sequence[Tap], channels: int) -> bool:
    """The others are the same reads of channels that are so many further on."""
    return len(taps) == len(others) and all(
        other.channel == tap.channel + channels
        and (other.dy, other.dx) == (tap.dy, tap.dx)
        and (other.short_rows, other.short_columns) == (tap.short_rows, tap.short_columns)
        for tap, other in zip(taps, others, strict=True)
    )


def _shifted(taps: Sequence[Tap], channels: int) -> tuple[Tap, ...]:
    """The same reads of channels that are so many further on."""
    if not channels:
        return tuple(taps)
    return tuple(tap.model_copy(update={"channel": tap.channel + channels}) for tap in taps)


def dealt(block: Block, number: int, shares: int) -> list[tuple[int, Block]]:
    """Blocks one behind the other for each share of the cores; block `number` of a task is the first of them."""
    parts, start = [], 0
    for turn in range(min(shares, block.count)):
        count = len(range(turn, block.count, shares))
        channels = start * block.rows
        part = replace(
            block,
            taps=_shifted(block.taps, start * block.further),
            first=block.first + channels,
            count=count,
            filter=block.filter + (0 if block.alike else start * block.filters),
        )
        parts.append(((number + turn) % shares, part))
        start += count
    return parts


def _parts(
    task: QConv | QPool, rows: int, spans: Sequence[tuple[int, int]], shares: int
) -> Iterator[list[tuple[int, Block]]]:
    """All blocks, dealt to shares of the cores in turn."""
    number = 0
    for block in blocks(task, rows, spans):
        yield dealt(block, number, shares)
        number += block.count


def vector_cores(work: Work, visit: Visit) -> Sequence[int]:
    """Those that have a tile to make."""
    assert isinstance(visit.task, QConv | QPool)
    return visit.cores[: work.site.pixel_cores(visit.task, len(visit.cores))]


def prepare(work: Work, visit: Visit) -> None:
    """Weights and parameters of all channels, to every core."""
    task = visit.task
    if not isinstance(task, QConv):
        return
    cores = vector_cores(work, visit)
    work.kernels.load(cores, task)
    machine = work.site.machine
    more = [left_out(work, task, spans) for spans in work.site.spans[task.name]]
    made = blocks(task, machine.rows, whole_run(task, machine.lanes).spans)
    work.params.load_rows(cores, task, [block.sets for block in made], more)


def left_out(work: Work, task: QConv, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """What the taps outside of `spans` add up to where they are outside of the image, for each channel."""
    weight = work.site.constants[task.weight].astype(np.int64)
    sums = []
    for group, start, (first, end) in zip(task.groups, task.filters, spans, strict=True):
        taps = weight[start : start + group.channels, : len(group.taps)]
        sums.append(task.pad * (taps.sum(axis=1) - taps[:, first:end].sum(axis=1)))
    return np.concatenate(sums)


def append(work: Work, visit: Visit) -> None:
    """Band by band of tiles, in each block by block of channels with the same taps."""
    task = visit.task
    assert isinstance(task, QConv | QPool)
    rows = work.site.machine.rows if isinstance(task, QConv) else 1
    if isinstance(task, QConv):
        work.kernels.enter(vector_cores(work, visit), task)
    made: dict[tuple[tuple[tuple[int, int], ...], int], list[list[tuple[int, Block, list[Window]]]]] = {}
    for band, run, count, shares in _bands(work, visit):
        if (run.spans, shares) not in made:
            found = _parts(task, rows, run.spans, shares)
            made[run.spans, shares] = [_read(work, task, parts) for parts in found]
        for parts in made[run.spans, shares]:
            _block(work, visit, task, parts, band, run, count)


def _read(
    work: Work, task: QConv | QPool, parts: Sequence[tuple[int, Block]]
) -> list[tuple[int, Block, list[Window]]]:
    """Parts of blocks with the windows that their taps read; shares of one block often have the same ones."""
    row = work.site.pitch(task.inputs[0]) * work.site.machine.lanes
    known: dict[int, list[Window]] = {}
    for _, part in parts:
        if id(part.taps) not in known:
            known[id(part.taps)] = [
                window(tap, row, task.in_pitch, task.in_height, task.in_width) for tap in part.taps
            ]
    return [(share, part, known[id(part.taps)]) for share, part in parts]


def _bands(work: Work, visit: Visit) -> list[tuple[range, Run, int, int]]:
    """Tiles that a task makes all channels of before it goes on, the run that they are in, and to whom they are dealt
    (`intar.ir.deal.tile_bands`).

    One after the other the channels take the weights once; but where the tasks before and after run on other cores, these
    would have to wait for the last channel. Tiles that read other taps than those before are a band of their own, and so
    are the last tiles where cores share their channels; not of what is stored, channel after channel, as it is made. Weights
    that come block by block come once for all tiles.
    """
    task, site = visit.task, work.site
    assert isinstance(task, QConv | QPool)
    dealt, once = site.tile_bands(task, len(visit.cores)), site.in_blocks(task)
    found = []
    for band in [range(site.pitch(task.output))] if once else _handed_over(work, visit):
        for run in site.runs[task.name]:
            for tiles, count, shares in dealt:
                first = max(band.start, run.first, tiles.start)
                end = min(band.stop, run.end, tiles.stop)
                if first < end:
                    found.append((range(first, end), run, count, shares))
    return found


def _handed_over(work: Work, visit: Visit) -> list[range]:
    """All tiles, or where other cores wait for them, about `BANDS` bands."""
    total = work.site.pitch(visit.task.output)
    cores = min(total, len(visit.cores))
    near = work.site.neighbours(visit.task)
    if not any(set(work.site.cores(task)) - set(visit.cores) for task in near):
        return [range(total)]
    size = cores * max(1, -(-total // (BANDS * cores)))
    return [range(first, min(first + size, total)) for first in range(0, total, size)]


def _block(
    work: Work,
    visit: Visit,
    task: QConv | QPool,
    parts: Sequence[tuple[int, Block, Sequence[Window]]],
    band: range,
    run: Run,
    count: int,
) -> None:
    """The tiles of a band, for one or more blocks of channels, of which shares of `count` cores make parts; tile `t` is made
    by core `t` of a share, modulo their number."""
    cores = visit.cores
    for share, part, taps in parts:
        note = f"{task.name} channels {part.first}+{part.rows * part.count}"
        if len(band) < work.site.pitch(task.output):
            note += f" tiles {band.start}+{len(band)}"
        if isinstance(task, QConv):
            share_of, high = cores[share * count : share * count + min(count, len(band))], part.rows
            filters, alike = (part.members if part.apart else 1), part.alike
            work.kernels.come(share_of, task, part.filter, filters, high, 1 if alike else part.count)
        for position in range(count):
            tiles = band[(position - band.start) % count :: count]
            if not tiles:
                continue
            core, place = cores[share * count + position], share * count + position
            _windows(work, visit, task, part, taps, place, tiles, note)
            if isinstance(task, QConv):
                _products(work, task, core, work.tensors.image(visit, place), part, len(tiles), run, note)
                if task.tail is not None:
                    _tail(work, visit, task, part, place, tiles, note)
            else:
                source, reads = work.tensors.image(visit, place).port("out"), part.span[1] - part.span[0]
                work.net.move(source, [f"vector_{core}.x"], part.count * len(tiles) * reads, note=note)
                work.maxima(core, task, part.count * len(tiles), reads, note)
    first = band.start % count
    for number in range(parts[0][1].count):
        for share, part, _ in parts:
            if number < part.count:
                mine = cores[share * count : (share + 1) * count]
                _results(work, visit, part, number, [*mine[first:], *mine[:first]], band)


def _windows(
    work: Work,
    visit: Visit,
    task: QConv | QPool,
    block: Block,
    taps: Sequence[Window],
    position: int,
    tiles: range,
    note: str,
) -> None:
    """What the `taps` of a block read, from the image of the core at this position."""
    source = work.tensors.image(visit, position)
    lanes = work.site.machine.lanes
    step = ImageStep(
        first=tiles.start,
        stride=tiles.step,
        tiles=len(tiles),
        passes=block.count,
        pass_step=block.further * work.site.pitch(task.inputs[0]),
        rows=task.height,
        columns=task.pitch,
        down=task.stride[0],
        right=task.stride[1],
        pitch=task.in_pitch,
        tap=block.span[0],
        taps=block.span[1] - block.span[0],
        pad=task.pad,
        note=note,
    )
    read = block.taps[slice(*block.span)]
    read_tiles(source, taps, step, last_reads(task, read, tiles, lanes))


def _products(
    work: Work, task: QConv, core: int, image: TensorMemory, block: Block, tiles: int, run: Run, note: str
) -> None:
    """The products of a block on one core, and what its vector unit makes of them."""
    lanes = work.site.machine.lanes
    first, end = block.span[0], block.span[0] + (block.span[1] - block.span[0]) // block.members
    beats_of_row = range(first // lanes, -(-end // lanes))
    depth = len(beats_of_row)
    # A row of weights that is one beat waits in the feed while all tiles pass; others come again for each tile.
    replay = tiles if depth * block.members == 1 else 1
    again = tiles // replay
    work.kernels.read(
        core,
        task,
        block.filter,
        beats_of_row,
        block.rows,
        block.members,
        block.count,
        again,
        block.apart,
        block.alike,
    )
    beats = block.count * again * block.members * block.rows * depth
    work.net.move(f"kernels_{core}.out", [f"feed_{core}.in"], beats, note=note)
    shape: dict = {"m_tiles": block.members, "rows": block.rows, "rows_last": block.rows, "note": note}
    feed = FeedStep(
        tiles=block.count * again,
        blocks=depth,
        k_first=first - beats_of_row.start * lanes,
        k_last=end - (beats_of_row.stop - 1) * lanes,
        replay=replay,
        **shape,
    )
    work.step(f"feed_{core}", feed)
    work.step(f"core_{core}", CoreStep(tiles=block.count * tiles, k=end - first, k_last=end - first, **shape))
    operands = block.count * tiles * block.members * (end - first)
    work.net.move(f"feed_{core}.out", [f"core_{core}.a"], operands, note=note)
    work.net.move(image.port("out"), [f"core_{core}.w"], operands, note=note)
    results = block.count * tiles * block.rows * block.members
    work.net.move(f"core_{core}.out", [f"vector_{core}.acc"], results, note=note)
    each = tiles if block.rows * block.members == 1 else 1
    spans = work.site.spans[task.name]
    variant = spans.index(run.spans) if run.spans in spans else 0
    sets = work.params.read_rows(core, task, variant, block.sets, tiles // each, note)
    work.vector(core, task, results // each, each, "acc", True, note, sets, block.members)


def _tail(
    work: Work, visit: Visit, task: QConv, block: Block, position: int, tiles: range, note: str
) -> None:
    """The second operand of what the vector unit of the core at this position does with the results: its pixels of the
    block's channels, in the order in which the array makes them."""
    source, lanes, pitch = work.tensors.image(visit, position, 1), work.site.machine.lanes, task.pitch
    row = work.site.pitch(task.inputs[1])
    taps = [
        Window(offset=(block.first + i) * row * lanes, dy=0, dx=0, height=task.height, width=pitch)
        for i in range(block.rows)
    ]
    step = ImageStep(
        first=tiles.start,
        stride=tiles.step,
        tiles=len(tiles),
        passes=block.count,
        pass_step=block.rows * row,
        rows=task.height,
        columns=pitch,
        pitch=pitch,
        taps=block.rows,
        note=note,
    )
    read_tiles(source, taps, step, [min((tile + 1) * lanes, task.height * pitch) - 1 for tile in tiles])
    beats = block.count * len(tiles) * block.rows
    work.net.move(source.port("out"), [f"vector_{visit.cores[position]}.y"], beats, note=note)


def _results(work: Work, visit: Visit, block: Block, number: int, cores: Sequence[int], band: range) -> None:
    """The results of a block on these cores, tile after tile, to all copies of the output."""
    row = block.first + number * block.rows
    note = f"{visit.task.name} channels {row}+{block.rows}"
    full, rest = divmod(len(band), len(cores))
    sinks = work.tensors.sinks(visit)
    for rounds, mine in ((full, cores), (1, cores[:rest])):
        legs = tuple(FlowLeg(f"vector_{core}.out", sinks) for core in mine)
        if legs:
            work.net.flow(Flow(legs, rounds, block.rows, note=note))
    for memory in work.tensors.results(visit):
        memory.write_columns(row, block.rows, note, band.start, len(band))
