"""The copies of every tensor on chip: in which memory, in which stages, how large, and which one a read uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from intar.ir.bits import INDEX_BITS
from intar.ir.names import sanitise
from intar.ir.quantgraph import QConv, QMatmul, QMove, QPool, QProduct
from intar.ir.schedule import MOST_APART, Copy, Residency
from intar.lower.buffers import Memory, TensorMemory
from intar.lower.forward import Forward, Run, find_runs, in_the_way
from intar.lower.site import Site
from intar.lower.visits import Visit
from intar.lower.windows import ImageMemory


@dataclass(frozen=True)
class _Held:
    """A copy in the stages `first` to `last`."""

    first: int
    last: int
    memory: TensorMemory


class Tensors:
    """All tensor memories; a tensor has as many copies as reads of it run side by side in one stage."""

    def __init__(self, site: Site, visits: Sequence[Visit]):
        self.site = site
        self.unnamed = count(-1, -1)
        self.banks: list[Memory] = []
        self.made = {visit.task.output: visit.stage for visit in visits}
        self.held: dict[str, list[_Held]] = {}
        self.runs: dict[str, Run] = {}
        self.forwards: dict[str, list[Forward]] = {}
        self.forwarded: dict[str, list[Forward]] = {}
        self.copy_of: dict[tuple[int, str, int], int] = {}
        self.images = _images(site, visits)
        self.streamed = _streamed(site)
        self._make(visits, self._assign_reads(visits))

    def copies(self, name: str, stage: int) -> list[TensorMemory]:
        """Every copy of a tensor that is on chip in a stage; whoever makes or loads it writes them all."""
        if name in self.streamed:
            return []
        return [held.memory for held in self.held.get(name, ()) if held.first <= stage <= held.last]

    def arrives(self, name: str, stage: int) -> bool:
        """True if a tensor comes from off chip in a stage that reads it: a network input, or spilled by an earlier stage."""
        return name in self.site.graph.inputs or (name in self.spilled and self.made[name] < stage)

    def image(self, visit: Visit, position: int, slot: int = 0) -> TensorMemory:
        """The copy of a task's input `slot` that the core at this position reads in windows."""
        copies = self.copies(visit.task.inputs[slot], visit.stage)
        return [copy for copy in copies if isinstance(copy.memory, ImageMemory)][position]

    def plain(self, name: str, stage: int, number: int = 0) -> TensorMemory:
        """A copy that is read beat by beat."""
        copies = self.copies(name, stage)
        return [copy for copy in copies if not isinstance(copy.memory, ImageMemory)][number]

    def tile_heights(self, name: str) -> set[int]:
        """Heights of the row tiles in which stages have a tensor."""
        return {held.memory.tile_rows for held in self.held.get(name, ()) if held.memory.slots > 1}

    def results(self, visit: Visit) -> list[TensorMemory]:
        """The memories that a visit's output goes to: its own, and those of the runs of its beats."""
        forwards = self.forwards.get(visit.task.output, ())
        return [*self.copies(visit.task.output, visit.stage), *(one.written for one in forwards)]

    def sinks(self, visit: Visit) -> tuple[str, ...]:
        """The write ports of `results`, or the argmax node that takes them."""
        if visit.task.output in self.streamed:
            return ("argmax.in",)
        return tuple(memory.port("in") for memory in self.results(visit))

    def reader(self, visit: Visit, slot: int) -> TensorMemory:
        """The copy that a task's input `slot` reads."""
        name = visit.task.inputs[slot]
        number = self.copy_of.get((visit.stage, visit.task.name, slot), 0)
        return self.plain(name, visit.stage, number)

    def _assign_reads(self, visits: Sequence[Visit]) -> dict[tuple[str, int], int]:
        """Number the reads of each tensor within each stage (moves use the first copy); copies by tensor and stage."""
        copies: dict[tuple[str, int], int] = {}
        for visit in visits:
            if isinstance(visit.task, QMove | QConv | QPool):
                continue
            for slot, name in enumerate(visit.task.inputs):
                key = (visit.stage, visit.task.name, slot)
                if key not in self.copy_of:
                    self.copy_of[key] = copies.get((name, visit.stage), 0)
                    copies[name, visit.stage] = self.copy_of[key] + 1
        return copies

    def _make(self, visits: Sequence[Visit], reads: dict[tuple[str, int], int]) -> None:
        site = self.site
        stages: dict[str, list[int]] = {}
        for visit in visits:
            for name in (*visit.task.inputs, visit.task.output):
                if visit.stage not in stages.setdefault(name, []):
                    stages[name].append(visit.stage)
        homes = {home.tensor: home for home in site.schedule.residency}
        planned = {
            tensor.name: list(self._plan(homes[tensor.name], stages[tensor.name], reads))
            for tensor in site.graph.tensors
            if tensor.name in stages and tensor.name not in self.streamed
        }
        self._plan_runs(visits, planned)
        tenants: dict[int, list[tuple[str, int]]] = {}
        windows: set[int] = set()
        for name, copies in planned.items():
            for number, (copy, image) in enumerate(copies):
                if image:
                    windows.add(copy.bank)
                tenants.setdefault(copy.bank, []).append((name, number))
        memories = {bank: self._memory(bank, inside, bank in windows) for bank, inside in tenants.items()}
        self.banks = list(memories.values())
        for name, copies in planned.items():
            for copy, _ in copies:
                memory = self._copy(name, copy, stages[name], homes[name], memories[copy.bank])
                self.held.setdefault(name, []).append(_Held(copy.first_stage, copy.last_stage, memory))
        for name, run in self.runs.items():
            for held in self.held.get(name, ()):
                self._forward(name, run, held.memory)
        if site.common.banks:
            self._call_by_rank()
        self.spilled = {
            name for name, home in homes.items() if home.place == "spill" and len(stages.get(name, [])) > 1
        } - set(site.graph.inputs)

    def _plan_runs(self, visits: Sequence[Visit], planned: dict[str, list[tuple[Copy, bool]]]) -> None:
        """What is a run of another tensor is on chip from the making of that on; what only their moves read is not."""
        found = find_runs(self.site, visits) if self.site.common.forwards else {}
        banks = {copy.bank for copies in planned.values() for copy, _ in copies}
        if len(banks) + len(found) > MOST_APART:
            return
        self.runs = {name: run for name, run in found.items() if name not in self.images}
        read = {name for visit in visits if visit.task.output not in self.runs for name in visit.task.inputs}
        kept = {*self.site.stored, *self.site.graph.outputs}
        for name in {*self.runs, *(run.source for run in self.runs.values())} - read - kept:
            planned[name] = []
        for name, run in self.runs.items():
            copies, planned[name] = planned[name], []
            for copy, _ in copies:
                others = (held for found in planned.values() for held, _ in found)
                bank = next(self.unnamed) if in_the_way(copy, run, others) else copy.bank
                planned[name].append((copy.model_copy(update={"bank": bank, "first_stage": run.made}), False))

    def _forward(self, name: str, run: Run, read: TensorMemory) -> None:
        """A memory of a run takes all of its source."""
        rows, pitch = self.site.tensors[run.source].rows, self.site.pitch(run.source)
        written = TensorMemory(read.memory, rows, pitch, rows, 1)
        read.offset = run.offset
        read.memory.depth = max(read.memory.depth, written.depth)
        forward = Forward(written, read)
        self.forwards.setdefault(run.source, []).append(forward)
        self.forwarded.setdefault(name, []).append(forward)

    def _call_by_rank(self) -> None:
        """The largest memory of each kind is number 0."""
        ranks: dict[str, int] = {}
        for memory in sorted(self.banks, key=lambda memory: -memory.depth):
            kind = "image" if isinstance(memory, ImageMemory) else "bank"
            memory.name = f"{kind}_{ranks.setdefault(kind, 0)}"
            ranks[kind] += 1

    def _plan(
        self, home: Residency, stages: Sequence[int], reads: Mapping[tuple[str, int], int]
    ) -> Iterator[tuple[Copy, bool]]:
        """The copies that the schedule names and something reads; else as many as are read at a time, a bank for each.

        With each copy: whether it is read in windows.
        """
        images = self.images.get(home.tensor, {})
        if home.copies and not images:
            yield from ((copy, False) for copy in _read_copies(home, reads))
            return
        planned = list(home.copies)
        spans = (
            [(stage, stage) for stage in stages] if home.place == "spill" else [(min(stages), max(stages))]
        )
        for first, last in spans:
            windows = max(images.get(stage, 0) for stage in range(first, last + 1))
            beats = max(reads.get((home.tensor, stage), 0) for stage in range(first, last + 1))
            if not windows or (self._read_in_beats(home.tensor) and home.place != "spill"):
                beats = max(1, beats)
            for windowed in [True] * windows + [False] * beats:
                here = (first, last, windowed)
                known = (c for c in planned if (c.first_stage, c.last_stage, c.windows) == here)
                copy = next(known, None)
                if copy is None:
                    copy = Copy(bank=next(self.unnamed), bytes=0, first_stage=first, last_stage=last)
                else:
                    planned.remove(copy)
                yield copy, windowed

    def _read_in_beats(self, name: str) -> bool:
        """True for what is stored, or read by a move."""
        moved = any(isinstance(task, QMove) and name in task.inputs for task in self.site.graph.tasks)
        return moved or name in self.site.graph.outputs

    def _memory(self, bank: int, inside: Sequence[tuple[str, int]], image: bool) -> Memory:
        """A bank that one tensor has for itself is called after it; `image`: it is read in windows."""
        names = sanitise([f"buf {name}" for name in self.site.tensors])
        (first, number), *others = inside
        own = names[f"buf {first}"]
        name = f"copy_{number}_{own}" if number else own  # with the number behind it may be another tensor's
        if any(other != first for other, _ in others):
            name = f"bank_{bank}"
        kind = (name, self.site.machine.lanes, self.site.a_bits)
        return ImageMemory(*kind) if image else Memory(*kind)

    def _copy(
        self, name: str, copy: Copy, stages: Sequence[int], home: Residency, memory: Memory
    ) -> TensorMemory:
        site, tensor = self.site, self.site.tensors[name]
        stage = site.schedule.stages[copy.first_stage]
        outside = name in site.graph.inputs or name in site.graph.outputs or home.place == "spill"
        tiled = (
            home.place != "chip" and copy.first_stage == copy.last_stage and 0 < stage.tile_rows < tensor.rows
        )
        tiled = tiled and not (outside and self._misaligned(name, stage.tile_rows))
        tiled = tiled and not any(name in self._whole_operands(place.task) for place in stage.tasks)
        made = TensorMemory(
            memory,
            tensor.rows,
            site.pitch(name),
            stage.tile_rows if tiled else tensor.rows,
            2 if tiled else 1,
        )
        memory.depth = max(memory.depth, made.depth)
        return made

    def _whole_operands(self, task: str) -> Sequence[str]:
        """What a task needs every row of for each of its tiles: a product its second operand."""
        made = self.site.tasks[task]
        return made.inputs[1:2] if isinstance(made, QProduct) else ()

    def _misaligned(self, name: str, tile_rows: int) -> bool:
        """Row tiles of this tensor would not start at port words: it has to be on chip as a whole."""
        site, port = self.site, self.site.machine.port_bits
        if (name in site.lookups or name in site.argmaxes) and tile_rows * INDEX_BITS % port:
            return True  # its ids or indices would not
        return bool(tile_rows * site.pitch(name) * site.machine.lanes * site.a_bits % port)


def _streamed(site: Site) -> frozenset[str]:
    """Rows that matmuls send to the argmax node as they make them, block after block: they never exist as a whole."""
    read = {name for task in site.graph.tasks for name in task.inputs}
    made = {task.output for task in site.graph.tasks if isinstance(task, QMatmul)}
    alone = {name for name in site.argmaxes if site.tensors[name].rows == 1}
    return frozenset((alone & made) - read - site.stored)


def _read_copies(home: Residency, reads: Mapping[tuple[str, int], int]) -> Iterator[Copy]:
    """The copies that some read uses: a schedule may keep more for stages that it then does one after the other."""
    spans: dict[tuple[int, int], int] = {}
    for copy in home.copies:
        span = (copy.first_stage, copy.last_stage)
        spans[span] = spans.get(span, 0) + 1
        if spans[span] <= max(1, *(reads.get((home.tensor, s), 0) for s in range(span[0], span[1] + 1))):
            yield copy


def _images(site: Site, visits: Sequence[Visit]) -> dict[str, dict[int, int]]:
    """How many copies of a tensor a stage reads in windows: one for each core that does."""
    found: dict[str, dict[int, int]] = {}
    for visit in visits:
        for name in visit.task.inputs if isinstance(visit.task, QConv | QPool) else ():
            stages = found.setdefault(name, {})
            assert isinstance(visit.task, QConv | QPool)
            cores = site.pixel_cores(visit.task, len(visit.cores))
            stages[visit.stage] = max(stages.get(visit.stage, 0), cores)
    return found
