"""Weights of the matmuls: from the core's own port, through a ring where a tile is used again, or resident on chip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intar.ir.quantgraph import QMatmul
from intar.lower.buffers import Memory, WeightMemory
from intar.lower.netlist import Netlist
from intar.lower.ports import Ports
from intar.lower.site import Site
from intar.lower.visits import Visit


class Weights:
    """The weight stream of every core."""

    def __init__(self, site: Site, net: Netlist, ports: Ports, visits: Sequence[Visit]):
        self.site, self.net, self.ports = site, net, ports
        self.memories: dict[int, WeightMemory] = {}
        for core in range(site.machine.cores):
            self._make(core, [v for v in visits if isinstance(v.task, QMatmul) and core in v.cores])

    def _make(self, core: int, mine: Sequence[Visit]) -> None:
        """The weight buffer of a core, if one of its visits needs it, and how large its ring slots are."""
        reused = [v for v in mine if not v.resident and v.rows > self.site.machine.rows]
        if reused or any(v.resident for v in mine):
            ring = [v for v in mine if not v.resident]
            slot = max((self.k(v.task) for v in ring), default=0)
            stay = {v.task.name: len(self.blocks(v, core)) * self.k(v.task) for v in mine if v.resident}
            memory = Memory(f"weights_{core}", self.site.machine.lanes, self.site.w_bits)
            self.memories[core] = WeightMemory(memory, slot, sum(stay.values()))

    def k(self, task: object) -> int:
        """Length of a matmul's reduction."""
        assert isinstance(task, QMatmul)
        return int(self.site.constants[task.weight].shape[0])

    def blocks(self, visit: Visit, core: int) -> list[int]:
        """Column blocks of a matmul that a core makes."""
        return list(range(visit.cores.index(core), self.site.pitch(visit.task.output), len(visit.cores)))

    def stream(self, visit: Visit, core: int, blocks: Sequence[int], note: str) -> None:
        """Have `blocks` of this visit arrive at the core, once for each array tile of rows."""
        task = visit.task
        assert isinstance(task, QMatmul)
        k = self.k(task)
        m_tiles = -(-visit.rows // self.site.machine.rows)
        store = self.memories.get(core)
        all_blocks = self.blocks(visit, core)
        port = self.ports.port(f"w{core}")
        resident = visit.resident and store is not None
        if not (resident and store and task.name in store.resident):
            wanted = all_blocks if resident else blocks
            beats = len(wanted) * k
            if not port.repeat(beats, note):
                port.constants(self._beats(task, wanted), self.site.w_bits, note)
            target = f"{store.memory.name}.in" if store else f"core_{core}.w"
            self.net.move(f"w{core}.out", [target], beats, note=note)
            if resident and store:
                store.keep(task.name, beats)
        if store is None:
            return
        if resident:
            store.read_resident(task.name, all_blocks.index(blocks[0]), len(blocks), m_tiles, k)
        else:
            store.stream(task.name, len(blocks), m_tiles, k)
        self.net.move(f"{store.memory.name}.out", [f"core_{core}.w"], len(blocks) * m_tiles * k, note=note)

    def stream_slices(self, visit: Visit, core: int, note: str) -> None:
        """Have all column blocks of a core arrive slice after slice of the reduction, `lanes` channels long, once."""
        task, lanes = visit.task, self.site.machine.lanes
        assert isinstance(task, QMatmul)
        k, blocks = self.k(task), self.blocks(visit, core)
        store = self.memories.get(core)
        whole = self._beats(task, blocks).reshape(len(blocks), k, lanes)
        slices = [whole[:, first : first + lanes].reshape(-1, lanes) for first in range(0, k, lanes)]
        self.ports.port(f"w{core}").constants(np.concatenate(slices), self.site.w_bits, note)
        target = f"{store.memory.name}.in" if store else f"core_{core}.w"
        self.net.move(f"w{core}.out", [target], len(blocks) * k, note=note)
        if store is None:
            return
        full = (k - 1) // lanes
        if full:
            store.stream(task.name, full * len(blocks), 1, lanes)
        store.stream(task.name, len(blocks), 1, k - full * lanes)
        self.net.move(f"{store.memory.name}.out", [f"core_{core}.w"], len(blocks) * k, note=note)

    def _beats(self, task: QMatmul, blocks: Sequence[int]) -> np.ndarray:
        """(len(blocks) * K, lanes): one beat per k, column blocks one after the other."""
        weight = self.site.constants[task.weight]
        lanes = self.site.machine.lanes
        padded = np.zeros((weight.shape[0], self.site.pitch(task.output) * lanes), dtype=np.int64)
        padded[:, : weight.shape[1]] = weight
        tiles = padded.reshape(weight.shape[0], -1, lanes).transpose(1, 0, 2)
        return tiles[list(blocks)].reshape(-1, lanes)
