"""Pins: what a person has decided about a schedule, and their translation into rules of the search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from intar.errors import ConfigError, Finding
from intar.ir.schedule import Axis, Pattern, Schedule
from intar.schedule.moves import Rules
from intar.schedule.problem import Problem


@dataclass(frozen=True)
class Pins:
    """Constraints by name.

    `pattern`: the pattern in which a task runs; `cores`: exactly the cores of a task; `axis`: whether these take its
    columns or its rows; `chip`: tensors that must stay on chip as a whole while tasks of later stages want them; `spill`:
    tensors that must not.
    """

    pattern: dict[str, Pattern] = field(default_factory=dict)
    cores: dict[str, tuple[int, ...]] = field(default_factory=dict)
    chip: frozenset[str] = frozenset()
    spill: frozenset[str] = frozenset()
    axis: dict[str, Axis] = field(default_factory=dict)


def pins_of_schedule(schedule: Schedule, tasks: Iterable[str] | None = None) -> Pins:
    """Pins that repeat an edited schedule: pattern and axis of every task (or of `tasks`), and what is spilled or kept."""
    chosen = set(tasks) if tasks is not None else None
    pattern: dict[str, Pattern] = {}
    axis: dict[str, Axis] = {}
    for stage in schedule.stages:
        for placement in stage.tasks:
            if chosen is None or placement.task in chosen:
                pattern[placement.task] = stage.pattern
                axis[placement.task] = placement.axis
    return Pins(
        pattern=pattern,
        chip=frozenset(
            r.tensor for r in schedule.residency if r.place == "chip" and r.first_stage < r.last_stage
        ),
        spill=frozenset(r.tensor for r in schedule.residency if r.place == "spill"),
        axis=axis,
    )


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """A hint that names the closest of the words, or lists them."""
    known = sorted(words)
    close = get_close_matches(word, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(known[:12]) + (", …" if len(known) > 12 else "")


def rules_of(pins: Pins | None, problem: Problem) -> Rules:
    """Pins by index; ConfigError with all that is wrong."""
    if pins is None:
        return Rules({})
    tasks = {task.name: i for i, task in enumerate(problem.tasks)}
    tensors = {tensor.name: i for i, tensor in enumerate(problem.tensors)}
    findings: list[Finding] = []
    for name in dict.fromkeys([*pins.pattern, *pins.cores, *pins.axis]):
        if name not in tasks:
            findings.append(
                Finding(f"there is no task {name!r} to pin", "pins", hint=did_you_mean(name, tasks))
            )
    for name, axis in pins.axis.items():
        if axis == "rows" and name in tasks and not problem.tasks[tasks[name]].work.arrays:
            why = "only the cores of a matmul, or of a product of two activations, can take rows"
            findings.append(Finding(f"task {name!r} is pinned to rows", "pins", why, "drop the pin"))
    for name in sorted(pins.chip | pins.spill):
        if name not in tensors:
            findings.append(
                Finding(f"there is no tensor {name!r} to pin", "pins", hint=did_you_mean(name, tensors))
            )
    for name in sorted(pins.chip & pins.spill):
        findings.append(
            Finding(f"{name!r} is to stay on chip and to be spilled", "pins", hint="drop one of the two")
        )
    for name, cores in pins.cores.items():
        if not cores or max(cores) >= problem.machine.cores or min(cores) < 0:
            why = f"the machine has cores 0 to {problem.machine.cores - 1}"
            findings.append(
                Finding(f"task {name!r} is pinned to cores {list(cores)}", "pins", why, "pin existing cores")
            )
    if findings:
        raise ConfigError(findings)
    return Rules(
        {tasks[name]: pattern for name, pattern in pins.pattern.items()},
        frozenset(tensors[name] for name in pins.chip),
        frozenset(tensors[name] for name in pins.spill),
        {tasks[name]: tuple(cores) for name, cores in pins.cores.items()} or None,
        {tasks[name]: axis == "rows" for name, axis in pins.axis.items()},
    )
