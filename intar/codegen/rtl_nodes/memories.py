"""Buffers, memories of constants and images in RTL."""

from __future__ import annotations

from intar.codegen import windows
from intar.codegen.digits import address_lanes, address_unit
from intar.codegen.rtl_nodes.program import (
    Rom,
    fields,
    last_of,
    rom,
)
from intar.codegen.rtl_nodes.site import Instance, Site
from intar.codegen.rtl_nodes.walks import WALK, walk_bits, walk_fields
from intar.codegen.storage import memory_style
from intar.ir.nodes.memories import Buffer, BufferStep, ConstantMemory, Image

BUFFER = (*WALK, ("need", 32), ("need_step", 32))
IMAGE = fields(
    32,
    "tap taps_end tiles_end passes_end tile element tile_step element_step tile_wrap element_wrap column column_step track "
    "pixel pixel_step phase phase_step phase_end phase_wrap need need_step need_limit pad pass_step",
)
TRACK = fields(32, "columns skip rows right")
TAP = (("beat", 32), ("element", 16), ("low", 32), ("high", 32), ("column", 16))


def buffer(site: Site, made: Instance, node: Buffer) -> None:
    """Parameters and ports of a buffer."""
    lanes = address_lanes(node)
    walks = [(step.walk, address_unit(step, lanes)) for step in (*node.writes, *node.reads)]
    address_bits, count_bits = walk_bits(walks, node.depth * lanes - 1, lanes)
    made.parameters += [
        ("WIDTH", node.lanes * node.bits),
        ("DEPTH", node.depth),
        ("LANES", lanes),
        ("ADDRESS_BITS", address_bits),
        ("COUNT_BITS", count_bits),
        ("STYLE", f'"{memory_style(node, site.ultra)}"'),
        *site.steps("WRITE_", buffer_rom(node, node.writes)),
        *site.steps("READ_", buffer_rom(node, node.reads)),
    ]
    site.stream(made, node, "in", False, node.lanes, node.bits)
    site.stream(made, node, "out", True, node.lanes, node.bits)


def buffer_rom(node: Buffer | Image, steps: tuple[BufferStep, ...]) -> Rom:
    """The program of one side of a buffer."""
    lanes = address_lanes(node)
    return rom(
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


def constant(site: Site, made: Instance, node: ConstantMemory) -> None:
    """Parameters and ports of a memory of constants."""
    walks = ((step.walk, 1) for step in node.reads)
    address_bits, count_bits = walk_bits(walks, node.depth - 1)
    steps = rom(WALK, node.name, ((walk_fields(s.walk, node.name), s.note) for s in node.reads), node.reads)
    made.parameters += [
        ("WIDTH", node.lanes * node.bits),
        ("DEPTH", node.depth),
        ("FILE", f'"{site.names[node.name]}.mem"'),
        ("ADDRESS_BITS", address_bits),
        ("COUNT_BITS", count_bits),
        ("STYLE", f'"{memory_style(node, site.ultra)}"'),
        *site.steps("", steps),
    ]
    site.stream(made, node, "out", True, node.lanes, node.bits)


def image(site: Site, made: Instance, node: Image) -> None:
    """Parameters and ports of an image."""
    address_bits, count_bits = walk_bits(((step.walk, 1) for step in node.writes), node.depth - 1)
    taps, masks, tracks = tap_rom(node), mask_rom(node), track_rom(node)
    made.parameters += [
        ("LANES", node.lanes),
        ("BITS", node.bits),
        ("DEPTH", node.depth),
        ("PIXEL_BITS", windows.pixel_bits(node)),
        ("ADDRESS_BITS", address_bits),
        ("COUNT_BITS", count_bits),
        ("STYLE", f'"{memory_style(node, site.ultra)}"'),
        ("TAPS", len(taps.steps)),
        ("TAP_PROGRAM", taps),
        ("MASKS", len(masks.steps)),
        ("COLUMN_MASKS", masks),
        ("BANKS", windows.banks(node)),
        ("PART", windows.part(node)),
        ("WINDOW", windows.window(node)),
        ("APART", int(windows.apart(node))),
        ("TRACKS", len(tracks.steps)),
        ("TRACK_PROGRAM", tracks),
        *site.steps("WRITE_", buffer_rom(node, node.writes)),
        *site.steps("READ_", image_rom(node)),
    ]
    site.stream(made, node, "in", False, node.lanes, node.bits)
    site.stream(made, node, "out", True, node.lanes, node.bits)


def image_rom(node: Image) -> Rom:
    """The program of an image's read side."""
    steps = []
    for s, places in zip(node.reads, windows.step_fields(node), strict=True):
        fields = last_of(node.name, taps=s.taps, tiles=s.tiles, passes=s.passes)
        fields |= {"pad": s.pad} | places
        limits = {"need": min(s.need, s.need_limit), "need_step": s.need_step, "need_limit": s.need_limit}
        steps.append((fields | limits, s.note))
    return rom(IMAGE, node.name, steps, node.reads)


def mask_rom(node: Image) -> Rom:
    """The masks of columns of an image."""
    masks = windows.masks(node)
    return Rom(node.lanes, tuple(mask for mask, _ in masks), tuple(note for _, note in masks))


def tap_rom(node: Image) -> Rom:
    """Where each tap of an image reads, relative to a tile."""
    return rom(TAP, node.name, windows.taps(node))


def track_rom(node: Image) -> Rom:
    """How the rows of tiles lie in the memory of an image."""
    tracks = [
        (
            {"columns": t.columns, "skip": t.skip, "rows": t.rows, "right": t.right},
            f"rows of {t.columns} pixels, {t.skip:+} elements apart"
            + (f", every {t.right}." if t.right > 1 else ""),
        )
        for t in windows.tracks(node)
    ]
    return rom(TRACK, node.name, tracks)
