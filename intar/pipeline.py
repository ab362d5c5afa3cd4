"""The path of the design, arrow by arrow: model → graph → integers → schedule → program → project → proof.

Every function is pure but the ones that run tools (`verify_csim`, `verify_rtl`), which work in a directory they are given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import intar
from intar.assets import asset_digest
from intar.codegen.hls import BuildTarget, render_hls
from intar.codegen.host import HostMove, render_host
from intar.codegen.rtl import bundles, render_rtl, top_name
from intar.device import boards
from intar.engine import LONGEST_RUN, EngineResult, plan_merged, run
from intar.engine import MemoryModel as EngineMemory
from intar.errors import InfeasibleError, InternalError
from intar.ir.circuit import as_stored, border_moves, from_circuit, to_circuit
from intar.ir.io import to_npz
from intar.ir.program import Argument, Program
from intar.ir.quantgraph import Part, QuantGraph, Quantised
from intar.ir.reference import AT_ONCE
from intar.ir.repeats import Blocks
from intar.ir.schedule import AnySchedule, Machine, Mode, PartedSchedule, Schedule
from intar.ir.taskgraph import TaskGraph
from intar.lower.images import argument_bytes, stored_tensors
from intar.lower.lower import Lowered, lower
from intar.lower.parts import lower_parts
from intar.project import LOCK, LOCK_SCHEMA, Project
from intar.quant.accuracy import numerics_report
from intar.quant.blocks import Pieces, pieces
from intar.quant.divide import divide
from intar.quant.golden import golden_tensors, quantise_input
from intar.quant.pooled import pool_products
from intar.quant.store import CONSTANTS_FILE, GRAPH_FILE
from intar.quant.store import to_json as quant_json
from intar.schedule.build import at_least, own_banks
from intar.schedule.parts import schedule_parts
from intar.schedule.pins import Pins
from intar.schedule.solve import solve
from intar.schedule.validate import validate
from intar.verify.csim import run_csim, variations
from intar.verify.simulate import Argument as SimArgument
from intar.verify.simulate import MemoryModel, build_simulation

BENCH_INFERENCES = 4
"""Inferences that a generated test bench carries."""

LONG_RUN = 50_000
"""Predicted cycles of all inferences from which a simulator is built for speed and not for a short build."""


@dataclass(frozen=True)
class Design:
    """A compiled network: integers, schedule, program, constant images and the engine's prediction.

    `predicted` is the engine's run with all-zero inputs: cycles, waits and spans don't depend on values.
    """

    quantised: Quantised
    schedule: AnySchedule
    program: Program
    images: dict[str, bytes] = field(repr=False)
    predicted: EngineResult = field(repr=False)

    def arguments(self, role: str) -> list[Argument]:
        """The kernel's arguments of a role."""
        return [argument for argument in self.program.arguments if argument.role == role]

    def input_images(self, inputs: Mapping[str, np.ndarray]) -> dict[str, bytes]:
        """Bytes of the input arguments for one inference, by name; `inputs` are integers by tensor name."""
        loaded = to_circuit(self.quantised.graph, inputs)
        return {argument.name: argument_bytes(argument, loaded) for argument in self.arguments("input")}

    def output_tensors(self, images: Mapping[str, bytes]) -> dict[str, np.ndarray]:
        """The network's outputs, in their own shapes, from the bytes of the output arguments."""
        return from_circuit(self.quantised.graph, stored_tensors(self.arguments("output"), images))


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


def _try_parts(quantised: Quantised, parts: Sequence[Part], schedule: PartedSchedule) -> _Trial:
    """Lower the parts of a network into one machine and run it."""
    for part, own in zip(parts, schedule.parts, strict=True):
        _check(own.schedule, part.graph)
    lowered = lower_parts(quantised.graph.name, parts, [own.schedule for own in schedule.parts])
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


RESTRICTED: tuple[Mode, ...] = ("intar", "sequential", "dataflow")
RIVAL = 0.05
"""The solver's objective and the engine's cycles agree within this share: closer schedules are told apart by the engine."""


def compile_quantised(
    quantised: Quantised,
    machine: Machine,
    mode: Mode = "auto",
    pins: Pins | None = None,
    blocks: Blocks = (),
) -> Design:
    """Schedule and lower; `pins` is what a person has decided about the schedule.

    `blocks` that the network repeats (`intar.ir.repeats`) are scheduled once and looped.

    With arrays of one row, results leave in the order in which a pool takes them: it joins the convolution before it.
    In mode ``auto`` the best schedules of the other modes are lowered too where the solver finds them about as good, and
    each of them with a bank for every copy of a tensor where they fit; the engine's cycles decide: *auto* is never slower.
    """
    if machine.rows == 1:
        quantised = pool_products(quantised)
    if found := pieces(quantised.graph, blocks):
        return compile_parts(quantised, machine, found, mode, pins)
    return _finish(quantised, _fastest(quantised, _candidates(quantised.graph, machine, mode, pins)))


def _fastest(quantised: Quantised, candidates: Sequence[Schedule]) -> _Trial:
    """The first of the candidates that take the fewest cycles; a run ends where it has lost."""
    best = _try(quantised, candidates[0])
    for rival in candidates[1:]:
        other = _try(quantised, rival, best.predicted.cycles)
        if other.predicted.deadlock is None and other.predicted.cycles < best.predicted.cycles:
            best = other
    return best


def _candidates(
    graph: QuantGraph, machine: Machine, mode: Mode, pins: Pins | None, *, alone: bool = True
) -> list[Schedule]:
    """The solver's best schedule of a mode and, in mode ``auto``, others that the engine may find faster.

    Parts of a network are not `alone`: they share the memory, of which each takes the least, and are all in one mode.
    """
    best = solve(graph, machine, mode, pins)
    found = {_what_runs(best): best}
    if mode == "auto":
        for rival in _rivals(graph, best, pins, alone):
            found.setdefault(_what_runs(rival), rival)
    return list(found.values())


def _what_runs(schedule: Schedule) -> tuple[Any, ...]:
    """All of a schedule that its program depends on."""
    return schedule.stages, schedule.residency, schedule.banks


def _rivals(graph: QuantGraph, best: Schedule, pins: Pins | None, alone: bool) -> Iterator[Schedule]:
    """Schedules that the engine may find faster than the solver's best one, claiming no more than is proved of them."""
    if alone:
        yield from _own_banks(best, graph)
    interleaved = any(stage.pattern == "interleaved" for stage in best.stages)
    for restricted in RESTRICTED:
        if restricted == "intar" and best.status == "OPTIMAL" and not interleaved:
            continue  # `best` is the answer
        if restricted == "dataflow" and (best.machine.cores == 1 or not alone):
            continue  # on one core the stages are those of sequential
        try:
            rival = solve(graph, best.machine, restricted, pins)
        except InfeasibleError:
            continue
        if at_least(rival) > best.objective * (1 + RIVAL):
            continue
        if restricted != "dataflow":  # whose stages are not all stages of auto: it stays what it is
            status = best.status if rival.objective == best.objective else "FEASIBLE"
            rival = rival.model_copy(update={"mode": best.mode, "bound": best.bound, "status": status})
        yield rival
        if alone:
            yield from _own_banks(rival, graph)


def _own_banks(schedule: Schedule, graph: QuantGraph) -> Iterator[Schedule]:
    """The schedule with a bank for every copy of a tensor, if that fits: no stage waits for the readers of another."""
    apart = own_banks(schedule)
    if not validate(apart, graph):
        yield apart


def compile_parts(
    quantised: Quantised, machine: Machine, found: Pieces, mode: Mode = "auto", pins: Pins | None = None
) -> Design:
    """Schedule each part of a network by itself, its rounds once, and lower them all into one machine.

    Raises
    ------
    UnsupportedError
        The network does not fall into these parts (`intar.quant.divide`).
    """
    parts = divide(quantised, found)

    def schedule(part: Part, own: Pins) -> Schedule:
        candidates = _candidates(part.graph, machine, mode, own, alone=False)
        if len(candidates) == 1:
            return candidates[0]
        best = _fastest(part.rounds[0], candidates).schedule
        assert isinstance(best, Schedule)
        return best

    made = schedule_parts(quantised.graph.name, parts, found, pins, schedule)
    return _finish(quantised, _try_parts(quantised, parts, made))


def recompile(made: Design, mode: Mode) -> Design:
    """The same network in another pattern, on the same machine and in the same parts."""
    machine = made.schedule.machine
    if isinstance(made.schedule, PartedSchedule):
        return compile_parts(made.quantised, machine, made.schedule.pieces, mode)
    return compile_quantised(made.quantised, machine, mode)


def engine_memory(machine: Machine) -> EngineMemory:
    """The engine's memory model of the machine."""
    return EngineMemory(latency=machine.latency)


def integer_samples(
    quantised: Quantised, data: Mapping[str, np.ndarray] | None, count: int = 64
) -> dict[str, np.ndarray]:
    """Real samples as the network's input integers, (samples, *shape) by input; empty without data."""
    graph = quantised.graph
    return {
        name: np.stack([quantise_input(graph.tensor(name), sample) for sample in (data or {})[name][:count]])
        for name in graph.inputs
        if name in (data or {})
    }


def numerics(
    graph: TaskGraph, quantised: Quantised, data: Mapping[str, np.ndarray] | None
) -> list[dict[str, Any]]:
    """Golden against float per tensor on real samples; empty without data."""
    return numerics_report(graph, quantised, {k: v[:64] for k, v in data.items()}) if data else []


def build_target(machine: Machine) -> BuildTarget:
    """What the vendor scripts build for: the board's part; its Vitis platform is the user's to name (PLATFORM=…)."""
    board = boards().get(machine.device)
    if board is None:
        return BuildTarget(clock_mhz=machine.clock_mhz)
    default = BuildTarget()
    platform = default.platform if board.part == default.part else ""
    return BuildTarget(board.part, platform, machine.clock_mhz, uram=board.uram > 0)


def _bench_data(made: Design, inputs: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """Images for the generated test bench: inputs and golden outputs, inference after inference, and which bits of the
    outputs count: what pads rows, spills and what goes from round to round are the kernel's own.
    """
    graph = made.quantised.graph
    count = min(BENCH_INFERENCES, *(len(array) for array in inputs.values()))
    batch = [{name: array[i] for name, array in inputs.items()} for i in range(count)]
    sources = [made.input_images(one) for one in batch]
    data = {f"data/{name}.bin": b"".join(source[name] for source in sources) for name in sources[0]}
    stored = [as_stored(graph, result) for result in golden_outputs(made, batch)]
    ones = as_stored(graph, {name: np.full(graph.tensor(name).shape, -1) for name in graph.outputs})
    for out in made.arguments("output"):
        data[f"data/{out.name}.golden.bin"] = b"".join(argument_bytes(out, one) for one in stored)
        data[f"data/{out.name}.mask.bin"] = argument_bytes(out, ones)
    return data


def _host_moves(graph: QuantGraph) -> dict[str, HostMove]:
    """What the host program has to reorder."""
    return {
        name: HostMove(
            move.visits,
            tuple((p.offset, p.step, p.counts, p.strides) for p in move.pieces),
            graph.tensor(name).shape,
        )
        for name, move in border_moves(graph).items()
    }


def project(made: Design, inputs: Mapping[str, np.ndarray] | None = None) -> Project:
    """All files of the generated project; `inputs` are integer samples to keep with it."""
    graph = made.quantised.graph
    files: dict[str, bytes] = {
        GRAPH_FILE: quant_json(graph).encode(),
        CONSTANTS_FILE: to_npz(made.quantised.constants),
        "schedule.json": made.schedule.to_json().encode(),
        "program.json": made.program.to_json().encode(),
    }
    files |= {f"data/{name}.bin": data for name, data in made.images.items()}
    target = build_target(made.schedule.machine)
    files |= render_rtl(made.program, uram=target.uram)
    files |= render_hls(made.program, target)
    files |= render_host(made.program, target, _host_moves(graph))
    if inputs:
        files["data/inputs.npz"] = to_npz(dict(inputs))
        files |= _bench_data(made, inputs)
    lock = {
        "schema": LOCK_SCHEMA,
        "intar": intar.__version__,
        "model": graph.digest,
        "templates": asset_digest(),
        "tools": {name: version(name) for name in ("jinja2", "numpy", "ortools")},
        "files": Project(files).digests,
        "top": top_name(made.program),
    }
    files[LOCK] = (json.dumps(lock, indent=1, sort_keys=True) + "\n").encode()
    return Project(dict(sorted(files.items())))


@dataclass(frozen=True)
class Check:
    """One executor against golden on some inferences.

    `mismatches` counts differing integers; `first` locates the first one; `cycles` has one entry per inference (empty
    for csim).
    """

    executor: str
    inferences: int
    mismatches: int
    first: str
    outputs: tuple[dict[str, np.ndarray], ...] = field(repr=False)
    cycles: tuple[int, ...] = ()
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    saturations: dict[str, int] = field(default_factory=dict)

    @property
    def bit_exact(self) -> bool:
        return self.mismatches == 0


def golden_outputs(made: Design, inputs: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """Golden's network outputs for each inference."""
    results: list[dict[str, np.ndarray]] = [{} for _ in inputs]
    for first in range(0, len(inputs), AT_ONCE):
        for name, arrays, _ in golden_tensors(made.quantised, inputs[first : first + AT_ONCE]):
            if name in made.quantised.graph.outputs:
                for result, array in zip(results[first:], arrays, strict=False):
                    result[name] = array
    return results


def verify_engine(made: Design, inputs: Sequence[Mapping[str, np.ndarray]]) -> Check:
    """Golden = engine, two-sided and with the buffers interleaved as in HLS."""
    outputs, cycles = [], []
    for one in inputs:
        images = {**made.images, **made.input_images(one)}
        result = run(made.program, images, memory=engine_memory(made.schedule.machine))
        result.raise_deadlock()
        merged = run(made.program, images, merged=True)
        merged.raise_deadlock()
        if merged.outputs != result.outputs:
            raise InternalError("the interleaved buffers of the HLS program change its bits")
        outputs.append(made.output_tensors(result.outputs))
        cycles.append(result.cycles)
    return _compare("engine", made, inputs, outputs, tuple(cycles))


def _is_long(made: Design, inputs: Sequence[Mapping[str, np.ndarray]]) -> bool:
    """Whether a run takes longer than the optimised build of its simulator."""
    return made.predicted.cycles * len(inputs) > LONG_RUN


def verify_csim(
    made: Design, inputs: Sequence[Mapping[str, np.ndarray]], directory: Path, *, sweep: bool = False
) -> Check:
    """Golden = generated C++, compiled and run in `directory` (a written project).

    `sweep`: it also runs with processes in other orders and with deeper FIFOs, which must not change a byte.

    Raises
    ------
    InternalError
        The C++ deadlocks, or the sweep finds an order or a depth that changes something.
    """
    images = [made.input_images(one) for one in inputs]
    batch = {name: [one[name] for one in images] for name in images[0]}
    flags = () if _is_long(made, inputs) else ("-O0",)
    run_in = partial(
        run_csim,
        directory,
        made.program,
        made.images,
        batch,
        build_dir=directory / "build" / "cpp",
        flags=flags,
    )
    result = run_in()
    for env in variations(result) if sweep else ():
        other = run_in(env=env)
        if (other.outputs, other.saturations) != (result.outputs, result.saturations):
            raise InternalError(f"csim gives other bits with {env}: the C++ is no Kahn network")
    outputs = [
        made.output_tensors({name: images[index] for name, images in result.outputs.items()})
        for index in range(len(inputs))
    ]
    check = _compare("csim", made, inputs, outputs, ())
    return replace(check, seconds=result.seconds, saturations=dict(result.saturations))


def verify_rtl(
    made: Design,
    inputs: Sequence[Mapping[str, np.ndarray]],
    directory: Path,
    *,
    memory: MemoryModel | None = None,
    wait: str = "interrupt",
    reset_between: bool = False,
    waves: bool = False,
    mode: str = "dpi",
    abort_after: int = 0,
    built: Callable[[], None] = lambda: None,
) -> Check:
    """Golden = RTL under Verilator and cocotb, built and run in ``directory/build/sim``; calls `built` in between.

    The other options are those of :func:`build_simulation` and :meth:`Simulation.run`.
    """
    listing = (directory / "rtl" / "filelist.f").read_text().split()
    files = [directory / "rtl" / name for name in listing if name.endswith(".sv")]
    simulation = build_simulation(
        files,
        top_name(made.program),
        bundles(made.program),
        directory / "build" / "sim",
        waves=waves,
        mode=mode,
        fast=_is_long(made, inputs),
    )
    built()
    constants = {name: np.frombuffer(data, dtype=np.uint8) for name, data in made.images.items()}
    jobs = []
    for one in inputs:
        job, loaded = [], made.input_images(one)
        for index, argument in enumerate(made.program.arguments):
            offset = 0x10 + 0xC * index
            if argument.role == "output":
                job.append(SimArgument(argument.name, offset, size=argument.words * argument.port_bits // 8))
            elif argument.role == "input":
                data = np.frombuffer(loaded[argument.name], dtype=np.uint8)
                job.append(SimArgument(argument.name, offset, data=data))
            else:
                job.append(SimArgument(argument.name, offset, data=constants[argument.name]))
        jobs.append(job)
    model = memory or MemoryModel(latency=made.schedule.machine.latency)
    limit = 20 * made.predicted.cycles + 20_000
    result = simulation.run(jobs, model, wait, reset_between, limit, abort_after)
    outputs = [
        made.output_tensors({name: array.tobytes() for name, array in out.items()}) for out in result.outputs
    ]
    check = _compare("rtl", made, inputs, outputs, result.cycles)
    return replace(check, seconds=result.seconds, cpu_seconds=result.cpu_seconds)


def _compare(
    executor: str,
    made: Design,
    inputs: Sequence[Mapping[str, np.ndarray]],
    outputs: Sequence[dict[str, np.ndarray]],
    cycles: tuple[int, ...],
) -> Check:
    wrong, first = 0, ""
    for index, (got, want) in enumerate(zip(outputs, golden_outputs(made, inputs), strict=True)):
        for name, expected in want.items():
            differs = np.argwhere(got[name] != expected.reshape(got[name].shape))
            wrong += len(differs)
            if len(differs) and not first:
                at = tuple(int(i) for i in differs[0])
                first = (
                    f"inference {index}, tensor {name!r}, index {at}: "
                    f"expected {expected.reshape(got[name].shape)[at]}, got {got[name][at]}"
                )
    return Check(executor, len(outputs), wrong, first, tuple(outputs), cycles)
