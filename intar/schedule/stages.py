"""Which stages are possible: sets of tasks that may run together, and the ways to run each set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from intar.ir.schedule import Pattern
from intar.schedule import cost, sizes, tiling
from intar.schedule.problem import Problem, members
from intar.schedule.tiling import Tiled
from intar.schedule.work import Work, ceil_div


@dataclass(frozen=True)
class Limits:
    """What the search considers: patterns, tasks of a stage, ways of splitting the cores."""

    patterns: tuple[Pattern, ...] = ("sequential", "pipelined", "parallel", "interleaved")
    matmuls: int = 5
    tasks: int = 8
    splits: int = 256
    groups: tuple[tuple[int, ...], ...] | None = None
    """Dataflow: the fixed cores of every task. None: free."""
    by_rows: Mapping[int, bool] = field(default_factory=dict)
    """Tasks whose cores have to share its rows, or (False) its columns."""


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


@dataclass(frozen=True)
class _Set:
    """What a set of tasks looks like, by position: their work, whether its axis is decided, their producers in the set, of
    these the ones that a matmul needs only on the way out (`tails`) and the one that makes its first input (`firsts`, -1:
    none). `parts`: the number of the part to which a task belongs, where several that are alike run side by side."""

    works: tuple[Work, ...]
    decided: tuple[bool, ...]
    edges: tuple[tuple[int, ...], ...]
    tails: tuple[tuple[int, ...], ...]
    firsts: tuple[int, ...]
    parts: tuple[int, ...]

    @property
    def count(self) -> int:
        """Parts side by side."""
        return max(self.parts) + 1


@dataclass
class Stages:
    """Enumerates stages of a problem; caches the configurations of sets that look alike."""

    problem: Problem
    limits: Limits
    _shapes: dict[tuple[object, ...], list[Config]] = field(default_factory=dict, repr=False)
    _sets: dict[int, list[Config]] = field(default_factory=dict, repr=False)

    def ready(self, done: int) -> list[int]:
        """Tasks outside `done` whose predecessors are all in it."""
        return [
            i
            for i, before in enumerate(self.problem.predecessors)
            if not done >> i & 1 and before & ~done == 0
        ]

    def extensions(self, done: int) -> Iterator[int]:
        """Every set of tasks (bit mask) that could be the next stage after the finished tasks `done`."""
        ready = self.ready(done)
        for task in ready:
            yield 1 << task
        seen: set[int] = set()
        if self.limits.groups is not None or "parallel" in self.limits.patterns:
            yield from self._independent([t for t in ready if self._computes(t)], seen)
        if self._tiled_patterns():
            yield from self._connected(done, seen)

    def _tiled_patterns(self) -> bool:
        return "pipelined" in self.limits.patterns or "interleaved" in self.limits.patterns

    def _computes(self, task: int) -> bool:
        return self.problem.tasks[task].work.arrays

    def _independent(self, tasks: list[int], seen: set[int]) -> Iterator[int]:
        most = min(self.limits.matmuls, self.problem.machine.cores)
        chosen = [(1 << t, position + 1) for position, t in enumerate(tasks)]
        for _ in range(most - 1):
            wider = []
            for mask, start in chosen:
                for position in range(start, len(tasks)):
                    new = mask | 1 << tasks[position]
                    wider.append((new, position + 1))
                    seen.add(new)
                    yield new
            chosen = wider

    def _connected(self, done: int, seen: set[int]) -> Iterator[int]:
        """Row-wise tasks with equal row counts, joined by tensors inside the set, in breadth-first order."""
        problem = self.problem
        frontier = [1 << t for t in self.ready(done) if problem.tasks[t].row_wise]
        known = set(frontier)
        while frontier:
            wider = []
            for mask in frontier:
                rows = problem.tasks[members(mask)[0]].work.rows
                for task in self.ready(done | mask):
                    new = mask | 1 << task
                    entry = problem.tasks[task]
                    if new in known or not entry.row_wise or entry.work.rows != rows:
                        continue
                    if not self._within_limits(new) or self._made_inside(new):
                        continue
                    known.add(new)
                    wider.append(new)
                    if new not in seen and self._alike(self._parts(new)):
                        yield new
            frontier = wider

    def _within_limits(self, mask: int) -> bool:
        tasks = members(mask)
        return len(tasks) <= self.limits.tasks and sum(map(self._computes, tasks)) <= self.limits.matmuls

    def _made_inside(self, mask: int) -> bool:
        """True if a task of the set needs a tensor as a whole that another one makes."""
        whole = self.problem.whole(mask)
        return any(whole >> self.problem.tasks[task].output & 1 for task in members(mask))

    def _parts(self, mask: int) -> list[int]:
        """The sets of tasks that internal edges connect."""
        parts: list[int] = []
        for task in members(mask):
            near = 1 << task | self.problem.predecessors[task] & mask
            joined = [part for part in parts if part & near]
            parts = [part for part in parts if not part & near] + [sum(joined) | near]
        return sorted(parts, key=lambda part: part & -part)

    def _alike(self, parts: list[int]) -> bool:
        """True of one part, and of several that look alike, with a softmax in each and a rows node for each."""
        if len(parts) == 1:
            return True
        shapes = (
            {self._shape(part, [part]) for part in parts}
            if len(parts) <= self.problem.machine.row_units
            else ()
        )
        return len(shapes) == 1 and all(any(map(self._is_softmax, members(part))) for part in parts)

    def _is_softmax(self, task: int) -> bool:
        work = self.problem.tasks[task].work
        return work.kind == "rows" and work.row_op == "softmax"

    def configs(self, mask: int) -> list[Config]:
        """All useful ways to run the set: none is slower and bigger than another of the same tile height."""
        if mask not in self._sets:
            self._sets[mask] = self._rename(mask)
        return self._sets[mask]

    def _rename(self, mask: int) -> list[Config]:
        tasks = tuple(members(mask))
        parts = self._parts(mask)
        shape = self._shape(mask, parts if any(part & (part - 1) for part in parts) else [mask])
        fixed = self._groups(tasks)
        key = (shape, fixed, tuple(self.problem.tasks[t].row_wise for t in tasks))
        if key not in self._shapes:
            self._shapes[key] = _pareto(list(self._enumerate(shape, fixed)))
        return [replace(c, tasks=tasks) for c in self._shapes[key]]

    def _shape(self, mask: int, parts: list[int]) -> _Set:
        tasks = tuple(members(mask))
        place = {task: i for i, task in enumerate(tasks)}
        return _Set(
            works=tuple(
                replace(self.problem.tasks[t].work, by_rows=self.limits.by_rows.get(t, False)) for t in tasks
            ),
            decided=tuple(t in self.limits.by_rows for t in tasks),
            edges=tuple(tuple(place[p] for p in members(self.problem.predecessors[t] & mask)) for t in tasks),
            tails=tuple(tuple(place[p] for p in members(self._needed_late(t) & mask)) for t in tasks),
            firsts=tuple(place.get(self._maker(t, 0), -1) for t in tasks),
            parts=tuple(next(n for n, part in enumerate(parts) if part >> t & 1) for t in tasks),
        )

    def _maker(self, task: int, slot: int) -> int:
        """The task that makes an input; -1 for a network input."""
        return self.problem.tensors[self.problem.tasks[task].inputs[slot]].producer

    def _needed_late(self, task: int) -> int:
        """Bit mask of the tasks whose results a matmul only needs on the way out of its own."""
        entry = self.problem.tasks[task]
        if not entry.work.tail:
            return 0
        makers = {self._maker(task, slot) for slot in range(1, len(entry.inputs))} - {self._maker(task, 0)}
        return sum(1 << maker for maker in makers if maker >= 0)

    def _enumerate(self, shape: _Set, fixed: tuple[tuple[int, ...], ...] | None) -> Iterator[Config]:
        works = shape.works
        patterns = self.limits.patterns
        if len(works) == 1:
            cores = fixed or (self._whole(works[0]),)
            for (work,) in self._axes(shape, cores, 0):
                yield self._alone(work, cores[0], fixed is not None)
        elif not any(shape.edges):
            if "parallel" in patterns:
                for split, cores in self._splits(shape, fixed, 0):
                    yield self._side_by_side(split, cores)
        else:
            for tile_rows in self._heights(works[0].rows):
                if "pipelined" in patterns:
                    for split, cores in self._splits(shape, fixed, tile_rows):
                        yield from self._tiled("pipelined", replace(shape, works=split), cores, tile_rows)
                alone = fixed is None and shape.count == 1
                if "interleaved" in patterns and alone and tile_rows < works[0].rows:
                    everywhere = tuple(self._whole(work) for work in works)
                    for split in self._axes(shape, everywhere, tile_rows):
                        shared = replace(shape, works=split)
                        yield from self._tiled("interleaved", shared, everywhere, tile_rows)

    def _axes(
        self, shape: _Set, cores: tuple[tuple[int, ...], ...], tile_rows: int
    ) -> Iterator[tuple[Work, ...]]:
        """The works split along either axis, where that is not decided and rows may be faster than columns."""
        return product(
            *(
                (work, replace(work, by_rows=True))
                if not decided and self._rows_pay(work, len(group), tile_rows)
                else (work,)
                for work, decided, group in zip(shape.works, shape.decided, cores, strict=True)
            )
        )

    def _rows_pay(self, work: Work, cores: int, tile_rows: int) -> bool:
        """True if `cores` cores have a row tile, the last one or the first weights sooner when they share its rows."""
        if not work.arrays or cores < 2:
            return False
        shared = self._paces(replace(work, by_rows=True), cores, tile_rows)
        return any(a < b for a, b in zip(shared, self._paces(work, cores, tile_rows), strict=True))

    def _paces(self, work: Work, cores: int, tile_rows: int) -> tuple[int, int, int]:
        """Cycles of a full row tile and of the last one (0: of the whole), and until the first weights are there."""
        high = min(tile_rows or work.rows, work.rows)
        last = (work.rows - 1) % high + 1
        machine = self.problem.machine
        return (
            cost.compute_cycles(work, high, cores, machine),
            cost.compute_cycles(work, last, cores, machine),
            cost.fetch_cycles(work, cores, machine),
        )

    def _groups(self, tasks: tuple[int, ...]) -> tuple[tuple[int, ...], ...] | None:
        """The fixed cores of the tasks; row reductions need none, and a product with a state all that its ports serve."""
        groups = self.limits.groups
        if groups is None:
            return None
        works = [self.problem.tasks[t].work for t in tasks]
        return tuple(
            self._whole(work) if work.kind in ("rows", "stream") else groups[t]
            for t, work in zip(tasks, works, strict=True)
        )

    def _whole(self, work: Work) -> tuple[int, ...]:
        if work.kind == "rows":
            return ()
        everywhere = work.arrays or work.on_grid or work.kind == "stream"
        return tuple(range(self.problem.machine.cores)) if everywhere else (0,)

    def _heights(self, rows: int) -> list[int]:
        """Tile heights: the array's rows times powers of two; the whole tensor if it is no higher or groups are fixed."""
        height, heights = self.problem.machine.rows, []
        while height < rows:
            if ceil_div(rows, height) <= tiling.MAX_TILES:
                heights.append(height)
            height *= 2
        if self.limits.groups is not None or rows <= self.problem.machine.rows:
            heights.append(rows)
        return heights

    def _splits(
        self, shape: _Set, fixed: tuple[tuple[int, ...], ...] | None, tile_rows: int
    ) -> list[tuple[tuple[Work, ...], tuple[tuple[int, ...], ...]]]:
        """Works with their axes, on disjoint contiguous core groups, one a task; cores that would not speed a task up are
        not given to it."""
        if fixed is not None:
            used = [core for group in fixed for core in group]
            apart = len(used) == len(set(used))
            return [(split, fixed) for split in self._axes(shape, fixed, tile_rows)] if apart else []
        cores, one = self.problem.machine.cores // shape.count, _first_part(shape)
        wanted = sum(work.kind != "rows" for work in one.works)
        if wanted > cores:
            return []
        found = self._shared_out(one, cores, tile_rows, rows=True)
        found = found or self._shared_out(one, cores, tile_rows, rows=False)
        found = found or self._balanced(one, cores, tile_rows)
        return [_in_all_parts(shape, option, cores) for option in found]

    def _shared_out(
        self, shape: _Set, cores: int, tile_rows: int, rows: bool
    ) -> list[tuple[tuple[int, Work], ...]]:
        """Every way to give the cores away, by columns and where it may be faster by `rows`; none if there are too many."""
        most = cores - sum(work.kind != "rows" for work in shape.works) + 1
        options = [
            self._sizes(work, most, tile_rows, rows and not decided)
            for work, decided in zip(shape.works, shape.decided, strict=True)
        ]
        if not _few(options):
            return []
        found = [o for o in product(*options) if sum(s for s, _ in o) <= cores]
        return found if len(found) <= self.limits.splits else []

    def _sizes(self, work: Work, most: int, tile_rows: int, either: bool) -> list[tuple[int, Work]]:
        """Numbers of cores that a task may have, up to `most`, with the axis along which they share it."""
        if not work.arrays:
            return [(int(work.kind != "rows"), work)]
        if work.by_rows:
            return [(g, work) for g in range(1, most + 1)]
        columns = {
            (cost.rounds(work, g, self.problem.machine), *self._paces(work, g, tile_rows)[:2]): g
            for g in range(most, 0, -1)
        }
        shared = replace(work, by_rows=True)
        rows = {
            self._paces(shared, g, tile_rows): g
            for g in range(most, 1, -1)
            if either and self._rows_pay(work, g, tile_rows)
        }
        return [(g, work) for g in sorted(columns.values())] + [(g, shared) for g in sorted(rows.values())]

    def _balanced(self, shape: _Set, cores: int, tile_rows: int) -> list[tuple[tuple[int, Work], ...]]:
        """Balanced groups, along the axis that is faster for each task."""
        sizes = _balanced(shape.works, cores)
        *_, split = self._axes(shape, tuple(tuple(range(size)) for size in sizes), tile_rows)
        return [tuple(zip(sizes, split, strict=True))]

    def _alone(self, work: Work, cores: tuple[int, ...], fixed: bool) -> Config:
        machine = self.problem.machine
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

    def _side_by_side(self, works: tuple[Work, ...], cores: tuple[tuple[int, ...], ...]) -> Config:
        machine = self.problem.machine
        pairs = [(work, len(group)) for work, group in zip(works, cores, strict=True)]
        compute = max(cost.task_cycles(work, work.rows, g, True, machine) for work, g in pairs)
        none, first = (False,) * len(works), (0,) * len(works)
        order = tuple(range(len(works)))
        copies = sum(sizes.copied_bytes(work, work.rows, g, False, machine) for work, g in pairs)
        axes = tuple(work.by_rows for work in works)
        cycles = compute + cost.hop(machine)
        return Config("parallel", order, cores, axes, none, none, first, 0, cycles, copies)

    def _tiled(
        self, pattern: Pattern, shape: _Set, cores: tuple[tuple[int, ...], ...], tile_rows: int
    ) -> Iterator[Config]:
        machine = self.problem.machine
        tiles = ceil_div(shape.works[0].rows, tile_rows)
        choices = []
        for work, group in zip(shape.works, cores, strict=True):
            g = len(group)
            slow = cost.weight_cycles(work, tile_rows, g, machine) > cost.compute_cycles(
                work, tile_rows, g, machine
            )
            waits = pattern == "interleaved"  # its first weights may wait for the ring
            useful = work.kind == "matmul" and tiles > 1 and (slow or waits)
            choices.append((False, True) if useful else (False,))
        for resident in product(*choices):
            for follows in self._follows(pattern, shape, cores, tiles):
                yield self._in_tiles(pattern, shape, cores, resident, follows, tile_rows)

    def _follows(
        self, pattern: Pattern, shape: _Set, cores: tuple[tuple[int, ...], ...], tiles: int
    ) -> Iterator[tuple[bool, ...]]:
        """Which matmuls may follow their producer column block by column block."""
        machine = self.problem.machine
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
        self,
        pattern: Pattern,
        shape: _Set,
        cores: tuple[tuple[int, ...], ...],
        resident: tuple[bool, ...],
        follows: tuple[bool, ...],
        tile_rows: int,
    ) -> Config:
        machine, works = self.problem.machine, shape.works
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


def _few(options: list[list[tuple[int, Work]]]) -> bool:
    total = 1
    for option in options:
        total *= len(option)
    return total <= 20000


def _first_part(shape: _Set) -> _Set:
    """The first of the parts that are alike."""
    if shape.count == 1:
        return shape
    inside = [at for at, part in enumerate(shape.parts) if part == 0]

    def of(places: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(inside.index(at) for at in places)

    return _Set(
        works=tuple(shape.works[at] for at in inside),
        decided=tuple(shape.decided[at] for at in inside),
        edges=tuple(of(shape.edges[at]) for at in inside),
        tails=tuple(of(shape.tails[at]) for at in inside),
        firsts=tuple(inside.index(shape.firsts[at]) if shape.firsts[at] >= 0 else -1 for at in inside),
        parts=(0,) * len(inside),
    )


def _in_all_parts(
    shape: _Set, option: tuple[tuple[int, Work], ...], cores: int
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


def _no_slower(one: tuple[Tiled, ...], other: tuple[Tiled, ...]) -> bool:
    """True if every task takes no longer, so that the stage takes no longer whatever goes through the ports."""
    return all(
        a.first <= b.first and a.middle <= b.middle and a.last <= b.last
        for a, b in zip(one, other, strict=True)
    )


def _rows_shared(config: Config) -> list[int]:
    """How many cores share the rows of each task."""
    return [len(group) * by_rows for group, by_rows in zip(config.cores, config.by_rows, strict=True)]


def _pareto(configs: list[Config]) -> list[Config]:
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
