"""Address walks of buffers and gathers as rows of a table."""

from __future__ import annotations

from intar.codegen.digits import digits
from intar.codegen.hls_nodes.text import braces
from intar.codegen.hls_types import Row
from intar.ir.nodes.memories import BufferStep, ReadStep, Walk
from intar.ir.nodes.movers import GatherStep

WALK_COLUMNS = "base, wrap, counts (5), strides (5), ragged, last, beats of an iteration, of the last one"


def walk_row(step: BufferStep | GatherStep | ReadStep, lanes: int = 1, unit: int = 1) -> Row:
    """An address counts `unit` elements of beats of `lanes`."""
    walk = step.walk
    stride0 = walk.strides[0] % walk.wrap if walk.wrap else walk.strides[0]
    base, wrap, *strides = (
        digits(address * unit, lanes) for address in (walk.base, walk.wrap, stride0, *walk.strides[1:])
    )
    values = (
        base,
        wrap,
        *walk.counts,
        *strides,
        walk.ragged,
        walk.last,
        iteration_beats(walk, last=False),
        iteration_beats(walk, last=True),
    )
    return Row(braces(*values), step.note)


def iteration_beats(walk: Walk, last: bool) -> int:
    """Addresses of one iteration of the outermost loop."""
    _, c1, c2, c3, c4 = walk.counts
    if walk.ragged == 0:
        return c1 * c2 * c3 * (walk.last if last else c4)
    if walk.ragged > 0:
        return c1 * c2 * c3 // walk.counts[walk.ragged] * (walk.last + (walk.counts[walk.ragged] - 1) * c4)
    return c1 * c2 * c3 * c4
