"""The cost model: cycles of tasks and of their traffic, as pure functions of plain numbers.

Units: cycles, bytes, beats (`lanes` elements), port words (`port_bits`). `docs/schedule.md` derives the formulas from the
timing contract of the nodes (`docs/program.md`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from intar.ir.deal import Deal, Rest, deal, deal_rest, row_cores, tile_bands
from intar.ir.schedule import Machine
from intar.schedule.work import Work, ceil_div, row_beats

PIPELINE = 16
"""Cycles from a core's last product to the moment when a dependent node can read the result, without the drain."""

MAX_CONTEXTS = 32
"""Most column blocks whose sums a core keeps while its input comes column block by column block."""

DIVISION, ROOT = 20, 25
"""Cycles of the division that a row of a softmax, or over its peak, takes, and of the reciprocal root of a normalisation."""

PEAK = 12
"""Cycles from the second to the last pass over a row of which only the peak is wanted."""

NORM_PIPELINE = 6
"""Cycles that the last pass over a row takes longer where it is normalised."""


def tensor_words(rows: int, cols: int, bits: int, machine: Machine, ports: int = 1) -> int:
    """Cycles of the activation ports for `rows` rows: a word a cycle each, and a beat a cycle."""
    return port_cycles(rows * row_beats(cols, machine), bits, machine, ports)


def hop(machine: Machine) -> int:
    """Cycles from the end of a task's products to the first product of a task that reads the result.

    The last block of `rows` rows drains through the vector unit, and the reader's feed collects a block.
    """
    return PIPELINE + machine.rows + machine.rows * (machine.lanes // machine.rate)


def rounds(work: Work, cores: int, machine: Machine) -> int:
    """Column tiles that the busiest of `cores` cores computes; by rows each of them computes all."""
    blocks = row_beats(work.cols, machine)
    return blocks if work.by_rows else ceil_div(blocks, cores)


def array_tile(work: Work, machine: Machine) -> int:
    """Cycles of one array tile (`rows` × `lanes` results): products, or the drain if that is longer."""
    return max(machine.pairs(work.k), machine.rows, machine.rows * machine.lanes // machine.rate)


def items(work: Work, rows: int) -> list[tuple[int, int]]:
    """(number of items, rows of each) of `rows` rows that begin with an item."""
    item = work.rows // work.items
    full, rest = divmod(rows, item)
    return [(count, high) for count, high in ((full, item), (1, rest)) if count and high]


def sharing(work: Work, cores: int, machine: Machine) -> int:
    """Of `cores` cores those that have weights of their own: by rows as many as the rows are dealt out to."""
    return row_cores(work.k, cores, machine) if work.by_rows else cores


def deals(work: Work, rows: int, cores: int, machine: Machine) -> list[Deal]:
    """How `rows` rows of an item are dealt out by rows."""
    return list(deal(rows, sharing(work, cores, machine), machine))


def row_cycles(work: Work, machine: Machine) -> int:
    """Cycles of one row on the rows node: a beat takes lanes / rate cycles, the divisions of short rows longer.

    A beat of a normalisation takes two at least: its gains and offsets. A peak has no division, but takes the place of a row
    until it leaves.
    """
    slices, beats = machine.lanes // machine.rate, row_beats(work.cols, machine)
    if work.row_op == "norm":
        return max(beats * max(slices, 2), ROOT)
    if work.row_op == "peak":
        return max(beats * slices, ceil_div(2 * slices + PEAK, machine.row_slots))
    return max(beats * slices, ceil_div(DIVISION, machine.divisions))


def delay(work: Work, machine: Machine) -> int:
    """Cycles that a row is on its way through the rows node after its first pass; 0 for other tasks."""
    if work.kind != "rows":
        return 0
    least = {"norm": ROOT + NORM_PIPELINE, "peak": 1}.get(work.row_op, DIVISION)
    beats = 1 if work.row_op == "peak" else row_beats(work.cols, machine)
    return 2 * beats * (machine.lanes // machine.rate) + least + PIPELINE


def rest_of(work: Work, rows: int, cores: int, machine: Machine) -> Rest | None:
    """How a matmul's last column blocks of `rows` rows are dealt out, where some of their rows go to cores without one."""
    if work.kind != "matmul" or work.by_rows:
        return None
    return deal_rest(row_beats(work.cols, machine), cores, rows, work.k, work.stream_bits, machine)


def compute_cycles(work: Work, rows: int, cores: int, machine: Machine, resident: bool = False) -> int:
    """Cycles of `rows` rows of a task on `cores` cores, weights and operands being there.

    In its last round a matmul whose weights don't stay (`resident`) may leave rows to cores without a column block.
    """
    if work.arrays:
        products = rounds(work, cores, machine) * column_cycles(work, rows, cores, machine)
        if not resident and (rest := rest_of(work, rows, cores, machine)):
            products -= rest.above * array_tile(work, machine)
        return max(products, rows * row_beats(work.cols, machine))
    if work.kind == "rows":
        return rows * row_cycles(work, machine)
    if work.kind == "vector":
        return rows * row_beats(work.cols, machine) * (machine.lanes // machine.rate)
    if work.on_grid:
        return tiles_cycles(work, cores, machine)
    if work.kind == "stream":
        return streamed_cycles(work, machine)
    return rows * (row_beats(work.cols, machine) if work.beats else work.cols)


def streamed_cycles(work: Work, machine: Machine) -> int:
    """Cycles of a product with a state: each port brings an item's rows to its cores, which take column blocks in turn."""
    blocks = ceil_div(row_beats(work.cols, machine), machine.cores // machine.state_ports)
    return ceil_div(work.items, machine.state_ports) * max(work.words, blocks * array_tile(work, machine))


def tiles_cycles(work: Work, cores: int, machine: Machine) -> int:
    """Cycles of the busiest of `cores` cores, which take the tiles in turn; where these, or the last of them, are fewer,
    shares of the cores take the blocks of channels in turn; or as many as their weights take to come, where these don't stay
    (through a port for each share), or as the results of all cores take to enter a memory, beat by beat."""
    busy, ports = [0] * cores, 1
    for first, end, taps in work.runs:
        groups = tuple((channels, number) for (channels, _), number in zip(work.groups, taps, strict=True))
        blocks = list(_block_cycles(replace(work, groups=groups), machine))
        tiles = row_beats(work.cols, machine)
        for band, count, shares in tile_bands(tiles, cores, len(blocks), not (work.stored or work.in_blocks)):
            ports = shares if work.in_blocks else 1
            own = [sum(blocks[share::shares]) for share in range(shares)]
            inside = range(max(first, band.start), min(end, band.stop))
            for core in range(count):
                tiles = len(inside[(core - inside.start) % count :: count])
                for share, cycles in enumerate(own):
                    busy[share * count + core] += tiles * cycles
    results = work.rows * row_beats(work.cols, machine)
    return max(*busy, results, port_cycles(ceil_div(work.passing, ports), work.w_bits, machine))


def _block_cycles(work: Work, machine: Machine) -> Iterator[int]:
    """Cycles of a tile of `lanes` pixels for each block of channels (of a pooling convolution all that make one channel):
    their taps, or the drain."""
    slow = machine.lanes // machine.rate
    if work.reduce > 1:
        for first in range(0, len(work.groups), work.reduce):
            part = work.groups[first : first + work.reduce]
            yield sum(max(taps, 1, slow) for _, taps in part)
        return
    for channels, taps in work.groups:
        if work.kind == "pool":
            yield from [max(taps, slow)] * channels
        else:
            yield from (max(taps, high, high * slow) for high in _blocks(channels, machine.rows))


def pixel_tile(work: Work, machine: Machine) -> int:
    """Cycles of one tile of `lanes` pixels, all channels, on one core."""
    return sum(_block_cycles(work, machine))


def first_pass(work: Work, cores: int, machine: Machine) -> int:
    """Cycles of a task on images in which it goes over all tiles for the first time, for its first block of channels."""
    channels, taps = work.groups[0]
    high = 1 if work.kind == "pool" else min(channels, machine.rows)
    first = replace(work, groups=((high, taps),) * work.reduce)
    return ceil_div(row_beats(work.cols, machine), cores) * pixel_tile(first, machine)


def last_pass(work: Work, cores: int, machine: Machine) -> int:
    """Cycles of a task on images in which it goes over all tiles for the last time, for its last block of channels."""
    channels, taps = work.groups[-1]
    high = 1 if work.kind == "pool" else _blocks(channels, machine.rows)[-1]
    last = replace(work, groups=((high, taps),) * work.reduce)
    return ceil_div(row_beats(work.cols, machine), cores) * pixel_tile(last, machine)


def beats_before(work: Work, rows: int, cols: int, machine: Machine) -> int:
    """Beats of an image of `rows` channels, one after the other, that are there before a task can take its first tile."""
    ahead = 1 + max(0, work.reach) // machine.lanes
    return (rows - 1) * row_beats(cols, machine) + min(row_beats(cols, machine), ahead)


def beats_behind(work: Work, machine: Machine) -> int:
    """Beats of the output, channel after channel, that are left to be stored when a task on images makes its last one."""
    high = 1 if work.kind == "pool" else _blocks(work.groups[-1][0], machine.rows)[-1]
    return (high - 1) * row_beats(work.cols, machine) + 1


def _blocks(channels: int, rows: int) -> list[int]:
    """Heights of the blocks of at most `rows` channels."""
    full, rest = divmod(channels, rows)
    return [rows] * full + ([rest] if rest else [])


def slice_cycles(work: Work, cores: int, machine: Machine) -> int:
    """Cycles of a matmul on its last column block of input, when the sums of its own column blocks leave."""
    return rounds(work, cores, machine) * max(
        machine.pairs(machine.lanes), machine.rows, machine.rows * machine.lanes // machine.rate
    )


def weight_cycles(work: Work, rows: int, cores: int, machine: Machine) -> int:
    """Cycles in which the weights of `rows` rows arrive once.

    A matmul's come through the busiest core's weight port; a product's second operands one after the other from one buffer,
    a beat a cycle for all cores together.
    """
    if work.kind == "product":
        return ceil_div(rows, work.rows // work.items) * row_beats(work.cols, machine) * work.k
    if work.kind != "matmul":
        return 0
    return stream_cycles(work, rounds(work, cores, machine), machine)


def stream_cycles(work: Work, blocks: int, machine: Machine) -> int:
    """Cycles in which the weights of so many column blocks come through a port."""
    return machine.weight_cycles(blocks * machine.pairs(work.k), work.stream_bits)


def passes(work: Work, rows: int, cores: int, machine: Machine) -> int:
    """How often the weights of `rows` rows arrive if they are not kept: by rows once for each deal of an item."""
    if not (work.arrays and work.by_rows):
        return 1
    return len(deals(work, min(rows, work.rows // work.items), cores, machine))


def port_cycles(beats: int, bits: int, machine: Machine, ports: int = 1) -> int:
    """Cycles of some ports for so many beats: a word a cycle each, and a beat a cycle in all."""
    return max(beats, ceil_div(ceil_div(beats, ports) * machine.lanes * bits, machine.port_bits))


def task_cycles(work: Work, rows: int, cores: int, weights: bool, machine: Machine) -> int:
    """Cycles of `rows` rows of a task; `weights` says that its weights come through the ports meanwhile."""
    cycles = compute_cycles(work, rows, cores, machine, resident=not weights)
    if not weights:
        return cycles
    return max(cycles, passes(work, rows, cores, machine) * weight_cycles(work, rows, cores, machine))


def column_cycles(work: Work, rows: int, cores: int, machine: Machine) -> int:
    """Cycles of one column tile of `rows` rows.

    By rows a round takes as long as an array tile, or as its rows take through the one stream that feeds all cores.
    """
    if not work.arrays:
        return 0
    tile, depth, total = array_tile(work, machine), row_beats(work.k, machine), 0
    for count, high in items(work, rows):
        if work.by_rows:
            dealt = deals(work, high, cores, machine)
            total += count * sum(d.rounds * max(tile, d.height * depth) for d in dealt)
        else:
            total += count * ceil_div(high, machine.rows) * tile
    return total


@dataclass(frozen=True)
class Piece:
    """Rows of a matmul or product that its cores make one after the other, all column tiles of an item (by rows: of a deal)
    before the next one begins: `height` at a time, `rest` in the end; cycles of all column tiles, and of one."""

    rows: int
    height: int
    rest: int
    cycles: int
    column: int


def pieces(work: Work, cores: int, machine: Machine) -> list[Piece]:
    """All rows, in order."""
    tile, depth, turns = array_tile(work, machine), row_beats(work.k, machine), rounds(work, cores, machine)
    item = work.rows // work.items
    if work.by_rows:
        one = []
        for d in deals(work, item, cores, machine):
            column = d.rounds * max(tile, d.height * depth)
            one.append(Piece(d.total, d.height, d.height, turns * column, column))
    else:
        column, high = ceil_div(item, machine.rows) * tile, min(item, machine.rows)
        one = [Piece(item, high, (item - 1) % machine.rows + 1, turns * column, column)]
    return one * work.items


def first_column(work: Work, cores: int, machine: Machine) -> int:
    """Cycles of the first column tile, beside which the input may arrive: by rows, of the first deal."""
    rows = work.rows
    if work.arrays and work.by_rows:
        rows = deals(work, rows // work.items, cores, machine)[0].total
    return column_cycles(work, rows, cores, machine)


def last_column(work: Work, cores: int, machine: Machine) -> int:
    """Cycles of the last column tile, beside which the output may leave; by rows the last one of every deal."""
    return column_cycles(work, work.rows, cores, machine)


def block_rows(work: Work, cores: int, last: bool, machine: Machine) -> int:
    """Rows of the first or the last block of rows that a matmul takes or makes."""
    if work.by_rows:
        return deals(work, work.rows, cores, machine)[-1 if last else 0].height
    return (work.rows - 1) % machine.rows + 1 if last else machine.rows


def fetch_cycles(work: Work, cores: int, machine: Machine) -> int:
    """Cycles until the weights of a first column tile are there on all of `cores` cores."""
    if work.kind == "product":
        return work.k if work.by_rows else cores * work.k
    return 0 if machine.on_chip else stream_cycles(work, 1, machine)


@dataclass(frozen=True)
class Traffic:
    """Activations that a stage loads, or that it stores.

    `cycles` of the port for all of them, `lead` for what can't overlap with the work of the stage, which offers `window`
    cycles for the rest.
    """

    cycles: int
    lead: int
    window: int


def traffic_cycles(compute: int, loads: Traffic, stores: Traffic, machine: Machine) -> int:
    """Cycles of a stage with its activation traffic.

    `compute` is the stage without traffic. Of a tensor in row tiles the first tile is there before a task starts, and
    the last one is complete before it is stored: the rest goes on meanwhile, all through the stage. A matmul alone follows
    its input, and is followed by its output, block of rows by block of rows, within its first and its last column tile.
    Other whole tensors can't overlap. The memory's latency is paid once where something is loaded, and once more for
    the write response where something is stored.
    """
    cycles = compute + max(loads.lead, loads.cycles - loads.window)
    cycles += max(stores.lead, stores.cycles - stores.window)
    return cycles + (machine.latency if loads.cycles else 0) + (machine.latency if stores.cycles else 0)
