"""How a matmul or a product of two activations is dealt out to cores: by column blocks, or by rows.

By columns each core takes all rows and every n-th column block: the activations are broadcast. By rows each core takes all
column blocks and its share of the rows: of every slice of the reduction (a beat of each row) the cores get their rows one
after the other, so that all of them work on it at the same time. Column blocks of a matmul that are left over when all cores
have as many are shared along both axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from intar.ir.deal import Rest, deal, deal_rest, row_cores
from intar.ir.nodes.memories import Walk
from intar.ir.quantgraph import QMatmul, QProduct, QTask
from intar.lower.site import Site
from intar.lower.visits import Visit


@dataclass(frozen=True)
class Share:
    """Array tiles of equal loop bounds on all of `cores`: ``for tile in tiles: for m in m_tiles:`` one of each core.

    The rows of the tensor that it makes are `count` from `row` on; each core's array tile has `rows` of them (`rows_last` in
    the last of `m_tiles`). Its columns are the blocks from `first` on: of every tile one, or by columns one for each core.
    `last`: no others of its rows are made after them.
    """

    cores: tuple[int, ...]
    first: int
    tiles: int
    row: int
    count: int
    m_tiles: int
    rows: int
    rows_last: int
    by_rows: bool
    note: str
    last: bool

    @property
    def shape(self) -> dict:
        """Loop bounds and note that feeds and cores have in common."""
        bounds = {"tiles": self.tiles, "m_tiles": self.m_tiles, "rows": self.rows}
        return {**bounds, "rows_last": self.rows_last, "note": self.note}

    @property
    def across(self) -> int:
        """Column blocks that the cores make side by side."""
        return 1 if self.by_rows else len(self.cores)

    @property
    def height(self) -> int:
        """Rows that the cores make in one of `m_tiles`."""
        return self.rows * len(self.cores) if self.by_rows else self.rows

    @property
    def core_rows(self) -> int:
        """Rows of each column block that one core makes."""
        return self.m_tiles * self.rows if self.by_rows else self.count

    @property
    def end(self) -> int:
        """The column block behind the last one."""
        return self.first + self.tiles * self.across

    def blocks(self, position: int) -> range:
        """The column blocks of the core at a position."""
        return range(self.first + (0 if self.by_rows else position), self.end, self.across)

    def split(self) -> tuple[Share, list[Share]]:
        """The first tile of each core, and the others."""
        note = f"{self.note} from round 1"
        others = replace(self, first=self.first + self.across, tiles=self.tiles - 1, note=note)
        return replace(self, tiles=1, last=False, note=f"{self.note} round 0"), [others]

    def walk(self, pitch: int, columns: int, across: int, base: int = 0) -> Walk:
        """Over rows of `pitch` beats, relative to `row`: tile after tile `across` beats further on, in each the blocks of
        `height` rows, in each of `columns` beats side by side the rows."""
        last = self.count - (self.m_tiles - 1) * self.height
        return Walk(
            base=base,
            counts=(1, self.tiles, self.m_tiles, columns, self.height),
            strides=(0, across, self.height * pitch, 1, pitch),
            ragged=2,
            last=last,
        )


def busy_cores(site: Site, visit: Visit) -> tuple[int, ...]:
    """The cores that have something to do; no visit of the task has more than its first one."""
    if not visit.by_rows:
        return visit.cores[: site.pitch(visit.task.output)]
    rows = visit.rows
    if isinstance(visit.task, QProduct):
        rows = min(rows, site.tensors[visit.task.output].rows // visit.task.batch)
    return _sharing(site, visit)[: -(-rows // site.machine.rows)]


def tiles_again(site: Site, visit: Visit) -> bool:
    """True if a core may use a column tile of weights for more than one array tile of rows."""
    return visit.rows > site.machine.rows * (len(_sharing(site, visit)) if visit.by_rows else 1)


def _sharing(site: Site, visit: Visit) -> tuple[int, ...]:
    """The cores among which rows are dealt out."""
    k = site.tensors[visit.task.inputs[0]].cols
    return visit.cores[: row_cores(k, len(visit.cores), site.machine)]


def sharing(site: Site, task: QTask) -> int:
    """Cores among which rows of a task are dealt out; 1 where they share its columns."""
    places = (p for stage in site.schedule.stages for p in stage.tasks if p.task == task.name)
    k = site.tensors[task.inputs[0]].cols
    return max(row_cores(k, len(p.cores), site.machine) if p.axis == "rows" else 1 for p in places)


def shares(site: Site, visit: Visit) -> Iterator[Share]:
    """All array tiles of a visit (of a product: of one item)."""
    return _by_rows(site, visit) if visit.by_rows else _by_columns(site, visit)


def _by_columns(site: Site, visit: Visit) -> Iterator[Share]:
    """In each round each core makes one column block; the last blocks go to fewer cores."""
    pitch, size = site.pitch(visit.task.output), site.machine.rows
    full, rest = divmod(pitch, len(visit.cores))
    apart = rest if rest_of(site, visit) else 0
    rest -= apart
    m_tiles = -(-visit.rows // size)
    behind = pitch - apart
    for first, tiles, cores in ((0, full, visit.cores), (behind - rest, 1, visit.cores[:rest])):
        if tiles and cores:
            yield Share(
                cores=cores,
                first=first,
                tiles=tiles,
                row=visit.row,
                count=visit.rows,
                m_tiles=m_tiles,
                rows=min(size, visit.rows),
                rows_last=visit.rows - (m_tiles - 1) * size,
                by_rows=False,
                note=f"{visit.task.name} rows {visit.row}+{visit.rows} blocks {first}+{tiles}x{len(cores)}",
                last=first + tiles * len(cores) == behind,
            )


def rest_of(site: Site, visit: Visit) -> Rest | None:
    """How a matmul's last column blocks are dealt out, where some of their rows go to cores without one."""
    task = visit.task
    if not isinstance(task, QMatmul) or visit.by_rows or visit.resident:
        return None
    blocks, k = site.pitch(task.output), site.tensors[task.inputs[0]].cols
    return deal_rest(blocks, len(visit.cores), visit.rows, k, site.weight_bits, site.machine)


def column_blocks(site: Site, visit: Visit, core: int) -> list[int]:
    """Column blocks of a visit by columns that a core makes, the last ones perhaps not of all rows."""
    position, count, pitch = visit.cores.index(core), len(visit.cores), site.pitch(visit.task.output)
    found = list(range(position, pitch, count))
    rest = rest_of(site, visit)
    if rest and rest.cores <= position < rest.cores + rest.helpers:
        found += range(pitch - rest.cores + position - rest.cores, pitch, rest.helpers)
    return found


@dataclass(frozen=True)
class Shared:
    """Column blocks whose rows `above` are made by other cores than those `below`, at the same time: tile by tile of
    `above` one of each."""

    above: Share
    below: Share

    @property
    def steps(self) -> int:
        """Array tiles of each core that makes rows above."""
        return self.above.tiles * self.above.m_tiles

    def pieces(self) -> Iterator[Share]:
        """All array tiles in the order in which they are made."""
        above, below, size = self.above, self.below, self.above.rows
        one: dict[str, Any] = {"count": size, "m_tiles": 1}
        for step in range(self.steps):
            tile, block = divmod(step, above.m_tiles)
            first = above.first + tile * above.across
            yield replace(above, first=first, tiles=1, row=above.row + block * size, **one)
            yield replace(below, row=below.row + step * size, **one)
        if self.left:
            yield self.left

    @property
    def left(self) -> Share | None:
        """The tiles below beside which nothing is made above."""
        below, count = self.below, self.below.m_tiles - self.steps
        row, rows = below.row + self.steps * below.rows, count * below.rows
        return replace(below, row=row, count=rows, m_tiles=count) if count else None


def shared_rest(site: Site, visit: Visit) -> Shared | None:
    """The column blocks that `shares` leaves out."""
    rest, size = rest_of(site, visit), site.machine.rows
    if rest is None:
        return None
    first = site.pitch(visit.task.output) - rest.cores
    rows = rest.above * size
    below = Share(
        cores=visit.cores[: rest.cores],
        first=first,
        tiles=1,
        row=visit.row + rows,
        count=visit.rows - rows,
        m_tiles=rest.below,
        rows=size,
        rows_last=size,
        by_rows=False,
        last=False,
        note=f"{visit.task.name} rows {visit.row + rows}+{visit.rows - rows} blocks {first}+{rest.cores}",
    )
    note = f"{visit.task.name} rows {visit.row}+{rows} blocks {first}+{rest.rounds}x{rest.helpers}"
    helpers = visit.cores[rest.cores : rest.cores + rest.helpers]
    form: dict = {
        "cores": helpers,
        "tiles": rest.rounds,
        "row": visit.row,
        "count": rows,
        "m_tiles": rest.above,
    }
    return Shared(replace(below, **form, note=note), below)


def _by_rows(site: Site, visit: Visit) -> Iterator[Share]:
    """In each round each core has equally many rows."""
    row, cores = visit.row, _sharing(site, visit)
    for part in deal(visit.rows, len(cores), site.machine):
        yield Share(
            cores=cores[part.first : part.first + part.cores],
            first=0,
            tiles=site.pitch(visit.task.output),
            row=row,
            count=part.total,
            m_tiles=part.rounds,
            rows=part.rows,
            rows_last=part.rows,
            by_rows=True,
            note=f"{visit.task.name} rows {row}+{part.total} on {part.cores} cores",
            last=True,
        )
        row += part.total
