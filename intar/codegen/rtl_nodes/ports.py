"""Loads and stores in RTL."""

from __future__ import annotations

from intar.codegen.rtl_nodes.program import (
    Rom,
    concatenated,
    fields,
    last_of,
    rom,
)
from intar.codegen.rtl_nodes.site import Instance, Site
from intar.ir.bits import INDEX_BITS
from intar.ir.nodes.ports import Load, Store
from intar.ir.program import Link

LOAD_BURST, LOAD_FIFO, LOAD_OUTSTANDING = 64, 512, 16
"""Longest read burst (words), read FIFO (words), bursts on their way."""
STORE_BURST, STORE_FIFO, STORE_OUTSTANDING = 16, 64, 16
LOAD = fields(32, "base words beats_end repeat_end need swap")
LOOKUP = (*LOAD, *fields(32, "row_last pitch"))
STORE = fields(32, "base words beats_end swap")


def load(site: Site, made: Instance, node: Load) -> None:
    """Parameters and ports of a load."""
    link = site.link(node, "out")
    _memory(site, made, node, link, LOAD_BURST, LOAD_FIFO, LOAD_OUTSTANDING)
    made.parameters += site.steps("", load_rom(node, link.lanes * link.bits))
    count = site.count(node.after) if node.after else "32'd0"
    made.ports.append(("done_count", count))
    if site.stream(made, node, "ids", False, 1, INDEX_BITS):
        made.parameters.append(("LOOKUP", "1'b1"))
    site.stream(made, node, "out", True, link.lanes, link.bits)
    _axi(site, made, node, "ARVALID ARREADY ARADDR ARLEN RVALID RREADY RDATA RLAST")


def load_rom(node: Load, beat_bits: int) -> Rom:
    """The program of a load node whose beats have `beat_bits` bits."""
    layout = LOOKUP if node.lookup else LOAD
    return rom(
        layout,
        node.name,
        (
            (
                {"base": s.base, "words": words_of(s.beats, beat_bits, node.port_bits), "need": s.need}
                | {"swap": s.swap}
                | ({"row_last": s.table - 1, "pitch": s.pitch} if node.lookup else {})
                | last_of(node.name, beats=s.beats, repeat=s.repeat),
                s.note,
            )
            for s in node.steps
        ),
        node.steps,
    )


def store(site: Site, made: Instance, node: Store) -> None:
    """Parameters and ports of a store."""
    link = site.link(node, "in")
    _memory(site, made, node, link, STORE_BURST, STORE_FIFO, STORE_OUTSTANDING)
    made.parameters += site.steps("", store_rom(node, link.lanes * link.bits))
    made.ports += [
        ("position", "position" if node.row else "32'd0"),
        ("done_count", site.count(node.name)),
    ]
    if node.row:
        made.parameters.append(("ROW", node.row))
    site.stream(made, node, "in", False, link.lanes, link.bits)
    _axi(site, made, node, "AWVALID AWREADY AWADDR AWLEN WVALID WREADY WDATA WSTRB WLAST BVALID BREADY")


def store_rom(node: Store, beat_bits: int) -> Rom:
    """The program of a store node whose beats have `beat_bits` bits."""
    return rom(
        STORE,
        node.name,
        (
            (
                {"base": s.base, "words": words_of(s.beats, beat_bits, node.port_bits), "swap": s.swap}
                | last_of(node.name, beats=s.beats),
                s.note,
            )
            for s in node.steps
        ),
        node.steps,
    )


def _memory(
    site: Site, made: Instance, node: Load | Store, link: Link, burst: int, fifo: int, outstanding: int
) -> None:
    index, _ = site.arguments[node.argument]
    made.parameters += [
        ("PORT_BITS", node.port_bits),
        ("BEAT_BITS", link.lanes * link.bits),
        ("MAX_BURST", burst),
        ("FIFO_DEPTH", fifo),
        ("OUTSTANDING", outstanding),
    ]
    made.ports += [("round", "round"), ("argument", f"pointers[{64 * index}+:64]")]
    if max(site.program.rounds) > 1:
        made.parameters.append(("LOOPED", "1'b1"))
        if node.strides:
            made.parameters.append(("STRIDES", concatenated(32, node.strides)))


def _axi(site: Site, made: Instance, node: Load | Store, pins: str) -> None:
    bundle = site.bundle_names[node.argument]
    made.ports += [(f"m_axi_{pin.lower()}", f"m_axi_{bundle}_{pin}") for pin in pins.split()]


def words_of(beats: int, beat_bits: int, port_bits: int) -> int:
    """Port words that `beats` beats take; the last one may be partly filled."""
    return -(-beats * beat_bits // port_bits)
