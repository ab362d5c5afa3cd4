"""The copies of every tensor on chip: in which memory, in which stages, how large, and which one a read uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from intar.ir.names import sanitise
from intar.ir.quantgraph import QMove
from intar.ir.schedule import Copy, Residency
from intar.lower.buffers import Memory, TensorMemory
from intar.lower.site import Site
from intar.lower.visits import Visit


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
        self.copy_of: dict[tuple[int, str, int], int] = {}
        self._make(visits, self._assign_reads(visits))

    def copies(self, name: str, stage: int) -> list[TensorMemory]:
        """Every copy of a tensor that is on chip in a stage; whoever makes or loads it writes them all."""
        return [held.memory for held in self.held[name] if held.first <= stage <= held.last]

    def arrives(self, name: str, stage: int) -> bool:
        """True if a tensor comes from off chip in a stage that reads it: a network input, or spilled by an earlier stage."""
        return self.site.from_input(name) or (name in self.spilled and self.made[name] < stage)

    def results(self, visit: Visit) -> list[TensorMemory]:
        """The memories that a visit's output goes to."""
        return self.copies(visit.task.output, visit.stage)

    def sinks(self, visit: Visit) -> tuple[str, ...]:
        """The write ports of `results`."""
        return tuple(memory.port("in") for memory in self.results(visit))

    def reader(self, visit: Visit, slot: int) -> TensorMemory:
        """The copy that a task's input `slot` reads."""
        number = self.copy_of.get((visit.stage, visit.task.name, slot), 0)
        return self.copies(visit.task.inputs[slot], visit.stage)[number]

    def _assign_reads(self, visits: Sequence[Visit]) -> dict[tuple[str, int], int]:
        """Number the reads of each tensor within each stage (moves use the first copy); copies by tensor and stage."""
        copies: dict[tuple[str, int], int] = {}
        for visit in visits:
            if isinstance(visit.task, QMove):
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
        tenants: dict[int, list[tuple[str, int]]] = {}
        planned: list[tuple[str, Copy]] = []
        for tensor in site.graph.tensors:
            if tensor.name in stages:
                copies = list(self._plan(homes[tensor.name], stages[tensor.name], reads))
                for number, copy in enumerate(copies):
                    tenants.setdefault(copy.bank, []).append((tensor.name, number))
                    planned.append((tensor.name, copy))
        memories = {bank: self._memory(bank, inside) for bank, inside in tenants.items()}
        self.banks = list(memories.values())
        for name, copy in planned:
            memory = self._copy(name, copy, stages[name], homes[name], memories[copy.bank])
            self.held.setdefault(name, []).append(_Held(copy.first_stage, copy.last_stage, memory))
        self.spilled = {
            name for name, home in homes.items() if home.place == "spill" and len(stages.get(name, [])) > 1
        } - {name for name in stages if site.from_input(name)}

    def _plan(
        self, home: Residency, stages: Sequence[int], reads: Mapping[tuple[str, int], int]
    ) -> Iterator[Copy]:
        """The copies that the schedule names, or else as many as are read at a time, each with a bank of its own."""
        yield from home.copies
        if home.copies:
            return
        spans = (
            [(stage, stage) for stage in stages] if home.place == "spill" else [(min(stages), max(stages))]
        )
        for first, last in spans:
            most = max([1, *(reads.get((home.tensor, stage), 0) for stage in range(first, last + 1))])
            for _ in range(most):
                yield Copy(bank=next(self.unnamed), bytes=0, first_stage=first, last_stage=last)

    def _memory(self, bank: int, inside: Sequence[tuple[str, int]]) -> Memory:
        """A bank that one tensor has for itself is called after it."""
        names = sanitise([f"buf {name}" for name in self.site.tensors])
        (first, number), *others = inside
        name = names[f"buf {first}"] + (f"_{number}" if number else "")
        if any(other != first for other, _ in others):
            name = f"bank_{bank}"
        return Memory(name, self.site.machine.lanes, self.site.a_bits)

    def _copy(
        self, name: str, copy: Copy, stages: Sequence[int], home: Residency, memory: Memory
    ) -> TensorMemory:
        site, tensor = self.site, self.site.tensors[name]
        stage = site.schedule.stages[copy.first_stage]
        outside = site.from_input(name) or name in site.graph.outputs or home.place == "spill"
        tiled = (
            home.place != "chip" and copy.first_stage == copy.last_stage and 0 < stage.tile_rows < tensor.rows
        )
        tiled = tiled and not (outside and self._misaligned(name, stage.tile_rows))
        made = TensorMemory(
            memory,
            tensor.rows,
            site.pitch(name),
            stage.tile_rows if tiled else tensor.rows,
            2 if tiled else 1,
        )
        memory.depth = max(memory.depth, made.depth)
        return made

    def _misaligned(self, name: str, tile_rows: int) -> bool:
        """Row tiles of this tensor would not start at port words: it has to be on chip as a whole."""
        bits = tile_rows * self.site.pitch(name) * self.site.machine.lanes * self.site.a_bits
        return bool(bits % self.site.machine.port_bits)
