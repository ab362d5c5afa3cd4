"""Cycles of stages whose tasks run row tile by row tile: pipelined on groups of cores, interleaved on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from intar.ir.schedule import Machine
from intar.schedule.cost import hop, task_cycles, weight_cycles
from intar.schedule.work import Work

MAX_TILES = 64
"""More row tiles than this are not considered: the two tiles on chip are then a thirty-second of the tensor."""


def tile_heights(rows: int, tile_rows: int) -> list[int]:
    """Rows of each row tile."""
    return [min(tile_rows, rows - start) for start in range(0, rows, tile_rows)]


@dataclass(frozen=True)
class Tiled:
    """A task in a tiled stage.

    Cycles of its first, middle and last tile, its producers and consumers in the stage (positions), the cycles of one
    array tile (0: it has no products), of one column tile, of all its products in a tile, and in which a first column
    tile's weights arrive (0 where the weights are resident). `tails`: producers whose results it only needs on the way
    out. `follow`: the producer that it follows column block by column block, of whose results the first is there after
    `block` cycles; after the last one `slice` cycles are left. -1: none. `delay`: cycles that a row is on its way through
    the rows node, -1 for tasks elsewhere; `unit`: which rows node.
    """

    first: int
    middle: int
    last: int
    producers: tuple[int, ...]
    consumers: tuple[int, ...]
    array_tile: int = 0
    last_column: int = 0
    compute: int = 0
    fetch: int = 0
    tails: tuple[int, ...] = ()
    follow: int = -1
    block: int = 0
    slice: int = 0
    delay: int = -1
    unit: int = 0

    @property
    def late(self) -> int:
        """Cycles from the end of its work to the moment when the result leaves for the readers."""
        return max(0, self.delay)


def tile_times(
    work: Work, tile_rows: int, cores: int, resident: bool, machine: Machine
) -> tuple[int, int, int]:
    """Cycles of the first, a middle and the last row tile; resident weights are complete before the first begins."""
    heights = tile_heights(work.rows, tile_rows)
    first = task_cycles(work, heights[0], cores, not resident, machine)
    first += weight_cycles(work, heights[0], cores, machine) if resident else 0
    middle = task_cycles(work, heights[0], cores, not resident, machine)
    last = task_cycles(work, heights[-1], cores, not resident, machine)
    return (first, middle, last) if len(heights) > 1 else (first, first, first)


Streams = tuple[tuple[int, tuple[tuple[int, bool], ...]], ...]
"""Tensors that go through a port in row tiles: port cycles of a tile, and who reads or makes it: (position, whether the
task needs it only on the way out)."""


@cache
def pipelined_cycles(
    tasks: tuple[Tiled, ...], tiles: int, machine: Machine, loads: Streams = (), stores: Streams = ()
) -> int:
    """Cycles of a pipelined stage: every tile of every task in turn, two tiles between any two tasks.

    A task starts a tile when it has finished the one before, its producers have made the tile, and the slot that its
    result goes to (two back) has been read by all readers. A matmul computes two array tiles before the first result has to
    leave: before that it needs neither its slot nor a tensor that only meets its results on their way out, which it has
    read one array tile before its end. Tasks stand in dependency order. `loads` and `stores` go through
    their ports in this order, tile by tile: a tile is loaded when all its readers have left the slot two back, so that
    they run at most two tiles apart, and a result is made when the one two back is stored. A rows node takes its tasks in
    this order, too.
    """
    wait = hop(machine)
    free: dict[int, int] = {}  # when each rows node has taken in all that came before
    ends: list[tuple[int, ...]] = []
    left: list[list[int]] = []
    port_in = port_out = 0
    for t in range(tiles):
        starts = list(ends[t - 1]) if t else [0] * len(tasks)
        for cycles, readers in loads if t else ():
            leave = [ends[t - 2][r] - (tasks[r].array_tile if late else 0) for r, late in readers if t >= 2]
            port_in = max([port_in, *leave]) + cycles
            for r, late in readers:
                starts[r] = max(starts[r], port_in - (2 * tasks[r].array_tile if late else 0))
        for (_, ((maker, _),)), done in zip(stores, left[t - 2] if t >= 2 else (), strict=False):
            starts[maker] = max(starts[maker], done - 2 * tasks[maker].array_tile)
        now: list[int] = []
        begun: list[int] = []
        for v, task in enumerate(tasks):
            start, last = starts[v], 0
            takes = task.first if t == 0 else task.last if t == tiles - 1 else task.middle
            ahead = min(takes, 2 * task.array_tile)
            for u in task.producers:
                if u == task.follow:
                    start, last = max(start, begun[u] + task.block + wait), now[u] + wait + task.slice
                else:
                    start = max(start, now[u] + wait + tasks[u].late - (ahead if u in task.tails else 0))
            if t >= 2:
                for w in task.consumers:
                    early = tasks[w].array_tile if v in tasks[w].tails else 0
                    start = max(start, ends[t - 2][w] - early - ahead)
            if task.delay >= 0:
                start = max(start, free.get(task.unit, 0))
                free[task.unit] = start + takes
            begun.append(start)
            now.append(max(start + takes, last))
        ends.append(tuple(now))
        left.append([])
        for cycles, ((maker, _),) in stores:
            port_out = max(port_out, now[maker] + tasks[maker].late + wait) + cycles
            left[-1].append(port_out)
    return max(end + task.late for end, task in zip(ends[-1], tasks, strict=True)) + wait


def interleaved_cycles(tasks: Sequence[Tiled], tiles: int, machine: Machine) -> int:
    """Cycles of an interleaved stage: tile after tile, in each tile task after task, those in front of the first matmul a
    tile ahead of the others.

    The arrays take the matmuls in this order, and the vector unit of core 0 takes all tasks in this order: a matmul's
    results leave through it, the others run on it while the arrays go on, but not further than two array tiles (one in
    the accumulators, one in their shadows) past a busy vector unit; row reductions have a unit of their own. A task waits
    for its producers' results, and for its first weights, which enter the ring when the last column tile of the matmul
    before it begins.
    """
    wait = hop(machine)
    arrays = vector = rows = end = 0
    column = -max(task.fetch for task in tasks)
    ahead = next((n for n, task in enumerate(tasks) if task.array_tile), 0)
    made: list[list[int]] = [[] for _ in range(tiles)]
    for step in range(tiles + 1):
        for n, task in enumerate(tasks):
            t = step if n < ahead else step - 1
            if not 0 <= t < tiles:
                continue
            ends = made[t]
            ready = max((ends[u] + wait + tasks[u].late for u in task.producers), default=0)
            takes = task.first if t == 0 else task.last if t == tiles - 1 else task.middle
            if task.array_tile:
                arrays = max(
                    max(arrays, ready) + takes,
                    vector + takes - min(takes, 2 * task.array_tile),
                    column + task.fetch + min(takes, task.compute) if task.fetch else 0,
                )
                column = arrays - task.last_column
                vector = max(vector, arrays)
            elif task.delay >= 0:
                rows = max(rows, ready) + takes
            else:
                vector = max(vector, ready) + takes
            ends.append(rows if task.delay >= 0 else vector)
            end = max(end, ends[-1] + task.late)
    return end + wait
