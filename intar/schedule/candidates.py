"""Schedules that the engine may find faster than the solver's best one: their cycles are within what its model is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from intar.errors import InfeasibleError
from intar.ir.quantgraph import ROW_WISE, QuantGraph
from intar.ir.schedule import Machine, Mode, Schedule
from intar.schedule.build import own_banks
from intar.schedule.pins import Pins
from intar.schedule.solve import solve
from intar.schedule.timeline import timeline
from intar.schedule.urgency import by_urgency
from intar.schedule.validate import validate

RESTRICTED: tuple[Mode, ...] = ("intar", "sequential", "dataflow")
MOST_BANKS = 24
"""Banks for every copy, at most. Switches reach 128, but each costs memory and an output of every switch in front of it, for
cycles only: rnet's 33 banks of their own take 36 BRAM36 more (245.5 for 209.5) and 34 of 94,244 cycles less."""
NEAR = 0.1
"""The timeline and the engine's cycles agree within this share: what is closer together is told apart by the engine."""

FORMS = 2
"""Forms of a schedule (banks, order of its stages) that the engine tells apart, at most."""


def candidates(
    graph: QuantGraph, machine: Machine, mode: Mode, pins: Pins | None, *, alone: bool = True
) -> list[Schedule]:
    """The solver's best schedule of a mode; in mode ``auto`` the schedules, of it and its rivals, that take about as long as
    the fastest one by their timelines, in this order.

    Parts of a network are not `alone`: they share the memory, of which each takes the least, and are all in one mode.
    """
    best = solve(graph, machine, mode, pins)
    if mode != "auto":
        return [best]
    timed: dict[tuple[Any, ...], tuple[int, Schedule]] = {}
    for schedule in (best, *_rivals(graph, best, pins, alone)):
        forms = {_what_runs(form): form for form in _forms(schedule, graph, alone)}
        ways = [(timeline(form, graph)[1], way) for way, form in forms.items() if way not in timed]
        for cycles, way in sorted(ways, key=lambda pair: pair[0])[:FORMS]:
            timed[way] = cycles, forms[way]
    near = min(cycles for cycles, _ in timed.values()) * (1 + NEAR)
    ranked = sorted(timed.values(), key=lambda pair: pair[0])
    return [schedule for cycles, schedule in ranked if cycles <= near]


def _forms(schedule: Schedule, graph: QuantGraph, alone: bool) -> Iterator[Schedule]:
    """A schedule with shared banks and its own, each as it is and with its most urgent stages first."""
    for form in (schedule, *(_own_banks(schedule, graph) if alone else ())):
        yield form
        if reordered := by_urgency(form, graph):
            yield reordered


def _what_runs(schedule: Schedule) -> tuple[Any, ...]:
    """All of a schedule that its program depends on."""
    return schedule.stages, schedule.residency, schedule.banks


def _rivals(graph: QuantGraph, best: Schedule, pins: Pins | None, alone: bool) -> Iterator[Schedule]:
    """Schedules that the engine may find faster than the solver's best one, claiming no more than is proved of them."""
    if apart := _rows_apart(graph, best, pins):
        with suppress(InfeasibleError):
            rival = solve(graph, best.machine, best.mode, apart)
            yield rival.model_copy(update={"bound": best.bound, "status": "FEASIBLE"})
    patterns = {stage.pattern for stage in best.stages}
    grouped = any(place.unit for stage in best.stages for place in stage.tasks)
    for restricted in RESTRICTED:
        if grouped and restricted != "intar":
            continue  # heads are in groups because these run side by side, on equal shares of the cores
        known = {"intar": "interleaved" not in patterns, "sequential": patterns == {"sequential"}}
        if best.status == "OPTIMAL" and known.get(restricted, False):
            continue  # `best` is the answer
        if restricted == "dataflow" and not alone:
            continue
        try:
            rival = solve(graph, best.machine, restricted, pins)
        except InfeasibleError:
            continue
        if restricted != "dataflow":  # whose stages are not all stages of auto: it stays what it is
            status = best.status if rival.objective == best.objective else "FEASIBLE"
            rival = rival.model_copy(update={"mode": best.mode, "bound": best.bound, "status": status})
        yield rival


def _rows_apart(graph: QuantGraph, best: Schedule, pins: Pins | None) -> Pins | None:
    """Pins that put row reductions and the matmuls with which they alternate in stages of their own: there they follow each
    other, too, which the solver's model does not see, and weights come once; None if there are none, or someone chose."""
    row_wise = {task.name for task in graph.tasks if isinstance(task, ROW_WISE)}
    mixed = [[p.task for p in stage.tasks] for stage in best.stages if stage.pattern == "interleaved"]
    names = [name for stage in mixed if row_wise.intersection(stage) for name in stage]
    chosen = pins or Pins()
    if not names or not chosen.pattern.keys().isdisjoint(names):
        return None
    return replace(chosen, pattern={**chosen.pattern, **dict.fromkeys(names, "sequential")})


def _own_banks(schedule: Schedule, graph: QuantGraph) -> Iterator[Schedule]:
    """The schedule with a bank for every copy of a tensor, if that fits: no stage waits for the readers of another."""
    apart = own_banks(schedule)
    if len(apart.banks) <= MOST_BANKS and not validate(apart, graph):
        yield apart
