"""Schedule to program: which node does what, step by step, and the constant images in the order of consumption.

The unit of work is a *visit*: one task on one row tile (the whole tensor when the stage is not tiled). Visits are laid out
in schedule order; every node's program is the sequence of its shares, so nothing but data and the `need` counts of the
buffers orders the machine, and stages overlap where they can.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from intar.errors import Finding, InfeasibleError, UnsupportedError
from intar.ir.names import sanitise
from intar.ir.program import (
    Argument,
    Buffer,
    Core,
    CoreStep,
    Feed,
    FeedStep,
    Gather,
    GatherStep,
    Load,
    LoadStep,
    Node,
    Program,
    Region,
    Store,
    StoreStep,
    Table,
    Vector,
    VectorStep,
    Walk,
)
from intar.ir.quantgraph import QAffine, QBinary, QMatmul, QMove, QTask, Quantised
from intar.ir.schedule import Schedule
from intar.lower.buffers import Memory, TensorMemory, WeightMemory
from intar.lower.images import beats_to_bytes, pad_to_word
from intar.lower.moves import element_walks, identity_move
from intar.lower.netlist import Flow, FlowLeg, Netlist, PortType, check_names


@dataclass(frozen=True)
class Lowered:
    """The program and the bytes of its constant arguments, by argument name."""

    program: Program
    images: dict[str, bytes] = field(repr=False)


@dataclass(frozen=True)
class Visit:
    """One task on rows ``row .. row+rows-1``; `stage` is its stage and `cores` where it runs."""

    task: QTask
    stage: int
    cores: tuple[int, ...]
    resident: bool
    row: int
    rows: int


@dataclass
class _Port:
    """A load or store port: steps and, for constants, the image so far."""

    name: str
    steps: list = field(default_factory=list)
    image: bytearray = field(default_factory=bytearray)
    words: int = 0
    regions: list[Region] = field(default_factory=list)


def lower(quantised: Quantised, schedule: Schedule) -> Lowered:
    """Lower a validated schedule.

    Raises
    ------
    UnsupportedError
        The schedule spills an intermediate tensor, which this lowering does not do.
    """
    return _Lowering(quantised, schedule).run()


class _Lowering:
    """The state of one lowering; every method appends to the programs of the nodes that it names."""

    def __init__(self, quantised: Quantised, schedule: Schedule):
        self.graph = quantised.graph
        self.constants = quantised.constants
        self.schedule = schedule
        self.machine = schedule.machine
        self.tensors = {tensor.name: tensor for tensor in self.graph.tensors}
        self.tasks = {task.name: task for task in self.graph.tasks}
        self.a_bits = max(tensor.bits for tensor in self.graph.tensors)
        matmuls = [task for task in self.graph.tasks if isinstance(task, QMatmul)]
        self.w_bits = max((task.weight_bits for task in matmuls), default=8)
        self.net = Netlist()
        self.names = sanitise([f"buf {name}" for name in self.tensors])
        self.aliases = self._aliases()
        self.memories: dict[tuple[str, int], TensorMemory] = {}
        self.weights: dict[int, WeightMemory] = {}
        self.params: dict[int, Memory] = {}
        self.steps: dict[str, list] = {}
        self.ports: dict[str, _Port] = {}
        self.tables: dict[int, list[tuple[Table, np.ndarray, np.ndarray]]] = {}
        self.table_of: dict[tuple[int, str], int] = {}
        self.param_base: dict[tuple[int, str], int] = {}
        self.param_need: dict[tuple[int, str], int] = {}

    # ---- shape of the work -------------------------------------------------------------------------------------------

    def _aliases(self) -> dict[str, str]:
        """Tensors that are a network input in another shape: the host lays them out, no task runs."""
        readers: dict[str, int] = {}
        for task in self.graph.tasks:
            for name in task.inputs:
                readers[name] = readers.get(name, 0) + 1
        return {
            task.output: task.inputs[0]
            for task in self.graph.tasks
            if isinstance(task, QMove)
            and task.inputs[0] in self.graph.inputs
            and readers[task.inputs[0]] == 1
            and task.inputs[0] not in self.graph.outputs
            and task.output not in self.graph.outputs
            and identity_move(task, self.tensors)
        }

    def _pitch(self, name: str) -> int:
        return -(-self.tensors[name].cols // self.machine.lanes)

    def _visits(self) -> list[Visit]:
        visits = []
        for index, stage in enumerate(self.schedule.stages):
            work = [(p, self.tasks[p.task]) for p in stage.tasks]
            work = [(p, t) for p, t in work if t.output not in self.aliases]
            if not work:
                continue
            rows = self.tensors[work[0][1].output].rows
            tile = stage.tile_rows or rows
            if any(self.tensors[t.output].rows != rows for _, t in work) or not stage.tile_rows:
                for p, t in work:
                    total = self.tensors[t.output].rows
                    visits.append(Visit(t, index, p.cores, p.resident, 0, total))
                continue
            for row in range(0, rows, tile):
                for p, t in work:
                    visits.append(Visit(t, index, p.cores, p.resident, row, min(tile, rows - row)))
        return visits

    # ---- tensors on chip ---------------------------------------------------------------------------------------------

    def _copies(self, visits: list[Visit]) -> dict[str, int]:
        """How many copies each tensor needs: as many as reads of it run side by side in one stage."""
        copies: dict[str, int] = {}
        for stage in range(len(self.schedule.stages)):
            reads: dict[str, set[tuple[str, int]]] = {}
            for visit in visits:
                if visit.stage == stage:
                    for slot, name in enumerate(visit.task.inputs):
                        if not isinstance(visit.task, QMove):
                            reads.setdefault(name, set()).add((visit.task.name, slot))
            for name, who in reads.items():
                copies[name] = max(copies.get(name, 1), len(who))
        return copies

    def _make_memories(self, visits: list[Visit]) -> None:
        places = {r.tensor: r.place for r in self.schedule.residency}
        copies = self._copies(visits)
        used = {name for v in visits for name in (*v.task.inputs, v.task.output)}
        spilled = []
        for tensor in self.graph.tensors:
            if tensor.name not in used:
                continue
            stages = {v.stage for v in visits if tensor.name in (*v.task.inputs, v.task.output)}
            stage = self.schedule.stages[min(stages)]
            place = places.get(tensor.name, "chip")
            outside = tensor.name in self.graph.inputs or tensor.name in self.graph.outputs
            outside = outside or tensor.name in self.aliases
            tiled = place != "chip" and len(stages) == 1 and 0 < stage.tile_rows < tensor.rows
            tiled = tiled and not (outside and self._misaligned(tensor.name, stage.tile_rows))
            if place == "spill" and not tiled and not outside and len(stages) > 1:
                spilled.append(tensor.name)
            tile_rows = stage.tile_rows if tiled else tensor.rows
            for copy in range(copies.get(tensor.name, 1)):
                suffix = f"_{copy}" if copy else ""
                memory = Memory(self.names[f"buf {tensor.name}"] + suffix, self.machine.lanes, self.a_bits)
                self.memories[tensor.name, copy] = TensorMemory(
                    memory, tensor.rows, self._pitch(tensor.name), tile_rows, 2 if tiled else 1
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
        return bool(tile_rows * self._pitch(name) * self.machine.lanes * self.a_bits % self.machine.port_bits)

    def _copies_of(self, name: str) -> list[TensorMemory]:
        return [memory for (tensor, _), memory in self.memories.items() if tensor == name]

    def _reader(self, visit: Visit, slot: int, visits: list[Visit]) -> TensorMemory:
        """The copy that this read uses."""
        name = visit.task.inputs[slot]
        order: list[tuple[str, int]] = []
        for other in visits:
            if other.stage == visit.stage and not isinstance(other.task, QMove):
                for index, read in enumerate(other.task.inputs):
                    if read == name and (other.task.name, index) not in order:
                        order.append((other.task.name, index))
        key = (visit.task.name, slot)
        return self.memories[name, order.index(key) if key in order else 0]

    def _port_of(self, memory: TensorMemory, side: str) -> str:
        return f"{memory.memory.name}.{side}"

    # ---- ports -------------------------------------------------------------------------------------------------------

    def _words(self, beats: int, lanes: int, bits: int) -> int:
        return -(-beats * lanes * bits // self.machine.port_bits)

    def _region(self, port: _Port, name: str) -> Region:
        for region in port.regions:
            if region.name == name:
                return region
        shape = self.tensors[name]
        for alias, origin in self.aliases.items():
            if origin == name:
                shape = self.tensors[alias]
        region = Region(
            name=name,
            base=port.words,
            rows=shape.rows,
            cols=shape.cols,
            row_beats=-(-shape.cols // self.machine.lanes),
            lanes=self.machine.lanes,
            bits=self.a_bits,
        )
        port.regions.append(region)
        port.words += self._words(region.rows * region.row_beats, region.lanes, region.bits)
        return region

    def _load_input(self, name: str, row: int, rows: int) -> None:
        """Bring rows of a network input into all its copies."""
        port = self.ports.setdefault("x", _Port("x"))
        origin = self.aliases.get(name, name)
        region = self._region(port, origin)
        first = row * region.row_beats
        beats = rows * region.row_beats
        base = region.base + self._words(first, region.lanes, region.bits)
        port.steps.append(LoadStep(base=base, beats=beats, note=f"{name}: rows {row}..{row + rows - 1}"))
        memories = self._copies_of(name)
        self.net.move("x.out", [self._port_of(m, "in") for m in memories], beats, note=name)
        walk = Walk(counts=(1, 1, 1, rows, region.row_beats), strides=(0, 0, 0, region.row_beats, 1))
        for memory in memories:
            memory.write(row, walk, f"{name}: from the input port")

    def _store_output(self, name: str, row: int, rows: int) -> None:
        port = self.ports.setdefault("y", _Port("y"))
        region = self._region(port, name)
        memory = self._copies_of(name)[0]
        beats = rows * region.row_beats
        base = region.base + self._words(row * region.row_beats, region.lanes, region.bits)
        port.steps.append(StoreStep(base=base, beats=beats, note=f"{name}: rows {row}..{row + rows - 1}"))
        walk = Walk(counts=(1, 1, 1, rows, region.row_beats), strides=(0, 0, 0, region.row_beats, 1))
        memory.fetch(row, walk, f"{name}: to the output port")
        self.net.move(self._port_of(memory, "out"), ["y.in"], beats, note=name)

    # ---- parameters and tables ---------------------------------------------------------------------------------------

    def _load_params(self, core: int, label: str, beats: np.ndarray, note: str) -> None:
        """Append parameter beats (n, lanes) int32 for one core and have them loaded."""
        lanes = self.machine.lanes
        port = self.ports.setdefault("p", _Port("p"))
        memory = self.params.setdefault(core, Memory(f"params_{core}", lanes, 32))
        base = len(port.image) // (self.machine.port_bits // 8)
        port.image += pad_to_word(beats_to_bytes(beats, 32), self.machine.port_bits)
        port.steps.append(LoadStep(base=base, beats=len(beats), note=note))
        self.net.move("p.out", [f"{memory.name}.in"], len(beats), note=note)
        self.param_base[core, label] = memory.depth
        walk = Walk(base=memory.depth, counts=(1, 1, 1, 1, len(beats)), strides=(0, 0, 0, 0, 1))
        memory.write(walk, 0, note=note)
        memory.depth += len(beats)
        self.param_need[core, label] = memory.written

    def _channel_params(self, task: QMatmul | QAffine, blocks: list[int]) -> np.ndarray:
        """(4 * len(blocks), lanes): multiplier, shift, bias low and high for each column block."""
        lanes = self.machine.lanes
        mult, shift, bias = (self.constants[n].astype(np.int64) for n in (task.mult, task.shift, task.bias))
        beats = np.zeros((len(blocks), 4, lanes), dtype=np.int64)
        beats[:, 1, :] = 24
        for index, block in enumerate(blocks):
            part = slice(block * lanes, min((block + 1) * lanes, len(mult)))
            used = part.stop - part.start
            beats[index, 0, :used] = mult[part]
            beats[index, 1, :used] = shift[part]
            beats[index, 2, :used] = (bias[part] & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
            beats[index, 3, :used] = bias[part] >> 32
        return beats.reshape(-1, lanes)

    def _blocks(self, visit: Visit, core: int) -> list[int]:
        """Column blocks of a task that a core makes."""
        pitch = self._pitch(visit.task.output)
        if isinstance(visit.task, QMatmul):
            return list(range(visit.cores.index(core), pitch, len(visit.cores)))
        return list(range(pitch)) if core == visit.cores[0] else []

    def _prepare_tables(self, visit: Visit) -> None:
        spec = visit.task.table
        if spec is None:
            return
        base = self.constants[spec.base].astype(np.int64)
        slope = self.constants[spec.slope].astype(np.int64) if spec.slope else np.zeros_like(base)
        table = Table(in_bits=spec.in_bits, log_entries=spec.log_entries, q=spec.q, lo=spec.lo, hi=spec.hi)
        cores = visit.cores if isinstance(visit.task, QMatmul) else visit.cores[:1]
        for core in cores:
            slots = self.tables.setdefault(core, [])
            for index, (known, b, s) in enumerate(slots):
                if known == table and np.array_equal(b, base) and np.array_equal(s, slope):
                    self.table_of[core, visit.task.name] = index
                    break
            else:
                self.table_of[core, visit.task.name] = len(slots)
                slots.append((table, base, slope))

    def _load_tables(self) -> None:
        """Table contents go through the parameter memory before anything else of that core."""
        lanes = self.machine.lanes
        for core, slots in sorted(self.tables.items()):
            slopes = any(np.any(slope) for _, _, slope in slots)
            for index, (_, base, slope) in enumerate(slots):
                beats = max(1, len(base) // lanes)
                parts = [base, slope] if slopes else [base]
                image = np.zeros((len(parts), beats * lanes), dtype=np.int64)
                for row, part in enumerate(parts):
                    image[row, : len(part)] = part
                label = f"table {index}"
                self._load_params(core, label, image.reshape(-1, lanes), f"{label} of core {core}")
                self._read_params(core, label, 0, 1, len(parts) * beats)
                self.steps.setdefault(f"vector_{core}", []).append(
                    VectorStep(load=index, affine=False, per_channel=False, note=f"load {label}")
                )

    def _read_params(self, core: int, label: str, first: int, groups: int, beats: int) -> None:
        memory = self.params[core]
        base = self.param_base[core, label] + first * beats
        walk = Walk(base=base, counts=(1, 1, 1, groups, beats), strides=(0, 0, 0, beats, 1))
        memory.fetch(walk, self.param_need[core, label], note=label)
        self.net.move(f"{memory.name}.out", [f"vector_{core}.params"], groups * beats, note=label)

    # ---- weights -----------------------------------------------------------------------------------------------------

    def _prepare_weights(self, visits: list[Visit]) -> None:
        """Which cores need a weight buffer, and how large its ring slots are."""
        for core in range(self.machine.cores):
            mine = [v for v in visits if isinstance(v.task, QMatmul) and core in v.cores]
            reused = [v for v in mine if not v.resident and v.rows > self.machine.rows]
            if reused or any(v.resident for v in mine):
                ring = [v for v in mine if not v.resident]
                slot = max((self._k(v.task) for v in ring), default=0)
                stay = {v.task.name: len(self._blocks(v, core)) * self._k(v.task) for v in mine if v.resident}
                memory = Memory(f"weights_{core}", self.machine.lanes, self.w_bits)
                self.weights[core] = WeightMemory(memory, slot, sum(stay.values()))

    def _k(self, task: QTask) -> int:
        assert isinstance(task, QMatmul)
        return int(self.constants[task.weight].shape[0])

    def _weight_beats(self, task: QMatmul, blocks: list[int]) -> np.ndarray:
        """(len(blocks) * K, lanes): one beat per k, column blocks one after the other."""
        weight = self.constants[task.weight]
        lanes = self.machine.lanes
        padded = np.zeros((weight.shape[0], self._pitch(task.output) * lanes), dtype=np.int64)
        padded[:, : weight.shape[1]] = weight
        tiles = padded.reshape(weight.shape[0], -1, lanes).transpose(1, 0, 2)
        return tiles[blocks].reshape(-1, lanes)

    def _stream_weights(self, visit: Visit, core: int, task: QMatmul, blocks: list[int], note: str) -> None:
        """Have `blocks` of this visit arrive at the core: through the port, the ring, or from residence."""
        k = self._k(task)
        m_tiles = -(-visit.rows // self.machine.rows)
        store = self.weights.get(core)
        port = self.ports.setdefault(f"w{core}", _Port(f"w{core}"))
        all_blocks = self._blocks(visit, core)
        resident = visit.resident and store is not None
        if not (resident and task.name in store.resident):  # type: ignore[union-attr]
            wanted = all_blocks if resident else blocks
            beats = len(wanted) * k
            self._load_weights(port, task, wanted, note)
            target = f"{store.memory.name}.in" if store else f"core_{core}.w"
            self.net.move(f"w{core}.out", [target], beats, note=note)
            if resident:
                store.keep(task.name, beats)  # type: ignore[union-attr]
        if store is None:
            return
        if resident:
            store.read_resident(task.name, all_blocks.index(blocks[0]), len(blocks), m_tiles, k)
        else:
            store.stream(task.name, len(blocks), m_tiles, k)
        self.net.move(f"{store.memory.name}.out", [f"core_{core}.w"], len(blocks) * m_tiles * k, note=note)

    def _load_weights(self, port: _Port, task: QMatmul, blocks: list[int], note: str) -> None:
        """A load step for these blocks; the same blocks again (another row tile) are read from the same place."""
        beats = len(blocks) * self._k(task)
        for step in port.steps:
            if step.note == note and step.beats == beats:
                port.steps.append(step)
                return
        base = len(port.image) // (self.machine.port_bits // 8)
        data = beats_to_bytes(self._weight_beats(task, blocks), self.w_bits)
        port.image += pad_to_word(data, self.machine.port_bits)
        port.steps.append(LoadStep(base=base, beats=beats, note=note))

    # ---- visits ------------------------------------------------------------------------------------------------------

    def _matmul(self, visit: Visit, visits: list[Visit]) -> None:
        task = visit.task
        assert isinstance(task, QMatmul)
        columns = self._pitch(task.output)
        group = len(visit.cores)
        full, rest = divmod(columns, group)
        for first, rounds, cores in (
            (0, full, visit.cores),
            (full * group, 1 if rest else 0, visit.cores[:rest]),
        ):
            if rounds:
                self._matmul_rounds(visit, visits, task, first, rounds, cores)

    def _matmul_rounds(
        self,
        visit: Visit,
        visits: list[Visit],
        task: QMatmul,
        first: int,
        rounds: int,
        cores: tuple[int, ...],
    ) -> None:
        """`rounds` rounds in which each of `cores` makes one column block, starting at block `first`."""
        size, lanes = self.machine.rows, self.machine.lanes
        k = self._k(task)
        m_tiles = -(-visit.rows // size)
        rows, last = min(size, visit.rows), visit.rows - (m_tiles - 1) * size
        depth = self._pitch(task.inputs[0])
        note = f"{task.name} rows {visit.row}+{visit.rows} blocks {first}+{rounds}x{len(cores)}"
        source = self._reader(visit, 0, visits)
        walk = Walk(
            counts=(1, rounds, m_tiles, depth, rows),
            strides=(0, 0, size * depth, 1, depth),
            ragged=2,
            last=last,
        )
        source.fetch(visit.row, walk, note)
        feeds = [f"feed_{core}.in" for core in cores]
        self.net.move(self._port_of(source, "out"), feeds, rounds * visit.rows * depth, note=note)
        shape = {"tiles": rounds, "m_tiles": m_tiles, "rows": rows, "rows_last": last, "note": note}
        for position, core in enumerate(cores):
            blocks = [first + r * len(cores) + position for r in range(rounds)]
            k_last = k - (depth - 1) * lanes
            self.steps.setdefault(f"feed_{core}", []).append(FeedStep(blocks=depth, k_last=k_last, **shape))
            self.steps.setdefault(f"core_{core}", []).append(CoreStep(k=k, k_last=k, **shape))
            weight_note = f"{task.name} blocks {first}+{rounds}x{len(cores)}"
            self._stream_weights(visit, core, task, blocks, weight_note)
            self.net.move(f"feed_{core}.out", [f"core_{core}.a"], rounds * m_tiles * k, note=note)
            self.net.move(f"core_{core}.out", [f"vector_{core}.acc"], rounds * visit.rows, note=note)
            known = self._blocks(visit, core).index(blocks[0])
            self._read_params(core, task.name, known, rounds, 4)
            self._vector(core, task, rounds, visit.rows, "acc", True, note)
        legs = tuple(FlowLeg(f"vector_{core}.out", self._sinks(task.output)) for core in cores)
        self.net.flow(Flow(legs, rounds * m_tiles, rows, m_tiles, last, note))
        pitch = self._pitch(task.output)
        target = Walk(
            base=first,
            counts=(1, rounds, m_tiles, len(cores), rows),
            strides=(0, len(cores), size * pitch, 1, pitch),
            ragged=2,
            last=last,
        )
        for memory in self._copies_of(task.output):
            memory.write(visit.row, target, note)

    def _sinks(self, name: str) -> tuple[str, ...]:
        return tuple(self._port_of(memory, "in") for memory in self._copies_of(name))

    def _vector(
        self, core: int, task: QTask, groups: int, beats: int, source: str, per_channel: bool, note: str
    ) -> None:
        fields: dict = {
            "groups": groups,
            "beats": beats,
            "source": source,
            "affine": per_channel,
            "per_channel": per_channel,
            "relu": task.relu,
            "tensor": task.output,
            "table": self.table_of.get((core, task.name), -1),
            "note": note,
        }
        if isinstance(task, QBinary):
            fields |= {"binary": task.op, "b_zx": task.zx, "b_zy": task.zy, "b_mx": task.mx, "b_my": task.my}
            fields |= {"b_shift": task.shift, "b_zero": task.zero, "b_lo": task.lo, "b_hi": task.hi}
        else:
            fields |= {"zero": task.zero, "lo": task.lo, "hi": task.hi}
        self.steps.setdefault(f"vector_{core}", []).append(VectorStep(**fields))

    def _elementwise(self, visit: Visit, visits: list[Visit]) -> None:
        """affine and binary: one vector unit, column block by column block."""
        task, core = visit.task, visit.cores[0]
        pitch = self._pitch(task.output)
        note = f"{task.name} rows {visit.row}+{visit.rows}"
        walk = Walk(counts=(1, 1, 1, pitch, visit.rows), strides=(0, 0, 0, 1, pitch))
        for slot, port in enumerate(("x", "y")[: len(task.inputs)]):
            source = self._reader(visit, slot, visits)
            source.fetch(visit.row, walk, note)
            self.net.move(self._port_of(source, "out"), [f"vector_{core}.{port}"], walk.beats, note=note)
        per_channel = isinstance(task, QAffine)
        if per_channel:
            self._read_params(core, task.name, 0, pitch, 4)
        self._vector(core, task, pitch, visit.rows, "x", per_channel, note)
        self.net.move(f"vector_{core}.out", list(self._sinks(task.output)), walk.beats, note=note)
        for memory in self._copies_of(task.output):
            memory.write(visit.row, walk, note)

    def _move(self, visit: Visit) -> None:
        """reshape, transpose, concat, slice on the gather node, element by element."""
        task = visit.task
        assert isinstance(task, QMove)
        lanes = self.machine.lanes
        pitch = self._pitch(task.output)
        for slot, walk in element_walks(task, self.tensors, lanes):
            source = self.memories[task.inputs[slot], 0]
            source.fetch(0, walk, task.name, elements=True)
            self.steps.setdefault("gather", []).append(
                GatherStep(walk=walk, row=self.tensors[task.output].cols, note=task.name)
            )
            self.net.move(self._port_of(source, "out"), ["gather.in"], walk.beats, note=task.name)
        self.net.move("gather.out", list(self._sinks(task.output)), visit.rows * pitch, note=task.name)
        walk = Walk(counts=(1, 1, 1, visit.rows, pitch), strides=(0, 0, 0, pitch, 1))
        for memory in self._copies_of(task.output):
            memory.write(0, walk, task.name)

    # ---- the whole ---------------------------------------------------------------------------------------------------

    def run(self) -> Lowered:
        visits = self._visits()
        self._make_memories(visits)
        self._prepare_weights(visits)
        for visit in visits:
            if visit.task.table:
                self._prepare_tables(visit)
        self._declare_ports()
        self._load_tables()
        self._prepare_params(visits)
        loaded: dict[str, int] = {}
        for visit in visits:
            for name in dict.fromkeys(visit.task.inputs):
                if name in self.graph.inputs or name in self.aliases:
                    memory = self._copies_of(name)[0]
                    whole = memory.slots == 1
                    row, rows = (0, memory.rows) if whole else (visit.row, visit.rows)
                    if loaded.get(name, -1) < row:
                        self._load_input(name, row, rows)
                        loaded[name] = row
            if isinstance(visit.task, QMatmul):
                self._matmul(visit, visits)
            elif isinstance(visit.task, QMove):
                self._move(visit)
            else:
                self._elementwise(visit, visits)
            self._finish_output(visit)
        return self._finish()

    def _finish_output(self, visit: Visit) -> None:
        """Store what this visit completed of a network output: its rows, or the whole after the last of them."""
        name = visit.task.output
        if name not in self.graph.outputs:
            return
        memory = self._copies_of(name)[0]
        if memory.slots > 1:
            self._store_output(name, visit.row, visit.rows)
        elif visit.row + visit.rows == memory.rows:
            self._store_output(name, 0, memory.rows)

    def _prepare_params(self, visits: list[Visit]) -> None:
        done: set[str] = set()
        for visit in visits:
            task = visit.task
            if task.name in done or not isinstance(task, QMatmul | QAffine):
                continue
            done.add(task.name)
            for core in visit.cores:
                blocks = self._blocks(visit, core)
                if blocks:
                    beats = self._channel_params(task, blocks)
                    self._load_params(core, task.name, beats, f"{task.name}: parameters of core {core}")

    def _declare_ports(self) -> None:
        """The type of every port that a flow may name."""
        lanes, rows, a = self.machine.lanes, self.machine.rows, PortType(self.machine.lanes, self.a_bits)
        types = self.net.types
        for name in ("x.out", "y.in", "gather.in", "gather.out"):
            types[name] = a
        types["p.out"] = PortType(lanes, 32)
        for memory in self.memories.values():
            types[f"{memory.memory.name}.in"] = types[f"{memory.memory.name}.out"] = a
        for core in range(self.machine.cores):
            weights = PortType(lanes, self.w_bits)
            for name in (f"w{core}.out", f"weights_{core}.in", f"weights_{core}.out", f"core_{core}.w"):
                types[name] = weights
            for name in (f"params_{core}.in", f"params_{core}.out", f"vector_{core}.params"):
                types[name] = PortType(lanes, 32)
            types[f"feed_{core}.in"] = a
            types[f"feed_{core}.out"] = types[f"core_{core}.a"] = PortType(rows, self.a_bits)
            types[f"core_{core}.out"] = types[f"vector_{core}.acc"] = PortType(lanes, self._acc_bits(core))
            for port in ("x", "y", "out"):
                types[f"vector_{core}.{port}"] = a

    def _acc_bits(self, core: int) -> int:
        names = {p.task for s in self.schedule.stages for p in s.tasks if core in p.cores}
        tasks = [self.tasks[name] for name in names]
        return max((t.acc_bits for t in tasks if isinstance(t, QMatmul)), default=self.a_bits)

    def _finish(self) -> Lowered:
        routers, links = self.net.finish()
        nodes = self._nodes() + list(routers)
        self._check_memory(nodes)
        check_names(nodes)
        arguments, images = self._arguments()
        program = Program(
            name=sanitise([self.graph.name])[self.graph.name],
            nodes=tuple(nodes),
            links=tuple(links),
            arguments=tuple(arguments),
        )
        return Lowered(program, images)

    def _check_memory(self, nodes: list[Node]) -> None:
        sizes = {n.name: n.depth * n.lanes * n.bits // 8 for n in nodes if isinstance(n, Buffer)}
        total, room = sum(sizes.values()), self.machine.onchip_bytes
        if total > room:
            largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
            raise InfeasibleError(
                Finding(
                    f"the buffers need {total} bytes, {total - room} more than there are",
                    where=", ".join(f"{name} ({sizes[name]} bytes)" for name in largest),
                    why="every tensor has a memory of its own; tensors of different stages do not share one yet",
                    hint=f"give the design at least {total} bytes on chip (--budget onchip_bytes={total})",
                )
            )

    def _nodes(self) -> list[Node]:
        machine = self.machine
        nodes: list[Node] = []
        for name, port in self.ports.items():
            words = self._port_words(port)
            kind = Store if name == "y" else Load
            nodes.append(
                kind(
                    name=name,
                    port_bits=machine.port_bits,
                    argument=name,
                    words=words,
                    steps=tuple(port.steps),
                )
            )
        for tensor in self.memories.values():
            tensor.memory.depth = tensor.pitch * (
                tensor.rows if tensor.slots == 1 else tensor.slots * tensor.tile_rows
            )
            nodes.append(tensor.memory.node())
        nodes.extend(memory.node() for _, memory in sorted(self.params.items()) if memory.reads)
        for _, store in sorted(self.weights.items()):
            store.memory.depth = store.kept + 2 * store.slot
            if store.memory.reads:
                nodes.append(store.memory.node())
        for core in range(machine.cores):
            nodes.extend(self._core_nodes(core))
        if "gather" in self.steps:
            steps = tuple(self.steps["gather"])
            nodes.append(Gather(name="gather", lanes=machine.lanes, bits=self.a_bits, steps=steps))
        return nodes

    def _core_nodes(self, core: int) -> list[Node]:
        machine, acc = self.machine, self._acc_bits(core)
        nodes: list[Node] = []
        if f"core_{core}" in self.steps:
            nodes.append(
                Feed(
                    name=f"feed_{core}",
                    rows=machine.rows,
                    lanes=machine.lanes,
                    bits=self.a_bits,
                    steps=tuple(self.steps[f"feed_{core}"]),
                )
            )
            nodes.append(
                Core(
                    name=f"core_{core}",
                    rows=machine.rows,
                    lanes=machine.lanes,
                    a_bits=self.a_bits,
                    w_bits=self.w_bits,
                    acc_bits=acc,
                    steps=tuple(self.steps[f"core_{core}"]),
                )
            )
        if f"vector_{core}" in self.steps:
            slots = self.tables.get(core, [])
            nodes.append(
                Vector(
                    name=f"vector_{core}",
                    lanes=machine.lanes,
                    rate=machine.rate,
                    acc_bits=acc,
                    bits=self.a_bits,
                    tables=tuple(table for table, _, _ in slots),
                    slopes=any(np.any(slope) for _, _, slope in slots),
                    steps=tuple(self.steps[f"vector_{core}"]),
                )
            )
        return nodes

    def _port_words(self, port: _Port) -> int:
        return port.words or len(port.image) // (self.machine.port_bits // 8)

    def _arguments(self) -> tuple[list[Argument], dict[str, bytes]]:
        arguments, images = [], {}
        for name, port in self.ports.items():
            role = {"x": "input", "y": "output"}.get(name, "constant")
            arguments.append(
                Argument(
                    name=name,
                    role=role,
                    port_bits=self.machine.port_bits,
                    words=self._port_words(port),
                    fields=tuple(port.regions),
                )
            )
            if role == "constant":
                images[name] = bytes(port.image)
        return arguments, images
