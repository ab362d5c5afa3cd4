"""Weights of the convolutions: on chip for the whole inference, or in a ring that they pass through."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby, pairwise

import numpy as np

from intar.ir.nodes.memories import Walk
from intar.ir.quantgraph import QConv
from intar.lower.buffers import Memory
from intar.lower.netlist import Netlist
from intar.lower.ports import Ports
from intar.lower.ring import WeightMemory, Whole
from intar.lower.site import Site


class Kernels:
    """The convolutions' weights, a row of whole beats for each filter: every core keeps all of those that it uses, or has a
    ring, in which they are as a whole while the task runs, or block of channels by block (`intar.ir.kernels`)."""

    def __init__(self, site: Site, net: Netlist, ports: Ports):
        self.site, self.net, self.ports = site, net, ports
        self.memories: dict[int, Memory] = {}
        self.rings: dict[int, WeightMemory] = {}
        self.bases: dict[tuple[int, str], list[int]] = {}
        self.needs: dict[tuple[int, str], int] = {}
        self.wholes: dict[tuple[int, str], Whole] = {}

    def load(self, cores: Sequence[int], task: QConv) -> None:
        """Have a task's weights loaded by all its cores at once, filter after filter, or there from the start; not yet where
        they pass through a ring."""
        if self.site.machine.kernel_ring:
            return
        beats, places = self._filters(task)
        memories = [self._memory(core) for core in cores]
        for core, memory in zip(cores, memories, strict=True):
            held = self.site.machine.on_chip
            base = memory.hold(beats) if held else memory.depth
            self.bases[core, task.name] = [base + place for place in places]
            self.needs[core, task.name] = 0
        if self.site.machine.on_chip:
            return
        note = self._come(cores, task, beats, "weights")
        depths = [end - start for start, end in pairwise([*places, len(beats)])]
        for core, memory in zip(cores, memories, strict=True):
            self.needs[core, task.name] = memory.written
            for depth, filters in groupby(depths):
                count = len(list(filters))
                walk = Walk(base=memory.depth, counts=(count, 1, 1, 1, depth), strides=(depth, 0, 0, 0, 1))
                memory.write(walk, 0, note=note)
                memory.depth += count * depth

    def enter(self, cores: Sequence[int], task: QConv) -> None:
        """Have all of a task's weights come into the rings of its cores before it begins, unless they come in blocks."""
        if not self.site.machine.kernel_ring or self.site.in_blocks(task):
            return
        beats, places = self._filters(task)
        self._come(cores, task, beats, "weights")
        for core in cores:
            self.bases[core, task.name] = places
            self.wholes[core, task.name] = self._ring(core).whole(task.name, len(beats))

    def come(
        self, cores: Sequence[int], task: QConv, first: int, members: int, rows: int, blocks: int
    ) -> None:
        """Have the filters of `blocks` blocks of `members` times `rows` channels, from `first` on, come to cores that take
        them in blocks, as these read them: of a member's channels all first beats, then all second ones, and so on."""
        if not self.site.in_blocks(task):
            return
        beats, places = self._filters(task)
        count = blocks * members * rows
        mine = beats[places[first] : (places[first + count] if first + count < len(places) else len(beats))]
        order = mine.reshape(blocks * members, rows, -1, self.site.machine.lanes).swapaxes(1, 2)
        note = f"weights of filters {first}+{count} by {rows}"
        self._come(cores, task, order.reshape(-1, self.site.machine.lanes), note)

    def read(
        self,
        core: int,
        task: QConv,
        first: int,
        beats: range,
        rows: int,
        members: int,
        blocks: int,
        again: int,
        apart: bool,
        alike: bool,
    ) -> None:
        """The weights of `blocks` blocks of `members` times `rows` channels, whose filters are `first` and those behind it,
        each block `again` times; members that are not `apart` have the same filters, and so have all blocks if `alike`.

        Of each filter these `beats`; of the rows of a member all first beats come first, then all second ones, and so on.
        """
        own = members if apart else 1
        if self.site.in_blocks(task):
            each = own * rows * len(beats)
            once, times = (1, blocks) if alike else (blocks, 1)
            self._ring(core).stream(task.name, once, times * again * members // own, each)
            return
        bases = self.bases[core, task.name]
        different = own * rows * (1 if alike else blocks)
        depth = bases[first + 1] - bases[first] if different > 1 else 0  # of a filter
        walk = Walk(
            base=bases[first] + beats.start,
            counts=(blocks, again, members, len(beats), rows),
            strides=(0 if alike else own * rows * depth, 0, rows * depth if apart else 0, 1, depth),
        )
        if self.site.machine.kernel_ring:
            self.wholes[core, task.name].walks.append(walk)
        else:
            need = self.needs[core, task.name] + first + own * rows
            self.memories[core].fetch(walk, need, 0 if alike else own * rows, note=task.name)

    def finish(self) -> dict[int, Memory]:
        """The memory of each core that has one, with all its steps."""
        for ring in self.rings.values():
            ring.finish()
        return self.memories

    def _memory(self, core: int) -> Memory:
        return self.memories.setdefault(
            core, Memory(f"kernels_{core}", self.site.machine.lanes, self.site.a_bits)
        )

    def _ring(self, core: int) -> WeightMemory:
        ring = WeightMemory(self._memory(core), self.site.machine.kernel_ring, 0)
        return self.rings.setdefault(core, ring)

    def _filters(self, task: QConv) -> tuple[np.ndarray, list[int]]:
        """All weights in beats, and where each filter's begin."""
        lanes = self.site.machine.lanes
        weight = self.site.constants[task.weight].astype(np.int64)
        depths = [-(-taps // lanes) for _, taps in sorted(task.filter_taps.items())]
        whole = np.pad(weight, ((0, 0), (0, -weight.shape[1] % lanes))).reshape(len(weight), -1, lanes)
        rows = [filter_[:depth] for filter_, depth in zip(whole, depths, strict=True)]
        return np.concatenate(rows), [0, *accumulate(depths[:-1])]

    def _come(self, cores: Sequence[int], task: QConv, beats: np.ndarray, what: str) -> str:
        """Have beats come through the port of the first of these cores, to all of them."""
        note, name = f"{task.name}: {what}", f"w{cores[0]}"
        port = self.ports.port(name)
        if not port.repeat(len(beats), note):
            port.constants(beats, self.site.a_bits, note)
        self.net.move(f"{name}.out", [f"kernels_{core}.in" for core in cores], len(beats), note=note)
        return note
