"""A schedule for people: a table of stages, where tensors live, and a Gantt chart of the cores, in the terminal."""

from __future__ import annotations

import io

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from intar.ir.schedule import AnySchedule, Copy, PartedSchedule, Placement, Schedule, Stage

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
PLACES = {"chip": "on chip", "tile": "row tiles", "spill": "off chip"}
SHORT = {"sequential": "seq", "pipelined": "pipe", "parallel": "par", "interleaved": "inter"}


def _cores(cores: tuple[int, ...], unit: int = 0) -> str:
    if not cores:
        return f"rows {unit}" if unit else "rows"
    return str(cores[0]) if len(cores) == 1 else f"{cores[0]}-{cores[-1]}"


def _words(placement: Placement) -> list[str]:
    """What is special about a task's place."""
    said = {"by rows": placement.axis == "rows", "resident": placement.resident, "follows": placement.follows}
    return [word for word, true in said.items() if true]


def stage_table(schedule: Schedule) -> Table:
    """One row a stage: pattern, tasks with their cores, tile height, cycles and share of the whole."""
    table = Table(
        title=f"{schedule.name}: {schedule.mode}, {len(schedule.stages)} stages", title_justify="left"
    )
    for name, side in (("stage", "right"), ("pattern", "left"), ("tasks (cores)", "left"), ("tile rows", "right"),
                       ("cycles", "right"), ("share", "right")):  # fmt: skip
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for i, stage in enumerate(schedule.stages):
        tasks = ", ".join(
            f"{p.task} ({_cores(p.cores, p.unit)}{''.join(f', {word}' for word in _words(p))})"
            for p in stage.tasks
        )
        share = 100 * stage.cycles / max(1, schedule.objective)
        height = str(stage.tile_rows) if stage.tile_rows else ""
        table.add_row(str(i), stage.pattern, tasks, height, f"{stage.cycles:,}", f"{share:.1f} %")
    return table


def residency_table(schedule: Schedule) -> Table:
    """Where each tensor lives, when, and in which banks."""
    table = Table(title="tensors", title_justify="left")
    for name in ("tensor", "place", "stages", "bytes", "banks"):
        table.add_column(name, justify="left" if name in ("tensor", "place") else "right")
    for home in schedule.residency:
        stages = f"{home.first_stage}-{home.last_stage}"
        table.add_row(home.tensor, PLACES[home.place], stages, f"{home.bytes:,}", _banks(home.copies))
    return table


def _banks(copies: tuple[Copy, ...]) -> str:
    """The banks of a tensor's copies, in order."""
    return " ".join(str(bank) for bank in dict.fromkeys(copy.bank for copy in copies))


def _bar(stage: Stage, core: int, width: int, colours: dict[str, str]) -> Text:
    """What one core does in one stage, `width` characters wide."""
    here = [p.task for p in stage.tasks if core in p.cores]
    if not here:
        return Text("·" * width, style="dim")
    text = Text()
    for i, task in enumerate(here):
        part = width * (i + 1) // len(here) - width * i // len(here)
        label = (
            task[:part].center(part, "▒" if stage.pattern == "interleaved" else "█")
            if part > 3
            else "█" * part
        )
        text.append(label, style=f"reverse {colours[task]}" if part > 3 else colours[task])
    return text


MARGIN = 10
"""Characters of a Gantt chart's lines beside its bars."""


def gantt(schedule: Schedule, width: int = 100) -> Text:
    """Cores over time; a stage is as wide as its cycles, at least one character. Dots are idle cores."""
    tasks = [p.task for stage in schedule.stages for p in stage.tasks]
    colours = {task: COLOURS[i % len(COLOURS)] for i, task in enumerate(tasks)}
    total, spent, edges = max(1, schedule.objective), 0, [0]
    for stage in schedule.stages:
        spent += stage.cycles
        edges.append(max(edges[-1] + 1, width * spent // total))
    chart = Text(no_wrap=True, overflow="ellipsis")  # of more stages than characters the first ones
    for core in range(schedule.machine.cores):
        chart.append(f"core {core:<3}|")
        for stage, left, right in zip(schedule.stages, edges, edges[1:], strict=False):
            chart.append_text(_bar(stage, core, right - left, colours))
        chart.append("|\n")
    chart.append(" " * 9)
    for stage, left, right in zip(schedule.stages, edges, edges[1:], strict=False):
        size = right - left
        chart.append(f"{SHORT[stage.pattern]:<{size}}"[:size] if size > 4 else " " * size, style="dim")
    return chart


def summary(schedule: Schedule) -> Text:
    """Objective, bound, gap, status and time at the clock."""
    machine = schedule.machine
    cores = f"{machine.cores} core{'s' * (machine.cores > 1)}"
    micro = schedule.objective / machine.clock_mhz
    return Text(
        f"{schedule.objective:,} cycles ({micro:,.1f} µs at {machine.clock_mhz:g} MHz), bound {schedule.bound:,}, "
        f"gap {100 * schedule.gap:.2f} %, {schedule.status}; {cores} of "
        f"{machine.cells} multipliers, at most {machine.onchip_bytes:,} bytes on chip"
    )


def render(schedule: AnySchedule, width: int = 100) -> RenderableType:
    """Everything above, for ``rich.print``; of a network in parts, part by part."""
    if isinstance(schedule, PartedSchedule):
        shown: list[RenderableType] = []
        for number, part in enumerate(schedule.parts, 1):
            rounds = f", block × {len(part.rounds)}" if len(part.rounds) > 1 else ""
            shown.append(Text(f"part {number} of {len(schedule.parts)}{rounds}", style="bold"))
            shown.append(render(part.schedule, width))
        total = f"all parts: {schedule.objective:,} cycles, bound {schedule.bound:,}, {schedule.status}"
        return Group(*shown, Text(total))
    return Group(stage_table(schedule), gantt(schedule, width), summary(schedule), residency_table(schedule))


def to_text(schedule: AnySchedule, width: int = 110) -> str:
    """The rendering as plain text."""
    console = Console(width=width, record=True, file=io.StringIO(), color_system=None)
    console.print(render(schedule, width - 12))
    return console.export_text()
