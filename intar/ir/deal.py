"""How tasks are dealt out to cores: rows of matmuls, column blocks that are left over, tiles of pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise

from intar.ir.quantgraph import QConv, QPool
from intar.ir.schedule import Machine


@dataclass(frozen=True)
class Deal:
    """In each of `rounds` rounds the cores ``first … first + cores - 1`` (of the task's) take `rows` rows each, in order."""

    rounds: int
    first: int
    cores: int
    rows: int

    @property
    def height(self) -> int:
        """Rows of one round."""
        return self.cores * self.rows

    @property
    def total(self) -> int:
        """Rows of all rounds."""
        return self.rounds * self.height


def row_cores(k: int, cores: int, machine: Machine) -> int:
    """Of `cores` cores as many as a reduction of length `k` can keep busy by rows.

    In the cycles of an array tile (its products, or its drain if that is longer) a beat of activations goes to one core in
    each cycle, and every core needs a beat for each of its rows and each `lanes` channels.
    """
    tile = max(machine.pairs(k), machine.rows, machine.rows * machine.lanes // machine.rate)
    beats = machine.rows * -(-k // machine.lanes)
    return min(cores, -(-tile // beats))


def deal(rows: int, cores: int, machine: Machine) -> Iterator[Deal]:
    """Rows for `cores` arrays, in order.

    Full arrays as long as there are rows for all cores. The rest goes to as few cores as can take it: in equal parts if it
    can be divided so; otherwise all but the last one are full, and that one has what is left, in a round of its own.
    """
    size = machine.rows
    full, rest = divmod(rows, cores * size)
    if full:
        yield Deal(full, 0, cores, size)
    count = -(-rest // size)
    if rest and rest % count == 0:
        yield Deal(1, 0, count, rest // count)
    elif rest:
        yield Deal(1, 0, count - 1, size)
        yield Deal(1, count - 1, 1, rest % size)


@dataclass(frozen=True)
class Rest:
    """The last column blocks of a matmul, of which there are fewer than cores: each of the first `cores` cores takes one,
    but only `below` blocks of rows of it. The `above` blocks of rows on top of these, of all those columns, are taken by
    the next `helpers` cores, one column block after the other, in `rounds` rounds.
    """

    cores: int
    helpers: int
    rounds: int
    above: int
    below: int


def deal_rest(blocks: int, cores: int, rows: int, k: int, weight_bits: int, machine: Machine) -> Rest | None:
    """How the last of `blocks` column blocks are dealt out to `cores` cores; None: one to each, all rows of it.

    Cores have help where rows are whole arrays, one stream of activations can feed two arrays and the helpers' weights, of
    `weight_bits`, arrive in time.
    """
    full, rest = divmod(blocks, cores)
    arrays, partial = divmod(rows, machine.rows)
    if not (full and rest) or partial or row_cores(k, 2, machine) < 2:
        return None
    helpers = max(count for count in range(1, cores - rest + 1) if rest % count == 0)
    rounds = rest // helpers
    above = arrays // (rounds + 1)
    beats = (full + rounds) * machine.pairs(k)
    tile = max(machine.pairs(k), machine.rows, machine.rows * machine.lanes // machine.rate)
    if not above or machine.weight_cycles(beats, weight_bits) > ((full + 1) * arrays - above) * tile:
        return None
    return Rest(rest, helpers, rounds, above, arrays - above)


def tile_bands(tiles: int, cores: int, blocks: int, apart: bool) -> list[tuple[range, int, int]]:
    """Tiles of pixels with (cores that they go to in turn, shares of the cores that take all tiles of some of the task's
    `blocks` of channels): there are several shares where tiles are fewer than cores. `apart`: the last ones of more tiles
    are bands of their own then, and these are several where that is faster: of three tiles on four cores two go to two
    shares of two cores, and the third one to four of one.
    """
    full = tiles - tiles % cores
    if not apart:
        return [(range(tiles), cores, 1) if full else (range(tiles), tiles, min(cores // tiles, blocks))]
    _, counts = _left_over(tiles - full, cores, blocks)
    if full and (not counts or cores // counts[0] == 1 or blocks == 1):
        return [(range(tiles), cores, 1)]
    ends = [full, *(full + end for end in accumulate(counts))]
    shared = [
        (range(first, end), end - first, min(cores // (end - first), blocks)) for first, end in pairwise(ends)
    ]
    return [(range(full), cores, 1), *shared] if full else shared


@lru_cache(maxsize=1024)
def _left_over(tiles: int, cores: int, blocks: int) -> tuple[int, tuple[int, ...]]:
    """Blocks that a core makes one after the other of tiles that are fewer than cores, and the tiles of each band: the
    fewest blocks, then the fewest bands."""
    if not tiles:
        return 0, ()
    found = []
    for count in range(tiles, 0, -1):
        behind, counts = _left_over(tiles - count, cores, blocks)
        found.append((-(-blocks // (cores // count)) + behind, (count, *counts)))
    return min(found, key=lambda one: (one[0], len(one[1])))


def channel_blocks(task: QConv | QPool, rows: int) -> int:
    """Blocks of at most `rows` channels; of a pooling convolution one for each channel of the output."""
    high = rows if isinstance(task, QConv) and task.reduce == 1 else 1
    made = sum(-(-group.channels // high) for group in task.groups)
    return made // (task.reduce if isinstance(task, QConv) else 1)
