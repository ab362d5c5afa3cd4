"""The copies of every tensor on chip: how many, how large, and which one a read uses."""

from __future__ import annotations

from collections.abc import Sequence

from intar.errors import Finding, UnsupportedError
from intar.ir.names import sanitise
from intar.ir.quantgraph import QMove
from intar.lower.buffers import Memory, TensorMemory
from intar.lower.site import Site
from intar.lower.visits import Visit


class Tensors:
    """All tensor memories; a tensor has as many copies as reads of it run side by side in one stage."""

    def __init__(self, site: Site, visits: Sequence[Visit]):
        self.site = site
        self.memories: dict[tuple[str, int], TensorMemory] = {}
        self.copy_of: dict[tuple[int, str, int], int] = {}
        copies = self._assign_reads(visits)
        self._make(visits, copies)

    def copies(self, name: str, stage: int) -> list[TensorMemory]:
        """Every copy of a tensor that is on chip in a stage; whoever makes or loads it writes them all."""
        return [memory for (tensor, _), memory in self.memories.items() if tensor == name]

    def results(self, visit: Visit) -> list[TensorMemory]:
        """The memories that a visit's output goes to."""
        return self.copies(visit.task.output, visit.stage)

    def sinks(self, visit: Visit) -> tuple[str, ...]:
        """The write ports of `results`."""
        return tuple(memory.port("in") for memory in self.results(visit))

    def reader(self, visit: Visit, slot: int) -> TensorMemory:
        """The copy that a task's input `slot` reads."""
        name = visit.task.inputs[slot]
        return self.memories[name, self.copy_of.get((visit.stage, visit.task.name, slot), 0)]

    def _assign_reads(self, visits: Sequence[Visit]) -> dict[str, int]:
        """Number the reads of each tensor within each stage (moves use the first copy); the copies of each tensor."""
        copies: dict[str, int] = {}
        taken: dict[tuple[int, str], int] = {}
        for visit in visits:
            if isinstance(visit.task, QMove):
                continue
            for slot, name in enumerate(visit.task.inputs):
                key = (visit.stage, visit.task.name, slot)
                if key not in self.copy_of:
                    self.copy_of[key] = taken.get((visit.stage, name), 0)
                    taken[visit.stage, name] = self.copy_of[key] + 1
                    copies[name] = max(copies.get(name, 1), self.copy_of[key] + 1)
        return copies

    def _make(self, visits: Sequence[Visit], copies: dict[str, int]) -> None:
        site = self.site
        places = {r.tensor: r.place for r in site.schedule.residency}
        names = sanitise([f"buf {name}" for name in site.tensors])
        stages: dict[str, set[int]] = {}
        for visit in visits:
            for name in (*visit.task.inputs, visit.task.output):
                stages.setdefault(name, set()).add(visit.stage)
        spilled = []
        for tensor in site.graph.tensors:
            if tensor.name not in stages:
                continue
            stage = site.schedule.stages[min(stages[tensor.name])]
            place = places.get(tensor.name, "chip")
            alone = len(stages[tensor.name]) == 1
            outside = site.from_input(tensor.name) or tensor.name in site.graph.outputs
            tiled = place != "chip" and alone and 0 < stage.tile_rows < tensor.rows
            tiled = tiled and not (outside and self._misaligned(tensor.name, stage.tile_rows))
            if place == "spill" and not tiled and not outside and not alone:
                spilled.append(tensor.name)
            tile_rows = stage.tile_rows if tiled else tensor.rows
            for copy in range(copies.get(tensor.name, 1)):
                suffix = f"_{copy}" if copy else ""
                memory = Memory(names[f"buf {tensor.name}"] + suffix, site.machine.lanes, site.a_bits)
                self.memories[tensor.name, copy] = TensorMemory(
                    memory, tensor.rows, site.pitch(tensor.name), tile_rows, 2 if tiled else 1
                )
        if spilled:
            raise UnsupportedError(
                [
                    Finding(
                        "the schedule keeps this tensor off chip between two stages",
                        where=name,
                        why="spills of intermediate tensors are scheduled but not yet generated",
                        hint="give the design more on-chip memory (--budget onchip=…)",
                    )
                    for name in spilled
                ]
            )

    def _misaligned(self, name: str, tile_rows: int) -> bool:
        """Row tiles of this tensor would not start at port words: it has to be on chip as a whole."""
        bits = tile_rows * self.site.pitch(name) * self.site.machine.lanes * self.site.a_bits
        return bool(bits % self.site.machine.port_bits)
