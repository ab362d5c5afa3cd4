"""Buffers, images and memories of constants as the C++ side reads them."""

from __future__ import annotations

from intar.engine.encoding.encoder import Encoder
from intar.ir.nodes.memories import Buffer, BufferStep, ConstantMemory, Image, ImageStep
from intar.ir.segments import iterations, merged_in

MERGED_SIDES = {"w": 0, "r": 1}


def buffer(e: Encoder, node: Buffer) -> None:
    """Append a buffer: both sides' walks and their merged order."""
    e.port(node, "in", bool(node.writes), node.lanes, node.bits)
    e.port(node, "out", bool(node.reads), node.lanes, 0)
    e.put(node.depth, node.lanes)
    _buffer_steps(e, node, "write", node.writes)
    _buffer_steps(e, node, "read", node.reads)
    _sides(e, node)


def image(e: Encoder, node: Image) -> None:
    """Append an image: its writes, the windows that are read, the merged order, and its taps."""
    e.port(node, "in", bool(node.writes), node.lanes, node.bits)
    e.port(node, "out", bool(node.reads), node.lanes, 0)
    e.put(node.depth, node.lanes)
    _buffer_steps(e, node, "write", node.writes)
    reads = e.played(node.reads)
    e.put(len(reads))
    for index, step in enumerate(reads):
        inside = step.tap >= 0 and step.tap + step.taps <= len(node.taps)
        e.expect(inside, f"{node.name} read step {index}", "taps out of range")
        e.expect(step.first >= 0 and step.stride > 0, f"{node.name} read step {index}", "bad tiles")
        e.put(step.first, step.stride, step.tiles, step.passes, step.pass_step)
        e.put(step.rows, step.columns, step.down, step.right, step.pitch, step.tap, step.taps, step.pad)
        e.put(step.need, step.need_step, step.need_limit)
    _sides(e, node)
    e.put(len(node.taps))
    e.put(*(word for tap in node.taps for word in (tap.offset, tap.dy, tap.dx, tap.height, tap.width)))


def constant(e: Encoder, node: ConstantMemory) -> None:
    """Append a memory of constants: where its image is, and its walks."""
    e.port(node, "out", bool(node.reads), node.lanes, 0)
    e.put(e.constants[node.name], node.depth, node.lanes, node.bits)
    steps = e.played(node.reads)
    e.put(len(steps))
    for index, step in enumerate(steps):
        e.walk(f"{node.name} read step {index}", step.walk)
    e.unit(node, "", steps, node.reads)


def _buffer_steps(e: Encoder, node: Buffer | Image, side: str, steps: tuple[BufferStep, ...]) -> None:
    steps = e.played(steps)
    e.put(len(steps))
    for index, step in enumerate(steps):
        e.walk(f"{node.name} {side} step {index}", step.walk)
        e.put(step.need, step.need_step, step.elements)


def _sides(e: Encoder, node: Buffer | Image) -> None:
    """The merged order, and the units of both sides."""
    merged = merged_in(node, e.segment)
    e.put(2 * len(merged))
    for side, count in merged:
        e.put(MERGED_SIDES[side], count)
    both: tuple[BufferStep | ImageStep, ...] = node.reads
    writes, reads = e.played(node.writes), e.played(both)
    total = iterations(writes) + iterations(reads)
    e.result.iterations.append((node.name, total))
    if e.merged:
        if e.policy == 0:
            planned = sum(count for _, count in merged)
            e.expect(planned == total, node.name, f"the merged order has {planned} of {total} iterations")
        e.unit(node, "", (*writes, *reads), ())
    else:
        e.unit(node, "out", reads, node.reads)
        e.unit(node, "in", writes, node.writes)
