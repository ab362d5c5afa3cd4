"""What follows from a schedule and its graph, recomputed in the plainest way: sizes, traffic, lifetimes."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from intar.ir.beats import beat_runs
from intar.ir.pixels import variants
from intar.ir.quantgraph import (
    GRID,
    ROW_WISE,
    DirectSpec,
    QConv,
    QMatmul,
    QNorm,
    QProduct,
    QSoftmax,
    QTask,
    QuantGraph,
    TableSpec,
)
from intar.ir.rational import WORDS
from intar.ir.schedule import Placement, Residency, Schedule


@dataclass(frozen=True)
class Violation:
    """A broken rule: its stable name, the stage or tensor or task that it concerns, and the particulars."""

    rule: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.where}: {self.what}"


def _kept(bits: int) -> int:
    """Bits in which the machine keeps integers of so many."""
    return 16 if bits == 10 else bits


class Facts:
    """What follows from a schedule, computed once."""

    def __init__(self, schedule: Schedule, graph: QuantGraph):
        self.schedule, self.graph, self.machine = schedule, graph, schedule.machine
        self.tasks: dict[str, QTask] = {task.name: task for task in graph.tasks}
        self.home: dict[str, Residency] = {r.tensor: r for r in schedule.residency}
        self.rows = {t.name: t.rows for t in graph.tensors}
        self.cols = {t.name: t.cols for t in graph.tensors}
        self.tensors = {t.name: t for t in graph.tensors}
        self.a_bits = _kept(max([8] + [t.bits for t in graph.tensors]))
        widths = [t.weight_bits for t in graph.tasks if isinstance(t, QMatmul | QConv)]
        self.weight_bits = max([1, *widths])
        widths += [self.tensors[t.inputs[1]].bits for t in graph.tasks if isinstance(t, QProduct)]
        self.w_bits = _kept(max([1, *widths]))
        if any(isinstance(task, QConv) for task in graph.tasks):
            self.a_bits = self.w_bits = self.weight_bits = max(self.a_bits, self.w_bits)
        self.stage_of = {p.task: i for i, s in enumerate(schedule.stages) for p in s.tasks}
        self.runs = beat_runs(graph, self.machine.lanes, self.machine.depth)
        self.maker = {task.output: task.name for task in graph.tasks}
        self.reading: dict[str, list[int]] = {t.name: [] for t in graph.tensors}
        for task in graph.tasks:
            for tensor in task.inputs:
                copies = self.machine.cores if isinstance(task, GRID) else 1
                self.reading[tensor] += [self.stage_of[task.name]] * copies

    def size(self, tensor: str, rows: int | None = None) -> int:
        """Bytes of one copy of the first rows (default: all)."""
        lanes = self.machine.lanes
        bits = (
            (self.rows[tensor] if rows is None else rows)
            * ceil(self.cols[tensor] / lanes)
            * lanes
            * self.a_bits
        )
        return ceil(bits / 8)

    def words(self, tensor: str, rows: int | None = None) -> int:
        """Port cycles of the first rows (default: all)."""
        return self.transfer(
            (self.rows[tensor] if rows is None else min(rows, self.rows[tensor]))
            * ceil(self.cols[tensor] / self.machine.lanes),
            self.a_bits,
            self.ports(tensor) if rows is None else 1,
        )

    def ports(self, tensor: str) -> int:
        """Ports that share a tensor as a whole."""
        if tensor in self.graph.inputs:
            return self.machine.inputs
        return self.machine.outputs if tensor in self.graph.outputs else 1

    def transfer(self, beats: int, bits: int, ports: int = 1) -> int:
        """Cycles of ports that take turns: each moves at most one word, and all of them at most one beat a cycle."""
        return max(beats, ceil(ceil(beats / ports) * self.machine.lanes * bits / self.machine.port_bits))

    def weigh(self, blocks: int, k: int) -> int:
        """Cycles of a port for the weights of so many column blocks, `depth` channels of each lane a beat."""
        depth, beats = self.machine.depth, blocks * ceil(k / self.machine.depth)
        return beats if self.machine.on_chip else self.transfer(beats, self.weight_bits * depth)

    def sets(self, task: QConv) -> int:
        """Bytes of a convolution's parameters on a core, 16 a channel. Channels that an array takes together are a block; of
        several blocks one behind the other each begins a beat."""
        places, rows, end = max(1, self.machine.lanes // 4), self.machine.rows, 0
        blocks = [(group.channels, 1) for group in task.groups]
        if task.reduce > 1:
            blocks = [(task.reduce, self.rows[task.output])]
        elif rows > 1:
            blocks = []
            for group in task.groups:
                blocks += [(rows, group.channels // rows), (group.channels % rows, 1)]
        for size, count in blocks:
            if count == 1:
                end += size
            elif count:
                end = places * (ceil(end / places) + count * ceil(size / places))
        return ceil(end / places) * ceil(4 / self.machine.lanes) * self.machine.lanes * 4

    def fixed(self) -> int:
        """Bytes of parameters, of the tables on every core or on the rows node, of the weight rings, and of the rows nodes:
        four rows or twice as many as it divides at a time, and their powers of 25 bits."""
        machine, total, softmaxes = self.machine, 0, []
        for task in self.graph.tasks:
            if isinstance(task, ROW_WISE):
                row = ceil(self.cols[task.inputs[0]] / machine.lanes) * machine.lanes
                held = next(n for n in (4, 8, 16, 32, 64) if n >= 2 * machine.divisions)
                size = ceil(held * row * (self.a_bits + 25) / 8)
                softmaxes += [size] if isinstance(task, QSoftmax) else []
                total = max(total, size)
        for _ in range(1, min(machine.row_units, len(softmaxes))):  # nodes beside the first
            total += max(softmaxes)
        tables = [task.table for task in self.graph.tasks if isinstance(task.table, TableSpec)]
        words = 3 if any(t.curve for t in tables) else 2 if any(t.slope for t in tables) else 1
        size = next(
            n
            for n in (1, 2, 4)
            if all(-(2 ** (8 * n - 1)) <= t.lo <= t.hi < 2 ** (8 * n - 1) for t in tables)
        )
        size = size if words == 1 else 4
        for task in self.graph.tasks:
            if isinstance(task, QMatmul):
                total += self.columns(task, ceil(self.cols[task.output] / machine.lanes))
            if task.kind == "affine":
                total += 16 * machine.lanes * ceil(self.cols[task.output] / machine.lanes)
            if isinstance(task, QNorm):
                total += 8 * machine.lanes * ceil(self.cols[task.output] / machine.lanes)
            if isinstance(task, QConv):
                kept: dict[int, int] = {}
                for first, group in zip(task.filters, task.groups, strict=True):
                    beats = ceil(len(group.taps) / machine.lanes)
                    kept |= {first + row: beats for row in range(group.channels)}
                beats = sum(kept.values())
                if not machine.kernel_ring:
                    total += machine.cores * ceil(beats * machine.lanes * self.w_bits / 8)
                total += machine.cores * len(variants(task, machine)) * self.sets(task)
            if isinstance(task.table, DirectSpec):
                beats = task.table.groups * ceil(WORDS / machine.lanes)
                total += beats * machine.lanes * 4 * machine.cores
            if isinstance(task.table, TableSpec):
                copies = 1 if isinstance(task, ROW_WISE) else machine.cores
                beats = ceil(task.table.groups * 2**task.table.log_entries * size / 4 / machine.lanes)
                total += beats * machine.lanes * 4 * words * copies
        if machine.kernel_ring and any(isinstance(task, QConv) for task in self.graph.tasks):
            total += machine.cores * ceil(machine.kernel_ring * machine.lanes * self.w_bits / 8)
        ringed = QProduct if machine.on_chip else QMatmul | QProduct
        matmuls = [task for task in self.graph.tasks if isinstance(task, ringed)]
        heights = [
            self.rows[task.output] // (task.batch if isinstance(task, QProduct) else 1) for task in matmuls
        ]
        if any(height > machine.rows for height in heights):
            beats = 2 * max(ceil(self.cols[task.inputs[0]] / machine.depth) for task in matmuls)
            total += machine.cores * ceil(beats * machine.depth * machine.lanes * self.w_bits / 8)
        return total

    def columns(self, task: QMatmul, blocks: int) -> int:
        """Bytes of the parameters of so many column blocks, and of their weights where these are always on chip."""
        machine = self.machine
        total = blocks * machine.lanes * 16
        if machine.on_chip:
            beats = blocks * ceil(self.cols[task.inputs[0]] / machine.depth) * machine.depth
            total += ceil(beats * machine.lanes * self.weight_bits / 8)
        return total

    def produced(self, tensor: str) -> int:
        """Stage that makes a tensor; -1 for a network input."""
        return self.stage_of[self.maker[tensor]] if tensor in self.maker else -1

    def stores(self, i: int) -> list[str]:
        """Tensors that stage `i` writes off chip."""
        found = []
        for placement in self.schedule.stages[i].tasks:
            tensor = self.tasks[placement.task].output
            later = any(stage > i for stage in self.reading[tensor])
            if tensor in self.graph.outputs or (later and self.home[tensor].place != "chip"):
                found.append(tensor)
        return found

    def loads(self, i: int) -> list[str]:
        """Tensors that stage `i` reads from off chip."""
        found = []
        for tensor, stages in self.reading.items():
            if i not in stages or self.produced(tensor) == i:
                continue
            home = self.home[tensor]
            if home.place != "chip" or (self.produced(tensor) < 0 and home.first_stage == i):
                found.append(tensor)
        return found

    def copies(self, tensor: str, i: int) -> int:
        """Copies of a tensor that stage `i` needs: one for each read by a task (the store port takes turns)."""
        return self.reading[tensor].count(i)

    def reads(self, tensor: str, i: int) -> tuple[int, int]:
        """Copies that stage `i` reads in windows, one on each core, and beat by beat; a move or the store of an output takes
        any of these, but needs one."""
        windows, beats = 0, 0
        for placement in self.schedule.stages[i].tasks:
            task = self.tasks[placement.task]
            if isinstance(task, GRID):
                windows += self.machine.cores * task.inputs.count(tensor)
            else:
                beats += task.inputs.count(tensor)
        made = self.produced(tensor) == i
        if made and (self.home[tensor].place != "chip" or tensor in self.graph.outputs):
            beats = max(beats, 1)
        return windows, beats

    def touched(self, tensor: str) -> list[int]:
        """Stages that make or read a tensor."""
        stages = set(self.reading[tensor])
        if tensor in self.maker:
            stages.add(self.produced(tensor))
        return sorted(stages)

    def read_whole(self, tensor: str, i: int) -> bool:
        """True if a product of stage `i` has the tensor as its second operand."""
        tasks = [self.tasks[p.task] for p in self.schedule.stages[i].tasks]
        return any(isinstance(task, QProduct) and task.inputs[1] == tensor for task in tasks)

    def need(self, tensor: str, i: int) -> int:
        """On-chip bytes of a tensor in stage `i`."""
        home, stage = self.home[tensor], self.schedule.stages[i]
        if home.place == "chip":
            return home.bytes if home.first_stage <= i <= home.last_stage else 0
        if i not in self.touched(tensor):
            return 0
        tiled = stage.tile_rows and not self.read_whole(tensor, i)
        held = min(2 * stage.tile_rows, self.rows[tensor]) if tiled else self.rows[tensor]
        return max(1, self.copies(tensor, i)) * self.size(tensor, held)

    def misaligned(self, i: int) -> list[str]:
        """Tensors that go through a port in row tiles of stage `i` that are not whole port words."""
        stage, lanes = self.schedule.stages[i], self.machine.lanes
        found = []
        for tensor in {*self.loads(i), *self.stores(i)} if stage.tile_rows else ():
            streamed = self.home[tensor].place != "chip" and not self.read_whole(tensor, i)
            streamed = streamed or tensor in self.stores(i)
            bits = stage.tile_rows * ceil(self.cols[tensor] / lanes) * lanes * self.a_bits
            if streamed and stage.tile_rows < self.rows[tensor] and bits % self.machine.port_bits:
                found.append(tensor)
        return sorted(found)

    def resident(self, i: int) -> int:
        """Bytes of the weights that stage `i` makes resident, for the rest of the run, and of what cores which take rows
        have more than once."""
        machine, total = self.machine, 0
        for placement in self.schedule.stages[i].tasks:
            task = self.tasks[placement.task]
            if not isinstance(task, QMatmul):
                continue
            blocks, cores = ceil(self.cols[task.output] / machine.lanes), len(placement.cores)
            each = ceil(blocks / cores)
            if placement.axis == "rows":
                each, cores = blocks, self.fed(task, cores)
                total += (cores - 1) * self.columns(task, blocks)
            elif self.relieved(task, self.visited(i, task), placement):
                total += self.columns(task, blocks % cores)
            if placement.resident:
                beats = each * ceil(self.cols[task.inputs[0]] / machine.depth)
                total += ceil(beats * machine.depth * machine.lanes * self.w_bits / 8) * cores
        return total

    def visited(self, i: int, task: QTask) -> int:
        """Rows of a task that stage `i` works on at a time."""
        rows = self.rows[task.output]
        return min(self.schedule.stages[i].tile_rows or rows, rows)

    def relieved(self, task: QTask, rows: int, placement: Placement) -> int:
        """Blocks of rows of the last column blocks that cores without one make, of a matmul by columns."""
        cores, size = len(placement.cores), self.machine.rows
        if not isinstance(task, QMatmul) or placement.axis == "rows" or placement.resident:
            return 0
        full, rest = divmod(ceil(self.cols[task.output] / self.machine.lanes), cores)
        if full == 0 or rest == 0 or rows % size or self.fed(task, 2) < 2:
            return 0
        helpers = next(n for n in range(cores - rest, 0, -1) if rest % n == 0)
        each = rest // helpers
        spared = (rows // size) // (each + 1)
        work = (full * (rows // size) + rows // size - spared) * self.tile(task)
        return spared if self.weigh(full + each, self.cols[task.inputs[0]]) <= work else 0

    def fed(self, task: QMatmul | QProduct, cores: int) -> int:
        """Cores that take rows: one more only while the others do not use every cycle of the stream of activations."""
        beats = self.machine.rows * ceil(self.cols[task.inputs[0]] / self.machine.lanes)
        count = 1
        while count < cores and count * beats < self.tile(task):
            count += 1
        return count

    def tile(self, task: QMatmul | QProduct) -> int:
        """Cycles of an array tile."""
        size, drain = self.machine.rows, self.machine.rows * self.machine.lanes // self.machine.rate
        return max(ceil(self.cols[task.inputs[0]] / self.machine.depth), size, drain)

    def rounds(self, task: QMatmul | QProduct, rows: int, cores: int) -> list[int]:
        """Rows of each round in which the cores take as many rows each, one after the other."""
        size, fed = self.machine.rows, self.fed(task, cores)
        found = [fed * size] * (rows // (fed * size))
        left = rows % (fed * size)
        if left and left % ceil(left / size) == 0:
            return [*found, left]
        return [*found, left - left % size, left % size] if left else found

    def times(self, task: QMatmul | QProduct, rows: int, cores: int) -> int:
        """How often all weights of so many rows arrive, if the cores take rows: the rounds of full cores have them once."""
        size, fed = self.machine.rows, self.fed(task, cores)
        heights = self.rounds(task, rows, cores)
        return len([h for h in heights if h != fed * size]) + (fed * size in heights)

    @property
    def fixed_groups(self) -> bool:
        """Groups of cores never change (*dataflow*)."""
        return self.schedule.mode == "dataflow"
