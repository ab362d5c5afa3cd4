"""Gathers, argmaxes and routers as the C++ side reads them."""

from __future__ import annotations

from intar.engine.encoding.encoder import Encoder
from intar.ir.bits import INDEX_BITS
from intar.ir.nodes.movers import Argmax, Gather, Router


def gather(e: Encoder, node: Gather) -> None:
    """Append a gather and the elements that it takes."""
    e.port(node, "in", bool(node.steps), node.lanes, node.bits)
    e.port(node, "out", bool(node.steps), node.lanes)
    steps = e.played(node.steps)
    e.put(node.lanes, len(steps))
    for index, step in enumerate(steps):
        e.walk(f"{node.name} step {index}", step.walk)
        e.put(step.row)
    e.unit(node, "", steps, node.steps)


def argmax(e: Encoder, node: Argmax) -> None:
    """Append an argmax and its rows."""
    e.port(node, "in", bool(node.steps), node.lanes, node.bits)
    e.port(node, "out", bool(node.steps), 1, INDEX_BITS)
    steps = e.played(node.steps)
    e.put(node.lanes, len(steps))
    for step in steps:
        e.put(step.rows, *node.beats(step))
    e.unit(node, "", steps, node.steps)


def router(e: Encoder, node: Router) -> None:
    """Append a router: its ports, and the legs of each step."""
    sources = {leg.src for step in node.steps for leg in step.legs}
    targets = {dst for step in node.steps for leg in step.legs for dst in leg.dsts}
    e.expect(all(0 <= i < node.inputs for i in sources), node.name, "a leg's input is out of range")
    e.expect(all(0 <= i < node.outputs for i in targets), node.name, "a leg's output is out of range")
    e.put(node.inputs)
    for index in range(node.inputs):
        e.port(node, f"in{index}", index in sources, node.lanes, node.bits)
    e.put(node.outputs)
    for index in range(node.outputs):
        e.port(node, f"out{index}", index in targets, node.lanes, node.leaving_bits)
    steps = e.played(node.steps)
    e.put(len(steps))
    for index, step in enumerate(steps):
        sound = bool(step.legs) and step.period > 0 and step.beats >= 0 and step.beats_last >= 0
        e.expect(sound, f"{node.name} step {index}", "no legs, or bad counts")
        e.put(step.rounds, step.beats, step.period, step.beats_last, len(step.legs))
        for leg in step.legs:
            e.put(leg.src, len(leg.dsts), *leg.dsts)
    e.unit(node, "", steps, node.steps)
