"""Gathers, argmaxes and routers in RTL."""

from __future__ import annotations

from intar.codegen.rtl_nodes.program import (
    Layout,
    Rom,
    fields,
    last_of,
    rom,
)
from intar.codegen.rtl_nodes.site import Instance, Site
from intar.codegen.rtl_nodes.walks import WALK, walk_bits, walk_fields
from intar.ir.bits import INDEX_BITS
from intar.ir.nodes.movers import Argmax, Gather, Router

GATHER = (*WALK, ("row_end", 32))
ARGMAX = fields(32, "rows_end beats_end last")


def gather(site: Site, made: Instance, node: Gather) -> None:
    """Parameters and ports of a gather."""
    walks = [(step.walk, 1) for step in node.steps]
    address_bits, count_bits = walk_bits(walks, node.lanes - 1, node.lanes)
    made.parameters += [
        ("LANES", node.lanes),
        ("BITS", node.bits),
        ("ADDRESS_BITS", address_bits),
        ("COUNT_BITS", count_bits),
        *site.steps("", gather_rom(node)),
    ]
    site.stream(made, node, "in", False, node.lanes, node.bits)
    site.stream(made, node, "out", True, node.lanes, node.bits)


def gather_rom(node: Gather) -> Rom:
    """The program of a gather."""
    return rom(
        GATHER,
        node.name,
        (
            (walk_fields(s.walk, node.name, node.lanes) | last_of(node.name, row=s.row), s.note)
            for s in node.steps
        ),
        node.steps,
    )


def argmax(site: Site, made: Instance, node: Argmax) -> None:
    """Parameters and ports of an argmax."""
    made.parameters += [("LANES", node.lanes), ("BITS", node.bits)]
    made.parameters += site.steps("", argmax_rom(node))
    site.stream(made, node, "in", False, node.lanes, node.bits)
    site.stream(made, node, "out", True, 1, INDEX_BITS)


def argmax_rom(node: Argmax) -> Rom:
    """The program of an argmax."""
    steps = []
    for s in node.steps:
        beats, last = node.beats(s)
        steps.append((last_of(node.name, rows=s.rows, beats=beats) | {"last": last}, s.note))
    return rom(ARGMAX, node.name, steps, node.steps)


def router(site: Site, made: Instance, node: Router) -> None:
    """Parameters and ports of a router."""
    made.parameters += [
        ("INPUTS", node.inputs),
        ("OUTPUTS", node.outputs),
        ("LANES", node.lanes),
        ("BITS", node.bits),
        ("OUT_BITS", node.leaving_bits),
        ("MAX_LEGS", max_legs(node)),
        *site.steps("", router_rom(node)),
    ]
    sides = (("in", node.inputs, False, node.bits), ("out", node.outputs, True, node.leaving_bits))
    for side, count, output, bits in sides:
        single = Instance(made.module, made.name, "")
        for index in range(count):
            site.stream(single, node, f"{side}{index}", output, node.lanes, bits)
        made.unused += single.unused
        for pin in ("valid", "ready", "data"):
            signals = dict(single.ports)
            whole = ", ".join(signals[f"{side}{index}_{pin}"] for index in reversed(range(count)))
            made.ports.append((f"{side}_{pin}", f"{{{whole}}}"))


def router_rom(node: Router) -> Rom:
    """The program of a router."""
    steps = []
    for s in node.steps:
        fields = {"beats": s.beats, "beats_last": s.beats_last}
        fields |= last_of(node.name, rounds=s.rounds, period=s.period, legs=len(s.legs))
        for i, leg in enumerate(s.legs):
            fields |= {f"source{i}": leg.src, f"targets{i}": sum(1 << dst for dst in set(leg.dsts))}
        steps.append((fields, s.note))
    return rom(router_layout(max_legs(node), node.outputs), node.name, steps, node.steps)


def router_layout(legs: int, outputs: int) -> Layout:
    """The layout of a router's step with room for `legs` legs, each to any of `outputs` outputs."""
    targets = 32 * -(-outputs // 32)
    head = (*fields(32, "rounds_end period_end beats beats_last"), ("legs_end", 8))
    return head + tuple(field for i in range(legs) for field in ((f"source{i}", 8), (f"targets{i}", targets)))


def max_legs(node: Router) -> int:
    """Most legs of any step."""
    return max((len(step.legs) for step in node.steps), default=1)
