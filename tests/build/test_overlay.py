"""Bitstreams for Zynq boards: the block design that the script makes, and the host program on a board with PYNQ."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from fake_vivado import Vivado, run_script

from intar.codegen.rtl import bundles, top_name
from intar.design import Design
from intar.engine import run
from intar.pipeline import compile_quantised
from intar.rendering import project
from intar.session import open_source


@pytest.fixture(scope="module")
def made() -> Design:
    source = open_source("digits", device="kv260", budget={"multipliers": 32})
    return compile_quantised(source.quantised, source.machine, "sequential")


@pytest.fixture(scope="module")
def written(made: Design, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(made, {}).write(tmp_path_factory.mktemp("overlay") / "p")


def block_design(made: Design, written: Path, folder: Path, part: str, board: str) -> Vivado:
    pytest.importorskip("tkinter", reason="no Tcl interpreter")
    buses = ("s_axi_control", *(f"m_axi_{bundle.name}" for bundle in bundles(made.program)))
    return run_script(written / "rtl" / "overlay.tcl", folder, (part, "100", "2", board), buses)


@pytest.mark.parametrize(
    ("part", "board", "system", "clock", "ports", "found"),
    [
        ("xc7z020clg400-1", "tul.com.tw:pynq-z2:part0", "processing_system7", "FCLK_CLK0", 4, "1.0"),
        ("xck26-sfvc784-2LV-c", "xilinx.com:kv260_som:part0", "zynq_ultra_ps_e", "pl_clk0", 6, "1.10"),
        ("xczu7ev-ffvc1156-2-e", "xilinx.com:zcu104:part0", "zynq_ultra_ps_e", "pl_clk0", 6, ""),
    ],
)
def test_block_design(made, written, tmp_path, part, board, system, clock, ports, found) -> None:
    """Every bus and every clock and reset pin has exactly one source, every master has a way to the memory."""
    design = block_design(made, written, tmp_path, part, board)
    masters = [f"kernel/m_axi_{bundle.name}" for bundle in bundles(made.program)]
    assert design.board == (f"{board}:{found}" if found else "")
    assert design.cells["system"].kind.split(":")[2] == system
    assert set(design.interfaces) == {"s_axi_control", *(m.split("/")[1] for m in masters)}
    assert design.buses["system/" + ("M_AXI_GP0" if ports == 4 else "M_AXI_HPM0_FPD")] == "registers/S00_AXI"
    assert design.buses["registers/M00_AXI"] == "kernel/s_axi_control"
    used = set()
    for master in masters:
        switch = design.buses[master].split("/")[0]
        used.add(design.buses[f"{switch}/M00_AXI"])
    assert len(used) == min(ports, len(masters))
    for cell in design.cells:
        for pin in design.pins(cell, buses=False):
            source = design.sources.get(f"{cell}/{pin}", "")
            if pin.lower().endswith(("clk", "_clk0")) and not pin.startswith(("FCLK", "pl_")):
                assert source == f"system/{clock}", pin
            if pin in ("ap_rst_n", "aresetn"):
                assert source.startswith("reset/"), pin
        joined = {*design.buses, *design.buses.values()}
        assert all(f"{cell}/{bus}" in joined for bus in design.pins(cell, buses=True)), cell
    name = top_name(made.program)
    assert (tmp_path / f"{name}.bit").read_text() == "bits" and (tmp_path / f"{name}.hwh").is_file()
    assert "overlay_i/kernel" not in (tmp_path / "timing.rpt").read_text()
    assert {Path(file).suffix for file in design.files} >= {".sv"}
    assert all(Path(file).is_file() for file in design.files)


def test_masters_with_large_buffers_are_apart(made: Design, written: Path, tmp_path: Path) -> None:
    """The first ports go to the largest buffers, so that no two of the largest share one while others are free."""
    design = block_design(made, written, tmp_path, "xc7z020clg400-1", "")
    size = {a.name: a.words * a.port_bits for a in made.program.arguments}
    largest = sorted(size, key=lambda name: -size[name])[:4]
    assert len({design.buses[f"kernel/m_axi_{name}"].split("/")[0] for name in largest}) == min(4, len(size))


class Memory:
    """Physical memory of a board: buffers by address."""

    def __init__(self) -> None:
        self.buffers: dict[int, np.ndarray] = {}

    def allocate(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        class Buffer(np.ndarray):
            device_address: int

            def sync_to_device(self) -> None:
                self.cached = False

            sync_from_device = sync_to_device

        buffer = np.full(shape, 0xA5, dtype).view(Buffer)
        buffer.device_address = 0x1_0000_0000 + (len(self.buffers) << 20)
        self.buffers[buffer.device_address] = buffer
        return buffer


class Registers:
    """The register map of `intar_control` in front of the engine."""

    def __init__(self, made: Design, memory: Memory):
        self.made, self.memory, self.values, self.done = made, memory, {}, False

    def read(self, at: int) -> int:
        return self.done << 1 if at == 0 else self.values[at]

    def write(self, at: int, value: int) -> None:
        assert 0 <= value < 1 << 32
        if at:
            self.values[at] = value
        elif value & 16:
            self.done = False
        elif value & 1:
            assert not self.done
            self.done = True
            places = [16 + 12 * i for i in range(len(self.made.program.arguments))]
            pointers = [self.values[p] | self.values[p + 4] << 32 for p in places]
            buffers = {
                a.name: self.memory.buffers[p]
                for a, p in zip(self.made.program.arguments, pointers, strict=True)
            }
            found = run(self.made.program, {name: bytes(b) for name, b in buffers.items()})
            for name, image in found.outputs.items():
                buffers[name][:] = np.frombuffer(image, np.uint8)


def test_host_program_on_a_board_with_pynq(made, written, monkeypatch, capsys) -> None:
    """host.py with PYNQ's interface to the engine: every inference of the project's data as expected."""
    memory = Memory()
    clock = made.schedule.machine.clock_mhz
    fake = types.SimpleNamespace(
        Device=types.SimpleNamespace(devices=["board"]),
        Overlay=lambda file, device: types.SimpleNamespace(
            ip_dict={"kernel": {"phys_addr": 0xA000_0000, "addr_range": 4096}}
        ),
        Clocks=types.SimpleNamespace(fclk0_mhz=clock),
        MMIO=lambda base, size: Registers(made, memory),
        allocate=memory.allocate,
    )
    monkeypatch.setitem(sys.modules, "pynq", fake)
    spec = importlib.util.spec_from_file_location("overlay_host", written / "host" / "host.py")
    host = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(host)
    monkeypatch.setattr(sys, "argv", ["host.py", "kernel.bit"])
    assert host.main() == 0
    shown = capsys.readouterr()
    assert "every byte as expected" in shown.out and not shown.err
    fake.Clocks.fclk0_mhz = 2 * clock
    assert host.main() == 0
    assert "the circuit was built for" in capsys.readouterr().err
    monkeypatch.setattr(host.OverlayBoard, "LIMIT", 0.05)
    monkeypatch.setattr(Registers, "read", lambda self, offset: 0)  # a kernel that never ends
    with pytest.raises(TimeoutError, match=r"has not ended after 0\.05 s"):
        host.main()
