"""Matmul with constant weights: column blocks in turn on the visit's cores."""

from __future__ import annotations

from collections.abc import Sequence

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
    full, rest = divmod(work.site.pitch(visit.task.output), len(visit.cores))
    if full:
        _rounds(work, visit, 0, full, visit.cores)
    if rest:
        _rounds(work, visit, full * len(visit.cores), 1, visit.cores[:rest])


def _rounds(work: Work, visit: Visit, first: int, rounds: int, cores: tuple[int, ...]) -> None:
    """`rounds` rounds in which each of `cores` makes one column block, starting at block `first`."""
    site, task = work.site, visit.task
    assert isinstance(task, QMatmul)
    size, pitch = site.machine.rows, site.pitch(task.output)
    m_tiles = -(-visit.rows // size)
    rows, last = min(size, visit.rows), visit.rows - (m_tiles - 1) * size
    note = f"{task.name} rows {visit.row}+{visit.rows} blocks {first}+{rounds}x{len(cores)}"
    shape = {"tiles": rounds, "m_tiles": m_tiles, "rows": rows, "rows_last": last, "note": note}
    _operands(work, visit, cores, shape)
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
    for memory in work.tensors.results(visit):
        memory.write(visit.row, target, note)


def _operands(work: Work, visit: Visit, cores: Sequence[int], shape: dict) -> None:
    """The visit's rows to the feeds of all `cores`, once a round."""
    depth, rows = work.site.pitch(visit.task.inputs[0]), shape["rows"]
    source = work.tensors.reader(visit, 0)
    walk = Walk(
        counts=(1, shape["tiles"], shape["m_tiles"], depth, rows),
        strides=(0, 0, work.site.machine.rows * depth, 1, depth),
        ragged=2,
        last=shape["rows_last"],
    )
    source.fetch(visit.row, walk, shape["note"])
    feeds = [f"feed_{core}.in" for core in cores]
    work.net.move(source.port("out"), feeds, shape["tiles"] * visit.rows * depth, note=shape["note"])


def _core(work: Work, visit: Visit, core: int, blocks: Sequence[int], shape: dict) -> None:
    """The products of `blocks`."""
    k, depth = work.weights.k(visit.task), work.site.pitch(visit.task.inputs[0])
    k_last = k - (depth - 1) * work.site.machine.lanes
    work.step(f"feed_{core}", FeedStep(blocks=depth, k_last=k_last, **shape))
    work.step(f"core_{core}", CoreStep(k=k, k_last=k, **shape))
