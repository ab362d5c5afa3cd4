"""Stage by stage: which core runs what, where every tensor lives meanwhile, and what the cores did with the time.

Stages overlap: a stage's time begins with its first product, or the first beat of a task without products, and ends where
the next stage's begins, so that the times of all stages add up to the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, groupby

from intar.design import Design
from intar.ir.nodes.arrays import Core
from intar.ir.schedule import PartedSchedule, Residency, Schedule, Stage
from intar.report.gantt import label_of, unit_groups
from intar.report.lost import Counts

CAUSES = {
    "busy": "multiplying",
    "weights": "waiting for weights",
    "activations": "waiting for activations",
    "output_room": "waiting for output room",
    "between_steps": "nothing to do",
}
"""What the cores do in the time of a stage, and its text; the time before the network's first step and after its last one is
among ``between_steps``."""


@dataclass(frozen=True)
class StageRow:
    """One stage.

    Parameters
    ----------
    part, rounds : which part of a network with loops it belongs to, and how often that part runs.
    cores : core numbers and the tasks that they run, neighbours with the same tasks together.
    tensors : (where, what lives there): names of tensors with the bytes of their copies.
    first : cycle in which its time begins; None in networks with loops, whose stages have several times.
    cycles : by cause, over all cores; None likewise.
    """

    part: int
    rounds: int
    stage: Stage
    cores: tuple[tuple[str, str], ...]
    tensors: tuple[tuple[str, str], ...]
    first: int | None = None
    cycles: dict[str, int] | None = None


def stage_rows(design: Design, counts: Counts) -> list[StageRow]:
    """All stages, in their order."""
    schedule = design.schedule
    if isinstance(schedule, PartedSchedule):
        return [
            _row(number, len(part.rounds), part.schedule, index)
            for number, part in enumerate(schedule.parts)
            for index in range(len(part.schedule.stages))
        ]
    first = _begins(design, schedule)
    ends = [*first[1:], design.predicted.cycles]
    times = zip(
        first, (_spent(design, counts, *window) for window in zip(first, ends, strict=True)), strict=True
    )
    rows = (_row(0, 1, schedule, index) for index in range(len(schedule.stages)))
    return [
        StageRow(row.part, row.rounds, row.stage, row.cores, row.tensors, begin, spent)
        for row, (begin, spent) in zip(rows, times, strict=True)
    ]


def _row(part: int, rounds: int, schedule: Schedule, index: int) -> StageRow:
    stage = schedule.stages[index]
    return StageRow(part, rounds, stage, tuple(_cores(schedule, stage)), tuple(_tensors(schedule, index)))


def _cores(schedule: Schedule, stage: Stage) -> Iterator[tuple[str, str]]:
    """(``0–2``, ``q, k``): ranges of cores and what they run; ``–`` for tasks without cores."""
    own = [
        (core, ", ".join(p.task for p in stage.tasks if core in p.cores))
        for core in range(schedule.machine.cores)
    ]
    for tasks, group in groupby(own, key=lambda item: item[1]):
        numbers = [core for core, _ in group]
        if tasks:
            last = f"–{numbers[-1]}" if len(numbers) > 1 else ""
            yield f"{numbers[0]}{last}", tasks
    beside = [p.task for p in stage.tasks if not p.cores]
    if beside:
        yield "–", ", ".join(beside)


def _tensors(schedule: Schedule, index: int) -> Iterator[tuple[str, str]]:
    """Where each tensor that exists in a stage lives."""
    here = [home for home in schedule.residency if home.first_stage <= index <= home.last_stage]
    kinds = (("chip", "on chip"), ("tile", "two row tiles"), ("spill", "off chip"))
    for place, text in kinds:
        found = [f"{home.tensor}{_size(home, index)}" for home in here if home.place == place]
        if found:
            yield text, ", ".join(found)


def _size(home: Residency, index: int) -> str:
    """Bytes of a tensor's copies in a stage, and their banks; nothing while a spilled one is off chip only."""
    copies = [copy for copy in home.copies if copy.first_stage <= index <= copy.last_stage]
    if not copies:
        return "" if home.place == "spill" else f" ({_bytes(home.bytes)})"
    banks = ", ".join(str(copy.bank) for copy in copies)
    staged = "staged in " if home.place == "spill" else ""
    return f" ({staged}{_bytes(sum(copy.bytes for copy in copies))}, bank {banks})"


def _bytes(count: int) -> str:
    return f"{count:,} B" if count < 10_240 else f"{count / 1024:,.0f} KiB"


def _begins(design: Design, schedule: Schedule) -> list[int]:
    """First cycle of each stage's time, ascending, the first stage's 0."""
    groups = unit_groups(design)
    computing: dict[str, int] = {}
    moving: dict[str, int] = {}
    for span in design.predicted.stages:
        if span.first < 0 or groups[span.node] in ("ports", "switches", "feeds"):
            continue
        buffer = groups[span.node] == "buffers"
        if buffer and span.node.startswith("weights_"):
            continue
        found, label = moving if buffer else computing, label_of(span.note)
        found[label] = min(span.first, found.get(label, span.first))
    begins: list[int | None] = []
    for stage in schedule.stages:
        names = [p.task for p in stage.tasks]
        seen = [computing.get(name, moving.get(name)) for name in names]
        begins.append(min((cycle for cycle in seen if cycle is not None), default=None))
    known = accumulate((cycle or 0 for cycle in begins), max)
    return [0, *list(known)[1:]]


def _spent(design: Design, counts: Counts, begin: int, end: int) -> dict[str, int]:
    """Cycles of all cores by cause, from `begin` to before `end`."""
    spent = dict.fromkeys(CAUSES, 0)
    for core in (node.name for node in design.program.nodes if isinstance(node, Core)):
        link = design.program.inputs_of(core)["w"].name
        old, new = counts.before(begin)[core], counts.before(end)[core]
        weights = new.waits.get(link, 0) - old.waits.get(link, 0)
        spent["busy"] += new.busy - old.busy
        spent["weights"] += weights
        spent["activations"] += new.wait_in - old.wait_in - weights
        spent["output_room"] += new.wait_out - old.wait_out
        spent["between_steps"] += new.idle - old.idle + new.wait_token - old.wait_token
    return spent
