"""Instances of library modules whose pins a bench drives itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intar.codegen.rtl_nodes.program import Layout


@dataclass(frozen=True)
class Unit:
    """A module with its parameters; `inputs` and `outputs` are its pins and their bits, without clock and reset."""

    module: str
    parameters: Mapping[str, int | str]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    clocks: tuple[str, ...] = ("clk", "rst_n")


def instance(module: str, parameters: Mapping[str, int | str], name: str, pins: Mapping[str, str]) -> str:
    values = ", ".join(f".{key}({value})" for key, value in parameters.items())
    return f"  {module} #({values}) {name} (" + ", ".join(f".{k}({v})" for k, v in pins.items()) + ");\n"


def text(name: str, unit: Unit) -> str:
    """The instance `name` and a signal ``<name>_<pin>`` for each of its pins; inputs begin at 0."""
    made = "".join(f"  logic [{bits - 1}:0] {name}_{pin} = 0;\n" for pin, bits in unit.inputs.items())
    made += "".join(f"  logic [{bits - 1}:0] {name}_{pin};\n" for pin, bits in unit.outputs.items())
    pins = {clock: clock for clock in unit.clocks} | {p: f"{name}_{p}" for p in (*unit.inputs, *unit.outputs)}
    return made + instance(unit.module, unit.parameters, name, pins)


def literal(bits: int, value: int) -> str:
    """A SystemVerilog constant."""
    return f"{bits}'h{value & ((1 << bits) - 1):x}"


def packed(values: Sequence[int], bits: int) -> int:
    """So many bits of each value, the first one lowest."""
    return sum((v & ((1 << bits) - 1)) << (bits * i) for i, v in enumerate(values))


def listing(bits: int, values: Sequence[int]) -> str:
    """A parameter with these words, the first one lowest."""
    return literal(bits * len(values), packed(values, bits))


def bits_of(layout: Layout, word: int, first: str, last: str) -> int:
    """The fields of `word` from `first` to `last`."""
    offset, begin, end = 0, 0, 0
    for name, bits in layout:
        begin = offset if name == first else begin
        offset += bits
        end = offset if name == last else end
    return word >> begin & ((1 << (end - begin)) - 1)


def signed(value: int, bits: int) -> int:
    """What a pin of `bits` bits holds, as a signed number."""
    return value - (1 << bits) if value >> (bits - 1) & 1 else value
