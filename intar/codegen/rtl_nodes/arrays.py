"""Feeds and cores in RTL."""

from __future__ import annotations

from intar.codegen.rtl_nodes.program import (
    Rom,
    fields,
    last_of,
    rom,
)
from intar.codegen.rtl_nodes.site import Instance, Site
from intar.errors import InternalError
from intar.ir.nodes.arrays import Core, Feed

FEED = fields(32, "tiles_end m_tiles_end blocks_end rows_end rows_last_end k_last_end replay_end k_first")
CORE = fields(32, "tiles_end m_tiles_end visits_end contexts_end k_end k_last_end rows_end rows_last_end")


def feed(site: Site, made: Instance, node: Feed) -> None:
    """Parameters and ports of a feed."""
    shape = [("ROWS", node.rows), ("LANES", node.lanes), ("DEPTH", node.depth), ("BITS", node.bits)]
    made.parameters += [*shape, ("BY_CHANNEL", int(node.by_channel))]
    made.parameters += site.steps("", feed_rom(node))
    site.stream(made, node, "in", False, node.lanes, node.bits)
    site.stream(made, node, "out", True, node.rows * node.depth, node.bits)


def feed_rom(node: Feed) -> Rom:
    """The program of a feed."""
    names = ("tiles", "m_tiles", "rows", "rows_last", "blocks", "k_last", "replay")
    return rom(
        FEED,
        node.name,
        (
            (last_of(node.name, **{n: getattr(s, n) for n in names}) | {"k_first": s.k_first}, s.note)
            for s in node.steps
        ),
        node.steps,
    )


def core(site: Site, made: Instance, node: Core) -> None:
    """Parameters and ports of a core."""
    link = site.link(node, "out")
    if link.bits < node.acc_bits:
        raise InternalError(f"link {link.name!r} has fewer bits than the accumulators of {node.name!r}")
    made.parameters += [
        ("ROWS", node.rows),
        ("LANES", node.lanes),
        ("DEPTH", node.depth),
        ("A_BITS", node.a_bits),
        ("W_BITS", node.w_bits),
        ("A_USED", node.operand_bits[0]),
        ("W_USED", node.operand_bits[1]),
        ("PACK", node.pack),
        ("ACC_BITS", link.bits),
        ("MAX_CONTEXTS", max(step.contexts for step in node.steps)),
        *site.steps("", core_rom(node)),
    ]
    site.stream(made, node, "a", False, node.rows * node.depth, node.a_bits)
    site.stream(made, node, "w", False, node.lanes * node.depth, node.w_bits)
    site.stream(made, node, "out", True, node.lanes, link.bits)


def core_rom(node: Core) -> Rom:
    """The program of a core."""
    names = ("tiles", "m_tiles", "visits", "contexts", "k", "k_last", "rows", "rows_last")
    return rom(
        CORE,
        node.name,
        ((last_of(node.name, **{n: getattr(s, n) for n in names}), s.note) for s in node.steps),
        node.steps,
    )
