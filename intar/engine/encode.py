"""Flattens a program into the int64 array that the C++ side reads, and checks what memory safety rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from intar.errors import InternalError
from intar.ir import exp2, norm
from intar.ir.bits import INDEX_BITS
from intar.ir.nodes.arrays import Core, Feed
from intar.ir.nodes.memories import Buffer, BufferStep, Image, ImageStep, Walk
from intar.ir.nodes.movers import Argmax, Gather, Router
from intar.ir.nodes.ports import Load, Store
from intar.ir.nodes.rows import Rows, RowsStep
from intar.ir.nodes.step import Step
from intar.ir.nodes.vector import UNIT_MULT, Lookups, Vector, VectorStep, power_of_two
from intar.ir.program import Link, Node, Program
from intar.ir.rational import FRACTIONS, reciprocals
from intar.ir.segments import StepT, iterations, merged_in, steps_in, turns_in

_KINDS = {
    "load": 0,
    "store": 1,
    "buffer": 2,
    "feed": 3,
    "core": 4,
    "vector": 5,
    "gather": 6,
    "router": 7,
    "image": 8,
    "rows": 9,
    "argmax": 10,
}


def shifts_only(step: VectorStep) -> bool:
    """The step's own multipliers are powers of two; those that come through ``params`` are checked when they come."""
    if step.affine and not step.per_channel and step.mult != UNIT_MULT:
        return False
    if step.binary == "mul":
        return step.b_mx == UNIT_MULT
    return step.binary == "none" or (power_of_two(step.b_mx) and power_of_two(abs(step.b_my)))


_BINARY = {"none": 0, "add": 1, "mul": 2}
ROW_OPS = ("softmax", "norm", "unit", "peak")
"""Operations of a rows node in the order of their numbers."""
MERGED_SIDES = {"w": 0, "r": 1}


@dataclass(frozen=True)
class UnitInfo:
    """One unit of the engine: a node, or one side of a buffer (`port` ``"in"`` or ``"out"``).

    `notes` are those of the steps that the play has, of the unit's list from step `first` on.
    """

    node: str
    port: str
    notes: tuple[str, ...]
    first: int = 0

    @property
    def name(self) -> str:
        return f"{self.node}.{self.port}" if self.port else self.node


@dataclass
class Encoded:
    """The array, and what the units and the recorded orders in the results belong to."""

    words: list[int] = field(default_factory=list)
    units: list[UnitInfo] = field(default_factory=list)
    iterations: list[tuple[str, int]] = field(default_factory=list)

    def array(self) -> np.ndarray:
        return np.array(self.words, dtype=np.int64)


def _rows_in_range(step: RowsStep) -> bool:
    """The bounds of docs/numerics.md."""
    if step.op == "norm":
        lengths = step.cols <= norm.MAX_COLS and 0 <= step.lift < norm.BITS
        factors = 1 <= step.shift <= norm.MAX_SHIFT and 1 <= step.epsilon < 1 << norm.EPSILON_BITS
        return lengths and factors and norm.OFFSET_FRACTION <= step.out_shift <= norm.MAX_OUT_SHIFT
    if step.op == "peak":
        return step.cols <= 1 << exp2.MAX_LOG_COLS
    low, high = 1 << (exp2.NUMERATOR_BITS - 1), 1 << exp2.NUMERATOR_BITS
    if step.op == "unit":
        factors = 1 <= step.out_shift <= 46 - exp2.ONE_BITS
        return step.cols <= 1 << exp2.MAX_LOG_COLS and factors and low <= step.numerator < high
    factors = 0 < step.mult < 1 << 25 and 1 <= step.shift <= 46 and 1 <= step.out_shift <= 46
    return step.cols <= 1 << exp2.MAX_LOG_COLS and factors and low <= step.numerator < high


class _Encoder:
    def __init__(
        self,
        program: Program,
        segment: int,
        round: int,
        position: int,
        merged: bool,
        policy: int,
        turns: bool,
        align: int,
    ):
        self.program = program
        self.segment = segment
        self.round = round
        self.numbers = 0 if align else round  # whose steps' numbers: they change no cycle
        self.position = position
        self.merged = merged
        self.policy = policy
        self.align = align
        self.take_turns = turns or merged
        self.problems: list[str] = []
        self.result = Encoded()
        self.ports: dict[tuple[str, str], int] = {}
        self.arguments = {argument.name: i for i, argument in enumerate(program.arguments)}
        for index, link in enumerate(program.links):
            for end in (link.src, link.dst):
                node, _, port = end.partition(".")
                if (node, port) in self.ports:
                    self.problems.append(f"port {end} has two links")
                self.ports[node, port] = index
        self.used: set[tuple[str, str]] = set()

    def put(self, *values: int) -> None:
        self.result.words.extend(int(value) for value in values)

    def expect(self, condition: bool, where: str, what: str) -> None:
        if not condition:
            self.problems.append(f"{where}: {what}")

    def played(self, steps: tuple[StepT, ...]) -> tuple[StepT, ...]:
        """The steps of the play that is encoded."""
        return steps_in(steps, self.segment, self.numbers)

    def port(self, node: Node, name: str, needed: bool, lanes: int, bits: int = 0) -> Link | None:
        """Writes the link index of a port (-1: none) and checks its shape."""
        index = self.ports.get((node.name, name), -1)
        self.used.add((node.name, name))
        self.put(index)
        if index < 0:
            self.expect(not needed, f"{node.name}.{name}", "a step uses this port, but it has no link")
            return None
        link = self.program.links[index]
        self.expect(
            link.lanes == lanes, link.name, f"has {link.lanes} lanes, {node.name}.{name} needs {lanes}"
        )
        if bits:
            self.expect(
                link.bits <= bits, link.name, f"has {link.bits} bits, {node.name}.{name} holds {bits}"
            )
        return link

    def unit(self, node: Node, port: str, played: Sequence[Step], among: Sequence[Step]) -> None:
        """A unit that plays these steps of its list."""
        first = next((index for index, step in enumerate(among) if played and step is played[0]), 0)
        self.result.units.append(UnitInfo(node.name, port, tuple(step.note for step in played), first))

    def encode(self) -> Encoded:
        self.put(len(self.program.links))
        for link in self.program.links:
            self.put(link.lanes, link.bits, link.depth)
        self.put(len(self.program.nodes))
        self.place_units()
        for node in self.program.nodes:
            self.put(_KINDS[node.kind])
            getattr(self, f"encode_{node.kind}")(node)
        for node_name, port in self.ports:
            if (node_name, port) not in self.used:
                self.problems.append(f"{node_name}.{port}: there is no such port")
        if self.problems:
            raise InternalError(f"malformed program {self.program.name!r}: " + "; ".join(self.problems))
        return self.result

    def place_units(self) -> None:
        """Unit numbers must be known before loads refer to stores."""
        self.first_unit: dict[str, int] = {}
        number = 0
        for node in self.program.nodes:
            self.first_unit[node.name] = number
            number += 2 if isinstance(node, Buffer | Image) and not self.merged else 1

    # ------------------------------------------------------------ memory nodes

    def ratio(self, node: Load | Store, link: Link | None) -> int:
        """Beats in a word, or minus the words in a beat."""
        beat = link.lanes * link.bits if link else node.port_bits
        if node.port_bits % beat == 0:
            return node.port_bits // beat
        if beat % node.port_bits == 0:
            return -(beat // node.port_bits)
        self.problems.append(
            f"{node.name}: beats of {beat} bits and words of {node.port_bits} bits don't divide"
        )
        return 1

    def place(self, base: int) -> int:
        """The first word of a step as the run needs it."""
        return base % self.align if self.align else base

    @staticmethod
    def words_of(beats: int, ratio: int) -> int:
        return -(-beats // ratio) if ratio > 0 else beats * -ratio

    def memory_port(self, node: Load | Store, port: str, runs: Sequence[tuple[int, int]]) -> int:
        """What load and store have in common; `runs` are first word and beats of each step."""
        link = self.program.links[self.ports[node.name, port]] if (node.name, port) in self.ports else None
        self.port(node, port, bool(node.steps), link.lanes if link else 0)
        argument = self.arguments.get(node.argument, -1)
        self.expect(argument >= 0, node.name, f"there is no argument {node.argument!r}")
        self.expect(node.port_bits % 8 == 0, node.name, f"words of {node.port_bits} bits are not whole bytes")
        ratio = self.ratio(node, link)
        if argument >= 0:
            held = self.program.arguments[argument]
            limit = held.words
            self.expect(held.port_bits == node.port_bits, node.name, f"port width is not that of {held.name}")
            for index, (base, beats) in enumerate(runs):
                end = base + self.words_of(beats, ratio)
                inside = base >= 0 and end <= limit
                self.expect(
                    inside, f"{node.name} step {index}", f"words {base}..{end} of {limit} of {node.argument}"
                )
        self.put(argument, node.port_bits // 8, ratio)
        return ratio

    def encode_load(self, node: Load) -> None:
        steps = self.played(node.steps)
        bases = [node.base(step, self.round) for step in steps]
        ratio = self.memory_port(node, "out", [(b, s.beats) for b, s in zip(bases, steps, strict=True)])
        self.port(node, "ids", node.lookup, 1, INDEX_BITS)
        self.expect(
            not node.lookup or all(step.table for step in node.steps),
            node.name,
            "looks up in some steps only",
        )
        if node.after:
            found = any(isinstance(other, Store) and other.name == node.after for other in self.program.nodes)
            self.expect(found, node.name, f"waits for {node.after!r}, which is not a store")
        else:
            self.expect(all(step.need <= 0 for step in node.steps), node.name, "needs commands of no store")
        self.put(self.first_unit.get(node.after, -1))
        self.put(len(steps))
        before = self.turns(node)[0]
        for index, step in enumerate(steps):
            need = max(step.need, before[index]) if before else step.need
            words = self.words_of(step.beats, ratio)
            end = bases[index] + step.table * step.pitch
            limit = next((a.words for a in self.program.arguments if a.name == node.argument), 0)
            self.expect(end <= limit, f"{node.name} step {index}", f"a table up to word {end} of {limit}")
            place = self.place(bases[index])
            self.put(place, step.beats, step.repeat, need, words, step.table, step.pitch)
        self.unit(node, "", steps, node.steps)

    def turns(self, node: Load | Store) -> tuple[list[int], int]:
        """Commands of the other side that come before each command of a port whose sides take turns, and that side's unit.

        Empty and -1 in runs with both sides at once, and for ports that share nothing.
        """
        stores = [
            n for n in self.program.nodes if isinstance(n, Store) and n.turns and n.argument == node.argument
        ]
        mates = [n for n in self.program.nodes if isinstance(n, Load) and n.argument == node.argument]
        if not self.take_turns or not stores or not mates:
            return [], -1
        done: dict[str, int] = {"w": 0, "r": 0}
        before: dict[str, list[int]] = {"w": [], "r": []}
        for side, commands in turns_in(stores[0], mates[0], self.segment):
            before[side] += [done["r" if side == "w" else "w"]] * commands
            done[side] += commands
        counts = (len(self.played(stores[0].steps)), len(self.played(mates[0].steps)))
        covered = (done["w"], done["r"]) == counts and mates[0].after == stores[0].name
        self.expect(covered, stores[0].name, f"the turns have {done} commands of {counts}")
        if not covered:
            return [], -1
        if isinstance(node, Load):
            return before["r"], self.first_unit[stores[0].name]
        return before["w"], self.first_unit[mates[0].name]

    def encode_store(self, node: Store) -> None:
        steps = self.played(node.steps)
        bases = [node.base(step, self.round, self.position) for step in steps]
        ratio = self.memory_port(node, "in", [(b, s.beats) for b, s in zip(bases, steps, strict=True)])
        before, mate = self.turns(node)
        self.put(mate, len(steps))
        for index, step in enumerate(steps):
            words = self.words_of(step.beats, ratio)
            self.put(self.place(bases[index]), step.beats, words, before[index] if before else 0)
        self.unit(node, "", steps, node.steps)

    # ------------------------------------------------------------ buffers

    def walk(self, where: str, walk: Walk) -> None:
        self.expect(min(walk.counts) > 0, where, f"empty loops {walk.counts}")
        self.expect(-1 <= walk.ragged <= 3 and (walk.ragged < 0 or walk.last > 0), where, "bad ragged loop")
        self.put(walk.base, walk.wrap, *walk.counts, *walk.strides, walk.ragged, walk.last)

    def buffer_steps(self, node: Buffer | Image, side: str, steps: tuple[BufferStep, ...]) -> None:
        steps = self.played(steps)
        self.put(len(steps))
        for index, step in enumerate(steps):
            self.walk(f"{node.name} {side} step {index}", step.walk)
            self.put(step.need, step.need_step, step.elements)

    def encode_buffer(self, node: Buffer) -> None:
        self.port(node, "in", bool(node.writes), node.lanes, node.bits)
        self.port(node, "out", bool(node.reads), node.lanes, 0)
        self.put(node.depth, node.lanes)
        self.buffer_steps(node, "write", node.writes)
        self.buffer_steps(node, "read", node.reads)
        self.sides(node)

    def encode_image(self, node: Image) -> None:
        self.port(node, "in", bool(node.writes), node.lanes, node.bits)
        self.port(node, "out", bool(node.reads), node.lanes, 0)
        self.put(node.depth, node.lanes)
        self.buffer_steps(node, "write", node.writes)
        reads = self.played(node.reads)
        self.put(len(reads))
        for index, step in enumerate(reads):
            inside = step.tap >= 0 and step.tap + step.taps <= len(node.taps)
            self.expect(inside, f"{node.name} read step {index}", "taps out of range")
            self.expect(step.first >= 0 and step.stride > 0, f"{node.name} read step {index}", "bad tiles")
            self.put(step.first, step.stride, step.tiles, step.passes, step.rows, step.columns)
            self.put(step.tap, step.taps, step.pad)
            self.put(step.need, step.need_step, step.need_limit)
        self.sides(node)
        self.put(node.pitch, len(node.taps))
        for tap in node.taps:
            self.put(tap.offset, tap.dy, tap.dx, tap.height, tap.width)

    def sides(self, node: Buffer | Image) -> None:
        """The merged order, and the units of both sides."""
        merged = merged_in(node, self.segment)
        self.put(2 * len(merged))
        for side, count in merged:
            self.put(MERGED_SIDES[side], count)
        both: tuple[BufferStep | ImageStep, ...] = node.reads
        writes, reads = self.played(node.writes), self.played(both)
        total = iterations(writes) + iterations(reads)
        self.result.iterations.append((node.name, total))
        if self.merged:
            if self.policy == 0:
                planned = sum(count for _, count in merged)
                self.expect(
                    planned == total, node.name, f"the merged order has {planned} of {total} iterations"
                )
            self.unit(node, "", (*writes, *reads), ())
        else:
            self.unit(node, "out", reads, node.reads)
            self.unit(node, "in", writes, node.writes)

    # ------------------------------------------------------------ compute nodes

    def encode_feed(self, node: Feed) -> None:
        self.port(node, "in", bool(node.steps), node.lanes, node.bits)
        self.port(node, "out", bool(node.steps), node.rows * node.depth)
        self.expect(node.lanes % node.depth == 0, node.name, "depth does not divide lanes")
        steps = self.played(node.steps)
        self.put(node.rows, node.lanes, node.depth, node.by_channel, len(steps))
        for index, step in enumerate(steps):
            where = f"{node.name} step {index}"
            self.expect(
                0 < step.rows <= node.rows and 0 < step.rows_last <= node.rows, where, "rows out of range"
            )
            self.expect(
                0 < step.k_last <= node.channels and step.replay > 0, where, "channels or replay out of range"
            )
            ends = step.k_last if step.blocks == 1 else node.channels
            self.expect(step.k_first < ends, where, "no channel in the first block")
            self.put(step.tiles, step.m_tiles, step.rows, step.rows_last, step.blocks)
            self.put(step.k_first, step.k_last, step.replay)
        self.unit(node, "", steps, node.steps)

    def encode_core(self, node: Core) -> None:
        self.port(node, "a", bool(node.steps), node.rows * node.depth, node.a_bits)
        self.port(node, "w", bool(node.steps), node.lanes * node.depth, node.w_bits)
        self.port(node, "out", bool(node.steps), node.lanes)
        self.expect(node.a_bits <= 32 and node.w_bits <= 32 and 1 <= node.acc_bits <= 62, node.name, "widths")
        steps = self.played(node.steps)
        widths = zip(node.operand_bits, (node.a_bits, node.w_bits), strict=True)
        limits = [1 << used - 1 if used < bits else 0 for used, bits in widths]
        self.put(node.rows, node.lanes, node.depth, node.acc_bits, *limits, node.contexts, len(steps))
        for index, step in enumerate(steps):
            where = f"{node.name} step {index}"
            self.expect(
                0 < step.rows <= node.rows and 0 < step.rows_last <= node.rows, where, "rows out of range"
            )
            self.expect(
                0 < step.contexts <= node.contexts and step.visits > 0,
                where,
                "contexts or visits out of range",
            )
            if step.visits == 1:
                self.expect(step.k == step.k_last, where, "one visit, but k_last is not k")
            self.put(step.tiles, step.m_tiles, step.visits, step.contexts)
            self.put(step.k, step.k_last, step.rows, step.rows_last)
        self.unit(node, "", steps, node.steps)

    def encode_vector(self, node: Vector) -> None:
        work = [step for step in node.steps if step.load < 0]
        self.port(node, "acc", any(step.source == "acc" for step in work), node.lanes)
        self.port(node, "x", any(step.source == "x" for step in work), node.lanes)
        self.port(node, "y", any(step.binary != "none" for step in work), node.lanes)
        self.port(node, "params", any(s.load >= 0 or s.per_channel for s in node.steps), node.lanes, 32)
        self.port(node, "out", bool(work), node.lanes)
        self.expect(
            node.rate > 0 and node.lanes % max(node.rate, 1) == 0, node.name, "rate does not divide lanes"
        )
        for index, step in enumerate(node.steps):
            self.expect(
                not node.shift_only or step.load >= 0 or shifts_only(step),
                f"{node.name} step {index}",
                "a multiplier of a unit without multipliers is no power of two",
            )
        # Merged, the affine operation takes the place of the binary one in the pipeline.
        self.put(node.lanes, node.rate, any(step.affine for step in work) and not node.merged)
        self.put(node.value_bits, node.shift_only)
        self.put(any(step.binary != "none" for step in work))
        self.tables(node)
        self.rationals(node)
        self.put(any(step.reduce > 1 for step in work), any(step.pool > 1 for step in work))
        steps = self.played(node.steps)
        self.put(len(steps))
        for index, step in enumerate(steps):
            self.vector_step(node, f"{node.name} step {index}", step)
        self.unit(node, "", steps, node.steps)

    def rationals(self, node: Vector) -> None:
        self.put(node.lanes, node.rational_groups, len(node.rationals))
        for slot in node.rationals:
            self.expect(slot.fraction in FRACTIONS, node.name, f"{slot.fraction} bits after the point")
            self.put(
                slot.first, slot.groups, slot.zero, slot.lift, slot.fraction, slot.out_zero, slot.lo, slot.hi
            )
        pieces = reciprocals() if node.rationals else ()
        self.put(len(pieces), *(number for piece in pieces for number in piece))

    def tables(self, node: Lookups) -> None:
        self.expect(node.slopes or not node.curves, node.name, "curves without slopes")
        fits = not node.tables or node.widest_number <= node.entry_bits
        self.expect(fits, node.name, f"tables of {node.widest_number} bits are loaded with {node.entry_bits}")
        self.put(node.lanes, node.parts)
        self.put(node.base_bits, node.slope_bits, node.curve_bits, node.entry_bits, node.table_entries)
        self.put(len(node.tables))
        for table in node.tables:
            self.expect(4 <= table.log_entries <= table.in_bits <= 32, node.name, "bad table geometry")
            self.put(table.first, table.in_bits, table.log_entries, table.groups, table.q, table.lo, table.hi)

    def vector_step(self, node: Vector, where: str, step: VectorStep) -> None:
        count = len(node.slots)
        self.expect(-1 <= step.table < count and -1 <= step.load < count, where, "there is no such slot")
        if step.load < 0 and step.table >= 0 and node.slots[step.table].groups > 1:
            self.expect(step.per_channel, where, "a function with groups needs parameters that say which")
        self.expect(step.load >= 0 or (step.groups > 0 and step.beats > 0), where, "no groups or beats")
        if step.load < 0 and step.binary == "add":
            self.expect(1 <= step.b_shift <= 62, where, f"shift {step.b_shift} of the sum")
        self.expect(step.reduce == 1 or step.source == "x", where, "the maximum of beats is taken of x only")
        self.put(step.groups, step.beats, step.source == "x", step.affine, step.per_channel and step.load < 0)
        whole = step.load >= 0 or step.groups * step.beats % step.pool == 0
        self.expect(whole, where, f"{step.groups * step.beats} results don't make maxima of {step.pool}")
        self.put(step.params == "row", step.reduce, step.pool)
        late = step.affine and step.per_channel and step.params == "lane" and step.binary == "mul"
        self.expect(late or not step.late, where, "a late bias needs parameters of columns and a product")
        self.put(
            step.mult, step.shift, step.bias, step.late, step.zero, step.lo, step.hi, _BINARY[step.binary]
        )
        self.put(step.b_zx, step.b_zy, step.b_mx, step.b_my, step.b_shift, step.b_zero, step.b_lo, step.b_hi)
        (table, rational), (load, load_rational) = node.places(step.table), node.places(step.load)
        self.put(table, load, rational, load_rational)

    def encode_gather(self, node: Gather) -> None:
        self.port(node, "in", bool(node.steps), node.lanes, node.bits)
        self.port(node, "out", bool(node.steps), node.lanes)
        steps = self.played(node.steps)
        self.put(node.lanes, len(steps))
        for index, step in enumerate(steps):
            self.walk(f"{node.name} step {index}", step.walk)
            self.put(step.row)
        self.unit(node, "", steps, node.steps)

    def encode_argmax(self, node: Argmax) -> None:
        self.port(node, "in", bool(node.steps), node.lanes, node.bits)
        self.port(node, "out", bool(node.steps), 1, INDEX_BITS)
        steps = self.played(node.steps)
        self.put(node.lanes, len(steps))
        for step in steps:
            self.put(step.rows, *node.beats(step))
        self.unit(node, "", steps, node.steps)

    def encode_rows(self, node: Rows) -> None:
        self.port(node, "in", bool(node.steps), node.lanes, node.bits)
        self.port(node, "params", node.norm, node.lanes, 32)
        self.port(node, "tables", bool(node.loads), node.lanes, 32)
        self.port(node, "out", bool(node.steps), node.lanes)
        self.expect(
            node.rate > 0 and node.lanes % max(node.rate, 1) == 0, node.name, "rate does not divide lanes"
        )
        self.expect(node.held & (node.held - 1) == 0, node.name, "rows held are no power of two")
        self.tables(node)
        loads = self.played(node.loads)
        self.expect(all(s.table < len(node.tables) for s in loads), node.name, "there is no such table slot")
        self.put(len(loads), *(step.table for step in loads))
        self.put(node.lanes, node.rate, node.held, node.divisions, node.norm, 2 * len(exp2.table()))
        for entry in exp2.table():
            self.put(*entry)
        steps = self.played(node.steps)
        self.put(len(steps))
        for index, step in enumerate(steps):
            where = f"{node.name} step {index}"
            beats = step.beats(node.lanes)
            self.expect(beats <= node.depth, where, f"rows of {beats} beats in a memory of {node.depth}")
            self.expect(_rows_in_range(step), where, "a factor or a length is out of range")
            self.expect(-1 <= step.table < len(node.tables), where, "there is no such table slot")
            filled = step.table < 0 or any(load.table == step.table for load in loads)
            self.expect(filled, where, f"nothing fills table {step.table}")
            grouped = step.table >= 0 and node.tables[step.table].groups > 1
            self.expect(
                step.op == "norm" or not grouped, where, "a table with groups needs columns that say which"
            )
            self.expect(step.cached < step.first, where, "no element of a row may count")
            plain = step.table < 0 and not (step.visible or step.grow or step.cached)
            alone = step.op in ("softmax", "norm") or plain
            self.expect(alone, where, "a peak, or a row over it, has neither table nor mask")
            self.put(ROW_OPS.index(step.op), step.rows, beats, step.cols, step.first, step.grow)
            self.put(min(self.position, step.cached), step.cached)
            self.put(step.mult, step.shift, step.numerator, step.out_shift)
            self.put(step.centred, step.lift, step.epsilon, step.zero, step.lo, step.hi, step.table)
        self.unit(node, "", steps, node.steps)

    def encode_router(self, node: Router) -> None:
        sources = {leg.src for step in node.steps for leg in step.legs}
        targets = {dst for step in node.steps for leg in step.legs for dst in leg.dsts}
        self.expect(all(0 <= i < node.inputs for i in sources), node.name, "a leg's input is out of range")
        self.expect(all(0 <= i < node.outputs for i in targets), node.name, "a leg's output is out of range")
        self.put(node.inputs)
        for index in range(node.inputs):
            self.port(node, f"in{index}", index in sources, node.lanes, node.bits)
        self.put(node.outputs)
        for index in range(node.outputs):
            self.port(node, f"out{index}", index in targets, node.lanes, node.leaving_bits)
        steps = self.played(node.steps)
        self.put(len(steps))
        for index, step in enumerate(steps):
            sound = bool(step.legs) and step.period > 0 and step.beats >= 0 and step.beats_last >= 0
            self.expect(sound, f"{node.name} step {index}", "no legs, or bad counts")
            self.put(step.rounds, step.beats, step.period, step.beats_last, len(step.legs))
            for leg in step.legs:
                self.put(leg.src, len(leg.dsts), *leg.dsts)
        self.unit(node, "", steps, node.steps)


def encode(
    program: Program,
    segment: int = 0,
    round: int = 0,
    *,
    position: int = 0,
    merged: bool = False,
    policy: int = 0,
    turns: bool = False,
    align: int = 0,
) -> Encoded:
    """Flatten one play of `program`.

    Parameters
    ----------
    segment, round : which play.
    position : of the call, in the text that its states hold.
    merged : each buffer is one unit with both sides instead of two.
    policy : 0: merged buffers follow `Buffer.merged`, which must then cover every iteration.
    turns : stores and loads of one argument take turns (`Store.turns`), as they do in merged runs.
    align : for runs without values: where in a block of so many words a step begins is all that its base says. A multiple
        of every burst length, at whose multiples the ports cut their commands: nothing else depends on addresses. All
        rounds have the numbers of the first one then.

    Raises
    ------
    InternalError : ports without links, wrong widths, addresses outside of an argument: all of them at once.
    """
    return _Encoder(program, segment, round, position, merged, policy, turns, align).encode()
