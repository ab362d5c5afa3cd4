"""What the cores take as weights: from the core's own port or, for products of two activations, from a tensor on chip;
through a ring where a tile is used again, or resident; or from the core's own memory, which has them from the start."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intar.ir.nodes.memories import Walk
from intar.ir.quantgraph import QMatmul, QProduct
from intar.lower.buffers import Memory
from intar.lower.netlist import Netlist
from intar.lower.ports import Ports
from intar.lower.ring import WeightMemory
from intar.lower.shares import busy_cores, column_blocks, tiles_again
from intar.lower.site import Site
from intar.lower.visits import Visit


class Weights:
    """The weight stream of every core."""

    def __init__(self, site: Site, net: Netlist, ports: Ports, visits: Sequence[Visit]):
        self.site, self.net, self.ports = site, net, ports
        self.memories: dict[int, WeightMemory] = {}
        self.held: dict[int, Memory] = {}
        self.bases: dict[tuple[int, str, tuple[int, ...]], int] = {}
        for core in range(site.machine.cores):
            self._make(
                core,
                [v for v in visits if _weighs(v) and core in busy_cores(site, v)],
            )

    def _make(self, core: int, mine: Sequence[Visit]) -> None:
        """The weight buffer of a core, if one of its visits needs it: its ring holds two tiles of the longest reduction."""
        mine = [v for v in mine if not self._holds(v.task)]
        reused = [v for v in mine if not v.resident and tiles_again(self.site, v)]
        if reused or any(v.resident for v in mine):
            ring = [v for v in mine if not v.resident]
            longest = max((self.pairs(v.task) for v in ring), default=0)
            stay = {v.task.name: len(self.blocks(v, core)) * self.pairs(v.task) for v in mine if v.resident}
            memory = Memory(f"weights_{core}", self.site.weight_lanes, self.site.w_bits)
            self.memories[core] = WeightMemory(memory, 2 * longest, sum(stay.values()))

    def k(self, task: object) -> int:
        """Length of the reduction of a matmul or product."""
        if isinstance(task, QProduct):
            return self.site.tensors[task.inputs[0]].cols
        assert isinstance(task, QMatmul)
        return int(self.site.constants[task.weight].shape[0])

    def pairs(self, task: object) -> int:
        """Beats of a column block of a matmul's or product's weights."""
        return self.site.machine.pairs(self.k(task))

    def channels(self, visit: Visit) -> int:
        """Length of the reduction of a visit, which may end before that of its task."""
        k = self.k(visit.task)
        return min(k, visit.beats * self.site.machine.lanes) if visit.beats else k

    def blocks(self, visit: Visit, core: int) -> list[int]:
        """Column blocks of a matmul or product that a core makes."""
        if visit.by_rows:
            return list(range(self.site.pitch(visit.task.output)))
        return column_blocks(self.site, visit, core)

    def entrance(self, core: int) -> str:
        """The port to which the weights of a core go."""
        store = self.memories.get(core)
        return f"{store.memory.name}.in" if store else f"core_{core}.w"

    def load(self, visit: Visit, core: int, blocks: Sequence[int], note: str) -> None:
        """Have constant weights come through the core's port: `blocks`, or all of a task that stays resident, once."""
        if self._holds(visit.task):
            return
        task, store = visit.task, self.memories.get(core)
        assert isinstance(task, QMatmul)
        if visit.resident and store:
            if task.name in store.resident:
                return
            blocks = self.blocks(visit, core)
            store.keep(task.name, len(blocks) * self.pairs(task))
        port, beats = self.ports.port(f"w{core}"), len(blocks) * self.pairs(task)
        if not port.repeat(beats, note):
            port.constants(self._beats(task, blocks), self.site.weight_bits, note)
        self.net.move(f"w{core}.out", [self.entrance(core)], beats, note=note)

    def use(self, visit: Visit, core: int, blocks: Sequence[int], repeat: int, note: str) -> None:
        """Have `blocks` of this visit arrive at the core from its ring or memory, each `repeat` times."""
        k = self.site.machine.pairs(self.channels(visit))
        if self._holds(visit.task):
            counts, strides = (1, len(blocks), 1, repeat, k), (0, k, 0, 0, 1)
            first = self.blocks(visit, core).index(blocks[0])
            self._fetch(visit, core, Walk(base=first * k, counts=counts, strides=strides), note)
            return
        store = self.memories.get(core)
        if store is None:
            return
        if visit.resident:
            store.read_resident(
                visit.task.name, self.blocks(visit, core).index(blocks[0]), len(blocks), repeat, k
            )
        else:
            store.stream(visit.task.name, len(blocks), repeat, k)
        self.net.move(f"{store.memory.name}.out", [f"core_{core}.w"], len(blocks) * repeat * k, note=note)

    def stream_slices(self, visit: Visit, core: int, note: str) -> None:
        """Have all column blocks of a core arrive slice after slice of the reduction, `lanes` channels long, once."""
        task, site = visit.task, self.site
        assert isinstance(task, QMatmul)
        k, blocks = self.pairs(task), self.blocks(visit, core)
        lanes = site.machine.pairs(site.machine.lanes)
        if self._holds(task):
            depth = -(-k // lanes)
            last = k - (depth - 1) * lanes
            counts, strides = (1, depth, 1, len(blocks), min(lanes, k)), (0, lanes, 0, k, 1)
            walk = Walk(counts=counts, strides=strides, ragged=1, last=last)
            self._fetch(visit, core, walk, note)
            return
        store = self.memories.get(core)
        whole = self._beats(task, blocks).reshape(len(blocks), k, site.weight_lanes)
        slices = [
            whole[:, first : first + lanes].reshape(-1, site.weight_lanes) for first in range(0, k, lanes)
        ]
        self.ports.port(f"w{core}").constants(np.concatenate(slices), site.weight_bits, note)
        target = f"{store.memory.name}.in" if store else f"core_{core}.w"
        self.net.move(f"w{core}.out", [target], len(blocks) * k, note=note)
        if store is None:
            return
        full = (k - 1) // lanes
        if full:
            store.stream(task.name, full * len(blocks), 1, lanes)
        store.stream(task.name, len(blocks), 1, k - full * lanes)
        self.net.move(f"{store.memory.name}.out", [f"core_{core}.w"], len(blocks) * k, note=note)

    def _holds(self, task: object) -> bool:
        """Cores have the weights of a task from the start."""
        return self.site.machine.on_chip and isinstance(task, QMatmul)

    def _fetch(self, visit: Visit, core: int, walk: Walk, note: str) -> None:
        """Have weights of a visit that the core holds arrive there; the walk begins at its first column block."""
        task, blocks, site = visit.task, self.blocks(visit, core), self.site
        assert isinstance(task, QMatmul)
        memory = self.held.setdefault(core, Memory(f"w{core}", site.weight_lanes, site.weight_bits))
        key = core, task.name, tuple(blocks)
        if key not in self.bases:
            self.bases[key] = memory.hold(self._beats(task, blocks))
        memory.fetch(walk.model_copy(update={"base": self.bases[key] + walk.base}), 0, note=note)
        self.net.move(f"w{core}.out", [f"core_{core}.w"], walk.beats, note=note)

    def _beats(self, task: QMatmul, blocks: Sequence[int]) -> np.ndarray:
        """(len(blocks) * pairs, lanes * depth): `depth` channels a beat, column blocks one after the other."""
        weight = self.site.constants[task.weight]
        lanes, depth = self.site.machine.lanes, self.site.machine.depth
        beats = np.zeros((len(blocks), self.pairs(task) * depth, lanes), weight.dtype)
        for index, block in enumerate(blocks):
            tile = weight[:, block * lanes : (block + 1) * lanes]
            beats[index, : len(tile), : tile.shape[1]] = tile
        return beats.reshape(-1, depth, lanes).swapaxes(1, 2).reshape(-1, lanes * depth)


def _weighs(visit: Visit) -> bool:
    """Cores take weights that may come through a ring: of a state each beat is used once."""
    task = visit.task
    return isinstance(task, QMatmul) or (isinstance(task, QProduct) and not task.state)
