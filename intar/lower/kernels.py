"""Weights of the convolutions: on chip for the whole inference."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from intar.ir.nodes.memories import Walk
from intar.ir.quantgraph import QConv
from intar.lower.buffers import Memory
from intar.lower.netlist import Netlist
from intar.lower.ports import Ports
from intar.lower.site import Site


class Kernels:
    """The convolutions' weights: every core keeps all of those that it uses, a row of whole beats for each filter."""

    def __init__(self, site: Site, net: Netlist, ports: Ports):
        self.site, self.net, self.ports = site, net, ports
        self.memories: dict[int, Memory] = {}
        self.bases: dict[tuple[int, str], list[int]] = {}
        self.needs: dict[tuple[int, str], int] = {}

    def load(self, cores: Sequence[int], task: QConv) -> None:
        """Have a task's weights loaded by all its cores at once, filter after filter, or there from the start."""
        lanes = self.site.machine.lanes
        weight = self.site.constants[task.weight].astype(np.int64)
        depths = [-(-taps // lanes) for _, taps in sorted(task.filter_taps.items())]
        whole = np.pad(weight, ((0, 0), (0, -weight.shape[1] % lanes))).reshape(len(weight), -1, lanes)
        rows = [filter_[:depth] for filter_, depth in zip(whole, depths, strict=True)]
        places = [0, *accumulate(depths)]
        beats = places.pop()
        note = f"{task.name}: weights"
        memories = {
            core: self.memories.setdefault(core, Memory(f"kernels_{core}", lanes, self.site.a_bits))
            for core in cores
        }
        for core, memory in memories.items():
            held = self.site.machine.on_chip
            base = memory.hold(np.concatenate(rows)) if held else memory.depth
            self.bases[core, task.name] = [base + place for place in places]
            self.needs[core, task.name] = 0
        if self.site.machine.on_chip:
            return
        port = f"w{cores[0]}"
        self.ports.port(port).constants(np.concatenate(rows), self.site.a_bits, note)
        self.net.move(f"{port}.out", [f"kernels_{core}.in" for core in cores], beats, note=note)
        for core, memory in memories.items():
            walk = Walk(base=memory.depth, counts=(1, 1, 1, 1, beats), strides=(0, 0, 0, 0, 1))
            memory.write(walk, 0, note=note)
            memory.depth += beats
            self.needs[core, task.name] = memory.written

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
        bases, own = self.bases[core, task.name], members if apart else 1
        different = own * rows * (1 if alike else blocks)
        depth = bases[first + 1] - bases[first] if different > 1 else 0  # of a filter
        walk = Walk(
            base=bases[first] + beats.start,
            counts=(blocks, again, members, len(beats), rows),
            strides=(0 if alike else own * rows * depth, 0, rows * depth if apart else 0, 1, depth),
        )
        self.memories[core].fetch(walk, self.needs[core, task.name], note=task.name)
