"""The scheduling problem as integers and bit masks, made from a QuantGraph and a Machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from intar.ir.beats import beat_addresses, beat_runs
from intar.ir.circuit import circuit
from intar.ir.kernels import comes_in_blocks, passing_beats
from intar.ir.pixels import last_read, runs, variants
from intar.ir.quantgraph import (
    GRID,
    ROW_WISE,
    DirectSpec,
    QAffine,
    QConv,
    QMatmul,
    QMove,
    QNorm,
    QPool,
    QProduct,
    QSoftmax,
    QTask,
    QuantGraph,
    TableSpec,
    state_bits,
    stored_bits,
    weight_bits,
)
from intar.ir.schedule import Machine
from intar.schedule import bounds, cost, sizes
from intar.schedule.work import Work, ceil_div, row_beats


@dataclass(frozen=True)
class Tensor:
    """A tensor: who makes it (-1: a network input), who reads it (one entry per copy that is read), what it costs.

    `words` are the cycles of the ports for the whole tensor, which share it, `ports` in number.
    Tasks on images (`windows`: their bit mask) read a copy on each core, in memories of their own kind. Where the tensor
    stays on chip, `beside` copies are for reads beat by beat.
    """

    name: str
    rows: int
    cols: int
    producer: int
    readers: tuple[int, ...]
    output: bool
    bytes: int
    words: int
    ports: int = 1
    windows: int = 0
    beside: int = 0

    @cached_property
    def consumers(self) -> int:
        """Bit mask of the reading tasks."""
        mask = 0
        for task in self.readers:
            mask |= 1 << task
        return mask

    def reads(self, tasks: int) -> int:
        """Number of reads by the tasks of a bit mask."""
        return sum(tasks >> task & 1 for task in self.readers)

    @property
    def windowed(self) -> int:
        """Copies that are read in windows: as many as a task on images reads, which runs alone."""
        return self.reads(self.windows & -self.windows)


@dataclass(frozen=True)
class Task:
    """A task: tensors by index, its work, and whether row tiles of its output need the same rows of its inputs only.

    `whole`: bit mask of the inputs of which every row is needed all the same (the second operand of a product).
    """

    name: str
    work: Work
    inputs: tuple[int, ...]
    output: int
    row_wise: bool
    whole: int = 0


@dataclass(frozen=True)
class Problem:
    """Tasks in topological order and tensors; `fixed_bytes` (parameters, tables, weight rings) are on chip all the time."""

    name: str
    machine: Machine
    tasks: tuple[Task, ...]
    tensors: tuple[Tensor, ...]
    a_bits: int
    w_bits: int
    fixed_bytes: int
    predecessors: tuple[int, ...] = field(repr=False)

    @property
    def everything(self) -> int:
        """Bit mask of all tasks."""
        return (1 << len(self.tasks)) - 1

    @property
    def capacity(self) -> int:
        """Bytes for tensors and weights; may be negative."""
        return self.machine.onchip_bytes - self.fixed_bytes

    @cached_property
    def successors(self) -> tuple[tuple[int, ...], ...]:
        """The tasks that read what each task makes, ascending."""
        return tuple(tuple(members(self.tensors[task.output].consumers)) for task in self.tasks)

    @cached_property
    def areas(self) -> tuple[tuple[int, int], ...]:
        """Least array and vector unit cycles of each task (`cost.area`)."""
        return tuple(bounds.area(task.work, self.machine) for task in self.tasks)

    @cached_property
    def residents(self) -> tuple[int, ...]:
        """Most bytes that the weights of each task, and copies of its parameters, take if they stay on chip."""
        groups = range(1, self.machine.cores + 1)
        return tuple(
            max(
                sizes.resident_bytes(work, cores, self.machine)
                + sizes.most_copied_bytes(work, cores, self.machine)
                for cores in groups
                for work in (task.work, replace(task.work, by_rows=task.work.arrays))
            )
            for task in self.tasks
        )

    @property
    def works(self) -> list[Work]:
        """What the cost model knows of each task."""
        return [task.work for task in self.tasks]

    def whole(self, tasks: int) -> int:
        """Bit mask of the tensors of which a task of the mask needs every row."""
        mask = 0
        for task in members(tasks):
            mask |= self.tasks[task].whole
        return mask

    def staging(self, tensor: int, tile_rows: int) -> int:
        """Bytes of one copy of an off-chip or tile tensor while a stage works on it."""
        t = self.tensors[tensor]
        return sizes.tile_bytes(t.rows, t.cols, self.a_bits, tile_rows, self.machine)

    def first_words(self, tensor: int, rows: int) -> int:
        """Port words of the first `rows` rows."""
        t = self.tensors[tensor]
        return cost.tensor_words(min(rows, t.rows), t.cols, self.a_bits, self.machine)


def members(mask: int) -> list[int]:
    """Indices of the set bits, ascending."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def _work(task: QTask, graph: QuantGraph, w_bits: int, machine: Machine) -> Work:
    out = graph.tensor(task.output)
    if isinstance(task, QMatmul):
        k = graph.tensor(task.inputs[0]).cols
        tail, stream = task.tail is not None, weight_bits(graph)
        return Work("matmul", out.rows, out.cols, k, w_bits, tail, stream_bits=stream)
    if isinstance(task, QConv | QPool):
        kind = "conv" if isinstance(task, QConv) else "pool"
        groups = tuple((group.channels, len(group.taps)) for group in task.groups)
        first, *_ = found = runs(task, machine)
        return Work(
            kind,
            out.rows,
            out.cols,
            w_bits=w_bits,
            tail=isinstance(task, QConv) and task.tail is not None,
            groups=groups,
            runs=tuple((run.first, run.end, run.taps) for run in found),
            sets=len(variants(task, machine, found)) if isinstance(task, QConv) else 1,
            filters=task.filter_sizes if isinstance(task, QConv) else (),
            reduce=task.reduce if isinstance(task, QConv) else 1,
            passing=passing_beats(task, machine.lanes, machine.kernel_ring) if isinstance(task, QConv) else 0,
            in_blocks=isinstance(task, QConv) and comes_in_blocks(task, machine.lanes, machine.kernel_ring),
            stored=task.output in graph.outputs,
            reach=max(
                last_read(task, group.taps[slice(*span)], 0, machine.lanes)
                for group, span in zip(task.groups, first.spans, strict=True)
            ),
        )
    if isinstance(task, QProduct) and task.state:
        k, cols = graph.tensor(task.inputs[0]).cols, graph.tensor(task.inputs[1]).cols
        row = row_beats(cols, machine) * machine.lanes * state_bits(graph, 0)
        words = (out.cols if task.transposed else k) * ceil_div(row, machine.port_bits)
        return Work("stream", out.rows, out.cols, k, w_bits, items=task.batch, words=words)
    if isinstance(task, QProduct):
        k = graph.tensor(task.inputs[0]).cols
        return Work("product", out.rows, out.cols, k, w_bits, items=task.batch)
    if isinstance(task, ROW_WISE):
        return Work("rows", out.rows, graph.tensor(task.inputs[0]).cols, row_op=task.kind)
    if isinstance(task, QMove):
        tensors = {name: graph.tensor(name) for name in (*task.inputs, task.output)}
        beats = beat_addresses(task, tensors, machine.lanes, machine.depth)
        return Work("move", out.rows, out.cols, beats=beats is not None)
    return Work("vector", out.rows, out.cols)


def _fixed_bytes(
    graph: QuantGraph, machine: Machine, a_bits: int, w_bits: int, works: Mapping[str, Work]
) -> int:
    """Parameters and weights that are always there, tables on each core or on the rows node, on each core a ring for the
    longest reduction whose weights come through one, and the rows nodes, of which all but one have softmaxes only."""
    deepest, through = 0, ("product",) if machine.on_chip else ("matmul", "product")
    rows = {
        t.name: sizes.rows_bytes(graph.tensor(t.inputs[0]).cols, a_bits, machine)
        for t in graph.tasks
        if isinstance(t, ROW_WISE)
    }
    softmaxes = [rows[t.name] for t in graph.tasks if isinstance(t, QSoftmax)]
    others = min(machine.row_units, len(softmaxes)) - 1
    total = max(rows.values(), default=0) + max(0, others) * max(softmaxes, default=0)
    tables = [task.table for task in graph.tasks if isinstance(task.table, TableSpec)]
    for task in graph.tasks:
        out = graph.tensor(task.output)
        if isinstance(task, QMatmul):
            total += sizes.column_bytes(works[task.name], out.cols, machine)
        if isinstance(task, QAffine):
            total += sizes.parameter_bytes(out.cols, machine)
        if isinstance(task, QNorm):
            total += sizes.norm_parameter_bytes(out.cols, machine)
        if isinstance(task, QConv):
            work = works[task.name]
            total += sizes.row_parameter_bytes(work, machine)
        if isinstance(task.table, TableSpec):
            copies = 1 if isinstance(task, ROW_WISE) else machine.cores
            total += sizes.table_bytes(task.table, tables, machine) * copies
        if isinstance(task.table, DirectSpec):
            total += sizes.direct_bytes(task.table.groups, machine) * machine.cores
        items = task.batch if isinstance(task, QProduct) else 1
        if task.kind in through and out.rows // items > machine.rows:
            deepest = max(deepest, graph.tensor(task.inputs[0]).cols)
    total += sizes.kernel_bytes(list(works.values()), machine)
    if deepest:
        deepest = max(graph.tensor(t.inputs[0]).cols for t in graph.tasks if t.kind in through)
        total += sizes.ring_bytes(deepest, w_bits, machine)
    return total


def _ports(tensor: str, graph: QuantGraph, machine: Machine) -> int:
    """Ports that a whole tensor goes through."""
    return machine.inputs if tensor in graph.inputs else machine.outputs if tensor in graph.outputs else 1


def _images(graph: QuantGraph) -> dict[str, dict[str, int]]:
    """Of each tensor that is read in windows how it is (fields of `Tensor`)."""
    found: dict[str, dict[str, int]] = {}
    for i, task in enumerate(graph.tasks):
        for name in task.inputs if isinstance(task, GRID) else ():
            image = found.setdefault(name, {"windows": 0})
            image["windows"] |= 1 << i
    for name, image in found.items():
        others = [task for task in graph.tasks if name in task.inputs and not isinstance(task, GRID)]
        reads = sum(task.inputs.count(name) for task in others if not isinstance(task, QMove))
        image["beside"] = max(reads, int(bool(others) or name in graph.outputs))
    return found


def make_problem(graph: QuantGraph, machine: Machine) -> Problem:
    """The problem of running `graph` (what the circuit does of it) on `machine`.

    All cores share one weight width and all activations one storage width: the widest of the graph (at least 8 bits);
    the wider of both where activations are multiplied with each other.
    """
    graph = circuit(graph)
    a_bits, w_bits = stored_bits(graph)
    number = {tensor.name: i for i, tensor in enumerate(graph.tensors)}
    producer = {task.output: i for i, task in enumerate(graph.tasks)}
    readers: dict[str, list[int]] = {tensor.name: [] for tensor in graph.tensors}
    for i, task in enumerate(graph.tasks):
        for name in task.inputs:
            readers[name].extend([i] * (machine.cores if isinstance(task, GRID) else 1))
    images = _images(graph)
    tensors = tuple(
        Tensor(
            name=t.name,
            rows=t.rows,
            cols=t.cols,
            producer=producer.get(t.name, -1),
            readers=tuple(readers[t.name]),
            output=t.name in graph.outputs,
            bytes=sizes.tensor_bytes(t.rows, t.cols, a_bits, machine),
            words=cost.tensor_words(t.rows, t.cols, a_bits, machine, _ports(t.name, graph, machine)),
            ports=_ports(t.name, graph, machine),
            **images.get(t.name, {}),
        )
        for t in graph.tensors
    )
    tasks = []
    runs = beat_runs(graph, machine.lanes, machine.depth)
    for task in graph.tasks:
        work = replace(_work(task, graph, w_bits, machine), run=task.name in runs)
        by_row = task.inputs[:1] if isinstance(task, QProduct) else task.inputs
        row_wise = not (work.on_grid or work.kind in ("move", "stream")) and all(
            graph.tensor(name).rows == work.rows for name in by_row
        )
        whole = 1 << number[task.inputs[1]] if isinstance(task, QProduct) else 0
        inputs = tuple(number[name] for name in task.inputs)
        tasks.append(Task(task.name, work, inputs, number[task.output], row_wise, whole))
    predecessors = []
    for entry in tasks:
        mask = 0
        for tensor in entry.inputs:
            if tensors[tensor].producer >= 0:
                mask |= 1 << tensors[tensor].producer
        predecessors.append(mask)
    return Problem(
        graph.name,
        machine,
        tuple(tasks),
        tensors,
        a_bits,
        w_bits,
        _fixed_bytes(graph, machine, a_bits, w_bits, {task.name: task.work for task in tasks}),
        tuple(predecessors),
    )
