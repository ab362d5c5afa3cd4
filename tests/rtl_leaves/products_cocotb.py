"""cocotb: every product of every combination of operands that a packed multiplier can see."""

from __future__ import annotations

import os
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles
from products_top import KINDS, name
from streams_cocotb import start


@cocotb.test()
async def all_operands(dut: Any) -> None:
    await start(dut)
    for kind in KINDS[os.environ["INTAR_KINDS"]]:
        done, seen, errors = (getattr(dut, f"{name(kind)}_{pin}") for pin in ("done", "seen", "errors"))
        while not int(done.value):
            await ClockCycles(dut.clk, 256)
        assert int(seen.value) * 256 == 1 << (kind.a_bits + kind.pack * kind.w_bits)
        assert int(errors.value) == 0, (
            f"{name(kind)}: {int(errors.value)} of {int(seen.value)} cycles are wrong"
        )
