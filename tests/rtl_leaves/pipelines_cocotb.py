"""cocotb: every pipeline side by side, each with random stalls of its own, against its function in plain integers.

While a pipeline stands still its operands are noise: nothing may be taken, and its result has to stay.
"""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge
from pipelines import Item, Pipeline
from stalls import PATTERNS, waits
from streams_cocotb import start
from unit_top import PIPELINES

ITEMS = int(os.environ.get("INTAR_ITEMS", "150"))  # for each pipeline and pattern of stalls


class Running:
    """A pipeline, and the items that have been sent into it."""

    def __init__(self, dut: Any, name: str, pipeline: Pipeline, pattern: str, seed: int):
        self.pins = {pin: getattr(dut, f"{name}_{pin}") for pin in pipeline.unit.inputs}
        self.out = getattr(dut, f"{name}_{pipeline.output}")
        self.name, self.pipeline, self.rng = name, pipeline, random.Random(f"{name} {seed}")
        self.stalls = waits(pattern, random.Random(seed))
        self.items: list[Item] = []
        self.held = False

    def drive(self) -> None:
        """Operands of this cycle; those of an item come in several moves."""
        self.held = self.pipeline.stalls and next(self.stalls)
        if "move" in self.pins:
            self.pins["move"].value = int(not self.held)
        if not self.held:
            self.items.append(self.pipeline.make(self.rng))
        for pin, (operand, moves) in self.pipeline.operands.items():
            bits, item = self.pipeline.unit.inputs[pin], len(self.items) - 1 - moves
            value = self.rng.getrandbits(bits) if self.held or item < 0 else int(self.items[item][operand])
            self.pins[pin].value = value & ((1 << bits) - 1)

    def check(self) -> None:
        """What stands at the output is the result of the item that came `latency` moves ago."""
        item = len(self.items) - (0 if self.held else 1) - self.pipeline.latency
        if item >= 0:
            bits = self.pipeline.unit.outputs[self.pipeline.output]
            wanted = self.pipeline.result(self.items[item]) & ((1 << bits) - 1)
            got = int(self.out.value)
            assert got == wanted, (
                f"{self.name}: {got:#x} instead of {wanted:#x} for item {item}: {self.items[item]}"
            )


async def set_up(dut: Any) -> None:
    """Fill the memories, all pipelines at once."""
    writes = {name: list(pipeline.setup) for name, pipeline in PIPELINES.items()}
    for cycle in range(max(map(len, writes.values())) + 1):
        for name, todo in writes.items():
            before = todo[cycle - 1] if 0 < cycle <= len(todo) else {}
            now = todo[cycle] if cycle < len(todo) else {}
            for pin in before | now:
                getattr(dut, f"{name}_{pin}").value = now.get(pin, 0)
        await RisingEdge(dut.clk)


@cocotb.test()
async def functions(dut: Any) -> None:
    await start(dut)
    await set_up(dut)
    for seed, pattern in enumerate(PATTERNS):
        running = [Running(dut, name, p, pattern, seed) for name, p in PIPELINES.items()]
        while min(len(r.items) for r in running) < ITEMS:
            for r in running:
                r.drive()
            await FallingEdge(dut.clk)
            for r in running:
                r.check()
            await RisingEdge(dut.clk)
