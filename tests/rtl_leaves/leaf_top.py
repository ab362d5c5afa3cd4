"""One Verilator build with all RTL leaves side by side, and the call that runs a cocotb module on it."""

from __future__ import annotations

from pathlib import Path

from units import instance

from intar.assets import asset_dir
from intar.verify.toolchain import compile_simulator, find_verilator

# name: (module, parameters, bits in, bits out)
STREAMS = {
    "fifo1": ("intar_fifo", {"WIDTH": 16, "DEPTH": 1}, 16, 16),
    "fifo2": ("intar_fifo", {"WIDTH": 16, "DEPTH": 2}, 16, 16),
    "fifo5": ("intar_fifo", {"WIDTH": 16, "DEPTH": 5}, 16, 16),
    "fifo100": ("intar_fifo", {"WIDTH": 16, "DEPTH": 100}, 16, 16),
    "unpack_narrow": ("intar_unpack", {"WORD_BITS": 64, "BEAT_BITS": 8}, 64, 8),
    "unpack_wide": ("intar_unpack", {"WORD_BITS": 16, "BEAT_BITS": 64}, 16, 64),
    "unpack_equal": ("intar_unpack", {"WORD_BITS": 32, "BEAT_BITS": 32}, 32, 32),
    "pack_narrow": ("intar_pack", {"WORD_BITS": 64, "BEAT_BITS": 8}, 8, 64),
    "pack_wide": ("intar_pack", {"WORD_BITS": 16, "BEAT_BITS": 64}, 64, 16),
    "pack_equal": ("intar_pack", {"WORD_BITS": 32, "BEAT_BITS": 32}, 32, 32),
}

# name: (bits of a word, MAX_BURST, FIFO_DEPTH, OUTSTANDING, memory)
MASTERS = {
    "big": (512, 64, 256, 16, "dpi"),
    "small": (32, 20, 37, 2, "dpi"),
    "tiny": (64, 1, 2, 1, "dpi"),
    "ram": (128, 16, 64, 4, "axiram"),
}

READ_PINS = {
    "arvalid": 1,
    "arready": 1,
    "araddr": 64,
    "arlen": 8,
    "rvalid": 1,
    "rready": 1,
    "rdata": 0,
    "rlast": 1,
}
WRITE_PINS = {"awvalid": 1, "awready": 1, "awaddr": 64, "awlen": 8, "wvalid": 1, "wready": 1, "wdata": 0}
WRITE_PINS |= {"wstrb": -1, "wlast": 1, "bvalid": 1, "bready": 1}
NUM_ARGS = 3


def _stream(name: str) -> str:
    module, parameters, bits_in, bits_out = STREAMS[name]
    text = f"  logic {name}_in_valid = 0, {name}_out_ready = 0, {name}_last = 0, {name}_in_ready, {name}_out_valid;\n"
    text += f"  logic [{bits_in - 1}:0] {name}_in_data;\n  logic [{bits_out - 1}:0] {name}_out_data;\n"
    pins = {"clk": "clk", "rst_n": "rst_n"}
    pins |= {
        p: f"{name}_{p}" for p in ("in_valid", "in_ready", "in_data", "out_valid", "out_ready", "out_data")
    }
    if module == "intar_fifo":
        text += f"  logic [{parameters['DEPTH'].bit_length() - 1}:0] {name}_level;\n"
        pins["level"] = f"{name}_level"
    else:
        pins["last"] = f"{name}_last"
    return text + instance(module, parameters, name, pins)


def _master(number: int, name: str) -> str:
    width, burst, depth, outstanding, memory = MASTERS[name]
    parameters = {"DATA_WIDTH": width, "MAX_BURST": burst, "FIFO_DEPTH": depth, "OUTSTANDING": outstanding}
    text = ""
    pins = READ_PINS | WRITE_PINS
    for pin, bits in pins.items():
        bits = width if bits == 0 else width // 8 if bits == -1 else bits
        text += f"  logic [{bits - 1}:0] {name}_{pin};\n" if bits > 1 else f"  logic {name}_{pin};\n"
    for side in ("aw", "ar"):
        size = (width // 8).bit_length() - 1
        text += f"  logic [2:0] {name}_{side}size = {size}; logic [1:0] {name}_{side}burst = 1;\n"
        text += f"  logic {name}_{side}id = 0;\n"
    text += f"  logic {name}_bid, {name}_rid;\n  logic [1:0] {name}_bresp, {name}_rresp;\n"
    for side, data in (("read", "out"), ("write", "in")):
        prefix = f"{name}_{side}"
        text += f"  logic {prefix}_cmd_valid = 0, {prefix}_cmd_ready, {prefix}_valid, {prefix}_ready;\n"
        text += f"  logic [63:0] {prefix}_cmd_address;\n  logic [31:0] {prefix}_cmd_words;\n"
        text += f"  logic [{width - 1}:0] {prefix}_data;\n"
        connect = {"clk": "clk", "rst_n": "rst_n"}
        connect |= {f"cmd_{p}": f"{prefix}_cmd_{p}" for p in ("valid", "ready", "address", "words")}
        connect |= {f"{data}_{p}": f"{prefix}_{p}" for p in ("valid", "ready", "data")}
        connect |= {f"m_axi_{p}": f"{name}_{p}" for p in (READ_PINS if side == "read" else WRITE_PINS)}
        if side == "write":
            text += f"  logic {name}_start = 0;\n  logic [31:0] {name}_done_count;\n"
            connect |= {"start": f"{name}_start", "done_count": f"{name}_done_count"}
        text += instance(f"intar_axi_{side}", parameters, prefix, connect)
    if memory == "dpi":
        connect = {"clk": "clk", "rst_n": "rst_n"} | {pin: f"{name}_{pin}" for pin in pins}
        text += instance("intar_axi_mem", {"PORT": number, "DATA_WIDTH": width}, f"{name}_memory", connect)
    return text


def _control() -> str:
    pins = {"clk": "clk", "rst_n": "rst_n", "irq": "irq", "args": "args"}
    text = f"  logic [{64 * NUM_ARGS - 1}:0] args;\n"
    text += "  logic irq, ap_start, ap_ready = 0, ap_done = 0, ap_continue, ap_idle = 1;\n"
    pins |= {p: p for p in ("ap_start", "ap_ready", "ap_done", "ap_continue", "ap_idle")}
    widths = {"awaddr": 8, "araddr": 8, "wdata": 32, "rdata": 32, "wstrb": 4, "bresp": 2, "rresp": 2}
    singles = (
        "awvalid",
        "awready",
        "wvalid",
        "wready",
        "bvalid",
        "bready",
        "arvalid",
        "arready",
        "rvalid",
        "rready",
    )
    for pin in (*widths, *singles):
        text += (
            f"  logic [{widths.get(pin, 1) - 1}:0] s_axi_{pin};\n"
            if pin in widths
            else f"  logic s_axi_{pin};\n"
        )
        pins[f"s_axi_{pin}"] = f"s_axi_{pin}"
    return text + instance("intar_control", {"ADDR_WIDTH": 8, "NUM_ARGS": NUM_ARGS}, "control", pins)


def top_text() -> str:
    body = "".join(_stream(name) for name in STREAMS)
    body += "".join(_master(i, name) for i, name in enumerate(MASTERS)) + _control()
    return f"module leaf_top;\n  logic clk, rst_n = 0;\n{body}endmodule\n"


def build(folder: Path) -> Path:
    """Build the simulator of all leaves in `folder`; return the program."""
    top = folder / "leaf_top.sv"
    top.write_text(top_text())
    names = ("fifo", "axi_read", "axi_write", "control", "pack", "unpack")
    sources = [asset_dir("rtl") / f"intar_{name}.sv" for name in names]
    sim = asset_dir("sim")
    return compile_simulator(
        find_verilator(),
        "leaf_top",
        [*sources, sim / "axi_mem.sv", top],
        [sim / "axi_mem.cpp"],
        folder / "objects",
        folder / "build.log",
        fast=False,
    )
