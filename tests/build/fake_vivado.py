"""What a Vivado script says of a block design, by a Tcl interpreter whose Vivado commands know objects but no hardware.

``run_script(path, *arguments)`` gives the design: cells with their kinds and settings, joined buses and pins. Commands that
are asked for an object that no one has made end the script with an error, as Vivado's do.
"""

from __future__ import annotations

import fnmatch
import os
from collections import defaultdict
from collections.abc import Callable
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


SILENT = """create_project close_project update_compile_order update_ip_catalog create_bd_design save_bd_design
        make_wrapper
        assign_bd_address wait_on_run open_run get_runs get_cells get_files current_fileset package_xo ipx::unload_core
        ipx::edit_ip_in_project ipx::current_core ipx::get_user_parameters ipx::add_memory_map ipx::get_bus_interfaces
        ipx::get_memory_maps ipx::add_address_block ipx::add_register ipx::add_field ipx::add_register_parameter
        ipx::get_register_parameters ipx::create_xgui_files ipx::update_checksums ipx::check_integrity ipx::save_core"""
"""Commands that do nothing here."""


def option(words: tuple[str, ...], name: str) -> str:
    """The word behind an option's name."""
    return words[words.index(name) + 1]


@dataclass
class Cell:
    """A cell of the block design."""

    kind: str
    settings: dict[str, str] = field(default_factory=dict)


@dataclass
class Vivado:
    """Everything that the script has made so far."""

    folder: Path
    kernel_buses: tuple[str, ...]
    split: Callable[[str], tuple[str, ...]]
    board: str = ""
    kernel: str = ""
    files: list[str] = field(default_factory=list)
    interfaces: list[str] = field(default_factory=list)
    cells: dict[str, Cell] = field(default_factory=dict)
    automation: dict[str, str] = field(default_factory=dict)
    buses: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    validated: bool = False

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

    def create_bd_cell(self, *words: str) -> str:
        kind = option(words, "-vlnv")
        assert kind in (*IPS, self.kernel), kind
        self.cells[words[-1]] = Cell(kind)
        return words[-1]

    def set_property(self, *words: str) -> None:
        if words[0] == "-dict":
            pairs = self.split(words[1])
            given = dict(zip(pairs[::2], pairs[1::2], strict=True))
        else:
            given = {words[0]: words[1]}
        if words[-1] in self.cells:
            self.cells[words[-1]].settings |= {name.removeprefix("CONFIG."): v for name, v in given.items()}
        elif words[-1] == "project" and "board_part" in given:
            self.board = given["board_part"]

    def get_property(self, name: str, *objects: str) -> str:
        assert name in ("VLNV", "PROGRESS", "DIRECTORY", "STATUS", "NAME"), name
        return {"PROGRESS": "100%", "DIRECTORY": str(self.folder / "runs")}.get(name, objects[0])

    def apply_bd_automation(self, *words: str) -> None:
        pairs = self.split(option(words, "-config"))
        self.automation = dict(zip(pairs[::2], pairs[1::2], strict=True))
        assert words[-1] in self.cells

    def connect_bd_intf_net(self, master: str, slave: str) -> None:
        assert master not in self.buses and slave not in self.buses.values()
        self.buses[master] = slave

    def connect_bd_net(self, source: str, sink: str) -> None:
        assert sink not in self.sources, f"{sink} has two sources"
        self.sources[sink] = source

    def package_project(self, *words: str) -> None:
        self.kernel = f"intar:RTLKernel:{Path(option(words, '-root_dir')).name.removesuffix('.ip')}:1.0"

    def launch_runs(self, *words: str) -> None:
        assert self.validated and option(words, "-to_step") == "write_bitstream"
        (self.folder / "runs").mkdir()
        (self.folder / "runs" / "overlay_wrapper.bit").write_text("bits")
        handoff = self.folder / "overlay" / "overlay.gen" / "sources_1" / "bd" / "overlay" / "hw_handoff"
        handoff.mkdir(parents=True)
        (handoff / "overlay.hwh").write_text("hwh")

    def report(self, *words: str) -> None:
        Path(self.folder, option(words, "-file")).write_text(" ".join(words))

    def commands(self) -> dict[str, Callable[..., Any]]:
        """The Tcl commands that do something, by name."""
        known: dict[str, Any] = {
            "get_board_parts": lambda *w: " ".join(b for b in BOARDS if fnmatch.fnmatch(b, w[-1])),
            "get_ipdefs": lambda p: " ".join(i for i in (*IPS, self.kernel) if fnmatch.fnmatch(i, p)),
            "get_bd_intf_pins": lambda path: self.find(path, True),
            "get_bd_pins": lambda path: self.find(path, False),
            "current_project": lambda: "project",
            "add_files": lambda *w: self.files.append(w[-1]),
            "validate_bd_design": lambda *_: setattr(self, "validated", True),
            "ipx::package_project": self.package_project,
            "ipx::associate_bus_interfaces": lambda *w: self.interfaces.append(option(w, "-busif")),
            "report_utilization": self.report,
            "report_timing_summary": self.report,
        }  # fmt: skip
        known |= {
            f.__name__: f
            for f in (self.create_bd_cell, self.set_property, self.get_property, self.apply_bd_automation)
        }
        known |= {f.__name__: f for f in (self.connect_bd_intf_net, self.connect_bd_net, self.launch_runs)}
        return known


def run_script(
    script: Path, folder: Path, arguments: tuple[str, ...], kernel_buses: tuple[str, ...]
) -> Vivado:
    """Run a script in `folder`.

    Raises
    ------
    TclError : the script is wrong, or asks for something that is not there.
    """
    import tkinter

    tcl = tkinter.Tcl()
    state = Vivado(folder, kernel_buses, tcl.tk.splitlist)
    known = state.commands()

    failures: dict[str, str] = defaultdict(str)

    def command(name: str, *words: str) -> Any:
        try:
            return known.get(name, lambda *_: "")(*words)
        except AssertionError as error:  # Tcl keeps no text of an error in Python
            failures[name] = f"{name} {' '.join(words)}: {error}"
            raise

    tcl.eval("namespace eval ipx {}")
    for name in (*known, *SILENT.split()):
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
