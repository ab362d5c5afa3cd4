"""Vector units as the C++ side reads them."""

from __future__ import annotations

from intar.engine.encoding.encoder import Encoder
from intar.engine.encoding.functions import tables
from intar.ir.nodes.vector import UNIT_MULT, Vector, VectorStep, power_of_two, set_places
from intar.ir.rational import FRACTIONS, reciprocals

_BINARY = {"none": 0, "add": 1, "mul": 2}


def shifts_only(step: VectorStep) -> bool:
    """The step's own multipliers are powers of two; those that come through ``params`` are checked when they come."""
    if step.affine and not step.per_channel and step.mult != UNIT_MULT:
        return False
    if step.binary == "mul":
        return step.b_mx == UNIT_MULT
    return step.binary == "none" or (power_of_two(step.b_mx) and power_of_two(abs(step.b_my)))


def vector(e: Encoder, node: Vector) -> None:
    """Append a vector unit: its operations, functions and steps."""
    work = [step for step in node.steps if step.load < 0]
    e.port(node, "acc", any(step.source == "acc" for step in work), node.lanes)
    e.port(node, "x", any(step.source == "x" for step in work), node.lanes)
    e.port(node, "y", any(step.binary != "none" for step in work), node.lanes)
    e.port(node, "params", any(s.load >= 0 or s.per_channel for s in node.steps), node.lanes, 32)
    e.port(node, "out", bool(work), node.lanes)
    e.expect(node.rate > 0 and node.lanes % max(node.rate, 1) == 0, node.name, "rate does not divide lanes")
    for index, step in enumerate(node.steps):
        e.expect(
            not node.shift_only or step.load >= 0 or shifts_only(step),
            f"{node.name} step {index}",
            "a multiplier of a unit without multipliers is no power of two",
        )
    # Merged, the affine operation takes the place of the binary one in the pipeline.
    e.put(node.lanes, node.rate, any(step.affine for step in work) and not node.merged)
    e.put(node.value_bits, node.shift_only)
    e.put(any(step.binary != "none" for step in work))
    tables(e, node)
    _rationals(e, node)
    e.put(any(step.reduce > 1 for step in work), any(step.pool > 1 for step in work))
    steps = e.played(node.steps)
    e.put(len(steps))
    for index, step in enumerate(steps):
        _vector_step(e, node, f"{node.name} step {index}", step)
    e.unit(node, "", steps, node.steps)


def _rationals(e: Encoder, node: Vector) -> None:
    e.put(node.lanes, node.rational_groups, len(node.rationals))
    for slot in node.rationals:
        e.expect(slot.fraction in FRACTIONS, node.name, f"{slot.fraction} bits after the point")
        e.put(slot.first, slot.groups, slot.zero, slot.lift, slot.fraction, slot.out_zero, slot.lo, slot.hi)
    pieces = reciprocals() if node.rationals else ()
    e.put(len(pieces), *(number for piece in pieces for number in piece))


def _vector_step(e: Encoder, node: Vector, where: str, step: VectorStep) -> None:
    count = len(node.slots)
    e.expect(-1 <= step.table < count and -1 <= step.load < count, where, "there is no such slot")
    if step.load < 0 and step.table >= 0 and node.slots[step.table].groups > 1:
        e.expect(step.per_channel, where, "a function with groups needs parameters that say which")
    e.expect(step.load >= 0 or (step.groups > 0 and step.beats > 0), where, "no groups or beats")
    if step.load < 0 and step.binary == "add":
        e.expect(1 <= step.b_shift <= 62, where, f"shift {step.b_shift} of the sum")
    e.expect(step.reduce == 1 or step.source == "x", where, "the maximum of beats is taken of x only")
    e.put(step.groups, step.beats, step.source == "x", step.affine, step.per_channel and step.load < 0)
    whole = step.load >= 0 or step.groups * step.beats % step.pool == 0
    e.expect(whole, where, f"{step.groups * step.beats} results don't make maxima of {step.pool}")
    by_row = step.load < 0 and step.per_channel and step.params == "row"
    whole = not by_row or step.groups % step.block == 0
    e.expect(whole, where, f"{step.groups} groups don't make blocks of {step.block}")
    places = set_places(node.lanes)
    e.expect(not by_row or step.first < places, where, f"place {step.first} in a beat of {places} sets")
    e.put(by_row, step.block if by_row else 1, step.first, step.reduce, step.pool)
    late = step.affine and step.per_channel and step.params == "lane" and step.binary == "mul"
    e.expect(late or not step.late, where, "a late bias needs parameters of columns and a product")
    e.put(step.mult, step.shift, step.bias, step.late, step.zero, step.lo, step.hi, _BINARY[step.binary])
    e.put(step.b_zx, step.b_zy, step.b_mx, step.b_my, step.b_shift, step.b_zero, step.b_lo, step.b_hi)
    e.expect(step.binary == "mul" or not step.spread, where, "only a factor is spread over the lanes")
    e.put(step.spread)
    (table, rational), (load, load_rational) = node.places(step.table), node.places(step.load)
    e.put(table, load, rational, load_rational)
