"""Run the generated C++ of a program on our simulator: bytes in, bytes out, statistics, located faults.

The C++ is what Vitis HLS gets; only the top that starts the processes (``sim_top.cpp``) is ours.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intar.codegen.hls_checks import tensor_ids
from intar.errors import Finding, InternalError, ToolError
from intar.ir.io import write_atomic
from intar.ir.program import Argument, Program
from intar.verify.csim_build import CsimStream, compile_csim
from intar.verify.csim_build import run_csim as run_program

FLAGS = ("-DINTAR_CSIM",)
"""Flags that select the simulator's top in ``tb.cpp``."""


@dataclass(frozen=True)
class CsimOutputs:
    """What csim gave.

    Parameters
    ----------
    outputs : for each output argument its image after every inference.
    saturations : values clamped, per tensor, over all inferences; tensors without any are there with 0.
    streams : depth, high-water mark (tokens) and token counts of every FIFO, over all inferences.
    seconds : wall time of the run, without compilation.
    """

    outputs: dict[str, list[bytes]]
    saturations: dict[str, int]
    streams: tuple[CsimStream, ...]
    seconds: float


def run_csim(
    project: Path | Mapping[str, bytes],
    program: Program,
    images: Mapping[str, bytes],
    inputs: Mapping[str, Sequence[bytes]],
    *,
    calls: Sequence[Sequence[int]] = (),
    build_dir: Path | None = None,
    flags: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> CsimOutputs:
    """Compile the generated C++ and run one or more inferences in one process.

    Parameters
    ----------
    project : directory of a generated project, or its files (path → bytes) as `render_hls` gives them.
    images : bytes of every constant argument.
    inputs : for every input argument the bytes of each inference; all of the same length. For an argument of states
        perhaps one image only, from which all calls go on.
    calls : the numbers of each call (`Program.scalars`).
    build_dir : where sources and objects are kept, so that only what changed is compiled again; temporary by default.
    flags : further compiler flags, after the defaults.
    env : environment of the simulation, e.g. ``INTAR_SIM_SEED``, ``INTAR_SIM_DEPTH``.
    timeout : seconds.

    Raises
    ------
    ToolError
        No compiler, or the compiler failed.
    InternalError
        The generated C++ deadlocks, leaves tokens behind or is used wrongly; the runtime's report is quoted.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="intar-csim-")))
        root = _on_disk(project, build_dir or scratch)
        hls = root / "hls"
        binary = compile_csim(
            [hls / "tb.cpp", hls / "sim_top.cpp"],
            [hls, hls / "intar"],
            build_dir or scratch / "build",
            (*FLAGS, *flags),
        )
        data = scratch / "data"
        data.mkdir()
        _write_data(data, program, images, inputs)
        if program.scalars:
            (data / "calls.bin").write_bytes(np.array(calls, "<i8").tobytes())
        start = time.perf_counter()
        result = run_program(binary, [str(data), "--no-golden"], env, timeout=timeout)
        seconds = time.perf_counter() - start
        if result.fault is not None:
            raise InternalError(f"csim of {program.name!r} stopped: {result.fault.message}")
        if not result.ok or result.stats is None:
            raise ToolError(Finding(f"csim failed: {result.stderr.strip()}", f"kernel {program.name!r}"))
        outputs = {
            argument.name: _split((data / f"{argument.name}.out.bin").read_bytes(), argument)
            for argument in program.arguments
            if argument.role in ("output", "state")
        }
    counts = result.stats.saturations
    saturations = {name: counts.get(index, 0) for name, index in tensor_ids(program).items() if name}
    return CsimOutputs(outputs, saturations, result.stats.streams, seconds)


def variations(result: CsimOutputs) -> tuple[dict[str, str], ...]:
    """Environments in which a program that gave `result` has to give it again: two other orders of the processes, all
    FIFOs deeper than the deepest, FIFOs without a bound, and an order together with a depth."""
    deep = str(1 + max((stream.declared for stream in result.streams), default=1))
    return (
        {"INTAR_SIM_SEED": "1"},
        {"INTAR_SIM_SEED": "2"},
        {"INTAR_SIM_DEPTH": deep},
        {"INTAR_SIM_DEPTH": "inf"},
        {"INTAR_SIM_DEPTH": deep, "INTAR_SIM_SEED": "3"},
    )


def image_bytes(argument: Argument) -> int:
    """Size of an argument's buffer, bytes."""
    return argument.words * argument.port_bits // 8


def _on_disk(project: Path | Mapping[str, bytes], folder: Path) -> Path:
    if not isinstance(project, Mapping):
        return Path(project)
    for path, data in project.items():
        if path.startswith("hls/"):
            write_atomic(Path(folder) / "project" / path, data)
    return Path(folder) / "project"


def _write_data(
    data: Path, program: Program, images: Mapping[str, bytes], inputs: Mapping[str, Sequence[bytes]]
) -> None:
    kept = {argument.name for argument in program.arguments if argument.role == "state"}
    counts = {len(values) for name, values in inputs.items() if name not in kept}
    if len(counts) > 1:
        raise InternalError(f"the inputs of csim have different numbers of inferences: {sorted(counts)}")
    for argument in program.arguments:
        if argument.role == "constant":
            parts: Sequence[bytes] = [images[argument.name]]
        elif argument.role in ("input", "state"):
            parts = inputs[argument.name]
        else:
            continue
        wrong = [len(part) for part in parts if len(part) != image_bytes(argument)]
        if wrong or not parts:
            raise InternalError(
                f"argument {argument.name!r} needs images of {image_bytes(argument)} bytes, got {wrong or 'none'}"
            )
        (data / f"{argument.name}.bin").write_bytes(b"".join(parts))


def _split(data: bytes, argument: Argument) -> list[bytes]:
    size = image_bytes(argument)
    return [data[i : i + size] for i in range(0, len(data), size)]
