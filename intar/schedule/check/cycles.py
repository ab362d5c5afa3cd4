"""Cycles of a stage: its tasks, and the traffic that does not hide behind them."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from intar.ir.pixels import last_read, runs
from intar.ir.quantgraph import GRID, QConv, QMatmul, QPool, QProduct, QTask
from intar.ir.schedule import Placement
from intar.schedule.check.facts import Facts, Violation
from intar.schedule.check.tiled import Interleaved, Pipelined
from intar.schedule.check.work import column_tile, delay, lag, over_pixels, passes


def cycle_rules(facts: Facts) -> Iterator[Violation]:
    """Cycles of every stage, objective, bound and status."""
    schedule = facts.schedule
    for i, stage in enumerate(schedule.stages):
        if stage.cycles != stage_cycles(facts, i):
            yield Violation("cycles", f"stage {i}", f"claims {stage.cycles}, takes {stage_cycles(facts, i)}")
    total = sum(stage.cycles for stage in schedule.stages)
    if schedule.objective != total:
        yield Violation("objective", schedule.name, f"{schedule.objective}, the stages take {total}")
    if not 0 <= schedule.bound <= schedule.objective:
        yield Violation("bound", schedule.name, f"{schedule.bound} of {schedule.objective}")
    if schedule.status == "OPTIMAL" and schedule.bound != schedule.objective:
        yield Violation("bound", schedule.name, "optimal without a bound that says so")


def stage_cycles(facts: Facts, i: int) -> int:
    """Cycles of stage `i`: the tasks, then the traffic that does not hide behind them."""
    stage, machine = facts.schedule.stages[i], facts.machine
    tasks = [facts.tasks[p.task] for p in stage.tasks]
    pairs = list(zip(tasks, stage.tasks, strict=True))
    loads, stores = facts.loads(i), facts.stores(i)
    if stage.tile_rows:
        tiles = Interleaved if stage.pattern == "interleaved" else Pipelined
        busy = tiles(facts, i).cycles()
    elif tasks[0].name in facts.runs and not loads:
        busy = 0
    else:
        busy = delay(facts) + max(
            max(passes(facts, t, facts.rows[t.output], p)) + lag(facts, t) for t, p in pairs
        )
    total_in, total_out = sum(map(facts.words, loads)), sum(map(facts.words, stores))
    if stage.tile_rows:
        height, rows = stage.tile_rows, facts.rows[tasks[0].output]
        tail = rows % height or height
        whole = [t for t in loads if facts.home[t].place == "chip" or facts.read_whole(t, i)]
        before = sum(facts.words(t, None if t in whole else height) for t in loads)
        after = sum(facts.words(t, None if facts.home[t].place == "chip" else tail) for t in stores)
        span_in = span_out = busy
    else:
        cores = len(stage.tasks[0].cores)
        if isinstance(tasks[0], GRID):
            before, after = _beats_beside(facts, tasks[0], loads), _beats_beside(facts, tasks[0], stores)
            span_in, span_out = over_pixels(facts, tasks[0], cores, first=True), busy
        else:
            before, span_in = _alongside(
                facts, loads, [(t, p) for t, p in pairs if set(loads) & set(t.inputs)]
            )
            after, span_out = _alongside(facts, stores, [(t, p) for t, p in pairs if t.output in stores])
    busy += max(before, total_in - span_in) + max(after, total_out - span_out)
    return busy + machine.latency * ((total_in > 0) + (total_out > 0))


def _beats_beside(facts: Facts, task: QConv | QPool, tensors: list[str]) -> int:
    """Port cycles beside which a task on images can't work.

    It starts when the last channel has come as far as it reads ahead; its output goes tile by tile, but channel
    after channel, so that the last block of channels has all but one tile of its last channel left.
    """
    lanes, cycles = facts.machine.lanes, 0
    for tensor in tensors:
        row = ceil(facts.cols[tensor] / lanes)
        if tensor == task.output:
            last = task.groups[-1].channels
            high = 1 if isinstance(task, QPool) else last % facts.machine.rows or facts.machine.rows
            beats = (high - 1) * row + 1
        else:
            spans = runs(task, facts.machine)[0].spans
            taps = [group.taps[a:b] for group, (a, b) in zip(task.groups, spans, strict=True)]
            ahead = 1 + max(0, *(last_read(task, part, 0, lanes) for part in taps)) // lanes
            beats = (facts.rows[tensor] - 1) * row + min(row, ahead)
        cycles += facts.transfer(beats, facts.a_bits, facts.ports(tensor))
    return cycles


def _alongside(facts: Facts, tensors: list[str], tasks: list[tuple[QTask, Placement]]) -> tuple[int, int]:
    """(port cycles beside which the tasks can't work, cycles of work beside which the port can).

    A matmul, or a product that is no batch, takes its first input while it comes, in its first column tile, and its
    result goes while it is made, in the last one, a block of rows after the other (where cores take rows: those of a
    round, and only what it takes in the first column tile before other rounds begin). Everything else comes and goes
    as a whole.
    """
    exposed, spans = 0, []
    for tensor in tensors:
        ends = [(t, p) for t, p in tasks if tensor in t.inputs or tensor == t.output]
        made = any(tensor == t.output for t, _ in ends)
        if all(_streams(t) and tensor in (t.inputs[0], t.output) for t, _ in ends) and all(
            t.inputs.count(tensor) < 2 for t, _ in ends
        ):
            blocks = [_block(facts, t, p, made) for t, p in ends if isinstance(t, QMatmul | QProduct)]
            exposed += facts.words(tensor, max(blocks))
        else:
            exposed += facts.words(tensor)
    for task, place in tasks:
        if not isinstance(task, QMatmul | QProduct) or _from_ports(task):
            return exposed, 0
        rows = facts.rows[task.output]
        if place.axis == "rows" and task.output not in tensors:
            item = rows // (task.batch if isinstance(task, QProduct) else 1)
            heights = facts.rounds(task, item, len(place.cores))
            full = heights.count(facts.fed(task, len(place.cores)) * facts.machine.rows)
            rows = heights[0] * max(full, 1)
        spans.append(column_tile(facts, task, rows, place))
    return exposed, min(spans, default=0)


def _block(facts: Facts, task: QMatmul | QProduct, place: Placement, last: bool) -> int:
    """Rows of the first or last block of rows."""
    rows, size = facts.rows[task.output], facts.machine.rows
    if place.axis == "rows":
        return facts.rounds(task, rows, len(place.cores))[-1 if last else 0]
    return (rows % size or size) if last else size


def _streams(task: QTask) -> bool:
    """True for a matmul and for a product that is no batch."""
    return isinstance(task, QMatmul) or (
        isinstance(task, QProduct) and task.batch == 1 and not _from_ports(task)
    )


def _from_ports(task: QTask) -> bool:
    """True for a product with a state, which runs with nothing beside it."""
    return isinstance(task, QProduct) and bool(task.state)
