"""How the tasks of a stage share the cores: contiguous groups, and the axis along which each group shares its task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from intar.ir.schedule import Machine
from intar.schedule import cost
from intar.schedule.shape import Shape
from intar.schedule.work import Work


def axes(
    machine: Machine, shape: Shape, cores: tuple[tuple[int, ...], ...], tile_rows: int
) -> Iterator[tuple[Work, ...]]:
    """The works split along either axis, where that is not decided and rows may be faster than columns."""
    return product(
        *(
            (work, replace(work, by_rows=True))
            if not decided and _rows_pay(machine, work, len(group), tile_rows)
            else (work,)
            for work, decided, group in zip(shape.works, shape.decided, cores, strict=True)
        )
    )


def _rows_pay(machine: Machine, work: Work, cores: int, tile_rows: int) -> bool:
    """True if `cores` cores have a row tile, the last one or the first weights sooner when they share its rows."""
    if not work.arrays or cores < 2:
        return False
    shared = _paces(machine, replace(work, by_rows=True), cores, tile_rows)
    return any(a < b for a, b in zip(shared, _paces(machine, work, cores, tile_rows), strict=True))


def _paces(machine: Machine, work: Work, cores: int, tile_rows: int) -> tuple[int, int, int]:
    """Cycles of a full row tile and of the last one (0: of the whole), and until the first weights are there."""
    high = min(tile_rows or work.rows, work.rows)
    last = (work.rows - 1) % high + 1
    return (
        cost.compute_cycles(work, high, cores, machine),
        cost.compute_cycles(work, last, cores, machine),
        cost.fetch_cycles(work, cores, machine),
    )


def splits(
    machine: Machine, shape: Shape, fixed: tuple[tuple[int, ...], ...] | None, tile_rows: int, most: int
) -> list[tuple[tuple[Work, ...], tuple[tuple[int, ...], ...]]]:
    """Works with their axes, on disjoint contiguous core groups, one a task; cores that would not speed a task up are
    not given to it.

    Where there are more than `most` ways the groups are shared out by columns only, and where these are too many, too,
    evenly by the tasks' products.
    """
    if fixed is not None:
        used = [core for group in fixed for core in group]
        apart = len(used) == len(set(used))
        return [(split, fixed) for split in axes(machine, shape, fixed, tile_rows)] if apart else []
    cores, one = machine.cores // shape.count, shape.first_part
    wanted = sum(work.kind != "rows" for work in one.works)
    if wanted > cores:
        return []
    found = _shared_out(machine, one, cores, tile_rows, most, rows=True)
    found = found or _shared_out(machine, one, cores, tile_rows, most, rows=False)
    found = found or _evened(machine, one, cores, tile_rows)
    return [_in_all_parts(shape, option, cores) for option in found]


def _shared_out(
    machine: Machine, shape: Shape, cores: int, tile_rows: int, limit: int, rows: bool
) -> list[tuple[tuple[int, Work], ...]]:
    """Every way to give the cores away, by columns and where it may be faster by `rows`; none if there are too many."""
    most = cores - sum(work.kind != "rows" for work in shape.works) + 1
    options = [
        _sizes(machine, work, most, tile_rows, rows and not decided)
        for work, decided in zip(shape.works, shape.decided, strict=True)
    ]
    if not _few(options):
        return []
    found = [o for o in product(*options) if sum(s for s, _ in o) <= cores]
    return found if len(found) <= limit else []


def _sizes(machine: Machine, work: Work, most: int, tile_rows: int, either: bool) -> list[tuple[int, Work]]:
    """Numbers of cores that a task may have, up to `most`, with the axis along which they share it."""
    if not work.arrays:
        return [(int(work.kind != "rows"), work)]
    if work.by_rows:
        return [(g, work) for g in range(1, most + 1)]
    columns = {
        (cost.rounds(work, g, machine), *_paces(machine, work, g, tile_rows)[:2]): g
        for g in range(most, 0, -1)
    }
    shared = replace(work, by_rows=True)
    rows = {
        _paces(machine, shared, g, tile_rows): g
        for g in range(most, 1, -1)
        if either and _rows_pay(machine, work, g, tile_rows)
    }
    return [(g, work) for g in sorted(columns.values())] + [(g, shared) for g in sorted(rows.values())]


def _evened(machine: Machine, shape: Shape, cores: int, tile_rows: int) -> list[tuple[tuple[int, Work], ...]]:
    """Balanced groups, along the axis that is faster for each task."""
    sizes = _balanced(shape.works, cores)
    *_, split = axes(machine, shape, tuple(tuple(range(size)) for size in sizes), tile_rows)
    return [tuple(zip(sizes, split, strict=True))]


def _few(options: list[list[tuple[int, Work]]]) -> bool:
    total = 1
    for option in options:
        total *= len(option)
    return total <= 20000


def _in_all_parts(
    shape: Shape, option: tuple[tuple[int, Work], ...], cores: int
) -> tuple[tuple[Work, ...], tuple[tuple[int, ...], ...]]:
    """The works and the core groups of all tasks, of which the parts have so many `cores` each, shared out alike."""
    groups = _contiguous(tuple(size for size, _ in option))
    works, placed, met = [], [], [0] * shape.count
    for part in shape.parts:
        at = met[part]
        works.append(option[at][1])
        placed.append(tuple(part * cores + core for core in groups[at]))
        met[part] += 1
    return tuple(works), tuple(placed)


def _contiguous(sizes: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    groups, start = [], 0
    for size in sizes:
        groups.append(tuple(range(start, start + size)))
        start += size
    return tuple(groups)


def _balanced(works: tuple[Work, ...], cores: int) -> tuple[int, ...]:
    """One core each, then one more to the matmul with the most products per core, until none is left."""
    sizes = [int(work.kind != "rows") for work in works]
    loads = [work.rows * work.cols * work.k for work in works]
    busy = [i for i, load in enumerate(loads) if load]
    while sum(sizes) < cores and busy:
        busiest = max(busy, key=lambda i: (loads[i] / sizes[i], -i))
        sizes[busiest] += 1
    return tuple(sizes)
