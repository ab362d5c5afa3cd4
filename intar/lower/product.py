"""Product of two activations: the second operand's beats take the way of weights, from its buffer to the cores.

Where the second operand has a row for each element of the reduction, beat k of a column block is row k, block n of its
buffer; where cells multiply several channels a cycle, a feed node packs as many rows into a beat. Where it has a row for
each result column (``transposed``), `lanes` rows at a time are turned by a feed node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from intar.errors import Finding, UnsupportedError
from intar.ir.nodes.arrays import FeedStep
from intar.ir.nodes.memories import Walk
from intar.ir.quantgraph import QBinary, QMatmul, QMove, QNorm, QProduct, QSoftmax
from intar.lower import causal, matmul, streamed
from intar.lower.netlist import Flow, FlowLeg
from intar.lower.shares import Share, shares
from intar.lower.visits import Visit
from intar.lower.work import Work


def vector_cores(work: Work, visit: Visit) -> Sequence[int]:
    """Those that have something to make, or that are served by the ports of its state."""
    assert isinstance(visit.task, QProduct)
    if visit.task.state:
        return streamed.vector_cores(work, visit)
    return matmul.vector_cores(work, visit)


def prepare(work: Work, visit: Visit) -> None:
    """A product has no constants, but what its operands hold behind their last column has to come to nothing.

    Raises
    ------
    UnsupportedError
        Cells multiply several channels a cycle, the last of which are behind the columns of both operands, and neither is
        known to be 0 there.
    """
    task, depth = visit.task, work.site.machine.depth
    assert isinstance(task, QProduct)
    cols = work.site.tensors[task.inputs[0]].cols
    if task.transposed and cols % depth and not any(_ends_in_zeros(work, name) for name in task.inputs):
        raise UnsupportedError(
            Finding(
                f"{task.name} multiplies {cols} channels, which are no multiple of {depth}",
                f"--budget depth={depth}",
                "what makes its operands leaves other numbers than 0 behind them",
                "choose a depth that divides them, for example depth=1",
            )
        )


def _ends_in_zeros(work: Work, name: str) -> bool:
    """A tensor is known to have zeros behind its last column: it comes from outside or from a move, or whoever makes it
    makes 0 of what is there."""
    task = next((task for task in work.site.graph.tasks if task.output == name), None)
    if task is None or isinstance(task, QMove):
        return True
    if task.table is not None or task.zero or not task.lo <= 0 <= task.hi:
        return False
    zeros = all(_ends_in_zeros(work, other) for other in task.inputs)
    if isinstance(task, QBinary):
        return zeros and not task.zx and not task.zy
    if isinstance(task, QMatmul):
        return task.tail is None
    return isinstance(task, QSoftmax | QNorm) or (zeros and not isinstance(task, QProduct))


def append(work: Work, visit: Visit) -> None:
    """Item by item of the batch, where a causal softmax reads or makes an operand band by band."""
    task = visit.task
    assert isinstance(task, QProduct)
    if task.state:
        return streamed.append(work, visit)
    scored, shared = work.bands.get(task.output), work.bands.get(task.inputs[0])
    for item, whole in _items(work, visit):
        for part in shared.parts(whole) if shared else (whole,):
            if scored and not visit.by_rows:
                _scores(work, part, item, scored)
            else:
                _item(work, part, item, shares(work.site, part))
        if scored and visit.by_rows:
            for memory in work.tensors.results(visit):
                memory.finish(whole.row, whole.rows)


def _scores(work: Work, part: Visit, item: int, scored: causal.Bands) -> None:
    """Rows of an item for a causal softmax, which sees no more of them and follows band by band."""
    for band in scored.cut(part):
        _item(work, band, item, (s for share in shares(work.site, band) for s in causal.seen(scored, share)))
        for memory in work.tensors.results(band):
            memory.finish(band.row, band.rows)


def _item(work: Work, part: Visit, item: int, dealt: Iterable[Share]) -> None:
    """Rows of an item, dealt out to cores."""
    for share in dealt:
        matmul.operands(work, part, share)
        _second(work, part, item, share)
        for position, core in enumerate(share.cores):
            matmul.products(work, part, core, share.blocks(position), share)
            work.vector(core, part.task, share.tiles, share.core_rows, "acc", False, share.note)
        matmul.results(work, part, share, share.last)


def _items(work: Work, visit: Visit) -> Iterator[tuple[int, Visit]]:
    """The visit's share of each item of the batch, with the item's number."""
    assert isinstance(visit.task, QProduct)
    size = work.site.tensors[visit.task.output].rows // visit.task.batch
    row, end = visit.row, visit.row + visit.rows
    while row < end:
        item = row // size
        rows = min((item + 1) * size, end) - row
        yield item, replace(visit, row=row, rows=rows)
        row += rows


def _second(work: Work, visit: Visit, item: int, share: Share) -> None:
    """The share's column blocks of the item's second operand: to one core after the other, or by rows each to all."""
    task, machine, first = visit.task, work.site.machine, share.first
    lanes = machine.lanes
    assert isinstance(task, QProduct)
    source = work.tensors.reader(visit, 1)
    k, blocks, note = work.weights.channels(visit), share.end - first, f"{share.note} second operand"
    pitch = work.site.pitch(task.inputs[1])
    row = item * (work.site.tensors[task.inputs[1]].rows // task.batch)
    port = source.port("out")
    if task.transposed:
        turn = f"turn_{visit.cores[0]}"
        columns = work.site.tensors[task.output].cols
        last = min(lanes, columns - (first + blocks - 1) * lanes)
        walk = Walk(
            base=first * lanes * pitch,
            counts=(1, 1, blocks, pitch, lanes),
            strides=(0, 0, lanes * pitch, 1, pitch),
            ragged=2,
            last=last,
        )
        work.net.move(port, [f"{turn}.in"], walk.beats, note=note)
        k_last = machine.pairs(k - (pitch - 1) * lanes)
        rows = {"rows": lanes, "rows_last": last}
        work.step(turn, FeedStep(tiles=1, m_tiles=blocks, blocks=pitch, k_last=k_last, note=note, **rows))
        port = f"{turn}.out"
    else:
        walk = Walk(base=first, counts=(1, 1, 1, blocks, k), strides=(0, 0, 0, 1, pitch))
        if machine.depth > 1:
            pack = f"pack_{visit.cores[0]}"
            work.net.move(port, [f"{pack}.in"], walk.beats, note=note)
            high = {"rows": machine.depth, "rows_last": k - (machine.pairs(k) - 1) * machine.depth}
            bounds = {"tiles": blocks, "m_tiles": machine.pairs(k), "blocks": 1, "k_last": 1}
            work.step(pack, FeedStep(**bounds, **high, note=note))
            port = f"{pack}.out"
    source.fetch(row, walk, note)
    entrances = tuple(work.weights.entrance(core) for core in share.cores)
    legs = (entrances,) if share.by_rows else tuple((entrance,) for entrance in entrances)
    work.net.flow(Flow(tuple(FlowLeg(port, leg) for leg in legs), share.tiles, machine.pairs(k), note=note))
