"""Step programs of the RTL nodes: the bit layout of each node's steps, and their values.

A layout is a table of ``(field, bits)``, lowest bits first; the modules in `rtl/` read the same offsets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from intar.codegen import windows
from intar.codegen.digits import address_lanes, address_unit, digits
from intar.codegen.shifts import shift_code
from intar.errors import InternalError
from intar.ir.nodes.arrays import Core, Feed
from intar.ir.nodes.memories import Buffer, BufferStep, Image, Walk
from intar.ir.nodes.movers import Argmax, Gather, Router
from intar.ir.nodes.ports import Load, Store
from intar.ir.nodes.rows import Rows
from intar.ir.nodes.step import Step
from intar.ir.nodes.vector import UNIT_MULT, Rational, Table, Vector, VectorStep
from intar.ir.rational import FRACTIONS
from intar.ir.segments import first_rounds

Layout = tuple[tuple[str, int], ...]


def _fields(bits: int, names: str) -> Layout:
    return tuple((name, bits) for name in names.split())


WALK = (
    *_fields(32, "base wrap end0 end1 end2 end3 end4 stride0 stride1 stride2 stride3 stride4 end_ragged"),
    ("ragged", 8),
)
BUFFER = (*WALK, ("need", 32), ("need_step", 32))
IMAGE = _fields(
    32,
    "tap taps_end tiles_end passes_end tile element tile_step element_step tile_wrap element_wrap column column_step track "
    "pixel pixel_step phase phase_step phase_end phase_wrap need need_step need_limit pad",
)
TRACK = _fields(32, "columns skip rows")
TAP = (("beat", 32), ("element", 16), ("low", 32), ("high", 32), ("column", 16))
LOAD = _fields(32, "base words beats_end repeat_end need swap")
LOOKUP = (*LOAD, *_fields(32, "row_last pitch"))
STORE = _fields(32, "base words beats_end swap")
FEED = _fields(32, "tiles_end m_tiles_end blocks_end rows_end rows_last_end k_last_end replay_end k_first")
CORE = _fields(32, "tiles_end m_tiles_end visits_end contexts_end k_end k_last_end rows_end rows_last_end")
ARGMAX = _fields(32, "rows_end beats_end last")
GATHER = (*WALK, ("row_end", 32))
VALUE_BITS = 18
"""Bits of a value between two operations of a vector unit, and of zero points and clamp bounds."""
FUNCTION = (
    ("table_use", 1),
    ("table_half", 17),
    ("table_low_bits", 4),
    ("table_first", 16),
    ("table_log", 4),
    ("table_q", 5),
    *_fields(VALUE_BITS, "table_lo table_hi"),
)
SLOT_LOAD = (("load_first", 16), ("load_end", 16), ("table_q", 5), *_fields(VALUE_BITS, "table_lo table_hi"))
VECTOR = (
    *_fields(32, "groups_end beats_end"),
    *_fields(1, "source_x per_channel uses_y load use_params by_row affine"),
    ("free", 1),
    ("mult", 32),
    ("shift", 8),
    ("bias", 64),
    *_fields(VALUE_BITS, "zero lo hi b_zx b_zy"),
    *_fields(32, "b_mx b_my"),
    ("b_shift", 6),
    ("multiply", 1),
    *_fields(VALUE_BITS, "b_zero b_lo b_hi"),
    *FUNCTION,
    ("load_first", 16),
    ("load_end", 16),
    ("rational_zero", VALUE_BITS),
    ("rational_lift", 4),
    ("rational_first", 16),
    ("rational_fine", 1),
    ("rational_used", 1),
    *_fields(VALUE_BITS, "rational_out rational_lo rational_hi"),
    ("sets_end", 16),
)

ROWS = (
    *_fields(32, "rows_end beats_end"),
    *_fields(17, "cols first"),
    *_fields(1, "grow norm centred"),
    ("lift", 4),
    ("cached", 17),
    ("mult", 25),
    ("shift", 6),
    ("numerator", 61),
    ("out_shift", 6),
    *_fields(VALUE_BITS, "zero lo hi"),
    *FUNCTION,
)

VECTOR_HEAD, ROWS_HEAD = 72, 122
"""Bits of a step below its numbers, which may differ from round to round."""

ROW_BITS = 16
"""Bits of the row of a step's numbers."""

MAXIMUM = _fields(32, "maxima_end beats_end")


def router_layout(legs: int, outputs: int) -> Layout:
    """The layout of a router's step with room for `legs` legs, each to any of `outputs` outputs."""
    targets = 32 * -(-outputs // 32)
    head = (*_fields(32, "rounds_end period_end beats beats_last"), ("legs_end", 8))
    return head + tuple(field for i in range(legs) for field in ((f"source{i}", 8), (f"targets{i}", targets)))


def width(layout: Layout) -> int:
    """Bits of one step."""
    return sum(bits for _, bits in layout)


@dataclass(frozen=True)
class Rom:
    """A step program as a parameter: `steps` words of `bits` bits with a note and the segment of each."""

    bits: int
    steps: tuple[int, ...]
    notes: tuple[str, ...]
    segments: tuple[int, ...] = ()


def pack(layout: Layout, values: Mapping[str, int], where: str) -> int:
    """Put `values` into a word; negative values in two's complement, missing fields are 0.

    Raises
    ------
    InternalError : a value does not fit its field, or has no field.
    """
    unknown = set(values) - {name for name, _ in layout}
    if unknown:
        raise InternalError(f"{where}: the step has no field {sorted(unknown)}")
    word = position = 0
    for name, bits in layout:
        value = int(values.get(name, 0))
        if not -(1 << (bits - 1)) <= value < (1 << bits):
            raise InternalError(f"{where}: {name} = {value} does not fit in {bits} bits")
        word |= (value & ((1 << bits) - 1)) << position
        position += bits
    return word


def _rom(
    layout: Layout, node: str, words: Iterable[tuple[Mapping[str, int], str]], steps: Sequence[Step] = ()
) -> Rom:
    """The fields and notes of the words, which stand for `steps` if they are steps."""
    packed = [
        (pack(layout, values, f"{node} step {index}"), note) for index, (values, note) in enumerate(words)
    ]
    if not packed:
        raise InternalError(f"node {node!r} has a side without steps")
    return Rom(
        width(layout),
        tuple(word for word, _ in packed),
        tuple(note for _, note in packed),
        tuple(step.segment for step in steps),
    )


def numbers_apart(rom: Rom, played: Sequence[Step], head: int) -> tuple[Rom, Rom | None]:
    """A program in which the steps of single rounds (`Step.only`), if there are any, are one, and the bits from `head` on of
    all steps as rows of a memory beside it.

    Above its head a step then has the row of its numbers, and whether round r has them r rows further on.

    Raises
    ------
    InternalError
        Steps of a segment differ in their heads from round to round, or there are too many rows.
    """
    if all(step.only < 0 for step in played):
        return rom, None
    lists: dict[int, dict[int, list[int]]] = {}
    for place, step in enumerate(played):
        lists.setdefault(step.segment, {}).setdefault(step.only, []).append(place)
    rows: dict[tuple[int, ...], int] = {}
    numbers: list[tuple[int, str]] = []
    program: list[tuple[int, str, int]] = []
    for segment, by_round in lists.items():
        for same in zip(*by_round.values(), strict=True):
            heads = {rom.steps[place] & ((1 << head) - 1) for place in same}
            if len(heads) > 1:
                raise InternalError(
                    f"{rom.notes[same[0]]!r} differs from round to round in more than numbers"
                )
            tails = tuple(rom.steps[place] >> head for place in same)
            tails = tails[:1] if len(set(tails)) == 1 else tails
            if tails not in rows:
                rows[tails] = len(numbers)
                of = f"{rom.notes[same[0]]}, round "
                numbers += [(tail, f"{of}{n}" if n else rom.notes[same[0]]) for n, tail in enumerate(tails)]
            word = heads.pop() | rows[tails] << head | (len(tails) > 1) << (head + ROW_BITS)
            program.append((word, rom.notes[same[0]], segment))
    if len(numbers) > 1 << ROW_BITS:
        raise InternalError(f"{len(numbers)} rows of numbers are too many for one node")
    words_, notes, segments = zip(*program, strict=True)
    made = Rom(head + ROW_BITS + 1, words_, notes, segments)
    return made, Rom(rom.bits - head, tuple(tail for tail, _ in numbers), tuple(note for _, note in numbers))


def words(bits: int, values: Sequence[int]) -> str:
    """A parameter of so many words, the first one lowest."""
    mask = (1 << bits) - 1
    return "{" + ", ".join(f"{bits}'d{value & mask}" for value in reversed(values)) + "}"


def _ends(where: str, **counts: int) -> dict[str, int]:
    """Fields ``<name>_end`` with the last index of each count."""
    for name, count in counts.items():
        if not 1 <= count < 1 << 31:
            raise InternalError(f"{where}: {name} = {count}, at least 1 is needed")
    return {f"{name}_end": count - 1 for name, count in counts.items()}


def words_of(beats: int, beat_bits: int, port_bits: int) -> int:
    """Port words that `beats` beats take; the last one may be partly filled."""
    return -(-beats * beat_bits // port_bits)


# ---------------------------------------------------------------- walks


def walk_fields(walk: Walk, where: str, lanes: int = 1, unit: int = 1) -> dict[str, int]:
    """The fields of `WALK`; an address counts `unit` elements of beats of `lanes`."""
    if min(walk.counts) < 1 or not -1 <= walk.ragged <= 3 or (walk.ragged >= 0 and walk.last < 1):
        raise InternalError(f"{where}: the walk {walk} has an empty loop")
    strides = list(walk.strides)
    if walk.wrap:
        strides[0] %= walk.wrap
    fields = {"base": walk.base, "wrap": walk.wrap} | {f"stride{i}": s for i, s in enumerate(strides)}
    fields = {name: digits(value * unit, lanes) for name, value in fields.items()}
    fields["ragged"] = 4 if walk.ragged < 0 else walk.ragged
    fields |= {f"end{i}": count - 1 for i, count in enumerate(walk.counts)}
    if walk.ragged >= 0:
        fields["end_ragged"] = walk.last - 1
    return fields


def walk_bits(walks: Iterable[tuple[Walk, int]], top: int, lanes: int = 1) -> tuple[int, int]:
    """Bits of addresses and counts that the walks (each with its unit) need; `top` is the highest address that matters."""
    walks = list(walks)
    wrap = max((digits(2 * walk.wrap * unit - 1, lanes) for walk, unit in walks if walk.wrap), default=0)
    count = max(max(max(walk.counts), walk.last) for walk, _ in walks)
    return max(1, digits(top, lanes).bit_length(), wrap.bit_length()), count.bit_length()


# ---------------------------------------------------------------- nodes


def load_rom(node: Load, beat_bits: int) -> Rom:
    """The program of a load node whose beats have `beat_bits` bits."""
    layout = LOOKUP if node.lookup else LOAD
    return _rom(
        layout,
        node.name,
        (
            (
                {"base": s.base, "words": words_of(s.beats, beat_bits, node.port_bits), "need": s.need}
                | {"swap": s.swap}
                | ({"row_last": s.table - 1, "pitch": s.pitch} if node.lookup else {})
                | _ends(node.name, beats=s.beats, repeat=s.repeat),
                s.note,
            )
            for s in node.steps
        ),
        node.steps,
    )


def store_rom(node: Store, beat_bits: int) -> Rom:
    """The program of a store node whose beats have `beat_bits` bits."""
    return _rom(
        STORE,
        node.name,
        (
            (
                {"base": s.base, "words": words_of(s.beats, beat_bits, node.port_bits), "swap": s.swap}
                | _ends(node.name, beats=s.beats),
                s.note,
            )
            for s in node.steps
        ),
        node.steps,
    )


def buffer_rom(node: Buffer | Image, steps: tuple[BufferStep, ...]) -> Rom:
    """The program of one side of a buffer."""
    lanes = address_lanes(node)
    return _rom(
        BUFFER,
        node.name,
        (
            (
                walk_fields(s.walk, node.name, lanes, address_unit(s, lanes))
                | {"need": s.need, "need_step": s.need_step},
                s.note,
            )
            for s in steps
        ),
        steps,
    )


def mask_rom(node: Image) -> Rom:
    """The masks of columns of an image."""
    masks = windows.masks(node)
    return Rom(node.lanes, tuple(mask for mask, _ in masks), tuple(note for _, note in masks))


def tap_rom(node: Image) -> Rom:
    """Where each tap of an image reads, relative to a tile."""
    return _rom(TAP, node.name, windows.taps(node))


def track_rom(node: Image) -> Rom:
    """How the rows of tiles lie in the memory of an image."""
    tracks = [
        (
            {"columns": t.columns, "skip": t.skip, "rows": t.rows},
            f"rows of {t.columns} pixels, {t.skip:+} elements apart",
        )
        for t in windows.tracks(node)
    ]
    return _rom(TRACK, node.name, tracks)


def image_rom(node: Image) -> Rom:
    """The program of an image's read side."""
    steps = []
    for s in node.reads:
        fields = _ends(node.name, taps=s.taps, tiles=s.tiles, passes=s.passes)
        fields |= {"pad": s.pad} | windows.step_fields(node, s)
        limits = {"need": min(s.need, s.need_limit), "need_step": s.need_step, "need_limit": s.need_limit}
        steps.append((fields | limits, s.note))
    return _rom(IMAGE, node.name, steps, node.reads)


def feed_rom(node: Feed) -> Rom:
    """The program of a feed."""
    names = ("tiles", "m_tiles", "rows", "rows_last", "blocks", "k_last", "replay")
    return _rom(
        FEED,
        node.name,
        (
            (_ends(node.name, **{n: getattr(s, n) for n in names}) | {"k_first": s.k_first}, s.note)
            for s in node.steps
        ),
        node.steps,
    )


def core_rom(node: Core) -> Rom:
    """The program of a core."""
    names = ("tiles", "m_tiles", "visits", "contexts", "k", "k_last", "rows", "rows_last")
    return _rom(
        CORE,
        node.name,
        ((_ends(node.name, **{n: getattr(s, n) for n in names}), s.note) for s in node.steps),
        node.steps,
    )


def gather_rom(node: Gather) -> Rom:
    """The program of a gather."""
    return _rom(
        GATHER,
        node.name,
        (
            (walk_fields(s.walk, node.name, node.lanes) | _ends(node.name, row=s.row), s.note)
            for s in node.steps
        ),
        node.steps,
    )


def argmax_rom(node: Argmax) -> Rom:
    """The program of an argmax."""
    steps = []
    for s in node.steps:
        beats, last = node.beats(s)
        steps.append((_ends(node.name, rows=s.rows, beats=beats) | {"last": last}, s.note))
    return _rom(ARGMAX, node.name, steps, node.steps)


def rows_rom(node: Rows) -> Rom:
    """The program of a rows node; the numerator's place has epsilon where a row is normalised."""
    steps = []
    for s in node.steps:
        beats, norm = -(-s.cols // node.lanes), s.op == "norm"
        fields = _ends(node.name, rows=s.rows, beats=beats) | {"grow": int(s.grow), "norm": int(norm)}
        fields |= {"centred": int(s.centred), "numerator": s.epsilon if norm else s.numerator}
        names = ("cols", "first", "cached", "lift", "mult", "shift", "out_shift", "zero", "lo", "hi")
        if s.table >= 0:
            fields |= _table_fields(node.tables[s.table]) | {"table_use": 1}
        steps.append((fields | {name: getattr(s, name) for name in names}, s.note))
    return _rom(ROWS, node.name, steps, node.steps)


def loads_rom(node: Rows) -> Rom:
    """The tables that a rows node fills; a step that is never played where there are none."""
    loads = [(_load_fields(node.tables[load.table]), load.note) for load in node.loads]
    return _rom(SLOT_LOAD, node.name, loads, node.loads)


def _load_fields(table: Table) -> dict[str, int]:
    bounds = {"table_q": table.q, "table_lo": table.lo, "table_hi": table.hi}
    return {"load_first": table.first, "load_end": table.entries - 1} | bounds


def router_rom(node: Router) -> Rom:
    """The program of a router."""
    steps = []
    for s in node.steps:
        fields = {"beats": s.beats, "beats_last": s.beats_last}
        fields |= _ends(node.name, rounds=s.rounds, period=s.period, legs=len(s.legs))
        for i, leg in enumerate(s.legs):
            fields |= {f"source{i}": leg.src, f"targets{i}": sum(1 << dst for dst in set(leg.dsts))}
        steps.append((fields, s.note))
    return _rom(router_layout(max_legs(node), node.outputs), node.name, steps, node.steps)


def max_legs(node: Router) -> int:
    """Most legs of any step."""
    return max((len(step.legs) for step in node.steps), default=1)


# ---------------------------------------------------------------- vector units

_HIGHEST = (1 << (VALUE_BITS - 1)) - 1
_IDENTITY_AFFINE = {"mult": UNIT_MULT, "shift": 30, "lo": -_HIGHEST - 1, "hi": _HIGHEST}
_IDENTITY_BINARY = {"b_mx": 2, "b_shift": 1, "b_lo": -_HIGHEST - 1, "b_hi": _HIGHEST}


def vector_rom(node: Vector) -> Rom:
    """The program of a vector unit; an operation that a step does not use becomes the identity."""
    merged = node.merged
    return _rom(
        VECTOR, node.name, ((_vector_fields(node, s, merged), s.note) for s in node.steps), node.steps
    )


def maximum_rom(node: Vector) -> Rom:
    """The program of the maxima in front of a vector unit: a step for each step that reads x."""
    reads = [step for step in first_rounds(node.steps) if step.load < 0 and step.source == "x"]
    return _rom(
        MAXIMUM,
        node.name,
        ((_ends(node.name, maxima=step.groups * step.beats, beats=step.reduce), step.note) for step in reads),
        reads,
    )


def pool_rom(node: Vector) -> Rom:
    """The program of the maxima behind a vector unit: a step for each step that gives results."""
    work = [step for step in first_rounds(node.steps) if step.load < 0]
    return _rom(
        MAXIMUM,
        node.name,
        ((_ends(node.name, maxima=s.groups * s.beats // s.pool, beats=s.pool), s.note) for s in work),
        work,
    )


def _vector_fields(node: Vector, step: VectorStep, merged: bool) -> dict[str, int]:
    if step.load >= 0:
        slot = node.slots[step.load]
        if isinstance(slot, Rational):
            return {"load": 1, "sets_end": slot.groups - 1} | _rational_fields(slot)
        return {"load": 1} | _load_fields(slot) | _table_fields(slot)
    fields = _ends(node.name, groups=step.groups, beats=step.beats)
    fields |= {
        "source_x": step.source == "x",
        "per_channel": step.per_channel,
        "use_params": step.per_channel and step.affine,
        "by_row": step.params == "row",
        "affine": step.affine,
        "uses_y": step.binary != "none",
    }
    if step.affine:
        place = "b_" if merged else ""
        fields |= {f"{place}zero": step.zero, f"{place}lo": step.lo, f"{place}hi": step.hi}
        if not step.per_channel:
            fields |= {"mult": step.mult, "shift": step.shift, "bias": step.bias}
    else:
        fields |= _IDENTITY_AFFINE
    if step.binary != "none":
        names = ("b_zx", "b_zy", "b_mx", "b_my", "b_shift", "b_zero", "b_lo", "b_hi")
        fields |= {name: getattr(step, name) for name in names} | {"multiply": step.binary == "mul"}
        if node.shift_only:
            fields |= {"b_mx": shift_code(step.b_mx) & 31, "b_my": shift_code(step.b_my)}
    elif not (merged and step.affine):
        fields |= _IDENTITY_BINARY
        if node.shift_only:
            fields["b_mx"] = 1
    if step.table >= 0:
        slot = node.slots[step.table]
        fields |= (
            _rational_fields(slot) if isinstance(slot, Rational) else _table_fields(slot) | {"table_use": 1}
        )
    return fields


def _rational_fields(slot: Rational) -> dict[str, int]:
    return {
        "rational_zero": slot.zero,
        "rational_lift": slot.lift,
        "rational_first": slot.first,
        "rational_fine": slot.fraction == FRACTIONS[1],
        "rational_used": 1,
        "rational_out": slot.out_zero,
        "rational_lo": slot.lo,
        "rational_hi": slot.hi,
    }


def _table_fields(table: Table) -> dict[str, int]:
    return {
        "table_half": 1 << (table.in_bits - 1),
        "table_low_bits": table.in_bits - table.log_entries,
        "table_first": table.first,
        "table_log": table.log_entries,
        "table_q": table.q,
        "table_lo": table.lo,
        "table_hi": table.hi,
    }
