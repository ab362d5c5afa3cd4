"""cocotb: FIFOs and gearboxes under random stalls on both sides, their latency and their throughput."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import Combine, FallingEdge, RisingEdge
from leaf_top import STREAMS


async def start(dut) -> None:
    Clock(dut.clk, 4, unit="ns").start()
    dut.rst_n.value = 0
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst_n.value = 1
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)


def pin(dut, name: str, signal: str):
    return getattr(dut, f"{name}_{signal}")


async def source(
    dut, name: str, beats: list[int], stall: float, seed: int, lasts: list[int] | None = None
) -> None:
    """Offer the beats; valid is never taken back."""
    rng = random.Random(seed)
    for number, beat in enumerate(beats):
        while rng.random() < stall:
            await RisingEdge(dut.clk)
        pin(dut, name, "in_data").value = beat
        pin(dut, name, "in_valid").value = 1
        if lasts is not None:
            pin(dut, name, "last").value = lasts[number]
        taken = False
        while not taken:
            await FallingEdge(dut.clk)
            taken = bool(pin(dut, name, "in_ready").value)
            await RisingEdge(dut.clk)
        pin(dut, name, "in_valid").value = 0


async def sink(
    dut, name: str, count: int, stall: float, seed: int, lasts: list[int] | None = None
) -> tuple[list[int], list[int]]:
    """Take `count` beats; return them and the cycle of each. What waits has to stay."""
    rng = random.Random(seed)
    beats, cycles, cycle = [], [], 0
    waiting: int | None = None
    while len(beats) < count:
        ready = rng.random() >= stall
        pin(dut, name, "out_ready").value = int(ready)
        if lasts is not None:
            pin(dut, name, "last").value = lasts[len(beats)]
        await FallingEdge(dut.clk)
        offered = int(pin(dut, name, "out_data").value) if pin(dut, name, "out_valid").value else None
        assert waiting is None or offered == waiting, f"{name}: a beat that waits does not stay"
        waiting = None if ready else offered
        if ready and offered is not None:
            beats.append(offered)
            cycles.append(cycle)
        cycle += 1
        assert cycle < 40 * count + 1000, f"{name} hangs after {len(beats)} of {count} beats"
        await RisingEdge(dut.clk)
    pin(dut, name, "out_ready").value = 0
    return beats, cycles


def case(
    name: str, seed: int, transfers: int
) -> tuple[list[int], list[int], list[int] | None, list[int] | None]:
    """Return beats in, beats out, `last` of the input side and `last` of the output side."""
    module, parameters, bits_in, _ = STREAMS[name]
    rng = random.Random(seed)
    if module == "intar_fifo":
        beats = [rng.getrandbits(bits_in) for _ in range(10 * transfers)]
        return beats, beats, None, None
    word, beat = parameters["WORD_BITS"], parameters["BEAT_BITS"]
    words_all, beats_all, lasts_beat = [], [], []
    for _ in range(transfers):
        beats = [rng.getrandbits(beat) for _ in range(rng.randint(1, 20))]
        words = -(-len(beats) * beat // word)
        value = sum(b << (i * beat) for i, b in enumerate(beats))
        if module == "intar_unpack":  # what is behind the last beat must be dropped
            value |= rng.getrandbits(words * word - len(beats) * beat + 1) >> 1 << (len(beats) * beat)
        words_all += [value >> (i * word) & ((1 << word) - 1) for i in range(words)]
        beats_all += beats
        lasts_beat += [0] * (len(beats) - 1) + [1]
    if module == "intar_unpack":
        return words_all, beats_all, None, lasts_beat
    return beats_all, words_all, lasts_beat, None


async def transfer(
    dut, name: str, seed: int, stall_in: float, stall_out: float, transfers: int = 60
) -> list[int]:
    beats, expected, lasts_in, lasts_out = case(name, seed, transfers)
    sender = cocotb.start_soon(source(dut, name, beats, stall_in, seed, lasts_in))
    got, cycles = await sink(dut, name, len(expected), stall_out, seed + 1, lasts_out)
    assert got == expected, name
    await sender
    return cycles


@cocotb.test()
async def random_stalls(dut) -> None:
    await start(dut)
    for round_number, (stall_in, stall_out) in enumerate([(0.4, 0.4), (0.0, 0.6), (0.6, 0.0), (0.0, 0.0)]):
        seed = 100 * round_number
        await Combine(
            *(
                cocotb.start_soon(transfer(dut, n, seed + i, stall_in, stall_out))
                for i, n in enumerate(STREAMS)
            )
        )


@cocotb.test()
async def full_throughput(dut) -> None:
    """Without stalls the narrow side of every stream is busy in every cycle."""
    await start(dut)
    for name, (_, _, bits_in, bits_out) in STREAMS.items():
        if name == "fifo1":
            continue  # one register: a beat every second cycle, by contract
        inputs = len(case(name, 7, 30)[0])
        cycles = await transfer(dut, name, 7, 0.0, 0.0, 30)
        busy = inputs if bits_in < bits_out else len(cycles)
        assert cycles[-1] - cycles[0] + 1 <= busy, name
        if bits_in == bits_out:
            assert cycles[-1] - cycles[0] + 1 == len(cycles), name


@cocotb.test()
async def fifo_contract(dut) -> None:
    """Capacity is DEPTH exactly, latency is one cycle, `level` counts."""
    await start(dut)
    for name, (module, parameters, _, _) in STREAMS.items():
        if module != "intar_fifo":
            continue
        depth = parameters["DEPTH"]
        pin(dut, name, "in_valid").value = 1
        for filled in range(depth):
            pin(dut, name, "in_data").value = 1000 + filled
            await FallingEdge(dut.clk)
            assert pin(dut, name, "in_ready").value == 1, (name, filled)
            assert int(pin(dut, name, "level").value) == filled
            assert bool(pin(dut, name, "out_valid").value) == (filled > 0), (name, filled)
            await RisingEdge(dut.clk)
        pin(dut, name, "in_valid").value = 0
        await FallingEdge(dut.clk)
        assert pin(dut, name, "in_ready").value == 0, name
        assert int(pin(dut, name, "level").value) == depth
        assert int(pin(dut, name, "out_data").value) == 1000
        await RisingEdge(dut.clk)
        got, _ = await sink(dut, name, depth, 0.0, 1)
        assert got == [1000 + i for i in range(depth)]
