"""One Verilator build with every module that is no stream node: pipelines and small machines side by side."""

from __future__ import annotations

from pathlib import Path

import units
from machines import UNITS
from pipelines import FUNCTIONS
from vector_lanes import LANES

from intar.assets import asset_dir
from intar.verify.toolchain import compile_simulator, find_verilator

PIPELINES = FUNCTIONS | LANES


def top_text() -> str:
    made = UNITS | {name: pipeline.unit for name, pipeline in PIPELINES.items()}
    body = "".join(units.text(name, unit) for name, unit in made.items())
    return f"module unit_top;\n  logic clk, rst_n = 0;\n{body}endmodule\n"


def build(folder: Path) -> Path:
    """Build the simulator in `folder`; return the program."""
    top = folder / "unit_top.sv"
    top.write_text(top_text())
    sources = sorted(asset_dir("rtl").glob("*.sv"))
    objects, log = folder / "objects", folder / "build.log"
    return compile_simulator(find_verilator(), "unit_top", [*sources, top], [], objects, log, fast=False)
