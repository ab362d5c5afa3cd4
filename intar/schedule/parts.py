"""The schedules of a network's parts: each part by itself, with the pins that name its tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from intar.errors import ConfigError, Finding
from intar.ir.quantgraph import Part
from intar.ir.schedule import PartedSchedule, PartSchedule, Schedule
from intar.schedule.pins import Pins, did_you_mean

Pieces = Sequence[Sequence[tuple[str, ...]]]


def schedule_parts(
    name: str,
    parts: Sequence[Part],
    pieces: Pieces,
    pins: Pins | None,
    schedule: Callable[[Part, Pins], Schedule],
) -> PartedSchedule:
    """A schedule for each part.

    Parameters
    ----------
    pieces : the tasks of each round of each part.
    pins : tasks and tensors of a part with several rounds go by their names in the first round.
    schedule : gives the schedule of one part under its pins.

    Raises
    ------
    ConfigError
        A pin names what no part has, or a task of a later round.
    """
    _check(parts, pins or Pins())
    return PartedSchedule(
        name=name,
        parts=tuple(
            PartSchedule(rounds=tuple(rounds), schedule=schedule(part, _own(pins or Pins(), part)))
            for part, rounds in zip(parts, pieces, strict=True)
        ),
    )


def _own(pins: Pins, part: Part) -> Pins:
    """The pins of a part."""
    tasks = {task.name for task in part.graph.tasks}
    tensors = {tensor.name for tensor in part.graph.tensors}
    return Pins(
        {task: pattern for task, pattern in pins.pattern.items() if task in tasks},
        {task: cores for task, cores in pins.cores.items() if task in tasks},
        pins.chip & tensors,
        pins.spill & tensors,
        {task: axis for task, axis in pins.axis.items() if task in tasks},
    )


def _check(parts: Sequence[Part], pins: Pins) -> None:
    tasks = {task.name for part in parts for task in part.graph.tasks}
    tensors = {tensor.name for part in parts for tensor in part.graph.tensors}
    named = [("task", name, tasks) for name in sorted({*pins.pattern, *pins.cores, *pins.axis} - tasks)]
    named += [("tensor", name, tensors) for name in sorted((pins.chip | pins.spill) - tensors)]
    if named:
        raise ConfigError(
            Finding(
                f"there is no {what} {name!r} in the first round of a part",
                "pins",
                "rounds of a loop share one schedule",
                did_you_mean(name, known),
            )
            for what, name, known in named
        )
