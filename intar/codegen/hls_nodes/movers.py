"""Gathers, argmaxes and routers in C++."""

from __future__ import annotations

from intar.codegen.hls_nodes.text import braces
from intar.codegen.hls_nodes.view import Parts, View
from intar.codegen.hls_nodes.walks import WALK_COLUMNS, walk_row
from intar.codegen.hls_types import Row
from intar.errors import InternalError
from intar.ir.nodes.movers import Argmax, Gather, Router, RouterStep


def gather(view: View, node: Gather) -> Parts:
    """A task that walks through elements."""
    roms = (
        view.listed(
            "intar::walk",
            "STEPS",
            WALK_COLUMNS,
            [walk_row(step, node.lanes) for step in node.steps],
            node.steps,
        ),
        view.rom("int32_t", "ROWS", "elements per row", [Row(str(step.row)) for step in node.steps]),
    )
    task = view.task(
        "task",
        "one element a cycle",
        (view.port("in"), view.port("out")),
        f"intar::gather<{node.lanes}, {node.bits}>",
        (roms[0].name, roms[1].name, "in", "out"),
    )
    return Parts(roms, (task,))


def argmax(view: View, node: Argmax) -> Parts:
    """A task that finds places of maxima."""
    rows = [Row(braces(s.rows, *node.beats(s)), s.note) for s in node.steps]
    rom = view.rom(
        "intar::argmax_step",
        "STEPS",
        "rows, beats, lanes of the last beat",
        rows,
        [s.segment for s in node.steps],
    )
    task = view.task(
        "task",
        "index of the first largest element of each row",
        (view.port("in"), view.port("out")),
        f"intar::argmax<{node.lanes}, {node.bits}>",
        (rom.name, "in", "out"),
    )
    return Parts((rom,), (task,))


def router(view: View, node: Router) -> Parts:
    """A task that passes beats on, leg by leg; the template writes its loop, since streams are no arrays."""
    if node.outputs > 128:
        raise InternalError(f"router {node.name!r} has {node.outputs} outputs, a pattern has bits for 128")
    legs: list[Row] = []
    steps: list[Row] = []
    segments: list[int] = []
    beats = [0 for _ in view.program.segments]
    for step in filter(None, map(plain_rounds, node.steps)):
        steps.append(
            Row(
                braces(step.rounds, len(legs), len(step.legs), step.beats, step.period, step.beats_last),
                step.note,
            )
        )
        segments.append(step.segment)
        for leg in step.legs:
            mask = sum(1 << target for target in set(leg.dsts))
            legs.append(
                Row(
                    braces(leg.src, braces(f"{mask % (1 << 64):#x}u", f"{mask >> 64:#x}u")),
                    f"in{leg.src} to {', '.join(f'out{d}' for d in sorted(set(leg.dsts)))}",
                )
            )
        long_rounds = step.rounds // step.period
        beats[step.segment] += len(step.legs) * (
            long_rounds * step.beats_last + (step.rounds - long_rounds) * step.beats
        )
    columns = "rounds, first leg, legs, beats, period, beats_last"
    listed = view.rom("intar::router_step", "STEPS", columns, steps, segments)
    roms = [listed, view.rom("intar::router_leg", "LEGS", "source, targets", legs)]
    total = str(beats[0])
    if len(beats) > 1:
        roms.append(view.rom("int32_t", "BEATS", "beats of each segment", [Row(str(b)) for b in beats]))
        total = f"{roms[-1].name}[segment]"
    ports = [view.port(f"in{i}") for i in range(node.inputs)] + [
        view.port(f"out{i}") for i in range(node.outputs)
    ]
    task = view.task(
        "task",
        "static switch",
        ports,
        "",
        (f"{listed.name}, {roms[1].name}",),
        router=node,
        first=f"{view.part(listed)}.first" if len(beats) > 1 else "0",
        beats=total,
    )
    return Parts(tuple(roms), (task,))


def plain_rounds(step: RouterStep) -> RouterStep | None:
    """The step without rounds that move nothing; None if nothing is left. The order of beats stays."""
    long_rounds = step.rounds // step.period
    short_rounds = step.rounds - long_rounds
    if step.beats_last and (step.beats or not short_rounds):
        return step
    rounds, beats = (long_rounds, step.beats_last) if step.beats_last else (short_rounds, step.beats)
    if rounds * beats == 0:
        return None
    return step.model_copy(update={"rounds": rounds, "beats": beats, "beats_last": beats, "period": 1})
