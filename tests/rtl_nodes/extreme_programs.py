"""Directed programs: numbers at the ends of their ranges, spills to memory and back, wide and narrow ports."""

from __future__ import annotations

import random

from program_builder import Builder, beats, params

from intar.ir.nodes.ports import Load, LoadStep, Store, StoreStep
from intar.ir.nodes.vector import Table, Vector, VectorStep
from intar.ir.program import Argument


def edge(rng: random.Random, bits: int) -> int:
    """A signed value of `bits` bits, often at the ends of the range."""
    top = (1 << (bits - 1)) - 1
    return rng.choice((-top - 1, -top, -1, 0, 1, top - 1, top, rng.randint(-top - 1, top)))


def wide_vector(seed: int, slopes: bool) -> Builder:
    """16-bit values, 47-bit accumulators, multipliers, shifts and biases at their ends, interpolated tables."""
    rng = random.Random(seed)
    b, lanes = Builder("wide"), 4
    in_bits, logs = 16, rng.randrange(4, 9)
    table = Table(
        in_bits=in_bits, log_entries=logs, q=rng.choice((0, 1, 7, 16)) if slopes else 0, lo=-32768, hi=32767
    )
    entries = 1 << logs
    data: dict[str, list[list[int]]] = {"acc": [], "x": [], "y": [], "params": []}
    data["params"] += [[edge(rng, 31) for _ in range(lanes)] for _ in range(max(1, entries // lanes))]
    if slopes:
        slope_bits = 30 - (in_bits - logs)  # |slope x fraction| below 2**30 beside a base below 2**30
        data["params"] += [
            [edge(rng, slope_bits) for _ in range(lanes)] for _ in range(max(1, entries // lanes))
        ]
    steps = [VectorStep(load=0)]
    for number in range(8):
        source = "acc" if number % 3 else "x"
        binary = ("none", "add", "mul")[number % 3]
        step = VectorStep(
            groups=2,
            beats=2,
            source=source,
            affine=number != 3,
            per_channel=number in (1, 4, 5),
            mult=edge(rng, 32) | 1,
            shift=rng.choice((24, 25, 47, 61, 62)),
            bias=edge(rng, 46),
            zero=edge(rng, 16),
            lo=-32768,
            hi=32767,
            binary=binary,
            spread=number == 5,
            b_zx=edge(rng, 16),
            b_zy=edge(rng, 16),
            b_mx=edge(rng, 30 if binary == "add" else 32),
            b_my=edge(rng, 30),
            b_shift=rng.choice((1, 2, 30, 46)) if binary == "add" else rng.choice((24, 33, 62)),
            b_zero=edge(rng, 16),
            b_lo=-32768,
            b_hi=32767,
            table=0 if number % 2 else -1,
        )
        if not step.affine:
            step = step.model_copy(update={"source": "x"})
        steps.append(step)
        for _ in range(2 if step.per_channel else 0):
            data["params"] += params(
                [edge(rng, 32) for _ in range(lanes)],
                [rng.choice((24, 31, 62)) for _ in range(lanes)],
                [edge(rng, 46) for _ in range(lanes)],
            )
        bits = 46 if step.source == "acc" else 16
        data[step.source] += [[edge(rng, bits) for _ in range(lanes)] for _ in range(4)]
        if binary != "none":
            data["y"] += [[edge(rng, 16) for _ in range(lanes)] for _ in range(4)]
    # Accumulators come through a 64-bit link: the unit is instantiated with the width of its port.
    for port, bits in (("acc", 64), ("x", 16), ("y", 16), ("params", 32)):
        if data[port]:
            b.load(f"v.{port}", data[port], bits, port_bits=128)
    unit = {"lanes": lanes, "rate": rng.choice((1, 2, 4)), "acc_bits": 64, "bits": 16}
    b.node(Vector(name="v", tables=(table,), slopes=slopes, steps=tuple(steps), **unit))
    b.store("v.out", sum(s.groups * s.beats for s in steps[1:]), lanes, 16)
    return b


def spill(seed: int, lanes: int, bits: int, port_bits: int) -> Builder:
    """x goes to scratch memory in two commands and comes back, the second part first and twice."""
    rng = random.Random(seed)
    b = Builder("spill")
    first, second = rng.randrange(1, 9), rng.randrange(1, 70)
    b.load("out0.in", beats(rng, first + second, lanes, bits), bits, port_bits=port_bits)

    def words(count: int) -> int:
        return -(-count * lanes * bits // port_bits)

    base = words(first) + 1
    size = base + words(second)
    b.node(
        Store(
            name="out0",
            port_bits=port_bits,
            argument="m_spill",
            words=size,
            steps=(StoreStep(base=0, beats=first), StoreStep(base=base, beats=second)),
        )
    )
    b.arguments.append(Argument(name="m_spill", role="scratch", port_bits=port_bits, words=size))
    b.node(
        Load(
            name="back",
            port_bits=port_bits,
            argument="m_spill",
            words=size,
            after="out0",
            steps=(
                LoadStep(base=base, beats=second, repeat=2, need=2),
                LoadStep(base=0, beats=first, need=1),
            ),
        )
    )
    total = 2 * second + first
    argument = b.store("y.in", total, lanes, bits, port_bits=port_bits, name="y")
    assert argument == "m_y"
    b.links[-1] = b.links[-1].model_copy(update={"src": "back.out"})
    return b
