"""cocotb: the register map of ap_ctrl_chain, driven by cocotbext-axi's AXI4-Lite master."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster
from kernel_bench import pauses
from leaf_top import NUM_ARGS
from streams_cocotb import start

CTRL, GIER, IER, ISR = 0x00, 0x04, 0x08, 0x0C


async def connect(dut) -> AxiLiteMaster:
    dut.ap_ready.value = 0
    dut.ap_done.value = 0
    dut.ap_idle.value = 1
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst_n, reset_active_level=False)
    await start(dut)
    return master


async def read(master: AxiLiteMaster, address: int) -> int:
    return int.from_bytes((await master.read(address, 4)).data, "little")


async def write(master: AxiLiteMaster, address: int, value: int) -> None:
    await master.write(address, value.to_bytes(4, "little"))


async def pulse(dut, signal: str) -> None:
    getattr(dut, signal).value = 1
    await RisingEdge(dut.clk)
    getattr(dut, signal).value = 0
    await RisingEdge(dut.clk)


@cocotb.test()
async def register_map(dut) -> None:
    master = await connect(dut)
    assert await read(master, CTRL) == 1 << 2  # idle
    for i in range(NUM_ARGS):
        assert await read(master, 0x10 + 12 * i) == 0
        await write(master, 0x10 + 12 * i, 0x1111_1110 + i)
        await write(master, 0x14 + 12 * i, 0x2222_2220 + i)
        await write(master, 0x18 + 12 * i, 0xFFFF_FFFF)  # reserved
    for i in range(NUM_ARGS):
        assert await read(master, 0x10 + 12 * i) == 0x1111_1110 + i
        assert await read(master, 0x14 + 12 * i) == 0x2222_2220 + i
        assert await read(master, 0x18 + 12 * i) == 0
        value = int(dut.args.value) >> (64 * i) & (2**64 - 1)
        assert value == (0x2222_2220 + i) << 32 | (0x1111_1110 + i)
    await master.write(0x11, b"\xab")  # byte strobes
    assert await read(master, 0x10) == 0x1111_AB10


@cocotb.test()
async def start_and_ready(dut) -> None:
    master = await connect(dut)
    await write(master, CTRL, 1)
    await ClockCycles(dut.clk, 5)
    assert dut.ap_start.value == 1  # held until ready
    assert await read(master, CTRL) & 1
    await pulse(dut, "ap_ready")
    assert dut.ap_start.value == 0
    assert await read(master, CTRL) & 0b1001 == 0b1000  # ready is seen once
    assert await read(master, CTRL) & 0b1001 == 0
    await write(master, CTRL, 0x81)  # auto restart
    await pulse(dut, "ap_ready")
    assert dut.ap_start.value == 1
    await write(master, CTRL, 0x00)
    await pulse(dut, "ap_ready")
    assert dut.ap_start.value == 0


@cocotb.test()
async def interrupts(dut) -> None:
    master = await connect(dut)
    dut.ap_done.value = 1
    await ClockCycles(dut.clk, 3)
    assert await read(master, ISR) == 0 and dut.irq.value == 0  # not enabled: no event is kept
    await write(master, CTRL, 1 << 4)
    dut.ap_done.value = 0
    await write(master, IER, 0b11)
    await write(master, GIER, 1)
    await pulse(dut, "ap_ready")
    assert await read(master, ISR) == 0b10 and dut.irq.value == 1
    assert await read(master, CTRL) >> 9 & 1
    dut.ap_done.value = 1
    await ClockCycles(dut.clk, 3)
    assert await read(master, ISR) == 0b11
    await write(master, ISR, 0b01)  # toggles bit 0 only; done is still high but its event is over
    assert await read(master, ISR) == 0b10
    await write(master, ISR, 0b01)  # toggling sets it again
    assert await read(master, ISR) == 0b11
    await write(master, GIER, 0)
    assert dut.irq.value == 0
    await write(master, GIER, 1)
    await write(master, ISR, 0b11)
    assert await read(master, ISR) == 0 and dut.irq.value == 0


@cocotb.test()
async def continue_chain(dut) -> None:
    """ap_continue is a pulse of one cycle; a done that stays high across it is a new event."""
    master = await connect(dut)
    await write(master, IER, 1)
    await write(master, GIER, 1)
    dut.ap_done.value = 1
    await ClockCycles(dut.clk, 4)
    assert await read(master, CTRL) >> 1 & 1
    assert await read(master, CTRL) >> 1 & 1  # not cleared by reading
    await write(master, ISR, 1)
    assert await read(master, ISR) == 0
    pulses = 0

    async def count() -> None:
        nonlocal pulses
        while True:
            await FallingEdge(dut.clk)
            pulses += int(dut.ap_continue.value)

    counter = cocotb.start_soon(count())
    await write(master, CTRL, 1 << 4)
    await ClockCycles(dut.clk, 4)
    counter.cancel()
    assert pulses == 1
    assert await read(master, ISR) == 1  # the second inference was done at once


async def watch(dut) -> None:
    """Answers wait for their ready: valid and data stay."""
    waiting: dict[str, int] = {}
    while True:
        await FallingEdge(dut.clk)
        for side, data in (("b", "bresp"), ("r", "rdata")):
            valid = bool(getattr(dut, f"s_axi_{side}valid").value)
            value = int(getattr(dut, f"s_axi_{data}").value)
            if side in waiting:
                assert valid and value == waiting[side], f"the answer on {side} does not stay"
            waiting.pop(side, None)
            if valid and not getattr(dut, f"s_axi_{side}ready").value:
                waiting[side] = value


async def kernel(dut, rng: random.Random, seen: list[int]) -> None:
    """Takes and ends inferences after random times; notes the arguments of each."""

    async def some_cycles() -> None:
        for _ in range(rng.choice((1, 1, 2, 9, 40))):
            await FallingEdge(dut.clk)

    while True:
        await FallingEdge(dut.clk)
        if not dut.ap_start.value:
            continue
        dut.ap_idle.value = 0
        await some_cycles()
        assert dut.ap_start.value == 1, "ap_start does not wait for ap_ready"
        seen.append(int(dut.args.value))
        await pulse(dut, "ap_ready")
        await some_cycles()
        dut.ap_done.value = 1
        while not dut.ap_continue.value:
            await FallingEdge(dut.clk)
        await RisingEdge(dut.clk)
        dut.ap_done.value = 0
        dut.ap_idle.value = 1


@cocotb.test()
async def random_pauses(dut) -> None:
    """Registers of random contents, and inferences, while all five channels and the kernel pause at random."""
    rng = random.Random(4)
    master = await connect(dut)
    writes, reads = master.write_if, master.read_if
    channels = (writes.aw_channel, writes.w_channel, writes.b_channel, reads.ar_channel, reads.r_channel)
    for seed, channel in enumerate(channels):
        channel.set_pause_generator(pauses(0.5, seed))
    cocotb.start_soon(watch(dut))
    seen: list[int] = []
    cocotb.start_soon(kernel(dut, rng, seen))
    await write(master, IER, 1)
    places = [0x10 + 12 * i + part for i in range(NUM_ARGS) for part in (0, 4)]
    contents = dict.fromkeys(places, 0)
    for inference in range(12):
        for _ in range(6):
            place, offset = rng.choice(places), rng.randrange(4)
            data = rng.randbytes(rng.randint(1, 4 - offset))
            held = bytearray(contents[place].to_bytes(4, "little"))
            held[offset : offset + len(data)] = data
            contents[place] = int.from_bytes(held, "little")
            other = cocotb.start_soon(read(master, IER))  # both sides at once
            await master.write(place + offset, bytes(data))
            assert await other == 1
            assert await read(master, place) == contents[place]
        assert await read(master, CTRL) >> 1 & 1 == 0
        await write(master, CTRL, 1)
        while not await read(master, CTRL) >> 1 & 1:
            pass
        assert await read(master, ISR) == 1  # one event an inference
        await write(master, ISR, 1)
        await write(master, CTRL, 1 << 4)
        assert len(seen) == inference + 1
        assert seen[-1] == sum(contents[place] << (32 * i) for i, place in enumerate(places))
