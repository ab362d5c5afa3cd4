"""An independent check of any schedule: it shares no code with the solver and has its own arithmetic.

Everything is recomputed from the graph and from the text of `docs/schedule.md`, in the plainest way there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import ceil

from intar.ir.beats import beat_addresses
from intar.ir.circuit import circuit
from intar.ir.pixels import last_read, runs, variants
from intar.ir.quantgraph import (
    GRID,
    ROW_WISE,
    QConv,
    QMatmul,
    QMove,
    QNorm,
    QPool,
    QProduct,
    QSoftmax,
    QTask,
    QuantGraph,
)
from intar.ir.schedule import Placement, Residency, Schedule, Stage


@dataclass(frozen=True)
class Violation:
    """A broken rule: its stable name, the stage or tensor or task that it concerns, and the particulars."""

    rule: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.where}: {self.what}"


def validate(schedule: Schedule, graph: QuantGraph) -> list[Violation]:
    """All violations of a schedule; empty if it is sound.

    Checks: every task once, precedence, cores, the rules of each pattern, tile heights, residency and lifetimes, copies,
    banks and memory, cycles of every stage, objective, bound and status.
    """
    graph = circuit(graph)
    structure = list(_tasks_once(schedule, graph))
    if structure:
        return structure
    facts = _Facts(schedule, graph)
    found = [v for i in range(len(schedule.stages)) for v in facts.check_stage(i)]
    found += facts.check_residency()
    if not found:
        found += facts.check_alignment()
        found += facts.check_copies()
        found += facts.check_banks()
        found += facts.check_cycles()
    return found


def _tasks_once(schedule: Schedule, graph: QuantGraph) -> Iterator[Violation]:
    known = {task.name: task for task in graph.tasks}
    count = Counter(p.task for stage in schedule.stages for p in stage.tasks)
    for name in known:
        if count[name] != 1:
            yield Violation("once", name, f"scheduled {count[name]} times")
    for name in count:
        if name not in known:
            yield Violation("once", name, "no such task in the graph")
    made = {tensor for tensor in graph.inputs}
    for i, stage in enumerate(schedule.stages):
        for placement in stage.tasks:
            task = known.get(placement.task)
            if task is None:
                continue
            for tensor in task.inputs:
                if tensor not in made:
                    yield Violation(
                        "precedence", f"stage {i}", f"{task.name} reads {tensor} before it is made"
                    )
            made.add(task.output)
    tensors = {tensor.name for tensor in graph.tensors}
    homes = Counter(r.tensor for r in schedule.residency)
    wanted = {t for task in graph.tasks for t in (*task.inputs, task.output)}
    for name in sorted(wanted | set(homes)):
        if name not in tensors:
            yield Violation("residency", name, "no such tensor in the graph")
        elif homes[name] != (name in wanted):
            yield Violation("residency", name, f"{homes[name]} entries")


class _Facts:
    """What follows from a schedule, computed once."""

    def __init__(self, schedule: Schedule, graph: QuantGraph):
        self.schedule, self.graph, self.machine = schedule, graph, schedule.machine
        self.tasks: dict[str, QTask] = {task.name: task for task in graph.tasks}
        self.home: dict[str, Residency] = {r.tensor: r for r in schedule.residency}
        self.rows = {t.name: t.rows for t in graph.tensors}
        self.cols = {t.name: t.cols for t in graph.tensors}
        self.tensors = {t.name: t for t in graph.tensors}
        self.a_bits = max([8] + [t.bits for t in graph.tensors])
        self.w_bits = max([1] + [t.weight_bits for t in graph.tasks if isinstance(t, QMatmul | QConv)])
        if any(isinstance(task, QConv | QProduct) for task in graph.tasks):
            self.a_bits = self.w_bits = max(self.a_bits, self.w_bits)
        self.stage_of = {p.task: i for i, s in enumerate(schedule.stages) for p in s.tasks}
        self.maker = {task.output: task.name for task in graph.tasks}
        self.reading: dict[str, list[int]] = {t.name: [] for t in graph.tensors}
        for task in graph.tasks:
            for tensor in task.inputs:
                copies = self.machine.cores if isinstance(task, GRID) else 1
                self.reading[tensor] += [self.stage_of[task.name]] * copies

    # --- sizes -------------------------------------------------------------------------------------------------

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

    def fixed(self) -> int:
        """Bytes of parameters, of the tables on every core, of the weight rings, and of the rows node: four rows and their
        powers of 25 bits."""
        machine, total = self.machine, 0
        for task in self.graph.tasks:
            if isinstance(task, ROW_WISE):
                row = ceil(self.cols[task.output] / machine.lanes) * machine.lanes
                total = max(total, ceil(4 * row * (self.a_bits + 25) / 8))
        tables = [task.table for task in self.graph.tasks if task.table]
        words = 3 if any(t.curve for t in tables) else 2 if any(t.slope for t in tables) else 1
        for task in self.graph.tasks:
            if task.kind == "matmul" or task.kind == "affine":
                total += 16 * machine.lanes * ceil(self.cols[task.output] / machine.lanes)
            if isinstance(task, QNorm):
                total += 8 * machine.lanes * ceil(self.cols[task.output] / machine.lanes)
            if isinstance(task, QConv):
                beats = sum(g.channels * ceil(len(g.taps) / machine.lanes) for g in task.groups)
                total += machine.cores * ceil(beats * machine.lanes * self.w_bits / 8)
                sets = self.rows[task.output] * len(variants(task, machine))
                total += machine.cores * sets * 4 * machine.lanes * ceil(4 / machine.lanes)
            if task.table is not None:
                beats = ceil(task.table.groups * 2**task.table.log_entries / machine.lanes)
                total += beats * machine.lanes * 4 * words * machine.cores
        matmuls = [task for task in self.graph.tasks if isinstance(task, QMatmul | QProduct)]
        heights = [
            self.rows[task.output] // (task.batch if isinstance(task, QProduct) else 1) for task in matmuls
        ]
        if any(height > machine.rows for height in heights):
            depth = max(self.cols[task.inputs[0]] for task in matmuls)
            total += machine.cores * ceil(2 * depth * machine.lanes * self.w_bits / 8)
        return total

    # --- traffic -----------------------------------------------------------------------------------------------

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

    def resident(self, i: int) -> int:
        """Bytes of the weights that stage `i` makes resident, for the rest of the run, and of the parameters that cores
        which take rows have more than once."""
        machine, total = self.machine, 0
        for placement in self.schedule.stages[i].tasks:
            task = self.tasks[placement.task]
            if not isinstance(task, QMatmul):
                continue
            blocks, cores = ceil(self.cols[task.output] / machine.lanes), len(placement.cores)
            each = ceil(blocks / cores)
            if placement.axis == "rows":
                each, cores = blocks, self.fed(task, cores)
                total += (cores - 1) * blocks * machine.lanes * 16
            if placement.resident:
                beats = each * self.cols[task.inputs[0]]
                total += ceil(beats * machine.lanes * self.w_bits / 8) * cores
        return total

    def fed(self, task: QMatmul | QProduct, cores: int) -> int:
        """Cores that take rows: one more only while the others do not use every cycle of the stream of activations."""
        beats = self.machine.rows * ceil(self.cols[task.inputs[0]] / self.machine.lanes)
        count = 1
        while count < cores and count * beats < self._tile(task):
            count += 1
        return count

    def _tile(self, task: QMatmul | QProduct) -> int:
        """Cycles of an array tile."""
        size = self.machine.rows
        return max(self.cols[task.inputs[0]], size, size * self.machine.lanes // self.machine.rate)

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

    # --- rules of stages ---------------------------------------------------------------------------------------

    def check_stage(self, i: int) -> Iterator[Violation]:
        """Cores, pattern and tile height of one stage."""
        stage, where = self.schedule.stages[i], f"stage {i}"
        if not stage.tasks:
            yield Violation("pattern", where, "no tasks")
            return
        for placement in stage.tasks:
            cores = placement.cores
            if isinstance(self.tasks[placement.task], ROW_WISE):
                if cores:
                    yield Violation("cores", where, f"{placement.task} runs on the rows node, not on cores")
            elif (
                not cores
                or len(set(cores)) != len(cores)
                or min(cores) < 0
                or max(cores) >= self.machine.cores
            ):
                yield Violation("cores", where, f"{placement.task} on cores {list(cores)}")
            elif list(cores) != list(range(cores[0], cores[0] + len(cores))):
                yield Violation("cores", where, f"{placement.task}: cores {list(cores)} are not contiguous")
            if (
                not isinstance(self.tasks[placement.task], (QMatmul, QProduct, *ROW_WISE, *GRID))
                and len(cores) != 1
                and self.fixed_groups is False
            ):
                yield Violation("cores", where, f"{placement.task} has no products and takes one vector unit")
            if placement.resident and (
                not stage.tile_rows or not isinstance(self.tasks[placement.task], QMatmul)
            ):
                yield Violation("resident", where, f"{placement.task}: nothing to keep")
            if placement.axis == "rows" and not isinstance(self.tasks[placement.task], QMatmul | QProduct):
                yield Violation("axis", where, f"{placement.task} has no rows to share")
            if placement.follows and not self._can_follow(stage, placement):
                yield Violation("follows", where, f"{placement.task} can't take its input block by block")
        if stage.pattern in ("pipelined", "parallel"):
            used = Counter(core for p in stage.tasks for core in set(p.cores))
            for core, times in sorted(used.items()):
                if times > 1:
                    yield Violation("cores", where, f"core {core} has {times} tasks")
        yield from self._pattern(stage, where)

    def _can_follow(self, stage: Stage, placement: Placement) -> bool:
        """A matmul of one array tile of rows, after a matmul of the stage that does not do so itself; at most 32 sums."""
        task = self.tasks[placement.task]
        before = [p for p in stage.tasks if self.tasks[p.task].output == task.inputs[0]]
        rows = self.rows[task.output]
        return (
            stage.pattern == "pipelined"
            and isinstance(task, QMatmul)
            and stage.tile_rows == rows <= self.machine.rows
            and placement.axis == "columns"
            and any(
                isinstance(self.tasks[p.task], QMatmul) and not p.follows and p.axis == "columns"
                for p in before
            )
            and ceil(ceil(self.cols[task.output] / self.machine.lanes) / max(1, len(placement.cores))) <= 32
        )

    @property
    def fixed_groups(self) -> bool:
        return self.schedule.mode == "dataflow"

    def _pattern(self, stage: Stage, where: str) -> Iterator[Violation]:
        tasks = [self.tasks[p.task] for p in stage.tasks]
        names = {task.name for task in tasks}
        inside = [
            (self.maker[t], task.name) for task in tasks for t in task.inputs if self.maker.get(t) in names
        ]
        allowed = {
            "auto": {"sequential", "pipelined", "parallel", "interleaved"},
            "intar": {"sequential", "pipelined", "parallel"},
            "sequential": {"sequential"},
            "dataflow": {"pipelined", "parallel"},
        }[self.schedule.mode]
        if stage.pattern not in allowed:
            yield Violation("mode", where, f"{stage.pattern} in mode {self.schedule.mode}")
        if stage.pattern in ("sequential", "parallel"):
            if stage.tile_rows:
                yield Violation("tile", where, f"{stage.tile_rows} tile rows in a {stage.pattern} stage")
            if inside:
                yield Violation("pattern", where, f"{inside[0][1]} depends on {inside[0][0]}")
        if stage.pattern == "sequential":
            if len(tasks) != 1:
                yield Violation("pattern", where, f"{len(tasks)} tasks in a sequential stage")
            elif (
                isinstance(tasks[0], (QMatmul, QProduct, *GRID))
                and len(stage.tasks[0].cores) != self.machine.cores
            ):
                yield Violation("cores", where, f"{tasks[0].name} is not on all cores")
        elif len(tasks) > 1 and any(isinstance(task, (QMove, *GRID)) for task in tasks):
            yield Violation("pattern", where, "a move task, or a task on images, beside others")
        if stage.pattern == "parallel" and len(tasks) < 2 and not self.fixed_groups:
            yield Violation("pattern", where, "one task in a parallel stage")
        if stage.pattern in ("pipelined", "interleaved"):
            yield from self._tiles(stage, where, tasks, inside)
        if stage.pattern == "interleaved":
            for placement in stage.tasks:
                arrays = isinstance(self.tasks[placement.task], QMatmul | QProduct)
                if arrays and len(placement.cores) != self.machine.cores:
                    yield Violation("cores", where, f"{placement.task} is not on all cores")

    def _tiles(
        self, stage: Stage, where: str, tasks: list[QTask], inside: list[tuple[str, str]]
    ) -> Iterator[Violation]:
        heights = {self.rows[task.output] for task in tasks}
        if len(heights) != 1:
            yield Violation("tile", where, f"tasks with {sorted(heights)} rows")
        for task in tasks:
            by_row = task.inputs[:1] if isinstance(task, QProduct) else task.inputs
            if any(self.rows[t] != self.rows[task.output] for t in by_row):
                yield Violation("tile", where, f"{task.name} does not preserve rows")
            if isinstance(task, QProduct) and self.maker.get(task.inputs[1]) in {
                other.name for other in tasks
            }:
                yield Violation("tile", where, f"{task.name} needs {task.inputs[1]} whole before it begins")
        rows = max(heights)
        if not 0 < stage.tile_rows <= rows:
            yield Violation("tile", where, f"{stage.tile_rows} tile rows of {rows}")
        elif stage.tile_rows % self.machine.rows and stage.tile_rows != rows:
            yield Violation(
                "tile", where, f"{stage.tile_rows} tile rows on cores of {self.machine.rows} rows"
            )
        part = {task.name: {task.name} for task in tasks}
        for a, b in inside:
            union = part[a] | part[b]
            for name in union:
                part[name] = union
        if len(part[tasks[0].name]) != len(tasks):
            yield Violation("pattern", where, "tasks that have nothing to do with each other")

    # --- residency ---------------------------------------------------------------------------------------------

    def touched(self, tensor: str) -> list[int]:
        """Stages that make or read a tensor."""
        stages = set(self.reading[tensor])
        if tensor in self.maker:
            stages.add(self.produced(tensor))
        return sorted(stages)

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

    def read_whole(self, tensor: str, i: int) -> bool:
        """True if a product of stage `i` has the tensor as its second operand."""
        tasks = [self.tasks[p.task] for p in self.schedule.stages[i].tasks]
        return any(isinstance(task, QProduct) and task.inputs[1] == tensor for task in tasks)

    def check_residency(self) -> Iterator[Violation]:
        """Place, lifetime and bytes of every tensor."""
        for tensor, home in sorted(self.home.items()):
            stages = self.touched(tensor)
            if (home.first_stage, home.last_stage) != (stages[0], stages[-1]):
                what = f"lives from stage {home.first_stage} to {home.last_stage}, is used in {stages}"
                yield Violation("lifetime", tensor, what)
            if home.place == "tile" and (
                len(stages) != 1
                or tensor not in self.maker
                or not self.schedule.stages[stages[0]].tile_rows
                or tensor in self.graph.outputs
            ):
                yield Violation("residency", tensor, "exists as tiles, but not only inside one tiled stage")
            if home.place == "chip":
                copies = max([1, *(self.copies(tensor, i) for i in stages)])
                if home.bytes % self.size(tensor) or home.bytes < copies * self.size(tensor):
                    what = f"{home.bytes} bytes for {copies} copies of {self.size(tensor)}"
                    yield Violation("bytes", tensor, what)
            elif home.bytes != max(self.need(tensor, i) for i in stages):
                yield Violation(
                    "bytes", tensor, f"{home.bytes}, needs {max(self.need(tensor, i) for i in stages)}"
                )

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

    def check_alignment(self) -> Iterator[Violation]:
        """Row tiles that go off chip start at port words."""
        for i in range(len(self.schedule.stages)):
            for tensor in self.misaligned(i):
                yield Violation("alignment", f"stage {i}", f"row tiles of {tensor} are not whole port words")

    def check_copies(self) -> Iterator[Violation]:
        """Every tensor has the copies that each stage needs, as large as it needs them, in banks that are large enough."""
        for tensor, home in sorted(self.home.items()):
            for i in range(home.first_stage, home.last_stage + 1):
                here = [copy for copy in home.copies if copy.first_stage <= i <= copy.last_stage]
                if sum(copy.bytes for copy in here) != self.need(tensor, i):
                    what = f"copies of {sum(c.bytes for c in here)} bytes, needs {self.need(tensor, i)}"
                    yield Violation("copies", f"stage {i}", f"{tensor}: {what}")
            for copy in home.copies:
                if not 0 <= copy.bank < len(self.schedule.banks):
                    yield Violation("bank", tensor, f"there is no bank {copy.bank}")
                elif copy.bytes > self.schedule.banks[copy.bank].bytes:
                    yield Violation("bank", tensor, f"{copy.bytes} bytes do not fit into bank {copy.bank}")
                if not home.first_stage <= copy.first_stage <= copy.last_stage <= home.last_stage:
                    yield Violation(
                        "copies", tensor, f"a copy in stages {copy.first_stage} to {copy.last_stage}"
                    )
                elif home.place == "chip" and (copy.first_stage, copy.last_stage) != (
                    home.first_stage,
                    home.last_stage,
                ):
                    yield Violation("copies", tensor, "a copy that is not there all the time")
                elif home.place != "chip" and copy.first_stage != copy.last_stage:
                    yield Violation("copies", tensor, "a copy that outlives its stage")

    def check_banks(self) -> Iterator[Violation]:
        """One tensor at a time in a bank; banks lie side by side and fit, with all that is always there."""
        tenants: dict[int, list[tuple[int, int, str]]] = {}
        for tensor, home in sorted(self.home.items()):
            for copy in home.copies:
                tenants.setdefault(copy.bank, []).append((copy.first_stage, copy.last_stage, tensor))
        for bank, inside in sorted(tenants.items()):
            for (_, last, one), (first, _, other) in pairwise(sorted(inside)):
                if self.pitch(one) != self.pitch(other):
                    yield Violation("bank", f"bank {bank}", f"{one} and {other} are not of the same kind")
                if first <= last:
                    yield Violation(
                        "bank", f"bank {bank}", f"{one} and {other} are both there in stage {first}"
                    )
        top = 0
        for place in sorted(self.schedule.banks, key=lambda place: place.address):
            if place.address < top:
                yield Violation("address", self.schedule.name, f"two banks overlap at byte {place.address}")
            top = place.address + place.bytes
        weights = sum(self.resident(i) for i in range(len(self.schedule.stages)))
        used = self.fixed() + weights + top
        if used > self.machine.onchip_bytes:
            yield Violation("memory", self.schedule.name, f"{used} bytes of {self.machine.onchip_bytes}")

    # --- cycles ------------------------------------------------------------------------------------------------

    def check_cycles(self) -> Iterator[Violation]:
        """Cycles of every stage, objective, bound and status."""
        schedule = self.schedule
        for i, stage in enumerate(schedule.stages):
            if stage.cycles != self.cycles(i):
                yield Violation("cycles", f"stage {i}", f"claims {stage.cycles}, takes {self.cycles(i)}")
        total = sum(stage.cycles for stage in schedule.stages)
        if schedule.objective != total:
            yield Violation("objective", schedule.name, f"{schedule.objective}, the stages take {total}")
        if not 0 <= schedule.bound <= schedule.objective:
            yield Violation("bound", schedule.name, f"{schedule.bound} of {schedule.objective}")
        if schedule.status == "OPTIMAL" and schedule.bound != schedule.objective:
            yield Violation("bound", schedule.name, "optimal without a bound that says so")

    def pitch(self, tensor: str) -> int:
        """Pixels from row to row of an image that a task reads in windows, 0 for other tensors."""
        return next((t.in_pitch for t in self.graph.tasks if isinstance(t, GRID) and tensor in t.inputs), 0)

    def _over_pixels(self, task: QConv | QPool, cores: int, first: bool = False) -> int:
        """Cycles of a task on images: the busiest core's, tiles in turn; or of its first block of channels with all taps."""
        if first:
            pooled = task.reduce if isinstance(task, QConv) else 1
            tile = sum(
                self._block_cycles(task, group.channels, len(group.taps), True)
                for group in task.groups[:pooled]
            )
            return ceil(ceil(self.cols[task.output] / self.machine.lanes) / cores) * tile
        busy = dict.fromkeys(range(cores), 0)
        for run in runs(task, self.machine):
            parts = zip(task.groups, run.taps, strict=True)
            tile = sum(self._block_cycles(task, group.channels, taps) for group, taps in parts)
            for number in run.tiles:
                busy[number % cores] += tile
        return max(busy.values())

    def _block_cycles(self, task: QConv | QPool, channels: int, taps: int, first: bool = False) -> int:
        """Cycles of a tile for the blocks of so many channels, or the first of them."""
        slow, total = self.machine.lanes // self.machine.rate, 0
        while channels:
            high = 1 if isinstance(task, QPool) else min(channels, self.machine.rows)
            total += max(taps, high, high * slow)
            channels = 0 if first else channels - high
        return total

    def _passes(self, task: QTask, rows: int, placement: Placement, once: bool = False) -> tuple[int, int]:
        """(cycles of `rows` rows, cycles to fetch the weights as often as they are needed, or once) in a place."""
        cores = len(placement.cores) or 1
        machine, cols = self.machine, self.cols[task.output]
        beats = ceil(cols / machine.lanes)
        if isinstance(task, QMove):
            whole = beat_addresses(task, self.tensors, machine.lanes) is not None
            return rows * (beats if whole else cols), 0
        if isinstance(task, QConv | QPool):
            return self._over_pixels(task, cores), 0
        steps = beats * (machine.lanes // machine.rate)
        if isinstance(task, QSoftmax):
            return rows * max(20, steps), 0
        if isinstance(task, QNorm):
            return rows * max(25, steps, 2 * beats), 0
        if not isinstance(task, QMatmul | QProduct):
            return rows * steps, 0
        depth = self.cols[task.inputs[0]]
        by_rows = placement.axis == "rows"
        turns = beats if by_rows else ceil(beats / cores)
        item = self.rows[task.output] // (task.batch if isinstance(task, QProduct) else 1)
        again = self.times(task, min(item, rows), cores) if by_rows and not once else 1
        products = turns * self._column(task, rows, placement)
        if isinstance(task, QProduct):
            return products, again * ceil(rows / item) * beats * depth
        fetch = again * self.transfer(turns * depth, self.w_bits)
        return max(products, rows * beats if task.tail else 0), fetch

    def _late(self, task: QTask) -> int:
        """Cycles from the end of a task's work until its last row is on its way to the readers."""
        if not isinstance(task, ROW_WISE):
            return 0
        beats = ceil(self.cols[task.output] / self.machine.lanes)
        fixed = 20 if isinstance(task, QSoftmax) else 25 + 6
        return 2 * beats * (self.machine.lanes // self.machine.rate) + fixed + 16

    def _delay(self) -> int:
        return 16 + self.machine.rows + self.machine.rows * (self.machine.lanes // self.machine.rate)

    def cycles(self, i: int) -> int:
        """Cycles of stage `i`: the tasks, then the traffic that does not hide behind them."""
        stage, machine = self.schedule.stages[i], self.machine
        tasks = [self.tasks[p.task] for p in stage.tasks]
        pairs = list(zip(tasks, stage.tasks, strict=True))
        if stage.tile_rows:
            busy = self._tiled(i, stage)
        else:
            busy = self._delay() + max(
                max(self._passes(t, self.rows[t.output], p)) + self._late(t) for t, p in pairs
            )
        loads, stores = self.loads(i), self.stores(i)
        total_in, total_out = sum(map(self.words, loads)), sum(map(self.words, stores))
        if stage.tile_rows:
            height, rows = stage.tile_rows, self.rows[tasks[0].output]
            tail = rows % height or height
            whole = [t for t in loads if self.home[t].place == "chip" or self.read_whole(t, i)]
            before = sum(self.words(t, None if t in whole else height) for t in loads)
            after = sum(self.words(t, None if self.home[t].place == "chip" else tail) for t in stores)
            span_in = span_out = busy
        else:
            cores = len(stage.tasks[0].cores)
            if isinstance(tasks[0], GRID):
                before, after = self._beats_beside(tasks[0], loads), self._beats_beside(tasks[0], stores)
                span_in, span_out = self._over_pixels(tasks[0], cores, first=True), busy
            else:
                before, span_in = self._alongside(
                    loads, [(t, p) for t, p in pairs if set(loads) & set(t.inputs)]
                )
                after, span_out = self._alongside(stores, [(t, p) for t, p in pairs if t.output in stores])
        busy += max(before, total_in - span_in) + max(after, total_out - span_out)
        return busy + machine.latency * ((total_in > 0) + (total_out > 0))

    def _beats_beside(self, task: QConv | QPool, tensors: list[str]) -> int:
        """Port cycles beside which a task on images can't work.

        It starts when the last channel has come as far as it reads ahead; its output goes tile by tile, but channel
        after channel, so that the last block of channels has all but one tile of its last channel left.
        """
        lanes, cycles = self.machine.lanes, 0
        for tensor in tensors:
            row = ceil(self.cols[tensor] / lanes)
            if tensor == task.output:
                last = task.groups[-1].channels
                high = 1 if isinstance(task, QPool) else last % self.machine.rows or self.machine.rows
                beats = (high - 1) * row + 1
            else:
                spans = runs(task, self.machine)[0].spans
                taps = [group.taps[a:b] for group, (a, b) in zip(task.groups, spans, strict=True)]
                ahead = 1 + max(0, *(last_read(task, part, 0, lanes) for part in taps)) // lanes
                beats = (self.rows[tensor] - 1) * row + min(row, ahead)
            cycles += self.transfer(beats, self.a_bits, self.ports(tensor))
        return cycles

    def _alongside(self, tensors: list[str], tasks: list[tuple[QTask, Placement]]) -> tuple[int, int]:
        """(port cycles beside which the tasks can't work, cycles of work beside which the port can).

        A matmul, or a product that is no batch, takes its first input while it comes, in its first column tile, and its
        result goes while it is made, in the last one, a block of rows after the other (where cores take rows: those of a
        round, and only what it takes in the first column tile before other rounds begin). Everything else comes and goes
        as a whole.
        """
        exposed, spans = 0, []
        for tensor in tensors:
            ends = [(t, p) for t, p in tasks if tensor in t.inputs or tensor == t.output]
            made = any(tensor == t.output for t, _ in ends)
            if all(self._streams(t) and tensor in (t.inputs[0], t.output) for t, _ in ends) and all(
                t.inputs.count(tensor) < 2 for t, _ in ends
            ):
                blocks = [self._block(t, p, made) for t, p in ends if isinstance(t, QMatmul | QProduct)]
                exposed += self.words(tensor, max(blocks))
            else:
                exposed += self.words(tensor)
        for task, place in tasks:
            if not isinstance(task, QMatmul | QProduct):
                return exposed, 0
            rows = self.rows[task.output]
            if place.axis == "rows" and task.output not in tensors:
                item = rows // (task.batch if isinstance(task, QProduct) else 1)
                heights = self.rounds(task, item, len(place.cores))
                full = heights.count(self.fed(task, len(place.cores)) * self.machine.rows)
                rows = heights[0] * max(full, 1)
            spans.append(self._column(task, rows, place))
        return exposed, min(spans, default=0)

    def _block(self, task: QMatmul | QProduct, place: Placement, last: bool) -> int:
        """Rows of the first or last block of rows."""
        rows, size = self.rows[task.output], self.machine.rows
        if place.axis == "rows":
            return self.rounds(task, rows, len(place.cores))[-1 if last else 0]
        return (rows % size or size) if last else size

    @staticmethod
    def _streams(task: QTask) -> bool:
        """True for a matmul and for a product that is no batch."""
        return isinstance(task, QMatmul) or (isinstance(task, QProduct) and task.batch == 1)

    def _column(self, task: QMatmul | QProduct, rows: int, place: Placement) -> int:
        """Cycles of one column tile of the first `rows` rows: array tiles one after the other; where cores take rows,
        rounds, in each of which all beats of all rows go through one stream."""
        item = self.rows[task.output] // (task.batch if isinstance(task, QProduct) else 1)
        tile, beats, total = self._tile(task), ceil(self.cols[task.inputs[0]] / self.machine.lanes), 0
        for start in range(0, rows, item):
            high = min(item, rows - start)
            if place.axis == "rows":
                total += sum(max(tile, h * beats) for h in self.rounds(task, high, len(place.cores)))
            else:
                total += ceil(high / self.machine.rows) * tile
        return total

    def _tiled(self, i: int, stage: Stage) -> int:
        """Cycles of a tiled stage without traffic, tile by tile."""
        tasks = {p.task: self.tasks[p.task] for p in stage.tasks}
        order = list(tasks)
        rows = self.rows[tasks[order[0]].output]
        count = ceil(rows / stage.tile_rows)
        takes: dict[tuple[str, int], int] = {}
        for p in stage.tasks:
            for t in range(count):
                height = min(stage.tile_rows, rows - t * stage.tile_rows)
                compute, fetch = self._passes(tasks[p.task], height, p, once=p.resident)
                takes[p.task, t] = compute + (0 if t else fetch) if p.resident else max(compute, fetch)
        before = {n: [self.maker[t] for t in tasks[n].inputs if self.maker.get(t) in tasks] for n in order}
        if stage.pattern == "interleaved":
            return self._in_turn(stage, order, takes, before, count)
        after = {n: [m for m in order if n in before[m]] for n in order}
        moved = [
            t
            for t in (*self.loads(i), *self.stores(i))
            if self.home[t].place != "chip" and not self.read_whole(t, i)
        ]
        coming = list(
            dict.fromkeys(
                t for n in order for t in tasks[n].inputs if t in moved and self.maker.get(t) not in tasks
            )
        )
        going = [tasks[n].output for n in order if tasks[n].output in moved]

        def array_tile(name: str) -> int:
            task = tasks[name]
            return self._tile(task) if isinstance(task, QMatmul | QProduct) else 0

        def on_the_way_out(name: str, tensor: str) -> bool:
            return isinstance(tasks[name], QMatmul) and tasks[name].inputs[0] != tensor

        def late(name: str, producer: str) -> bool:
            """True if a task needs a producer's results only when its own come out."""
            return on_the_way_out(name, tasks[producer].output)

        @cache
        def came(k: int, t: int) -> int:
            """When tile `t` of the k-th tensor that is loaded is there; the first tiles are there from the start."""
            if t == 0:
                return 0
            slot = max(
                end(n, t - 2) - (array_tile(n) if t >= 2 and on_the_way_out(n, coming[k]) else 0)
                for n in order
                if coming[k] in tasks[n].inputs
            )
            turn = came(k - 1, t) if k else came(len(coming) - 1, t - 1)
            return max(slot, turn) + self.words(coming[k], stage.tile_rows)

        delayed = {name: self._late(tasks[name]) for name in order}

        @cache
        def went(k: int, t: int) -> int:
            """When tile `t` of the k-th tensor that is stored has left."""
            if t < 0:
                return 0
            turn = went(k - 1, t) if k else went(len(going) - 1, t - 1)
            made = end(self.maker[going[k]], t) + delayed[self.maker[going[k]]] + self._delay()
            return max(turn, made) + self.words(going[k], stage.tile_rows)

        following = {p.task for p in stage.tasks if p.follows}
        cores = {p.task: len(p.cores) for p in stage.tasks}

        def turns(name: str) -> int:
            return ceil(ceil(self.cols[tasks[name].output] / self.machine.lanes) / cores[name])

        def followed(name: str) -> int:
            """End of a task that takes each column block of its input when it is made, in the only tile."""
            source = self.maker[tasks[name].inputs[0]]
            drain = self.machine.rows * self.machine.lanes // self.machine.rate
            others = [u for u in before[name] if u != source]
            ahead = min(takes[name, 0], 2 * array_tile(name))
            first = end(source, 0, began=True) + ceil(takes[source, 0] / turns(source)) + self._delay()
            start = max(
                [first, *(end(u, 0) + self._delay() - (ahead if late(name, u) else 0) for u in others)]
            )
            last = turns(name) * max(self.machine.lanes, self.machine.rows, drain)
            return max(start + takes[name, 0], end(source, 0) + self._delay() + last)

        @cache
        def end(name: str, t: int, began: bool = False) -> int:
            """End of a task's tile, or its beginning."""
            if t < 0:
                return 0
            if name in following:
                return followed(name)
            ahead = min(takes[name, t], 2 * array_tile(name))
            starts = [end(name, t - 1)]
            starts += [
                end(u, t) + delayed[u] + self._delay() - (ahead if late(name, u) else 0) for u in before[name]
            ]
            if t >= 2:
                leave = [end(w, t - 2) - (array_tile(w) if late(w, name) else 0) for w in after[name]]
                starts += [time - ahead for time in leave]
            if sum(tensor in tasks[n].inputs for n in order for tensor in coming) > 1 or len(going) > 1:
                for k, tensor in enumerate(coming if t else ()):
                    if tensor in tasks[name].inputs:
                        starts.append(
                            came(k, t) - (2 * array_tile(name) if on_the_way_out(name, tensor) else 0)
                        )
                if t >= 2 and tasks[name].output in going:
                    starts.append(went(going.index(tasks[name].output), t - 2) - 2 * array_tile(name))
            return max(starts) + (0 if began else takes[name, t])

        for t in range(count):
            for name in order:
                end(name, t)
        return max(end(name, count - 1) + delayed[name] for name in order) + self._delay()

    def _in_turn(
        self,
        stage: Stage,
        order: list[str],
        takes: dict[tuple[str, int], int],
        before: dict[str, list[str]],
        count: int,
    ) -> int:
        """Cycles of an interleaved stage: the arrays, the first vector unit and the rows node, each in visit order: what
        stands in front of the first matmul is a tile ahead.

        The arrays get two of their tiles ahead of a busy vector unit, no more; the first weights of a matmul come while
        the last column tile of the matmul before is computed.
        """
        free = {"array": 0, "vector": 0, "rows": 0}
        places = {p.task: p for p in stage.tasks}
        column: int | None = None
        done: dict[tuple[str, int], int] = {}
        arrays = [name for name in order if isinstance(self.tasks[name], QMatmul | QProduct)]
        first_array = order.index(arrays[0]) if arrays else 0
        for step in range(count + 1):
            for position, name in enumerate(order):
                t = step if position < first_array else step - 1
                if t not in range(count):
                    continue
                arrived = [done[u, t] + self._delay() for u in before[name]]
                task, time = self.tasks[name], takes[name, t]
                if isinstance(task, ROW_WISE):
                    free["rows"] = max([free["rows"], *arrived]) + time
                    done[name, t] = free["rows"] + self._late(task)
                    continue
                if isinstance(task, QMatmul | QProduct):
                    depth = self.cols[task.inputs[0]]
                    place = places[name]
                    ends = [a + time for a in (free["array"], *arrived)]
                    ends.append(free["vector"] + max(0, time - 2 * self._tile(task)))
                    if not place.resident and column is not None:
                        first = self.transfer(depth, self.w_bits)
                        if isinstance(task, QProduct):
                            first = depth * (1 if place.axis == "rows" else len(place.cores))
                        fetched = column + first
                        ends.append(fetched + min(time, self._passes(task, stage.tile_rows, place)[0]))
                    free["array"] = max(ends)
                    free["vector"] = max(free["vector"], free["array"])
                    column = free["array"] - self._column(task, stage.tile_rows, place)
                else:
                    free["vector"] = max([free["vector"], *arrived]) + time
                done[name, t] = free["vector"]
        return max(done.values()) + self._delay()
