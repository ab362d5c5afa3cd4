"""Transitions: everything that can happen next in a schedule, with its cycles and its memory.

The dynamic programme and the CP-SAT model both take their stages from here, so that they solve the same problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product

from intar.ir.schedule import Pattern
from intar.schedule import bounds, cost, tiling
from intar.schedule.configs import Config
from intar.schedule.problem import Problem, Tensor, members
from intar.schedule.stages import Stages
from intar.schedule.work import ceil_div, row_beats


@dataclass(frozen=True)
class Rules:
    """What a person has pinned: pattern of a task, whole tensors that must (not) stay on chip, cores of a task, and whether
    these share its rows."""

    pattern: Mapping[int, Pattern]
    chip: frozenset[int] = frozenset()
    spill: frozenset[int] = frozenset()
    cores: Mapping[int, tuple[int, ...]] | None = None
    by_rows: Mapping[int, bool] = field(default_factory=dict)

    def allow(self, config: Config) -> bool:
        """True if the stage breaks no pin."""
        for task, group, by_rows in zip(config.tasks, config.cores, config.by_rows, strict=True):
            if self.by_rows.get(task, by_rows) != by_rows:
                return False
            if self.pattern.get(task, config.pattern) != config.pattern:
                return False
            if self.cores is not None and self.cores.get(task, group) != group:
                return False
        return True

    def forces(self, config: Config) -> bool:
        """True if all tasks that share rows are pinned to do so."""
        return all(self.by_rows.get(t) for t, rows in zip(config.tasks, config.by_rows, strict=True) if rows)


@dataclass(frozen=True)
class Move:
    """A stage with its traffic decided.

    `kept`: (tensor, copies) that come on chip as a whole in this stage and stay; `resident`: (tensor, reads) that must be
    there already; `loads`, `stores`: tensors that go through the ports; `staged`: bytes of each copy that is on chip in this
    stage only; `weights`: bytes of weights and copies of parameters that stay for the rest of the run.
    """

    mask: int
    config: Config
    cycles: int
    staged: tuple[int, ...]
    weights: int
    kept: tuple[tuple[int, int], ...]
    resident: tuple[tuple[int, int], ...]
    loads: tuple[int, ...]
    stores: tuple[int, ...]

    @property
    def staging(self) -> int:
        """Bytes of all of them."""
        return sum(self.staged)


def keep_options(tensor: Tensor, mask: int, at_least: int, rules: Rules, index: int, done: int) -> list[int]:
    """Numbers of copies in which the tensor may stay on chip after a stage; 0: not at all (spilled).

    A copy serves one reader a stage, so more copies than reads to come are useless. Images have them for all their reads.
    """
    least, most = max(1, at_least), max(at_least, tensor.reads(~(done | mask)))
    if tensor.windows:
        least = most = tensor.windowed + tensor.beside
    options = [] if index in rules.chip else [0]
    if index not in rules.spill:
        options += range(least, most + 1)
    return options


WIDE_TASKS = 100
"""Tasks up to which a search looks at all schedules (where memory may be short, at fewer of them beyond)."""


def roomy(problem: Problem) -> bool:
    """True if the memory holds every tensor in all copies, and all weights, at the same time."""
    tensors = sum(t.bytes * (1 + len(t.readers)) for t in problem.tensors)
    return tensors + sum(problem.residents) <= problem.capacity


def too_many(problem: Problem) -> bool:
    """True if only settled schedules are looked at."""
    return len(problem.tasks) > WIDE_TASKS and roomy(problem)


class Moves:
    """All transitions of a problem from a set of finished tasks.

    `settled`: only those of a machine whose memory is never short. What is read again stays on chip in as many copies as
    may ever be read at a time, and a task that can only run alone runs as soon
    as it can: neither costs cycles of the model.
    """

    def __init__(self, problem: Problem, stages: Stages, rules: Rules, settled: bool = False):
        self.problem = problem
        self.stages = stages
        self.rules = rules
        self.settled = settled
        self._extensions: dict[int, list[int]] = {}
        self._externals: dict[int, dict[int, int]] = {}
        self._allowed: dict[int, list[Config]] = {}
        self._cached: dict[tuple[int, frozenset[int], tuple[tuple[int, bool], ...]], list[Move]] = {}

    def extensions(self, done: int) -> list[int]:
        """Sets that can come next and that can run in at least one allowed way."""
        if done not in self._extensions:
            alone = (1 << t for t in self.stages.ready(done) if self.settled and self._runs_alone(t))
            first = next((mask for mask in alone if self.configs(mask)), None)
            able = self.stages.extensions(done) if first is None else [first]
            self._extensions[done] = [m for m in able if self.configs(m)]
        return self._extensions[done]

    def _runs_alone(self, task: int) -> bool:
        """True if no stage has the task beside others."""
        entry = self.problem.tasks[task]
        return not (entry.row_wise or entry.work.arrays)

    def configs(self, mask: int) -> list[Config]:
        """Allowed ways to run a set."""
        if mask not in self._allowed:
            self._allowed[mask] = [c for c in self.stages.configs(mask) if self.rules.allow(c)]
        return self._allowed[mask]

    def remaining(self, done: int) -> int:
        """Cycles that the tasks outside `done` take at least."""
        rest = (self.problem.everything & ~done).to_bytes(len(self._summed_areas), "little")
        areas = [sums[mask] for sums, mask in zip(self._summed_areas, rest, strict=True)]
        return bounds.spread(areas, self.problem.machine)

    @cached_property
    def _summed_areas(self) -> list[list[tuple[int, int]]]:
        """The areas of every set of eight tasks that follow each other, by the byte that is its bit mask."""
        tables, areas = [], [self._area(task) for task in range(len(self.problem.tasks))]
        for first in range(0, len(areas), 8):
            sums = [(0, 0)]
            for arrays, vectors in areas[first : first + 8]:
                sums += [(a + arrays, v + vectors) for a, v in sums]
            tables.append(sums)
        return tables

    def _area(self, task: int) -> tuple[int, int]:
        """Array and vector unit cycles that a task takes at least (`bounds.area`): one that is always a stage by itself
        stops all units as long as that takes, if only those tensors pass the ports that have to."""
        problem, mask = self.problem, 1 << task
        entry = problem.tasks[task]
        joined = problem.predecessors[task] | sum(1 << other for other in problem.successors[task])
        beside = any(problem.tasks[other].row_wise for other in members(joined))
        if (
            entry.work.arrays
            or entry.work.kind == "rows"
            or (entry.row_wise and beside)
            or not self.configs(mask)
        ):
            return problem.areas[task]
        loads = tuple(
            tensor
            for tensor, count in self.externals(mask).items()
            if problem.tensors[tensor].producer < 0
            and problem.tensors[tensor].reads(problem.everything) == count
        )
        stores = (entry.output,) if problem.tensors[entry.output].output else ()
        cycles = min(self._cycles(config, mask, {}, loads, stores) for config in self.configs(mask))
        return (problem.machine.cores * cycles,) * 2

    def externals(self, mask: int) -> dict[int, int]:
        """Tensors that the set reads but does not make, with the number of reads."""
        if mask not in self._externals:
            self._externals[mask] = self._reads(mask)
        return self._externals[mask]

    def _reads(self, mask: int) -> dict[int, int]:
        reads: dict[int, int] = {}
        for task in members(mask):
            for tensor in self.problem.tasks[task].inputs:
                entry = self.problem.tensors[tensor]
                if entry.producer < 0 or not mask >> entry.producer & 1:
                    reads[tensor] = entry.reads(mask)
        return reads

    def options(self, done: int, mask: int, on_chip: frozenset[int]) -> list[Move]:
        """Every sensible move that runs `mask` after `done` when the tensors `on_chip` are there as a whole.

        For equal decisions about tensors only the ways that are not both slower and bigger than another are given.
        """
        reads = self.externals(mask)
        near = frozenset(t for t in reads if t in on_chip)
        given = [self.problem.tensors[t] for t in reads if self.problem.tensors[t].producer < 0]
        key = (mask, near, tuple((t.reads(~(done | mask)), bool(t.reads(done))) for t in given))
        if key not in self._cached:
            self._cached[key] = list(self._make(done, mask, near))
        return self._cached[key]

    def _make(self, done: int, mask: int, near: frozenset[int]) -> Iterator[Move]:
        problem = self.problem
        reads = self.externals(mask)
        choices: list[list[tuple[int, int]]] = []
        for tensor, count in reads.items():
            entry = problem.tensors[tensor]
            if (
                entry.producer < 0
                and tensor not in near
                and entry.reads(~(done | mask))
                and not entry.reads(done)
            ):
                choices.append(self._keeping(tensor, mask, count, done))
        for task in members(mask):
            tensor = problem.tasks[task].output
            entry = problem.tensors[tensor]
            if entry.reads(~(done | mask)):
                least = entry.reads(mask)
                choices.append(self._keeping(tensor, mask, least, done))
        resident = tuple(sorted((t, n) for t, n in reads.items() if t in near))
        loads = tuple(sorted(t for t in reads if t not in near))
        for choice in product(*choices):
            kept = tuple(sorted((t, copies) for t, copies in choice if copies))
            stores = tuple(self._stores(mask, done, {t for t, _ in kept}))
            best: list[tuple[int, int]] = []
            found: list[tuple[int, tuple[int, ...], Config]] = []
            whole = problem.whole(mask)
            streamed = [t for t in loads if t not in dict(kept) and not whole >> t & 1] + list(stores)
            for config in self.configs(mask):
                if not all(self._aligned(t, config.tile_rows) for t in streamed):
                    continue
                staged = self._staged(config, mask, reads, kept, loads)
                found.append((self._cycles(config, mask, dict(kept), loads, stores), staged, config))
            for cycles, staged, config in sorted(found, key=lambda f: (f[0], sum(f[1]), f[2].weights)):
                if all(s > sum(staged) or w > config.weights for s, w in best):
                    best.append((sum(staged), config.weights))
                    yield Move(mask, config, cycles, staged, config.weights, kept, resident, loads, stores)

    def _keeping(self, tensor: int, mask: int, at_least: int, done: int) -> list[tuple[int, int]]:
        """The tensor with each number of copies in which it may stay on chip."""
        options = keep_options(self.problem.tensors[tensor], mask, at_least, self.rules, tensor, done)
        return [(tensor, copies) for copies in (options[-1:] if self.settled else options)]

    def _aligned(self, tensor: int, tile_rows: int) -> bool:
        """True if row tiles of the tensor are whole port words, as every transfer off chip must be."""
        entry, machine = self.problem.tensors[tensor], self.problem.machine
        if not tile_rows or tile_rows >= entry.rows:
            return True
        bits = tile_rows * row_beats(entry.cols, machine) * machine.lanes * self.problem.a_bits
        return bits % machine.port_bits == 0

    def _stores(self, mask: int, done: int, kept: set[int]) -> Iterator[int]:
        """Outputs of the set that go off chip: network outputs, and what is read later but not kept."""
        for task in members(mask):
            tensor = self.problem.tasks[task].output
            entry = self.problem.tensors[tensor]
            if entry.output or (entry.reads(~(done | mask)) and tensor not in kept):
                yield tensor

    def _staged(
        self,
        config: Config,
        mask: int,
        reads: dict[int, int],
        kept: tuple[tuple[int, int], ...],
        loads: tuple[int, ...],
    ) -> tuple[int, ...]:
        """Bytes of each copy of a tensor that is on chip during this stage only."""
        problem, staying = self.problem, {t for t, _ in kept}
        copies = {t: reads[t] for t in loads if t not in staying}
        whole = problem.whole(mask)
        for task in members(mask):
            tensor = problem.tasks[task].output
            if tensor not in staying:
                copies[tensor] = max(1, problem.tensors[tensor].reads(mask))
        return tuple(
            problem.staging(t, 0 if whole >> t & 1 else config.tile_rows)
            for t, count in copies.items()
            for _ in range(count)
        )

    def _cycles(
        self,
        config: Config,
        mask: int,
        kept: dict[int, int],
        loads: tuple[int, ...],
        stores: tuple[int, ...],
    ) -> int:
        problem, height = self.problem, config.tile_rows
        whole = problem.whole(mask)
        words = {t: problem.tensors[t].words for t in (*loads, *stores)}
        if not height:
            makers = {problem.tensors[t].producer for t in stores}
            readers = {v for v in config.tasks for t in loads if t in problem.tasks[v].inputs}
            traffic = (
                self._in_blocks(config, loads, readers, made=False),
                self._in_blocks(config, stores, makers, made=True),
            )
            there = problem.tasks[config.tasks[0]].work.run and not loads
            return cost.traffic_cycles(0 if there else config.compute, *traffic, problem.machine)

        def exposed(tensor: int, rows: int) -> int:
            in_tiles = tensor not in kept and not whole >> tensor & 1
            return problem.first_words(tensor, rows) if in_tiles else words[tensor]

        rows = problem.tasks[config.tasks[0]].work.rows
        tail = rows - (ceil_div(rows, height) - 1) * height
        compute = self._pipelined(config, kept, loads, stores) if config.tiled else config.compute
        return cost.traffic_cycles(
            compute,
            cost.Traffic(sum(words[t] for t in loads), sum(exposed(t, height) for t in loads), compute),
            cost.Traffic(sum(words[t] for t in stores), sum(exposed(t, tail) for t in stores), compute),
            problem.machine,
        )

    def _pipelined(
        self, config: Config, kept: dict[int, int], loads: tuple[int, ...], stores: tuple[int, ...]
    ) -> int:
        """Cycles of a pipelined stage whose row tiles go through the ports in the order of the tasks."""
        problem, height = self.problem, config.tile_rows
        whole = problem.whole(sum(1 << task for task in config.tasks))
        readers: dict[int, list[tuple[int, bool]]] = {}
        for v, task in enumerate(config.tasks):
            entry = problem.tasks[task]
            for tensor in dict.fromkeys(entry.inputs):
                if tensor in loads and tensor not in kept and not whole >> tensor & 1:
                    readers.setdefault(tensor, []).append((v, entry.work.tail and tensor != entry.inputs[0]))
        made = {problem.tasks[task].output: v for v, task in enumerate(config.tasks)}
        written = {t: ((v, False),) for t, v in made.items() if t in stores and t not in kept}
        if sum(map(len, readers.values())) < 2 and len(written) < 2:
            return config.compute

        def streams(ends: Mapping[int, Sequence[tuple[int, bool]]]) -> tiling.Streams:
            return tuple((problem.first_words(t, height), tuple(who)) for t, who in ends.items())

        return tiling.pipelined_cycles(
            config.tiled, config.tiles, problem.machine, streams(readers), streams(written)
        )

    def _in_blocks(
        self, config: Config, tensors: tuple[int, ...], tasks: set[int], made: bool
    ) -> cost.Traffic:
        """Traffic of a stage on whole tensors; `tasks` are those that read or (`made`) make them.

        A matmul, or a product that is no batch, follows its first input, and its output can be followed, block of rows by
        block of rows; a task on images follows the last channel of its input, and its output can be followed channel by
        channel and tile by tile.
        """
        problem, machine = self.problem, self.problem.machine
        split = {
            v: (replace(problem.tasks[v].work, by_rows=by_rows), len(group))
            for v, group, by_rows in zip(config.tasks, config.cores, config.by_rows, strict=True)
        }
        cycles = sum(problem.tensors[t].words for t in tensors)
        lead, windows = 0, []
        for tensor in tensors:
            entry = problem.tensors[tensor]
            ends = [v for v in tasks if tensor in (problem.tasks[v].output, *problem.tasks[v].inputs)]
            follows = all(
                problem.tasks[v].work.arrays
                and problem.tasks[v].work.items == 1
                and tensor not in problem.tasks[v].inputs[1:]
                for v in ends
            )
            if len(ends) == 1 and problem.tasks[ends[0]].work.on_grid:
                work = problem.tasks[ends[0]].work
                beats = (
                    cost.beats_behind(work, machine)
                    if made
                    else cost.beats_before(work, entry.rows, entry.cols, machine)
                )
                lead += cost.port_cycles(beats, problem.a_bits, machine, entry.ports)
                windows.append(
                    config.compute if made else cost.first_pass(work, len(config.cores[0]), machine)
                )
                continue
            block = max(cost.block_rows(*split[v], made, machine) for v in ends) if follows else 0
            lead += problem.first_words(tensor, block) if follows else entry.words
        column = cost.last_column if made else cost.first_column
        windows += [column(*split[v], machine) for v in tasks if not problem.tasks[v].work.on_grid]
        return cost.Traffic(cycles, lead, min(windows, default=0))
