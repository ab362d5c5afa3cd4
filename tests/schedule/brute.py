"""Brute force: every ordered partition into stages, every pattern, core split, tile height and residency.

Stages are priced by the independent checker, so that this shares nothing with the solvers but the problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace

from intar.ir.quantgraph import QMatmul, QMove, QProduct, QSoftmax, QuantGraph
from intar.ir.schedule import Machine, Placement, Residency, Stage
from intar.schedule.check.cycles import stage_cycles
from intar.schedule.check.facts import Facts
from intar.schedule.check.rules import stage_rules


def ordered_partitions(graph: QuantGraph) -> Iterator[list[tuple[int, ...]]]:
    """Every sequence of task sets in which no task comes before what it reads."""
    maker = {task.output: i for i, task in enumerate(graph.tasks)}
    before = [{maker[t] for t in task.inputs if t in maker} for task in graph.tasks]
    count = len(graph.tasks)

    def grow(done: frozenset[int]) -> Iterator[list[tuple[int, ...]]]:
        if len(done) == count:
            yield []
            return
        rest = [i for i in range(count) if i not in done]
        for bits in range(1, 1 << len(rest)):
            chosen = [t for j, t in enumerate(rest) if bits >> j & 1]
            if all(before[t] <= done | set(chosen) for t in chosen):
                for tail in grow(done | frozenset(chosen)):
                    yield [tuple(chosen), *tail]

    yield from grow(frozenset())


def splits(graph: QuantGraph, tasks: tuple[int, ...], cores: int) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Contiguous disjoint groups of any sizes; tasks without products get one core, a softmax none."""
    ranges = [
        range(1, cores + 1)
        if isinstance(graph.tasks[t], QMatmul | QProduct)
        else (0,)
        if isinstance(graph.tasks[t], QSoftmax)
        else (1,)
        for t in tasks
    ]
    for sizes in product(*ranges):
        if sum(sizes) <= cores:
            starts = [sum(sizes[:i]) for i in range(len(sizes))]
            yield tuple(tuple(range(a, a + n)) for a, n in zip(starts, sizes, strict=True))


def stages(graph: QuantGraph, machine: Machine, tasks: tuple[int, ...], mode: str) -> Iterator[Stage]:
    """Every way to run a set, cores sharing columns or rows; what is not legal is left to the checker to refuse."""
    for stage in _by_columns(graph, machine, tasks, mode):
        options = [("columns", "rows") if len(p.cores) > 1 else ("columns",) for p in stage.tasks]
        for axes in product(*options):
            placed = (p.model_copy(update={"axis": a}) for p, a in zip(stage.tasks, axes, strict=True))
            yield stage.model_copy(update={"tasks": tuple(placed)})


def _by_columns(graph: QuantGraph, machine: Machine, tasks: tuple[int, ...], mode: str) -> Iterator[Stage]:
    """Every way to run a set with cores that share columns."""
    kinds = [graph.tasks[t] for t in tasks]
    whole = tuple(
        tuple(range(machine.cores))
        if isinstance(k, QMatmul | QProduct)
        else ()
        if isinstance(k, QSoftmax)
        else (0,)
        for k in kinds
    )

    def stage(
        pattern: str,
        groups: tuple[tuple[int, ...], ...],
        resident: tuple[bool, ...],
        rows: int,
        follows: tuple[bool, ...] = (False,) * len(tasks),
    ) -> Stage:
        placed = tuple(
            Placement(task=k.name, cores=g, resident=r, follows=f)
            for k, g, r, f in zip(kinds, groups, resident, follows, strict=True)
        )
        return Stage(pattern=pattern, tasks=placed, tile_rows=rows)

    none = (False,) * len(tasks)
    if len(tasks) == 1:
        yield stage("sequential", whole, none, 0)
        return
    if mode == "sequential" or any(isinstance(k, QMove) for k in kinds):
        return
    if all(isinstance(k, QMatmul | QProduct) for k in kinds):
        for groups in splits(graph, tasks, machine.cores):
            yield stage("parallel", groups, none, 0)
    rows, height = graph.tensor(kinds[0].output).rows, machine.rows
    if rows <= machine.rows:
        for follows in product(*[(False, True) if isinstance(k, QMatmul) else (False,) for k in kinds]):
            for groups in splits(graph, tasks, machine.cores):
                yield stage("pipelined", groups, none, rows, follows)
    while height < rows:
        for resident in product(*[(False, True) if isinstance(k, QMatmul) else (False,) for k in kinds]):
            for groups in splits(graph, tasks, machine.cores):
                yield stage("pipelined", groups, resident, height)
            if mode == "auto":
                yield stage("interleaved", whole, resident, height)
        height *= 2


def best(graph: QuantGraph, machine: Machine, mode: str = "auto", spills: bool = True) -> int | None:
    """Least cycles of any schedule in which no stage has too many bytes beside all resident weights; None if none has."""
    least: int | None = None
    ways: dict[tuple[int, ...], list[Stage]] = {}
    for parts in ordered_partitions(graph):
        for part in parts:
            if part not in ways:
                ways[part] = list(_legal(graph, machine, part, mode))
        if all(ways[part] for part in parts):
            found = _cheapest(graph, machine, parts, ways, mode, least, spills)
            if found is not None:
                least = found
    return least


def _facts(graph: QuantGraph, machine: Machine, chosen: list[Stage], mode: str) -> Facts:
    return Facts(
        SimpleNamespace(stages=chosen, machine=machine, mode=mode, residency=(), name="brute"), graph
    )


def _legal(graph: QuantGraph, machine: Machine, part: tuple[int, ...], mode: str) -> Iterator[Stage]:
    others = [
        Stage(pattern="sequential", tasks=(Placement(task=t.name, cores=(0,)),))
        for i, t in enumerate(graph.tasks)
        if i not in part
    ]
    for stage in stages(graph, machine, part, mode):
        if not list(stage_rules(_facts(graph, machine, [stage, *others], mode), 0)):
            yield stage


def _homes(graph: QuantGraph, facts: Facts, count: int) -> Iterator[dict[str, Residency]]:
    """Every choice of chip (with 1, 2, … copies) or spill for each tensor; `tile` follows."""
    options = []
    for tensor in facts.reading:
        used = facts.touched(tensor)
        if not used:
            continue
        base = {"tensor": tensor, "first_stage": used[0], "last_stage": used[-1]}
        places = [Residency(place="spill", bytes=0, **base)]
        if len(used) > 1:
            most = len(facts.reading[tensor]) + 1
            places += [
                Residency(place="chip", bytes=c * facts.size(tensor), **base) for c in range(1, most + 1)
            ]
        options.append(places)
    for chosen in product(*options):
        yield {home.tensor: home for home in chosen}


def _cheapest(
    graph: QuantGraph,
    machine: Machine,
    parts: list[tuple[int, ...]],
    ways: dict[tuple[int, ...], list[Stage]],
    mode: str,
    least: int | None,
    spills: bool,
) -> int | None:
    """Least cycles of one ordered partition if it beats `least`."""
    facts = _facts(graph, machine, [ways[part][0] for part in parts], mode)
    room, found = machine.onchip_bytes - facts.fixed(), None
    for homes in _homes(graph, facts, len(parts)):
        facts.home = homes
        if any(
            h.place == "chip" and h.bytes < facts.size(t) * max(facts.copies(t, i) for i in facts.touched(t))
            for t, h in homes.items()
        ):
            continue
        if not spills and any(h.place == "spill" and h.first_stage < h.last_stage for h in homes.values()):
            continue
        total = _run(facts, parts, ways, room)
        if total is not None and (least is None or total < least):
            least = found = total
    return found


def _run(
    facts: Facts, parts: list[tuple[int, ...]], ways: dict[tuple[int, ...], list[Stage]], room: int
) -> int | None:
    """Least cycles for these homes; `sums`: (cycles, resident weights, most bytes of tensors in a stage) of all choices."""
    sums = {(0, 0, 0)}
    for i, part in enumerate(parts):
        options = set()
        for stage in ways[part]:
            facts.schedule.stages[i] = stage
            if not facts.misaligned(i):
                used = sum(facts.need(t, i) for t in facts.home)
                options.add((stage_cycles(facts, i), facts.resident(i), used))
        sums = {
            (a + cycles, b + weights, max(c, used))
            for a, b, c in sums
            for cycles, weights, used in options
            if b + weights + max(c, used) <= room
        }
    return min((cycles for cycles, _, _ in sums), default=None)
