"""The passes of a rows node: the instances that the benches in `rows_passes_cocotb` drive, and their references."""

from __future__ import annotations

import random
from dataclasses import dataclass

from engine_model import Model, unpacked
from pipelines import pins
from random_rows import random_norm, random_tables
from units import Unit, literal, packed

from intar.codegen.rtl_nodes.functions import SLOT_LOAD, lookup_parameters
from intar.codegen.rtl_nodes.program import step_bits
from intar.codegen.rtl_nodes.rows import loads_rom
from intar.ir.nodes.rows import Rows

KINDS = {"softmax": 0, "norm": 1, "unit": 2, "peak": 3}


def flag(value: bool) -> str:
    return f"1'b{int(value)}"


def slice_bits(lanes: int, rate: int) -> int:
    """Bits of the number of a slice in its beat."""
    return max(1, (lanes // rate - 1).bit_length())


@dataclass(frozen=True)
class Maximum:
    unit: Unit
    rate: int
    bits: int
    peak: bool


def maximum(rate: int, bits: int, peak: bool) -> Maximum:
    inputs = pins("go 1 first 1 heights 1") | {"used": rate, "slice": rate * bits}
    parameters = {"RATE": rate, "BITS": bits, "PEAK": flag(peak)}
    return Maximum(Unit("intar_rows_maximum", parameters, inputs, {"top": bits}, ("clk",)), rate, bits, peak)


MAXIMA = {"row_maximum": maximum(4, 8, False), "row_height8": maximum(1, 8, True)}
MAXIMA["row_height16"] = maximum(3, 16, True)


@dataclass(frozen=True)
class Terms:
    unit: Unit
    rate: int
    bits: int
    ops: tuple[str, ...]


def terms(rate: int, bits: int, *ops: str) -> Terms:
    inputs = pins("go 1 first 1 last 1 kind 2 centred 1 lift 4 mult 25 shift 6")
    inputs |= {"used": rate, "values": rate * bits, "top": bits}
    outputs = pins("terms_valid 1 sums_valid 1 total 41 sum 32 squares 46") | {"terms": rate * 25}
    kinds = {"SOFTMAX": "softmax" in ops, "NORM": "norm" in ops, "PEAK": "unit" in ops}
    parameters = {"RATE": rate, "BITS": bits} | {name: flag(kind) for name, kind in kinds.items()}
    return Terms(Unit("intar_rows_terms", parameters, inputs, outputs), rate, bits, ops)


TERMS = {
    "terms_powers": terms(2, 8, "softmax"),
    "terms_elements": terms(3, 8, "norm"),
    "terms_peaks": terms(1, 16, "unit", "peak"),
    "terms_all8": terms(4, 8, "softmax", "norm", "unit", "peak"),
    "terms_all16": terms(2, 16, "softmax", "norm", "unit", "peak"),
}


@dataclass(frozen=True)
class Divisions:
    unit: Unit
    dividers: int
    slots: int
    ops: tuple[str, ...]


def divisions(dividers: int, slot_bits: int, *ops: str) -> Divisions:
    inputs = pins(
        "start 1 valid 1 kind 2 numerator 61 shift 6 out_shift 6 total 41 count 16 sum 32 squares 46"
    )
    outputs = pins("go 1 ready 1 quotient 19 down 6") | {"ready_slot": slot_bits}
    kinds = {"DIVIDE": {"softmax", "unit"} & {*ops}, "NORM": "norm" in ops, "PEAK": "peak" in ops}
    parameters = {"DIVISIONS": dividers, "SLOT_BITS": slot_bits}
    parameters |= {name: flag(bool(kind)) for name, kind in kinds.items()}
    return Divisions(Unit("intar_rows_divisions", parameters, inputs, outputs), dividers, 1 << slot_bits, ops)


DIVISIONS = {
    "divisions_one": divisions(1, 2, "softmax"),
    "divisions_roots": divisions(1, 2, "norm"),
    "divisions_peaks": divisions(2, 2, "unit", "peak"),
    "divisions_all": divisions(3, 3, "softmax", "norm", "unit", "peak"),
}


@dataclass(frozen=True)
class Columns:
    unit: Unit
    lanes: int
    rate: int
    bits: int
    group_bits: int


def columns(lanes: int, rate: int, bits: int, group_bits: int) -> Columns:
    inputs = pins("start 1 params_valid 1 next 1 move 1 count 16 sum 32 root 19 down 6 q 6 limits 54")
    inputs |= {"slice": slice_bits(lanes, rate), "params_data": lanes * 32, "values": rate * 16}
    outputs = pins("params_ready 1 valid 1")
    outputs |= {"groups": rate * max(1, group_bits), "results": rate * bits}
    parameters = {"LANES": lanes, "RATE": rate, "BITS": bits, "GROUP_BITS": group_bits}
    unit = Unit("intar_rows_columns", parameters, inputs, outputs)
    return Columns(unit, lanes, rate, bits, group_bits)


COLUMNS = {
    "columns_beats": columns(2, 2, 16, 0),
    "columns_slices": columns(4, 1, 8, 3),
    "columns_wide": columns(4, 2, 18, 7),
}


@dataclass(frozen=True)
class Lookups:
    unit: Unit
    node: Rows
    beats: tuple[tuple[int, ...], ...]
    cells: tuple[list[list[int]], ...]  # of each slot: bases, slopes, curves
    result: int

    @property
    def latency(self) -> int:
        """Moves from a place to its result."""
        return self.result + (7 if self.node.curves else 5 if self.node.slopes else 2)

    def look_up(self, slot: int, group: int, value: int) -> int:
        return Model.look_up(self.node.tables[slot], self.cells[slot], group, value)


def lookups(lanes: int, rate: int, result: int, parts: int) -> Lookups:
    """Two random tables with so many memories."""
    seed = 0
    while True:
        rng = random.Random(seed)
        given, contents = random_tables(rng, lanes)
        if 1 + given["slopes"] + given["curves"] == parts:
            break
        seed += 1
    step = random_norm(rng, lanes, {"zero": 0, "lo": -128, "hi": 127, "table": 1}, 8)
    node = Rows(name="rows", lanes=lanes, rate=rate, bits=8, depth=1, steps=(step,), **given)
    cells: dict[int, list[list[int]]] = {}
    taken = iter(contents)
    for load in node.loads:
        entries, per_beat = node.tables[load.table].entries, 32 // node.entry_bits * lanes
        found = []
        for _ in range(parts):
            numbers = [number for _ in range(-(-entries // per_beat)) for number in next(taken)]
            found.append([entry for number in numbers for entry in unpacked(number, node.entry_bits)])
        cells[load.table] = found + [[0] * len(found[0])] * (3 - parts)
    words, bits = loads_rom(node).steps, step_bits(SLOT_LOAD)
    parameters = {"LANES": lanes, "RATE": rate, "BITS": 8, "RESULT": result}
    parameters |= {"SLOPES": flag(node.slopes), "CURVES": flag(node.curves)}
    parameters |= {name: str(value) for name, value in lookup_parameters(node)}
    parameters |= {"LOAD_STEPS": len(words), "LOAD_PROGRAM": literal(bits * len(words), packed(words, bits))}
    inputs = pins("start 1 segment 8 round 16 tables_valid 1 move 1 place 82")
    inputs |= {"tables_data": lanes * 32, "groups": rate * max(1, node.group_bits), "values": rate * 18}
    outputs = pins("tables_ready 1 filled 1") | {"results": rate * 8}
    unit = Unit("intar_rows_lookups", parameters, inputs, outputs)
    beats = tuple(tuple(beat) for beat in contents)
    return Lookups(unit, node, beats, tuple(cells[slot] for slot in range(2)), result)


LOOKUPS = {
    "lookups_whole": lookups(4, 2, 3, 1),
    "lookups_slopes": lookups(2, 2, 6, 2),
    "lookups_curves": lookups(8, 1, 12, 3),
}


@dataclass(frozen=True)
class Results:
    unit: Unit
    lanes: int
    rate: int
    bits: int
    kinds: tuple[int, ...]
    tables: Lookups | None
    moves: int  # from the last slice of a beat to the beat, where it is not looked up


def results(lanes: int, rate: int, bits: int, *ops: str, parts: int = 0) -> Results:
    """With tables of so many memories, if any."""
    tables = lookups(lanes, rate, 12 if "norm" in ops else 6, parts) if parts else None
    group_bits = tables.node.group_bits if tables else 0
    kinds = {"SOFTMAX": "softmax" in ops, "NORM": "norm" in ops, "PEAK": "unit" in ops, "TABLE": bool(parts)}
    parameters: dict[str, int | str] = {"LANES": lanes, "RATE": rate, "BITS": bits}
    parameters |= {name: flag(kind) for name, kind in kinds.items()}
    if tables:
        parameters = {**tables.unit.parameters, **parameters, "GROUP_BITS": group_bits}
        del parameters["RESULT"]
    inputs = pins("start 1 segment 8 round 16 valid 1 kind 2 look_up 1 slice_last 1 count 16 sum 32")
    inputs |= pins("ratio 19 down 6 q 6 limits 54 place 82 params_valid 1 tables_valid 1 out_ready 1")
    inputs |= {
        "slice": slice_bits(lanes, rate),
        "shares": rate * 25,
        "params_data": lanes * 32,
        "tables_data": lanes * 32,
    }
    outputs = pins("idle 1 go 1 move 1 params_ready 1 tables_ready 1 out_valid 1") | {
        "out_data": lanes * bits
    }
    unit = Unit("intar_rows_results", parameters, inputs, outputs)
    moves = 13 if "norm" in ops else 7
    return Results(unit, lanes, rate, bits, tuple(KINDS[op] for op in ops), tables, moves)


RESULTS = {
    "results_powers": results(4, 2, 8, "softmax"),
    "results_columns": results(2, 2, 16, "norm"),
    "results_all": results(4, 1, 16, "softmax", "norm", "unit", "peak"),
    "results_tables": results(4, 2, 8, "softmax", "norm", "unit", parts=1),
    "results_curves": results(2, 1, 8, "softmax", parts=3),
}

UNITS: dict[str, Unit] = {
    name: made.unit
    for group in (MAXIMA, TERMS, DIVISIONS, COLUMNS, LOOKUPS, RESULTS)
    for name, made in group.items()
}
