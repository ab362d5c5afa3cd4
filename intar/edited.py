"""Schedules as files that a person may have edited."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from intar.errors import ConfigError, Finding, OutputError, field_findings
from intar.ir.quantgraph import Quantised
from intar.ir.schedule import PARTS_SCHEMA, AnySchedule, Machine, Mode, PartedSchedule, any_schedule
from intar.ir.schedule import SCHEMA as SCHEDULE_SCHEMA
from intar.project import refuse_unwritable
from intar.quant.divide import divide
from intar.quant.forms import form_of
from intar.schedule.validate import validate


def read_schedule(path: Path) -> AnySchedule:
    """An edited ``schedule.json``; ConfigError with every finding."""
    try:
        return any_schedule(path.read_text())
    except OSError as error:
        raise ConfigError(Finding(f"the schedule can't be read: {error.strerror}", str(path))) from None
    except ValidationError as error:
        raise ConfigError(field_findings(error, str(path))) from None


def refuse_other(
    path: Path, schemas: Sequence[str] = (SCHEDULE_SCHEMA, PARTS_SCHEMA), what: str = "a schedule"
) -> None:
    """OutputError when there is something at `path` that is not a JSON document of ours with one of these schemas, or when
    nothing can be written there."""
    refuse_unwritable(path)
    try:
        if not path.exists() or json.loads(path.read_text())["schema"] in schemas:
            return
    except (OSError, ValueError, KeyError, TypeError):
        pass
    why = "nothing that intar did not make is overwritten"
    raise OutputError(Finding(f"it is not {what} of intar's", str(path), why, "name another file"))


def edited_schedule(
    path: Path, quantised: Quantised, mode: Mode = "auto", machine: Machine | None = None
) -> AnySchedule:
    """A schedule that a person has edited; ConfigError with every rule that it breaks, and when it is not of the pattern and
    for the machine that are asked for, too."""
    schedule = read_schedule(path)
    other = []
    if mode not in ("auto", schedule.mode):
        other.append(Finding(f"the schedule is of pattern {schedule.mode!r}", "--pattern"))
    if machine and machine != schedule.machine:
        own, asked = schedule.machine.model_dump(), machine.model_dump()
        differs = ", ".join(f"{key} {own[key]}, not {asked[key]}" for key in own if own[key] != asked[key])
        other.append(Finding(f"the schedule is for another machine: {differs}", "--budget, --device"))
    if other:
        raise ConfigError(
            replace(one, hint="leave it away: it is decided in the schedule's file") for one in other
        )
    quantised = form_of(quantised, schedule)
    if isinstance(schedule, PartedSchedule):
        parts = zip(divide(quantised, schedule.pieces), schedule.parts, strict=True)
        broken = [fault for part, own in parts for fault in validate(own.schedule, part.graph)]
    else:
        broken = validate(schedule, quantised.graph)
    if broken:
        hint = "let the solver complete a change: --pin TASK=PATTERN or --pin TASK=CORES instead of an edited file"
        last = len(broken) - 1
        raise ConfigError(
            Finding(f"{b.where}: {b.what}", str(path), f"rule {b.rule!r}", hint if i == last else "")
            for i, b in enumerate(broken)
        )
    return schedule
