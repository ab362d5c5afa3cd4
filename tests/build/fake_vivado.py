"""What a Vivado script says of a block design, by a Tcl interpreter whose Vivado commands know objects but no hardware.

``run_script(path, *arguments)`` gives the design: cells with their kinds and settings, joined buses and pins. Commands that
are asked for an object that no one has made end the script with an error, as Vivado's do.
"""

from __future__ import annotations

import fnmatch
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BOARDS = ("tul.com.tw:pynq-z2:part0:1.0", "xilinx.com:kv260_som:part0:1.2", "xilinx.com:kv260_som:part0:1.10")
IPS = (
    "xilinx.com:ip:processing_system7:5.5",
    "xilinx.com:ip:zynq_ultra_ps_e:3.5",
    "xilinx.com:ip:proc_sys_reset:5.0",
    "xilinx.com:ip:smartconnect:1.0",
)
ALWAYS = {
    "processing_system7": ("FCLK_CLK0", "FCLK_RESET0_N"),
    "zynq_ultra_ps_e": ("pl_clk0", "pl_resetn0"),
    "proc_sys_reset": ("slowest_sync_clk", "ext_reset_in", "peripheral_aresetn", "interconnect_aresetn"),
    "smartconnect": ("aclk", "aresetn"),
}
"""Pins that a kind of cell has whatever its settings are."""

SWITCHED = {
    "PCW_USE_M_AXI_GP0": ("M_AXI_GP0", "M_AXI_GP0_ACLK"),
    **{f"PCW_USE_S_AXI_HP{n}": (f"S_AXI_HP{n}", f"S_AXI_HP{n}_ACLK") for n in range(4)},
    "PSU__USE__M_AXI_GP0": ("M_AXI_HPM0_FPD", "maxihpm0_fpd_aclk"),
    **{f"PSU__USE__S_AXI_GP{n + 2}": (f"S_AXI_HP{n}_FPD", f"saxihp{n}_fpd_aclk") for n in range(4)},
    **{f"PSU__USE__S_AXI_GP{n}": (f"S_AXI_HPC{n}_FPD", f"saxihpc{n}_fpd_aclk") for n in range(2)},
}
"""Bus and clock that a switch of a processing system gives it: UG585 and UG1085, names as in the IP's settings."""


@dataclass
class Cell:
    """A cell of the block design."""

    kind: str
    settings: dict[str, str] = field(default_factory=dict)


@dataclass
class Vivado:
    """Everything that the script has made so far."""

    kernel_buses: tuple[str, ...]
    board: str = ""
    kernel: str = ""
    files: list[str] = field(default_factory=list)
    interfaces: list[str] = field(default_factory=list)
    cells: dict[str, Cell] = field(default_factory=dict)
    automation: dict[str, str] = field(default_factory=dict)
    buses: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    validated: bool = False
    log: list[tuple[str, ...]] = field(default_factory=list)

    def pins(self, cell: str, buses: bool) -> tuple[str, ...]:
        """Pins, or buses, that a cell has with its settings."""
        made = self.cells[cell]
        if made.kind.startswith("intar:"):
            return self.kernel_buses if buses else ("ap_clk", "ap_rst_n", "interrupt")
        kind = made.kind.split(":")[2]
        if kind == "smartconnect":
            inputs = [f"S{n:02d}_AXI" for n in range(int(made.settings["NUM_SI"]))]
            return (*inputs, "M00_AXI") if buses else ALWAYS[kind]
        on = [SWITCHED[name] for name, value in made.settings.items() if name in SWITCHED and value == "1"]
        return tuple(bus for bus, _ in on) if buses else (*ALWAYS[kind], *(clock for _, clock in on))

    def find(self, path: str, buses: bool) -> str:
        cell, pin = path.split("/")
        assert pin in self.pins(cell, buses), f"{cell} has no {path}, only {self.pins(cell, buses)}"
        return path


def run_script(
    script: Path, folder: Path, arguments: tuple[str, ...], kernel_buses: tuple[str, ...]
) -> Vivado:
    """Run a script in `folder`.

    Raises
    ------
    TclError : the script is wrong, or asks for something that is not there.
    """
    import tkinter

    state, tcl = Vivado(kernel_buses), tkinter.Tcl()
    split = tcl.tk.splitlist

    def option(words: tuple[str, ...], name: str) -> str:
        return words[words.index(name) + 1]

    def create_bd_cell(*words: str) -> str:
        kind = option(words, "-vlnv")
        assert kind in (*IPS, state.kernel), kind
        state.cells[words[-1]] = Cell(kind)
        return words[-1]

    def set_property(*words: str) -> None:
        if words[0] == "-dict":
            pairs = split(words[1])
            given = dict(zip(pairs[::2], pairs[1::2], strict=True))
        else:
            given = {words[0]: words[1]}
        if words[-1] in state.cells:
            state.cells[words[-1]].settings |= {name.removeprefix("CONFIG."): v for name, v in given.items()}
        elif words[-1] == "project" and "board_part" in given:
            state.board = given["board_part"]

    def get_property(name: str, *objects: str) -> str:
        assert name in ("VLNV", "PROGRESS", "DIRECTORY", "STATUS", "NAME"), name
        return {"PROGRESS": "100%", "DIRECTORY": str(folder / "runs")}.get(name, objects[0])

    def apply_bd_automation(*words: str) -> None:
        pairs = split(option(words, "-config"))
        state.automation = dict(zip(pairs[::2], pairs[1::2], strict=True))
        assert words[-1] in state.cells

    def connect_bd_intf_net(master: str, slave: str) -> None:
        assert master not in state.buses and slave not in state.buses.values()
        state.buses[master] = slave

    def connect_bd_net(source: str, sink: str) -> None:
        assert sink not in state.sources, f"{sink} has two sources"
        state.sources[sink] = source

    def package_project(*words: str) -> None:
        state.kernel = f"intar:RTLKernel:{Path(option(words, '-root_dir')).name.removesuffix('.ip')}:1.0"

    def launch_runs(*words: str) -> None:
        assert state.validated and option(words, "-to_step") == "write_bitstream"
        (folder / "runs").mkdir()
        (folder / "runs" / "overlay_wrapper.bit").write_text("bits")
        handoff = folder / "overlay" / "overlay.gen" / "sources_1" / "bd" / "overlay" / "hw_handoff"
        handoff.mkdir(parents=True)
        (handoff / "overlay.hwh").write_text("hwh")

    def report(*words: str) -> None:
        Path(folder, option(words, "-file")).write_text(" ".join(words))

    known: dict[str, Any] = {
        "get_board_parts": lambda *w: " ".join(b for b in BOARDS if fnmatch.fnmatch(b, w[-1])),
        "get_ipdefs": lambda p: " ".join(i for i in (*IPS, state.kernel) if fnmatch.fnmatch(i, p)),
        "get_bd_intf_pins": lambda path: state.find(path, True),
        "get_bd_pins": lambda path: state.find(path, False),
        "current_project": lambda: "project",
        "add_files": lambda *w: state.files.append(w[-1]),
        "validate_bd_design": lambda *_: setattr(state, "validated", True),
        "ipx::package_project": package_project,
        "ipx::associate_bus_interfaces": lambda *w: state.interfaces.append(option(w, "-busif")),
        "report_utilization": report,
        "report_timing_summary": report,
    }  # fmt: skip
    known |= {f.__name__: f for f in (create_bd_cell, set_property, get_property, apply_bd_automation)}
    known |= {f.__name__: f for f in (connect_bd_intf_net, connect_bd_net, launch_runs)}
    silent = """create_project close_project update_compile_order update_ip_catalog create_bd_design save_bd_design
        make_wrapper
        assign_bd_address wait_on_run open_run get_runs get_cells get_files current_fileset package_xo ipx::unload_core
        ipx::edit_ip_in_project ipx::current_core ipx::get_user_parameters ipx::add_memory_map ipx::get_bus_interfaces
        ipx::get_memory_maps ipx::add_address_block ipx::add_register ipx::add_field ipx::add_register_parameter
        ipx::get_register_parameters ipx::create_xgui_files ipx::update_checksums ipx::check_integrity ipx::save_core"""
    failures: dict[str, str] = defaultdict(str)

    def command(name: str, *words: str) -> Any:
        state.log.append((name, *words))
        try:
            return known.get(name, lambda *_: "")(*words)
        except AssertionError as error:  # Tcl keeps no text of an error in Python
            failures[name] = f"{name} {' '.join(words)}: {error}"
            raise

    tcl.eval("namespace eval ipx {}")
    for name in (*known, *silent.split()):
        tcl.createcommand(name, lambda *words, name=name: command(name, *words))
    tcl.setvar("argv", arguments)
    before = Path.cwd()
    os.chdir(folder)
    try:
        tcl.eval(f"source {{{script}}}")
    except tkinter.TclError as error:
        raise AssertionError(f"{error} {dict(failures)}") from error
    finally:
        os.chdir(before)
    return state
