"""What every part of one lowering shares and none changes: integers, schedule, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from intar.device.boards import DSP48E2, find_board
from intar.ir.beats import beat_addresses
from intar.ir.bits import INDEX_BITS
from intar.ir.circuit import argmaxes, circuit, lookups
from intar.ir.deal import channel_blocks, tile_bands
from intar.ir.kernels import comes_in_blocks
from intar.ir.packing import products_at_once
from intar.ir.pixels import Run, runs, variants
from intar.ir.quantgraph import (
    QArgmax,
    QBinary,
    QConv,
    QEmbedding,
    QMatmul,
    QMove,
    QPeak,
    QPool,
    QProduct,
    QTask,
    QTensor,
    QuantGraph,
    Quantised,
    operand_bits,
    stored_bits,
    weight_bits,
)
from intar.ir.schedule import Machine, Schedule
from intar.lower.kept import Kept, kept_states


def rows_node(unit: int) -> str:
    """The name of a rows node."""
    return f"rows_{unit}" if unit else "rows"


@dataclass(frozen=True)
class Place:
    """Where a state lies in the output argument: from word `base` on, in odd rounds `swap` further; `pitch` words from row
    to row, or densely (0)."""

    base: int
    swap: int = 0
    pitch: int = 0


@dataclass(frozen=True)
class Common:
    """What the parts of a network that share one machine have in common (a network lowered as a whole: nothing).

    Widths at least; `slopes`, `curves`: units with tables have them; `entry_bits`: of what these are loaded in; `states`:
    inputs and outputs that go from part to part, in the first `reserved` words of the output argument; `banks`: memories are
    called by their rank, so that parts share them; `kept`: where the network's own states lie between calls (None: as
    `kept_states` has it); `forwards`: memories may be larger than the schedule says so that moves need no step
    (`intar.lower.forward`).
    """

    a_bits: int = 0
    w_bits: int = 0
    weight_bits: int = 0
    operands: tuple[int, int] = (0, 0)
    acc_bits: Mapping[int, int] = field(default_factory=dict)
    slopes: bool = False
    curves: bool = False
    entry_bits: int = 8
    states: Mapping[str, Place] = field(default_factory=dict)
    reserved: int = 0
    banks: bool = False
    kept: Mapping[str, Kept] | None = None
    forwards: bool = True


@dataclass(frozen=True)
class Site:
    """The work and the machine. `a_bits` and `w_bits` are the widths in which activations and weights are stored,
    `weight_bits` that in which weights come through the ports, `operands` what those that the arrays read fit in; `pack`
    lanes of an array share a multiplier.

    `indices` are the tensors of ids and indices, which are none of the graph's; `lookups` the embeddings, by the input of
    the graph that each makes, `argmaxes` the argmaxes, by the output that each reads; `stored` are the network's outputs;
    `kept` are its states and their new rows.
    """

    graph: QuantGraph
    constants: Mapping[str, np.ndarray]
    schedule: Schedule
    tensors: Mapping[str, QTensor]
    tasks: Mapping[str, QTask]
    a_bits: int
    w_bits: int
    weight_bits: int
    operands: tuple[int, int]
    common: Common = Common()
    indices: Mapping[str, QTensor] = field(default_factory=dict)
    lookups: Mapping[str, QEmbedding] = field(default_factory=dict)
    argmaxes: Mapping[str, QArgmax] = field(default_factory=dict)
    stored: frozenset[str] = frozenset()
    kept: Mapping[str, Kept] = field(default_factory=dict)

    @property
    def pack(self) -> int:
        """Products of a row of an array that share one multiplier of the device."""
        ports = find_board(self.machine.device).multiplier if self.machine.device else DSP48E2
        return min(self.machine.lanes, products_at_once(*self.operands, ports))

    @cached_property
    def beats(self) -> Mapping[str, Sequence[tuple[int, np.ndarray]]]:
        """What the moves of whole beats take (`beat_addresses`), by the names of their tasks."""
        moves = [task for task in self.graph.tasks if isinstance(task, QMove)]
        lanes, depth = self.machine.lanes, self.machine.depth
        found = {task.name: beat_addresses(task, self.tensors, lanes, depth) for task in moves}
        return {name: taken for name, taken in found.items() if taken is not None}

    @cached_property
    def runs(self) -> Mapping[str, Sequence[Run]]:
        """The tiles of each convolution and pool in runs (`intar.ir.pixels`), by the names of the tasks."""
        return {t.name: runs(t, self.machine) for t in self.graph.tasks if isinstance(t, QConv | QPool)}

    @cached_property
    def spans(self) -> Mapping[str, Sequence[tuple[tuple[int, int], ...]]]:
        """The spans of taps for which a convolution has parameters (`variants`), by the names of the tasks."""
        convolutions = [task for task in self.graph.tasks if isinstance(task, QConv)]
        return {task.name: variants(task, self.machine, self.runs[task.name]) for task in convolutions}

    @cached_property
    def moved(self) -> frozenset[str]:
        """Tensors of which a move takes whole beats."""
        return frozenset(name for task in self.graph.tasks if task.name in self.beats for name in task.inputs)

    @property
    def weight_lanes(self) -> int:
        """Elements of a beat of weights: `depth` channels of each lane, lane after lane."""
        return self.machine.lanes * self.machine.depth

    @property
    def machine(self) -> Machine:
        """What the schedule was made for."""
        return self.schedule.machine

    def neighbours(self, task: QTask) -> list[QTask]:
        """The tasks that make what a task reads, or read what it makes."""
        return [near for near in self.graph.tasks if near.output in task.inputs or task.output in near.inputs]

    def cores(self, task: QTask) -> tuple[int, ...]:
        """Where a task runs."""
        return next(p.cores for stage in self.schedule.stages for p in stage.tasks if p.task == task.name)

    def pitch(self, name: str) -> int:
        """Beats of one row of a tensor."""
        return -(-self.tensors[name].cols // self.machine.lanes)

    def in_blocks(self, task: QConv | QPool) -> bool:
        """Its weights come block of channels by block."""
        machine = self.machine
        return isinstance(task, QConv) and comes_in_blocks(task, machine.lanes, machine.kernel_ring)

    def tile_bands(self, task: QConv | QPool, cores: int) -> list[tuple[range, int, int]]:
        """How its tiles are dealt out (`intar.ir.deal.tile_bands`)."""
        apart = task.output not in self.graph.outputs and not self.in_blocks(task)
        return tile_bands(self.pitch(task.output), cores, channel_blocks(task, self.machine.rows), apart)

    def pixel_cores(self, task: QConv | QPool, cores: int) -> int:
        """How many of its cores have tiles to make."""
        return max(count * shares for _, count, shares in self.tile_bands(task, cores))

    def row_factor(self, task: QTask) -> bool:
        """The second operand has one column: one beat for each row, the same for all column blocks of the first."""
        elementwise = isinstance(task, QBinary | QMatmul) and len(task.inputs) == 2
        return elementwise and self.tensors[task.inputs[1]].cols < self.tensors[task.output].cols

    def spread(self, task: QTask) -> bool:
        """The second operand is in the first lane of its beats only; peaks of rows are in all of them."""
        peaks = (other.output for other in self.graph.tasks if isinstance(other, QPeak))
        return self.row_factor(task) and task.inputs[1] not in peaks

    def words(self, beats: int, bits: int) -> int:
        """Port words of that many beats of `bits`-bit elements."""
        return -(-beats * self.machine.lanes * bits // self.machine.port_bits)

    def acc_bits(self, core: int) -> int:
        """Accumulator width that a core needs for the tasks it runs."""
        names = {p.task for s in self.schedule.stages for p in s.tasks if core in p.cores}
        tasks = [self.tasks[name] for name in names]
        own = (t.acc_bits for t in tasks if isinstance(t, QMatmul | QProduct | QConv))
        return max([*own, self.common.acc_bits.get(core, 0)], default=0) or self.a_bits


def make_site(quantised: Quantised, schedule: Schedule, common: Common = Common()) -> Site:
    """Look everything up once."""
    graph = circuit(quantised.graph)
    tensors = {tensor.name: tensor for tensor in graph.tensors}
    a_bits, w_bits = stored_bits(graph)
    a_used, w_used = operand_bits(graph)
    a_bits = max(a_bits, common.a_bits)
    kept = kept_states(quantised.graph, schedule.machine, a_bits) if common.kept is None else common.kept
    return Site(
        graph=graph,
        constants=quantised.constants,
        schedule=schedule,
        tensors=tensors,
        tasks={task.name: task for task in graph.tasks},
        a_bits=a_bits,
        w_bits=common.w_bits or w_bits,  # a part without arrays has no say
        weight_bits=common.weight_bits or weight_bits(graph),
        operands=(max(a_used, common.operands[0]), max(w_used, common.operands[1])),
        common=common,
        indices={t.name: t for t in quantised.graph.tensors if t.bits == INDEX_BITS},
        lookups=lookups(quantised.graph),
        argmaxes=argmaxes(quantised.graph),
        stored=frozenset(quantised.graph.outputs),
        kept=kept,
    )
