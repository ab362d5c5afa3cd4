"""Cycles of one task's work on some rows, and what passes until others have its results."""

from __future__ import annotations

from math import ceil

from intar.ir.beats import beat_addresses
from intar.ir.kernels import comes_in_blocks
from intar.ir.pixels import runs
from intar.ir.quantgraph import ROW_WISE, QConv, QMatmul, QMove, QNorm, QPeak, QPool, QProduct, QTask
from intar.ir.schedule import Machine, Placement
from intar.schedule.check.facts import Facts


def over_pixels(facts: Facts, task: QConv | QPool, cores: int, first: bool = False) -> int:
    """Cycles of a task on images: the busiest core's, tiles in turn; or of its first block of channels with all taps."""
    if first:
        pooled = task.reduce if isinstance(task, QConv) else 1
        tile = sum(_blocks(facts, task, group.channels, len(group.taps))[0] for group in task.groups[:pooled])
        return ceil(ceil(facts.cols[task.output] / facts.machine.lanes) / cores) * tile
    tiles = ceil(facts.cols[task.output] / facts.machine.lanes)
    bands = _bands(facts, task, tiles, cores)
    busy = dict.fromkeys(range(cores), 0)
    for run in runs(task, facts.machine):
        turn, members = 0, 0
        for group, taps in zip(task.groups, run.taps, strict=True):
            for cycles in _blocks(facts, task, group.channels, taps):
                for number in run.tiles:
                    wide = bands[number]
                    busy[number % wide + turn % (cores // wide) * wide] += cycles
                members = (members + 1) % (task.reduce if isinstance(task, QConv) else 1)
                turn += members == 0
    return max(*busy.values(), tiles * facts.rows[task.output])  # all results enter one memory


def _kernels(facts: Facts, task: QConv, cores: int) -> int:
    """Cycles of a port for the weights that pass through a ring; in blocks each share of the cores has a port of its own."""
    machine, shares = facts.machine, 1
    if not machine.kernel_ring:
        return 0
    channels = list(task.filter_taps.values())
    if comes_in_blocks(task, machine.lanes, machine.kernel_ring):
        channels = [len(group.taps) for group in task.groups for _ in range(group.channels)]
        tiles = ceil(facts.cols[task.output] / machine.lanes)
        blocks = sum(len(_blocks(facts, task, group.channels, 1)) for group in task.groups)
        shares = max(1, min(cores // tiles, blocks // task.reduce))
    beats = sum(ceil(taps / machine.lanes) for taps in channels)
    return facts.transfer(ceil(beats / shares), facts.w_bits)


def _bands(facts: Facts, task: QConv | QPool, tiles: int, cores: int) -> list[int]:
    """For each tile how many cores its band is dealt to, several times if there are more: then these share the channels."""
    left, machine = tiles % cores, facts.machine
    once = isinstance(task, QConv) and comes_in_blocks(task, machine.lanes, machine.kernel_ring)
    if once or task.output in facts.graph.outputs:
        return [min(tiles, cores)] * tiles
    blocks, high = 0, 1 if isinstance(task, QPool) or task.reduce > 1 else machine.rows
    for group in task.groups:
        blocks += ceil(group.channels / high)
    blocks //= task.reduce if isinstance(task, QConv) else 1

    def rating(sizes: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
        made = sum(ceil(blocks / (cores // size)) for size in sizes)
        return made, len(sizes), tuple(-size for size in sizes)

    sizes = min(_sums(left), key=rating)
    alone = blocks == 1 or cores // max(sizes, default=1) == 1
    shared = [size for size in sizes for _ in range(size)]
    return [cores] * tiles if alone and tiles > cores else [cores] * (tiles - left) + shared


def _sums(total: int) -> list[tuple[int, ...]]:
    """Lists of positive numbers with this sum, in every order."""
    return [(n, *rest) for n in range(1, total + 1) for rest in _sums(total - n)] if total else [()]


def _blocks(facts: Facts, task: QConv | QPool, channels: int, taps: int) -> list[int]:
    """Cycles of a tile for each block of so many channels."""
    slow, found = facts.machine.lanes // facts.machine.rate, []
    while channels:
        high = 1 if isinstance(task, QPool) else min(channels, facts.machine.rows)
        found.append(max(taps, high, high * slow))
        channels -= high
    return found


def passes(facts: Facts, task: QTask, rows: int, placement: Placement, once: bool = False) -> tuple[int, int]:
    """(cycles of `rows` rows, cycles to fetch the weights as often as they are needed, or once) in a place."""
    cores = len(placement.cores) or 1
    machine, cols = facts.machine, facts.cols[task.output]
    beats = ceil(cols / machine.lanes)
    if isinstance(task, QMove):
        whole = beat_addresses(task, facts.tensors, machine.lanes, machine.depth) is not None
        return rows * (beats if whole else cols), 0
    if isinstance(task, QConv | QPool):
        return over_pixels(facts, task, cores), _kernels(facts, task, cores) if isinstance(task, QConv) else 0
    steps = beats * (machine.lanes // machine.rate)
    if isinstance(task, QNorm):
        return rows * max(25, steps, 2 * beats), 0
    if isinstance(task, QPeak):
        slices, held = machine.lanes // machine.rate, rows_held(machine)
        taken = slices * ceil(facts.cols[task.inputs[0]] / machine.lanes)
        return rows * max(taken, ceil((12 + 2 * slices) / held)), 0
    if isinstance(task, ROW_WISE):
        return rows * max(ceil(20 / machine.divisions), steps), 0
    if not isinstance(task, QMatmul | QProduct):
        return rows * steps, 0
    if isinstance(task, QProduct) and task.state:
        return streamed(facts, task), 0
    depth = facts.cols[task.inputs[0]]
    by_rows = placement.axis == "rows"
    turns = beats if by_rows else ceil(beats / cores)
    item = facts.rows[task.output] // (task.batch if isinstance(task, QProduct) else 1)
    again = facts.times(task, min(item, rows), cores) if by_rows and not once else 1
    products = turns * column_tile(facts, task, rows, placement)
    products -= facts.relieved(task, rows, placement) * facts.tile(task)
    if isinstance(task, QProduct):
        return max(products, rows * beats), again * ceil(rows / item) * beats * depth
    fetch = again * facts.weigh(turns, depth)
    return max(products, rows * beats), fetch


def streamed(facts: Facts, task: QProduct) -> int:
    """Cycles of a product with a state: in each round an item a port, whose rows come a word a cycle while the cores of the
    port multiply their column blocks."""
    machine, cols = facts.machine, facts.cols[task.output]
    deep, width = facts.cols[task.inputs[0]], facts.cols[task.inputs[1]]
    read = [t.inputs[1] for t in facts.tasks.values() if isinstance(t, QProduct) and t.state]
    bits = 8 if all(facts.tensors[name].bits <= 8 for name in read) else 16  # one width for all states
    row = ceil(ceil(width / machine.lanes) * machine.lanes * bits / machine.port_bits)
    arriving = (cols if task.transposed else deep) * row
    turns = ceil(ceil(cols / machine.lanes) / (machine.cores // machine.state_ports))
    return ceil(task.batch / machine.state_ports) * max(arriving, turns * facts.tile(task))


def rows_held(machine: Machine) -> int:
    """Rows on the rows node: four, or twice as many as it divides at a time."""
    return next(n for n in (4, 8, 16, 32, 64) if n >= 2 * machine.divisions)


def lag(facts: Facts, task: QTask) -> int:
    """Cycles from the end of a task's work until its last row is on its way to the readers."""
    if not isinstance(task, ROW_WISE):
        return 0
    beats = ceil(facts.cols[task.output] / facts.machine.lanes)
    fixed = 25 + 6 if isinstance(task, QNorm) else 1 if isinstance(task, QPeak) else 20
    return 2 * beats * (facts.machine.lanes // facts.machine.rate) + fixed + 16


def delay(facts: Facts) -> int:
    """Cycles from a task's last product to a reader's first: the hop of `docs/schedule.md`."""
    return 16 + facts.machine.rows + facts.machine.rows * (facts.machine.lanes // facts.machine.rate)


def column_tile(facts: Facts, task: QMatmul | QProduct, rows: int, place: Placement) -> int:
    """Cycles of one column tile of the first `rows` rows: array tiles one after the other; where cores take rows,
    rounds, in each of which all beats of all rows go through one stream."""
    item = facts.rows[task.output] // (task.batch if isinstance(task, QProduct) else 1)
    tile, beats, total = facts.tile(task), ceil(facts.cols[task.inputs[0]] / facts.machine.lanes), 0
    for start in range(0, rows, item):
        high = min(item, rows - start)
        if place.axis == "rows":
            total += sum(max(tile, h * beats) for h in facts.rounds(task, high, len(place.cores)))
        else:
            total += ceil(high / facts.machine.rows) * tile
    return total
