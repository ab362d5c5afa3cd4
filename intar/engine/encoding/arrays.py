"""Feeds and cores as the C++ side reads them."""

from __future__ import annotations

from intar.engine.encoding.encoder import Encoder
from intar.ir.nodes.arrays import Core, Feed


def feed(e: Encoder, node: Feed) -> None:
    """Append a feed and the blocks that it collects."""
    e.port(node, "in", bool(node.steps), node.lanes, node.bits)
    e.port(node, "out", bool(node.steps), node.rows * node.depth)
    e.expect(node.lanes % node.depth == 0, node.name, "depth does not divide lanes")
    steps = e.played(node.steps)
    e.put(node.rows, node.lanes, node.depth, node.by_channel, len(steps))
    for index, step in enumerate(steps):
        where = f"{node.name} step {index}"
        e.expect(0 < step.rows <= node.rows and 0 < step.rows_last <= node.rows, where, "rows out of range")
        e.expect(
            0 < step.k_last <= node.channels and step.replay > 0, where, "channels or replay out of range"
        )
        ends = step.k_last if step.blocks == 1 else node.channels
        e.expect(step.k_first < ends, where, "no channel in the first block")
        e.put(step.tiles, step.m_tiles, step.rows, step.rows_last, step.blocks)
        e.put(step.k_first, step.k_last, step.replay)
    e.unit(node, "", steps, node.steps)


def core(e: Encoder, node: Core) -> None:
    """Append a core and its loops."""
    e.port(node, "a", bool(node.steps), node.rows * node.depth, node.a_bits)
    e.port(node, "w", bool(node.steps), node.lanes * node.depth, node.w_bits)
    e.port(node, "out", bool(node.steps), node.lanes)
    e.expect(node.a_bits <= 32 and node.w_bits <= 32 and 1 <= node.acc_bits <= 62, node.name, "widths")
    steps = e.played(node.steps)
    widths = zip(node.operand_bits, (node.a_bits, node.w_bits), strict=True)
    limits = [1 << used - 1 if used < bits else 0 for used, bits in widths]
    e.put(node.rows, node.lanes, node.depth, node.acc_bits, *limits, node.contexts, len(steps))
    for index, step in enumerate(steps):
        where = f"{node.name} step {index}"
        e.expect(0 < step.rows <= node.rows and 0 < step.rows_last <= node.rows, where, "rows out of range")
        e.expect(
            0 < step.contexts <= node.contexts and step.visits > 0,
            where,
            "contexts or visits out of range",
        )
        if step.visits == 1:
            e.expect(step.k == step.k_last, where, "one visit, but k_last is not k")
        e.put(step.tiles, step.m_tiles, step.visits, step.contexts)
        e.put(step.k, step.k_last, step.rows, step.rows_last)
    e.unit(node, "", steps, node.steps)
