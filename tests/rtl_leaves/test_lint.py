"""Every module of the RTL library is clean under Verilator's strictest lint."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from intar.assets import asset_dir
from intar.verify.toolchain import find_verilator

pytestmark = pytest.mark.sim
FILES = sorted(asset_dir("rtl").glob("*.sv"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_verilator_lint(file: Path) -> None:
    command = [
        str(find_verilator()),
        "--lint-only",
        "-Wall",
        f"-I{file.parent}",
        "--top-module",
        file.stem,
        str(file),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("module", "parameters"),
    [
        ("intar_fifo", {"WIDTH": 1, "DEPTH": 1}),
        ("intar_fifo", {"WIDTH": 7, "DEPTH": 3}),
        ("intar_fifo", {"WIDTH": 7, "DEPTH": 100}),
        ("intar_unpack", {"BEAT_BITS": 512}),
        ("intar_unpack", {"BEAT_BITS": 1024}),
        ("intar_pack", {"BEAT_BITS": 512}),
        ("intar_pack", {"BEAT_BITS": 1024}),
        ("intar_axi_read", {"DATA_WIDTH": 32, "MAX_BURST": 1, "FIFO_DEPTH": 1, "OUTSTANDING": 1}),
        ("intar_axi_read", {"DATA_WIDTH": 1024, "MAX_BURST": 3, "FIFO_DEPTH": 5}),
        ("intar_axi_write", {"DATA_WIDTH": 32, "MAX_BURST": 1, "FIFO_DEPTH": 1, "OUTSTANDING": 1}),
        ("intar_axi_write", {"DATA_WIDTH": 1024, "MAX_BURST": 3, "FIFO_DEPTH": 5}),
        ("intar_control", {"NUM_ARGS": 13}),
        ("intar_rows", {"NORM": 1, "RATE": 2}),
        ("intar_rows", {"NORM": 1, "PEAK": 1, "SLOTS": 8, "BITS": 16}),
        ("intar_rows", {"PEAK": 1, "SOFTMAX": 0, "RATE": 2}),
        ("intar_rows", {"NORM": 1, "SLOTS": 8, "DIVISIONS": 3}),
        ("intar_rows", {"NORM": 1, "SOFTMAX": 0, "BITS": 16, "DEPTH": 5}),
    ],
)
def test_lint_with_parameters(module: str, parameters: dict[str, int]) -> None:
    rtl = asset_dir("rtl")
    command = [str(find_verilator()), "--lint-only", "-Wall", f"-I{rtl}", "--top-module", module]
    command += [f"-G{key}={value}" for key, value in parameters.items()] + [str(rtl / f"{module}.sv")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
