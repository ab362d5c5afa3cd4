"""Hardware builds with the vendor's tools: which commands run where, what they leave, and the reports they write.

Everything happens in ``build/FLOW`` of the project: the tools drop files wherever they run, so
sources are copied there first. Each command's output is kept in a log beside it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intar.codegen.hls import BuildTarget
from intar.errors import ConfigError, Finding, ToolError
from intar.verify.tools import require
from intar.verify.vendor_reports import read_csynth, read_kernel_utilisation, read_timing, read_utilisation

ZYNQ = ("xc7z", "xczu", "xck24", "xck26")
"""How parts begin that have a processing system which :func:`overlay_commands` knows."""

INSTALL = {
    "v++": "install AMD Vitis 2023.2 or later, then `source …/Vitis/<version>/settings64.sh`",
    "vitis-run": "it comes with Vitis 2024.1 and later; `source …/Vitis/<version>/settings64.sh`",
    "vivado": "install AMD Vivado (2022.1 or later), then `source …/Vivado/<version>/settings64.sh`",
}


@dataclass(frozen=True)
class Command:
    """One run of a tool in a folder below the build's; `name` is that of its log."""

    name: str
    words: tuple[str, ...]
    folder: str = "."


@dataclass(frozen=True)
class Options:
    """What to build beyond synthesis: link for a platform (hours), run RTL cosimulation, place and route."""

    platform: str = ""
    link: bool = False
    cosim: bool = False
    implement: bool = False
    emulation: bool = False
    jobs: int = 4


@dataclass(frozen=True)
class Built:
    """What a build gave.

    Parameters
    ----------
    resources : the report's ``resources``; `source` names tool and report.
    timing : ``target_ns``, ``achieved_ns``, ``slack_ns``, ``source``.
    artefacts : kernel objects and images, relative to the project.
    """

    resources: dict[str, Any]
    timing: dict[str, Any]
    artefacts: tuple[str, ...]


def vitis_commands(kernel: str, options: Options) -> list[Command]:
    """C synthesis, packaging and what the options add: by ``v++`` and ``vitis-run``, or ``vitis_hls`` before 2024.1."""
    if shutil.which("v++") and shutil.which("vitis-run"):
        config = ("--config", "hls_config.cfg", "--work_dir", "../work")
        made = [Command("csynth", ("v++", "-c", "--mode", "hls", *config), "hls")]
        if options.cosim:
            made.append(Command("cosim", ("vitis-run", "--mode", "hls", "--cosim", *config), "hls"))
        made.append(Command("package", ("vitis-run", "--mode", "hls", "--package", *config), "hls"))
    else:
        made = [Command("csynth", ("vitis_hls", "-f", "run_hls.tcl"), "hls")]
    return [*made, *_link(kernel, options)]


def vivado_commands(kernel: str, target: BuildTarget, options: Options) -> list[Command]:
    """Synthesis out of context with reports, the kernel object, and what the options add."""
    goal = "implement" if options.implement else "synthesise"
    return [
        _script("synth", "synth.tcl", target.part, target.period_ns, goal),
        _script("package", "package_xo.tcl", target.part),
        *_link(kernel, options),
    ]


def overlay_commands(target: BuildTarget, options: Options) -> list[Command]:
    """A bitstream of the kernel and a Zynq's processing system, and what PYNQ reads beside it."""
    words = (target.part, f"{target.clock_mhz:g}", str(options.jobs), target.board)
    return [_script("overlay", "overlay.tcl", *words)]


def _script(name: str, file: str, *arguments: str) -> Command:
    """One of the project's scripts in Vivado."""
    batch = ("vivado", "-mode", "batch", "-nojournal", "-source", f"../../rtl/{file}")
    return Command(name, (*batch, "-tclargs", *arguments))


def _link(kernel: str, options: Options) -> Iterator[Command]:
    if options.link:
        goal = "hw_emu" if options.emulation else "hw"
        target = ("-t", goal, "--platform", options.platform, "--config", "link.cfg")
        work = ("--save-temps", "--temp_dir", "_x", "--jobs", str(options.jobs))
        yield Command("link", ("v++", "-l", *target, *work, f"{kernel}.xo", "-o", f"{kernel}.xclbin"))


def build(
    project: Path,
    kernel: str,
    flow: str,
    target: BuildTarget,
    options: Options,
    step: Callable[[], None] = lambda: None,
) -> Built:
    """Run a vendor's flow on a written project and read its reports.

    Parameters
    ----------
    flow : ``vitis`` (the C++), ``vivado`` (the RTL) or ``overlay`` (the RTL in a bitstream for a Zynq board).
    target : the board's part, platform and clock; `options.platform` wins.
    step : called after each command.

    Raises
    ------
    ConfigError : a link without a platform, an overlay for a part that is no Zynq.
    ToolError : a tool is missing (all that are missing are named), failed (quotes its first error), or its report can't
        be read.
    """
    options = Options(**(vars(options) | {"platform": options.platform or target.platform}))
    if options.link and not options.platform:
        why = f"part {target.part} has no platform of its own"
        raise ConfigError(
            Finding("a link needs a Vitis platform", "--platform", why, "name one, or leave --link out")
        )
    if flow == "overlay" and not target.part.lower().startswith(ZYNQ):
        why = f"part {target.part} has no processing system of a Zynq or Zynq UltraScale+"
        hint = "compile for such a board (intar devices), or build with --flow vitis --link"
        raise ConfigError(Finding("an overlay needs a Zynq board", "--flow", why, hint))
    require(missing_tools(flow, options))
    folder = project / "build" / flow
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("hls", "data"):
        shutil.copytree(project / part, folder / part)
    shutil.copy(project / "hls" / "link.cfg", folder / "link.cfg")
    for command in _commands(kernel, flow, target, options):
        if command.name == "link":
            _collect(folder, kernel)
        _run(folder, command, options)
        step()
    _collect(folder, kernel)
    resources, timing = _read(folder, kernel, flow, target, options)
    artefacts = [folder / f"{kernel}.{kind}" for kind in ("xo", "xclbin", "bit", "hwh")]
    there = tuple(path.relative_to(project).as_posix() for path in artefacts if path.is_file())
    return Built(resources, timing, there)


def step_names(kernel: str, flow: str, target: BuildTarget, options: Options) -> list[str]:
    """Names of the commands that `build` will run."""
    commands = _commands(kernel, flow, target, options)
    return [f"{command.words[0]}: {command.name}" for command in commands]


def missing_tools(flow: str, options: Options) -> list[Finding]:
    """What a flow needs and this machine lacks; who has neither form of Vitis HLS is told the current one."""
    tools = dict.fromkeys(command.words[0] for command in _commands("", flow, BuildTarget(), options))
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if "vitis_hls" in missing:
        missing = [tool for tool in ("v++", "vitis-run") if shutil.which(tool) is None]
    return [Finding(f"{tool} is not on the PATH", "intar build", hint=INSTALL[tool]) for tool in missing]


def _commands(kernel: str, flow: str, target: BuildTarget, options: Options) -> list[Command]:
    if flow == "overlay":
        return overlay_commands(target, options)
    return vitis_commands(kernel, options) if flow == "vitis" else vivado_commands(kernel, target, options)


def _run(folder: Path, command: Command, options: Options) -> None:
    log = folder / f"{command.name}.log"
    environment = dict(os.environ) | ({"INTAR_COSIM": "1"} if options.cosim else {})
    with log.open("wb") as stream:
        done = subprocess.run(
            command.words,
            cwd=folder / command.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        first = next(
            (line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no output"
        )
        raise ToolError(
            Finding(
                f"{command.words[0]} failed: {first}",
                str(log),
                f"step {command.name!r} ended with code {done.returncode}: {' '.join(command.words)}",
            )
        )


def _collect(folder: Path, kernel: str) -> None:
    """Bring the kernel object to the build's folder, wherever the version of the tool has put it."""
    target = folder / f"{kernel}.xo"
    if not target.is_file():
        for found in sorted(folder.rglob(f"{kernel}.xo")):
            shutil.copy(found, target)
            return


def _find(folder: Path, *patterns: str) -> Path | None:
    for pattern in patterns:
        found = sorted(folder.rglob(pattern))
        if found:
            return found[0]
    return None


def _need(folder: Path, *patterns: str) -> Path:
    found = _find(folder, *patterns)
    if found is None:
        raise ToolError(
            Finding(f"the tool left no {patterns[0]}", str(folder), hint="look into the logs there")
        )
    return found


def _read(
    folder: Path, kernel: str, flow: str, target: BuildTarget, options: Options
) -> tuple[dict[str, Any], dict[str, Any]]:
    if flow == "vitis":
        found = read_csynth(_need(folder, "csynth.xml", f"{kernel}_csynth.xml"))
        period, achieved = found.pop("target_ns"), found.pop("estimated_ns")
        source = f"Vitis HLS {found.pop('version')}, estimate of C synthesis"
    else:
        found = read_utilisation(_need(folder, "utilization.rpt"))
        period = float(target.period_ns)
        achieved = period - read_timing(_need(folder, "timing.rpt"))
        state = f"{'placed and routed' if options.implement else 'synthesised'} out of context"
        if flow == "overlay":
            state = "the kernel in the bitstream"
        source = f"Vivado {found.pop('version')}, {state}"
    timing = {"target_ns": period, "achieved_ns": round(achieved, 3), "slack_ns": round(period - achieved, 3)}
    timing["source"] = source
    linked = _find(folder / "_x", "*kernel_util_routed.rpt") if options.link else None
    if linked:
        found, source = read_kernel_utilisation(linked, kernel), f"v++ link for {options.platform}, routed"
    return found | {"source": source, "by_module": None}, timing
