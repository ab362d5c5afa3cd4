"""Building the RTL simulation of a kernel with Verilator; an unchanged one is not built again."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from intar.assets import asset_dir
from intar.codegen.rtl import Bundle
from intar.errors import ConfigError, Finding
from intar.verify.simulate import FIRST_ADDRESS, Simulation
from intar.verify.toolchain import compile_simulator, find_verilator
from intar.verify.wrapper import wrapper_text


def build_simulation(
    rtl_files: Sequence[Path],
    top: str,
    bundles: Sequence[Bundle],
    build_dir: Path,
    waves: bool = False,
    mode: str = "dpi",
    fast: bool = True,
    memory_files: Sequence[Path] = (),
) -> Simulation:
    """Build the simulator of kernel `top`; an unchanged one is not built again.

    Parameters
    ----------
    rtl_files : SystemVerilog and Verilog sources of the kernel, packages first.
    top : module name of the kernel.
    bundles : its AXI4 master ports.
    build_dir : where objects, logs and waves go; made if need be.
    waves : record ``dump.vcd`` in `build_dir`.
    mode : ``dpi`` (fast C++ memory) or ``axiram`` (cocotbext-axi, protocol test with random pauses).
    fast : worth it from some 50,000 cycles on (`compile_simulator`); a fast one that is there already is taken anyway.
    memory_files : contents of memories, which the kernel reads by their names when it starts.

    Raises
    ------
    ToolError : a tool is missing (names the pip extra) or the build failed (quotes the first error).
    ConfigError : unknown mode, missing source.
    """
    _check_build([*rtl_files, *memory_files], mode)
    verilator = find_verilator()
    build_dir = Path(build_dir).resolve()
    build_dir.mkdir(parents=True, exist_ok=True)
    simulation = Simulation(
        build_dir, tuple(bundles), mode, waves, tuple(file.resolve() for file in memory_files)
    )
    sources = [Path(f).resolve() for f in rtl_files]
    wrapper = wrapper_text(top, bundles, mode, _lower_case(sources))
    model_files = [asset_dir("sim") / name for name in ("axi_mem.sv", "axi_mem.cpp")]
    key = _digest([*sources, *model_files], wrapper, str(verilator), str(waves), sys.version)
    keys = [f"{key} fast"] if fast else [f"{key} short", f"{key} fast"]
    with _locked(build_dir):
        stamp = build_dir / "digest"
        if stamp.exists() and stamp.read_text() in keys and (build_dir / "objects" / "intar_bench").exists():
            return simulation
        stamp.unlink(missing_ok=True)
        shutil.rmtree(build_dir / "objects", ignore_errors=True)
        (build_dir / "intar_bench.sv").write_text(wrapper)
        sim = asset_dir("sim")
        models = [sim / "axi_mem.sv", *sources, build_dir / "intar_bench.sv"]
        compile_simulator(
            verilator,
            "intar_bench",
            models,
            [sim / "axi_mem.cpp"],
            build_dir / "objects",
            build_dir / "build.log",
            waves,
            fast,
        )
        stamp.write_text(keys[0])
    return simulation


def _check_build(files: Sequence[Path], mode: str) -> None:
    findings = [Finding("there is no such file", where=str(f)) for f in files if not Path(f).is_file()]
    if mode not in FIRST_ADDRESS:
        findings.append(Finding(f"mode={mode!r} is unknown", hint="use 'dpi' or 'axiram'"))
    if findings:
        raise ConfigError(findings)


def _lower_case(sources: Sequence[Path]) -> bool:
    """Whether the kernel's AXI ports are in lower case; Vitis HLS has the channel part in upper case."""
    text = "\n".join(f.read_text(errors="replace") for f in sources)
    return "s_axi_control_AWVALID" not in text and "s_axi_control_awvalid" in text


def _digest(files: Sequence[Path], *texts: str) -> str:
    value = hashlib.sha256()
    for text in texts:
        value.update(text.encode() + b"\0")
    for file in files:
        value.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return value.hexdigest()


@contextlib.contextmanager
def _locked(build_dir: Path) -> Iterator[None]:
    """Keep two processes from building in the same directory at once."""
    with open(build_dir / "lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
