"""cocotb: every node of `pins_top` alone, its streams offered and taken at random; what has to come out is known.

In each cycle: beats leave in order and with their very bits; none is taken or sent beyond those of the play; `done` is
0 from the cycle after the start until all of them have passed, and stays 1 then. `pins_watch` sees to it that valid and
data stay.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge
from stalls import waits

SILENCE = 600  # cycles without a beat after which a play hangs; the slowest memory answers within 100
QUIET = 12  # cycles after a play in which nothing may move


class Memory:
    """The regions of the C++ memory model, linked into this process."""

    def __init__(self, arguments: list[dict[str, Any]]):
        self.library = ctypes.CDLL(None)
        self.library.intar_sim_error.restype = ctypes.c_char_p
        self.arguments = arguments
        self.arrays: dict[str, np.ndarray] = {}

    def fill(self, dut: Any, latency: int, stall: float, seed: int) -> None:
        """Contents and pointers of a new inference, and how the memory stalls in it."""
        u64 = ctypes.c_uint64
        self.library.intar_sim_configure(
            u64(latency), u64(1), u64(1), ctypes.c_uint32(int(stall * 2**32)), u64(seed)
        )
        self.library.intar_sim_reset_regions()
        pointers = 0
        for argument in self.arguments:
            data = np.frombuffer(bytearray.fromhex(argument["before"]), dtype=np.uint8)
            self.arrays[argument["name"]] = data
            base = (argument["index"] + 1) << 32
            pointers |= base << (64 * argument["index"])
            self.library.intar_sim_add_region(
                u64(base),
                u64(data.size),
                ctypes.c_void_p(data.ctypes.data),
                ctypes.c_int(argument["writable"]),
            )
        dut.pointers.value = pointers

    def check(self) -> None:
        assert self.library.intar_sim_error() == b""
        for argument in self.arguments:
            if argument["after"]:
                assert self.arrays[argument["name"]].tobytes().hex() == argument["after"], argument["name"]


class Source:
    """One stream into a node. After its last beat it offers one more, which nobody may take."""

    def __init__(
        self, dut: Any, pin: dict[str, Any], beats: list[int], stalls: Iterator[bool], rng: random.Random
    ):
        self.data, self.name = getattr(dut, f"{pin['wire']}_data"), f"{pin['link']} to {pin['to']}"
        self.beats, self.stalls, self.sent, self.offers = list(beats), stalls, 0, False
        self.whole = not beats
        self.extra = [] if pin["ahead"] else [rng.getrandbits(len(self.data))]

    def step(self) -> bool:
        """Whether a beat is offered in this cycle."""
        if not self.offers and not next(self.stalls) and self.sent < len(self.beats) + len(self.extra):
            self.data.value = (self.beats + self.extra)[self.sent]
            self.offers = True
        return self.offers

    def taken(self) -> None:
        assert self.sent < len(self.beats), (
            f"{self.name}: beat {self.sent} is taken, there are {len(self.beats)}"
        )
        self.sent += 1
        self.offers, self.whole = False, self.sent == len(self.beats)


class Sink:
    """One stream out of a node."""

    def __init__(self, dut: Any, pin: dict[str, Any], beats: list[int], stalls: Iterator[bool]):
        self.data, self.name = getattr(dut, f"{pin['wire']}_in_data"), f"{pin['link']} to {pin['to']}"
        self.beats, self.stalls, self.got = beats, stalls, 0
        self.whole = not beats

    def step(self) -> bool:
        """Whether a beat would be taken in this cycle."""
        return not next(self.stalls)

    def sent(self, takes: bool) -> None:
        """The node sends; so in every cycle of a beat that waits, too."""
        assert self.got < len(self.beats), f"{self.name}: a beat after the last one, {len(self.beats)}"
        if not takes:
            return
        value = int(self.data.value)
        assert value == self.beats[self.got], (
            f"{self.name}: beat {self.got} of {len(self.beats)} is {value:#x}, not {self.beats[self.got]:#x}"
        )
        self.got += 1
        self.whole = self.got == len(self.beats)


def bits(flags: list[bool]) -> int:
    return sum(1 << i for i, flag in enumerate(flags) if flag)


class Bench:
    """Plays what `PinsTop.describe` has written."""

    def __init__(self, dut: Any, described: dict[str, Any]):
        self.dut, self.described = dut, described
        self.nodes = described["nodes"]
        self.memory = Memory(described["arguments"])

    async def reset(self, cycles: int = 3) -> None:
        self.dut.ap_rst_n.value = 0
        self.dut.offered.value = 0
        self.dut.accepts.value = 0
        for _ in range(cycles):
            await RisingEdge(self.dut.ap_clk)
        self.dut.ap_rst_n.value = 1
        await RisingEdge(self.dut.ap_clk)

    async def play(
        self, play: dict[str, Any], source: str, sink: str, seed: int, limit: int = 0, last: bool = True
    ) -> int:
        """One play with the named stalls; return its cycles. With a `limit` it is left after so many cycles.

        When the `last` one of an inference is over the memory holds the results.
        """
        dut, rng = self.dut, random.Random(seed)

        def stalls(pattern: str) -> Iterator[bool]:
            return waits(pattern, random.Random(rng.random()))

        beats = play["beats"]
        sources = [
            Source(dut, pin, beats[pin["link"]], stalls(source), rng) for pin in self.described["taken"]
        ]
        sinks = [Sink(dut, pin, beats[pin["link"]], stalls(sink)) for pin in self.described["sent"]]
        dut.segment.value, dut.round.value, dut.start.value = play["segment"], play["round"], 1
        await RisingEdge(dut.ap_clk)
        dut.start.value = 0
        cycles = silence = quiet = 0
        while quiet < QUIET:
            offers, takes = [s.step() for s in sources], [s.step() for s in sinks]
            dut.offered.value, dut.accepts.value = bits(offers), bits(takes)
            await FallingEdge(dut.ap_clk)
            ready, sends, dones = int(dut.takes.value), int(dut.sends.value), int(dut.dones.value)
            busy = False
            self.check_done(sources, sinks, dones)
            for i, s in enumerate(sources):
                if offers[i] and ready >> i & 1:
                    s.taken()
                    busy = True
            for i, k in enumerate(sinks):
                if sends >> i & 1:
                    k.sent(takes[i])
                    busy = True
            broken = int(dut.broken.value)
            assert not broken, [k.name for i, k in enumerate(sinks) if broken >> i & 1]
            over = dones == (1 << len(self.nodes)) - 1
            if over and last and not quiet:
                self.memory.check()
            quiet = quiet + 1 if over else 0
            silence = 0 if busy or over else silence + 1
            assert silence < SILENCE, self.hanging(sources, sinks, dones)
            await RisingEdge(dut.ap_clk)
            cycles += 1
            if cycles == limit:
                return cycles
        dut.offered.value, dut.accepts.value = 0, 0
        return cycles

    def check_done(self, sources: list[Source], sinks: list[Sink], dones: int) -> None:
        unanswered = int(self.dut.unanswered.value)  # a store has bursts without a response
        for i, node in enumerate(self.nodes):
            whole = all(sources[s].whole for s in node["takes"]) and all(
                sinks[s].whole for s in node["sends"]
            )
            answered = not unanswered >> i & 1
            assert (whole and answered) or not dones >> i & 1, f"{node['name']} is done too early"
            node_was_done = node.get("done", False) and whole
            assert dones >> i & 1 or not node_was_done, f"{node['name']} is not done any more"
            node["done"] = bool(dones >> i & 1)

    def hanging(self, sources: list[Source], sinks: list[Sink], dones: int) -> str:
        waiting = [f"{s.name}: {s.sent} of {len(s.beats)} taken" for s in sources if not s.whole]
        waiting += [f"{k.name}: {k.got} of {len(k.beats)} sent" for k in sinks if not k.whole]
        waiting += [f"{n['name']} is not done" for i, n in enumerate(self.nodes) if not dones >> i & 1]
        return "it hangs; " + ", ".join(waiting)


@cocotb.test()
async def random_stalls(dut: Any) -> None:
    """All runs one behind the other, without a reset in between unless a run is left in the middle."""
    described = json.loads(Path(os.environ["INTAR_PINS"]).read_text())
    Clock(dut.ap_clk, 4, unit="ns").start()
    bench = Bench(dut, described)
    await bench.reset()
    for run in described["runs"]:
        bench.memory.fill(dut, run["latency"], run["stall"], run["seed"])
        cycles = []
        for index, play in enumerate(described["plays"]):
            for node in bench.nodes:
                node["done"] = False
            last = play is described["plays"][-1]
            seed, leave = run["seed"] + index, run["leave"]
            cycles.append(await bench.play(play, run["source"], run["sink"], seed, leave, last))
            if leave:
                await bench.reset()
                break
        dut._log.info("%s: %s cycles", run, cycles)
