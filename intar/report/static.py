"""Multipliers and memories of a program, counted without any tool: what its RTL instantiates, in blocks of the device.

The rules (pieces of 25 × 18 bits for a product, 512 × 36 for half a block memory) are those by which Yosys maps our RTL;
`tests/synth` compares both. Look-up tables and flip-flops can't be counted so and are None.
"""

from __future__ import annotations

from typing import Any

from intar.codegen.rtl_nodes.functions import table_style, table_words
from intar.codegen.storage import LUTRAM_DEPTH, memory_style, shape, ultra_blocks, ultra_memories
from intar.ir.nodes.arrays import Core
from intar.ir.nodes.memories import Buffer, ConstantMemory, Image
from intar.ir.nodes.ports import Load, Store
from intar.ir.nodes.rows import Rows
from intar.ir.nodes.vector import Lookups, Vector
from intar.ir.program import Node, Program

SOURCE = "static count of multipliers and memories (no synthesis)"

NARROW_VALUE = 25
"""Values of up to so many bits are rescaled by two products of 25 × 18 bits (`intar_scale`), wider ones by four."""

RATIONAL_DSP = 11
"""Products of 25 × 18 bits of a rational function that is evaluated: two Horner chains, the reciprocal, the quotient."""

LOAD_WORDS, STORE_WORDS = 512, 64
"""Depth of the ports' data FIFOs, port words."""


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def product_dsp(a_bits: int, b_bits: int) -> int:
    """DSP blocks of one signed product: pieces of 25 × 18 bits; 17 new bits for each further piece."""
    wide, narrow = max(a_bits, b_bits), min(a_bits, b_bits)
    return max(1, _ceil(wide - 8, 17)) * max(1, _ceil(narrow - 1, 17))


def block_memory(width: int, depth: int, style: str) -> tuple[float, int]:
    """(blocks of 36 kbit, UltraRAMs) of a memory of `depth` words of `width` bits with one read and one write port."""
    if style == "ultra":
        return 0, ultra_blocks(width, depth)
    if style == "distributed" or depth <= LUTRAM_DEPTH:
        return 0, 0
    halves = [(36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384)]  # of a block: 18 kbit
    return min(_ceil(width, w) * _ceil(depth, d) for w, d in halves) / 2, 0


def _vector_dsp(node: Vector) -> int:
    work = [step for step in node.steps if step.load < 0]
    affine = any(step.affine for step in work) and not node.merged
    binary = any(step.binary != "none" for step in work)
    lane = 0
    if not node.shift_only:
        lane += affine * (2 if node.value_bits <= NARROW_VALUE else 4) + binary * 4
    lane += any(step.binary == "mul" for step in work) * product_dsp(18, 18)
    if node.rationals:
        lane += RATIONAL_DSP
    return node.rate * (lane + _table_dsp(node))


def _table_dsp(node: Lookups) -> int:
    """Multipliers of a lane's tables."""
    slopes, curves = (
        node.slopes * product_dsp(node.slope_bits, 17),
        node.curves * product_dsp(node.curve_bits, 17),
    )
    return slopes + curves


def _table_bram(node: Lookups) -> float:
    """Blocks of 36 kbit of a lane's tables: bases, slopes and curves have memories of their own, written several entries at
    a time where the lanes allow it."""
    written, words = table_words(node)
    base_bits = node.base_bits if node.slopes else node.result_bits
    widths = (base_bits, node.slope_bits, node.curve_bits)[: node.parts]
    return sum(block_memory(written * width, words, table_style(node))[0] for width in widths)


def _node(node: Node, ultra: frozenset[str]) -> tuple[float, float, int]:
    """(dsp, bram36, uram) of one node."""
    if isinstance(node, Core):
        return node.multipliers * (1 if node.pack > 1 else product_dsp(*node.operand_bits)), 0, 0
    if isinstance(node, Vector):
        return _vector_dsp(node), node.rate * _table_bram(node) if node.tables else 0, 0
    if isinstance(node, Rows):
        return node.rate * _table_dsp(node), node.rate * _table_bram(node) if node.tables else 0, 0
    if isinstance(node, Buffer | ConstantMemory | Image):
        count, width, depth = shape(node)
        bram, uram = block_memory(width, depth, memory_style(node, ultra))
        return 0, count * bram, count * uram
    if isinstance(node, Load | Store):
        depth = LOAD_WORDS if isinstance(node, Load) else STORE_WORDS
        return (0, *block_memory(node.port_bits, depth, "block"))
    return 0, 0, 0


def static_resources(program: Program, uram: int) -> dict[str, Any]:
    """``resources`` of the report as far as they can be counted: ``dsp``, ``bram36``, ``uram``; ``lut``, ``ff`` None.

    ``by_module`` has the same counts for each kind of node.

    Parameters
    ----------
    uram : UltraRAMs of the device.
    """
    ultra = ultra_memories(program, uram)
    kinds: dict[str, dict[str, float | None]] = {}
    parts: list[tuple[str, tuple[float, float, int]]] = [
        (node.kind, _node(node, ultra)) for node in program.nodes
    ]
    parts += [
        ("link", (0, *block_memory(link.lanes * link.bits, link.depth, "block"))) for link in program.links
    ]
    total = [0.0, 0.0, 0.0]
    for kind, counts in parts:
        own = kinds.setdefault(kind, {"dsp": 0, "bram36": 0, "uram": 0, "lut": None, "ff": None})
        for index, (name, count) in enumerate(zip(("dsp", "bram36", "uram"), counts, strict=True)):
            own[name] = (own[name] or 0) + count
            total[index] += count
    shown = {kind: own for kind, own in kinds.items() if own["dsp"] or own["bram36"] or own["uram"]}
    return {
        "dsp": int(total[0]),
        "bram36": total[1],
        "uram": int(total[2]),
        "lut": None,
        "ff": None,
        "source": SOURCE,
        "by_module": shown,
    }
