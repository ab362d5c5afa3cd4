"""Memories in C++: one task writes and reads a buffer or an image in a static order; constants are read once a call."""

from __future__ import annotations

from intar.codegen import windows
from intar.codegen.constants import rows_file, words_of
from intar.codegen.digits import address_lanes, address_unit
from intar.codegen.hls_nodes.text import braces
from intar.codegen.hls_nodes.view import Parts, View
from intar.codegen.hls_nodes.walks import WALK_COLUMNS, walk_row
from intar.codegen.hls_types import Function, Local, Rom, Row, beat_type
from intar.codegen.storage import LUTRAM_DEPTH
from intar.errors import InternalError
from intar.ir.nodes.memories import Buffer, BufferStep, ConstantMemory, Image, ImageStep
from intar.ir.segments import Runs, merged_in, steps_in

IMAGE_COLUMNS = (
    "first tap, taps, tiles, passes, {tile, element}, {step}, {wrap}, column, step, track, pixel, step, "
    "phase, step, end, wrap, pass step, pad"
)


def buffer(view: View, node: Buffer) -> Parts:
    """A task with the memory of a buffer."""
    lanes = address_lanes(node)
    writes, reads = (
        [walk_row(step, lanes, address_unit(step, lanes)) for step in steps]
        for steps in (node.writes, node.reads)
    )
    roms = (
        view.listed("intar::walk", "WRITES", WALK_COLUMNS, writes, node.writes),
        view.listed("intar::walk", "READS", WALK_COLUMNS, reads, node.reads),
        _order(view, node),
    )
    memory = Local(
        beat_type(node.lanes, node.bits),
        "memory",
        f"[{node.depth}]",
        (f"BIND_STORAGE variable=memory type=ram_s2p impl={storage(node.depth, view.ultra)}",),
    )
    task = view.task(
        "task",
        f"{node.depth} beats of memory",
        (view.port("in"), view.port("out")),
        f"intar::buffer<{node.lanes}, {node.bits}, {lanes}>",
        (*(rom.name for rom in roms), "memory", "in", "out"),
        (memory,),
    )
    return Parts(roms, (task,))


def constant(view: View, node: ConstantMemory) -> Parts:
    """A function with a memory of constants, which is as wide as a beat. It is control driven: a task that waits for nothing
    would go on without end, in simulators of unbounded streams for ever.
    """
    reads = [walk_row(step) for step in node.reads]
    roms = (view.listed("intar::walk", "READS", WALK_COLUMNS, reads, node.reads),)
    bits, words = words_of(node)
    memory = Local(
        f"uint{bits}_t",
        "memory",
        f"[{node.depth}][{words}]",
        (
            "ARRAY_RESHAPE variable=memory type=complete dim=2",
            f"BIND_STORAGE variable=memory type=rom_1p impl={storage(node.depth, ultra=False)}",
        ),
        rows=rows_file(node),
    )
    read = Function(
        f"{node.name}_read",
        "load",
        node.name,
        f"{node.depth} beats of constants",
        (view.port("out"),),
        f"intar::constant<{node.lanes}, {node.bits}>",
        (*(rom.name for rom in roms), "memory", "out"),
        (memory,),
    )
    return Parts(roms, (read,))


def image(view: View, node: Image) -> Parts:
    """A task with the two banks of an image."""
    roms = (
        view.listed(
            "intar::walk",
            "WRITES",
            WALK_COLUMNS,
            [walk_row(step) for step in node.writes],
            node.writes,
        ),
        view.listed(
            "intar::image_step",
            "READS",
            IMAGE_COLUMNS,
            [_image_row(s, places) for s, places in zip(node.reads, windows.step_fields(node), strict=True)],
            node.reads,
        ),
        view.rom("intar::tap", "TAPS", "beat, element, low, high, column mask", _tap_rows(node)),
        view.rom(
            f"intar::lane_mask<{node.lanes}>", "MASKS", "64 lanes a word, lowest first", _mask_rows(node)
        ),
        view.rom(
            f"intar::track<{node.lanes}>",
            "TRACKS",
            "columns, near, far and turn of each lane",
            _track_rows(node),
        ),
        _order(view, node),
    )
    bank, pairs = (node.depth + 1) // 2, -(-(windows.window(node) + node.lanes - 1) // (2 * node.lanes))
    banks = tuple(
        Local(
            beat_type(node.lanes, node.bits),
            name,
            f"[{bank}]",
            (f"BIND_STORAGE variable={name} type=ram_s2p impl={storage(bank, view.ultra)}",),
        )
        for name in ("even", "odd")
    )
    task = view.task(
        "task",
        f"{node.depth} beats of images, read in windows",
        (view.port("in"), view.port("out")),
        f"intar::image<{node.lanes}, {node.bits}, {(node.lanes - 1).bit_length()}, {bank}, {pairs}>",
        (*(rom.name for rom in roms), "even", "odd", "in", "out"),
        banks,
    )
    return Parts(roms, (task,))


def _order(view: View, node: Buffer | Image) -> Rom:
    order = [(s, turn) for s in view.program.segments for turn in turns(node, s)]
    rows = [Row(f"{{{t}, {w}, {r}}}") for _, (t, w, r) in order]
    return view.rom("intar::turn", "ORDER", "turns, writes, reads", rows, [s for s, _ in order])


def turns(node: Buffer | Image, segment: int) -> list[tuple[int, int, int]]:
    """A segment's static order of a buffer as (turns, write iterations, read iterations), equal neighbours joined.

    Raises
    ------
    InternalError
        The order leaves out iterations, or reads before the `need` of a step is met.
    """
    order = merged_in(node, segment)
    _check_order(node, segment, order)
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


def _check_order(node: Buffer | Image, segment: int, order: Runs) -> None:
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


def _image_row(step: ImageStep, fields: dict[str, int]) -> Row:
    """A step and where its taps read (`windows.step_fields`)."""
    tap = fields.pop("tap")
    values = (tap, step.taps, step.tiles, step.passes, *fields.values(), step.pad)
    return Row(braces(*values), step.note)


def _track_rows(node: Image) -> list[Row]:
    return [
        Row(braces(t.columns, braces(*(braces(*t.source(lane)) for lane in range(node.lanes)))))
        for t in windows.tracks(node)
    ]


def _tap_rows(node: Image) -> list[Row]:
    return [Row(braces(*fields.values()), note) for fields, note in windows.taps(node)]


def _mask_rows(node: Image) -> list[Row]:
    words = range(0, node.lanes, 64)
    return [
        Row(braces(braces(*(f"{mask >> shift & (1 << 64) - 1:#x}u" for shift in words))), note)
        for mask, note in windows.masks(node)
    ]


def storage(depth: int, ultra: bool) -> str:
    """Kind of memory for so many beats: small ones in LUTs, deep ones in UltraRAM where the part has it."""
    if depth <= LUTRAM_DEPTH:
        return "lutram"
    return "uram" if ultra else "bram"
