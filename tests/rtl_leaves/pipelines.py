"""Modules that are a function of their operands some moves later, with that function in plain integers.

Operands and results of a module are numbers; the bench cuts them to the bits of the pins. The references of the row
operations and of the tables are those of the golden model and of `intar.ir`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from engine_model import Model, clamp, rq
from extreme_programs import edge
from units import Unit, packed

from intar.ir import exp2, norm
from intar.ir.rational import FRACTIONS, reciprocals
from intar.quant.direct import DirectData, build_direct, evaluate
from intar.quant.fixed import VALUE_LIMIT, requantise
from intar.quant.norms import NormFactors, normalise, reciprocal_root

Item = dict[str, int]


@dataclass(frozen=True)
class Pipeline:
    """`operands`: of each pin the name in the item, and how many moves after the first operand it comes."""

    unit: Unit
    operands: Mapping[str, tuple[str, int]]
    output: str
    latency: int
    make: Callable[[random.Random], Item]
    result: Callable[[Item], int]
    setup: Iterable[Mapping[str, int]] = field(default=())
    """Pins that are set before the first operand, a cycle each; 0 afterwards."""

    @property
    def stalls(self) -> bool:
        return "move" in self.unit.inputs


def pins(widths: str) -> dict[str, int]:
    """``"a 3 b 17"`` as pins and bits."""
    words = widths.split()
    return {name: int(bits) for name, bits in zip(words[::2], words[1::2], strict=True)}


def at(places: str) -> dict[str, tuple[str, int]]:
    """``"a zero+5 down_later=down+5"``: pins, operands and the moves of them."""
    found = {}
    for place in places.split():
        pin, _, moves = place.partition("+")
        pin, _, operand = pin.partition("=")
        found[pin] = (operand or pin, int(moves or 0))
    return found


# ---------------------------------------------------------------- delays, choices, the table of powers


def delay(width: int, moves: int) -> Pipeline:
    unit = Unit(
        "intar_delay",
        {"WIDTH": width, "MOVES": moves},
        {"move": 1, "in_data": width},
        {"out_data": width},
        ("clk",),
    )
    return Pipeline(
        unit,
        at("in_data"),
        "out_data",
        moves,
        lambda rng: {"in_data": rng.getrandbits(width)},
        lambda item: item["in_data"],
    )


def slice_of(slices: int, width: int) -> Pipeline:
    index_bits = max(1, (slices - 1).bit_length())
    unit = Unit(
        "intar_slice",
        {"SLICES": slices, "WIDTH": width},
        {"data": slices * width, "index": index_bits},
        {"slice": width},
        (),
    )
    return Pipeline(
        unit,
        at("data index"),
        "slice",
        0,
        lambda rng: {"data": rng.getrandbits(slices * width), "index": rng.randrange(slices)},
        lambda item: item["data"] >> (item["index"] * width),
    )


def table_entry() -> Pipeline:
    unit = Unit("intar_rows_table", {}, {"index": 8}, {"entry": 41}, ())
    order = iter(range(1 << 30))
    return Pipeline(
        unit,
        at("index"),
        "entry",
        0,
        lambda rng: {"index": next(order) % 256},
        lambda item: exp2.table()[item["index"]][0] << 16 | exp2.table()[item["index"]][1],
    )


# ---------------------------------------------------------------- scalers


def limits(rng: random.Random) -> Item:
    """A zero point and bounds: the whole 18 bits, 16 of them, or a narrow range, which saturates."""
    bits = rng.choice((18, 16, 8, 2))
    low, high = sorted((edge(rng, bits), edge(rng, bits)))
    return {"zero": edge(rng, rng.choice((17, 8))), "lo": low, "hi": high}


def tie(rng: random.Random, value: int, mult: int, shift: int) -> int:
    """A value near `value` whose product with `mult` is just at, above or below a rounding tie, where there is one."""
    if not mult or rng.random() < 0.5:
        return value
    half = (value * mult >> shift << shift) + (1 << (shift - 1))
    return half // mult + rng.choice((-1, 0, 1))


def exact(value: int, mult: int, shift: int) -> int:
    """Requantised; the golden model says the same, wherever it may be asked."""
    wanted = rq(value, mult, shift)
    if abs(value) < VALUE_LIMIT and 24 <= shift <= 62 and abs(mult) < 1 << 31:
        assert int(requantise(np.array(value), mult, shift)) == wanted
    return wanted


def scale(wide: bool) -> Pipeline:
    unit = Unit(
        "intar_scale",
        {"WIDE": f"1'b{int(wide)}"},
        pins("move 1 high 25 low 25 coefficient_a 32 coefficient_b 32 shift 6 split 1 zero 18 lo 18 hi 18"),
        pins("result 18"),
        ("clk",),
    )

    def make(rng: random.Random) -> Item:
        a = edge(rng, rng.choice((32, 20, 3)))
        if wide and rng.random() < 0.5:  # two products, one of each operand
            item = {
                "split": 0,
                "shift": rng.choice((1, 2, 30, 46)),
                "high": edge(rng, 25),
                "low": edge(rng, 25),
            }
            item |= {"coefficient_a": a, "coefficient_b": edge(rng, 32)}
        else:
            bits = 49 if wide else 25
            shift = rng.choice((24, 25, 40, 61, 62))
            value = tie(rng, edge(rng, rng.choice((bits, bits // 2))), a, shift)
            value = clamp(value, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)
            item = {"split": 1, "shift": shift, "value": value, "coefficient_a": a, "coefficient_b": a}
            item |= (
                {"high": value >> 24, "low": value & 0xFFFFFF}
                if wide
                else {"high": value, "low": edge(rng, 25)}
            )
        return item | limits(rng)

    def result(item: Item) -> int:
        s = item["shift"]
        if item["split"]:
            value = exact(item["value"], item["coefficient_a"], s)
        else:
            total = item["high"] * item["coefficient_a"] + item["low"] * item["coefficient_b"]
            value = (total + (1 << (s - 1))) >> s
        return clamp(value + item["zero"], item["lo"], item["hi"])

    operands = at("high low coefficient_a coefficient_b shift split zero+5 lo+5 hi+5")
    return Pipeline(unit, operands, "result", 6, make, result)


def shift(width: int) -> Pipeline:
    unit = Unit(
        "intar_shift",
        {"WIDTH": width},
        pins("move 1 a 48 b 25 shift_a 5 shift_b 5 shift 6 zero 18 lo 18 hi 18"),
        pins("result 18"),
        ("clk",),
    )
    limit = 1 << (width - 2)

    def make(rng: random.Random) -> Item:
        while True:
            item = {"shift_a": rng.randrange(32), "shift_b": rng.randrange(32)}
            item |= {"shift": rng.choice((0, 1, 2, rng.randrange(64), width - 2, width - 1, 63))}
            item |= {"a": edge(rng, rng.choice((48, 25, 18, 5))), "b": edge(rng, rng.choice((25, 18, 5, 1)))}
            if rng.random() < 0.2:
                item |= {
                    "a": max(-limit >> item["shift_a"], -1 << 47),
                    "b": 0,
                }  # the lowest sum that there is
            if -limit <= total(item) < limit:
                return item | limits(rng)

    def total(item: Item) -> int:
        return (item["a"] << item["shift_a"]) + (item["b"] << item["shift_b"])

    def result(item: Item) -> int:
        s = item["shift"]
        value = (total(item) + (1 << s >> 1)) >> s
        return clamp(value + item["zero"], item["lo"], item["hi"])

    operands = at("a b shift_a shift_b shift zero+5 lo+5 hi+5")
    return Pipeline(unit, operands, "result", 6, make, result)


# ---------------------------------------------------------------- lanes of a rows node


def power(bits: int) -> Pipeline:
    unit = Unit(
        "intar_rows_power",
        {"BITS": bits},
        {"value": bits, "top": bits, "used": 1, "mult": 25, "shift": 6},
        pins("power 25"),
        ("clk",),
    )

    def make(rng: random.Random) -> Item:
        value, top = sorted((edge(rng, bits), edge(rng, bits)))
        value = top - rng.randrange(4) if rng.random() < 0.3 else value
        mult = rng.choice((1, (1 << 25) - 1, rng.randrange(1, 1 << 25)))
        item = {"value": max(value, -1 << (bits - 1)), "top": top, "used": rng.random() < 0.9, "mult": mult}
        return item | {"shift": rng.choice((1, 9, 17, rng.randrange(1, 47), 46))}

    def result(item: Item) -> int:
        return Model.power(item["top"] - item["value"], item["mult"], item["shift"]) if item["used"] else 0

    return Pipeline(unit, at("value top used mult+1 shift+3"), "power", 9, make, result)


def product(bits: int, with_sign: bool) -> Pipeline:
    """Of powers of up to 2^24 with their reciprocal; with a sign also of elements over their peak."""
    unit = Unit(
        "intar_rows_product",
        {"BITS": bits, "SIGNED": int(with_sign)},
        pins("move 1 share 25 ratio 19 half 64 down 6 zero 18 lo 18 hi 18"),
        {"result": bits},
        ("clk",),
    )

    def make(rng: random.Random) -> Item:
        share = rng.choice((0, 1, 1 << 24, (1 << 24) - 1, rng.randrange(1 << rng.randrange(25))))
        if with_sign and rng.random() < 0.7:
            share = rng.choice((-32768, 32767, -1, edge(rng, 16)))
        low, high = sorted((edge(rng, bits), edge(rng, bits)))
        item = {"share": share, "ratio": rng.choice((1, (1 << 19) - 1, rng.randrange(1, 1 << 19)))}
        item |= {"down": rng.choice((1, 37, 62, rng.randrange(1, 63), rng.randrange(10, 40)))}
        item["half"] = 1 << (item["down"] - 1)
        return item | {"zero": edge(rng, bits), "lo": low, "hi": high}

    def result(item: Item) -> int:
        scaled = (item["share"] * item["ratio"] + item["half"]) >> item["down"]
        return clamp(scaled + item["zero"], item["lo"], item["hi"])

    operands = at("share ratio half+2 down+3 zero+4 lo+4 hi+4")
    return Pipeline(unit, operands, "result", 5, make, result)


def products(bits: int, rate: int) -> Pipeline:
    """Lanes side by side; the terms come a move after what is the same for all of them."""
    one = product(bits, with_sign=True)
    unit = Unit(
        "intar_rows_products",
        {"RATE": rate, "BITS": bits, "SIGNED": 1},
        pins("move 1 ratio 19 down 6 limits 54") | {"shares": rate * 25},
        {"products": rate * bits},
        ("clk",),
    )

    def make(rng: random.Random) -> Item:
        item = one.make(rng)
        shares = [one.make(rng)["share"] for _ in range(rate)]
        limits = packed([item["zero"], item["lo"], item["hi"]], 18)
        results = packed([one.result(item | {"share": share}) for share in shares], bits)
        return item | {"shares": packed(shares, 25), "limits": limits, "results": results}

    return Pipeline(unit, at("ratio down limits shares+1"), "products", 6, make, lambda item: item["results"])


def rows_of_norms(bits: int, seed: int) -> list[tuple[np.ndarray, bool, NormFactors]]:
    """Rows of up to 2^15 elements, flat ones and steep ones, with the factors that go with them.

    A large epsilon makes small elements of them, whose last bits are seen in the result.
    """
    rng, draw, found = np.random.default_rng(seed), random.Random(seed), []
    for columns in (1, 2, 3, 17, 64, 65, 1000, 1 << 15):
        for narrow in (1, bits):
            row = rng.integers(-1 << (narrow - 1), 1 << (narrow - 1), columns)
            row[0] = -1 << (narrow - 1)
            q = draw.choice((14, 14, 27, 40, 45))
            factors = NormFactors(
                epsilon=draw.choice((1, 77, (1 << 61) - 1, *(1 << draw.randrange(30, 60) for _ in range(6)))),
                shift=norm.ROOT_BITS + 1 - norm.fraction_bits(columns),
                out_shift=q,
                gain=np.array([edge(draw, draw.choice((25, 15, 12))) for _ in range(columns)]),
                offset=np.array([edge(draw, draw.choice((32, 15))) for _ in range(columns)]),
            )
            found.append((row.astype(np.int64), draw.random() < 0.5, factors))
    return found


def moments(row: np.ndarray, centred: bool, factors: NormFactors) -> Item:
    """What the passes before the last one have found out about a row."""
    total = int(row.sum()) if centred else 0
    return {"count": len(row), "sum": total, "squares": int((row * row).sum()), "epsilon": factors.epsilon}


def spread(item: Item) -> int:
    return item["count"] * item["squares"] - item["sum"] ** 2 + item["epsilon"]


def normalised_lane(bits: int) -> Pipeline:
    names = "value 16 count 16 sum 32 root 19 down 6 down_later 6 gain 25 offset 32 q 6 q_later 6"
    unit = Unit(
        "intar_rows_norm",
        {"BITS": bits},
        {"move": 1} | pins(names + " zero 18 lo 18 hi 18"),
        {"result": bits},
        ("clk",),
    )
    rows = []
    for row, centred, factors in rows_of_norms(bits, bits):
        item = moments(row, centred, factors)
        root, pair = (int(v[0]) for v in reciprocal_root(np.array([spread(item)])))
        item |= {"root": root, "down": factors.shift + pair, "q": factors.out_shift}
        rows.append((row, factors, item, normalise(row[None], centred, factors)[0]))

    def make(rng: random.Random) -> Item:
        row, factors, item, results = rng.choice(rows)
        column = rng.randrange(len(row))
        low, high = sorted((edge(rng, bits), edge(rng, bits)))
        item = item | {"value": int(row[column]), "gain": int(factors.gain[column]), "lo": low, "hi": high}
        item |= {
            "offset": int(factors.offset[column]),
            "zero": edge(rng, bits),
            "golden": int(results[column]),
        }
        return item

    operands = at(
        "value count sum+1 root+2 down+4 down_later=down+5 gain+6 offset+7 q+7 q_later=q+9 "
        "zero+10 lo+10 hi+10"
    )
    return Pipeline(
        unit,
        operands,
        "result",
        11,
        make,
        lambda item: clamp(item["golden"] + item["zero"], item["lo"], item["hi"]),
    )


# ---------------------------------------------------------------- rational functions


def reciprocal() -> Pipeline:
    unit = Unit("intar_reciprocal", {}, {"index": 8}, {"entry": 30}, ())
    order = iter(range(1 << 30))
    return Pipeline(
        unit,
        at("index"),
        "entry",
        0,
        lambda rng: {"index": next(order) % 256},
        lambda item: reciprocals()[item["index"]][0] << 11 | reciprocals()[item["index"]][1],
    )


def rational_forms(seed: int, groups: int) -> list[tuple[DirectData, tuple[int, int, int, int, int, int]]]:
    """Functions of random coefficients of all widths, and of formats of 4 to 16 bits, as the compiler builds them."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < groups:
        bits, out = int(rng.choice((4, 8, 10, 16))), int(rng.choice((8, 16)))
        a = rng.normal(size=6) * 2.0 ** -rng.integers(0, 12, 6)
        b = rng.normal(size=4) * 2.0 ** -rng.integers(0, 12, 4) * (rng.random(4) < 0.8)
        zero, out_zero = (int(rng.integers(-1 << (n - 1), 1 << (n - 1))) for n in (bits, out))
        step = float(2.0 ** -rng.integers(bits - 4, bits))
        made = build_direct([(a, b)], (bits, step, zero), (out, 2.0**5 / (1 << out), out_zero))
        if made is not None:
            low, high = sorted(rng.integers(-1 << (out - 1), 1 << (out - 1), 2).tolist())
            found.append((made, (bits, zero, made.lift, made.fraction, out_zero, low, high)))
    return found


def rational(groups: int, seed: int) -> Pipeline:
    """A lane whose every group is another function of another format; what it does not use passes."""
    forms = rational_forms(seed, groups)
    group_bits, at_bits = 3, max(1, (groups - 1).bit_length())
    unit = Unit(
        "intar_rational",
        {"GROUPS": groups, "GROUP_BITS": group_bits},
        pins("move 1 value 18 where 38 fine 1 used 1 bounds 54 write 11 write_data 352")
        | {"group": group_bits, "write_at": at_bits},
        pins("result 18"),
        ("clk",),
    )

    def make(rng: random.Random) -> Item:
        index = rng.randrange(groups)
        _, (bits, zero, lift, fraction, out_zero, low, high) = forms[index]
        group = min(index, rng.randrange(8))
        first = index - group
        value = edge(rng, bits)
        return {
            "value": value,
            "group": group,
            "where": first << 22 | lift << 18 | (zero & 0x3FFFF),
            "fine": int(fraction == FRACTIONS[1]),
            "used": int(rng.random() < 0.9),
            "bounds": sum((n & 0x3FFFF) << 18 * i for i, n in enumerate((out_zero, low, high))),
            "index": index,
        }

    def result(item: Item) -> int:
        if not item["used"]:
            return item["value"]
        made, (_, *form) = forms[item["index"]]
        return int(evaluate(np.array([item["value"]]), made.coefficients[0][:, None], *form)[0][0])

    setup = [
        {
            "write": words,
            "write_at": index,
            "write_data": sum((int(n) & 0xFFFFFFFF) << 32 * i for i, n in enumerate(made.coefficients[0])),
        }
        for index, (made, _) in enumerate(forms)
        for words in (0b11111, 0b11111100000)
    ]
    operands = at("value group where fine+17 used+18 bounds+18")
    return Pipeline(unit, operands, "result", 19, make, result, setup)


FUNCTIONS: dict[str, Pipeline] = {
    "delay1": delay(5, 1),
    "delay4": delay(70, 4),
    "slice1": slice_of(1, 9),
    "slice3": slice_of(3, 7),
    "slice12": slice_of(12, 33),
    "table_entry": table_entry(),
    "reciprocal": reciprocal(),
    "rational1": rational(1, 0),
    "rational23": rational(23, 1),
    "scale_wide": scale(True),
    "scale_narrow": scale(False),
    "shift32": shift(32),
    "shift49": shift(49),
    "shift55": shift(55),
    "power8": power(8),
    "power16": power(16),
    "product8": product(8, with_sign=False),
    "product16": product(16, with_sign=True),
    "products8": products(8, 3),
    "products18": products(18, 1),
    "norm8": normalised_lane(8),
    "norm16": normalised_lane(16),
}
