"""The path of a design, arrow by arrow: integers → schedules → program and cycles, which decide between the schedules."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from intar.design import Design, engine_memory
from intar.engine import LONGEST_RUN, EngineResult, plan_merged, run
from intar.errors import InfeasibleError, InternalError
from intar.ir.quantgraph import Part, QuantGraph, Quantised
from intar.ir.repeats import Loops
from intar.ir.schedule import AnySchedule, Machine, Mode, PartedSchedule, Schedule
from intar.lower.lower import Lowered, lower
from intar.lower.parts import Network as LoweredNetwork
from intar.lower.parts import lower_networks
from intar.quant.blocks import Pieces, pieces
from intar.quant.divide import divide
from intar.quant.forms import form_of, machine_form
from intar.quant.heads import group_heads
from intar.schedule.candidates import candidates
from intar.schedule.parts import schedule_parts
from intar.schedule.pins import Pins
from intar.schedule.validate import validate


def design(quantised: Quantised, schedule: AnySchedule) -> Design:
    """Lower a schedule, interleave its buffers for the HLS back end and predict its cycles.

    Raises
    ------
    UnsupportedError
        The network does not fall into the schedule's parts.
    InfeasibleError
        The buffers of the schedule's parts together do not fit on chip.
    InternalError
        The validator or the engine finds a fault in what we made.
    """
    quantised = form_of(quantised, schedule)
    if isinstance(schedule, PartedSchedule):
        return _finish(quantised, _try_parts(quantised, divide(quantised, schedule.pieces), schedule))
    return _finish(quantised, _try(quantised, schedule))


@dataclass(frozen=True)
class _Trial:
    """A schedule as it is lowered, and the engine's run of it."""

    schedule: AnySchedule
    lowered: Lowered
    predicted: EngineResult


def _try(quantised: Quantised, schedule: Schedule, limit: int = LONGEST_RUN) -> _Trial:
    """Lower a schedule and run it for up to `limit` cycles."""
    _check(schedule, quantised.graph)
    return _run(schedule, lower(quantised, schedule), limit)


def plans(parts: Sequence[Part], schedule: PartedSchedule) -> list[Schedule]:
    """The schedules of the parts of a network, checked."""
    for part, own in zip(parts, schedule.parts, strict=True):
        _check(own.schedule, part.graph)
    return [own.schedule for own in schedule.parts]


def _try_parts(quantised: Quantised, parts: Sequence[Part], schedule: PartedSchedule) -> _Trial:
    """Lower the parts of a network into one machine and run it."""
    network = LoweredNetwork(quantised.graph.name, quantised, parts, plans(parts, schedule))
    lowered = lower_networks([network])
    return _run(schedule, lowered, LONGEST_RUN)


def _run(schedule: AnySchedule, lowered: Lowered, limit: int) -> _Trial:
    memory = engine_memory(schedule.machine)
    predicted = run(lowered.program, {}, memory=memory, values=False, max_cycles=limit)
    if predicted.deadlock is not None and (predicted.deadlock.kind != "limit" or limit == LONGEST_RUN):
        predicted.raise_deadlock()
    return _Trial(schedule, lowered, predicted)


def _finish(quantised: Quantised, trial: _Trial) -> Design:
    """The design of a schedule that was tried: what is left is the order of its buffers' sides in C++."""
    memory = engine_memory(trial.schedule.machine)
    program = plan_merged(trial.lowered.program, memory, ran=trial.predicted)
    return Design(quantised, trial.schedule, program, trial.lowered.images, trial.predicted)


def _check(schedule: Schedule, graph: QuantGraph) -> None:
    broken = validate(schedule, graph)
    if broken:
        raise InternalError("the schedule is not valid: " + "; ".join(str(b) for b in broken))


def compile_quantised(
    quantised: Quantised,
    machine: Machine,
    mode: Mode = "auto",
    pins: Pins | None = None,
    loops: Loops = (),
) -> Design:
    """Schedule and lower; `pins` is what a person has decided about the schedule.

    The blocks of `loops` (`intar.ir.repeats`) are scheduled once and looped.

    The network takes the form that the machine performs (`intar.quant.forms`).
    With several rows nodes the network is also tried with its heads in as many groups, unless something is pinned: pins name
    the tasks of the network as it is.
    In mode ``auto`` the best schedules of the other modes are lowered too where the solver finds them about as good, and
    each of them with a bank for every copy of a tensor where they fit; the engine's cycles decide: *auto* is never slower.
    """
    quantised = machine_form(quantised, machine)
    best = quantised, _best(quantised, machine, mode, pins, loops)
    chosen = pins is not None and pins != Pins()
    grouped = quantised if chosen else group_heads(quantised, machine.row_units)
    if grouped is not quantised:
        with suppress(InfeasibleError):  # groups need more memory
            trial = _best(grouped, machine, mode, pins, loops)
            if trial.predicted.cycles < best[1].predicted.cycles:
                best = grouped, trial
    return _finish(*best)


def _best(quantised: Quantised, machine: Machine, mode: Mode, pins: Pins | None, loops: Loops) -> _Trial:
    """The best schedule of a network, part by part where it has `loops`."""
    if found := pieces(quantised.graph, loops):
        return _best_parts(quantised, machine, found, mode, pins)
    return _fastest(quantised, candidates(quantised.graph, machine, mode, pins))


def _fastest(quantised: Quantised, schedules: Sequence[Schedule]) -> _Trial:
    """The first of the schedules that take the fewest cycles."""
    best = _try(quantised, schedules[0])
    for rival in schedules[1:]:
        best = _faster(quantised, best, rival)
    return best


def _faster(quantised: Quantised, best: _Trial, rival: Schedule) -> _Trial:
    """The one with fewer cycles; the rival's run ends where it has lost."""
    other = _try(quantised, rival, best.predicted.cycles)
    lost = other.predicted.deadlock is not None or other.predicted.cycles >= best.predicted.cycles
    return best if lost else other


def compile_parts(
    quantised: Quantised, machine: Machine, found: Pieces, mode: Mode = "auto", pins: Pins | None = None
) -> Design:
    """Schedule each part of a network by itself, its rounds once, and lower them all into one machine.

    Raises
    ------
    UnsupportedError
        The network does not fall into these parts (`intar.quant.divide`).
    """
    return _finish(quantised, _best_parts(quantised, machine, found, mode, pins))


def _best_parts(
    quantised: Quantised, machine: Machine, found: Pieces, mode: Mode, pins: Pins | None
) -> _Trial:
    parts = divide(quantised, found)
    made = schedule_parts(quantised.graph.name, parts, found, pins, partial(best_of_part, machine, mode))
    return _try_parts(quantised, parts, made)


def best_of_part(machine: Machine, mode: Mode, part: Part, pins: Pins) -> Schedule:
    """The best schedule of a part, which shares the memory with others."""
    found = candidates(part.graph, machine, mode, pins, alone=False)
    if len(found) == 1 and mode != "auto":
        return found[0]
    best = _fastest(part.rounds[0], found).schedule
    assert isinstance(best, Schedule)
    return best


def recompile(made: Design, mode: Mode) -> Design:
    """The same network in another pattern, on the same machine, in the same parts and groups of heads."""
    machine = made.schedule.machine
    if isinstance(made.schedule, PartedSchedule):
        return compile_parts(made.quantised, machine, made.schedule.pieces, mode)
    return _finish(made.quantised, _best(made.quantised, machine, mode, None, ()))
