"""Causal attention: what a causal softmax hides is neither multiplied nor read.

A product makes scores for a causal softmax, and products that take its shares as their first operand are all that read it.
Rows of an item are cut into bands: all rows of a band have as many beats as the last of them sees. The first product makes
those, the softmax takes and makes no others, and to the products
behind it, whose reductions end there, the rest is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from intar.ir.quantgraph import QProduct, QSoftmax
from intar.lower.shares import Share, sharing
from intar.lower.site import Site
from intar.lower.visits import Visit


@dataclass(frozen=True)
class Bands:
    """`height` rows each, of items of `rows` rows of `cols` elements, of which the first row of an item sees `visible`."""

    height: int
    rows: int
    cols: int
    visible: int
    lanes: int

    def beats(self, row: int) -> int:
        """Beats of the rows of the band in which a row of an item is."""
        return -(-min(self.cols, self.visible + self.after(row) - 1) // self.lanes)

    def after(self, row: int) -> int:
        """The row of an item behind the band in which a row is."""
        return min(self.rows, (row // self.height + 1) * self.height)

    def parts(self, visit: Visit) -> Iterator[Visit]:
        """The visit's share of each band, with its beats."""
        row, end = visit.row, visit.row + visit.rows
        while row < end:
            inside = row % self.rows
            rows = min(self.after(inside) - inside, end - row)
            yield replace(visit, row=row, rows=rows, beats=self.beats(inside))
            row += rows


def bands(site: Site, softmax: QSoftmax) -> Bands | None:
    """The bands of a causal softmax whose hidden shares nobody needs; None of another task."""
    makers = [task for task in site.graph.tasks if task.output == softmax.inputs[0]]
    scored = [task for task in site.graph.tasks if softmax.inputs[0] in task.inputs]
    readers = [task for task in site.graph.tasks if softmax.output in task.inputs]
    apart = {softmax.inputs[0], softmax.output}.isdisjoint(site.graph.outputs)
    nothing = softmax.zero == 0 and softmax.lo <= 0 <= softmax.hi
    fixed = softmax.causal and softmax.visible and not softmax.cached
    if not (fixed and nothing and apart and len(makers) == len(scored) == 1):
        return None
    if not all(isinstance(task, QProduct) and _alone(task, softmax) for task in (*makers, *readers)):
        return None
    if any(task.inputs[0] != softmax.output or task.inputs[1] == softmax.output for task in readers):
        return None
    unit = max(sharing(site, task) for task in readers) * site.machine.rows if readers else site.machine.rows
    rows, lanes = site.tensors[softmax.output].rows // softmax.batch, site.machine.lanes
    cols = site.tensors[softmax.output].cols
    return Bands(-(-lanes // unit) * unit, rows, cols, softmax.visible, lanes)


def _alone(task: QProduct, softmax: QSoftmax) -> bool:
    return task.batch == softmax.batch and not task.state


def made_for(site: Site, task: QProduct) -> Bands | None:
    """The bands of the softmax for which a product makes scores."""
    for reader in site.graph.tasks:
        if isinstance(reader, QSoftmax) and reader.inputs[0] == task.output:
            return bands(site, reader)
    return None


def read_by(site: Site, task: QProduct) -> Bands | None:
    """The bands of the softmax whose shares are the first operand of a product."""
    for maker in site.graph.tasks:
        if isinstance(maker, QSoftmax) and maker.output == task.inputs[0]:
            return bands(site, maker)
    return None


def seen(found: Bands, share: Share, size: int) -> Iterator[Share]:
    """The rounds of column blocks of a share, of each only what bands see: one after the other those that don't see all of
    its blocks, then all others at once. `size`: rows of an array."""
    item, end = share.row // found.rows * found.rows, share.row + share.count
    for tile in range(share.tiles):
        first, row = share.first + tile * share.across, share.row
        while row < end:
            blocks = min(found.beats(row - item) - first, share.across)
            after = end if blocks == share.across else item + found.after(row - item)
            if blocks > 0:
                yield _part(share, first, blocks, row, min(after, end) - row, size)
            row = after


def _part(share: Share, first: int, blocks: int, row: int, count: int, size: int) -> Share:
    """Column blocks from `first` on, of one round, of `count` rows from `row` on."""
    m_tiles = -(-count // size)
    form: dict[str, Any] = {"first": first, "tiles": 1, "row": row, "count": count, "m_tiles": m_tiles}
    rows: dict[str, Any] = {"rows": min(size, count), "rows_last": count - (m_tiles - 1) * size}
    note = f"{share.note} {first}+{blocks} rows {row}+{count}"
    return replace(share, cores=share.cores[:blocks], **form, **rows, note=note)
