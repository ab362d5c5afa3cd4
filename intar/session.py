"""From a model's path or a reference design's name, with the command line's options, to integers and a machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from intar import designs
from intar.device import make_machine
from intar.errors import ConfigError, Finding
from intar.frontends import load_model
from intar.grid import prepare
from intar.ir.io import write_atomic
from intar.ir.quantgraph import Quantised
from intar.ir.schedule import Machine, Schedule
from intar.ir.taskgraph import TaskGraph
from intar.pipeline import Check, Design, design
from intar.project import read_project
from intar.quant.calibrate import load_calibration
from intar.quant.quantise import quantise
from intar.quant.scheme import scheme as find_scheme
from intar.quant.store import load as load_quantised
from intar.report.summary import report_dict

REPORT = Path("report") / "report.json"


@dataclass(frozen=True)
class Source:
    """A loaded model: float graph, integers, machine, and the published figure of a reference design."""

    graph: TaskGraph
    quantised: Quantised
    machine: Machine
    calibration: dict[str, np.ndarray] | None
    anchor: designs.Anchor | None = None


def open_source(
    model: str,
    *,
    device: str | None = None,
    scheme: str | None = None,
    calibration: Path | None = None,
    budget: Mapping[str, object] | None = None,
    synthetic: Callable[[TaskGraph], dict[str, np.ndarray]] | None = None,
) -> Source:
    """Load, calibrate, quantise and size.

    Parameters
    ----------
    model : path of an ONNX or YAML model, or the name of a reference design (whose own options then hold where none
        is given here).
    synthetic : makes samples for a model without calibration data, where only sizes matter.
    """
    if not Path(model).is_file() and model in designs.names():
        folder, spec = designs.load(model)
        graph = prepare(load_model(folder / spec.model), spec.skip)
        data = designs.samples(folder, spec.calibration, graph)
        if calibration:
            data = load_calibration(calibration, graph)
        made = quantise(graph, find_scheme(scheme or spec.scheme), data)
        own = {} if device else spec.budget
        machine = make_machine(device or spec.device, {**own, **(budget or {})}, made)
        return Source(graph, made, machine, data, spec.anchor)
    graph = load_model(model)
    given = load_calibration(calibration, graph) if calibration else None
    if given is None and synthetic:
        given = synthetic(graph)
    made = quantise(graph, find_scheme(scheme or "w8a8"), given)
    return Source(graph, made, make_machine(device or "u280", budget, made), given)


def parse_budget(items: Sequence[str]) -> dict[str, object]:
    """``["dsp=32", "lanes=16"]`` (commas allowed inside) → mapping; ConfigError with all that is wrong."""
    found: list[Finding] = []
    values: dict[str, object] = {}
    for item in (part for text in items for part in text.split(",") if part):
        key, sign, value = item.partition("=")
        if not sign or not key or not value:
            found.append(
                Finding(f"{item!r} is not KEY=VALUE", "--budget", hint="write --budget dsp=32,onchip=512K")
            )
        values[key] = value
    if found:
        raise ConfigError(found)
    return values


def read_schedule(path: Path) -> Schedule:
    """An edited ``schedule.json``; ConfigError with every finding."""
    try:
        return Schedule.from_json(path.read_text())
    except OSError as error:
        raise ConfigError(Finding(f"the schedule can't be read: {error.strerror}", str(path))) from None
    except ValidationError as error:
        raise ConfigError(
            [Finding(e["msg"], f"{path}: {'.'.join(map(str, e['loc']))}") for e in error.errors()]
        ) from None


def open_project(directory: Path) -> Design:
    """The design of a written project, made again from its integers and its schedule."""
    folder = read_project(directory)
    return design(load_quantised(folder), read_schedule(folder / "schedule.json"))


def stored_inputs(directory: Path, made: Design, count: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Inputs for a run: the project's own real samples (``data/inputs.npz``), then random integers."""
    rng = np.random.default_rng(seed)
    graph = made.quantised.graph
    file = directory / "data" / "inputs.npz"
    real = dict(np.load(file)) if file.exists() else {}
    samples = []
    for index in range(count):
        one = {}
        for name in graph.inputs:
            tensor = graph.tensor(name)
            limit = 1 << (tensor.bits - 1)
            if name in real and index < len(real[name]):
                one[name] = real[name][index].reshape(tensor.shape).astype(np.int64)
            else:
                one[name] = rng.integers(-limit, limit, tensor.shape)
        samples.append(one)
    return samples


def update_report(
    directory: Path, made: Design, checks: Sequence[Check] = (), **parts: Any
) -> dict[str, Any]:
    """Write ``report/report.json``, keeping what earlier commands measured on the same project."""
    fresh = report_dict(made, checks, **parts)
    file = directory / REPORT
    if file.exists():
        old = json.loads(file.read_text())
        for key, value in old.items():
            if key == "resources":  # one source's counts as a whole; the static count gives way to any other
                fresh[key] = fresh[key] if "resources" in parts else value or fresh[key]
            elif isinstance(value, dict) and isinstance(fresh.get(key), dict):
                fresh[key] = {k: value.get(k) if v is None else v for k, v in fresh[key].items()}
            elif fresh.get(key) is None:
                fresh[key] = value
    write_atomic(file, (json.dumps(fresh, indent=1) + "\n").encode())
    return fresh
