"""Modules of vector units with a state of their own: loads, parameters of groups, settings of steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import gcd
from typing import NamedTuple

from pipelines import pins
from units import Unit, listing

from intar.codegen.rtl_nodes.program import pack, step_bits
from intar.codegen.rtl_nodes.vector import VECTOR
from intar.ir.nodes.vector import set_places


@dataclass(frozen=True)
class TableLoad:
    unit: Unit
    lanes: int
    numbers: int  # taken a cycle
    width: int
    parts: int


def table_load(lanes: int, width: int, parts: int) -> TableLoad:
    numbers = gcd(lanes, 4)
    flags = {"SLOPES": f"1'b{int(parts > 1)}", "CURVES": f"1'b{int(parts > 2)}"}
    parameters = {"LANES": lanes, "WIDTH": width, "ENTRY_BITS": 13} | flags
    inputs = pins("start 1 go 1 first 13 entries_end 16 bounds 41") | {"data": lanes * 32}
    outputs = pins("take 1 last 1 write_base 1 write_slope 1 write_curve 1 write_at 13")
    outputs |= {"write_data": numbers * 32}
    return TableLoad(Unit("intar_table_load", parameters, inputs, outputs), lanes, numbers, width, parts)


TABLE_LOADS = {
    "load_bytes": table_load(4, 8, 1),
    "load_halves": table_load(8, 16, 1),
    "load_results": table_load(6, 32, 1),
    "load_slopes": table_load(12, 16, 2),
    "load_curves": table_load(3, 32, 3),
}


# ---------------------------------------------------------------- parameters, loads and settings of vector units


class ParamsStep(NamedTuple):
    """`count` groups by ``lane`` or by ``row``, or beats of a ``load``; ``none`` passes at once."""

    kind: str
    count: int = 1
    block: int = 1
    first: int = 0


@dataclass(frozen=True)
class VectorParams:
    unit: Unit
    lanes: int
    group_bits: int
    steps: tuple[ParamsStep, ...]

    @property
    def places(self) -> int:
        """Sets by row in a beat."""
        return set_places(self.lanes)


def vector_params(lanes: int, group_bits: int, *steps: ParamsStep) -> VectorParams:
    words = []
    for kind, count, block, first in steps:
        word = {"per_channel": kind in ("lane", "row"), "by_row": kind == "row", "load": kind == "load"}
        word["groups_end"] = count - 1 if word["per_channel"] else 0
        word |= {"load_first": block - 1, "load_end": first} if kind == "row" else {}
        words.append(pack(VECTOR, word, kind))
    kinds = {kind for kind, *_ in steps}
    flags = {"LANE_PARAMS": "lane" in kinds, "ROW_PARAMS": "row" in kinds, "LOADS": "load" in kinds}
    parameters: dict[str, int | str] = {"LANES": lanes, "GROUP": group_bits, "STEPS": len(steps)}
    parameters |= {name: f"1'b{int(flag)}" for name, flag in flags.items()}
    parameters["PROGRAM"] = listing(step_bits(VECTOR), words)
    inputs = pins("start 1 segment 8 round 16 params_valid 1 load_take 1 load_end 1 drop 1")
    inputs |= {"params_data": lanes * 32}
    outputs = pins("params_ready 1 at_load 1 full 1 row_values 128")
    widths = {"mults": 32, "shifts": 6, "lows": 32, "highs": 16, "groups": group_bits}
    outputs |= {f"lane_{name}": lanes * bits for name, bits in widths.items()}
    return VectorParams(Unit("intar_vector_params", parameters, inputs, outputs), lanes, group_bits, steps)


LANE, ROW, NONE, LOAD = (partial(ParamsStep, kind) for kind in ("lane", "row", "none", "load"))
VECTOR_PARAMS = {
    "params_lanes": vector_params(4, 3, LANE(5), NONE(), LANE(1), LANE(3)),
    "params_rows": vector_params(2, 1, ROW(7), NONE(), NONE(), ROW(2)),
    "params_sets": vector_params(12, 1, ROW(8, 4, 2), NONE(), ROW(5, 5), ROW(2, 1, 1)),
    "params_places": vector_params(18, 2, ROW(9, 9, 3), LANE(2), ROW(4, 2), LOAD(2)),
    "params_loads": vector_params(1, 1, LOAD(3), NONE(), LOAD(1)),
    "params_all": vector_params(3, 12, LOAD(4), LANE(2), ROW(5), NONE(), LOAD(1), ROW(1), LANE(4)),
}


@dataclass(frozen=True)
class VectorLoad:
    unit: Unit
    tables: TableLoad | None
    lanes: int
    sets: bool


def vector_load(lanes: int, tables: TableLoad | None, sets: bool) -> VectorLoad:
    flags = {"TABLE": f"1'b{int(tables is not None)}", "RATIONAL": f"1'b{int(sets)}"}
    parameters = {"LANES": lanes, "ENTRY_BITS": 13, "SET_BITS": 9} | flags
    if tables:
        parameters |= {name: tables.unit.parameters[name] for name in ("WIDTH", "SLOPES", "CURVES")}
    inputs = pins("start 1 go 1") | {"step": step_bits(VECTOR), "data": lanes * 32}
    outputs = pins("take 1 last 1 write_words 11 write_set 9 write_set_data 352")
    outputs |= pins("write_base 1 write_slope 1 write_curve 1 write_at 13") | {
        "write_data": gcd(lanes, 4) * 32
    }
    return VectorLoad(Unit("intar_vector_load", parameters, inputs, outputs), tables, lanes, sets)


VECTOR_LOADS = {
    "memory_tables": vector_load(8, table_load(8, 16, 1), False),
    "memory_sets": vector_load(3, None, True),
    "memory_both": vector_load(12, table_load(12, 32, 3), True),
}


@dataclass(frozen=True)
class VectorSettings:
    unit: Unit
    fields: dict[str, tuple[str, str, int]]  # of a pin: the step's first and last field, after how many moves


def vector_settings(**given: bool) -> VectorSettings:
    names = ("AFFINE", "BINARY", "MERGED", "RATIONAL", "TABLE", "SLOPES", "CURVES")
    flag = {name: given.get(name.lower(), False) for name in names}
    widths = (
        "affine_bounds 54 binary_zeros 36 binary_scale 72 binary_bounds 54 rational_where 38 rational_fine 1"
    )
    widths += " rational_used 1 rational_bounds 54 table_index 41 table_use 1 table_round 5 table_bounds 41"
    parameters = {name: f"1'b{int(on)}" for name, on in flag.items()}
    inputs = {"move": 1, "step": step_bits(VECTOR)}
    unit = Unit("intar_vector_settings", parameters, inputs, pins(widths), ("clk",))
    alone = flag["AFFINE"] and not flag["MERGED"]
    a = 8 if alone else 1
    b = a + 8 * flag["BINARY"]
    c = b + 19 * flag["RATIONAL"]
    end = c + (7 if flag["CURVES"] else 5 if flag["SLOPES"] else 2)
    found = {"affine_bounds": ("zero", "hi", 7)} if alone else {}
    if flag["BINARY"]:
        found |= {"binary_zeros": ("b_zx", "b_zy", a), "binary_bounds": ("b_zero", "b_hi", a + 7)}
        found["binary_scale"] = ("b_mx", "multiply", a + 2)
    if flag["RATIONAL"]:
        found |= {"rational_where": ("rational_zero", "rational_first", b)}
        found |= {"rational_fine": ("rational_fine", "rational_fine", b + 17)}
        found |= {"rational_used": ("rational_used", "rational_used", b + 18)}
        found |= {"rational_bounds": ("rational_out", "rational_hi", b + 18)}
    if flag["TABLE"]:
        found |= {
            "table_index": ("table_half", "table_log", c),
            "table_use": ("table_use", "table_use", end - 1),
        }
    if flag["SLOPES"]:
        found |= {
            "table_round": ("table_q", "table_q", end - 2),
            "table_bounds": ("table_q", "table_hi", end - 1),
        }
    return VectorSettings(unit, found)


VECTOR_SETTINGS = {
    "settings_none": vector_settings(),
    "settings_affine": vector_settings(affine=True, table=True),
    "settings_merged": vector_settings(affine=True, binary=True, merged=True, table=True, slopes=True),
    "settings_rational": vector_settings(binary=True, rational=True),
    "settings_all": vector_settings(
        affine=True, binary=True, rational=True, table=True, slopes=True, curves=True
    ),
}


UNITS: dict[str, Unit] = {}
for group in (TABLE_LOADS, VECTOR_PARAMS, VECTOR_LOADS, VECTOR_SETTINGS):
    UNITS |= {name: made.unit for name, made in group.items()}
