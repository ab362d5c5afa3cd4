"""How long results are on their way between the parts of the machine, from the timing contract (`docs/program.md`)."""

from __future__ import annotations

from dataclasses import dataclass

from intar.ir.quantgraph import ROW_WISE, DirectSpec, QuantGraph, TableSpec
from intar.ir.schedule import Machine
from intar.schedule.problem import Problem
from intar.schedule.work import Work, row_beats

LOAD = 7
"""Cycles, beside the memory's latency, from the start until the first beat of a tensor is on chip."""

READ, FEED, ROUTER = 3, 3, 2
"""Cycles from a beat in a memory to its reader, from the last row of a block in a feed to its first product, of a router."""

ARRAY, UNIT, WRITE = 4, 2, 2
"""Cycles from the last product of a tile to its first row, of a vector unit without operations, and from its result to the
moment when it may be read."""

AFFINE, BINARY, RATIONAL, TABLE = 7, 8, 19, {1: 2, 2: 5, 3: 7}
"""What operations add to a vector unit's pipeline (of tables by the numbers of an entry)."""

ROWS_OUT = {"softmax": 41, "norm": 52, "peak": 22}
"""Cycles from the last slice of a row in a rows node to its first result, beside two passes."""


@dataclass(frozen=True)
class Latencies:
    """Of a network (its circuit) on its machine: `drain` is from the last slice that a vector unit takes to the moment when
    the result may be read."""

    machine: Machine
    drain: int

    @property
    def slices(self) -> int:
        """Cycles of a beat in a vector unit."""
        return self.machine.lanes // self.machine.rate

    def taken(self, rows: int) -> int:
        """Cycles from reading the last row of a block of so many to its first product."""
        return READ + 2 * ROUTER + FEED + rows - 1

    def left(self, rows: int) -> int:
        """Cycles from the last product of a block of so many rows to the moment when it may be read."""
        return ARRAY + rows * self.slices + self.drain

    def late(self, work: Work) -> int:
        """Cycles from the last slice of a row in a rows node to the moment when its result may be read."""
        beats = 1 if work.row_op == "peak" else row_beats(work.cols, self.machine)
        out = ROWS_OUT.get(work.row_op, ROWS_OUT["softmax"])
        return 2 * beats * self.slices + out + ROUTER + WRITE


def latencies(graph: QuantGraph, problem: Problem) -> Latencies:
    """Those of a circuit, whose vector units have what any of its tasks needs."""
    functions = [task.table for task in graph.tasks if not isinstance(task, ROW_WISE)]
    parts = max((len(spec.arrays) for spec in functions if isinstance(spec, TableSpec)), default=0)
    both = any(task.work.tail or task.work.kind == "vector" for task in problem.tasks)
    unit = UNIT + (BINARY if both else AFFINE) + TABLE.get(parts, 0)
    if any(isinstance(spec, DirectSpec) for spec in functions):
        unit += RATIONAL
    return Latencies(problem.machine, unit + 2 * ROUTER + WRITE)
