"""Causal attention: what a causal softmax hides is neither multiplied nor read.

A product makes scores for a causal softmax, and products that take its shares as their first operand are all that read it.
Rows of an item are cut into bands: all rows of a band have as many beats as the last of them sees. The first product makes
those, the softmax takes and makes no others, and to the products
behind it, whose reductions end there, the rest is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

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

    def before(self, row: int) -> int:
        """Blocks of as many columns as lanes that all bands have which end before a row of any item."""
        item, inside = divmod(row, self.rows)
        blocks = [self.beats(first) for first in range(0, self.rows, self.height)]
        return item * sum(blocks) + sum(blocks[: inside // self.height])

    def cut(self, visit: Visit) -> Iterator[Visit]:
        """The visit's share of each band."""
        row, end = visit.row, visit.row + visit.rows
        while row < end:
            inside = row % self.rows
            rows = min(self.after(inside) - inside, end - row)
            yield replace(visit, row=row, rows=rows)
            row += rows

    def parts(self, visit: Visit) -> Iterator[Visit]:
        """The visit's share of each band, with its beats."""
        for part in self.cut(visit):
            yield replace(part, beats=self.beats(part.row % self.rows))


def bands(site: Site) -> dict[str, Bands]:
    """The bands of every causal softmax whose hidden shares nobody needs, by the tensors of its scores and of its shares:
    who makes the ones and reads the others keeps to them."""
    found: dict[str, Bands] = {}
    for task in site.graph.tasks:
        if isinstance(task, QSoftmax) and (own := _bands(site, task)):
            found |= dict.fromkeys((task.inputs[0], task.output), own)
    return found


def _bands(site: Site, softmax: QSoftmax) -> Bands | None:
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


def seen(found: Bands, share: Share) -> Iterator[Share]:
    """Of a share that lies in one band what its rows see: whole rounds of column blocks, and one for the rest, which goes
    to the cores behind those that had a rest last."""
    end = found.beats(share.row % found.rows)
    full, rest = divmod(max(0, min(end, share.end) - share.first), share.across)
    if full:
        last = end <= share.first + full * share.across
        yield replace(share, tiles=full, last=last, note=f"{share.note} seen {full}")
    if rest:
        first = share.first + full * share.across
        note = f"{share.note} seen {first}+{rest}"
        turn = found.before(share.row) % share.across
        cores = (*share.cores[turn:], *share.cores[:turn])[:rest]
        yield replace(share, first=first, tiles=1, cores=cores, last=end <= first + rest, note=note)
