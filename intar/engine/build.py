"""Compiles the engine once per source, compiler and processor, and loads it."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from intar.errors import Finding, ToolError

_SOURCES = (
    "engine.cpp",
    "sim.h",
    "memory_nodes.h",
    "buffer_node.h",
    "constant_node.h",
    "rational.h",
    "lookup.h",
    "array_nodes.h",
    "vector_node.h",
    "mover_nodes.h",
    "rows_node.h",
)
COMPILERS = ("g++", "c++", "clang++")
INSTALL_COMPILER = "install g++ 9 or later (Debian and Ubuntu: apt install g++)"
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared")


class Results(ctypes.Structure):
    """The result arrays, allocated by the caller (`Results` in engine.cpp)."""

    _fields_ = (
        ("head", ctypes.c_void_p),
        ("units", ctypes.c_void_p),
        ("links", ctypes.c_void_p),
        ("spans", ctypes.c_void_p),
        ("order", ctypes.c_void_p),
        ("message", ctypes.c_char_p),
        ("message_size", ctypes.c_int64),
    )


def cache_dir() -> Path:
    """Directory of compiled helpers: ``$XDG_CACHE_HOME/intar`` or ``~/.cache/intar``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "intar"


def find_compiler() -> str | None:
    """Path of the C++ compiler: ``$CXX`` where it is set, else the first of `COMPILERS` on the ``PATH``."""
    wanted = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [wanted] if wanted else COMPILERS)), None)


def no_compiler(why: str) -> list[Finding]:
    """What to tell a user who has no C++ compiler, which `why` says what for; nothing when there is one."""
    if find_compiler() is not None:
        return []
    if wanted := os.environ.get("CXX"):
        return [
            Finding(
                f"there is no compiler {wanted!r}",
                "CXX",
                why,
                "set CXX to a C++17 compiler, or leave it unset",
            )
        ]
    return [Finding("g++ is not installed", why=why, hint=INSTALL_COMPILER)]


def missing_tools() -> list[Finding]:
    """What the engine needs and this machine lacks."""
    return no_compiler("the engine, which runs programs and counts their cycles, is compiled on first use")


def _run(command: list[str]) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        hint = "check the installation of the compiler"
        raise ToolError(Finding(what=str(error), where=command[0], hint=hint)) from error
    if result.returncode:
        lines = (result.stderr or result.stdout).splitlines() or ["no message"]
        first = next((line for line in lines if "error" in line), lines[0])
        raise ToolError(
            Finding(
                what=f"the C++ compiler failed: {first.strip()}",
                where=" ".join(command[:1]),
                why=f"it returned {result.returncode}",
                hint="the engine needs C++17; try another compiler through the environment variable CXX",
            )
        )
    return result.stdout


def _processor() -> str:
    """What ``-march=native`` depends on: machines that share a home directory don't share the library."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    flags = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    return "\n".join(sorted(set(flags)))


def library_path() -> Path:
    """The compiled engine; compiles it if it is not in the cache. Safe against concurrent callers."""
    here = Path(__file__).resolve().parent
    compiler = find_compiler()
    if compiler is None:
        raise ToolError(missing_tools())
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((here / name).read_bytes())
    for part in (*_FLAGS, _run([compiler, "--version"]), platform.machine(), _processor()):
        digest.update(part.encode() + b"\0")
    target = cache_dir() / f"engine-{digest.hexdigest()[:24]}.so"
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            built = Path(scratch) / "engine.so"
            _run([compiler, *_FLAGS, "-o", str(built), str(here / "engine.cpp")])
            os.replace(built, target)
    except OSError as error:
        raise ToolError(
            Finding(
                what=f"cannot write the compiled engine: {error}",
                where=str(target.parent),
                hint="point the environment variable XDG_CACHE_HOME at a directory that can be written",
            )
        ) from error
    return target


@functools.lru_cache(maxsize=1)
def load_engine() -> ctypes.CDLL:
    """The loaded library."""
    library = ctypes.CDLL(str(library_path()))
    library.intar_engine_run.restype = ctypes.c_int64
    library.intar_engine_run.argtypes = (
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.POINTER(Results),
    )
    return library
