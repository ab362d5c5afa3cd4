"""Functions that vector units and rows nodes look up: fields of steps, and the memories of tables."""

from __future__ import annotations

from math import gcd

from intar.codegen.rtl_nodes.program import (
    Rom,
    fields,
)
from intar.ir.nodes.vector import Lookups, Table

TABLE_LUTRAM_DEPTH = 128
"""Up to so many words of entries tables are LUTRAM."""
VALUE_BITS = 18
"""Bits of a value between two operations of a vector unit, and of zero points and clamp bounds."""
FUNCTION = (
    ("table_use", 1),
    ("table_half", 17),
    ("table_low_bits", 4),
    ("table_first", 16),
    ("table_log", 4),
    ("table_q", 5),
    *fields(VALUE_BITS, "table_lo table_hi"),
)
SLOT_LOAD = (("load_first", 16), ("load_end", 16), ("table_q", 5), *fields(VALUE_BITS, "table_lo table_hi"))


def table_fields(table: Table) -> dict[str, int]:
    """The fields of `FUNCTION` for a table that a step looks up."""
    return {
        "table_half": 1 << (table.in_bits - 1),
        "table_low_bits": table.in_bits - table.log_entries,
        "table_first": table.first,
        "table_log": table.log_entries,
        "table_q": table.q,
        "table_lo": table.lo,
        "table_hi": table.hi,
    }


def table_load_fields(table: Table) -> dict[str, int]:
    """The fields of `SLOT_LOAD` for a table that is filled."""
    bounds = {"table_q": table.q, "table_lo": table.lo, "table_hi": table.hi}
    return {"load_first": table.first, "load_end": table.entries - 1} | bounds


def table_words(node: Lookups) -> tuple[int, int]:
    """(entries that are written at a time, words of so many entries) of the memories of a lane's tables."""
    written = gcd(node.lanes, 4) * 32 // node.entry_bits
    return written, -(-node.table_entries // written)


def table_style(node: Lookups) -> str:
    """``ram_style`` of those: wide and low, they would leave most of their block memories empty."""
    return "block" if table_words(node)[1] > TABLE_LUTRAM_DEPTH else "distributed"


def lookup_parameters(node: Lookups) -> list[tuple[str, str | int | Rom]]:
    """Parameters of the memories of a unit's tables."""
    return [
        ("TABLE_ENTRIES", max(1, node.table_entries)),
        ("GROUP_BITS", node.group_bits),
        ("BASE_BITS", node.base_bits if node.slopes else node.result_bits),
        ("SLOPE_BITS", node.slope_bits),
        ("CURVE_BITS", node.curve_bits),
        ("WIDTH", node.entry_bits),
        ("STYLE", f'"{table_style(node)}"'),
    ]
