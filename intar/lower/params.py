"""Parameters of output channels and function tables: one memory for each core, filled before the first stage, or full from
the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from intar.ir.bits import signed_bits
from intar.ir.nodes.memories import Walk
from intar.ir.nodes.rows import LoadTable
from intar.ir.nodes.vector import SET_WORDS, UNIT_MULT, Rational, Table, VectorStep, set_places
from intar.ir.parameters import placed
from intar.ir.quantgraph import DirectSpec, QAffine, QConv, QMatmul, TableSpec
from intar.lower.buffers import Memory
from intar.lower.netlist import Flow, FlowLeg, Netlist
from intar.lower.ports import Ports
from intar.lower.residents import SET_ROOM, TABLE_ROOM, Need, loads, places
from intar.lower.site import Site
from intar.lower.visits import Visit

ROLES = ("base", "slope", "curve")
"""What an entry of a table may have, in the order in which it is loaded."""

GROUP_AT = 16
"""Bit of the shift's element at which the group begins."""

GROUP_BEATS = 4
"""Beats with the parameters of a column block: multiplier, shift, two halves of the bias."""

ROWS = -1
"""Stands for the rows node where a core is asked for."""


TABLES = -2
"""Stands for the tables of the rows node: they come through a memory of their own, beside its parameters."""

_NAMES = {ROWS: "params_rows", TABLES: "tables_rows"}


def _width(array: np.ndarray) -> int:
    """Two's complement bits that hold every element."""
    return signed_bits(int(array.min()), int(array.max()))


def table_arrays(spec: TableSpec, constants: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a table's entries have, by role, int64; zeros where they have none."""
    arrays = {role: constants[name].astype(np.int64) for role, name in spec.arrays.items()}
    return {role: arrays.get(role, np.zeros_like(arrays["base"])) for role in ROLES}


def _steepest(table: Table | TableSpec, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Slopes at the ends of curves."""
    last = (1 << (table.in_bits - table.log_entries)) - 1
    return arrays["slope"] + (arrays["curve"] * last >> 8)


def entry_bits(table: Table | TableSpec, arrays: Mapping[str, np.ndarray]) -> int:
    """Bits that hold each number of a table and its results: 8, 16 or 32."""
    bounds = np.array([table.lo, table.hi])
    widest = max(_width(array) for array in (*arrays.values(), _steepest(table, arrays), bounds))
    return next(bits for bits in (8, 16, 32) if widest <= bits)


@dataclass(frozen=True)
class Sets:
    """`count` blocks of `block` sets of parameters, from set `first` on: of a task's channels, or where they lie."""

    first: int
    block: int
    count: int


class Params:
    """What the ``params`` ports of the vector units and of the rows node read."""

    def __init__(self, site: Site, net: Netlist, ports: Ports):
        self.site, self.net, self.ports = site, net, ports
        self.memories: dict[int, Memory] = {}
        self.tables: dict[int, list[tuple[Table, dict[str, np.ndarray]]]] = {}
        self.rationals: dict[int, list[tuple[Rational, np.ndarray]]] = {}
        self.slots: dict[tuple[int, str], int] = {}
        self.evaluated: dict[tuple[int, str], int] = {}
        self.stages: dict[
            tuple[int, type, int], set[int]
        ] = {}  # that use a slot: core, kind, place among its kind
        self.loads: dict[int, dict[int, list[int]]] = {}  # slots that are loaded before a stage, by core
        self.bases: dict[tuple[int, str], int] = {}
        self.needs: dict[
            tuple[int, str], tuple[int, int]
        ] = {}  # of the first group, growth from group to group
        self.sets: dict[
            str, dict[tuple[int, int], Sets]
        ] = {}  # where they lie, of a task: by variant and first channel of a block
        self.channel_sets: dict[str, Sequence[Sets]] = {}  # the blocks of a task's channels
        self.kept: dict[
            tuple[int, int], tuple[str, int]
        ] = {}  # of a core's slot: label and beats of its numbers

    def load(self, cores: Sequence[int], label: str, beats: np.ndarray, note: str) -> None:
        """Append parameter beats (n, lanes) int32 for cores that take the same ones, and have them loaded, once for all; or
        there from the start."""
        memories = [self._memory(core) for core in cores]
        if self.site.machine.on_chip:
            for core, memory in zip(cores, memories, strict=True):
                self.bases[core, label] = memory.hold(beats)
                self.needs[core, label] = 0, 0
            return
        self.ports.port("p").constants(beats, 32, note)
        self.net.move("p.out", [f"{memory.name}.in" for memory in memories], len(beats), note=note)
        for core, memory in zip(cores, memories, strict=True):
            self.bases[core, label] = memory.depth
            walk = Walk(base=memory.depth, counts=(1, 1, 1, 1, len(beats)), strides=(0, 0, 0, 0, 1))
            memory.write(walk, 0, note=note)
            memory.depth += len(beats)
            self.needs[core, label] = memory.written, 0

    def load_channels(self, task: QMatmul, blocks: Mapping[int, Sequence[int]]) -> None:
        """Have the parameters of each core's column blocks loaded: of every core the first block, then the second, so that
        those of a task's first results are there first."""
        note = f"{task.name}: parameters"
        if self.site.machine.on_chip:
            for core, own in blocks.items():
                self.load([core], task.name, self.channels(task, own), note)
            return
        for core in blocks:
            memory = self._memory(core)
            self.bases[core, task.name] = memory.depth
            self.needs[core, task.name] = memory.written + 1, 1
        start = 0
        for end in sorted({len(own) for own in blocks.values()}):
            cores, rounds = [core for core, own in blocks.items() if len(own) >= end], end - start
            order = [blocks[core][index] for index in range(start, end) for core in cores]
            beats = self.channels(task, order)
            self.ports.port("p").constants(beats, 32, note)
            legs = tuple(FlowLeg("p.out", (f"{self._memory(core).name}.in",)) for core in cores)
            self.net.flow(Flow(legs, rounds, GROUP_BEATS, note=note))
            for core in cores:
                memory = self._memory(core)
                counts, strides = (rounds, 1, 1, 1, GROUP_BEATS), (GROUP_BEATS, 0, 0, 0, 1)
                memory.write(Walk(base=memory.depth, counts=counts, strides=strides), 0, note=note)
                memory.depth += rounds * GROUP_BEATS
            start = end

    def _memory(self, core: int) -> Memory:
        name = _NAMES.get(core, f"params_{core}")
        return self.memories.setdefault(core, Memory(name, self.site.machine.lanes, 32))

    def read(self, core: int, label: str, first: int, groups: int, beats: int) -> None:
        """Have `groups` groups of `beats` beats from group `first` on arrive at the core's vector unit."""
        memory = self.memories[core]
        base = self.bases[core, label] + first * beats
        need, step = self.needs[core, label]
        walk = Walk(base=base, counts=(1, 1, 1, groups, beats), strides=(0, 0, 0, beats, 1))
        if step:
            walk = Walk(base=base, counts=(groups, 1, 1, 1, beats), strides=(beats, 0, 0, 0, 1))
        memory.fetch(walk, need + first * step, step, note=label)
        target = "rows.tables" if core == TABLES else f"vector_{core}.params"
        self.net.move(f"{memory.name}.out", [target], groups * beats, note=label)

    def repeat(self, core: int, label: str, beats: int, times: int) -> None:
        """Have all `beats` beats of a label arrive at the rows node, `times` times over."""
        memory = self.memories[core]
        walk = Walk(base=self.bases[core, label], counts=(1, 1, 1, times, beats), strides=(0, 0, 0, 0, 1))
        memory.fetch(walk, self.needs[core, label][0], note=label)
        self.net.move(f"{memory.name}.out", ["rows.params"], walk.beats, note=label)

    def channels(self, task: QMatmul | QAffine, blocks: Sequence[int]) -> np.ndarray:
        """(4 * len(blocks), lanes): multiplier, shift and group, bias low, bias high of each column block; 1 where no
        channel is."""
        lanes = self.site.machine.lanes
        mult, shift, bias = self._values(task)
        beats = np.zeros((len(blocks), GROUP_BEATS, lanes), dtype=np.int64)
        beats[:, 0, :], beats[:, 1, :] = UNIT_MULT, 30
        for index, block in enumerate(blocks):
            part = slice(block * lanes, min((block + 1) * lanes, len(mult)))
            used = part.stop - part.start
            beats[index, 0, :used] = mult[part]
            beats[index, 1, :used] = shift[part]
            beats[index, 2, :used] = (bias[part] & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
            beats[index, 3, :used] = bias[part] >> 32
        return beats.reshape(-1, lanes)

    def load_rows(
        self, cores: Sequence[int], task: QConv, blocks: Sequence[Sets], more: Sequence[np.ndarray]
    ) -> None:
        """Have the parameters of a convolution's channels loaded, set by set: multiplier, shift, bias low and high.

        `blocks` are the channels as they are read; each of `more` is added to the biases of a variant of them all. Blocks
        with the same numbers (phases, variants) are there once, and so are the channels of a block if all have the same.
        """
        mult, shift, bias = self._values(task)
        lanes = self.site.machine.lanes
        self.channel_sets[task.name] = blocks
        places, end = self.sets.setdefault(task.name, {}), 0
        known: dict[tuple[int, int, bytes], int] = {}
        laid: list[tuple[int, Sets, np.ndarray]] = []
        for variant, added in enumerate(more):
            total = bias + added
            low = (total & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
            values = np.stack([mult, shift, low, total >> 32], axis=1)
            for block in blocks:
                mine = values[block.first : block.first + block.block * block.count]
                kept = block if (mine != mine[0]).any() else Sets(block.first, 1, 1)
                mine = mine[: kept.block * kept.count]
                key = kept.block, kept.count, mine.tobytes()
                if key not in known:
                    known[key], end = placed(end, kept.block, kept.count, lanes)
                    laid.append((known[key], kept, mine))
                places[variant, block.first] = replace(kept, first=known[key])
        per, size = set_places(lanes), self.row_beats
        beats = np.zeros((-(-end // per), size * lanes), dtype=np.int64)
        flat = beats[:, : SET_WORDS * per].reshape(-1, SET_WORDS)
        for first, block, mine in laid:
            pitch = -(-block.block // per) * per
            for number in range(block.count):
                at = first + number * pitch
                flat[at : at + block.block] = mine[number * block.block : (number + 1) * block.block]
        beats[:, : SET_WORDS * per] = flat.reshape(len(beats), -1)
        self.load(cores, task.name, beats.reshape(-1, lanes), f"{task.name}: parameters")

    def _part_of(self, task: QConv, variant: int, block: Sets) -> Sets:
        """Where the sets of channels lie that are a block which was loaded, or neighbouring ones of it."""
        (whole,) = (
            one
            for one in self.channel_sets[task.name]
            if one.first <= block.first < one.first + one.block * one.count
        )
        found = self.sets[task.name][variant, whole.first]
        if (found.block, found.count) != (whole.block, whole.count):  # all have the same numbers
            return found
        per, skipped = set_places(self.site.machine.lanes), block.first - whole.first
        if whole.count > 1:
            skipped = skipped // whole.block * (-(-whole.block // per) * per)
        return replace(block, first=found.first + skipped)

    def _values(self, task: QMatmul | QAffine | QConv) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Multipliers, shifts with the channel's group of the table above them, biases."""
        constants = self.site.constants
        mult, shift, bias = (constants[n].astype(np.int64) for n in (task.mult, task.shift, task.bias))
        if isinstance(task, QConv):
            filters = task.channel_filters
            mult, shift, bias = mult[filters], shift[filters], bias[filters]
        if task.table is not None:
            shift = shift | task.table.group_of(len(shift)) << GROUP_AT
        return mult, shift, bias

    @property
    def row_beats(self) -> int:
        """Beats that a set by row begins: several where it is longer than a beat."""
        return -(-SET_WORDS // self.site.machine.lanes)

    def read_rows(self, core: int, task: QConv, variant: int, block: Sets, again: int, note: str) -> Sets:
        """Have parameters of a variant of some channels arrive at the core's vector unit, each block `again` times; returns
        where they lie."""
        memory, size, per = self.memories[core], self.row_beats, set_places(self.site.machine.lanes)
        found = self._part_of(task, variant, block)
        again *= block.block * block.count // (found.block * found.count)
        beat, place = divmod(found.first, per)
        beats = -(-(place + found.block) // per) * size
        walk = Walk(
            base=self.bases[core, task.name] + beat * size,
            counts=(1, found.count, again, 1, beats),
            strides=(0, beats, 0, 0, 1),
        )
        memory.fetch(walk, self.needs[core, task.name][0], note=task.name)
        self.net.move(f"{memory.name}.out", [f"vector_{core}.params"], walk.beats, note=note)
        return found

    def add_table(self, visit: Visit, cores: Sequence[int]) -> None:
        """Give the function of a visit's task a slot on each of `cores`; equal functions share one."""
        spec = visit.task.table
        if spec is None:
            return
        if isinstance(spec, DirectSpec):
            words = self.site.constants[spec.arrays["coefficients"]].astype(np.int64)
            return self._add_rational(visit, spec, words, cores)
        arrays = table_arrays(spec, self.site.constants)
        fields = ("in_bits", "log_entries", "groups", "q", "lo", "hi")
        table = Table(**{field: getattr(spec, field) for field in fields})
        for core in cores:
            slots = self.tables.setdefault(core, [])
            for index, (known, others) in enumerate(slots):
                if known == table and all(np.array_equal(others[role], arrays[role]) for role in ROLES):
                    self.slots[core, visit.task.name] = index
                    break
            else:
                self.slots[core, visit.task.name] = len(slots)
                slots.append((table, arrays))
            place = self.slots[core, visit.task.name]
            # The rows node has all of its tables at once.
            self.stages.setdefault((core, Table, place), set()).add(0 if core == TABLES else visit.stage)

    def _add_rational(self, visit: Visit, spec: DirectSpec, words: np.ndarray, cores: Sequence[int]) -> None:
        """Likewise of a function that is evaluated."""
        fields = ("groups", "zero", "out_zero", "lift", "fraction", "lo", "hi")
        rational = Rational(**{field: getattr(spec, field) for field in fields})
        for core in cores:
            slots = self.rationals.setdefault(core, [])
            same = [
                n
                for n, (known, others) in enumerate(slots)
                if known == rational and np.array_equal(others, words)
            ]
            place = same[0] if same else len(slots)
            if not same:
                slots.append((rational, words))
            self.evaluated[core, visit.task.name] = place
            self.stages.setdefault((core, Rational, place), set()).add(visit.stage)

    def slot(self, core: int, task: str) -> int:
        """The slot of a task's function on a core, once all have one; -1 if it has none."""
        if (core, task) in self.evaluated:
            return len(self.tables.get(core, [])) + self.evaluated[core, task]
        return self.slots.get((core, task), -1)

    def entries(self, core: int) -> dict[str, Any]:
        """What the entries of a core's tables have, and how wide it is: fields of its vector unit."""
        tables = self.tables.get(core, [])
        common = self.site.common
        arrays = {role: [made[role] for _, made in tables] for role in ROLES}
        curves = bool(tables) and (common.curves or any(map(np.any, arrays["curve"])))
        slopes = bool(tables) and (common.slopes or curves or any(map(np.any, arrays["slope"])))
        arrays["slope"] += [_steepest(table, made) for table, made in tables]
        widths = {role: [_width(array) for array in arrays[role]] for role in ROLES}
        return {
            "slopes": slopes,
            "curves": curves,
            "base_bits": max(widths["base"], default=1),
            "slope_bits": max(widths["slope"], default=1),
            "curve_bits": max(widths["curve"], default=1),
            "entry_bits": max([common.entry_bits, *(entry_bits(*made) for made in tables)]),
        }

    def place_functions(self, stages: int) -> None:
        """Give all functions their places in the lanes' memories, and their numbers in the parameter memories."""
        for core in sorted({*self.tables, *self.rationals}):
            tables, rationals = self.tables.get(core, []), self.rationals.get(core, [])
            needs = [
                Need(slot.entries, frozenset(self.stages[core, Table, n]))
                for n, (slot, _) in enumerate(tables)
            ]
            sets = [
                Need(slot.groups, frozenset(self.stages[core, Rational, n]))
                for n, (slot, _) in enumerate(rationals)
            ]
            firsts, set_firsts = places(needs, TABLE_ROOM), places(sets, SET_ROOM)
            self.tables[core] = [
                (slot.model_copy(update={"first": first}), made)
                for first, (slot, made) in zip(firsts, tables, strict=True)
            ]
            self.rationals[core] = [
                (slot.model_copy(update={"first": first}), words)
                for first, (slot, words) in zip(set_firsts, rationals, strict=True)
            ]
            due = self.loads.setdefault(core, {})
            for stage, slots in loads(needs, firsts, stages).items():
                due.setdefault(stage, []).extend(slots)
            for stage, slots in loads(sets, set_firsts, stages).items():
                due.setdefault(stage, []).extend(len(tables) + slot for slot in slots)

        self._keep_functions()

    def enter(self, stage: int, steps: dict[str, list]) -> None:
        """Functions that a stage needs go through the parameter memory before anything else that the stage does."""
        for core, due in sorted(self.loads.items()):
            for slot in due.get(stage, []):
                label, beats = self.kept[core, slot]
                self.read(core, label, 0, 1, beats)
                note = f"load {label}"
                if core == TABLES:
                    steps.setdefault("tables", []).append(LoadTable(table=slot, note=note))
                else:
                    load = VectorStep(load=slot, affine=False, per_channel=False, note=note)
                    steps.setdefault(f"vector_{core}", []).append(load)

    def _keep_functions(self) -> None:
        """Have the numbers of all slots brought into the parameter memories; what several cores have comes once."""
        found: dict[bytes, tuple[np.ndarray, list[tuple[int, int]]]] = {}
        for core in sorted({*self.tables, *self.rationals}):
            slots = [slot for slot, _ in (*self.tables.get(core, []), *self.rationals.get(core, []))]
            for index, (slot, beats) in enumerate(zip(slots, self._beats(core), strict=True)):
                key = f"{slot.model_copy(update={'first': 0})!r}".encode() + beats.tobytes()
                found.setdefault(key, (beats, []))[1].append((core, index))
        for number, (beats, owners) in enumerate(found.values()):
            label, cores = f"function {number}", [core for core, _ in owners]
            names = ", ".join(_NAMES.get(core, f"core {core}") for core in cores)
            self.load(cores, label, beats, f"{label} of {names}")
            self.kept |= dict.fromkeys(owners, (label, len(beats)))

    def _beats(self, core: int) -> list[np.ndarray]:
        """Beats (n, lanes) of 32-bit numbers for each slot of a core: each part of a table, each set of a rational function
        begins a beat."""
        found = self.entries(core)
        roles = ROLES[: 1 + found["slopes"] + found["curves"]]
        made = []
        for _, arrays in self.tables.get(core, []):
            made.append(self._packed([arrays[role] for role in roles], found["entry_bits"]))
        return made + [self._packed(list(words), 32) for _, words in self.rationals.get(core, [])]

    def _packed(self, parts: Sequence[np.ndarray], bits: int) -> np.ndarray:
        lanes, entry = self.site.machine.lanes, np.dtype(f"<i{bits // 8}")
        beats = -(-len(parts[0]) * entry.itemsize // (4 * lanes))
        image = np.zeros((len(parts), beats * lanes * 4 // entry.itemsize), dtype=entry)
        for row, part in enumerate(parts):
            image[row, : len(part)] = part
        return image.view("<i4").reshape(-1, lanes).astype(np.int64)
