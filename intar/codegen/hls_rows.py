"""Rows of the ROM tables: steps as C++ initialisers, and the sizes that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intar.codegen import windows
from intar.codegen.digits import digits
from intar.codegen.hls_types import Row
from intar.errors import InternalError
from intar.ir.nodes.memories import Buffer, BufferStep, Image, ImageStep, Walk
from intar.ir.nodes.movers import GatherStep, RouterStep
from intar.ir.nodes.ports import LoadStep, StoreStep
from intar.ir.nodes.vector import Rational, Table
from intar.ir.program import Link
from intar.ir.segments import Runs, merged_in, steps_in

WIDEST_BEAT = 4096
"""Widest element of an inner stream, bits: what Vitis packs into one FIFO word without complaint."""
WORD_FIFO = 16
"""Depth of the FIFO between a memory port and its gearbox, words; the port itself buffers bursts."""
INT_MAX = 2**31 - 1

BURST_COLUMNS = "base, words, repeat, stride of a round, swap in odd rounds"
TABLE_COLUMNS = "base, words, rows, last row of the table, words from row to row"
WALK_COLUMNS = "base, wrap, counts (5), strides (5), ragged, last, beats of an iteration, of the last one"
IMAGE_COLUMNS = (
    "first tap, taps, tiles, passes, {tile, element}, {step}, {wrap}, column, step, track, pixel, step, "
    "phase, step, end, wrap, pad"
)
ROWS_COLUMNS = (
    "norm, rows, beats, cols, first, grow, cached, mult, shift, numerator, out_shift, centred, lift, zero, lo, hi, table, "
    "relu, tensor"
)
VECTOR_COLUMNS = (
    "groups, beats, source, reduce, pool, {affine, params, mult, shift, bias, zero, lo, hi}, "
    "{binary, zx, zy, mx, my, shift, zero, lo, hi}, table, load, rational, load, relu, tensor"
)


def turns(node: Buffer | Image, segment: int) -> list[tuple[int, int, int]]:
    """A segment's static order of a buffer as (turns, write iterations, read iterations), equal neighbours joined.

    Raises
    ------
    InternalError
        The order leaves out iterations, or reads before the `need` of a step is met.
    """
    order = merged_in(node, segment)
    check_order(node, segment, order)
    pairs: list[list[int]] = []
    for side, count in order:
        if side == "w" and pairs and pairs[-1][1] == 0:
            pairs[-1][0] += count
        elif side == "w":
            pairs.append([count, 0])
        elif not pairs:
            pairs.append([0, count])
        else:
            pairs[-1][1] += count
    joined: list[tuple[int, int, int]] = []
    for writes, reads in pairs:
        if joined and joined[-1][1:] == (writes, reads):
            joined[-1] = (joined[-1][0] + 1, writes, reads)
        else:
            joined.append((1, writes, reads))
    return joined


def check_order(node: Buffer | Image, segment: int, order: Runs) -> None:
    reads: tuple[BufferStep | ImageStep, ...] = node.reads
    needs = {
        "w": [need for step in steps_in(node.writes, segment) for need in step.needs()],
        "r": [need for step in steps_in(reads, segment) for need in step.needs()],
    }
    done = {"w": 0, "r": 0}
    for side, count in order:
        other = "r" if side == "w" else "w"
        due = needs[side][done[side] : done[side] + count]
        if len(due) != count or any(need > done[other] for need in due):
            raise InternalError(f"the static order of buffer {node.name!r} does not fit its steps")
        done[side] += count
    if any(done[side] != len(needs[side]) for side in done):
        raise InternalError(f"the static order of buffer {node.name!r} leaves out iterations")


def walk_row(step: BufferStep | GatherStep, lanes: int = 1, unit: int = 1) -> Row:
    """An address counts `unit` elements of beats of `lanes`."""
    walk = step.walk
    stride0 = walk.strides[0] % walk.wrap if walk.wrap else walk.strides[0]
    base, wrap, *strides = (
        digits(address * unit, lanes) for address in (walk.base, walk.wrap, stride0, *walk.strides[1:])
    )
    values = (
        base,
        wrap,
        *walk.counts,
        *strides,
        walk.ragged,
        walk.last,
        iteration_beats(walk, last=False),
        iteration_beats(walk, last=True),
    )
    return Row(braces(*values), step.note)


def image_row(node: Image, step: ImageStep) -> Row:
    fields = windows.step_fields(node, step)
    tap = fields.pop("tap")
    values = (tap, step.taps, step.tiles, step.passes, *fields.values(), step.pad)
    return Row(braces(*values), step.note)


def track_rows(node: Image) -> list[Row]:
    return [
        Row(braces(t.columns, braces(*(braces(*t.source(lane)) for lane in range(node.lanes)))))
        for t in windows.tracks(node)
    ]


def tap_rows(node: Image) -> list[Row]:
    return [Row(braces(*fields.values()), note) for fields, note in windows.taps(node)]


def mask_rows(node: Image) -> list[Row]:
    words = range(0, node.lanes, 64)
    return [
        Row(braces(braces(*(f"{mask >> shift & (1 << 64) - 1:#x}u" for shift in words))), note)
        for mask, note in windows.masks(node)
    ]


def iteration_beats(walk: Walk, last: bool) -> int:
    """Addresses of one iteration of the outermost loop."""
    _, c1, c2, c3, c4 = walk.counts
    if walk.ragged == 0:
        return c1 * c2 * c3 * (walk.last if last else c4)
    if walk.ragged > 0:
        return c1 * c2 * c3 // walk.counts[walk.ragged] * (walk.last + (walk.counts[walk.ragged] - 1) * c4)
    return c1 * c2 * c3 * c4


def plain_rounds(step: RouterStep) -> RouterStep | None:
    """The step without rounds that move nothing; None if nothing is left. The order of beats stays."""
    long_rounds = step.rounds // step.period
    short_rounds = step.rounds - long_rounds
    if step.beats_last and (step.beats or not short_rounds):
        return step
    rounds, beats = (long_rounds, step.beats_last) if step.beats_last else (short_rounds, step.beats)
    if rounds * beats == 0:
        return None
    return step.model_copy(update={"rounds": rounds, "beats": beats, "beats_last": beats, "period": 1})


@dataclass
class _Burst:
    step: LoadStep | StoreStep
    words: int
    repeat: int
    stride: int
    notes: list[str]


class Bursts:
    """Runs of words, joined to the one before where memory and order allow one longer burst in every round."""

    def __init__(self) -> None:
        self.list: list[_Burst] = []

    def add(self, step: LoadStep | StoreStep, words: int, repeat: int = 1, stride: int = 0) -> None:
        """Append the words of a step."""
        last = self.list[-1] if self.list else None
        alike = last and (last.step.segment, last.step.swap, last.repeat) == (step.segment, step.swap, repeat)
        if last and alike and repeat == 1 and last.step.base + last.words == step.base:
            last.words += words
            last.notes.append(step.note)
        else:
            self.list.append(_Burst(step, words, repeat, stride, [step.note]))

    @property
    def segments(self) -> list[int]:
        """The segment of each burst."""
        return [burst.step.segment for burst in self.list]

    def rows(self) -> list[Row]:
        """A row of `BURST_COLUMNS` for each burst."""
        return [
            Row(braces(b.step.base, b.words, b.repeat, b.stride, b.step.swap), notes(b.notes))
            for b in self.list
        ]


def notes(notes: Sequence[str]) -> str:
    known = list(dict.fromkeys(filter(None, notes)))
    return known[0] if len(known) == 1 else f"{known[0]} ... {known[-1]}" if known else ""


def word_count(beats: int, link: Link, port_bits: int) -> int:
    return -(-beats * link.lanes * link.bits // port_bits)


def check_memory_bits(name: str, bits: int) -> None:
    if bits not in (4, 8, 16, 32, 64):
        raise InternalError(f"node {name!r} moves elements of {bits} bits to or from memory")


def group_rows(rows: int, lanes: int, bits: int) -> int:
    """Rows of a block that one inner beat holds: the largest divisor of `rows` within :data:`WIDEST_BEAT` bits."""
    fitting = [n for n in range(1, rows + 1) if rows % n == 0 and n * lanes * bits <= WIDEST_BEAT]
    return fitting[-1] if fitting else 1


def native_bits(bits: int) -> int:
    return next(width for width in (8, 16, 32, 64) if bits <= width)


def storage(depth: int, uram: bool) -> str:
    """Kind of memory for so many beats: small ones in LUTs, deep ones in UltraRAM where the part has it."""
    if depth <= 64:
        return "lutram"
    return "uram" if uram and depth >= 2048 else "bram"


def braces(*values: object) -> str:
    return "{" + ", ".join(map(str, values)) + "}"


def boolean(value: object) -> str:
    return "true" if value else "false"


def int64(value: int) -> str:
    return str(value) if -INT_MAX <= value <= INT_MAX else f"INT64_C({value})"


def table_row(table: Table) -> str:
    return braces(table.first, table.in_bits, table.log_entries, table.entries, table.q, table.lo, table.hi)


def rational_row(slot: Rational) -> str:
    return braces(
        slot.first, slot.groups, slot.zero, slot.lift, slot.fraction, slot.out_zero, slot.lo, slot.hi
    )
