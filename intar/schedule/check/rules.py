"""Rules of a stage: cores, pattern, tile height."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil

from intar.ir.kernels import block_beats
from intar.ir.quantgraph import GRID, ROW_WISE, QConv, QMatmul, QMove, QProduct, QSoftmax, QTask
from intar.ir.schedule import Placement, Stage
from intar.schedule.check.facts import Facts, Violation


def stage_rules(facts: Facts, i: int) -> Iterator[Violation]:
    """Cores, pattern and tile height of one stage."""
    stage, where = facts.schedule.stages[i], f"stage {i}"
    if not stage.tasks:
        yield Violation("pattern", where, "no tasks")
        return
    for placement in stage.tasks:
        cores, task = placement.cores, facts.tasks[placement.task]
        if isinstance(task, QConv) and facts.machine.kernel_ring:
            block = block_beats(task, facts.machine.rows, facts.machine.lanes)
            if 2 * block > facts.machine.kernel_ring:
                yield Violation(
                    "kernels", where, f"{placement.task}: two blocks of {block} beats in the ring"
                )
        if isinstance(facts.tasks[placement.task], ROW_WISE):
            if cores:
                yield Violation("cores", where, f"{placement.task} runs on the rows node, not on cores")
        elif (
            not cores or len(set(cores)) != len(cores) or min(cores) < 0 or max(cores) >= facts.machine.cores
        ):
            yield Violation("cores", where, f"{placement.task} on cores {list(cores)}")
        elif list(cores) != list(range(cores[0], cores[0] + len(cores))):
            yield Violation("cores", where, f"{placement.task}: cores {list(cores)} are not contiguous")
        if (
            not isinstance(facts.tasks[placement.task], (QMatmul, QProduct, *ROW_WISE, *GRID))
            and len(cores) != 1
            and facts.fixed_groups is False
        ):
            yield Violation("cores", where, f"{placement.task} has no products and takes one vector unit")
        if _from_ports(facts.tasks[placement.task]) and len(cores) != facts.machine.cores:
            yield Violation("cores", where, f"{placement.task} reads a state, whose ports serve all cores")
        most = facts.machine.row_units if isinstance(facts.tasks[placement.task], QSoftmax) else 1
        if not 0 <= placement.unit < most:
            yield Violation("unit", where, f"{placement.task} on rows node {placement.unit}, of {most}")
        if placement.resident and (
            not stage.tile_rows
            or facts.machine.on_chip
            or not isinstance(facts.tasks[placement.task], QMatmul)
        ):
            yield Violation("resident", where, f"{placement.task}: nothing to keep")
        if placement.axis == "rows" and not isinstance(facts.tasks[placement.task], QMatmul | QProduct):
            yield Violation("axis", where, f"{placement.task} has no rows to share")
        if placement.follows and not _can_follow(facts, stage, placement):
            yield Violation("follows", where, f"{placement.task} can't take its input block by block")
    if stage.pattern in ("pipelined", "parallel"):
        used = Counter(core for p in stage.tasks for core in set(p.cores))
        for core, times in sorted(used.items()):
            if times > 1:
                yield Violation("cores", where, f"core {core} has {times} tasks")
    yield from _pattern(facts, stage, where)


def _can_follow(facts: Facts, stage: Stage, placement: Placement) -> bool:
    """A matmul of one array tile of rows, after a matmul of the stage that does not do so itself; at most 32 sums."""
    task = facts.tasks[placement.task]
    before = [p for p in stage.tasks if facts.tasks[p.task].output == task.inputs[0]]
    rows = facts.rows[task.output]
    return (
        stage.pattern == "pipelined"
        and isinstance(task, QMatmul)
        and stage.tile_rows == rows <= facts.machine.rows
        and placement.axis == "columns"
        and any(
            isinstance(facts.tasks[p.task], QMatmul) and not p.follows and p.axis == "columns" for p in before
        )
        and ceil(ceil(facts.cols[task.output] / facts.machine.lanes) / max(1, len(placement.cores))) <= 32
    )


def _pattern(facts: Facts, stage: Stage, where: str) -> Iterator[Violation]:
    tasks = [facts.tasks[p.task] for p in stage.tasks]
    names = {task.name for task in tasks}
    inside = [
        (facts.maker[t], task.name) for task in tasks for t in task.inputs if facts.maker.get(t) in names
    ]
    allowed = {
        "auto": {"sequential", "pipelined", "parallel", "interleaved"},
        "intar": {"sequential", "pipelined", "parallel"},
        "sequential": {"sequential"},
        "dataflow": {"pipelined", "parallel"},
    }[facts.schedule.mode]
    if stage.pattern not in allowed:
        yield Violation("mode", where, f"{stage.pattern} in mode {facts.schedule.mode}")
    if stage.pattern in ("sequential", "parallel"):
        if stage.tile_rows:
            yield Violation("tile", where, f"{stage.tile_rows} tile rows in a {stage.pattern} stage")
        if inside:
            yield Violation("pattern", where, f"{inside[0][1]} depends on {inside[0][0]}")
    if stage.pattern == "sequential":
        if len(tasks) != 1:
            yield Violation("pattern", where, f"{len(tasks)} tasks in a sequential stage")
        elif (
            isinstance(tasks[0], (QMatmul, QProduct, *GRID))
            and len(stage.tasks[0].cores) != facts.machine.cores
        ):
            yield Violation("cores", where, f"{tasks[0].name} is not on all cores")
    elif len(tasks) > 1 and any(isinstance(task, (QMove, *GRID)) or _from_ports(task) for task in tasks):
        yield Violation(
            "pattern", where, "a move task, a task on images, or a product with a state beside others"
        )
    if stage.pattern == "parallel" and len(tasks) < 2 and not facts.fixed_groups:
        yield Violation("pattern", where, "one task in a parallel stage")
    if stage.pattern == "parallel":
        units = Counter(p.unit for p in stage.tasks if isinstance(facts.tasks[p.task], ROW_WISE))
        for unit, times in sorted(units.items()):
            if times > 1:
                yield Violation("unit", where, f"rows node {unit} has {times} tasks")
    if stage.pattern in ("pipelined", "interleaved"):
        yield from _tiles(facts, stage, where, tasks, inside)
    if stage.pattern == "interleaved":
        for placement in stage.tasks:
            arrays = isinstance(facts.tasks[placement.task], QMatmul | QProduct)
            if arrays and len(placement.cores) != facts.machine.cores:
                yield Violation("cores", where, f"{placement.task} is not on all cores")


def _from_ports(task: QTask) -> bool:
    return isinstance(task, QProduct) and bool(task.state)


def _tiles(
    facts: Facts, stage: Stage, where: str, tasks: list[QTask], inside: list[tuple[str, str]]
) -> Iterator[Violation]:
    heights = {facts.rows[task.output] for task in tasks}
    if len(heights) != 1:
        yield Violation("tile", where, f"tasks with {sorted(heights)} rows")
    for task in tasks:
        by_row = task.inputs[:1] if isinstance(task, QProduct) else task.inputs
        if any(facts.rows[t] != facts.rows[task.output] for t in by_row):
            yield Violation("tile", where, f"{task.name} does not preserve rows")
        if isinstance(task, QProduct) and facts.maker.get(task.inputs[1]) in {other.name for other in tasks}:
            yield Violation("tile", where, f"{task.name} needs {task.inputs[1]} whole before it begins")
    rows = max(heights)
    if not 0 < stage.tile_rows <= rows:
        yield Violation("tile", where, f"{stage.tile_rows} tile rows of {rows}")
    elif stage.tile_rows % facts.machine.rows and stage.tile_rows != rows:
        yield Violation("tile", where, f"{stage.tile_rows} tile rows on cores of {facts.machine.rows} rows")
    part = {task.name: {task.name} for task in tasks}
    for a, b in inside:
        union = part[a] | part[b]
        for name in union:
            part[name] = union
    groups = {frozenset(names) for names in part.values()}
    if len(groups) > 1:
        yield from _side_by_side(
            facts, stage, where, [[p for p in stage.tasks if p.task in g] for g in groups]
        )


def _side_by_side(
    facts: Facts, stage: Stage, where: str, parts: list[list[Placement]]
) -> Iterator[Violation]:
    """Parts of a stage that have nothing to do with each other: each has softmaxes, on a rows node of its own, and unless
    core groups are fixed the n-th of the rows nodes serves what the first one serves, on the next cores as many."""
    softmaxes = [[p.unit for p in part if isinstance(facts.tasks[p.task], QSoftmax)] for part in parts]
    if (
        stage.pattern != "pipelined"
        or sorted({unit for units in softmaxes for unit in units}) != list(range(len(parts)))
        or not all(len(set(units)) == 1 for units in softmaxes)
    ):
        yield Violation("pattern", where, "tasks that have nothing to do with each other")
    elif not facts.fixed_groups:
        size = facts.machine.cores // len(parts)
        looks = {
            tuple(_looks(facts, p, units[0] * size) for p in part)
            for part, units in zip(parts, softmaxes, strict=True)
        }
        if len(looks) > 1:
            yield Violation(
                "pattern", where, "softmaxes on several rows nodes, whose tasks and cores are not alike"
            )


def _looks(facts: Facts, place: Placement, first: int) -> tuple[object, ...]:
    """A task and its place, with cores counted from `first` on."""
    task = facts.tasks[place.task]
    cores = tuple(core - first for core in place.cores)
    form = (task.kind, facts.cols[task.inputs[0]], facts.cols[task.output])
    return (*form, cores, place.axis, place.resident, place.follows)
