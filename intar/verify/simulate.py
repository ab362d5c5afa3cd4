"""Running the RTL simulation of a kernel (`intar.verify.sim_build`) with the cocotb bench in `sim/`, counting cycles.

>>> bench = build_simulation(files, "kernel", [Bundle("gmem0", 512)], Path("build/sim"))      # doctest: +SKIP
>>> result = bench.run([[Argument("x", 0x10, data=x), Argument("y", 0x1C, size=256)]])  # doctest: +SKIP
>>> result.outputs[0]["y"], result.cycles[0]                                                  # doctest: +SKIP

The simulator is a process of its own; neither cocotb nor Verilator is imported here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from intar.assets import asset_dir
from intar.codegen.rtl import Bundle
from intar.errors import ConfigError, Finding, ToolError
from intar.verify.toolchain import cocotb_environment, first_error

PAGE = 4096  # buffers start and end at multiples of this, in bytes (as XRT allocates them)
FIRST_ADDRESS = {"dpi": 0x1_0000_0000, "axiram": 0x1_0000}  # above 4 GiB the high pointer words are exercised


class SimulationTimeout(ToolError):
    """The kernel did not finish within the cycle limit."""

    code = "timeout"


@dataclass(frozen=True)
class Argument:
    """One pointer argument of the kernel and the buffer behind it, for one inference; or a number (`value`).

    Parameters
    ----------
    name : name of the argument; key of the outputs.
    offset : byte offset of its register (0x10, 0x1C, ...).
    data : contents of the buffer before the inference, any dtype and shape; None for an output that starts
        with a poison pattern. The same array object in several jobs is one buffer (weights).
    size : bytes of the buffer; None: as long as `data`.
    output : the kernel writes it; None: it is an output when there is no `data`.
    kept : the jobs share the buffer: what one leaves there the next one finds. `data` is the first one's.
    """

    name: str
    offset: int
    data: np.ndarray | None = None
    size: int | None = None
    output: bool | None = None
    kept: bool = False
    value: int | None = None

    @property
    def is_output(self) -> bool:
        """The kernel writes it."""
        return self.data is None if self.output is None else self.output

    @property
    def bytes(self) -> int:
        """Bytes of its buffer; 0 for a number."""
        return self.size if self.size is not None else self.data.nbytes if self.data is not None else 0


@dataclass(frozen=True)
class MemoryModel:
    """Timing of each memory port.

    Parameters
    ----------
    latency : cycles from the read address to the first word, and from the last written word to the response.
    words_num, words_den : bandwidth of each direction of each port: words_num / words_den words per cycle.
    stall : probability that a channel does nothing in a cycle; in mode ``axiram`` the only thing that counts.
    seed : seed of the stalls.
    """

    latency: int = 64
    words_num: int = 1
    words_den: int = 1
    stall: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class SimResult:
    """What a simulation gave.

    Attributes
    ----------
    outputs : for each job {argument name: uint8 array of its bytes}.
    cycles : for each job the cycles from ap_start (0) to ap_done.
    seconds : wall time of the jobs in the simulator.
    cpu_seconds : its processor time; the same on an idle machine.
    cycles_per_second : simulated cycles per wall second, all cycles counted.
    traffic : {bundle: {"read_words", "read_bursts", "write_words", "write_bursts"}} over all jobs; nothing
        per bundle in mode ``axiram``.
    """

    outputs: tuple[dict[str, np.ndarray], ...]
    cycles: tuple[int, ...]
    seconds: float
    cpu_seconds: float
    cycles_per_second: float
    traffic: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Simulation:
    """A built simulator of one kernel, which reads `memory_files` by their names in the folder where it runs."""

    build_dir: Path
    bundles: tuple[Bundle, ...]
    mode: str
    waves: bool
    memory_files: tuple[Path, ...] = ()

    def run(
        self,
        jobs: Sequence[Sequence[Argument]],
        memory: MemoryModel = MemoryModel(),
        wait: str = "interrupt",
        reset_between: bool = False,
        timeout_cycles: int = 100_000_000,
        abort_after: int = 0,
    ) -> SimResult:
        """Run one inference after the other in one simulator process.

        Parameters
        ----------
        jobs : for each inference its arguments.
        memory : timing of the memory ports.
        wait : ``interrupt`` or ``poll`` (reading CTRL) for the end of an inference.
        reset_between : reset the kernel before every job and not only before the first.
        timeout_cycles : most cycles of one inference.
        abort_after : start the first job, reset the kernel in the middle of it, so many cycles later, and only then
            run the jobs; 0: don't.

        Raises
        ------
        SimulationTimeout : an inference did not end in time.
        ToolError : the simulator failed, or the kernel broke a rule of AXI4 or accessed a wrong address.
        ConfigError : an argument or the memory model makes no sense, or the first job ends within `abort_after` cycles.
        """
        _check_run(jobs, memory, wait, timeout_cycles)
        run_dir = Path(tempfile.mkdtemp(prefix="run-", dir=self.build_dir))
        try:
            config = _plan(jobs, self.mode, run_dir)
            config |= {
                "mode": self.mode,
                "bundles": [asdict(b) for b in self.bundles],
                "memory": asdict(memory),
                "wait": wait,
                "reset_between": reset_between,
                "timeout_cycles": timeout_cycles,
                "abort_after": abort_after,
                "results": str(run_dir / "results.npz"),
                "report": str(run_dir / "report.json"),
            }
            config_file = run_dir / "bench.json"
            config_file.write_text(json.dumps(config, indent=1))
            for file in self.memory_files:
                (run_dir / file.name).symlink_to(file)
            log = self.build_dir / "simulation.log"
            self._execute(config_file, run_dir, log)
            return _collect(run_dir, len(jobs), log, timeout_cycles)
        finally:
            if self.waves and (run_dir / "dump.vcd").exists():
                (run_dir / "dump.vcd").replace(self.build_dir / "dump.vcd")
            shutil.rmtree(run_dir, ignore_errors=True)

    def _execute(self, config_file: Path, run_dir: Path, log: Path) -> None:
        environment = cocotb_environment("intar_bench", "kernel_bench", [asset_dir("sim")])
        environment |= {"INTAR_BENCH": str(config_file), "COCOTB_RESULTS_FILE": str(run_dir / "results.xml")}
        environment["COCOTB_REWRITE_ASSERTION_FILES"] = ""  # would import pytest: most of the start-up time
        command = [str(self.build_dir / "objects" / "intar_bench")] + (["--trace"] if self.waves else [])
        with open(log, "w") as stream:
            code = subprocess.run(
                command, cwd=run_dir, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False
            ).returncode
        if not (run_dir / "report.json").exists():
            raise ToolError(
                Finding(
                    f"the simulator ended with code {code} and no result: {first_error(log)}", where=str(log)
                )
            )


def _check_run(
    jobs: Sequence[Sequence[Argument]], memory: MemoryModel, wait: str, timeout_cycles: int
) -> None:
    findings = []
    if not jobs:
        findings.append(Finding("there is no job to simulate"))
    for number, job in enumerate(jobs):
        for argument in job:
            where = f"job {number}, argument {argument.name!r}"
            if argument.value is None and argument.bytes <= 0:
                findings.append(Finding("the buffer has no bytes", where, hint="give `data` or `size`"))
            elif argument.data is not None and argument.data.nbytes > argument.bytes:
                findings.append(
                    Finding(f"{argument.data.nbytes} bytes do not fit into {argument.bytes}", where)
                )
            if argument.offset < 0x10 or argument.offset % 4:
                findings.append(Finding(f"{argument.offset:#x} is no offset of an argument register", where))
    if memory.latency < 1 or memory.words_num < 1 or memory.words_den < 1 or not 0 <= memory.stall < 1:
        findings.append(
            Finding(f"{memory} is no memory", why="latency and words are at least 1, stall is below 1")
        )
    if wait not in ("interrupt", "poll"):
        findings.append(Finding(f"wait={wait!r} is unknown", hint="use 'interrupt' or 'poll'"))
    if timeout_cycles < 1:
        findings.append(Finding("timeout_cycles is less than 1"))
    if findings:
        raise ConfigError(findings)


def _plan(jobs: Sequence[Sequence[Argument]], mode: str, run_dir: Path) -> dict:
    """Give every buffer a file and an address; describe the jobs for the bench."""
    buffers: list[dict] = []
    known: dict[tuple[str, int, int], int] = {}
    planned: list[dict] = []
    next_address = FIRST_ADDRESS[mode]
    for number, job in enumerate(jobs):
        plan: dict = {"pointers": [], "poison": [], "outputs": []}
        for argument in job:
            if argument.value is not None:
                plan["pointers"].append([argument.offset, argument.value])
                continue
            # A read-modify-write buffer is fresh in every job, a pure output or input, or what is kept, is shared.
            fresh = number if argument.is_output and argument.data is not None and not argument.kept else -1
            identity = id(argument.data) if argument.data is not None and not argument.kept else 0
            key = (
                argument.name if argument.is_output else "",
                identity,
                fresh if fresh >= 0 else -argument.bytes,
            )
            if key not in known:
                size = -(-argument.bytes // PAGE) * PAGE
                file = run_dir / f"buffer{len(buffers)}.bin"
                _write_padded(file, argument.data, size)
                known[key] = len(buffers)
                buffers.append(
                    {"address": next_address, "file": str(file), "writable": int(argument.is_output)}
                )
                next_address += size + PAGE  # a gap catches accesses past the end
            index = known[key]
            plan["pointers"].append([argument.offset, buffers[index]["address"]])
            if argument.is_output:
                plan["outputs"].append([argument.name, index, argument.bytes])
                if argument.data is None:
                    plan["poison"].append(index)
        planned.append(plan)
    return {"buffers": buffers, "jobs": planned}


def _write_padded(file: Path, data: np.ndarray | None, size: int) -> None:
    with open(file, "wb") as stream:
        if data is not None:
            np.ascontiguousarray(data).tofile(stream)
        stream.truncate(size)


def _collect(run_dir: Path, jobs: int, log: Path, timeout_cycles: int) -> SimResult:
    report = json.loads((run_dir / "report.json").read_text())
    done = len(report["cycles"])
    if report["ended_before_abort"]:
        raise ConfigError(
            Finding(
                "the inference is over before it is to be aborted", "job 0", hint="abort after fewer cycles"
            )
        )
    if report["error"]:
        raise ToolError(
            Finding(report["error"], where=f"job {done}", why="the kernel broke a rule of its memory ports")
        )
    if report["timeout"]:
        raise SimulationTimeout(
            Finding(
                f"timeout after {timeout_cycles} cycles",
                where=f"job {done}",
                why="the kernel was started and did not set ap_done: it hangs, or the limit is too low",
                hint="raise timeout_cycles, or build with waves=True and look at the handshakes in dump.vcd",
            )
        )
    if done != jobs:
        raise ToolError(Finding(f"{done} of {jobs} jobs ran: {first_error(log)}", where=str(log)))
    outputs: list[dict[str, np.ndarray]] = [{} for _ in range(jobs)]
    with np.load(run_dir / "results.npz") as stored:
        for key in stored.files:
            number, name = key.split("/", 1)
            outputs[int(number)][name] = stored[key]
    seconds = report["seconds"]
    return SimResult(
        outputs=tuple(outputs),
        cycles=tuple(report["cycles"]),
        seconds=seconds,
        cpu_seconds=report["cpu_seconds"],
        cycles_per_second=report["total_cycles"] / seconds if seconds else 0.0,
        traffic=report["traffic"],
    )
