"""Rows nodes in RTL."""

from __future__ import annotations

from intar.codegen.rtl_nodes.functions import (
    FUNCTION,
    SLOT_LOAD,
    VALUE_BITS,
    lookup_parameters,
    table_fields,
    table_load_fields,
)
from intar.codegen.rtl_nodes.program import (
    Rom,
    fields,
    last_of,
    rom,
)
from intar.codegen.rtl_nodes.site import Instance, Site
from intar.ir.nodes.rows import Rows

ROWS = (
    *fields(32, "rows_end beats_end"),
    *fields(17, "cols first"),
    ("grow", 1),
    ("kind", 2),
    ("centred", 1),
    ("lift", 4),
    ("cached", 17),
    ("mult", 25),
    ("shift", 6),
    ("numerator", 61),
    ("out_shift", 6),
    *fields(VALUE_BITS, "zero lo hi"),
    *FUNCTION,
)
ROWS_HEAD = 123
"""Bits of a step below its numbers, which may differ from round to round."""
KINDS = ("softmax", "norm", "unit", "peak")


def rows(site: Site, made: Instance, node: Rows) -> None:
    """Parameters and ports of a rows node."""
    made.parameters += [
        ("LANES", node.lanes),
        ("RATE", node.rate),
        ("BITS", node.bits),
        ("DEPTH", node.depth),
        ("SLOTS", node.held),
        ("DIVISIONS", node.divisions),
        ("SOFTMAX", f"1'b{int(node.softmax)}"),
        ("NORM", f"1'b{int(node.norm)}"),
        ("PEAK", f"1'b{int(node.peaks)}"),
        *site.in_rounds("", rows_rom(node), node.steps, ROWS_HEAD),
    ]
    made.ports.append(("round", "round"))
    if node.loads:
        flags = {"TABLE": True, "SLOPES": node.slopes, "CURVES": node.curves}
        made.parameters += [(name, f"1'b{int(value)}") for name, value in flags.items()]
        made.parameters += lookup_parameters(node)
        made.parameters += site.in_rounds("LOAD_", loads_rom(node), node.loads, 0)
    made.ports.append(("position", "position" if node.placed else "32'd0"))
    site.stream(made, node, "in", False, node.lanes, node.bits)
    site.stream(made, node, "params", False, node.lanes, 32)
    site.stream(made, node, "tables", False, node.lanes, 32)
    site.stream(made, node, "out", True, node.lanes, node.bits)


def rows_rom(node: Rows) -> Rom:
    """The program of a rows node; the numerator's place has epsilon where a row is normalised."""
    steps = []
    for s in node.steps:
        fields = last_of(node.name, rows=s.rows, beats=s.beats(node.lanes)) | {"grow": int(s.grow)}
        fields |= {"kind": KINDS.index(s.op), "centred": int(s.centred)}
        fields |= {"numerator": s.epsilon if s.op == "norm" else s.numerator}
        names = ("cols", "first", "cached", "lift", "mult", "shift", "out_shift", "zero", "lo", "hi")
        if s.table >= 0:
            fields |= table_fields(node.tables[s.table]) | {"table_use": 1}
        steps.append((fields | {name: getattr(s, name) for name in names}, s.note))
    return rom(ROWS, node.name, steps, node.steps)


def loads_rom(node: Rows) -> Rom:
    """The tables that a rows node fills; a step that is never played where there are none."""
    loads = [(table_load_fields(node.tables[load.table]), load.note) for load in node.loads]
    return rom(SLOT_LOAD, node.name, loads, node.loads)
