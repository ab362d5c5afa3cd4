"""Product with a state: each port of the states brings the rows of its blocks (heads) to a group of cores.

Item `i` of the batch is the business of port ``i % ports`` and its cores, so that so many items are made side by side.
Behind the state's rows come the new ones, from their buffer. Where the second operand has a row for each element of the
reduction, each core of a group has a column block of its own; where it has a row for each result column, the cores of a
group take the blocks in turn. Rows that have come wait at the cores, turned, while these do something else: a core takes
several rows a cycle, a port brings one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from intar.ir.nodes.arrays import CoreStep, FeedStep
from intar.ir.nodes.memories import Walk
from intar.ir.quantgraph import QProduct
from intar.lower.netlist import Flow, FlowLeg
from intar.lower.visits import Visit
from intar.lower.work import Work


@dataclass(frozen=True)
class _Round:
    """Items `first` … ``first + ports - 1``, one a port; `groups` are the cores that serve each."""

    first: int
    groups: tuple[tuple[int, ...], ...]


def _groups(work: Work, task: QProduct, cores: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """The cores of each port that have something to do."""
    ports = work.site.machine.state_ports
    size = len(cores) // ports
    busy = min(size, work.site.pitch(task.output))
    return tuple(tuple(cores[port * size + n] for n in range(busy)) for port in range(ports))


def _rounds(work: Work, visit: Visit) -> Iterator[_Round]:
    task = visit.task
    assert isinstance(task, QProduct)
    groups = _groups(work, task, visit.cores)
    for first in range(0, task.batch, len(groups)):
        yield _Round(first, groups)


def vector_cores(work: Work, visit: Visit) -> Sequence[int]:
    """All cores that make something."""
    assert isinstance(visit.task, QProduct)
    return [core for group in _groups(work, visit.task, visit.cores) for core in group]


def append(work: Work, visit: Visit) -> None:
    """Round after round: operands, the second operand of every item, products, results."""
    task = visit.task
    assert isinstance(task, QProduct)
    for one in _rounds(work, visit):
        note = f"{task.name} items {one.first}+{len(one.groups)}"
        _second(work, visit, one, note)
        size = len(one.groups[0])
        full, rest = divmod(work.site.pitch(task.output), size)
        for first, tiles, count in ((0, full, size), (full * size, 1, rest)):
            if tiles and count:
                _tiles(work, visit, one, first, tiles, count, note)


def _tiles(work: Work, visit: Visit, one: _Round, first: int, tiles: int, count: int, note: str) -> None:
    """`tiles` column blocks from `first` on for each of the first `count` cores of every group, which take them in turn."""
    task, machine = visit.task, work.site.machine
    assert isinstance(task, QProduct)
    items, rows = len(one.groups), work.site.tensors[task.output].rows // task.batch
    k, depth = work.weights.pairs(task), work.site.pitch(task.inputs[0])
    bounds: dict = {"tiles": tiles, "m_tiles": 1, "rows": rows, "rows_last": rows, "note": note}
    source = work.tensors.reader(visit, 0)
    if tiles == 1:  # item after item, as they are made
        walk = Walk(counts=(items, 1, 1, depth, rows), strides=(rows * depth, 0, 0, 1, depth))
        source.fetch(one.first * rows, walk, note, rows=items * rows, height=rows)
    else:
        walk = Walk(counts=(1, tiles, items, depth, rows), strides=(0, 0, rows * depth, 1, depth))
        source.fetch(one.first * rows, walk, note)
    legs = []
    for group in one.groups:
        legs.append(FlowLeg(source.port("out"), tuple(f"feed_{core}.in" for core in group[:count])))
        for core in group[:count]:
            k_last = k - (depth - 1) * machine.pairs(machine.lanes)
            work.step(f"feed_{core}", FeedStep(blocks=depth, k_last=k_last, **bounds))
            work.step(f"core_{core}", CoreStep(k=k, k_last=k, **bounds))
            work.net.move(f"feed_{core}.out", [f"core_{core}.a"], tiles * k, note=note)
            work.net.move(f"core_{core}.out", [f"vector_{core}.acc"], tiles * rows, note=note)
            work.vector(core, task, tiles, rows, "acc", False, note)
    work.net.flow(Flow(tuple(legs), tiles, depth * rows, note=note))
    _results(work, visit, one, first, tiles, count, note)


def _results(work: Work, visit: Visit, one: _Round, first: int, tiles: int, count: int, note: str) -> None:
    """Where the results of `_tiles` go: a single tile item after item, so that readers follow those that complete rows."""
    task, items = visit.task, len(one.groups)
    assert isinstance(task, QProduct)
    sinks, pitch = work.tensors.sinks(visit), work.site.pitch(task.output)
    rows = work.site.tensors[task.output].rows // task.batch
    if tiles == 1:
        legs = tuple(FlowLeg(f"vector_{core}.out", sinks) for group in one.groups for core in group[:count])
        into = Walk(base=first, counts=(items, 1, 1, count, rows), strides=(rows * pitch, 0, 0, 1, pitch))
    else:
        cores = (group[n] for n in range(count) for group in one.groups)
        legs = tuple(FlowLeg(f"vector_{core}.out", sinks) for core in cores)
        counts, strides = (1, 1, tiles * count, items, rows), (0, 0, 1, rows * pitch, pitch)
        into = Walk(base=first, counts=counts, strides=strides)
    work.net.flow(Flow(legs, tiles, rows, note=note))
    height = rows if tiles == 1 and first + count == pitch else 0
    for memory in work.tensors.results(visit):
        memory.write(one.first * rows, into, note, items * rows, height)


def _second(work: Work, visit: Visit, one: _Round, note: str) -> None:
    """The rows of the state, and those behind it, of each item to its cores."""
    task, site = visit.task, work.site
    assert isinstance(task, QProduct)
    kept, pitch, machine = site.kept[task.state], site.pitch(task.inputs[1]), site.machine
    new = site.tensors[task.inputs[1]].rows // task.batch
    old, kind = kept.state.rows, "turn" if task.transposed else "pack"
    source = work.tensors.reader(visit, 1)
    source.fetch(
        one.first * new,
        Walk(counts=(1, 1, 1, 1, len(one.groups) * new * pitch), strides=(0, 0, 0, 0, 1)),
        note,
    )
    for port, group in enumerate(one.groups):
        node, entrance = f"{kind}_state_{port}", f"{kind}_state_{port}.in"
        for name, beats in work.ports.keep(task.state, "sr", (one.first + port) * old, old, 1, note):
            work.net.move(f"{name}.out", [entrance], beats, note=note)
        behind = source.port("out")
        if pitch > 1:
            join = f"join_state_{port}"
            work.net.move(behind, [f"{join}.in"], new * pitch, note=note)
            bounds = {"tiles": 1, "m_tiles": new, "blocks": 1, "rows": pitch, "rows_last": pitch, "k_last": 1}
            work.step(join, FeedStep(**bounds, note=note))
            behind = f"{join}.out"
        work.net.move(behind, [entrance], new, note=note)
        high = machine.lanes if task.transposed else machine.depth
        blocks = -(-(old + new) // high)
        channels = work.weights.pairs(task) if task.transposed else pitch
        shape = {"tiles": 1, "m_tiles": blocks, "blocks": 1, "k_last": channels}
        work.step(node, FeedStep(**shape, rows=high, rows_last=old + new - (blocks - 1) * high, note=note))
        legs = tuple(FlowLeg(f"{node}.out", (f"core_{core}.w",)) for core in group)
        beats = channels if task.transposed else 1
        full, rest = divmod(blocks, len(group)) if task.transposed else (blocks, 0)
        work.net.flow(Flow(legs, full, beats, note=note))
        if rest:
            work.net.flow(Flow(legs[:rest], 1, beats, note=note))
        for core in group:
            work.net.wait_at(f"core_{core}.w", (full + bool(rest)) * beats)
