"""Feeds and cores in C++."""

from __future__ import annotations

from intar.codegen.hls_nodes.text import INT_MAX, braces
from intar.codegen.hls_nodes.view import Parts, View
from intar.codegen.hls_types import Local, Port, Row, beat_type
from intar.errors import InternalError
from intar.ir.nodes.arrays import Core, Feed

WIDEST_BEAT = 4096
"""Widest element of an inner stream, bits: what Vitis packs into one FIFO word without complaint."""


def feed(view: View, node: Feed) -> Parts:
    """A task that collects rows into blocks, and one that sends their channels."""
    rom = view.listed(
        "intar::feed_step",
        "STEPS",
        "tiles, m_tiles, rows, rows_last, blocks, k_first, k_last, replay",
        [
            Row(
                braces(s.tiles, s.m_tiles, s.rows, s.rows_last, s.blocks, s.k_first, s.k_last, s.replay),
                s.note,
            )
            for s in node.steps
        ],
        node.steps,
    )
    group = group_rows(node.rows, node.lanes, native_bits(node.bits))
    wide = beat_type(group * node.lanes, node.bits)
    blocks = view.inner("blocks", wide, max(2, node.rows // group), "blocks of rows that wait to be sent")
    order = f"{node.depth}, {'true' if node.by_channel else 'false'}"
    collect = view.task(
        "collect",
        "rows to blocks",
        (view.port("in"), Port("out", wide, blocks.name)),
        f"intar::feed_collect<{node.rows}, {group}, {node.lanes}, {node.bits}>",
        (rom.name, "in", "out"),
    )
    send = view.task(
        "send",
        "blocks to channels",
        (Port("in", wide, blocks.name), view.port("out")),
        f"intar::feed_send<{node.rows}, {group}, {node.lanes}, {node.bits}, {order}>",
        (rom.name, "in", "out"),
    )
    return Parts((rom,), (collect, send), (blocks,))


def core(view: View, node: Core) -> Parts:
    """A task that multiplies and adds up, and one that drains the sums."""
    group = group_rows(node.rows, node.lanes, native_bits(node.acc_bits))
    rows = []
    for s in node.steps:
        groups = -(-max(s.rows if s.m_tiles > 1 else 0, s.rows_last) // group)
        beats = s.tiles * s.m_tiles * ((s.visits - 1) * s.k + s.k_last + groups)
        if beats > INT_MAX:
            raise InternalError(
                f"a step of core {node.name!r} has {beats} beats, more than a 32-bit counter holds"
            )
        rows.append(
            Row(
                braces(s.tiles, s.m_tiles, s.visits, s.contexts, s.k, s.k_last, s.rows, s.rows_last, groups),
                s.note,
            )
        )
    rom = view.listed(
        "intar::core_step",
        "STEPS",
        "tiles, m_tiles, visits, contexts, k, k_last, rows, rows_last, groups",
        rows,
        node.steps,
    )
    wide = beat_type(group * node.lanes, node.acc_bits)
    tiles = view.inner(
        "tiles", wide, max(2, node.rows // group), "finished accumulators that wait to be drained"
    )
    ports = (view.port("a"), view.port("w"), Port("out", wide, tiles.name))
    used = ", ".join(map(str, (*node.operand_bits, node.pack)))
    sizes = f"{node.rows}, {group}, {node.lanes}, {node.depth}, {node.a_bits}, {node.w_bits}, {used}, {node.acc_bits}"
    saved = Local(
        f"intar::element<{node.acc_bits}>",
        "saved",
        f"[{node.contexts}][{node.rows}][{node.lanes}]",
        (
            "ARRAY_PARTITION variable=saved type=complete dim=2",
            "ARRAY_PARTITION variable=saved type=complete dim=3",
        ),
    )
    callee, memories = ("core_mac_contexts", [saved]) if node.contexts > 1 else ("core_mac", [])
    mac = view.task(
        "mac",
        f"{node.rows} x {node.lanes} multiply-accumulates a cycle",
        ports,
        f"intar::{callee}<{sizes}>",
        (rom.name, *(memory.name for memory in memories), "a", "w", "out"),
        memories,
    )
    drain = view.task(
        "drain",
        "accumulators to rows",
        (Port("in", wide, tiles.name), view.port("out")),
        f"intar::core_drain<{group}, {node.lanes}, {node.acc_bits}>",
        (rom.name, "in", "out"),
    )
    return Parts((rom,), (mac, drain), (tiles,))


def group_rows(rows: int, lanes: int, bits: int) -> int:
    """Rows of a block that one inner beat holds: the largest divisor of `rows` within :data:`WIDEST_BEAT` bits."""
    fitting = [n for n in range(1, rows + 1) if rows % n == 0 and n * lanes * bits <= WIDEST_BEAT]
    return fitting[-1] if fitting else 1


def native_bits(bits: int) -> int:
    """Width of the C++ type that holds so many bits."""
    return next(width for width in (8, 16, 32, 64) if bits <= width)
