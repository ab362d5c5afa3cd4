"""From a model's path or a reference design's name to integers, a machine and a schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from intar import designs
from intar.device import Board, Budget, make_machine, read_budget
from intar.device.boards import find_board, suggest
from intar.errors import CalibrationError, ConfigError, Finding, UnsupportedError
from intar.frontends import load_model
from intar.frontends.load import SUFFIXES, Values, function_name, make_model, sample_arrays
from intar.grid import prepare
from intar.ir.batch import batched
from intar.ir.circuit import circuit
from intar.ir.loops import looped_form
from intar.ir.ops import Op
from intar.ir.quantgraph import Part, QuantGraph, Quantised, stored_bits
from intar.ir.repeats import LEAST_ROUNDS, Blocks, Loops, alike
from intar.ir.schedule import AnySchedule, Machine, Mode
from intar.ir.taskgraph import TaskGraph
from intar.lower.kept import kept_states
from intar.project import read_project
from intar.quant.blocks import pieces
from intar.quant.calibrate import WAY_OUT, in_batches, load_calibration
from intar.quant.divide import divide
from intar.quant.forms import machine_form
from intar.quant.like import take_formats
from intar.quant.quantise import quantise
from intar.quant.scheme import Scheme, Width
from intar.quant.scheme import scheme as find_scheme
from intar.quant.search import Metric, Search, Trial, search_formats
from intar.quant.store import load as load_quantised
from intar.quant.streamed import stream_states
from intar.quant.tokens import token_scaled
from intar.schedule.functions import dsp_blocks, weight
from intar.schedule.parts import schedule_parts
from intar.schedule.pins import Pins
from intar.schedule.solve import lower_bounds, solve

LOOP_PAYS = 32
"""Memory latencies that a round takes at least where a loop is made unasked: the barrier costs about four."""

LOOP_STEPS = 32
"""Rounds with the same integers (steps of a recurrent layer) from which on they are a loop unasked, whatever it costs:
circuit, constants and search of an unrolled layer grow with its steps."""


@dataclass(frozen=True)
class Source:
    """A loaded model: float graph, scheme, integers, machine, the loops in it, board and budget that the machine was made of
    (None: it is another network's, too), and the published figure of a reference design."""

    graph: TaskGraph
    scheme: Scheme
    quantised: Quantised
    machine: Machine
    loops: Loops
    calibration: dict[str, np.ndarray] | None
    asked: tuple[Board, Budget] | None = None
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
    values: Values = None,
    batch: int = 1,
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
    values : numbers or arrays of inputs of an ONNX model that are to be constants, by name.
    batch : samples a call (`intar.ir.batch`).
    """
    if not Path(model).is_file() and model in designs.names():
        folder, spec = designs.load(model)
        own = {} if device else spec.budget
        asked = read_budget(device or spec.device, {**own, **(budget or {})})
        sized = partial(make_machine, *asked)
        loaded = load_model(designs.model_file(folder, spec), shapes, values=values)
        data = designs.samples(folder, spec.calibration, loaded)
        if calibration:
            data = load_calibration(calibration, loaded)
        grouped = in_batches(loaded, data, batch)
        graph = prepare(batched(loaded, batch), spec.skip, spec.phases)
        how = find_scheme(scheme or spec.scheme).with_bits({**spec.bits, **(bits or {})})
        how = how.with_rational(rational or spec.rational)
        return Source(
            graph, how, *size_network(graph, how, grouped, sized, loop), grouped, asked, spec.anchor
        )
    if not Path(model).suffix and not Path(model).exists():
        hint = f"{suggest(model, designs.names())}; a file ends in {', '.join(SUFFIXES)}"
        raise ConfigError(Finding("there is no file and no reference design of this name", model, hint=hint))
    asked = read_budget(device or "u280", budget)  # a mistake shows before the long work
    sized = partial(make_machine, *asked)
    network, examples = make_model(model)
    graph = load_model(network, shapes, examples, function_name(model), values)
    if like:
        known = like if isinstance(like, QuantGraph) else load_quantised(read_project(like)).graph
        graph = take_formats(graph, known)
    given = load_calibration(calibration, graph) if calibration else None
    if given is None and examples is not None:
        given = sample_arrays(examples, graph.inputs)
    if given is None and synthetic:
        given = synthetic(graph)
    given, graph = in_batches(graph, given, batch), batched(graph, batch)
    how = find_scheme(scheme or "w8a8").with_bits(bits or {}).with_rational(rational or "auto")
    shared: Callable[[Quantised], Machine] = (lambda _: machine) if machine else sized
    own_asked = None if machine else asked
    return Source(graph, how, *size_network(graph, how, given, shared, loop), given, own_asked)


def size_network(
    graph: TaskGraph,
    scheme: Scheme,
    calibration: Mapping[str, np.ndarray] | None,
    sized: Callable[[Quantised], Machine],
    loop: bool | None = None,
) -> tuple[Quantised, Machine, Loops]:
    """The integers of a network, its machine, and the blocks in it that are looped, if any: these have common widths.

    Blocks are looped where rounds of one of the loops take `LOOP_PAYS` memory latencies at least, or where there are
    `LOOP_STEPS` rounds (`loop` True: always, False: never), unless the blocks' integers differ all the same, as in a model
    with its own scales. Where several loops are none together, the longest is tried alone.

    Raises
    ------
    UnsupportedError
        With `loop` True: no block repeats, or the blocks' integers differ.
    """
    graph = token_scaled(prepare(graph), scheme)
    spelled, loops = (graph, ()) if loop is False else looped_form(graph)
    if loop and not loops:
        raise UnsupportedError(
            Finding(
                f"no block of tasks repeats {LEAST_ROUNDS} times or more in a row",
                graph.name,
                "blocks are alike in operators and shapes, and hand over to the next one only",
                "leave --loop away",
            )
        )
    refused: list[UnsupportedError] = []
    for own in dict.fromkeys((loops, (max(loops, key=_tasks),))) if loops else ():
        made = _integers(spelled, scheme, calibration, sized, alike(spelled, own))
        machine = sized(made)
        made = stream_states(made, machine)
        try:
            parts = _loops(made, machine, own)
        except UnsupportedError as error:
            refused.append(error)
            continue
        if loop or _pay(parts, machine):
            return made, machine, own
        break
    if loop:
        raise refused[0]
    made = _integers(graph, scheme, calibration, sized)
    machine = sized(made)
    return stream_states(made, machine), machine, ()


def _tasks(blocks: Blocks) -> int:
    """The tasks of a loop."""
    return sum(map(len, blocks))


def _loops(made: Quantised, machine: Machine, loops: Loops) -> list[Part]:
    """The parts of a network that are its loops.

    Raises
    ------
    UnsupportedError
        It can't be cut so, or the kernel can't hold what the rounds have.
    """
    name = made.graph.name
    found = pieces(made.graph, loops)
    if not found:
        raise UnsupportedError(
            Finding(
                "an operation of the circuit has shares of several rounds", name, hint="leave --loop away"
            )
        )
    parts = [part for part in divide(made, found) if len(part.rounds) > 1]
    if machine.on_chip and not all(part.same for part in parts):
        raise UnsupportedError(
            Finding(
                "the rounds have weights of their own, on chip",
                name,
                "a memory of constants holds the same for each round",
                "leave them in memory (weights=memory), or --loop away",
            )
        )
    kept = any(any(part.kept) for part in parts)
    if kept and not kept_states(made.graph, machine, stored_bits(circuit(made.graph))[0]):
        raise UnsupportedError(
            Finding(
                "the kernel can't keep the states of the rounds",
                name,
                "rows of states are whole port words, all alike, and no output shows one that does not count",
                "leave --loop away",
            )
        )
    return parts


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
    graph = looped_form(prepare(source.graph))[0] if source.loops else source.graph
    return search_formats(
        graph,
        source.scheme,
        source.calibration,
        bound,
        metric=metric,
        count=count,
        weights=weights,
        tokens=tokens,
        alike=alike(graph, source.loops),
        step=step,
    )


def _pay(loops: Sequence[Part], machine: Machine) -> bool:
    """A round is long beside what the next one waits for (the last response of a store, the first word of a load), or there
    are too many."""
    steps = sum(len(part.rounds) for part in loops if part.same)
    floors = (max(lower_bounds(part.graph, machine).values()) for part in loops)
    return steps >= LOOP_STEPS or any(floor >= LOOP_PAYS * machine.latency for floor in floors)


def solve_blocks(source: Source, mode: Mode, pins: Pins | None) -> AnySchedule:
    """The solver's schedule of a source in the form that its machine performs; where it loops blocks, one for each part."""
    quantised = machine_form(source.quantised, source.machine)
    found = pieces(quantised.graph, source.loops)
    if not found:
        return solve(quantised.graph, source.machine, mode, pins)
    parts = divide(quantised, found)
    name = quantised.graph.name
    return schedule_parts(
        name, parts, found, pins, lambda part, own: solve(part.graph, source.machine, mode, own)
    )
