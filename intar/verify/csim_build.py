"""Compile a generated kernel against our own csim headers and run it: the one door to the C++ compiler.

The headers (``sim/csim``) simulate ``hls::stream`` and ``hls::task`` on coroutines; a deadlock is found
exactly and comes back as a typed value (:class:`CsimFault`), not as a hanging process.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from intar.assets import asset_dir
from intar.engine.build import find_compiler as locate_compiler
from intar.engine.build import no_compiler
from intar.errors import Finding, InternalError, ToolError

BASE_FLAGS: tuple[str, ...] = (
    "-std=c++14",
    "-O2",
    "-Wno-unknown-pragmas",
    "-Wno-unused-label",
    "-rdynamic",  # keeps the names of functions, by which the reports call the tasks
)
"""Flags of every compilation; `flags` of :func:`compile_csim` come after them and win."""

CHECK_FLAGS: tuple[str, ...] = (
    "-ftrivial-auto-var-init=pattern",
    "-fsanitize=undefined",
    "-fno-sanitize-recover=undefined",
)
"""Slower and stricter: memory read before it is written holds a pattern, undefined behaviour ends the run."""


@dataclass(frozen=True)
class CsimStream:
    """One stream at the end of a run (or at a fault); counts are tokens, `depth` is None without a bound."""

    name: str
    depth: int | None
    declared: int
    high_water: int
    written: int
    read: int
    fill: int
    writer: str
    reader: str


@dataclass(frozen=True)
class CsimProcess:
    """One process: `state` is ``blocked``, ``finished`` or ``running``.

    `operation` is ``read``, ``write`` or ``none``; `in_call` is true for a task that stopped in the middle of an inference.
    """

    name: str
    kind: str
    state: str
    calls: int
    in_call: bool
    operation: str
    stream: str | None


@dataclass(frozen=True)
class CsimFault:
    """Why the simulation stopped: ``deadlock``, ``leftover`` (tokens left in streams) or ``misuse``.

    `involved` names the processes of the waiting cycle (deadlock) or the streams (leftover);
    `call` counts from 1.
    """

    status: str
    kernel: str
    call: int
    message: str
    involved: tuple[str, ...] = ()
    processes: tuple[CsimProcess, ...] = ()
    streams: tuple[CsimStream, ...] = ()


@dataclass(frozen=True)
class CsimStats:
    """Statistics over all calls of the kernel; `saturations` maps counters to clamped values."""

    kernel: str
    calls: int
    streams: tuple[CsimStream, ...] = ()
    processes: tuple[CsimProcess, ...] = ()
    saturations: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CsimResult:
    """What a run gave: `stats` is None when no region finished, `fault` when nothing was wrong."""

    returncode: int
    stdout: str
    stderr: str
    stats: CsimStats | None = None
    fault: CsimFault | None = None

    @property
    def ok(self) -> bool:
        """Whether the program ended with code 0."""
        return self.returncode == 0


def runtime_dir() -> Path:
    """Directory of our ``hls_stream.h``, ``hls_task.h``, ``hls_vector.h`` and ``intar_csim.h``."""
    return asset_dir("sim") / "csim"


def missing_tools() -> list[Finding]:
    """What csim needs and this machine lacks."""
    return no_compiler("the generated C++ is compiled on this machine")


def find_compiler() -> tuple[str, str]:
    """Path of the C++ compiler (``$CXX`` first) and its version line; ToolError when there is none."""
    found = locate_compiler()
    if found is None:
        raise ToolError(missing_tools())
    return found, _version(found)


@lru_cache(maxsize=1)
def _version(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _file_digest(path: str) -> str | None:
    try:
        return _digest(Path(path).read_bytes())
    except OSError:
        return None


def _first_error(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    for mark in ("undefined reference", "multiple definition", "error:"):
        for line in lines:
            if mark in line:
                return line.strip()
    return lines[0].strip() if lines else "it said nothing"


def _run_compiler(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolError(
            Finding(
                f"{Path(command[0]).name} failed: {_first_error(done.stderr)}",
                where=what,
                hint="the command was: " + " ".join(command),
            )
        )


def _dependencies(text: str) -> list[str]:
    """The files named in a make rule as ``-MMD`` writes it (blanks in names are escaped)."""
    joined = text.replace("\\\n", " ").partition(":")[2]
    names = joined.replace("\\ ", "\0").split()
    return sorted({name.replace("\0", " ") for name in names})


def _write_atomic(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as part:
        part.write(data)
    os.replace(part.name, path)


def _compile_object(source: Path, options: Sequence[str], build_dir: Path) -> Path:
    """Compile one file unless an object of the same sources, headers, flags and compiler is there already."""
    compiler, version = find_compiler()
    key = _digest(json.dumps([str(source), list(options), compiler, version]).encode())[:16]
    target = build_dir / f"{source.stem}-{key}.o"
    manifest = target.with_suffix(".json")
    try:
        known: dict[str, str] = json.loads(manifest.read_text())
    except (OSError, ValueError):
        known = {}
    if known and target.is_file() and all(_file_digest(path) == digest for path, digest in known.items()):
        return target
    with tempfile.TemporaryDirectory(dir=build_dir) as scratch:
        made, rule = Path(scratch) / "made.o", Path(scratch) / "made.d"
        command = [compiler, *options, "-c", str(source), "-o", str(made), "-MMD", "-MF", str(rule)]
        _run_compiler(command, str(source))
        digests = {path: _file_digest(path) for path in _dependencies(rule.read_text())}
        os.replace(made, target)
    _write_atomic(manifest, json.dumps(digests, indent=1).encode())
    return target


def compile_csim(
    sources: Sequence[Path],
    include_dirs: Iterable[Path] = (),
    build_dir: Path = Path("build"),
    flags: Sequence[str] = (),
) -> Path:
    """Compile and link `sources` into one program; what has not changed is not compiled again.

    Parameters
    ----------
    sources : C++ files; one of them has ``main``.
    include_dirs : searched in this order, our csim headers after them.
    build_dir : made when missing; objects are cached in it by content.
    flags : added to :data:`BASE_FLAGS`, for example :data:`CHECK_FLAGS`.

    Returns
    -------
    The path of the program.

    Raises
    ------
    ToolError : no compiler, a source is missing, or the compiler failed (its first error is quoted).
    """
    if not sources:
        raise InternalError("compile_csim was given no source")
    missing = [Path(source) for source in sources if not Path(source).is_file()]
    if missing:
        raise ToolError([Finding("there is no such C++ source", where=str(path)) for path in missing])
    build_dir = Path(build_dir)
    build_dir.mkdir(parents=True, exist_ok=True)
    directories = [str(Path(directory)) for directory in (*include_dirs, runtime_dir())]
    options = [*BASE_FLAGS, *flags, *(f"-I{directory}" for directory in dict.fromkeys(directories))]
    objects = [_compile_object(Path(source), options, build_dir) for source in sources]
    link = [
        flag
        for flag in (*BASE_FLAGS, *flags)
        if flag.startswith(("-f", "-O", "-rdynamic", "-static", "-l", "-L", "-g"))
    ]
    content = json.dumps([[_digest(path.read_bytes()) for path in objects], link])
    program = build_dir / f"csim-{_digest(content.encode())[:16]}"
    if not program.is_file():
        with tempfile.TemporaryDirectory(dir=build_dir) as scratch:
            made = Path(scratch) / "program"
            command = [find_compiler()[0], *map(str, objects), *link, "-o", str(made), "-ldl"]
            _run_compiler(command, ", ".join(str(source) for source in sources))
            os.replace(made, program)
    return program


def _streams(items: Iterable[Mapping[str, Any]]) -> tuple[CsimStream, ...]:
    return tuple(CsimStream(**item) for item in items)


def _processes(items: Iterable[Mapping[str, Any]]) -> tuple[CsimProcess, ...]:
    return tuple(CsimProcess(**item) for item in items)


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    data = json.loads(path.read_text())
    if not isinstance(data, dict):
        raise InternalError(f"{path.name} of the csim runtime is not an object")
    return data


def _parse_stats(data: Mapping[str, Any]) -> CsimStats:
    return CsimStats(
        kernel=data["kernel"],
        calls=data["calls"],
        streams=_streams(data["streams"]),
        processes=_processes(data["processes"]),
        saturations={int(key): count for key, count in data["saturations"].items()},
    )


def _parse_fault(data: Mapping[str, Any]) -> CsimFault:
    return CsimFault(
        status=data["status"],
        kernel=data["kernel"],
        call=data["call"],
        message=data["message"],
        involved=tuple(data["involved"]),
        processes=_processes(data["processes"]),
        streams=_streams(data["streams"]),
    )


def run_csim(
    binary: Path,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    *,
    timeout: float | None = None,
    cwd: Path | None = None,
) -> CsimResult:
    """Run a compiled csim program and collect its statistics and, if it has one, its fault.

    Parameters
    ----------
    args : arguments of the program.
    env : added to the environment, for example ``{"INTAR_SIM_DEPTH": "inf", "INTAR_SIM_SEED": "3"}``.
    timeout : seconds after which the run is given up (ToolError).
    cwd : directory to run in.

    Raises
    ------
    ToolError : the program can't be started, was killed by a signal, or ran out of time.
    """
    with tempfile.TemporaryDirectory(prefix="intar-csim-") as scratch:
        stats, report = Path(scratch) / "stats.json", Path(scratch) / "report.json"
        full = {**os.environ, **(env or {}), "INTAR_SIM_STATS": str(stats), "INTAR_SIM_REPORT": str(report)}
        command = [str(Path(binary).resolve()), *args]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                env=full,
                timeout=timeout,
                cwd=cwd,
                check=False,
            )
        except OSError as error:
            raise ToolError(
                Finding(f"the csim program can't be started: {error}", where=str(binary))
            ) from error
        except subprocess.TimeoutExpired as error:
            hint = "a kernel that only waits would have been reported as a deadlock; give it more time"
            raise ToolError(
                Finding(f"csim did not finish within {timeout} s", str(binary), hint=hint)
            ) from error
        stats_data, fault_data = _read_json(stats), _read_json(report)
    if done.returncode < 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        hint = (
            "an index out of range or a stack over INTAR_SIM_STACK MB; compile with CHECK_FLAGS to see where"
        )
        raise ToolError(
            Finding(f"csim was ended by signal {-done.returncode}: {last[0]}", str(binary), hint=hint)
        )
    return CsimResult(
        returncode=done.returncode,
        stdout=done.stdout,
        stderr=done.stderr,
        stats=_parse_stats(stats_data) if stats_data else None,
        fault=_parse_fault(fault_data) if fault_data else None,
    )
