"""A Verilator build with the benches of packed multipliers (`every_product.sv`), which check themselves."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import units

from intar.assets import asset_dir
from intar.verify.toolchain import compile_simulator, find_verilator

HERE = Path(__file__).parent


class Kind(NamedTuple):
    """Bits of both operands, products of a multiplier."""

    a_bits: int
    w_bits: int
    pack: int


KINDS = {
    "small": [Kind(8, 4, 2), Kind(4, 4, 3)],
    "large": [Kind(4, 8, 2), Kind(8, 8, 2), Kind(10, 8, 2), Kind(16, 4, 2)],
}


def name(kind: Kind) -> str:
    return f"products_{kind.a_bits}x{kind.w_bits}x{kind.pack}"


def _instance(kind: Kind) -> str:
    pins = {"done": 1, "seen": 32, "errors": 32}
    made = "".join(f"  logic [{bits - 1}:0] {name(kind)}_{pin};\n" for pin, bits in pins.items())
    wires = {"clk": "clk", "rst_n": "rst_n"} | {pin: f"{name(kind)}_{pin}" for pin in pins}
    parameters = {"A_BITS": kind.a_bits, "W_BITS": kind.w_bits, "PACK": kind.pack}
    return made + units.instance("every_product", parameters, name(kind), wires)


def build(folder: Path, kinds: str) -> Path:
    """Build the simulator of some `KINDS` in `folder`; return the program."""
    top = folder / "products_top.sv"
    body = "".join(map(_instance, KINDS[kinds]))
    top.write_text(f"module products_top;\n  logic clk, rst_n = 0;\n{body}endmodule\n")
    sources = [asset_dir("rtl") / "intar_array.sv", HERE / "every_product.sv", top]
    log = folder / "build.log"
    return compile_simulator(
        find_verilator(), "products_top", sources, [], folder / "objects", log, fast=kinds == "large"
    )
