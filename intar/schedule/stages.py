"""Which stages are possible: the sets of tasks that may run together, with the ways to run each (`configs`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from intar.ir.schedule import Pattern
from intar.schedule import tiling
from intar.schedule.configs import Config, alone, pareto, side_by_side, tiled
from intar.schedule.problem import Problem, members
from intar.schedule.shape import Shape
from intar.schedule.splits import axes, splits
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


@dataclass
class Stages:
    """Enumerates stages of a problem; caches the configurations of sets that look alike."""

    problem: Problem
    limits: Limits
    _shapes: dict[tuple[object, ...], list[Config]] = field(default_factory=dict, repr=False)
    _sets: dict[int, list[Config]] = field(default_factory=dict, repr=False)
    _ready: dict[int, list[int]] = field(default_factory=dict, repr=False)
    _joined: dict[int, bool] = field(default_factory=dict, repr=False)
    _standing: dict[int, bool] = field(default_factory=dict, repr=False)

    def ready(self, done: int) -> list[int]:
        """Tasks outside `done` whose predecessors are all in it."""
        if done not in self._ready:
            left = self.problem.everything & ~done
            self._ready[done] = [
                task
                for task, before in enumerate(self.problem.predecessors)
                if not before & left and left >> task & 1
            ]
        return self._ready[done]

    def _ready_behind(self, ready: int, done: int, task: int) -> int:
        """Bit mask of the tasks that are ready once `task`, one of those `ready` after the others of `done`, is done."""
        before = self.problem.predecessors
        ready &= ~(1 << task)
        for behind in self.problem.successors[task]:
            if before[behind] & ~done == 0:
                ready |= 1 << behind
        return ready

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
        ready = sum(1 << task for task in self.ready(done))
        frontier = [
            (1 << task, self._alike_rows[task], self._ready_behind(ready, done | 1 << task, task))
            for task in members(ready)
            if problem.tasks[task].row_wise
        ]
        known = {mask for mask, _, _ in frontier}
        while frontier:
            wider = []
            for mask, rows, behind in frontier:
                for task in members(behind & rows):
                    new = mask | 1 << task
                    if new in known or not self._joins(new):
                        continue
                    known.add(new)
                    wider.append((new, rows, self._ready_behind(behind, done | new, task)))
                    if new not in seen and self._stands(new):
                        yield new
            frontier = wider

    @cached_property
    def _alike_rows(self) -> list[int]:
        """For each task a bit mask of the row-wise tasks with as many rows."""
        tasks = self.problem.tasks
        masks: dict[int, int] = {}
        for index, task in enumerate(tasks):
            if task.row_wise:
                masks[task.work.rows] = masks.get(task.work.rows, 0) | 1 << index
        return [masks.get(task.work.rows, 0) for task in tasks]

    def _joins(self, mask: int) -> bool:
        """True if tasks that tensors join may be a stage, or a part of one that grows."""
        if mask not in self._joined:
            self._joined[mask] = self._within_limits(mask) and not self._made_inside(mask)
        return self._joined[mask]

    def _stands(self, mask: int) -> bool:
        """True if tasks that may be a part of a stage are one."""
        if mask not in self._standing:
            self._standing[mask] = self._alike(self._parts(mask))
        return self._standing[mask]

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
            self._shapes[key] = pareto(list(self._enumerate(shape, fixed)))
        return [replace(c, tasks=tasks) for c in self._shapes[key]]

    def _shape(self, mask: int, parts: list[int]) -> Shape:
        tasks = tuple(members(mask))
        place = {task: i for i, task in enumerate(tasks)}
        return Shape(
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

    def _enumerate(self, shape: Shape, fixed: tuple[tuple[int, ...], ...] | None) -> Iterator[Config]:
        machine, works, patterns = self.problem.machine, shape.works, self.limits.patterns
        if len(works) == 1:
            cores = fixed or (self._whole(works[0]),)
            for (work,) in axes(machine, shape, cores, 0):
                yield alone(machine, work, cores[0], fixed is not None)
        elif not any(shape.edges):
            if "parallel" in patterns:
                for split, cores in splits(machine, shape, fixed, 0, self.limits.splits):
                    yield side_by_side(machine, split, cores)
        else:
            for tile_rows in self._heights(works[0].rows):
                if "pipelined" in patterns:
                    for split, cores in splits(machine, shape, fixed, tile_rows, self.limits.splits):
                        apart = replace(shape, works=split)
                        yield from tiled(machine, "pipelined", apart, cores, tile_rows)
                free = fixed is None and shape.count == 1
                if "interleaved" in patterns and free and tile_rows < works[0].rows:
                    everywhere = tuple(self._whole(work) for work in works)
                    for split in axes(machine, shape, everywhere, tile_rows):
                        shared = replace(shape, works=split)
                        yield from tiled(machine, "interleaved", shared, everywhere, tile_rows)

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
