"""Matmul with constant weights: column blocks in turn on the visit's cores. Products of two activations share its parts.

A matmul that *follows* its producer does all its column blocks at once: its input comes column block by column block, and
each is multiplied into the sums of every column block of the output, which the core keeps (contexts).
"""

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
            work.params.load([core], task.name, work.params.channels(task, blocks), note)


def append(work: Work, visit: Visit) -> None:
    if visit.follows:
        _follow(work, visit)
    for first, rounds, cores in shares(work, visit):
        shape = shape_of(work, visit, first, rounds, cores)
        if not visit.follows:
            _rounds(work, visit, first, cores, shape)
        _tail(work, visit, first, cores, shape)
        results(work, visit, first, cores, shape)


def shares(work: Work, visit: Visit) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """(first column block, rounds, cores): in each round each of the cores makes one block."""
    pitch = work.site.pitch(visit.task.output)
    full, rest = divmod(pitch, len(visit.cores))
    if full:
        yield 0, full, visit.cores
    if rest:
        yield pitch - rest, 1, visit.cores[:rest]


def _rounds(work: Work, visit: Visit, first: int, cores: tuple[int, ...], shape: dict) -> None:
    """Rounds in which each of `cores` makes one column block, starting at block `first`."""
    task, rounds = visit.task, shape["tiles"]
    operands(work, visit, cores, first == 0, shape)
    for position, core in enumerate(cores):
        blocks = [first + r * len(cores) + position for r in range(rounds)]
        work.weights.load(visit, core, blocks, f"{task.name} blocks {first}+{rounds}x{len(cores)}")
        products(work, visit, core, blocks, shape)
        known = work.weights.blocks(visit, core).index(blocks[0])
        work.params.read(core, task.name, known, rounds, 4)
        work.vector(core, task, rounds, visit.rows, "acc", True, shape["note"])


def _follow(work: Work, visit: Visit) -> None:
    """All column blocks at once: slice after slice of the input into the sums of all of them."""
    task, rows = visit.task, visit.rows
    depth, k = work.site.pitch(task.inputs[0]), work.weights.k(task)
    k_last = k - (depth - 1) * work.site.machine.lanes
    note = f"{task.name} follows {task.inputs[0]}"
    shape: dict = {"tiles": 1, "m_tiles": 1, "rows": rows, "rows_last": rows, "k_last": k_last, "note": note}
    source = work.tensors.reader(visit, 0)
    source.follow(note)
    cores = [core for core in visit.cores if work.weights.blocks(visit, core)]
    work.net.move(source.port("out"), [f"feed_{core}.in" for core in cores], depth * rows, note=note)
    for core in cores:
        count = len(work.weights.blocks(visit, core))
        work.step(f"feed_{core}", FeedStep(blocks=depth, replay=count, **shape))
        size = work.site.machine.lanes if depth > 1 else k_last
        work.step(f"core_{core}", CoreStep(visits=depth, contexts=count, k=size, **shape))
        work.weights.stream_slices(visit, core, note)
        work.net.move(f"feed_{core}.out", [f"core_{core}.a"], k * count, note=note)
        work.net.move(f"core_{core}.out", [f"vector_{core}.acc"], count * rows, note=note)
        work.params.read(core, task.name, 0, count, 4)
        work.vector(core, task, count, rows, "acc", True, note)


def _tail(work: Work, visit: Visit, first: int, cores: Sequence[int], shape: dict) -> None:
    """The second operand of what the vector units do with the results on their way out."""
    assert isinstance(visit.task, QMatmul)
    if visit.task.tail is not None:
        other = work.tensors.reader(visit, 1)
        other.fetch(visit.row, _target(work, visit, first, cores, shape), shape["note"])
        _in_turn(work, tuple(FlowLeg(other.port("out"), (f"vector_{core}.y",)) for core in cores), shape)


def shape_of(work: Work, visit: Visit, first: int, rounds: int, cores: Sequence[int]) -> dict:
    """Loop bounds and note that feeds and cores have in common."""
    size = work.site.machine.rows
    m_tiles = -(-visit.rows // size)
    rows, last = min(size, visit.rows), visit.rows - (m_tiles - 1) * size
    note = f"{visit.task.name} rows {visit.row}+{visit.rows} blocks {first}+{rounds}x{len(cores)}"
    return {"tiles": rounds, "m_tiles": m_tiles, "rows": rows, "rows_last": last, "note": note}


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


def operands(work: Work, visit: Visit, cores: Sequence[int], begin: bool, shape: dict) -> None:
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


def products(work: Work, visit: Visit, core: int, blocks: Sequence[int], shape: dict) -> None:
    """One core's blocks: operands and weights meet, accumulators go to the vector unit."""
    k, depth = work.weights.k(visit.task), work.site.pitch(visit.task.inputs[0])
    k_last = k - (depth - 1) * work.site.machine.lanes
    work.step(f"feed_{core}", FeedStep(blocks=depth, k_last=k_last, **shape))
    work.step(f"core_{core}", CoreStep(k=k, k_last=k, **shape))
    work.weights.use(visit, core, blocks, shape["note"])
    beats, note = shape["tiles"] * shape["m_tiles"] * k, shape["note"]
    work.net.move(f"feed_{core}.out", [f"core_{core}.a"], beats, note=note)
    work.net.move(f"core_{core}.out", [f"vector_{core}.acc"], shape["tiles"] * visit.rows, note=note)


def results(work: Work, visit: Visit, first: int, cores: Sequence[int], shape: dict) -> None:
    """What the vector units of `cores` send, into every copy of the output; in the last round block of rows by block."""
    legs = tuple(FlowLeg(f"vector_{core}.out", work.tensors.sinks(visit)) for core in cores)
    _in_turn(work, legs, shape)
    rounds, target = shape["tiles"], _target(work, visit, first, cores, shape)
    end = first + rounds * len(cores) == work.site.pitch(visit.task.output)
    for memory in work.tensors.results(visit):
        if visit.followed:
            across = {"counts": (rounds, 1, 1, len(cores), shape["rows"]), "ragged": -1}
            down = work.site.pitch(visit.task.output)
            memory.write_portions(
                target.model_copy(update={**across, "strides": (len(cores), 0, 0, 1, down)}), shape["note"]
            )
            continue
        for walk in _by_blocks(target, rounds - 1) if end else (target,):
            memory.write(visit.row, walk, shape["note"])


def _target(work: Work, visit: Visit, first: int, cores: Sequence[int], shape: dict) -> Walk:
    """Where the results of these rounds lie in the output."""
    pitch = work.site.pitch(visit.task.output)
    return Walk(
        base=first,
        counts=(1, shape["tiles"], shape["m_tiles"], len(cores), shape["rows"]),
        strides=(0, len(cores), work.site.machine.rows * pitch, 1, pitch),
        ragged=2,
        last=shape["rows_last"],
    )


def _in_turn(work: Work, legs: tuple[FlowLeg, ...], shape: dict) -> None:
    """Block after block of rows, in each the cores in turn."""
    tiles = shape["tiles"] * shape["m_tiles"]
    work.net.flow(Flow(legs, tiles, shape["rows"], shape["m_tiles"], shape["rows_last"], shape["note"]))
