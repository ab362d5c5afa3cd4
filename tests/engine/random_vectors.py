"""Random programs around one vector unit, and the coefficients of its rational functions."""

from __future__ import annotations

import random

from program_builder import Builder, beats, random_params, row_beats, some_port, table_beats

from intar.ir.nodes.vector import UNIT_MULT, Rational, Table, Vector, VectorStep, set_places
from intar.ir.rational import FRACTIONS


def random_group(
    rng: random.Random, lanes: int, bias_bits: int, shifts: bool, several: int
) -> list[list[int]]:
    """Parameters of a group, by kind, of a unit that only `shifts` with one of `several` functions in each lane."""
    mults, places, *bias = random_params(rng, lanes, bias_bits)
    mults = [UNIT_MULT] * lanes if shifts else mults
    return [mults, [shift | rng.randrange(several) << 16 for shift in places], *bias]


def random_rational(rng: random.Random, groups: int, first: int) -> Rational:
    """A slot of 8-bit inputs and results."""
    low, high = sorted(rng.randrange(-128, 128) for _ in range(2))
    return Rational(
        groups=groups,
        first=first,
        zero=rng.randrange(-128, 128),
        out_zero=rng.randrange(-128, 128),
        lift=rng.randrange(10),
        fraction=rng.choice(FRACTIONS),
        lo=low,
        hi=high,
    )


def random_sets(rng: random.Random, groups: int) -> list[list[int]]:
    """Coefficients of any size that no input makes leave the width of a chain or of the denominator."""
    sets = []
    for _ in range(groups):
        above = [rng.randrange(-1 << size, 1 << size) for size in rng.choices((1, 12, 18), k=5)]
        below = [rng.randrange(1 << size) for size in rng.choices((0, 12, 18), k=4)]
        shifts = rng.randrange(32) | rng.randrange(6, 32) << 8
        sets.append([rng.randrange(-1 << 31, 1 << 31), *above, *below, shifts])
    return sets


def set_beats(sets: list[list[int]], lanes: int) -> list[list[int]]:
    """Sets of coefficients, each from the first lane of a beat on."""
    padded = [words + [0] * (-len(words) % lanes) for words in sets]
    return [words[i : i + lanes] for words in padded for i in range(0, len(words), lanes)]


def random_vector(rng: random.Random) -> Builder:
    b, lanes = Builder("vector"), rng.choice((1, 2, 4, 8, 12, 16))
    slopes, maxima, pools = rng.random() < 0.5, rng.random() < 0.5, rng.random() < 0.5
    shifts, apart = rng.random() < 0.3, rng.random() < 0.5
    bias_bits = rng.choice((40, 22))
    curves = slopes and rng.random() < 0.5
    q = rng.randrange(0, 5) if slopes else 0
    entry_bits = rng.choice((16, 32) if slopes else (8, 8, 16, 32))
    members = rng.choice((1, 1, 2, 3, 8))
    tables: tuple[Table, ...] = tuple(
        Table(
            in_bits=8,
            log_entries=rng.randrange(4, 9),
            groups=members if slot else 1,
            q=q,
            lo=-100,
            hi=rng.randrange(0, 128),
        )
        for slot in range(2)
    )
    some = rng.choice(("tables", "tables", "functions", "both"))
    if some == "functions":
        tables = ()
    rationals: tuple[Rational, ...] = ()
    if some != "tables":
        rationals = (random_rational(rng, members, 0), random_rational(rng, 1, members))
    if tables:
        tables = (tables[0], tables[1].model_copy(update={"first": tables[0].entries}))
    slots = (*tables, *rationals)
    steps: list[VectorStep] = []
    data: dict[str, list[list[int]]] = {"acc": [], "x": [], "y": [], "params": []}
    for slot, table in enumerate(slots):
        steps.append(VectorStep(load=slot))
        if isinstance(table, Rational):
            data["params"] += set_beats(random_sets(rng, table.groups), lanes)
            continue
        for bits in (8, 5, 12)[: 1 + slopes + curves]:
            data["params"] += table_beats(rng, table.entries, lanes, entry_bits, bits)
    for _ in range(rng.randrange(1, 5)):
        source = rng.choice(("acc", "x"))
        block = rng.randrange(1, 5)
        groups, each = block * rng.randrange(1, 4), rng.randrange(1, 5)
        step = VectorStep(
            groups=groups,
            beats=each,
            pool=rng.choice([n for n in range(1, 5) if groups * each % n == 0]) if pools else 1,
            source=source,
            affine=source == "acc" or (not apart and rng.random() < 0.5),
            per_channel=rng.random() < 0.6,
            params=rng.choice(("lane", "row")),
            block=block,
            first=rng.randrange(set_places(lanes)),
            reduce=rng.randrange(1, 5) if maxima and source == "x" else 1,
            mult=rng.randrange(-(1 << 30), 1 << 30),
            shift=rng.randrange(24, 62),
            bias=rng.randrange(-(1 << bias_bits), 1 << bias_bits),
            zero=rng.randrange(-20, 20),
            lo=-128,
            hi=rng.randrange(0, 128),
            binary="none" if source == "acc" and apart else rng.choice(("none", "add", "mul")),
            b_zx=rng.randrange(-9, 9),
            b_zy=rng.randrange(-9, 9),
            b_mx=rng.randrange(-(1 << 29), 1 << 29),
            b_my=rng.randrange(-(1 << 29), 1 << 29),
            b_shift=rng.randrange(24, 47),
            b_zero=rng.randrange(-9, 9),
            b_lo=-128,
            b_hi=127,
            table=rng.choice((-1, *range(len(slots)))),
        )
        if step.binary == "mul":
            step = step.model_copy(update={"spread": rng.random() < 0.3})
        if shifts:
            mx, my = (1 << rng.randrange(0, 30) for _ in range(2))
            mx = UNIT_MULT if step.binary == "mul" else mx
            update = {"mult": UNIT_MULT, "b_mx": mx, "b_my": rng.choice((-1, 1)) * my}
            step = step.model_copy(update=update)
        several = slots[step.table].groups if step.table >= 0 else 1
        if several > 1:
            step = step.model_copy(update={"per_channel": True})
        steps.append(step)
        if step.per_channel and step.params == "row":
            sets = [random_group(rng, 1, bias_bits, shifts, several) for _ in range(step.groups)]
            flat = [[number for (number,) in kinds] for kinds in sets]
            data["params"] += row_beats(rng, flat, lanes, block, step.first)
        elif step.per_channel:
            for _ in range(step.groups):
                data["params"] += random_group(rng, lanes, bias_bits, shifts, several)
        total = step.groups * step.beats
        data[source] += beats(rng, total * step.reduce, lanes, 24 if source == "acc" else 8)
        if step.binary != "none":
            data["y"] += beats(rng, total, lanes, 8)
    for port, bits in (("acc", 32), ("x", 8), ("y", 8), ("params", 32)):
        if data[port]:
            b.load(
                f"vec.{port}",
                data[port],
                bits,
                port_bits=some_port(rng, bits * lanes),
                depth=rng.randrange(1, 4),
            )
    b.node(
        Vector(
            name="vec",
            lanes=lanes,
            rate=rng.choice([d for d in (1, 2, 3, lanes) if lanes % d == 0]),
            acc_bits=32,
            bits=8,
            tables=tables,
            rationals=rationals,
            slopes=slopes,
            curves=curves,
            base_bits=8,
            slope_bits=9,  # of 5 bits and up to 2**7 of a curve
            curve_bits=12,
            entry_bits=entry_bits,
            shift_only=shifts,
            value_bits=25 if bias_bits == 22 else 48,
            steps=tuple(steps),
        )
    )
    count = sum(s.groups * s.beats // s.pool for s in steps if s.load < 0)
    b.store("vec.out", count, lanes, 8, port_bits=some_port(rng, 8 * lanes), depth=rng.randrange(1, 4))
    return b
