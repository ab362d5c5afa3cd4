"""Matmul with constant weights: column blocks in turn on the visit's cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intar.ir.program import CoreStep, FeedStep, Walk
from intar.ir.quantgraph import QMatmul
from intar.lower.netlist import Flow, FlowLeg
from intar.lower.visits import Visit
from intar.lower.work import Work


def vector_cores(work: Work, visit: Visit) -> Sequence[int]:
    """Those that have a column block to make."""
    return visit.cores[: work.site.pitch(visit.task.output)]


def prepare(work: Work, visit: Visit) -> None:
    task = visit.task
    assert isinstance(task, QMatmul)
    for core in visit.cores:
        blocks = work.weights.blocks(visit, core)
        if blocks:
            note = f"{task.name}: parameters of core {core}"
            work.params.load(core, task.name, work.params.channels(task, blocks), note)


def append(work: Work, visit: Visit) -> None:
    pitch = work.site.pitch(visit.task.output)
    full, rest = divmod(pitch, len(visit.cores))
    if full:
        _rounds(work, visit, 0, full, visit.cores)
    if rest:
        _rounds(work, visit, pitch - rest, 1, visit.cores[:rest])


def _rounds(work: Work, visit: Visit, first: int, rounds: int, cores: tuple[int, ...]) -> None:
    """`rounds` rounds in which each of `cores` makes one column block, starting at block `first`.

    The visit's first round takes its rows, and the last one leaves its results, block of rows by block of rows.
    """
    site, task = work.site, visit.task
    assert isinstance(task, QMatmul)
    size, pitch = site.machine.rows, site.pitch(task.output)
    m_tiles = -(-visit.rows // size)
    rows, last = min(size, visit.rows), visit.rows - (m_tiles - 1) * size
    note = f"{task.name} rows {visit.row}+{visit.rows} blocks {first}+{rounds}x{len(cores)}"
    shape = {"tiles": rounds, "m_tiles": m_tiles, "rows": rows, "rows_last": last, "note": note}
    _operands(work, visit, cores, first == 0, shape)
    for position, core in enumerate(cores):
        blocks = [first + r * len(cores) + position for r in range(rounds)]
        _core(work, visit, core, blocks, shape)
        work.weights.stream(visit, core, blocks, f"{task.name} blocks {first}+{rounds}x{len(cores)}")
        k = work.weights.k(task)
        work.net.move(f"feed_{core}.out", [f"core_{core}.a"], rounds * m_tiles * k, note=note)
        work.net.move(f"core_{core}.out", [f"vector_{core}.acc"], rounds * visit.rows, note=note)
        known = work.weights.blocks(visit, core).index(blocks[0])
        work.params.read(core, task.name, known, rounds, 4)
        work.vector(core, task, rounds, visit.rows, "acc", True, note)
    target = Walk(
        base=first,
        counts=(1, rounds, m_tiles, len(cores), rows),
        strides=(0, len(cores), size * pitch, 1, pitch),
        ragged=2,
        last=last,
    )
    if task.tail is not None:
        other = work.tensors.reader(visit, 1)
        other.fetch(visit.row, target, note)
        legs = tuple(FlowLeg(other.port("out"), (f"vector_{core}.y",)) for core in cores)
        work.net.flow(Flow(legs, rounds * m_tiles, rows, m_tiles, last, note))
    legs = tuple(FlowLeg(f"vector_{core}.out", work.tensors.sinks(visit)) for core in cores)
    work.net.flow(Flow(legs, rounds * m_tiles, rows, m_tiles, last, note))
    end = first + rounds * len(cores) == pitch
    for memory in work.tensors.results(visit):
        for walk in _by_blocks(target, rounds - 1) if end else (target,):
            memory.write(visit.row, walk, note)


def _by_blocks(walk: Walk, round: int) -> Iterator[Walk]:
    """The same addresses, with an outermost iteration for each block of rows of one round, the first or the last."""
    _, rounds, m_tiles, columns, rows = walk.counts
    _, across, down, right, below = walk.strides
    rest = walk.model_copy(update={"base": walk.base + (0 if round else across)})
    rest = rest.model_copy(update={"counts": (1, rounds - 1, m_tiles, columns, rows)})
    if rounds > 1 and round:
        yield rest
    yield Walk(
        base=walk.base + round * across,
        counts=(m_tiles, 1, 1, columns, rows),
        strides=(down, 0, 0, right, below),
        ragged=0,
        last=walk.last,
    )
    if rounds > 1 and not round:
        yield rest


def _operands(work: Work, visit: Visit, cores: Sequence[int], begin: bool, shape: dict) -> None:
    """The visit's rows to the feeds of all `cores`, once a round; the first round follows whoever makes the rows."""
    depth, rows = work.site.pitch(visit.task.inputs[0]), shape["rows"]
    source = work.tensors.reader(visit, 0)
    walk = Walk(
        counts=(1, shape["tiles"], shape["m_tiles"], depth, rows),
        strides=(0, 0, work.site.machine.rows * depth, 1, depth),
        ragged=2,
        last=shape["rows_last"],
    )
    follows = begin and source.in_blocks(visit.row, shape["m_tiles"])
    for part in _by_blocks(walk, 0) if follows else (walk,):
        source.fetch(visit.row, part, shape["note"])
    feeds = [f"feed_{core}.in" for core in cores]
    work.net.move(source.port("out"), feeds, shape["tiles"] * visit.rows * depth, note=shape["note"])


def _core(work: Work, visit: Visit, core: int, blocks: Sequence[int], shape: dict) -> None:
    """The products of `blocks`."""
    k, depth = work.weights.k(visit.task), work.site.pitch(visit.task.inputs[0])
    k_last = k - (depth - 1) * work.site.machine.lanes
    work.step(f"feed_{core}", FeedStep(blocks=depth, k_last=k_last, **shape))
    work.step(f"core_{core}", CoreStep(k=k, k_last=k, **shape))
