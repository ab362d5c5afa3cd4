"""Vector units in RTL."""

from __future__ import annotations

from intar.codegen.rtl_nodes.functions import (
    FUNCTION,
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
from intar.codegen.shifts import shift_code
from intar.ir.nodes.vector import UNIT_MULT, Rational, Vector, VectorStep
from intar.ir.rational import FRACTIONS
from intar.ir.segments import first_rounds

VECTOR = (
    *fields(32, "groups_end beats_end"),
    *fields(1, "source_x per_channel uses_y load use_params by_row affine"),
    ("late", 1),
    ("mult", 32),
    ("shift", 8),
    ("bias", 64),
    *fields(VALUE_BITS, "zero lo hi b_zx b_zy"),
    *fields(32, "b_mx b_my"),
    ("b_shift", 6),
    ("multiply", 1),
    *fields(VALUE_BITS, "b_zero b_lo b_hi"),
    *FUNCTION,
    ("load_first", 16),
    ("load_end", 16),
    ("rational_zero", VALUE_BITS),
    ("rational_lift", 4),
    ("rational_first", 16),
    ("rational_fine", 1),
    ("rational_used", 1),
    *fields(VALUE_BITS, "rational_out rational_lo rational_hi"),
    ("sets_end", 16),
    ("spread", 1),
)
VECTOR_HEAD = 72
"""Bits of a step below its numbers, which may differ from round to round."""
MAXIMUM = fields(32, "maxima_end beats_end")
_HIGHEST = (1 << (VALUE_BITS - 1)) - 1
_IDENTITY_AFFINE = {"mult": UNIT_MULT, "shift": 30, "lo": -_HIGHEST - 1, "hi": _HIGHEST}
_IDENTITY_BINARY = {"b_mx": 2, "b_shift": 1, "b_lo": -_HIGHEST - 1, "b_hi": _HIGHEST}


def vector(site: Site, made: Instance, node: Vector) -> None:
    """Parameters and ports of a vector unit."""
    work = [step for step in node.steps if step.load < 0]
    used = {port: f"{node.name}.{port}" in site.by_end for port in ("acc", "x", "y")}
    flags = {
        "HAS_ACC": used["acc"],
        "HAS_X": used["x"],
        "HAS_Y": used["y"],
        "LANE_PARAMS": any(step.per_channel and step.params == "lane" for step in work),
        "ROW_PARAMS": any(step.per_channel and step.params == "row" for step in work),
        "AFFINE": any(step.affine for step in work),
        "BINARY": any(step.binary != "none" for step in work),
        "MERGED": node.merged,
        "PRODUCT": any(step.binary == "mul" for step in work),
        "LATE": any(step.late for step in work),
        "SPREAD": any(step.spread for step in work),
        "SHIFT_ONLY": node.shift_only,
        "RATIONAL": bool(node.rationals),
        "TABLE": bool(node.tables),
        "SLOPES": node.slopes,
        "CURVES": node.curves,
    }
    made.parameters += [
        ("LANES", node.lanes),
        ("RATE", node.rate),
        ("ACC_BITS", node.acc_bits),
        ("BITS", node.bits),
    ]
    made.parameters += [(name, f"1'b{int(value)}") for name, value in flags.items()]
    made.parameters += [("VALUE_BITS", node.value_bits)]
    made.parameters += [("SETS", max(1, node.rational_groups)), *lookup_parameters(node)]
    made.parameters += site.in_rounds("", vector_rom(node), node.steps, VECTOR_HEAD)
    made.ports.append(("round", "round"))
    if any(step.reduce > 1 for step in work):
        made.parameters += [("REDUCE", "1'b1"), *site.steps("X_", maximum_rom(node))]
    if any(step.pool > 1 for step in work):
        made.parameters += [("POOL", "1'b1"), *site.steps("OUT_", pool_rom(node))]
    site.stream(made, node, "acc", False, node.lanes, node.acc_bits)
    site.stream(made, node, "x", False, node.lanes, node.bits)
    site.stream(made, node, "y", False, node.lanes, node.bits)
    site.stream(made, node, "params", False, node.lanes, 32)
    site.stream(made, node, "out", True, node.lanes, node.bits)


def vector_rom(node: Vector) -> Rom:
    """The program of a vector unit; an operation that a step does not use becomes the identity."""
    merged = node.merged
    return rom(VECTOR, node.name, ((_vector_fields(node, s, merged), s.note) for s in node.steps), node.steps)


def _vector_fields(node: Vector, step: VectorStep, merged: bool) -> dict[str, int]:
    if step.load >= 0:
        slot = node.slots[step.load]
        if isinstance(slot, Rational):
            return {"load": 1, "sets_end": slot.groups - 1} | _rational_fields(slot)
        return {"load": 1} | table_load_fields(slot) | table_fields(slot)
    fields = last_of(node.name, groups=step.groups, beats=step.beats)
    fields |= {
        "source_x": step.source == "x",
        "per_channel": step.per_channel,
        "use_params": step.per_channel and step.affine,
        "by_row": step.params == "row",
        "affine": step.affine,
        "uses_y": step.binary != "none",
        "late": step.late,
        "spread": step.spread,
    }
    if step.per_channel and step.params == "row":
        fields |= {"load_first": step.block - 1, "load_end": step.first}
    if step.affine:
        place = "b_" if merged else ""
        fields |= {f"{place}zero": step.zero, f"{place}lo": step.lo, f"{place}hi": step.hi}
        if not step.per_channel:
            fields |= {"mult": step.mult, "shift": step.shift, "bias": step.bias}
    else:
        fields |= _IDENTITY_AFFINE
    if step.binary != "none":
        names = ("b_zx", "b_zy", "b_mx", "b_my", "b_shift", "b_zero", "b_lo", "b_hi")
        fields |= {name: getattr(step, name) for name in names} | {"multiply": step.binary == "mul"}
        if node.shift_only:
            fields |= {"b_mx": shift_code(step.b_mx) & 31, "b_my": shift_code(step.b_my)}
    elif not (merged and step.affine):
        fields |= _IDENTITY_BINARY
        if node.shift_only:
            fields["b_mx"] = 1
    if step.table >= 0:
        slot = node.slots[step.table]
        fields |= (
            _rational_fields(slot) if isinstance(slot, Rational) else table_fields(slot) | {"table_use": 1}
        )
    return fields


def _rational_fields(slot: Rational) -> dict[str, int]:
    return {
        "rational_zero": slot.zero,
        "rational_lift": slot.lift,
        "rational_first": slot.first,
        "rational_fine": slot.fraction == FRACTIONS[1],
        "rational_used": 1,
        "rational_out": slot.out_zero,
        "rational_lo": slot.lo,
        "rational_hi": slot.hi,
    }


def maximum_rom(node: Vector) -> Rom:
    """The program of the maxima in front of a vector unit: a step for each step that reads x."""
    reads = [step for step in first_rounds(node.steps) if step.load < 0 and step.source == "x"]
    return rom(
        MAXIMUM,
        node.name,
        (
            (last_of(node.name, maxima=step.groups * step.beats, beats=step.reduce), step.note)
            for step in reads
        ),
        reads,
    )


def pool_rom(node: Vector) -> Rom:
    """The program of the maxima behind a vector unit: a step for each step that gives results."""
    work = [step for step in first_rounds(node.steps) if step.load < 0]
    return rom(
        MAXIMUM,
        node.name,
        ((last_of(node.name, maxima=s.groups * s.beats // s.pool, beats=s.pool), s.note) for s in work),
        work,
    )
