"""What memories of a program are made of: look-up tables, block memories, or UltraRAM as far as the device has it."""

from __future__ import annotations

from intar.codegen import windows
from intar.ir.nodes.memories import Buffer, ConstantMemory, Image
from intar.ir.program import Program

LUTRAM_DEPTH = 64
"""Up to so many words a memory is look-up tables."""

URAM_WIDTH, URAM_DEPTH = 72, 4096
"""Bits and words of a block of UltraRAM."""

URAM_BITS = 1 << 20
"""Memories of fewer bits are no UltraRAM."""

U280_URAM = 960
"""UltraRAMs of the board that nobody names otherwise."""

Memory = Buffer | ConstantMemory | Image


def shape(node: Memory) -> tuple[int, int, int]:
    """How many memories a node has, bits of their words, and words: an image has several, for (parts of) some beats."""
    if not isinstance(node, Image):
        return 1, node.lanes * node.bits, node.depth
    banks, part = windows.banks(node), windows.part(node)
    return banks * node.lanes // part, part * node.bits, -(-node.depth // banks)


def ultra_blocks(width: int, depth: int) -> int:
    """Blocks of UltraRAM that a memory takes."""
    return -(-width // URAM_WIDTH) * -(-depth // URAM_DEPTH)


def ultra_memories(program: Program, blocks: int) -> frozenset[str]:
    """The nodes whose memories are UltraRAM on a device with so many blocks: the largest ones that fill at least half of
    theirs, as long as there are any left. UltraRAM has no contents at the start, so it holds no constants."""
    found = set()
    nodes = [node for node in program.nodes if isinstance(node, Buffer | Image)]
    for node in sorted(nodes, key=lambda node: -node.depth * node.lanes * node.bits):
        count, width, depth = shape(node)
        taken, bits = count * ultra_blocks(width, depth), node.depth * node.lanes * node.bits
        full = 2 * bits >= taken * URAM_WIDTH * URAM_DEPTH
        if depth > LUTRAM_DEPTH and bits >= URAM_BITS and full and taken <= blocks:
            found.add(node.name)
            blocks -= taken
    return frozenset(found)


def memory_style(node: Memory, ultra: frozenset[str]) -> str:
    """``ram_style`` of a node's memories: ``distributed``, ``block``, or ``ultra`` for those named so."""
    if shape(node)[2] <= LUTRAM_DEPTH:
        return "distributed"
    return "ultra" if node.name in ultra else "block"
