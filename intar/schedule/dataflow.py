"""Dataflow baseline: core groups that stay fixed for the whole run, chosen by local search.

Every matmul has a group of its own as far as the cores allow; with fewer cores than matmuls groups are shared (their
tasks then run in different stages). Vector tasks use the vector unit of the first core of some group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from intar.schedule.dp import solve_dp
from intar.schedule.moves import Moves, Rules, too_many
from intar.schedule.problem import Problem
from intar.schedule.stages import Limits, Stages

WIDTH = 20
TRIALS = 40
"""Evaluations of the local search, for graphs of up to 24 tasks; fewer for larger ones."""


@dataclass(frozen=True)
class Grouping:
    """Sizes of the groups and the group of every task."""

    sizes: tuple[int, ...]
    group: tuple[int, ...]

    def cores(self) -> tuple[tuple[int, ...], ...]:
        """Cores of every task."""
        starts = [sum(self.sizes[:i]) for i in range(len(self.sizes))]
        return tuple(tuple(range(starts[g], starts[g] + self.sizes[g])) for g in self.group)


def _starts(problem: Problem) -> list[Grouping]:
    """Round robin in the order of the tasks, and balanced by products; cores in proportion to the products."""
    loads = [t.work.products for t in problem.tasks]
    matmuls = [i for i, t in enumerate(problem.tasks) if t.work.arrays or t.work.kind == "conv"]
    vectors = [i for i, t in enumerate(problem.tasks) if t.work.kind == "vector"]
    cores = problem.machine.cores
    found = []
    for own in (0, len(vectors)):
        count = max(1, min(cores, len(matmuls) + own))
        robin = {task: i % count for i, task in enumerate([*matmuls, *(vectors if own else [])])}
        heap = [0] * count
        balanced: dict[int, int] = {}
        for task in sorted(matmuls, key=lambda i: (-loads[i], i)):
            least = min(range(count), key=lambda g: (heap[g], g))
            balanced[task], heap[least] = least, heap[least] + max(1, loads[task])
        for chosen in (robin, balanced):
            groups = _complete(problem, chosen)
            found.append(Grouping(_sizes(groups, loads, count, cores), groups))
    return list(dict.fromkeys(found))


def _complete(problem: Problem, chosen: dict[int, int]) -> tuple[int, ...]:
    """Tasks without a group join that of a producer, else group 0."""
    group: list[int] = []
    for i, task in enumerate(problem.tasks):
        producers = [problem.tensors[t].producer for t in task.inputs]
        near = next((group[p] for p in producers if p >= 0), 0)
        group.append(chosen.get(i, near))
    return tuple(group)


def _sizes(groups: tuple[int, ...], loads: list[int], count: int, cores: int) -> tuple[int, ...]:
    sizes = [1] * count
    work = [sum(load for g, load in zip(groups, loads, strict=True) if g == i) for i in range(count)]
    for _ in range(cores - count):
        busiest = max(range(count), key=lambda i: (work[i] / sizes[i], -i))
        sizes[busiest] += 1
    return tuple(sizes)


def _neighbours(problem: Problem, grouping: Grouping) -> Iterator[Grouping]:
    """One core moved to another group, or one task moved or swapped."""
    count = len(grouping.sizes)
    for source in range(count):
        for target in range(count):
            if source != target and grouping.sizes[source] > 1:
                sizes = list(grouping.sizes)
                sizes[source] -= 1
                sizes[target] += 1
                yield replace(grouping, sizes=tuple(sizes))
    computing = [i for i, t in enumerate(problem.tasks) if t.work.kind not in ("move", "rows")]
    for task in computing:
        for target in range(count):
            if target != grouping.group[task]:
                group = list(grouping.group)
                group[task] = target
                yield replace(grouping, group=tuple(group))
    for i, a in enumerate(computing):
        for b in computing[i + 1 :]:
            if grouping.group[a] != grouping.group[b]:
                group = list(grouping.group)
                group[a], group[b] = group[b], group[a]
                yield replace(grouping, group=tuple(group))


def first_groups(problem: Problem) -> tuple[tuple[int, ...], ...]:
    """The cores of every task under the simplest grouping (for messages when nothing fits)."""
    return _starts(problem)[0].cores()


def best_groups(problem: Problem, limits: Limits, rules: Rules) -> tuple[tuple[int, ...], ...] | None:
    """The cores of every task under the best grouping found; None if no grouping gives a schedule."""
    seen: dict[Grouping, int | None] = {}
    few = too_many(problem)

    def cycles(grouping: Grouping) -> int | None:
        if grouping not in seen:
            stages = Stages(problem, replace(limits, groups=grouping.cores()))
            answer = solve_dp(problem, Moves(problem, stages, rules, settled=few), WIDTH)
            seen[grouping] = answer.cycles if answer is not None and answer.moves else None
        return seen[grouping]

    trials = TRIALS if len(problem.tasks) <= 24 else max(4, TRIALS * 12 // len(problem.tasks))
    best: tuple[int, Grouping] | None = None
    for grouping in _starts(problem):
        value = cycles(grouping)
        if value is not None and (best is None or value < best[0]):
            best = (value, grouping)
    better = best is not None
    while better and best is not None:
        better = False
        for grouping in _neighbours(problem, best[1]):
            if len(seen) >= trials:
                break
            value = cycles(grouping)
            if value is not None and value < best[0]:
                best, better = (value, grouping), True
                break
    return best[1].cores() if best is not None else None
