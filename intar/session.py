"""From a model's path or a reference design's name, with the command line's options, to integers and a machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
from pydantic import ValidationError

from intar import designs
from intar.design import Design, random_inputs
from intar.device import make_machine, read_budget
from intar.device.boards import find_board, suggest
from intar.device.machine import Budget
from intar.errors import CalibrationError, ConfigError, Finding, OutputError, UnsupportedError
from intar.frontends import load_model
from intar.frontends.load import SUFFIXES, make_model, sample_arrays
from intar.grid import prepare
from intar.ir.circuit import circuit
from intar.ir.io import write_atomic
from intar.ir.loops import looped_form
from intar.ir.names import SAFE
from intar.ir.ops import Op
from intar.ir.quantgraph import Part, QuantGraph, Quantised, stored_bits
from intar.ir.repeats import LEAST_ROUNDS, Blocks, alike
from intar.ir.schedule import (
    PARTS_SCHEMA,
    AnySchedule,
    Axis,
    Machine,
    Mode,
    PartedSchedule,
    Pattern,
    any_schedule,
)
from intar.ir.schedule import SCHEMA as SCHEDULE_SCHEMA
from intar.ir.taskgraph import TaskGraph
from intar.lower.kept import kept_states
from intar.networks import Network, design_networks
from intar.pipeline import design
from intar.project import read_lock, read_project, refuse_unwritable
from intar.proof import Check
from intar.quant.blocks import pieces
from intar.quant.calibrate import WAY_OUT, load_calibration
from intar.quant.chosen import read_formats
from intar.quant.divide import divide
from intar.quant.like import take_formats
from intar.quant.quantise import quantise
from intar.quant.scheme import TOKEN, Scheme, Width
from intar.quant.scheme import scheme as find_scheme
from intar.quant.search import Metric, Search, Trial, search_formats
from intar.quant.shorter import shorter
from intar.quant.store import load as load_quantised
from intar.quant.streamed import stream_states
from intar.quant.tokens import token_scaled
from intar.rendering import INPUTS_FILE
from intar.report.summary import report_dict
from intar.report.write import report_folder
from intar.schedule.functions import dsp_blocks, weight
from intar.schedule.parts import schedule_parts
from intar.schedule.pins import Pins
from intar.schedule.solve import lower_bounds, solve
from intar.schedule.validate import validate

LOOP_PAYS = 32
"""Memory latencies that a round takes at least where a loop is made unasked: the barrier costs about four."""


@dataclass(frozen=True)
class Source:
    """A loaded model: float graph, scheme, integers, machine, the blocks that are looped, and the published figure of a
    reference design."""

    graph: TaskGraph
    scheme: Scheme
    quantised: Quantised
    machine: Machine
    blocks: Blocks
    calibration: dict[str, np.ndarray] | None
    anchor: designs.Anchor | None = None


def open_source(
    model: str,
    *,
    device: str | None = None,
    scheme: str | None = None,
    calibration: Path | None = None,
    budget: Mapping[str, object] | None = None,
    shapes: Mapping[str, int | Sequence[int]] | None = None,
    synthetic: Callable[[TaskGraph], dict[str, np.ndarray]] | None = None,
    loop: bool | None = None,
    like: Path | QuantGraph | None = None,
    machine: Machine | None = None,
    bits: Mapping[str, Width] | None = None,
    rational: str | None = None,
) -> Source:
    """Load, calibrate, quantise and size.

    Parameters
    ----------
    model : path of an ONNX, PyTorch or YAML model, ``file.py:function`` (the function's example inputs are the
        calibration where none is given), or the name of a reference design (whose own options then hold where none is
        given here).
    shapes : sizes of dynamic axes of an ONNX model by symbol, or whole shapes by input.
    synthetic : makes samples for a model without calibration data, where only sizes matter.
    loop : True: a block that the model repeats is looped in hardware, False: it is not, None: where it pays.
    like : a project or a network from which inputs and outputs of the same names take their formats (not for reference
        designs).
    machine : the machine that it shares with another network.
    bits : widths by pattern (`intar.quant.widths`), after those of a reference design.
    rational : how rational functions are built (`intar.quant.scheme.Scheme`); None: as the reference design says, or
        ``auto``.
    """
    if not Path(model).is_file() and model in designs.names():
        folder, spec = designs.load(model)
        own = {} if device else spec.budget
        sized = partial(make_machine, *read_budget(device or spec.device, {**own, **(budget or {})}))
        graph = prepare(load_model(designs.model_file(folder, spec)), spec.skip, spec.phases)
        data = designs.samples(folder, spec.calibration, graph)
        if calibration:
            data = load_calibration(calibration, graph)
        how = find_scheme(scheme or spec.scheme).with_bits({**spec.bits, **(bits or {})})
        how = how.with_rational(rational or spec.rational)
        return Source(graph, how, *size_network(graph, how, data, sized, loop), data, spec.anchor)
    if not Path(model).suffix and not Path(model).exists():
        hint = f"{suggest(model, designs.names())}; a file ends in {', '.join(SUFFIXES)}"
        raise ConfigError(Finding("there is no file and no reference design of this name", model, hint=hint))
    checked = read_budget(device or "u280", budget)  # a mistake shows before the long work
    sized = partial(make_machine, *checked)
    network, examples = make_model(model)
    graph = load_model(network, shapes, examples)
    if like:
        known = like if isinstance(like, QuantGraph) else load_quantised(read_project(like)).graph
        graph = take_formats(graph, known)
    given = load_calibration(calibration, graph) if calibration else None
    if given is None and examples is not None:
        given = sample_arrays(examples, graph.inputs)
    if given is None and synthetic:
        given = synthetic(graph)
    how = find_scheme(scheme or "w8a8").with_bits(bits or {}).with_rational(rational or "auto")
    shared: Callable[[Quantised], Machine] = (lambda _: machine) if machine else sized
    return Source(graph, how, *size_network(graph, how, given, shared, loop), given)


def size_network(
    graph: TaskGraph,
    scheme: Scheme,
    calibration: Mapping[str, np.ndarray] | None,
    sized: Callable[[Quantised], Machine],
    loop: bool | None = None,
) -> tuple[Quantised, Machine, Blocks]:
    """The integers of a network, its machine, and the blocks in it that are looped, if any: these have common widths.

    A block is looped where each round takes `LOOP_PAYS` memory latencies at least (`loop` True: always, False: never),
    unless the blocks' integers differ all the same, as in a model with its own scales.

    Raises
    ------
    UnsupportedError
        With `loop` True: no block repeats, or the blocks' integers differ.
    """
    graph = token_scaled(prepare(graph), scheme)
    spelled, blocks = (graph, ()) if loop is False else looped_form(prepare(graph))
    if loop and not blocks:
        raise UnsupportedError(
            Finding(
                f"no block of tasks repeats {LEAST_ROUNDS} times or more in a row",
                graph.name,
                "blocks are alike in operators and shapes, and hand over to the next one only",
                "leave --loop away",
            )
        )
    if blocks:
        made = _integers(spelled, scheme, calibration, sized, alike(spelled, blocks))
        machine = sized(made)
        made = stream_states(made, machine)
        try:
            parts = divide(made, pieces(made.graph, blocks))
        except UnsupportedError:
            if loop:
                raise
            parts = ()
        parts = parts if _keeps(made, parts, machine) else ()
        if loop and not parts:
            raise UnsupportedError(
                Finding(
                    "the kernel can't keep the states of the rounds",
                    graph.name,
                    "rows of states are whole port words, all alike, and no output shows one that does not count",
                    "leave --loop away",
                )
            )
        if any(len(part.rounds) > 1 and (loop or _pays(part, machine)) for part in parts):
            return made, machine, blocks
    made = _integers(graph, scheme, calibration, sized)
    machine = sized(made)
    return stream_states(made, machine), machine, ()


def _integers(
    graph: TaskGraph,
    scheme: Scheme,
    calibration: Mapping[str, np.ndarray] | None,
    sized: Callable[[Quantised], Machine],
    alike: Sequence[Sequence[str]] = (),
) -> Quantised:
    """The integers of a network; where nobody has decided it, its rational functions are built as costs least."""
    made = quantise(graph, scheme, calibration, alike=alike)
    if scheme.rational != "auto" or not any(task.op is Op.RATIONAL for task in graph.tasks):
        return made
    try:
        direct = quantise(graph, scheme.with_rational("direct"), calibration, alike=alike)
    except UnsupportedError:  # some function can't be evaluated to its error bound
        return made
    machine = sized(made)
    board = find_board(machine.device)
    possible = [one for one in (made, direct) if dsp_blocks(one, machine, board.multiplier) <= board.dsp]
    return min(possible or [made], key=lambda one: weight(one, machine, board.multiplier))


def tune(
    source: Source,
    bound: float,
    metric: Metric | Literal["cosine", "sqnr"] = "cosine",
    *,
    count: int = 16,
    weights: bool = False,
    tokens: bool = False,
    step: Callable[[Trial], None] = lambda trial: None,
) -> Search:
    """The cheapest formats of a source (`intar.quant.search`), of a looped block the same in all rounds.

    Raises
    ------
    CalibrationError
        The source has no calibration data.
    """
    if source.calibration is None:
        raise CalibrationError(
            Finding("there are no samples to compare golden with float on", source.graph.name, hint=WAY_OUT)
        )
    graph, blocks = looped_form(prepare(source.graph)) if source.blocks else (source.graph, ())
    return search_formats(
        graph,
        source.scheme,
        source.calibration,
        bound,
        metric=metric,
        count=count,
        weights=weights,
        tokens=tokens,
        alike=alike(graph, blocks),
        step=step,
    )


def _keeps(made: Quantised, parts: Sequence[Part], machine: Machine) -> bool:
    """The states of loops, if any, can lie in device memory between calls."""
    return not any(len(part.rounds) > 1 and any(part.kept) for part in parts) or bool(
        kept_states(made.graph, machine, stored_bits(circuit(made.graph))[0])
    )


def _pays(part: Part, machine: Machine) -> bool:
    """A round is long beside what the next one waits for: the last response of a store, the first word of a load."""
    floor = max(lower_bounds(part.graph, machine).values())
    return floor >= LOOP_PAYS * machine.latency


def _pairs(items: Sequence[str], option: str, hint: str) -> tuple[dict[str, str], list[Finding]]:
    """``["a=1,b=2"]`` → mapping, and a finding for each piece that is not KEY=VALUE."""
    found: list[Finding] = []
    values: dict[str, str] = {}
    for item in (part for text in items for part in text.split(",") if part):
        key, sign, value = item.partition("=")
        if not sign or not key or not value:
            found.append(Finding(f"{item!r} is not KEY=VALUE", option, hint=hint))
        else:
            values[key] = value
    return values, found


def parse_budget(items: Sequence[str]) -> dict[str, object]:
    """``["dsp=32", "lanes=16"]`` (commas allowed inside) → mapping; ConfigError with all that is wrong."""
    values, found = _pairs(items, "--budget", "write --budget dsp=32,onchip=512K")
    try:
        Budget.parse(values)
    except ConfigError as error:
        found += error.findings
    if found:
        raise ConfigError(found)
    return dict(values)


def parse_bits(items: Sequence[str], scheme: str | None = None) -> tuple[str | None, dict[str, Width]]:
    """``["h.*.fc.in=16", "formats.json"]`` → scheme and widths by pattern, in order; ConfigError with all that is wrong.

    A file ending in ``.json`` is one that `intar tune` wrote; its scheme holds where none is given.
    """
    hint = "write --bits 'h.*.fc.in=16', or the name of a .json file that intar tune wrote"
    found: list[Finding] = []
    bits: dict[str, Width] = {}
    for item in items:
        try:
            if item.endswith(".json"):
                chosen = read_formats(Path(item))
                scheme, added = scheme or chosen.scheme, chosen.bits
            else:
                values, wrong = _pairs([item], "--bits", hint)
                found += wrong
                added = {key: _width(text) for key, text in values.items()}
            for pattern, width in Scheme("--bits", 8, 8).with_bits(added).bits:
                bits.pop(pattern, None)  # the last one holds
                bits[pattern] = width
        except ConfigError as error:
            found += error.findings
    if found:
        raise ConfigError(found)
    return scheme, bits


def _width(text: str) -> Width:
    if text == TOKEN:
        return TOKEN
    return int(text) if text.isdecimal() else 0


def parse_entries(items: Sequence[str]) -> dict[str, str]:
    """``["prefill=net.py:chunk"]`` → models by the names of their entries; ConfigError with all that is wrong."""
    values, found = _pairs(items, "--entry", "write --entry prefill=net.py:chunk")
    found += [
        Finding(f"{name!r} is no name for an entry", "--entry", hint="letters, digits and _")
        for name in values
        if not SAFE.match(name)
    ]
    if found:
        raise ConfigError(found)
    return values


def parse_sweeps(items: Sequence[str]) -> dict[str, list[object]]:
    """``["dsp=16,32"]`` → values by budget key; ConfigError with all that is wrong."""
    found: list[Finding] = []
    sweeps: dict[str, list[object]] = {}
    for item in items:
        key, sign, text = item.partition("=")
        values = [value for value in text.split(",") if value]
        if not sign or not key or not values:
            hint = "write --sweep dsp=16,32,64"
            found.append(Finding(f"{item!r} is not KEY=VALUE,VALUE,…", "--sweep", hint=hint))
        elif key in sweeps:
            found.append(Finding("it is swept twice", f"--sweep {key}", hint="give all its values at once"))
        sweeps[key] = list(values)
        for value in values:
            try:
                Budget.parse({key: value})
            except ConfigError as error:
                found += error.findings
    if found:
        raise ConfigError(found)
    return sweeps


def parse_shapes(items: Sequence[str]) -> dict[str, int | tuple[int, ...]]:
    """``["batch=1", "x=1x16"]`` → sizes by axis symbol, shapes by input; ConfigError with all that is wrong."""
    values, found = _pairs(items, "--shape", "write --shape batch=1 or --shape image=1x28x28")
    shapes: dict[str, int | tuple[int, ...]] = {}
    for name, text in values.items():
        sizes = text.split("x")
        if not all(size.isdecimal() and int(size) > 0 for size in sizes):
            what = f"{text!r} is neither a positive whole number nor a shape"
            found.append(Finding(what, f"--shape {name}", hint="write for example 1, or 1x28x28"))
        else:
            shapes[name] = int(text) if len(sizes) == 1 else tuple(map(int, sizes))
    if found:
        raise ConfigError(found)
    return shapes


def parse_prompt(text: str) -> list[int]:
    """``"5 17,3"`` → token ids; ConfigError with everything that is none."""
    words = text.replace(",", " ").split()
    found = [Finding(f"{word!r} is no token id", "--prompt") for word in words if not word.isdecimal()]
    if found:
        raise ConfigError(found)
    return [int(word) for word in words]


def parse_pins(items: Sequence[str]) -> Pins:
    """``["fc0=pipelined", "fc1=0+1", "fc2=sequential+rows"]`` → pins of patterns, cores and axes by task; ConfigError with
    all that is wrong.

    Whether the tasks and cores exist is for the solver to say.
    """
    hint = "write --pin TASK=PATTERN, --pin TASK=0+1 for its cores, or --pin TASK=rows for what they take"
    values, found = _pairs(items, "--pin", hint)
    pattern: dict[str, Pattern] = {}
    cores: dict[str, tuple[int, ...]] = {}
    axis: dict[str, Axis] = {}
    for name, text in values.items():
        for word in text.split("+"):
            if word in get_args(Pattern):
                pattern[name] = cast(Pattern, word)
            elif word in get_args(Axis):
                axis[name] = cast(Axis, word)
            elif word.isdecimal():
                cores[name] = (*cores.get(name, ()), int(word))
            else:
                known = ", ".join((*get_args(Pattern), *get_args(Axis)))
                found.append(
                    Finding(
                        f"{word!r} is no pattern, no axis and no core",
                        f"--pin {name}",
                        hint=f"{known}, or 0+1",
                    )
                )
    if found:
        raise ConfigError(found)
    return Pins(pattern, cores, axis=axis)


def solve_blocks(source: Source, mode: Mode, pins: Pins | None) -> AnySchedule:
    """The solver's schedule of a source; where it loops blocks, one for each part."""
    found = pieces(source.quantised.graph, source.blocks)
    if not found:
        return solve(source.quantised.graph, source.machine, mode, pins)
    parts = divide(source.quantised, found)
    name = source.quantised.graph.name
    return schedule_parts(
        name, parts, found, pins, lambda part, own: solve(part.graph, source.machine, mode, own)
    )


def read_schedule(path: Path) -> AnySchedule:
    """An edited ``schedule.json``; ConfigError with every finding."""
    try:
        return any_schedule(path.read_text())
    except OSError as error:
        raise ConfigError(Finding(f"the schedule can't be read: {error.strerror}", str(path))) from None
    except ValidationError as error:
        raise ConfigError(
            Finding(e["msg"], ": ".join([str(path), *filter(None, [".".join(map(str, e["loc"]))])]))
            for e in error.errors()
        ) from None


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
