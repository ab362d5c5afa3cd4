"""What every part of one lowering shares and none changes: integers, schedule, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from intar.ir.quantgraph import QMatmul, QMove, QTask, QTensor, QuantGraph, Quantised
from intar.ir.schedule import Machine, Schedule
from intar.lower.moves import identity_move


@dataclass(frozen=True)
class Site:
    """The work and the machine. `a_bits` and `w_bits` are the widths in which activations and weights are stored;
    `aliases` maps tensors that are a network input in another shape to that input (the host lays them out, no task runs).
    """

    graph: QuantGraph
    constants: Mapping[str, np.ndarray]
    schedule: Schedule
    tensors: Mapping[str, QTensor]
    tasks: Mapping[str, QTask]
    aliases: Mapping[str, str]
    a_bits: int
    w_bits: int

    @property
    def machine(self) -> Machine:
        return self.schedule.machine

    def pitch(self, name: str) -> int:
        """Beats of one row of a tensor."""
        return -(-self.tensors[name].cols // self.machine.lanes)

    def words(self, beats: int, bits: int) -> int:
        """Port words of that many beats of `bits`-bit elements."""
        return -(-beats * self.machine.lanes * bits // self.machine.port_bits)

    def acc_bits(self, core: int) -> int:
        """Accumulator width that a core needs for the tasks it runs."""
        names = {p.task for s in self.schedule.stages for p in s.tasks if core in p.cores}
        tasks = [self.tasks[name] for name in names]
        return max((t.acc_bits for t in tasks if isinstance(t, QMatmul)), default=self.a_bits)

    def from_input(self, name: str) -> bool:
        """True for what arrives through the input port."""
        return name in self.graph.inputs or name in self.aliases


def make_site(quantised: Quantised, schedule: Schedule) -> Site:
    """Look everything up once."""
    graph = quantised.graph
    tensors = {tensor.name: tensor for tensor in graph.tensors}
    matmuls = [task for task in graph.tasks if isinstance(task, QMatmul)]
    return Site(
        graph=graph,
        constants=quantised.constants,
        schedule=schedule,
        tensors=tensors,
        tasks={task.name: task for task in graph.tasks},
        aliases=_aliases(graph, tensors),
        a_bits=max(tensor.bits for tensor in graph.tensors),
        w_bits=max((task.weight_bits for task in matmuls), default=8),
    )


def _aliases(graph: QuantGraph, tensors: Mapping[str, QTensor]) -> dict[str, str]:
    readers: dict[str, int] = {}
    for task in graph.tasks:
        for name in task.inputs:
            readers[name] = readers.get(name, 0) + 1
    return {
        task.output: task.inputs[0]
        for task in graph.tasks
        if isinstance(task, QMove)
        and task.inputs[0] in graph.inputs
        and readers[task.inputs[0]] == 1
        and task.inputs[0] not in graph.outputs
        and task.output not in graph.outputs
        and identity_move(task, tensors)
    }
