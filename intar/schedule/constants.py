"""When what is no activation is on chip: parameters and functions, which all come through one port, and the kernels of
convolutions, in the order in which the tasks that need them stand in the schedule; or all of it from the start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from intar.ir.quantgraph import ROW_WISE, DirectSpec, QAffine, QNorm, QuantGraph, TableSpec
from intar.ir.schedule import Schedule
from intar.schedule import cost, sizes
from intar.schedule.problem import Problem
from intar.schedule.work import ceil_div, row_beats

ARRIVAL = 9
"""Cycles, beside the memory's latency, from the start until the first parameters can be read."""

ENTRY = 5
"""Cycles from a parameter in its memory to the first result that it is for."""


@dataclass(frozen=True)
class Constants:
    """The constants of a network (its circuit) that is scheduled so."""

    schedule: Schedule
    graph: QuantGraph
    problem: Problem

    def ready(self) -> dict[int, int]:
        """Of each task (by number) the cycle in which it has the parameters of its first results."""
        if self.problem.machine.on_chip:
            return {}
        port = max([self.first, *(ready for ready, _, _ in self._functions())])
        kernels: defaultdict[int, int] = defaultdict(lambda: self.problem.machine.latency + ARRIVAL)
        found: dict[int, int] = {}
        for number, cores in self._placed():
            first, beats = self._beats(number, max(1, len(cores)))
            if beats:
                found[number] = port + first * self.words + ENTRY
                port += beats * self.words
            work = self.problem.tasks[number].work
            if work.kind == "conv" and not self.problem.machine.kernel_ring:
                machine, (channels, first_taps) = self.problem.machine, work.groups[0]
                block = min(channels, machine.rows) * ceil_div(first_taps, machine.lanes)
                rows = sum(count * ceil_div(taps, machine.lanes) for count, taps in work.filters)
                before = kernels[cores[0]]
                found[number] = max(
                    found[number], before + cost.port_cycles(block, self.problem.a_bits, machine)
                )
                kernels[cores[0]] = before + cost.port_cycles(rows, self.problem.a_bits, machine)
        return found

    @property
    def words(self) -> int:
        """Port words of a beat of 32-bit numbers."""
        return ceil_div(self.problem.machine.lanes * 32, self.problem.machine.port_bits)

    def _placed(self) -> list[tuple[int, tuple[int, ...]]]:
        numbers = {task.name: number for number, task in enumerate(self.problem.tasks)}
        return [(numbers[p.task], p.cores) for stage in self.schedule.stages for p in stage.tasks]

    def functions(self) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """Of each function of vector units, which take them all before they begin: when it is there, the cycles that they
        take to get it, and their numbers."""
        return ((ready, takes, cores) for ready, takes, cores in self._functions() if cores)

    @property
    def first(self) -> int:
        """When the first parameters may be there."""
        return 0 if self.problem.machine.on_chip else self.problem.machine.latency + ARRIVAL

    def _functions(self) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """The same of all functions, those of the rows node without numbers."""
        machine, port = self.problem.machine, self.first
        tables = [task.table for task in self.graph.tasks if isinstance(task.table, TableSpec)]
        for number, cores in self._placed():
            task = self.graph.tasks[number]
            if isinstance(task.table, TableSpec):
                size = sizes.table_bytes(task.table, tables, machine)
                takes = sizes.table_load_cycles(task.table, tables, machine)
            elif isinstance(task.table, DirectSpec):
                size = sizes.direct_bytes(task.table.groups, machine)
                takes = sizes.direct_load_cycles(task.table.groups, machine)
            else:
                continue
            if not machine.on_chip:
                port += ceil_div(size, 4 * machine.lanes) * self.words
            yield port, takes, () if isinstance(task, ROW_WISE) else cores

    def _beats(self, number: int, cores: int) -> tuple[int, int]:
        """Beats of a task's parameters: those before its first results, and all."""
        task, work, machine = self.graph.tasks[number], self.problem.tasks[number].work, self.problem.machine
        blocks = row_beats(work.cols, machine)
        if work.kind == "matmul":
            return 4 * min(cores, blocks), 4 * blocks
        if isinstance(task, QAffine):
            return 4 * blocks, 4 * blocks
        if isinstance(task, QNorm):
            return 2 * blocks, 2 * blocks
        if work.kind == "conv":
            beats = sizes.row_parameter_bytes(work, machine) // machine.cores // (4 * machine.lanes)
            return beats, beats
        return 0, 0
