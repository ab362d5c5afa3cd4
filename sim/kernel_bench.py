"""cocotb test bench that drives any Vitis-style kernel: `intar.verify.simulate` calls it.

The design under test is the generated wrapper `intar_bench` (kernel, clock, memory ports).  What to do
comes from the JSON file that the environment variable ``INTAR_BENCH`` names; what came out goes to the two
files that it names: outputs (``.npz``) and a report (JSON).  The memory is either the C++ model behind
`intar_axi_mem` (``dpi``), which sees the arrays of this process without a copy, or cocotbext-axi's AxiRam
(``axiram``) with random pauses on all five channels.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import random
import time
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Edge, FallingEdge, RisingEdge

CTRL, GIER, IER, ISR = 0x00, 0x04, 0x08, 0x0C
START, DONE, CONTINUE = 1 << 0, 1 << 1, 1 << 4
POISON = 0xA5  # what an output buffer holds before the kernel writes it


class Registers:
    """AXI4-Lite master for `s_axi_control`; needs the simulator's attention only during an access.

    Valid is set right after a rising edge and ready is sampled at the falling edge, where every signal of the
    cycle has settled, whoever makes the clock.
    """

    def __init__(self, dut: Any):
        self.dut = dut

    def _signal(self, name: str) -> Any:
        return getattr(self.dut, f"s_axi_control_{name}")

    async def _transfer(self, active: str, other: str) -> int:
        """Hold `active` until a cycle in which `other` is 1 too; return the read data of that cycle."""
        self._signal(active).value = 1
        while True:
            await FallingEdge(self.dut.ap_clk)
            taken = bool(self._signal(other).value)
            data = int(self._signal("rdata").value) if active == "rready" and taken else 0
            await RisingEdge(self.dut.ap_clk)
            if taken:
                self._signal(active).value = 0
                return data

    async def write(self, address: int, value: int) -> None:
        self._signal("awaddr").value = address
        await self._transfer("awvalid", "awready")
        self._signal("wdata").value = value
        self._signal("wstrb").value = 0xF
        await self._transfer("wvalid", "wready")
        await self._transfer("bready", "bvalid")

    async def read(self, address: int) -> int:
        self._signal("araddr").value = address
        await self._transfer("arvalid", "arready")
        return await self._transfer("rready", "rvalid")


class DpiMemory:
    """The C++ memory model of `axi_mem.cpp`, linked into this very process."""

    def __init__(self, config: dict[str, Any]):
        self.library = ctypes.CDLL(None)
        self.library.intar_sim_error.restype = ctypes.c_char_p
        model = config["memory"]
        self.library.intar_sim_configure(
            ctypes.c_uint64(model["latency"]),
            ctypes.c_uint64(model["words_num"]),
            ctypes.c_uint64(model["words_den"]),
            ctypes.c_uint32(min(int(model["stall"] * 2**32), 2**32 - 1)),
            ctypes.c_uint64(model["seed"]),
        )
        self.library.intar_sim_reset_regions()
        self.arrays = []
        for buffer in config["buffers"]:
            array = np.memmap(buffer["file"], dtype=np.uint8, mode="c")
            self.arrays.append(array)
            self.library.intar_sim_add_region(
                ctypes.c_uint64(buffer["address"]),
                ctypes.c_uint64(array.size),
                ctypes.c_void_p(array.ctypes.data),
                ctypes.c_int(buffer["writable"]),
            )

    def view(self, index: int) -> np.ndarray:
        return self.arrays[index]

    def error(self) -> str:
        return self.library.intar_sim_error().decode()

    def counts(self, port: int) -> dict[str, int]:
        values = (ctypes.c_uint64 * 4)()
        self.library.intar_sim_counts(port, values)
        names = ("read_words", "read_bursts", "write_words", "write_bursts")
        return dict(zip(names, (int(v) for v in values), strict=True))


class RamMemory:
    """One address space behind a cocotbext-axi RAM on each bundle, pausing at random on every channel."""

    def __init__(self, dut: Any, config: dict[str, Any]):
        from cocotbext.axi import AxiRamRead, AxiRamWrite, AxiReadBus, AxiWriteBus

        buffers = config["buffers"]
        files = [np.fromfile(b["file"], dtype=np.uint8) for b in buffers]
        self.spans = [(b["address"], f.size) for b, f in zip(buffers, files, strict=True)]
        size = max(address + length for address, length in self.spans) + mmap.PAGESIZE
        self.memory = mmap.mmap(-1, size)
        self.flat = np.frombuffer(self.memory, dtype=np.uint8)
        for (address, length), data in zip(self.spans, files, strict=True):
            self.flat[address : address + length] = data
        self.rams = []
        chance, seed = config["memory"]["stall"], config["memory"]["seed"]
        common = {"reset_active_level": False, "mem": self.memory, "size": size}
        for number, bundle in enumerate(config["bundles"]):
            prefix = f"m_axi_{bundle['name']}"
            channels = []
            if bundle["read"]:
                ram = AxiRamRead(AxiReadBus.from_prefix(dut, prefix), dut.ap_clk, dut.ap_rst_n, **common)
                channels += [ram.ar_channel, ram.r_channel]
                self.rams.append(ram)
            if bundle["write"]:
                ram = AxiRamWrite(AxiWriteBus.from_prefix(dut, prefix), dut.ap_clk, dut.ap_rst_n, **common)
                channels += [ram.aw_channel, ram.w_channel, ram.b_channel]
                self.rams.append(ram)
            for index, channel in enumerate(channels):
                if chance > 0:
                    channel.set_pause_generator(pauses(chance, seed * 1009 + number * 5 + index))

    def view(self, index: int) -> np.ndarray:
        address, length = self.spans[index]
        return self.flat[address : address + length]

    def error(self) -> str:
        return ""

    def counts(self, port: int) -> dict[str, int]:
        return {}


def pauses(chance: float, seed: int):
    """Endless random sequence of "pause in this cycle"."""
    source = random.Random(seed)
    while True:
        yield source.random() < chance


async def reset(dut: Any) -> None:
    dut.ap_rst_n.value = 0
    for name in ("awvalid", "wvalid", "bready", "arvalid", "rready"):
        getattr(dut, f"s_axi_control_{name}").value = 0
    for _ in range(8):
        await RisingEdge(dut.ap_clk)
    dut.ap_rst_n.value = 1
    for _ in range(2):
        await RisingEdge(dut.ap_clk)


async def wait_done(dut: Any, registers: Registers, mode: str) -> bool:
    """Wait for the end of an inference; False when the cycle limit came first."""
    if mode == "poll":
        while not dut.timed_out.value:
            if await registers.read(CTRL) & DONE:
                return True
        return False
    while not (dut.interrupt.value or dut.timed_out.value):
        await Edge(dut.stop)
    return bool(dut.interrupt.value)


async def start_job(registers: Registers, memory: Any, job: dict[str, Any]) -> None:
    """Poison the outputs, set the pointers and start."""
    for index in job["poison"]:
        memory.view(index)[:] = POISON
    for offset, address in job["pointers"]:
        await registers.write(offset, address & 0xFFFFFFFF)
        await registers.write(offset + 4, address >> 32)
    await registers.write(GIER, 1)
    await registers.write(IER, 1)
    await registers.write(CTRL, START)


async def run_job(dut: Any, registers: Registers, memory: Any, job: dict[str, Any], mode: str) -> int:
    """Run one inference; return its cycles, or -1 when it did not end."""
    await start_job(registers, memory, job)
    if not await wait_done(dut, registers, mode):
        return -1
    status = await registers.read(ISR)
    assert status & 1, "the interrupt status register does not show the done event"
    await registers.write(ISR, 1)
    await registers.write(CTRL, CONTINUE)
    await FallingEdge(dut.ap_clk)
    assert not dut.interrupt.value, "the interrupt stays high after it was cleared"
    await RisingEdge(dut.ap_clk)
    return int(dut.done_cycle.value) - int(dut.start_cycle.value)


async def abort_job(dut: Any, registers: Registers, memory: Any, job: dict[str, Any], cycles: int) -> bool:
    """Start an inference that somebody is going to reset after `cycles`; False when it is over by then."""
    await reset(dut)
    await start_job(registers, memory, job)
    await ClockCycles(dut.ap_clk, cycles)
    return bool(dut.running.value)


@cocotb.test()
async def run_jobs(dut: Any) -> None:
    """Run all jobs of the configuration and write outputs and report."""
    config = json.loads(Path(os.environ["INTAR_BENCH"]).read_text())
    if config["mode"] == "axiram":
        Clock(dut.ap_clk, 4, unit="ns").start()
        memory: Any = RamMemory(dut, config)
    else:
        memory = DpiMemory(config)
    registers = Registers(dut)
    dut.cycle_limit.value = config["timeout_cycles"]
    outputs: dict[str, np.ndarray] = {}
    report: dict[str, Any] = {"cycles": [], "error": "", "timeout": False, "ended_before_abort": False}
    begin, begin_cpu = time.perf_counter(), time.process_time()
    jobs, abort_after = config["jobs"], config["abort_after"]
    if abort_after and not await abort_job(dut, registers, memory, jobs[0], abort_after):
        report["ended_before_abort"], jobs = True, []
    for number, job in enumerate(jobs):
        if number == 0 or config["reset_between"]:
            await reset(dut)
        cycles = await run_job(dut, registers, memory, job, config["wait"])
        report["error"] = memory.error()
        report["timeout"] = cycles < 0
        if cycles < 0 or report["error"]:
            break
        report["cycles"].append(cycles)
        for name, index, size in job["outputs"]:
            outputs[f"{number}/{name}"] = np.array(memory.view(index)[:size])
    report["seconds"] = time.perf_counter() - begin
    report["cpu_seconds"] = time.process_time() - begin_cpu
    report["total_cycles"] = int(dut.cycle.value)
    report["traffic"] = {b["name"]: memory.counts(i) for i, b in enumerate(config["bundles"])}
    np.savez(config["results"], **outputs)
    Path(config["report"]).write_text(json.dumps(report, indent=1))
