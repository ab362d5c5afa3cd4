"""Matmul with constant weights, dealt out to the visit's cores. Products of two activations share its parts.

A matmul that *follows* its producer does all its column blocks at once: its input comes column block by column block, and
each is multiplied into the sums of every column block of the output, which the core keeps (contexts).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intar.ir.nodes.arrays import CoreStep, FeedStep
from intar.ir.nodes.memories import Walk
from intar.ir.quantgraph import QMatmul, QProduct
from intar.lower.netlist import Flow, FlowLeg
from intar.lower.shares import Share, Shared, busy_cores, shared_rest, shares
from intar.lower.visits import Visit
from intar.lower.work import Work


def vector_cores(work: Work, visit: Visit) -> Sequence[int]:
    """Those that have something to make."""
    return busy_cores(work.site, visit)


def prepare(work: Work, visit: Visit) -> None:
    """The parameters of every core's columns; by rows all cores have the same."""
    task, cores = visit.task, busy_cores(work.site, visit)
    assert isinstance(task, QMatmul)
    if visit.by_rows:
        beats = work.params.channels(task, work.weights.blocks(visit, cores[0]))
        work.params.load(cores, task.name, beats, f"{task.name}: parameters")
    else:
        work.params.load_channels(task, {core: work.weights.blocks(visit, core) for core in cores})


def append(work: Work, visit: Visit) -> None:
    """Share by share of what the cores get; where it follows its producer, column block by column block of its input."""
    if visit.follows:
        _follow(work, visit)
    for share in _in_order(work, visit):
        if isinstance(share, Shared):
            _side_by_side(work, visit, share)
            continue
        if not visit.follows:
            operands(work, visit, share)
            _share(work, visit, share)
        _tail(work, visit, share)
        results(work, visit, share, share.last)


def _in_order(work: Work, visit: Visit) -> Iterator[Share | Shared]:
    """Column blocks that cores share along both axes go first, so that the rows are complete one after the other, in the
    last round; but behind the first round, if that is not the last one, where it follows others than cores row by row."""
    plain = list(shares(work.site, visit))
    shared = shared_rest(work.site, visit)
    if shared:
        (full,) = plain
        source, name = work.tensors.reader(visit, 0), visit.task.inputs[0]
        apart = not any(t.output == name and isinstance(t, QMatmul | QProduct) for t in work.site.graph.tasks)
        if apart and full.tiles > 1 and source.in_blocks(full.row, full.count, full.height):
            first, plain = full.split()
            yield first
        yield shared
    yield from plain


def _side_by_side(work: Work, visit: Visit, shared: Shared) -> None:
    """Column blocks that cores share along both axes."""
    for share in (shared.above, shared.below):
        _share(work, visit, share)
    _both_operands(work, visit, shared)
    for piece in shared.pieces():
        _tail(work, visit, piece)
        results(work, visit, piece, last=False)


def _both_operands(work: Work, visit: Visit, shared: Shared) -> None:
    """Of every slice of the reduction a beat of the rows above, then one of those below, which are further down in each
    round."""
    above, below, depth = shared.above, shared.below, work.site.pitch(visit.task.inputs[0])
    source = work.tensors.reader(visit, 0)
    feeds = [tuple(f"feed_{core}.in" for core in share.cores) for share in (above, below)]
    for tile in range(above.tiles):
        down = below.row + tile * above.count - above.row
        walk = Walk(
            counts=(above.m_tiles, 1, depth, 2, above.rows),
            strides=(above.rows * depth, 0, 1, down * depth, depth),
        )
        source.fetch(above.row, walk, above.note, rows=above.count, height=above.rows, ahead=down)
        legs = tuple(FlowLeg(source.port("out"), feed) for feed in feeds)
        work.net.flow(Flow(legs, above.m_tiles * depth, above.rows, note=above.note))
    if left := shared.left:
        operands(work, visit, left)


def _share(work: Work, visit: Visit, share: Share) -> None:
    """Weights, products and parameters for all array tiles of a share."""
    task = visit.task
    which = "all blocks" if share.by_rows else f"blocks {share.first}+{share.tiles}x{len(share.cores)}"
    for position, core in enumerate(share.cores):
        blocks = share.blocks(position)
        work.weights.load(visit, core, blocks, f"{task.name} {which}")
        products(work, visit, core, blocks, share)
        known = work.weights.blocks(visit, core).index(blocks[0])
        work.params.read(core, task.name, known, share.tiles, 4)
        work.vector(core, task, share.tiles, share.core_rows, "acc", True, share.note)


def _follow(work: Work, visit: Visit) -> None:
    """All column blocks at once: slice after slice of the input into the sums of all of them."""
    task, rows = visit.task, visit.rows
    depth, k = work.site.pitch(task.inputs[0]), work.weights.pairs(task)
    whole = work.site.machine.pairs(work.site.machine.lanes)
    k_last = k - (depth - 1) * whole
    note = f"{task.name} follows {task.inputs[0]}"
    shape: dict = {"tiles": 1, "m_tiles": 1, "rows": rows, "rows_last": rows, "k_last": k_last, "note": note}
    source = work.tensors.reader(visit, 0)
    source.follow(note)
    cores = busy_cores(work.site, visit)
    work.net.move(source.port("out"), [f"feed_{core}.in" for core in cores], depth * rows, note=note)
    for core in cores:
        count = len(work.weights.blocks(visit, core))
        work.step(f"feed_{core}", FeedStep(blocks=depth, replay=count, **shape))
        size = whole if depth > 1 else k_last
        work.step(f"core_{core}", CoreStep(visits=depth, contexts=count, k=size, **shape))
        work.weights.stream_slices(visit, core, note)
        work.net.move(f"feed_{core}.out", [f"core_{core}.a"], k * count, note=note)
        work.net.move(f"core_{core}.out", [f"vector_{core}.acc"], count * rows, note=note)
        work.params.read(core, task.name, 0, count, 4)
        work.vector(core, task, count, rows, "acc", True, note)


def _tail(work: Work, visit: Visit, share: Share) -> None:
    """The second operand of what the vector units do with the results on their way out."""
    assert isinstance(visit.task, QMatmul)
    if visit.task.tail is not None:
        other = work.tensors.reader(visit, 1)
        walk = _target(work, visit, share)
        if work.site.row_factor(visit.task):
            walk = share.walk(1, share.across, 0).model_copy(update={"strides": (0, 0, share.height, 0, 1)})
        other.fetch(share.row, walk, share.note)
        _in_turn(
            work, tuple(FlowLeg(other.port("out"), (f"vector_{core}.y",)) for core in share.cores), share
        )


def _by_blocks(walk: Walk, round: int) -> Iterator[tuple[Walk, bool]]:
    """The same addresses, with an outermost iteration for each block of rows of one round, the first or the last (True)."""
    _, rounds, m_tiles, columns, rows = walk.counts
    _, across, down, right, below = walk.strides
    rest = walk.model_copy(update={"base": walk.base + (0 if round else across)})
    rest = rest.model_copy(update={"counts": (1, rounds - 1, m_tiles, columns, rows)})
    if rounds > 1 and round:
        yield rest, False
    blocks = Walk(
        base=walk.base + round * across,
        counts=(m_tiles, 1, 1, columns, rows),
        strides=(down, 0, 0, right, below),
        ragged=0,
        last=walk.last,
    )
    yield blocks, True
    if rounds > 1 and not round:
        yield rest, False


def operands(work: Work, visit: Visit, share: Share) -> None:
    """The share's rows to the feeds of its cores, once a round; the first round follows whoever makes the rows."""
    pitch = work.site.pitch(visit.task.inputs[0])
    depth = visit.beats or pitch
    source = work.tensors.reader(visit, 0)
    walk = share.walk(pitch, depth, 0)
    if share.first == 0 and source.in_blocks(share.row, share.count, share.height):
        for part, blocks in _by_blocks(walk, 0):
            height = share.height if blocks else 0
            source.fetch(share.row, part, share.note, rows=share.count, height=height)
    else:
        source.fetch(share.row, walk, share.note)
    feeds = [f"feed_{core}.in" for core in share.cores]
    if share.by_rows:
        legs = tuple(FlowLeg(source.port("out"), (feed,)) for feed in feeds)
        work.net.flow(Flow(legs, share.tiles * share.m_tiles * depth, share.rows, note=share.note))
    else:
        work.net.move(source.port("out"), feeds, walk.beats, note=share.note)


def products(work: Work, visit: Visit, core: int, blocks: Sequence[int], share: Share) -> None:
    """One core's blocks: operands and weights meet, accumulators go to the vector unit."""
    machine = work.site.machine
    k, depth = (
        machine.pairs(work.weights.channels(visit)),
        visit.beats or work.site.pitch(visit.task.inputs[0]),
    )
    k_last = k - (depth - 1) * machine.pairs(machine.lanes)
    work.step(f"feed_{core}", FeedStep(blocks=depth, k_last=k_last, **share.shape))
    work.step(f"core_{core}", CoreStep(k=k, k_last=k, **share.shape))
    work.weights.use(visit, core, blocks, share.m_tiles, share.note)
    beats = share.tiles * share.m_tiles * k
    work.net.move(f"feed_{core}.out", [f"core_{core}.a"], beats, note=share.note)
    work.net.move(f"core_{core}.out", [f"vector_{core}.acc"], share.tiles * share.core_rows, note=share.note)


def results(work: Work, visit: Visit, share: Share, last: bool) -> None:
    """What the vector units of the cores send, into every copy of the output; in the last round block of rows by block,
    before it round by round where a move follows. `last`: the rows are complete with this share."""
    legs = tuple(FlowLeg(f"vector_{core}.out", work.tensors.sinks(visit)) for core in share.cores)
    _in_turn(work, legs, share)
    target, pitch = _target(work, visit, share), work.site.pitch(visit.task.output)
    moved = visit.task.output in work.site.moved
    for memory in work.tensors.results(visit):
        if visit.followed:
            across = {"counts": (share.tiles, 1, 1, share.across, share.rows), "ragged": -1}
            strides = {"strides": (share.across, 0, 0, 1, pitch)}
            memory.write_portions(target.model_copy(update={**across, **strides}), share.note)
            continue
        for walk, blocks in _by_blocks(target, share.tiles - 1) if last else ((target, False),):
            if blocks:
                memory.write(share.row, walk, share.note, share.count, share.height)
            elif moved:
                memory.write_rounds(share.row, share.count, walk, share.first, share.across, share.note)
            else:
                memory.write(share.row, walk, share.note)


def _target(work: Work, visit: Visit, share: Share) -> Walk:
    """Where the results of a share lie in the output."""
    pitch = work.site.pitch(visit.task.output)
    return share.walk(pitch, share.across, share.across, share.first)


def _in_turn(work: Work, legs: tuple[FlowLeg, ...], share: Share) -> None:
    """Block after block of rows, in each the cores in turn."""
    tiles = share.tiles * share.m_tiles
    work.net.flow(Flow(legs, tiles, share.rows, share.m_tiles, share.rows_last, share.note))
