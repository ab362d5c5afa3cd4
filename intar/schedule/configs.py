"""The ways to run a set of tasks as a stage, and what each takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from intar.ir.schedule import Machine, Pattern
from intar.schedule import cost, sizes, tiling
from intar.schedule.shape import Shape
from intar.schedule.tiling import Tiled
from intar.schedule.work import Work, ceil_div


@dataclass(frozen=True)
class Config:
    """One way to run a set of tasks: `tasks` in dependency order with their cores (first core, count), and whether these
    share the task's rows (`by_rows`) or its columns; `units`: their rows nodes.

    `compute`: cycles without activation traffic; `weights`: bytes that stay for the run, of resident weights and of copies
    of parameters; `tiled`: the tasks of a pipelined
    stage, of `tiles` row tiles.
    """

    pattern: Pattern
    tasks: tuple[int, ...]
    cores: tuple[tuple[int, ...], ...]
    by_rows: tuple[bool, ...]
    resident: tuple[bool, ...]
    follows: tuple[bool, ...]
    units: tuple[int, ...]
    tile_rows: int
    compute: int
    weights: int = 0
    tiled: tuple[Tiled, ...] = ()
    tiles: int = 0


def alone(machine: Machine, work: Work, cores: tuple[int, ...], fixed: bool) -> Config:
    """One task at a time on these cores; `fixed`: in a dataflow, where it has them for itself."""
    compute = cost.task_cycles(work, work.rows, len(cores), True, machine)
    return Config(
        "parallel" if fixed else "sequential",
        (0,),
        (cores,),
        (work.by_rows,),
        (False,),
        (False,),
        (0,),
        0,
        compute + cost.delay(work, machine) + cost.hop(machine),
        sizes.copied_bytes(work, work.rows, len(cores), False, machine),
    )


def side_by_side(machine: Machine, works: tuple[Work, ...], cores: tuple[tuple[int, ...], ...]) -> Config:
    """Independent tasks on groups of cores, softmaxes on a rows node each, whole tensors."""
    pairs = [(work, len(group)) for work, group in zip(works, cores, strict=True)]
    compute = max(
        cost.task_cycles(work, work.rows, g, True, machine) + cost.delay(work, machine) for work, g in pairs
    )
    none, order = (False,) * len(works), tuple(range(len(works)))
    units = tuple(n if work.kind == "rows" else 0 for n, work in enumerate(works))
    copies = sum(sizes.copied_bytes(work, work.rows, g, False, machine) for work, g in pairs)
    axes = tuple(work.by_rows for work in works)
    cycles = compute + cost.hop(machine)
    return Config("parallel", order, cores, axes, none, none, units, 0, cycles, copies)


def tiled(
    machine: Machine, pattern: Pattern, shape: Shape, cores: tuple[tuple[int, ...], ...], tile_rows: int
) -> Iterator[Config]:
    """Tasks that depend on each other, in row tiles: with weights kept or not, following column blocks or not."""
    tiles = ceil_div(shape.works[0].rows, tile_rows)
    choices = []
    for work, group in zip(shape.works, cores, strict=True):
        g = len(group)
        slow = cost.weight_cycles(work, tile_rows, g, machine) > cost.compute_cycles(
            work, tile_rows, g, machine
        )
        waits = pattern == "interleaved"  # its first weights may wait for the ring
        useful = work.kind == "matmul" and tiles > 1 and (slow or waits) and not machine.on_chip
        choices.append((False, True) if useful else (False,))
    for resident in product(*choices):
        for follows in _follows(machine, pattern, shape, cores, tiles):
            yield _in_tiles(machine, pattern, shape, cores, resident, follows, tile_rows)


def _follows(
    machine: Machine, pattern: Pattern, shape: Shape, cores: tuple[tuple[int, ...], ...], tiles: int
) -> Iterator[tuple[bool, ...]]:
    """Which matmuls may follow their producer column block by column block."""
    able = [
        pattern == "pipelined"
        and tiles == 1
        and u >= 0
        and work.kind == shape.works[u].kind == "matmul"
        and work.rows <= machine.rows
        and not (work.by_rows or shape.works[u].by_rows)
        and cost.rounds(work, len(group), machine) <= cost.MAX_CONTEXTS
        for work, group, u in zip(shape.works, cores, shape.firsts, strict=True)
    ]
    for chosen in product(*((False, True) if can else (False,) for can in able)):
        if not any(f and chosen[u] for f, u in zip(chosen, shape.firsts, strict=True)):
            yield chosen


def _in_tiles(
    machine: Machine,
    pattern: Pattern,
    shape: Shape,
    cores: tuple[tuple[int, ...], ...],
    resident: tuple[bool, ...],
    follows: tuple[bool, ...],
    tile_rows: int,
) -> Config:
    works = shape.works
    tiles = ceil_div(works[0].rows, tile_rows)
    order = tuple(range(len(works)))
    tasks: list[Tiled] = []
    for v, (work, group, keep) in enumerate(zip(works, cores, resident, strict=True)):
        task = Tiled(
            *tiling.tile_times(work, tile_rows, len(group), keep, machine),
            shape.edges[v],
            tuple(w for w in order if v in shape.edges[w]),
            cost.array_tile(work, machine) if work.k else 0,
            cost.column_cycles(work, tile_rows, len(group), machine),
            cost.compute_cycles(work, tile_rows, len(group), machine, keep),
            0 if keep else cost.fetch_cycles(work, len(group), machine),
            shape.tails[v],
            delay=cost.delay(work, machine) if work.kind == "rows" else -1,
            unit=shape.parts[v],
        )
        if follows[v]:
            u = shape.firsts[v]
            block = ceil_div(tasks[u].first, cost.rounds(works[u], len(cores[u]), machine))
            last = cost.slice_cycles(work, len(group), machine)
            task = replace(task, follow=u, block=block, slice=last)
        tasks.append(task)
    kept = sum(
        sizes.copied_bytes(work, min(tile_rows, work.rows), len(group), keep, machine)
        + (sizes.resident_bytes(work, len(group), machine) if keep else 0)
        for work, group, keep in zip(works, cores, resident, strict=True)
    )
    axes = tuple(work.by_rows for work in works)
    units = tuple(n if work.kind == "rows" else 0 for n, work in zip(shape.parts, works, strict=True))
    if pattern == "interleaved":
        cycles = tiling.interleaved_cycles(tasks, tiles, machine)
        return Config(pattern, order, cores, axes, resident, follows, units, tile_rows, cycles, kept)
    cycles = tiling.pipelined_cycles(tuple(tasks), tiles, machine)
    tiled = tuple(tasks) if tiles > 1 else ()
    ways = (cores, axes, resident, follows, units)
    return Config(pattern, order, *ways, tile_rows, cycles, kept, tiled, tiles)


def _no_slower(one: tuple[Tiled, ...], other: tuple[Tiled, ...]) -> bool:
    """True if every task takes no longer, so that the stage takes no longer whatever goes through the ports."""
    return all(
        a.first <= b.first and a.middle <= b.middle and a.last <= b.last
        for a, b in zip(one, other, strict=True)
    )


def _rows_shared(config: Config) -> list[int]:
    """How many cores share the rows of each task."""
    return [len(group) * by_rows for group, by_rows in zip(config.cores, config.by_rows, strict=True)]


def pareto(configs: list[Config]) -> list[Config]:
    """Drop what is no faster and no smaller than another of the same pattern and tile height; fastest first.

    In stages on whole tensors cores that share rows leave other cycles for the traffic than cores that share columns.
    """
    kept: list[Config] = []
    for c in sorted(
        configs, key=lambda c: (c.compute, c.weights, c.pattern, c.tile_rows, c.cores, c.by_rows, c.resident)
    ):
        if not any(
            k.pattern == c.pattern
            and k.tile_rows == c.tile_rows
            and k.compute <= c.compute
            and k.weights <= c.weights
            and _no_slower(k.tiled, c.tiled)
            and (c.tile_rows > 0 or _rows_shared(k) == _rows_shared(c))
            for k in kept
        ):
            kept.append(c)
    return kept
