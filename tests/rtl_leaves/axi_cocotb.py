"""cocotb: the AXI masters against the DPI memory (which checks the protocol) and against cocotbext-axi's RAM."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import random

import cocotb
import numpy as np
from cocotb.triggers import Combine, FallingEdge, RisingEdge
from kernel_bench import pauses
from leaf_top import MASTERS
from streams_cocotb import pin, start

LIBRARY = ctypes.CDLL(None)
LIBRARY.intar_sim_error.restype = ctypes.c_char_p
REGION = 64 * 4096  # bytes; commands start anywhere in it, so 4 KiB boundaries are crossed all the time
READ_BASE, WRITE_BASE = 0x2_0000_0000, 0x3_0000_0000


def region(base: int, seed: int, writable: bool) -> np.ndarray:
    data = np.random.default_rng(seed).integers(0, 256, REGION, dtype=np.uint8)
    LIBRARY.intar_sim_add_region(
        ctypes.c_uint64(base),
        ctypes.c_uint64(REGION),
        ctypes.c_void_p(data.ctypes.data),
        ctypes.c_int(writable),
    )
    return data


def configure(latency: int, stall: float, seed: int, num: int = 1, den: int = 1) -> None:
    u64 = ctypes.c_uint64
    LIBRARY.intar_sim_reset_regions()
    LIBRARY.intar_sim_configure(
        u64(latency), u64(num), u64(den), ctypes.c_uint32(int(stall * 2**32)), u64(seed)
    )


def commands(word: int, count: int, most: int, seed: int, disjoint: bool) -> list[tuple[int, int]]:
    """Random (first word, words) in the region; `disjoint` ones go upwards."""
    rng = random.Random(seed)
    total = REGION // word
    if not disjoint:
        lengths = [rng.randint(1, most) for _ in range(count)]
        return [(rng.randrange(total - n), n) for n in lengths]
    found, at = [], 0
    while len(found) < count:
        at += rng.randint(0, 3)
        words = rng.randint(1, min(most, total // count - 4))
        found.append((at, words))
        at += words
    return found


async def send_commands(dut, prefix: str, base: int, word: int, todo: list[tuple[int, int]]) -> None:
    for at, words in todo:
        pin(dut, prefix, "cmd_address").value = base + at * word
        pin(dut, prefix, "cmd_words").value = words
        pin(dut, prefix, "cmd_valid").value = 1
        taken = False
        while not taken:
            await FallingEdge(dut.clk)
            taken = bool(pin(dut, prefix, "cmd_ready").value)
            await RisingEdge(dut.clk)
        pin(dut, prefix, "cmd_valid").value = 0


async def collect(dut, prefix: str, count: int, stall: float, seed: int) -> tuple[list[int], list[int]]:
    rng = random.Random(seed)
    words, cycles, cycle = [], [], 0
    while len(words) < count:
        ready = rng.random() >= stall
        pin(dut, prefix, "ready").value = int(ready)
        await FallingEdge(dut.clk)
        if ready and pin(dut, prefix, "valid").value:
            words.append(int(pin(dut, prefix, "data").value))
            cycles.append(cycle)
        cycle += 1
        assert cycle < 400 * count + 4000, f"{prefix} hangs after {len(words)} of {count} words"
        await RisingEdge(dut.clk)
    pin(dut, prefix, "ready").value = 0
    return words, cycles


async def feed(dut, prefix: str, words: list[int], stall: float, seed: int) -> None:
    rng = random.Random(seed)
    for word in words:
        while rng.random() < stall:
            await RisingEdge(dut.clk)
        pin(dut, prefix, "data").value = word
        pin(dut, prefix, "valid").value = 1
        taken = False
        while not taken:
            await FallingEdge(dut.clk)
            taken = bool(pin(dut, prefix, "ready").value)
            await RisingEdge(dut.clk)
        pin(dut, prefix, "valid").value = 0


def slice_words(memory: np.ndarray, word: int, todo: list[tuple[int, int]]) -> list[int]:
    raw = memory.tobytes()
    return [
        int.from_bytes(raw[i * word : (i + 1) * word], "little") for at, n in todo for i in range(at, at + n)
    ]


async def read_all(dut, name: str, memory: np.ndarray, base: int, todo, stall: float, seed: int) -> list[int]:
    word = MASTERS[name][0] // 8
    expected = slice_words(memory, word, todo)
    sender = cocotb.start_soon(send_commands(dut, f"{name}_read", base, word, todo))
    got, cycles = await collect(dut, f"{name}_read", len(expected), stall, seed)
    await sender
    assert got == expected, f"{name}: wrong data"
    return cycles


async def write_all(dut, name: str, memory: np.ndarray, base: int, todo, stall: float, seed: int) -> int:
    """Write random words; return the cycles until every command was answered."""
    word = MASTERS[name][0] // 8
    rng = random.Random(seed)
    words = [rng.getrandbits(8 * word) for _ in range(sum(n for _, n in todo))]
    expected = memory.copy()
    source = iter(words)
    for at, n in todo:
        data = b"".join(next(source).to_bytes(word, "little") for _ in range(n))
        expected[at * word : (at + n) * word] = np.frombuffer(data, dtype=np.uint8)
    await pulse_start(dut, name)
    sender = cocotb.start_soon(send_commands(dut, f"{name}_write", base, word, todo))
    feeder = cocotb.start_soon(feed(dut, f"{name}_write", words, stall, seed + 1))
    for cycles in itertools.count():
        await RisingEdge(dut.clk)
        if int(pin(dut, name, "done_count").value) == len(todo):
            break
        assert cycles < 400 * len(words) + 4000, f"{name}: not all commands are answered"
    await sender
    await feeder
    assert np.array_equal(memory, expected), f"{name}: wrong bytes in memory"
    return cycles


async def pulse_start(dut, name: str) -> None:
    pin(dut, name, "start").value = 1
    await RisingEdge(dut.clk)
    pin(dut, name, "start").value = 0


@cocotb.test()
async def random_traffic(dut) -> None:
    for number, (latency, stall, port_stall) in enumerate(
        [(1, 0.0, 0.0), (20, 0.3, 0.3), (70, 0.5, 0.0), (3, 0.0, 0.7)]
    ):
        configure(latency, stall, number)
        names = [n for n, m in MASTERS.items() if m[4] == "dpi"]
        reads = region(READ_BASE, number, False)
        spaces = [region(WRITE_BASE + i * 0x1000_0000, 9, True) for i in range(len(names))]
        await start(dut)
        running = []
        for i, name in enumerate(names):
            word, most = MASTERS[name][0] // 8, 6 if name == "tiny" else 90
            todo = commands(word, 15, most, number * 10 + i, False)
            running.append(read_all(dut, name, reads, READ_BASE, todo, port_stall, i))
            todo = commands(word, 15, most, number * 10 + i, True)
            base = WRITE_BASE + i * 0x1000_0000
            running.append(write_all(dut, name, spaces[i], base, todo, port_stall, i))
        await Combine(*(cocotb.start_soon(r) for r in running))
        assert LIBRARY.intar_sim_error() == b""


@cocotb.test()
async def gapless(dut) -> None:
    """With a memory of one word a cycle neither bursts nor commands cost a cycle."""
    configure(40, 0.0, 0)
    reads, writes = region(READ_BASE, 1, False), region(WRITE_BASE, 2, True)
    await start(dut)
    todo = [(3, 100), (700, 64), (900, 1), (902, 5), (64, 200)]
    cycles = await read_all(dut, "big", reads, READ_BASE, todo, 0.0, 0)
    assert cycles[-1] - cycles[0] + 1 == len(cycles)
    taken = await write_all(dut, "big", writes, WRITE_BASE, [(3, 100), (200, 64), (300, 180)], 0.0, 0)
    assert taken <= 100 + 64 + 180 + 64 + 40 + 20  # words, the last burst in the FIFO, latency, hand-over
    assert LIBRARY.intar_sim_error() == b""


@cocotb.test()
async def done_count_restarts(dut) -> None:
    configure(5, 0.0, 0)
    writes = region(WRITE_BASE, 2, True)
    await start(dut)
    await write_all(dut, "small", writes, WRITE_BASE, [(0, 7), (100, 1)], 0.0, 0)
    assert int(dut.small_done_count.value) == 2
    await pulse_start(dut, "small")
    await RisingEdge(dut.clk)
    assert int(dut.small_done_count.value) == 0


@cocotb.test()
async def axi_ram_with_pauses(dut) -> None:
    """An independent AXI4 model, pausing at random on all five channels."""
    from cocotbext.axi import AxiRamRead, AxiRamWrite, AxiReadBus, AxiWriteBus

    space = mmap.mmap(-1, 2 * REGION)
    flat = np.frombuffer(space, dtype=np.uint8)
    flat[:REGION] = np.random.default_rng(5).integers(0, 256, REGION, dtype=np.uint8)
    configure(1, 0.0, 0)
    common = {"reset_active_level": False, "mem": space, "size": len(space)}
    read = AxiRamRead(AxiReadBus.from_prefix(dut, "ram"), dut.clk, dut.rst_n, **common)
    write = AxiRamWrite(AxiWriteBus.from_prefix(dut, "ram"), dut.clk, dut.rst_n, **common)
    channels = (read.ar_channel, read.r_channel, write.aw_channel, write.w_channel, write.b_channel)
    for seed, channel in enumerate(channels):
        channel.set_pause_generator(pauses(0.3, seed))
    await start(dut)
    word = MASTERS["ram"][0] // 8
    reader = cocotb.start_soon(
        read_all(dut, "ram", flat[:REGION], 0, commands(word, 12, 400, 1, False), 0.2, 1)
    )
    todo = commands(word, 12, 400, 2, True)
    writer = cocotb.start_soon(write_all(dut, "ram", flat[REGION:], REGION, todo, 0.2, 2))
    await Combine(reader, writer)
