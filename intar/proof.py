"""The proof: golden = engine = generated C++ = RTL, to the bit, on given inferences.

`verify_csim` and `verify_rtl` run tools in a directory that they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from intar.codegen.rtl import bundles, memory_files, top_name
from intar.design import Design, engine_memory
from intar.engine import run
from intar.errors import InternalError
from intar.quant.golden import golden_outputs
from intar.verify.csim import run_csim, variations
from intar.verify.sim_build import build_simulation
from intar.verify.simulate import Argument, MemoryModel

LONG_RUN = 50_000
"""Predicted cycles of all inferences from which a simulator is built for speed and not for a short build."""


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
        """No integer differs from golden."""
        return self.mismatches == 0


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
        found, other = (network.output_tensors(each.outputs, position) for each in (result, merged))
        states = [argument.name for argument in made.arguments("state")]
        # What is spilled may have rows of a state that do not count yet: these may be the new ones already, or not.
        same = all(merged.outputs[name] == result.outputs[name] for name in states)
        if not (same and all(np.array_equal(other[name], found[name]) for name in found)):
            raise InternalError("the interleaved buffers of the HLS program change its bits")
        outputs.append(found)
        cycles.append(result.cycles)
        if calls:
            kept = {name: result.outputs[name] for name in states}
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
        memory_files=[directory / "rtl" / name for name in memory_files(made.program).values()],
    )
    built()
    constants = {name: np.frombuffer(data, dtype=np.uint8) for name, data in made.images.items()}
    called = _each(made, inputs, calls)
    jobs = [
        _job(network, one, position, constants, kept=calls is not None)
        for one, (network, position) in zip(inputs, called, strict=True)
    ]
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


def _job(
    network: Design,
    inputs: Mapping[str, np.ndarray],
    position: int,
    constants: Mapping[str, np.ndarray],
    *,
    kept: bool,
) -> list[Argument]:
    """The registers and the memory of one call; `kept`: its states lie there from the call before on."""
    program, loaded = network.program, network.input_images(inputs)
    job = []
    for index, argument in enumerate(program.arguments):
        offset = 0x10 + 0xC * index
        if argument.role == "output":
            job.append(Argument(argument.name, offset, size=argument.words * argument.port_bits // 8))
        elif argument.role == "input":
            data = np.frombuffer(loaded[argument.name], dtype=np.uint8)
            job.append(Argument(argument.name, offset, data=data))
        elif argument.role == "state":
            data = np.frombuffer(loaded[argument.name], dtype=np.uint8)
            job.append(Argument(argument.name, offset, data, output=True, kept=kept))
        else:
            job.append(Argument(argument.name, offset, data=constants[argument.name]))
    numbers = zip(program.scalars, program.call(network.entry, position), strict=True)
    for index, (name, value) in enumerate(numbers, len(program.arguments)):
        job.append(Argument(name, 0x10 + 0xC * index, value=value))
    return job


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
        golden += golden_outputs(run_[0][0][0].quantised, [one for _, one in run_])
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
