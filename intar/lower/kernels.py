"""Weights of the convolutions: on chip for the whole inference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intar.ir.nodes.memories import Walk
from intar.ir.quantgraph import QConv
from intar.lower.buffers import Memory
from intar.lower.netlist import Netlist
from intar.lower.ports import Ports
from intar.lower.site import Site


class Kernels:
    """The convolutions' weights: every core keeps all of those that it uses, a row of whole beats for each channel."""

    def __init__(self, site: Site, net: Netlist, ports: Ports):
        self.site, self.net, self.ports = site, net, ports
        self.memories: dict[int, Memory] = {}
        self.bases: dict[tuple[int, str], list[int]] = {}
        self.needs: dict[tuple[int, str], int] = {}

    def load(self, cores: Sequence[int], task: QConv) -> None:
        """Have a task's weights loaded by all its cores at once, channel after channel."""
        lanes = self.site.machine.lanes
        weight = self.site.constants[task.weight].astype(np.int64)
        rows: list[np.ndarray] = []
        places: list[int] = []
        beats = channel = 0
        for group in task.groups:
            depth = -(-len(group.taps) // lanes)
            part = np.zeros((group.channels, depth * lanes), dtype=np.int64)
            part[:, : len(group.taps)] = weight[channel : channel + group.channels, : len(group.taps)]
            places += [beats + i * depth for i in range(group.channels)]
            rows.append(part.reshape(-1, lanes))
            beats += len(rows[-1])
            channel += group.channels
        note = f"{task.name}: weights"
        port = f"w{cores[0]}"
        self.ports.port(port).constants(np.concatenate(rows), self.site.a_bits, note)
        self.net.move(f"{port}.out", [f"kernels_{core}.in" for core in cores], beats, note=note)
        for core in cores:
            memory = self.memories.setdefault(core, Memory(f"kernels_{core}", lanes, self.site.a_bits))
            self.bases[core, task.name] = [memory.depth + place for place in places]
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
    ) -> None:
        """The weights of `blocks` blocks of `members` times `rows` channels from `first` on, each block `again` times.

        Of each channel these `beats`; of the rows of a member all first beats come first, then all second ones, and so on.
        """
        bases = self.bases[core, task.name]
        depth = bases[first + 1] - bases[first] if members * rows * blocks > 1 else 0  # of a channel
        walk = Walk(
            base=bases[first] + beats.start,
            counts=(blocks, again, members, len(beats), rows),
            strides=(members * rows * depth, 0, rows * depth, 1, depth),
        )
        self.memories[core].fetch(walk, self.needs[core, task.name], note=task.name)
