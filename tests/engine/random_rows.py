"""Random programs around one rows node."""

from __future__ import annotations

import random
from typing import Any

from program_builder import Builder, beats, table_beats

from intar.ir.nodes.rows import LoadTable, Rows, RowsStep
from intar.ir.nodes.vector import Table
from intar.ir.norm import fraction_bits


def random_softmax(rng: random.Random, cols: int, limits: dict[str, int]) -> RowsStep:
    """Factors over their whole ranges; all elements count, or the first few, or one more in each row."""
    return RowsStep(
        rows=rng.choice((1, 2, 7, 12)),
        cols=cols,
        visible=rng.choice((0, 0, rng.randrange(1, cols + 1))),
        grow=rng.random() < 0.4,
        mult=rng.randrange(1, 1 << 25),
        shift=rng.choice((1, 7, rng.randrange(1, 47))),
        numerator=rng.randrange(1 << 42, 1 << 43),
        out_shift=rng.choice((1, 27, 28, 35, 46)),
        **limits,
    )


def random_norm(rng: random.Random, cols: int, limits: dict[str, int], bits: int) -> RowsStep:
    return RowsStep(
        op="norm",
        rows=rng.choice((1, 2, 7, 12)),
        cols=cols,
        shift=20 - fraction_bits(cols),
        out_shift=rng.choice((14, 27, 34, 40, 45)),
        centred=rng.random() < 0.5,
        lift=16 - rng.choice((bits, 16)),
        epsilon=rng.choice((1, 5, 1 << rng.randrange(1, 60), (1 << 61) - 1)),
        **limits,
    )


def random_peak(rng: random.Random, cols: int, limits: dict[str, int]) -> RowsStep:
    """A peak, or rows over theirs."""
    form = {"rows": rng.choice((1, 2, 7, 12)), "cols": cols, **limits}
    if rng.random() < 0.4:
        return RowsStep(op="peak", **form)
    factors = {"numerator": rng.randrange(1 << 42, 1 << 43), "out_shift": rng.choice((1, 4, 11, 22))}
    return RowsStep(op="unit", **factors, **form)


def random_tables(rng: random.Random, lanes: int) -> tuple[dict[str, Any], list[list[int]]]:
    """Fields of a rows node with two tables of 8-bit inputs, of one group and of several, and the beats that fill them."""
    parts = rng.choice((1, 1, 2, 3))
    entry_bits = rng.choice((8, 8, 16, 32) if parts == 1 else (16, 32))
    limits = {"q": rng.randrange(0, 5) if parts > 1 else 0, "lo": -100, "hi": rng.randrange(0, 128)}
    first, second = (
        Table(in_bits=8, log_entries=rng.randrange(4, 9), groups=groups, **limits)
        for groups in (1, rng.choice((2, 3, 8)))
    )
    tables = (first, second.model_copy(update={"first": first.entries}))
    order = rng.choice(((0, 1), (1, 0)))
    contents: list[list[int]] = []
    for slot in order:
        for bits in (8, 5, 12)[:parts]:
            contents += table_beats(rng, tables[slot].entries, lanes, entry_bits, bits)
    widths = {"base_bits": 8, "slope_bits": 9, "curve_bits": 12, "entry_bits": entry_bits}
    loads = tuple(LoadTable(table=slot) for slot in order)
    return {"tables": tables, "slopes": parts > 1, "curves": parts > 2, "loads": loads, **widths}, contents


def random_rows(rng: random.Random) -> Builder:
    """Rows from flat to steep, short and long; softmax, normalisation and peaks in turn."""
    b, lanes, bits = Builder("rows"), rng.choice((1, 2, 4, 8)), rng.choice((8, 16))
    steps, data, columns, leaving = [], [], [], 0
    lookups, contents = random_tables(rng, lanes) if rng.random() < 0.6 else ({}, [])
    tables = lookups.get("tables", ())
    for _ in range(rng.randrange(1, 4)):
        cols = rng.randrange(1, 5 * lanes + 1)
        limits = {
            "zero": rng.randrange(-9, 9),
            "lo": -(1 << (bits - 1)),
            "hi": rng.randrange(50, 1 << (bits - 1)),
        }
        draw = rng.random()
        norm, peak = draw < 0.5, draw > 0.8
        # A softmax has no columns that say which table of a group it takes, and nothing that is over a peak is looked up.
        slots = [slot for slot, table in enumerate(tables) if not peak and (norm or table.groups == 1)]
        slot = rng.choice([-1, *slots])
        if slot >= 0:
            limits = {"zero": rng.randrange(-9, 9), "lo": -128, "hi": rng.choice((127, 30)), "table": slot}
        if norm:
            step = random_norm(rng, cols, limits, bits)
        else:
            step = random_peak(rng, cols, limits) if peak else random_softmax(rng, cols, limits)
        steps.append(step)
        count = step.rows * -(-cols // lanes)
        leaving += step.rows if step.op == "peak" else count
        data += beats(rng, count, lanes, rng.choice((2, 8, bits)))
        if peak and rng.random() < 0.5:
            lowest = rng.choice((0, -(1 << (bits - 1))))
            data[-(count // step.rows) :] = [[lowest] * lanes] * (count // step.rows)
        for beat in range(count if norm else 0):
            inside = cols - beat % -(-cols // lanes) * lanes
            pair = beats(rng, 1, lanes, rng.choice((3, 18, 25))) + beats(
                rng, 1, lanes, rng.choice((1, 20, 32))
            )
            pair = [[v if lane < inside else 0 for lane, v in enumerate(row)] for row in pair]
            if slot >= 0:
                groups = [rng.randrange(tables[slot].groups) for _ in range(lanes)]
                words = [v & 0x1FFFFFF | g << 25 for v, g in zip(pair[0], groups, strict=True)]
                pair[0] = [word - (word >> 31 << 32) for word in words]
            columns += pair
    depth = max(-(-step.cols // lanes) for step in steps)
    b.load("rows.in", data, bits, port_bits=rng.choice((32, 128)), depth=rng.randrange(1, 4))
    if columns:
        b.load("rows.params", columns, 32, port_bits=rng.choice((32, 256)), depth=rng.randrange(1, 4))
    unit = {"lanes": lanes, "rate": rng.choice([r for r in (1, 2, lanes) if r <= lanes]), "bits": bits}
    if contents:
        b.load("rows.tables", contents, 32, port_bits=rng.choice((32, 256)), depth=rng.randrange(1, 4))
    held, divisions = rng.choice(((4, 1), (4, 1), (4, 2), (8, 3), (16, 20)))
    b.node(
        Rows(
            name="rows",
            depth=depth,
            held=held,
            divisions=divisions,
            steps=tuple(steps),
            **unit,
            **lookups,
        )
    )
    b.store("rows.out", leaving, lanes, bits, port_bits=rng.choice((32, 128)), depth=rng.randrange(1, 4))
    return b
