"""Written projects opened again: their designs, inputs for a run, and the report that commands add to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intar.design import Design, random_inputs
from intar.edited import read_schedule
from intar.errors import ConfigError, Finding
from intar.ir.io import write_atomic
from intar.ir.schedule import PartedSchedule
from intar.networks import Network, design_networks
from intar.pipeline import design
from intar.project import read_lock, read_project
from intar.proof import Check
from intar.quant.shorter import shorter
from intar.quant.store import load as load_quantised
from intar.rendering import INPUTS_FILE
from intar.report.summary import report_dict
from intar.report.write import report_folder


def open_project(directory: Path) -> Design:
    """The design of a written project, made again from its integers and its schedule; of several networks the first."""
    return open_networks(directory)[0]


def open_entries(directory: Path, entry: str | None = None) -> list[Design]:
    """The designs of a written project: of all its networks, or of the one whose entry is called so.

    Raises
    ------
    ConfigError
        There is no such entry.
    """
    made = open_networks(directory)
    found = [one for one in made if entry in (None, one.name)]
    if not found:
        hint = f"one of: {', '.join(one.name for one in made)}"
        raise ConfigError(Finding(f"{str(directory)!r} has no entry {entry!r}", "--entry", hint=hint))
    return found


def open_networks(directory: Path) -> list[Design]:
    """The designs of all networks of a written project: its entries, or the one that it has."""
    folder = read_project(directory)
    lock = read_lock(folder)
    names, lengths = lock.get("entries", []), lock.get("lengths", {})
    folders = [folder, *(folder / "entries" / name for name in names[1:])]
    labels = names or [""]
    whole = {
        name: load_quantised(place)
        for name, place in zip(labels, folders, strict=True)
        if name not in lengths
    }
    integers = [shorter(whole[lengths[n][0]], lengths[n][1]) if n in lengths else whole[n] for n in labels]
    schedules = [read_schedule(place / "schedule.json") for place in folders]
    if len(folders) == 1:
        return [design(integers[0], schedules[0])]
    parted = [schedule for schedule in schedules if isinstance(schedule, PartedSchedule)]
    networks = [
        Network(name, own, schedule.pieces, lengths.get(name, [""])[0])
        for name, own, schedule in zip(names, integers, parted, strict=True)
    ]
    return design_networks(networks, parted)


def stored_inputs(directory: Path, made: Design, count: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Inputs for a run: the project's own real samples (``data/inputs.npz``), then random integers."""
    file = directory / made.folder / INPUTS_FILE
    real = dict(np.load(file)) if file.exists() else {}
    found = random_inputs(made.quantised, count, seed)
    for name, drawn in found.items():
        first = real.get(name, drawn)[:count]
        drawn[: len(first)] = first.reshape(-1, *drawn.shape[1:])
    return [{name: values[index] for name, values in found.items()} for index in range(count)]


def update_report(
    directory: Path, made: Design, checks: Sequence[Check] = (), **parts: Any
) -> dict[str, Any]:
    """Write ``report.json`` (`report_folder`), keeping what earlier commands measured on the same network."""
    fresh = report_dict(made, checks, **parts)
    file = report_folder(directory, made) / "report.json"
    if file.exists():
        old = json.loads(file.read_text())
        for key, value in old.items():
            if key in (
                "resources",
                "timing",
            ):  # one source's counts as a whole; the static count gives way to any other
                fresh[key] = fresh[key] if key in parts else value or fresh[key]
            elif isinstance(value, dict) and isinstance(fresh.get(key), dict):
                fresh[key] = {k: value.get(k) if v is None else v for k, v in fresh[key].items()}
            elif fresh.get(key) is None:
                fresh[key] = value
    write_atomic(file, (json.dumps(fresh, indent=1) + "\n").encode())
    return fresh
