"""Lanes of vector units as pipelines: parameters from the renderer, settings from step programs, results from the model."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

from engine_model import Model, clamp
from extreme_programs import edge, wide_vector
from pipelines import Item, Pipeline, at, pins
from random_vectors import random_sets, random_vector
from units import Unit, bits_of, packed

from intar.codegen.rtl import instances
from intar.codegen.rtl_nodes.functions import table_words
from intar.codegen.rtl_nodes.program import step_bits
from intar.codegen.rtl_nodes.vector import VECTOR, vector_rom
from intar.ir.nodes.vector import UNIT_MULT, Rational, Vector, VectorStep
from intar.ir.program import Program

MEMORY = ("TABLE_ENTRIES", "GROUP_BITS", "BASE_BITS", "SLOPE_BITS", "CURVE_BITS", "WIDTH")
"""Parameters of the memory of tables, of a lane and of its look-up."""


def lane(program: Program, seed: int) -> Pipeline:
    """A lane of the vector unit of `program`, with the parameters of the kernel; each operand has a step of its own."""
    node = next(n for n in program.nodes if isinstance(n, Vector))
    rendered = dict(instances(program)[node.name].parameters)
    names = [
        *("AFFINE", "BINARY", "MERGED", "PRODUCT", "SHIFT_ONLY", "VALUE_BITS", "TABLE", "SLOPES", "CURVES"),
        *("RATIONAL", "SETS", *MEMORY),
    ]
    write = table_words(node)[0]
    parameters = {name: str(rendered[name]) for name in names} | {"WRITE": write}
    entries = int(str(rendered["TABLE_ENTRIES"]))
    entry_bits = max(1, (entries - 1).bit_length())
    flags = {name: rendered[name] == "1'b1" for name in names}
    inputs = pins("move 1 source 48 bias 48 mult 32 shift 6 operand 18 affine_bounds 54 binary_zeros 36")
    inputs |= pins(
        "binary_scale 72 binary_bounds 54 table_index 41 table_use 1 table_round 5 table_bounds 41"
    )
    sets = int(str(rendered["SETS"]))
    inputs |= pins("rational_where 38 rational_fine 1 rational_used 1 rational_bounds 54")
    inputs |= pins("write_words 11 write_set_data 352") | {"write_set": max(1, (sets - 1).bit_length())}
    inputs |= pins("write_base 1 write_slope 1 write_curve 1")
    inputs |= {
        "group": max(1, node.group_bits),
        "write_at": entry_bits,
        "write_data": node.entry_bits * write,
    }
    unit = Unit("intar_vector_lane", parameters, inputs, pins("result 18"), ("clk",))
    a = 8 if flags["AFFINE"] and not flags["MERGED"] else 1
    b = a + (8 if flags["BINARY"] else 0)
    latency = c = b + 19 * flags["RATIONAL"]
    if flags["TABLE"]:
        latency += 7 if flags["CURVES"] else 5 if flags["SLOPES"] else 2
    operands = at(
        "source bias mult shift group operand affine_bounds+7 "
        f"binary_zeros+{a} binary_scale+{a + 2} binary_bounds+{a + 7} "
        f"rational_where+{b} rational_fine+{b + 17} rational_used+{b + 18} rational_bounds+{b + 18} "
        f"table_index+{c} table_use+{latency - 1} table_round+{latency - 2} table_bounds+{latency - 1}"
    )
    words = [(s, w) for s, w in zip(node.steps, vector_rom(node).steps, strict=True) if s.load < 0]
    tables = {slot: _contents(node, slot, random.Random(seed + slot)) for slot in range(len(node.slots))}

    def make(rng: random.Random) -> Item:
        step, word = rng.choice(words)
        source, operand, params = element(node, step, rng)
        item = {"source": source, "operand": operand, "group": params[1] >> 16}
        item |= {name: bits_of(VECTOR, word, name, name) for name in ("mult", "shift", "bias")}
        if step.per_channel and step.affine:
            item |= {"mult": params[0], "shift": params[1] & 63, "bias": params[2]}
        for name, first, last in (
            ("affine_bounds", "zero", "hi"),
            ("binary_zeros", "b_zx", "b_zy"),
            ("binary_bounds", "b_zero", "b_hi"),
            ("rational_where", "rational_zero", "rational_first"),
            ("rational_fine", "rational_fine", "rational_fine"),
            ("rational_used", "rational_used", "rational_used"),
            ("rational_bounds", "rational_out", "rational_hi"),
            ("table_index", "table_half", "table_log"),
            ("table_use", "table_use", "table_use"),
            ("table_round", "table_q", "table_q"),
            ("table_bounds", "table_q", "table_hi"),
        ):
            item[name] = bits_of(VECTOR, word, first, last)
        item["binary_scale"] = (
            bits_of(VECTOR, word, "b_mx", "multiply") | bits_of(VECTOR, word, "affine", "affine") << 71
        )
        item["expected"] = Model.chain(node, step, source, operand, params, tables)
        return item

    setup = list(_table_writes(node, tables, write))
    return Pipeline(unit, operands, "result", latency, make, lambda item: item["expected"], setup)


def element(node: Vector, step: VectorStep, rng: random.Random) -> tuple[int, int, list[int]]:
    """Source, operand and parameters (multiplier, shift and group, bias low, bias high) of one element of a step."""
    source_bits = min(node.value_bits - 2, node.acc_bits, 46) if step.source == "acc" else node.bits
    source, operand = edge(rng, source_bits), edge(rng, node.bits)
    group = rng.randrange(node.slots[step.table].groups) if step.table >= 0 else 0
    if not step.per_channel:
        return source, operand, [0, 0, 0, 0]
    mult = UNIT_MULT if node.shift_only else edge(rng, 32)
    bias = edge(rng, node.value_bits - 2)
    return source, operand, [mult, group << 16 | rng.choice((24, 31, 47, 62)), bias, bias >> 32]


def abreast(program: Program, seed: int) -> Pipeline:
    """All lanes of the vector unit of `program`: each operand is a slice of beats that are noise elsewhere."""
    node = next(n for n in program.nodes if isinstance(n, Vector))
    rendered = dict(instances(program)[node.name].parameters)
    one = lane(program, seed)
    names = ("LANES", "RATE", "ACC_BITS", "BITS", "HAS_ACC", "HAS_X", "LANE_PARAMS", "ROW_PARAMS", "SPREAD")
    parameters = {name: str(rendered[name]) for name in names} | one.unit.parameters
    slices = node.lanes // node.rate
    beats = {
        "acc_data": node.acc_bits,
        "x_data": node.bits,
        "y_data": node.bits,
        "lane_groups": max(1, node.group_bits),
    }
    beats |= {"lane_mults": 32, "lane_shifts": 6, "lane_lows": 32, "lane_highs": 16}
    writes = {pin: bits for pin, bits in one.unit.inputs.items() if pin.startswith("write_")}
    inputs = {
        "move": 1,
        "step": step_bits(VECTOR),
        "slice": max(1, (slices - 1).bit_length()),
        "row_values": 128,
    }
    inputs |= {pin: node.lanes * bits for pin, bits in beats.items()} | writes
    unit = Unit("intar_vector_lanes", parameters, inputs, {"results": node.rate * node.bits}, ("clk",))
    words = [(s, w) for s, w in zip(node.steps, vector_rom(node).steps, strict=True) if s.load < 0]
    tables = {slot: _contents(node, slot, random.Random(seed + slot)) for slot in range(len(node.slots))}

    def make(rng: random.Random) -> Item:
        step, word = rng.choice(words)
        place = rng.randrange(slices)
        item = {pin: rng.getrandbits(inputs[pin]) for pin in beats}
        item |= {"step": word, "slice": place, "expected": 0}
        _, factor, row = element(node, step, rng)
        item["row_values"] = packed(row, 32)
        if step.spread:
            item["y_data"] = item["y_data"] >> node.bits << node.bits | factor & ((1 << node.bits) - 1)
        for index in range(node.rate):
            source, operand, params = element(node, step, rng)
            operand = factor if step.spread else operand
            values = {f"{step.source}_data": source} | ({} if step.spread else {"y_data": operand})
            if step.per_channel and step.params == "row":
                params = row
            elif step.per_channel:
                shift = params[1] & 63
                values |= {"lane_mults": params[0], "lane_shifts": shift, "lane_groups": params[1] >> 16}
                values |= {"lane_lows": params[2], "lane_highs": params[3]}
            for pin, value in values.items():
                bits = beats[pin]
                at, mask = bits * (place * node.rate + index), (1 << bits) - 1
                item[pin] = item[pin] & ~(mask << at) | (value & mask) << at
            result = Model.chain(node, step, source, operand, params, tables)
            item["expected"] |= (result & ((1 << node.bits) - 1)) << node.bits * index
        return item

    operands = at(" ".join(["step", "slice", "row_values", *beats]))
    return Pipeline(unit, operands, "results", one.latency, make, lambda item: item["expected"], one.setup)


def lookup(program: Program, seed: int) -> Pipeline:
    """The tables of a lane of the vector unit of `program` by themselves."""
    node = next(n for n in program.nodes if isinstance(n, Vector))
    rendered = dict(instances(program)[node.name].parameters)
    names = ["SLOPES", "CURVES", *MEMORY]
    write = table_words(node)[0]
    parameters = {name: str(rendered[name]) for name in names} | {"WRITE": write}
    entry_bits = max(1, (node.table_entries - 1).bit_length())
    inputs = pins("move 1 value 18 table_index 41 table_use 1 table_round 5 table_bounds 41")
    inputs |= pins("write_base 1 write_slope 1 write_curve 1")
    inputs |= {
        "group": max(1, node.group_bits),
        "write_at": entry_bits,
        "write_data": node.entry_bits * write,
    }
    unit = Unit("intar_lookup", parameters, inputs, pins("result 18"), ("clk",))
    latency = 7 if node.curves else 5 if node.slopes else 2
    late = f"table_use+{latency - 1} table_round+{latency - 2} table_bounds+{latency - 1}"
    operands = at(f"value group table_index {late}")
    words = [
        (s, w)
        for s, w in zip(node.steps, vector_rom(node).steps, strict=True)
        if s.load < 0 and s.table < len(node.tables)
    ]
    tables = {slot: _contents(node, slot, random.Random(seed + slot)) for slot in range(len(node.slots))}

    def make(rng: random.Random) -> Item:
        step, word = rng.choice(words)
        plain = step.model_copy(update={"affine": False, "binary": "none"})
        in_bits = node.tables[step.table].in_bits if step.table >= 0 else 18
        item = {"value": edge(rng, in_bits)}
        item["group"] = rng.randrange(node.tables[step.table].groups) if step.table >= 0 else 0
        item["group"] *= step.per_channel
        item["table_index"] = bits_of(VECTOR, word, "table_half", "table_log")
        item["table_use"] = int(step.table >= 0)
        item["table_round"] = bits_of(VECTOR, word, "table_q", "table_q")
        item["table_bounds"] = bits_of(VECTOR, word, "table_q", "table_hi")
        params = [0, item["group"] << 16, 0, 0]
        item["expected"] = Model.chain(node, plain, item["value"], 0, params, tables)
        return item

    setup = [item for item in _table_writes(node, tables, write) if "write_words" not in item]
    return Pipeline(unit, operands, "result", latency, make, lambda item: item["expected"], setup)


def _contents(node: Vector, slot: int, rng: random.Random) -> list[list[int]]:
    """Sets of coefficients; or bases, slopes and curves of a slot: |base| and |slope x fraction| stay below 2^30, the slope
    in its bits."""
    table = node.slots[slot]
    if isinstance(table, Rational):
        return random_sets(rng, table.groups)
    fraction_bits = table.in_bits - table.log_entries
    slope_bits = min(node.slope_bits, 31 - fraction_bits) - node.curves
    # A curve adds as much to the slope as there is left.
    curve_bits = min(node.curve_bits, max(1, slope_bits + 8 - fraction_bits))
    base_bits = min(node.base_bits, 31) if node.slopes else 31
    used = ((base_bits, True), (slope_bits, node.slopes), (curve_bits, node.curves))
    return [[edge(rng, bits) if there else 0 for _ in range(table.entries)] for bits, there in used]


def _table_writes(node: Vector, tables: dict, write: int) -> Iterable[Item]:
    """The writes that fill the memory of a lane; without slopes `intar_table_load` has rounded and clamped the entries."""
    bits = node.entry_bits
    for slot, table in enumerate(node.slots):
        if isinstance(table, Rational):
            for index, words in enumerate(tables[slot]):
                data = sum((word & 0xFFFFFFFF) << 32 * i for i, word in enumerate(words))
                yield {"write_words": 0x7FF, "write_set": table.first + index, "write_set_data": data}
            continue
        base, slope, curve = tables[slot]
        if not node.slopes:
            rounding = 1 << table.q >> 1
            base = [clamp((v + rounding) >> table.q, table.lo, table.hi) for v in base]
        parts = (("write_base", base), ("write_slope", slope), ("write_curve", curve))
        for pin, values in parts[: 1 + node.slopes + node.curves]:
            for entry in range(0, len(values), write):
                part = values[entry : entry + write]
                data = sum((v & ((1 << bits) - 1)) << (bits * i) for i, v in enumerate(part))
                yield {pin: 1, "write_at": table.first + entry, "write_data": data}


def lanes() -> dict[str, Pipeline]:
    """Lanes of random units until these parameters have had all their values; and of units at the ends of their ranges."""
    values = {"WRITE": 5} | dict.fromkeys(("AFFINE", "BINARY", "MERGED", "PRODUCT", "SHIFT_ONLY"), 2)
    values |= {"VALUE_BITS": 2, "SLOPES": 2, "CURVES": 2, "RATIONAL": 2, "TABLE": 2}
    found: dict[str, Pipeline] = {}
    seen: set[tuple[str, str]] = set()
    for seed in itertools.count():
        made = lane(random_vector(random.Random(seed)).program(), seed)
        new = {(name, str(made.unit.parameters[name])) for name in values} - seen
        if new:
            seen |= new
            found[f"lane{seed}"] = made
        if len(seen) == sum(values.values()):
            break
    for seed, slopes, curves in ((1, True, False), (2, False, False), (3, True, True)):
        wide = wide_vector(seed, slopes).program()
        update = {"curves": curves}
        nodes = [n.model_copy(update=update) if isinstance(n, Vector) else n for n in wide.nodes]
        found[f"lane_wide{seed}"] = lane(wide.model_copy(update={"nodes": tuple(nodes)}), seed)
    # Lanes side by side until these have had both values, too.
    flags = ("HAS_ACC", "HAS_X", "LANE_PARAMS", "ROW_PARAMS", "sliced")
    seen = set()
    for seed in itertools.count():
        made = abreast(random_vector(random.Random(seed)).program(), seed)
        values = made.unit.parameters
        sliced = values["LANES"] != values["RATE"]
        new = {(name, values.get(name, sliced)) for name in flags} - seen
        if new:
            seen |= new
            found[f"lanes{seed}"] = made
        if len(seen) == 2 * len(flags):
            break
    by_form = {}
    for seed in range(40):
        program = random_vector(random.Random(seed)).program()
        node = next(n for n in program.nodes if isinstance(n, Vector))
        if any(0 <= step.table < len(node.tables) for step in node.steps):
            by_form.setdefault((node.parts, node.entry_bits), (program, seed))
    found |= {f"lookup{parts}_{bits}": lookup(*made) for (parts, bits), made in by_form.items()}
    return found


LANES = lanes()
