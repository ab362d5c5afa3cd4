"""Whether rational functions are tables or evaluated: what a vector lane takes for them, and the cycles of loading them."""

from __future__ import annotations

from dataclasses import dataclass

from intar.ir.bits import signed_bits
from intar.ir.packing import array_blocks, products_at_once
from intar.ir.quantgraph import DirectSpec, Quantised, TableSpec, operand_bits
from intar.ir.schedule import Machine
from intar.schedule import sizes
from intar.schedule.solve import lower_bounds
from intar.schedule.work import ceil_div

LUTS_OF_A_DSP, DSPS_OF_A_RAMB18 = 150, 2.0
"""What blocks are worth: about as many as UltraScale+ parts have of each beside the other."""

LUTRAM_ENTRIES = 512
"""Larger tables lie in block memories."""

LUTRAM_BITS, RAMB18_BITS, RAMB18_WIDTH = 48, 18432, 36
"""Bits of a memory in one LUT, with what addresses it; bits and greatest width of half a block memory."""


@dataclass(frozen=True)
class Lane:
    """Blocks that a lane of a vector unit takes."""

    dsp: int = 0
    ramb18: int = 0
    lut: int = 0

    def __add__(self, other: Lane) -> Lane:
        return Lane(self.dsp + other.dsp, self.ramb18 + other.ramb18, self.lut + other.lut)

    @property
    def area(self) -> float:
        """In DSP blocks."""
        return self.dsp + self.lut / LUTS_OF_A_DSP + self.ramb18 * DSPS_OF_A_RAMB18


PLAIN = Lane(2, 0, 565)
"""Without a function."""

LOGIC = {
    "table": Lane(0, 0, 110),
    "pieces": Lane(1, 0, 510),
    "curves": Lane(2, 0, 520),
    "direct": Lane(11, 0, 1370),
}
"""Of a function besides its memory, by what builds it (`benchmarks/lane_tables.py`)."""

SET_BITS = 32 + 9 * 25 + 10
"""Of a group's coefficients."""


def lane(quantised: Quantised) -> Lane:
    """A lane with all functions of a network."""
    specs = [task.table for task in quantised.graph.tasks if task.table is not None]
    made, tables = PLAIN, [spec for spec in specs if isinstance(spec, TableSpec)]
    direct = [spec for spec in specs if isinstance(spec, DirectSpec)]
    if direct:
        bits = SET_BITS * sum(spec.groups for spec in direct)
        made += LOGIC["direct"] + Lane(lut=bits // LUTRAM_BITS)
    if tables:
        kinds = {role for spec in tables for role in spec.arrays}
        made += LOGIC["curves" if "curve" in kinds else "pieces" if "slope" in kinds else "table"]
        entries = sum(spec.entries for spec in tables)
        for role in kinds:
            arrays = [quantised.constants[spec.arrays[role]] for spec in tables if role in spec.arrays]
            width = max(signed_bits(int(array.min()), int(array.max())) for array in arrays)
            made += _memory(entries, width)
    return made


def _memory(entries: int, width: int) -> Lane:
    """Four entries are written a cycle, so they lie side by side."""
    if entries <= LUTRAM_ENTRIES:
        return Lane(lut=entries * width // LUTRAM_BITS)
    blocks = max(ceil_div(entries * width, RAMB18_BITS), ceil_div(4 * width, RAMB18_WIDTH))
    return Lane(ramb18=blocks)


def load_cycles(quantised: Quantised, machine: Machine) -> int:
    """Cycles in which a vector unit is filled with all functions of a network."""
    specs = [task.table for task in quantised.graph.tasks if task.table is not None]
    tables = [spec for spec in specs if isinstance(spec, TableSpec)]
    total = sum(sizes.table_load_cycles(spec, tables, machine) for spec in tables)
    return total + sum(
        sizes.direct_load_cycles(spec.groups, machine) for spec in specs if isinstance(spec, DirectSpec)
    )


def dsp_blocks(quantised: Quantised, machine: Machine, multiplier: tuple[int, int]) -> int:
    """DSP blocks of the arrays and of all vector lanes; `multiplier` are the bits of a block's factors."""
    return _arrays(quantised, machine, multiplier) + machine.cores * machine.rate * lane(quantised).dsp


def weight(quantised: Quantised, machine: Machine, multiplier: tuple[int, int]) -> float:
    """Area times time of a network: DSP blocks (LUTs and memories converted) of the arrays and all vector lanes, times the
    least cycles of its tasks and those of loading its functions."""
    lanes = machine.cores * machine.rate * lane(quantised).area
    floor = max(lower_bounds(quantised.graph, machine).values())
    return (_arrays(quantised, machine, multiplier) + lanes) * (floor + load_cycles(quantised, machine))


def _arrays(quantised: Quantised, machine: Machine, multiplier: tuple[int, int]) -> int:
    products = products_at_once(*operand_bits(quantised.graph), multiplier)
    return array_blocks(machine.cores, machine.rows * machine.depth, machine.lanes, products)
