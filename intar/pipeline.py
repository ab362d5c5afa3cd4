"""The path of the design, arrow by arrow: model → graph → integers → schedule → program → project → proof.

Every function is pure but the ones that run tools (`verify_csim`, `verify_rtl`), which work in a directory they are given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib.metadata import version
from itertools import combinations, groupby
from pathlib import Path
from typing import Any

import numpy as np

import intar
from intar.assets import asset_digest
from intar.codegen.hls import BuildTarget, render_hls
from intar.codegen.host import render_host
from intar.codegen.rtl import bundles, render_rtl, top_name
from intar.device import boards
from intar.engine import LONGEST_RUN, EngineResult, plan_merged, run
from intar.engine import MemoryModel as EngineMemory
from intar.errors import Finding, InfeasibleError, InternalError, UnsupportedError
from intar.hosting import host_moves, text_entries
from intar.ir.circuit import as_stored, from_circuit, to_circuit
from intar.ir.io import to_npz
from intar.ir.names import sanitise
from intar.ir.ops import POSITION
from intar.ir.program import Argument, Load, Program
from intar.ir.quantgraph import Part, QuantGraph, Quantised
from intar.ir.reference import AT_ONCE
from intar.ir.repeats import Blocks
from intar.ir.schedule import AnySchedule, Machine, Mode, PartedSchedule, Schedule
from intar.ir.states import State, states
from intar.ir.taskgraph import TaskGraph
from intar.lower.images import argument_bytes, stored_tensors
from intar.lower.kept import new_rows, new_rows_image, state_image
from intar.lower.lower import Lowered, lower
from intar.lower.parts import Network as LoweredNetwork
from intar.lower.parts import lower_networks
from intar.project import LOCK, LOCK_SCHEMA, Project
from intar.quant.accuracy import numerics_report
from intar.quant.blocks import Pieces, pieces
from intar.quant.divide import divide
from intar.quant.golden import golden_tensors, quantise_input
from intar.quant.pooled import pool_products
from intar.quant.shorter import shorter
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

INPUTS_FILE = "data/inputs.npz"
"""Integer samples of a network in a project, below its folder."""

BENCH_INFERENCES = 4
"""Inferences that a generated test bench carries."""

LONG_RUN = 50_000
"""Predicted cycles of all inferences from which a simulator is built for speed and not for a short build."""


@dataclass(frozen=True)
class Design:
    """A compiled network: integers, schedule, program, constant images and the engine's prediction.

    `predicted` is the engine's run with all-zero inputs: cycles, waits and spans don't depend on values. Where the program
    performs several networks, this one is its entry `entry`; it may be a shorter form `of` another (`quant.shorter`).
    """

    quantised: Quantised
    schedule: AnySchedule
    program: Program
    images: dict[str, bytes] = field(repr=False)
    predicted: EngineResult = field(repr=False)
    entry: int = 0
    of: str = ""

    @property
    def name(self) -> str:
        """What a call names it by: the entry, or the network where it has no name as an entry."""
        return self.program.entries[self.entry].name if self.program.entries else self.quantised.graph.name

    @property
    def folder(self) -> str:
        """Where in a project its own files lie, with a slash behind: those of the first network at the top."""
        return f"entries/{self.name}/" if self.entry else ""

    @property
    def states(self) -> list[State]:
        """The states that the kernel itself keeps from call to call."""
        kept = {region.name for argument in self.arguments("state") for region in argument.fields}
        return [state for state in states(self.quantised.graph) if state.name in kept]

    def arguments(self, role: str) -> list[Argument]:
        """The kernel's arguments of a role, with the tensors of this network in them."""
        found = [argument for argument in self.program.arguments if argument.role == role]
        if not self.program.entries or role == "state":
            return found
        return [
            a.model_copy(update={"fields": tuple(r for r in a.fields if r.entry == self.entry)})
            for a in found
        ]

    def position(self, inputs: Mapping[str, np.ndarray]) -> int:
        """Where a call with these inputs stands; behind all that it reads where the network does not depend on it."""
        if self.quantised.graph.positions:
            return int(np.asarray(inputs[POSITION]).item())
        return self.program.positions

    def input_images(self, inputs: Mapping[str, np.ndarray]) -> dict[str, bytes]:
        """Bytes of the arguments of inputs and states for one inference, by name; `inputs` are integers by tensor name."""
        loaded = to_circuit(self.quantised.graph, inputs)
        images = {argument.name: argument_bytes(argument, loaded) for argument in self.arguments("input")}
        for argument in self.arguments("state"):
            images[argument.name] = state_image(argument, self.states, loaded)
        return images

    def output_tensors(
        self, images: Mapping[str, bytes], position: int | None = None
    ) -> dict[str, np.ndarray]:
        """The network's outputs, in their own shapes, from the bytes of the arguments after a call at `position`."""
        tensors = stored_tensors(self.arguments("output"), images)
        at = self.program.positions if position is None else position
        tensors |= new_rows(self.arguments("state"), self.states, images, at)
        return from_circuit(self.quantised.graph, tensors)


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


def _plans(parts: Sequence[Part], schedule: PartedSchedule) -> list[Schedule]:
    """The schedules of the parts of a network, checked."""
    for part, own in zip(parts, schedule.parts, strict=True):
        _check(own.schedule, part.graph)
    return [own.schedule for own in schedule.parts]


def _try_parts(quantised: Quantised, parts: Sequence[Part], schedule: PartedSchedule) -> _Trial:
    """Lower the parts of a network into one machine and run it."""
    plans = _plans(parts, schedule)
    lowered = lower_networks([LoweredNetwork(quantised.graph.name, quantised, parts, plans)])
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
MOST_BANKS = 24
"""Banks for every copy, at most: every switch in front of them has an output for each."""
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
    if len(apart.banks) <= MOST_BANKS and not validate(apart, graph):
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

    made = schedule_parts(quantised.graph.name, parts, found, pins, partial(_best_of_part, machine, mode))
    return _finish(quantised, _try_parts(quantised, parts, made))


def _best_of_part(machine: Machine, mode: Mode, part: Part, pins: Pins) -> Schedule:
    """The best schedule of a part, which shares the memory with others."""
    candidates = _candidates(part.graph, machine, mode, pins, alone=False)
    if len(candidates) == 1:
        return candidates[0]
    best = _fastest(part.rounds[0], candidates).schedule
    assert isinstance(best, Schedule)
    return best


@dataclass(frozen=True)
class Network:
    """A network to be compiled into a kernel with others: its name there, its integers, and its pieces (`quant.blocks`).

    Without pieces it is one part. It may be a shorter form `of` another one, for calls at the first positions.
    """

    name: str
    quantised: Quantised
    pieces: Pieces = ()
    of: str = ""

    @property
    def cut(self) -> Pieces:
        """Its pieces, or all its tasks as one."""
        return self.pieces or (((*(task.name for task in self.quantised.graph.tasks),),),)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The network in parts, each of which is scheduled by itself."""
        return divide(self.quantised, self.cut)


def at_lengths(network: Network, count: int) -> list[Network]:
    """The network, and shorter forms of it, each for another `count`-th of the rows of its states.

    Calls at the first positions read and multiply only so many rows of the states as their form has. Forms of no more rows
    than a call adds are left out.

    Raises
    ------
    UnsupportedError
        Nothing in the network depends on the position, or its states go through what has no shorter form.
    """
    full = network.quantised.graph.positions
    if count > 1 and not full:
        what = f"nothing in it depends on the input '{POSITION}'"
        hint = "lengths are those of a cache of which the position decides what counts (docs/generate.md)"
        raise UnsupportedError(Finding(what, f"network {network.name}", hint=hint))
    added = max((state.length for state in states(network.quantised.graph)), default=0)
    rows = [-(-full * part // count) for part in range(1, count)]
    return [
        network,
        *(
            replace(
                network,
                name=f"{network.name}_{cached}",
                quantised=shorter(network.quantised, cached),
                of=network.name,
            )
            for cached in dict.fromkeys(rows)
            if added < cached < full
        ),
    ]


def compile_networks(networks: Sequence[Network], machine: Machine, mode: Mode = "auto") -> list[Design]:
    """Compile several networks into one program for one machine: a call performs one of them, its entry.

    Each is scheduled by itself, as the parts of a network are. Constants that networks load alike lie in memory once
    (`shared_bytes`).

    Raises
    ------
    UnsupportedError
        A network does not fall into its pieces, or they keep states of one name in different ways.
    """
    if machine.rows == 1:
        networks = [replace(network, quantised=pool_products(network.quantised)) for network in networks]
    schedules = [
        schedule_parts(
            network.quantised.graph.name,
            network.parts,
            network.cut,
            None,
            partial(_best_of_part, machine, mode),
        )
        for network in networks
    ]
    return design_networks(networks, schedules)


def main_entry(name: str, others: Iterable[str]) -> str:
    """The entry of a kernel's first network, which is called as the network is where no other entry is called so."""
    safe = sanitise([name])[name]
    return safe if safe not in others else f"{safe}_main"


def design_networks(networks: Sequence[Network], schedules: Sequence[PartedSchedule]) -> list[Design]:
    """Lower the schedules of several networks into one program."""
    lowering = []
    for network, schedule in zip(networks, schedules, strict=True):
        plans = _plans(network.parts, schedule)
        lowering.append(LoweredNetwork(network.name, network.quantised, network.parts, plans))
    lowered = lower_networks(lowering)
    memory = engine_memory(schedules[0].machine)
    program = plan_merged(lowered.program, memory)
    designs = []
    for entry, (network, schedule) in enumerate(zip(networks, schedules, strict=True)):
        predicted = run(program, {}, memory=memory, values=False, entry=entry)
        predicted.raise_deadlock()
        made = Design(network.quantised, schedule, program, lowered.images, predicted, entry, network.of)
        designs.append(made)
    return designs


def shared_bytes(program: Program) -> int:
    """Bytes of constants that several entries load from one place."""
    total = 0
    for node in program.nodes:
        constant = isinstance(node, Load) and any(
            a.name == node.argument and a.role == "constant" for a in program.arguments
        )
        if not isinstance(node, Load) or not constant:
            continue
        link = program.outputs_of(node.name)["out"]
        loaded = [
            {
                (node.base(step, round), step.beats, step.table, step.pitch)
                for segment, round in program.plays_of(entry)
                for step in node.steps
                if step.segment == segment
            }
            for entry in range(len(program.entries))
        ]
        for step in set.union(set(), *(a & b for a, b in combinations(loaded, 2))):
            _, beats, table, pitch = step
            words = -(-beats * link.lanes * link.bits // node.port_bits)
            total += (table * pitch if table else words) * node.port_bits // 8
    return total


def recompile(made: Design, mode: Mode) -> Design:
    """The same network in another pattern, on the same machine and in the same parts."""
    machine = made.schedule.machine
    if isinstance(made.schedule, PartedSchedule):
        return compile_parts(made.quantised, machine, made.schedule.pieces, mode)
    return compile_quantised(made.quantised, machine, mode)


def engine_memory(machine: Machine) -> EngineMemory:
    """The engine's memory model of the machine."""
    return EngineMemory(machine.latency, machine.words_num, machine.words_den)


def integer_samples(
    quantised: Quantised, data: Mapping[str, np.ndarray] | None, count: int = 64
) -> dict[str, np.ndarray]:
    """Real samples as the network's input integers, (samples, *shape) by input; empty without data."""
    graph = quantised.graph
    return {
        name: np.stack([quantise_input(graph.tensor(name), sample) for sample in (data or {})[name][:count]])
        for name in graph.given
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
    places = [made.position(one) for one in batch]
    for kept in made.arguments("state"):
        for kind, sets in (("golden", stored), ("mask", [ones] * count)):
            rows = [new_rows_image(kept, made.states, *each) for each in zip(sets, places, strict=True)]
            data[f"data/{kept.name}.{kind}.bin"] = b"".join(rows)
    if made.program.scalars:
        numbers = [made.program.call(made.entry, place) for place in places]
        data["data/calls.bin"] = np.array(numbers, "<i8").tobytes()
    return data


def _sources(made: Design, folder: str = "") -> dict[str, bytes]:
    """What a network is made from again."""
    return {
        f"{folder}{GRAPH_FILE}": quant_json(made.quantised.graph).encode(),
        f"{folder}{CONSTANTS_FILE}": to_npz(made.quantised.constants),
        f"{folder}schedule.json": made.schedule.to_json().encode(),
    }


def project(
    made: Design,
    inputs: Mapping[str, np.ndarray] | None = None,
    others: Sequence[Design] = (),
    other_inputs: Sequence[Mapping[str, np.ndarray]] = (),
) -> Project:
    """All files of the generated project.

    Parameters
    ----------
    inputs : integer samples to keep with it.
    others, other_inputs : the other networks of the program and their samples.
    """
    graph = made.quantised.graph
    files: dict[str, bytes] = {**_sources(made), "program.json": made.program.to_json().encode()}
    for other in others:
        if other.of:
            files[f"{other.folder}schedule.json"] = other.schedule.to_json().encode()
        else:
            files |= _sources(other, other.folder)
    for other, samples in zip(others, other_inputs, strict=False):
        if not samples:
            continue
        files[f"{other.folder}{INPUTS_FILE}"] = to_npz(dict(samples))
    files |= {f"data/{name}.bin": data for name, data in made.images.items()}
    target = build_target(made.schedule.machine)
    files |= render_rtl(made.program, uram=target.uram)
    files |= render_hls(made.program, target)
    networks = (made, *others)
    moves = [host_moves(one.quantised.graph) for one in networks]
    files |= render_host(made.program, target, moves, text_entries(networks))
    if inputs:
        files[INPUTS_FILE] = to_npz(dict(inputs))
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
    if made.program.entries:
        names = [entry.name for entry in made.program.entries]
        lock["entries"] = names
        lock["lengths"] = {
            names[one.entry]: [one.of, one.quantised.graph.positions] for one in networks if one.of
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


@dataclass(frozen=True)
class Calls:
    """Calls that go on from each other: the states lie in the device's memory, each call finds there what the ones before
    it have stored.

    Parameters
    ----------
    positions : where each call stores its new rows.
    designs : the network that each performs, all entries of one program; by default the one that is verified.
    """

    positions: tuple[int, ...]
    designs: tuple[Design, ...] = ()


def _each(
    made: Design, inputs: Sequence[Mapping[str, np.ndarray]], calls: Calls | None
) -> list[tuple[Design, int]]:
    """The network and the position of each call: of `calls`, or of its inputs."""
    designs = (calls.designs if calls else ()) or (made,) * len(inputs)
    positions = calls.positions if calls else tuple(map(made.position, inputs))
    return list(zip(designs, positions, strict=True))


def verify_engine(
    made: Design, inputs: Sequence[Mapping[str, np.ndarray]], calls: Calls | None = None
) -> Check:
    """Golden = engine, two-sided and with the buffers interleaved as in HLS."""
    outputs, cycles = [], []
    kept: dict[str, bytes] = {}
    called = _each(made, inputs, calls)
    for one, (network, position) in zip(inputs, called, strict=True):
        images = {**made.images, **network.input_images(one), **kept}
        memory = engine_memory(made.schedule.machine)
        result = run(made.program, images, memory=memory, position=position, entry=network.entry)
        result.raise_deadlock()
        merged = run(made.program, images, merged=True, position=position, entry=network.entry)
        merged.raise_deadlock()
        if merged.outputs != result.outputs:
            raise InternalError("the interleaved buffers of the HLS program change its bits")
        outputs.append(network.output_tensors(result.outputs, position))
        cycles.append(result.cycles)
        if calls:
            kept = {a.name: result.outputs[a.name] for a in made.arguments("state")}
    return _compare("engine", called, inputs, outputs, tuple(cycles))


def _is_long(made: Design, inputs: Sequence[Mapping[str, np.ndarray]]) -> bool:
    """Whether a run takes longer than the optimised build of its simulator."""
    return made.predicted.cycles * len(inputs) > LONG_RUN


def verify_csim(
    made: Design,
    inputs: Sequence[Mapping[str, np.ndarray]],
    directory: Path,
    *,
    sweep: bool = False,
    calls: Calls | None = None,
) -> Check:
    """Golden = generated C++, compiled and run in `directory` (a written project).

    `sweep`: it also runs with processes in other orders and with deeper FIFOs, which must not change a byte.

    Raises
    ------
    InternalError
        The C++ deadlocks, or the sweep finds an order or a depth that changes something.
    """
    called = _each(made, inputs, calls)
    images = [network.input_images(one) for one, (network, _) in zip(inputs, called, strict=True)]
    batch = {name: [one[name] for one in images] for name in images[0]}
    for argument in made.arguments("state") if calls else ():
        del batch[argument.name][1:]
    flags = () if _is_long(made, inputs) else ("-O0",)
    run_in = partial(
        run_csim,
        directory,
        made.program,
        made.images,
        batch,
        calls=[made.program.call(network.entry, position) for network, position in called],
        build_dir=directory / "build" / "cpp",
        flags=flags,
    )
    result = run_in()
    for env in variations(result) if sweep else ():
        other = run_in(env=env)
        if (other.outputs, other.saturations) != (result.outputs, result.saturations):
            raise InternalError(f"csim gives other bits with {env}: the C++ is no Kahn network")
    outputs = [
        network.output_tensors({name: images[index] for name, images in result.outputs.items()}, position)
        for index, (network, position) in enumerate(called)
    ]
    check = _compare("csim", called, inputs, outputs, ())
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
    calls: Calls | None = None,
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
    called = _each(made, inputs, calls)
    for one, (network, position) in zip(inputs, called, strict=True):
        job, loaded = [], network.input_images(one)
        for index, argument in enumerate(made.program.arguments):
            offset = 0x10 + 0xC * index
            if argument.role == "output":
                job.append(SimArgument(argument.name, offset, size=argument.words * argument.port_bits // 8))
            elif argument.role == "input":
                data = np.frombuffer(loaded[argument.name], dtype=np.uint8)
                job.append(SimArgument(argument.name, offset, data=data))
            elif argument.role == "state":
                data = np.frombuffer(loaded[argument.name], dtype=np.uint8)
                job.append(SimArgument(argument.name, offset, data, output=True, kept=calls is not None))
            else:
                job.append(SimArgument(argument.name, offset, data=constants[argument.name]))
        numbers = zip(made.program.scalars, made.program.call(network.entry, position), strict=True)
        for index, (name, value) in enumerate(numbers, len(made.program.arguments)):
            job.append(SimArgument(name, 0x10 + 0xC * index, value=value))
        jobs.append(job)
    machine = made.schedule.machine
    model = memory or MemoryModel(
        latency=machine.latency, words_num=machine.words_num, words_den=machine.words_den
    )
    limit = 20 * max(network.predicted.cycles for network, _ in called) + 20_000
    result = simulation.run(jobs, model, wait, reset_between, limit, abort_after)
    outputs = [
        network.output_tensors({name: array.tobytes() for name, array in out.items()}, position)
        for out, (network, position) in zip(result.outputs, called, strict=True)
    ]
    check = _compare("rtl", called, inputs, outputs, result.cycles)
    return replace(check, seconds=result.seconds, cpu_seconds=result.cpu_seconds)


def _compare(
    executor: str,
    called: Sequence[tuple[Design, int]],
    inputs: Sequence[Mapping[str, np.ndarray]],
    outputs: Sequence[dict[str, np.ndarray]],
    cycles: tuple[int, ...],
) -> Check:
    wrong, first = 0, ""
    golden: list[dict[str, np.ndarray]] = []
    for _, same in groupby(zip(called, inputs, strict=True), key=lambda call: call[0][0].entry):
        run_ = list(same)
        golden += golden_outputs(run_[0][0][0], [one for _, one in run_])
    for index, (got, want) in enumerate(zip(outputs, golden, strict=True)):
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
