"""Programs for the tests of the engine: a small builder, a two-layer perceptron, random node programs."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from intar.ir.bits import INDEX_BITS
from intar.ir.nodes.arrays import Core, CoreStep, Feed, FeedStep
from intar.ir.nodes.memories import Buffer, BufferStep, Image, ImageStep, Walk, Window
from intar.ir.nodes.movers import Argmax, ArgmaxStep, Gather, GatherStep, Leg, Router, RouterStep
from intar.ir.nodes.ports import Load, LoadStep, Store, StoreStep
from intar.ir.nodes.rows import LoadTable, Rows, RowsStep
from intar.ir.nodes.vector import UNIT_MULT, Rational, Table, Vector, VectorStep
from intar.ir.norm import fraction_bits
from intar.ir.packing import products_at_once
from intar.ir.program import Argument, Link, Node, Program
from intar.ir.rational import FRACTIONS


class Builder:
    """Collects nodes and links; loads and stores make their own arguments."""

    def __init__(self, name: str = "test"):
        self.name = name
        self.nodes: list[Node] = []
        self.links: list[Link] = []
        self.arguments: list[Argument] = []
        self.images: dict[str, bytes] = {}

    def node(self, node: Node) -> Node:
        self.nodes.append(node)
        return node

    def link(self, src: str, dst: str, lanes: int, bits: int, depth: int = 2) -> None:
        self.links.append(
            Link(name=f"l{len(self.links)}", src=src, dst=dst, lanes=lanes, bits=bits, depth=depth)
        )

    def load(
        self, dst: str, beats: list[list[int]], bits: int, port_bits: int = 64, depth: int = 2, name: str = ""
    ) -> str:
        """A load node that sends `beats` in one step."""
        lanes = len(beats[0])
        name = name or f"load{len(self.nodes)}"
        words = -(-len(beats) * lanes * bits // port_bits)
        flat = np.array(beats, dtype=np.int64).reshape(-1)
        stream = ((flat[:, None] >> np.arange(bits)) & 1).astype(np.uint8).reshape(-1)
        stream = np.pad(stream, (0, words * port_bits - len(stream)))
        self.images[f"m_{name}"] = np.packbits(stream, bitorder="little").tobytes()
        self.arguments.append(Argument(name=f"m_{name}", role="input", port_bits=port_bits, words=words))
        steps = (LoadStep(base=0, beats=len(beats)),)
        self.node(Load(name=name, port_bits=port_bits, argument=f"m_{name}", words=words, steps=steps))
        self.link(f"{name}.out", dst, lanes, bits, depth)
        return name

    def store(
        self, src: str, beats: int, lanes: int, bits: int, port_bits: int = 64, depth: int = 2, name: str = ""
    ) -> str:
        """A store node that takes `beats` beats in one step."""
        name = name or f"store{len(self.nodes)}"
        words = -(-beats * lanes * bits // port_bits)
        self.arguments.append(Argument(name=f"m_{name}", role="output", port_bits=port_bits, words=words))
        steps = (StoreStep(base=0, beats=beats),)
        self.node(Store(name=name, port_bits=port_bits, argument=f"m_{name}", words=words, steps=steps))
        self.link(src, f"{name}.in", lanes, bits, depth)
        return f"m_{name}"

    def program(self) -> Program:
        return Program(
            name=self.name, nodes=tuple(self.nodes), links=tuple(self.links), arguments=tuple(self.arguments)
        )


def beats(rng: random.Random, count: int, lanes: int, bits: int) -> list[list[int]]:
    return [[rng.randrange(-(1 << (bits - 1)), 1 << (bits - 1)) for _ in range(lanes)] for _ in range(count)]


def table_beats(rng: random.Random, entries: int, lanes: int, entry_bits: int, bits: int) -> list[list[int]]:
    """Beats of 32-bit numbers that hold random entries of `bits` bits, `entry_bits` bits each."""
    per_number = 32 // entry_bits
    numbers = []
    for _ in range(-(-entries // per_number)):
        parts = [part & ((1 << entry_bits) - 1) for part in beats(rng, 1, per_number, bits)[0]]
        number = sum(part << (entry_bits * place) for place, part in enumerate(parts))
        numbers.append(number - (number >> 31 << 32))
    numbers += [0] * (-len(numbers) % lanes)
    return [numbers[at : at + lanes] for at in range(0, len(numbers), lanes)]


def params(mult: list[int], shift: list[int], bias: list[int]) -> list[list[int]]:
    """The four parameter beats of a group."""
    low = [b & 0xFFFFFFFF for b in bias]
    return [mult, shift, [v - (1 << 32) if v >> 31 else v for v in low], [b >> 32 for b in bias]]


def random_params(rng: random.Random, lanes: int, bias_bits: int = 45) -> list[list[int]]:
    mult = [rng.randrange(-(1 << 31) + 1, 1 << 31) for _ in range(lanes)]
    shift = [rng.randrange(24, 63) for _ in range(lanes)]
    limit = 1 << bias_bits
    return params(mult, shift, [rng.randrange(-limit, limit) for _ in range(lanes)])


def some_port(rng: random.Random, beat_bits: int) -> int:
    """A port width that beats of `beat_bits` fill, or are whole parts of."""
    return rng.choice([p for p in (32, 64, 128) if p % beat_bits == 0 or beat_bits % p == 0])


def row_params(rng: random.Random, lanes: int, bias_bits: int = 45) -> list[list[int]]:
    """One multiplier, shift and bias for all lanes: one beat, or as many as hold four elements; the rest is noise."""
    values = [kind[0] for kind in random_params(rng, 1, bias_bits)]
    count = -(-4 // lanes)
    values += [rng.randrange(-9, 9) for _ in range(count * lanes - 4)]
    return [values[i * lanes : (i + 1) * lanes] for i in range(count)]


# ---------------------------------------------------------------- random programs, one node kind each


def random_walk(rng: random.Random, depth: int) -> Walk:
    """A walk whose addresses lie in 0..depth-1."""
    while True:
        counts = tuple(rng.choice((1, 1, 2, 3)) for _ in range(5))
        strides = tuple(rng.randrange(0, 5) for _ in range(5))
        ragged = rng.choice((-1, 0, 1, 2, 3))
        walk = Walk(
            base=rng.randrange(0, 4),
            wrap=rng.choice((0, 5, 7)),
            counts=counts,
            strides=strides,
            ragged=ragged,
            last=rng.randrange(1, counts[4] + 1) if ragged >= 0 else 0,
        )
        if max(walk.addresses()) < depth:
            return walk


def random_buffer(rng: random.Random) -> Builder:
    """Writes and reads in turns: each step needs everything before it on the other side."""
    b, lanes, depth = Builder("buffer"), rng.choice((1, 4, 12)), 48
    elements = rng.random() < 0.4
    writes, reads, written, read = [], [], 0, 0
    for _ in range(rng.randrange(1, 5)):
        writes.append(BufferStep(walk=random_walk(rng, depth), need=read, note=f"w{len(writes)}"))
        written += writes[-1].walk.counts[0]
        walk = random_walk(rng, depth)
        reads.append(BufferStep(walk=walk, need=written, elements=elements, note=f"r{len(reads)}"))
        read += walk.counts[0]
    port = {"depth": rng.randrange(1, 4), "port_bits": 32 if lanes == 12 else 64}
    b.load("buf.in", beats(rng, sum(s.walk.beats for s in writes), lanes, 8), 8, **port)
    b.node(Buffer(name="buf", depth=depth, lanes=lanes, bits=8, writes=tuple(writes), reads=tuple(reads)))
    b.store("buf.out", sum(s.walk.beats for s in reads), lanes, 8, **port)
    return b


def random_image(rng: random.Random) -> Builder:
    """Images of one or two channels, written in beats or in runs of tiles, read in windows as far as they are there."""
    b, lanes = Builder("image"), rng.choice((1, 2, 4, 12, 16))
    height, width, channels = rng.randrange(1, 7), rng.randrange(1, 9), rng.randrange(1, 3)
    pitch = width + rng.randrange(0, 3)
    tiles = -(-height * pitch // lanes)
    depth = channels * tiles
    taps = []
    for _ in range(rng.randrange(1, 8)):
        dy, dx, channel = rng.randrange(-4, 5), rng.randrange(-4, 5), rng.randrange(channels)
        short_rows, short_columns = rng.randrange(min(2, height)), rng.randrange(min(2, width))
        size = {"height": height - short_rows, "width": width - short_columns}
        taps.append(Window(offset=channel * tiles * lanes + dy * pitch + dx, dy=dy, dx=dx, **size))
    order = rng.choice(
        (
            Walk(counts=(depth, 1, 1, 1, 1), strides=(1, 0, 0, 0, 0)),
            Walk(counts=(1, 1, 1, 1, depth), strides=(0, 0, 0, 0, 1)),
            Walk(counts=(tiles, 1, 1, 1, channels), strides=(1, 0, 0, 0, tiles)),
        )
    )
    reads = []
    other = rng.choice((pitch, rng.randrange(1, 2 * pitch + 1)))
    for _ in range(rng.randrange(1, 4)):
        columns, rows = rng.choice((pitch, other)), rng.randrange(1, 8)
        made = -(-rows * columns // lanes)
        first, stride = rng.randrange(made), rng.randrange(1, 4)
        tap = rng.randrange(len(taps))
        total = order.counts[0]
        early = total == depth and channels == 1 and all(t.dy <= 0 and t.dy * pitch + t.dx <= 0 for t in taps)
        early = early and columns == pitch
        reads.append(
            ImageStep(
                first=first,
                stride=stride,
                tiles=rng.randrange(1, -(-(made - first) // stride) + 1),
                passes=rng.randrange(1, 3),
                rows=rows,
                columns=columns,
                tap=tap,
                taps=rng.randrange(1, len(taps) - tap + 1),
                pad=rng.randrange(-128, 128),
                need=first + 1 if early else total,
                need_step=stride if early else rng.randrange(0, 2),
                need_limit=total,
                note=f"r{len(reads)}",
            )
        )
    port = {"depth": rng.randrange(1, 4), "port_bits": 32 if lanes == 12 else 64}
    b.load("img.in", beats(rng, depth, lanes, 8), 8, **port)
    b.node(
        Image(
            name="img",
            depth=depth,
            lanes=lanes,
            bits=8,
            pitch=pitch,
            taps=tuple(taps),
            writes=(BufferStep(walk=order, note="w"),),
            reads=tuple(reads),
        )
    )
    count = sum(s.passes * s.tiles * s.taps for s in reads)
    b.store("img.out", count, lanes, 8, **(port | {"port_bits": 32 if lanes == 12 else 128}))
    return b


def random_feed(rng: random.Random) -> Builder:
    b, rows, lanes = Builder("feed"), rng.choice((1, 2, 4)), rng.choice((2, 4, 8, 12))
    depth = rng.choice([1, 1, *(part for part in (2, 4, lanes) if part < 12 and lanes % part == 0)])
    steps, taken, sent = [], 0, 0
    for _ in range(rng.randrange(1, 4)):
        blocks, k_last = rng.randrange(1, 4), rng.randrange(1, lanes // depth + 1)
        step = FeedStep(
            tiles=rng.randrange(1, 3),
            m_tiles=rng.randrange(1, 4),
            rows=rng.randrange(1, rows + 1),
            rows_last=rng.randrange(1, rows + 1),
            blocks=blocks,
            k_first=rng.choice((0, rng.randrange(k_last if blocks == 1 else lanes // depth))),
            k_last=k_last,
            replay=rng.randrange(1, 3),
        )
        steps.append(step)
        visits = step.tiles * step.blocks
        taken += visits * (step.rows * (step.m_tiles - 1) + step.rows_last)
        channels = lanes // depth * (step.blocks - 1) + step.k_last - step.k_first
        sent += step.tiles * step.m_tiles * step.replay * channels
    b.load("feed.in", beats(rng, taken, lanes, 8), 8, port_bits=32, depth=rng.randrange(1, 4))
    form = {"lanes": lanes, "depth": depth, "by_channel": rng.random() < 0.5}
    b.node(Feed(name="feed", rows=rows, bits=8, steps=tuple(steps), **form))
    b.store("feed.out", sent, rows * depth, 8, port_bits=32, depth=rng.randrange(1, 4))
    return b


def random_core(rng: random.Random) -> Builder:
    b, rows, lanes, contexts = (
        Builder("core"),
        rng.choice((1, 2, 4)),
        rng.choice((1, 2, 4)),
        rng.randrange(1, 4),
    )
    depth = rng.choice((1, 1, 2, 4))
    steps, taken, sent = [], 0, 0
    for _ in range(rng.randrange(1, 4)):
        visits, k = rng.randrange(1, 4), rng.randrange(1, 6)
        step = CoreStep(
            tiles=rng.randrange(1, 3),
            m_tiles=rng.randrange(1, 3),
            visits=visits,
            contexts=rng.randrange(1, contexts + 1),
            k=k,
            k_last=k if visits == 1 else rng.randrange(1, 6),
            rows=rng.randrange(1, rows + 1),
            rows_last=rng.randrange(1, rows + 1),
        )
        steps.append(step)
        inner = step.tiles * step.contexts
        taken += inner * step.m_tiles * (k * (visits - 1) + step.k_last)
        sent += inner * (step.rows * (step.m_tiles - 1) + step.rows_last)
    w_bits, w_used = rng.choice(((4, 4), (8, 8), (8, 4)))
    b.load("core.a", beats(rng, taken, rows * depth, 8), 8, port_bits=32)
    b.load("core.w", beats(rng, taken, lanes * depth, w_used), w_bits, port_bits=32, depth=3)
    b.node(
        Core(
            name="core",
            rows=rows,
            lanes=lanes,
            depth=depth,
            a_bits=8,
            w_bits=w_bits,
            w_used=w_used,
            pack=rng.randrange(1, min(lanes, products_at_once(8, w_used, (27, 18))) + 1),
            acc_bits=24,
            contexts=contexts,
            steps=tuple(steps),
        )
    )
    b.store("core.out", sent, lanes, 32, port_bits=128, depth=rng.randrange(1, 4))
    return b


def choose_groups(rng: random.Random, beats: list[list[int]], lanes: int, by_row: bool, groups: int) -> None:
    """Put groups of a table above the shifts of a group's parameters."""
    for lane in range(1 if by_row else lanes):
        beat, place = divmod(1, lanes) if by_row else (1, lane)
        beats[beat][place] |= rng.randrange(groups) << 16


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
    b, lanes = Builder("vector"), rng.choice((1, 2, 4, 8, 12))
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
        groups, each = rng.randrange(1, 4), rng.randrange(1, 5)
        step = VectorStep(
            groups=groups,
            beats=each,
            pool=rng.choice([n for n in range(1, 5) if groups * each % n == 0]) if pools else 1,
            source=source,
            affine=source == "acc" or (not apart and rng.random() < 0.5),
            per_channel=rng.random() < 0.6,
            params=rng.choice(("lane", "row")),
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
        if shifts:
            mx, my = (1 << rng.randrange(0, 30) for _ in range(2))
            mx = UNIT_MULT if step.binary == "mul" else mx
            update = {"mult": UNIT_MULT, "b_mx": mx, "b_my": rng.choice((-1, 1)) * my}
            step = step.model_copy(update=update)
        several = slots[step.table].groups if step.table >= 0 else 1
        if several > 1:
            step = step.model_copy(update={"per_channel": True})
        steps.append(step)
        for _ in range(step.groups if step.per_channel else 0):
            make = random_params if step.params == "lane" else row_params
            group = make(rng, lanes, bias_bits)
            if shifts:
                group[0][: lanes if step.params == "lane" else 1] = [UNIT_MULT] * (
                    lanes if step.params == "lane" else 1
                )
            if several > 1:
                choose_groups(rng, group, lanes, step.params == "row", several)
            data["params"] += group
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


def random_gather(rng: random.Random) -> Builder:
    b, lanes = Builder("gather"), rng.choice((1, 2, 4, 6))
    steps, taken, sent = [], 0, 0
    for _ in range(rng.randrange(1, 5)):
        # A row is one or several steps, or a part of one.
        walks = [random_walk(rng, 60) for _ in range(rng.choice((1, 1, 2, 3)))]
        row = sum(walk.beats for walk in walks)
        if len(walks) == 1:
            row = rng.choice([d for d in range(1, row + 1) if row % d == 0])
        steps += [GatherStep(walk=walk, row=row) for walk in walks]
        total = sum(walk.beats for walk in walks)
        taken += total
        sent += total // row * -(-row // lanes)
    b.load("g.in", beats(rng, taken, lanes, 16), 16, port_bits=32, depth=rng.randrange(1, 4))
    b.node(Gather(name="g", lanes=lanes, bits=16, steps=tuple(steps)))
    b.store("g.out", sent, lanes, 16, port_bits=32)
    return b


def random_argmax(rng: random.Random) -> Builder:
    """Rows with many equal elements, of one beat and of several."""
    b, lanes = Builder("argmax"), rng.choice((1, 2, 4, 6))
    steps = [
        ArgmaxStep(rows=rng.choice((1, 2, 5)), cols=rng.randrange(1, 4 * lanes + 1))
        for _ in range(rng.randrange(1, 4))
    ]
    node = Argmax(name="top", lanes=lanes, bits=16, steps=tuple(steps))
    taken = sum(step.rows * node.beats(step)[0] for step in steps)
    few = beats(rng, taken, lanes, rng.choice((2, 3, 16)))
    b.load("top.in", few, 16, port_bits=some_port(rng, 16 * lanes), depth=rng.randrange(1, 4))
    b.node(node)
    b.store("top.out", sum(step.rows for step in steps), 1, INDEX_BITS, depth=rng.randrange(1, 4))
    return b


def random_lookup(rng: random.Random) -> Builder:
    """Rows of one or two tables in one argument, some ids beyond their ends."""
    b, lanes, port_bits = Builder("lookup"), rng.choice((2, 4, 8)), 64
    steps, chosen, base, id_base = [], [], 0, 0
    for _ in range(rng.randrange(1, 4)):
        rows, row_beats = rng.randrange(1, 9), rng.randrange(1, 7)
        words = -(-row_beats * lanes * 8 // port_bits)
        pitch, count = words + rng.choice((0, 0, 3)), rng.choice((1, 3, 6))
        step = LoadStep(base=base, beats=row_beats, repeat=count, table=rows, pitch=pitch)
        steps.append(step)
        chosen.append(LoadStep(base=id_base, beats=count))
        base += rows * pitch
        id_base += -(-count * INDEX_BITS // port_bits)
    ids = [[rng.randrange(-2, 11) if rng.random() < 0.9 else -(1 << 31)] for _ in range(2 * id_base)]
    b.load("table.ids", ids, INDEX_BITS, port_bits=port_bits, name="ids", depth=rng.randrange(1, 4))
    b.nodes[-1] = b.nodes[-1].model_copy(update={"steps": tuple(chosen)})
    image = np.random.default_rng(rng.randrange(1 << 30)).integers(0, 256, base * port_bits // 8)
    b.images["m_table"] = image.astype(np.uint8).tobytes()
    b.arguments.append(Argument(name="m_table", role="input", port_bits=port_bits, words=base))
    b.node(Load(name="table", port_bits=port_bits, argument="m_table", words=base, steps=tuple(steps)))
    b.store("table.out", sum(step.repeat * step.beats for step in steps), lanes, 8, depth=rng.randrange(1, 4))
    return b


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
    """Rows from flat to steep, short and long, softmax and normalisation in turn."""
    b, lanes, bits = Builder("rows"), rng.choice((1, 2, 4, 8)), rng.choice((8, 16))
    steps, data, columns = [], [], []
    lookups, contents = random_tables(rng, lanes) if rng.random() < 0.6 else ({}, [])
    tables = lookups.get("tables", ())
    for _ in range(rng.randrange(1, 4)):
        cols = rng.randrange(1, 5 * lanes + 1)
        limits = {
            "zero": rng.randrange(-9, 9),
            "lo": -(1 << (bits - 1)),
            "hi": rng.randrange(50, 1 << (bits - 1)),
        }
        norm = rng.random() < 0.5
        # A softmax has no columns that say which table of a group it takes.
        slots = [slot for slot, table in enumerate(tables) if norm or table.groups == 1]
        slot = rng.choice([-1, *slots])
        if slot >= 0:
            limits = {"zero": rng.randrange(-9, 9), "lo": -128, "hi": rng.choice((127, 30)), "table": slot}
        step = random_norm(rng, cols, limits, bits) if norm else random_softmax(rng, cols, limits)
        steps.append(step)
        count = step.rows * -(-cols // lanes)
        data += beats(rng, count, lanes, rng.choice((2, 8, bits)))
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
    b.store("rows.out", len(data), lanes, bits, port_bits=rng.choice((32, 128)), depth=rng.randrange(1, 4))
    return b


def random_router(rng: random.Random) -> Builder:
    b, inputs, outputs = Builder("router"), rng.randrange(1, 4), rng.randrange(1, 4)
    steps = []
    taken, sent = [0] * inputs, [0] * outputs
    for _ in range(rng.randrange(1, 5)):
        legs = tuple(
            Leg(
                src=rng.randrange(inputs),
                dsts=tuple(rng.sample(range(outputs), rng.randrange(1, outputs + 1))),
            )
            for _ in range(rng.randrange(1, 4))
        )
        step = RouterStep(
            rounds=rng.randrange(1, 6),
            legs=legs,
            beats=rng.randrange(0, 4),
            period=rng.randrange(1, 4),
            beats_last=rng.randrange(0, 3),
        )
        steps.append(step)
        for index in range(step.rounds):
            count = step.beats_last if index % step.period == step.period - 1 else step.beats
            for leg in legs:
                taken[leg.src] += count
                for dst in leg.dsts:
                    sent[dst] += count
    b.node(Router(name="r", inputs=inputs, outputs=outputs, lanes=2, bits=8, steps=tuple(steps)))
    # A port that only legs without beats use still has a link; 1000 places keep the tests free of deadlocks.
    for index, count in enumerate(taken):
        b.load(f"r.in{index}", beats(rng, count or 1, 2, 8), 8, port_bits=32)
        if not count:
            spare(b)
    for index, count in enumerate(sent):
        b.store(f"r.out{index}", count or 1, 2, 8, port_bits=32, depth=1000)
        if not count:
            spare(b)
    return b


def spare(b: Builder) -> None:
    """Takes the steps away from the node added last: its link carries nothing."""
    node = b.nodes[-1]
    b.nodes[-1] = node.model_copy(update={"steps": ()})


RANDOM = {
    "buffer": random_buffer,
    "image": random_image,
    "feed": random_feed,
    "core": random_core,
    "vector": random_vector,
    "gather": random_gather,
    "argmax": random_argmax,
    "lookup": random_lookup,
    "router": random_router,
    "rows": random_rows,
}


# ---------------------------------------------------------------- a two-layer perceptron


def perceptron(
    rows: int = 5, sizes: tuple[int, int, int] = (12, 20, 7), lanes: int = 4, depth: int = 4, seed: int = 0
) -> tuple[Program, dict[str, bytes], np.ndarray]:
    """Two layers on one core, one vector unit and one buffer; and what they compute (rows x sizes[2]).

    Layer 0 reads the input rows, which the buffer has got from memory; its result goes back into the buffer;
    layer 1 reads it and its result goes to memory: everything that leaves the vector unit passes the router.
    """
    rng = np.random.default_rng(seed)
    b, feed_rows = Builder("perceptron"), 2
    data = rng.integers(-128, 128, (rows, sizes[0]))
    weights = [rng.integers(-127, 128, (sizes[i], sizes[i + 1])) for i in range(2)]
    biases = [rng.integers(-1000, 1000, sizes[i + 1]) for i in range(2)]
    mult, shift = 3 << 20, 31
    values, expected = data, []
    for w, bias in zip(weights, biases, strict=True):
        values = np.clip((((values @ w + bias) * mult) + (1 << (shift - 1))) >> shift, 0, 127)
        expected.append(values)

    def beats_of(cols: int) -> int:
        return -(-cols // lanes)

    def padded(matrix: np.ndarray) -> list[list[int]]:
        full = np.zeros((matrix.shape[0], beats_of(matrix.shape[1]) * lanes), dtype=np.int64)
        full[:, : matrix.shape[1]] = matrix
        return full.reshape(-1, lanes).tolist()

    m_tiles, last = -(-rows // feed_rows), (rows - 1) % feed_rows + 1
    w_beats: list[list[int]] = []
    p_beats: list[list[int]] = []
    feeds, cores, vectors, writes, reads, routes = [], [], [], [], [], []
    in_beats = [beats_of(size) for size in sizes]
    base = [0, rows * in_beats[0]]
    writes.append(BufferStep(walk=Walk(counts=(1, 1, 1, 1, base[1]), strides=(0, 0, 0, 0, 1))))
    posted_reads = 0
    for layer in range(2):
        k, tiles = sizes[layer], in_beats[layer + 1]
        w = np.zeros((k, tiles * lanes), dtype=np.int64)
        w[:, : sizes[layer + 1]] = weights[layer]
        bias = np.zeros(tiles * lanes, dtype=np.int64)
        bias[: sizes[layer + 1]] = biases[layer]
        for t in range(tiles):
            part = slice(t * lanes, (t + 1) * lanes)
            w_beats += [row for _ in range(m_tiles) for row in w[:, part].tolist()]
            p_beats += params([mult] * lanes, [shift] * lanes, bias[part].tolist())
        k_last = (k - 1) % lanes + 1
        shape = {"tiles": tiles, "m_tiles": m_tiles, "rows": feed_rows, "rows_last": last}
        feeds.append(FeedStep(blocks=in_beats[layer], k_last=k_last, **shape))
        cores.append(CoreStep(k=k, k_last=k, note=f"layer {layer}", **shape))
        vectors.append(VectorStep(groups=tiles, beats=rows, lo=0, hi=127, relu=True))
        # For each tile and pair of rows: block by block, both rows (`last` rows in the last pair).
        reads += [
            BufferStep(
                walk=Walk(
                    base=base[layer],
                    counts=(1, 1, m_tiles, in_beats[layer], feed_rows),
                    strides=(0, 0, feed_rows * in_beats[layer], 1, in_beats[layer]),
                    ragged=2,
                    last=last,
                ),
                need=1 + (in_beats[1] if layer else 0),
                note=f"layer {layer} tile {t}",
            )
            for t in range(tiles)
        ]
        posted_reads += tiles
        if layer == 0:
            walk = Walk(base=base[1], counts=(tiles, 1, 1, 1, rows), strides=(1, 0, 0, 0, in_beats[1]))
            writes.append(BufferStep(walk=walk))
    routes = (
        RouterStep(rounds=1, legs=(Leg(src=0, dsts=(0,)),), beats=base[1], beats_last=base[1]),
        RouterStep(
            rounds=1, legs=(Leg(src=1, dsts=(0,)),), beats=in_beats[1] * rows, beats_last=in_beats[1] * rows
        ),
        RouterStep(
            rounds=1, legs=(Leg(src=1, dsts=(1,)),), beats=in_beats[2] * rows, beats_last=in_beats[2] * rows
        ),
    )
    b.load("router.in0", padded(data), 8, depth=depth, name="x")
    b.load("core.w", w_beats, 8, depth=depth, name="weights")
    b.load("vec.params", p_beats, 32, port_bits=128, depth=depth, name="params")
    b.node(Router(name="router", inputs=2, outputs=2, lanes=lanes, bits=8, steps=routes))
    b.node(
        Buffer(
            name="buf",
            depth=base[1] + rows * in_beats[1],
            lanes=lanes,
            bits=8,
            writes=tuple(writes),
            reads=tuple(reads),
        )
    )
    b.node(Feed(name="feed", rows=feed_rows, lanes=lanes, bits=8, steps=tuple(feeds)))
    b.node(
        Core(name="core", rows=feed_rows, lanes=lanes, a_bits=8, w_bits=8, acc_bits=32, steps=tuple(cores))
    )
    b.node(Vector(name="vec", lanes=lanes, rate=lanes, acc_bits=32, bits=8, steps=tuple(vectors)))
    b.link("router.out0", "buf.in", lanes, 8, depth)
    b.link("buf.out", "feed.in", lanes, 8, depth)
    b.link("feed.out", "core.a", feed_rows, 8, depth)
    b.link("core.out", "vec.acc", lanes, 32, depth)
    b.link("vec.out", "router.in1", lanes, 8, depth)
    b.store("router.out1", in_beats[2] * rows, lanes, 8, name="y")
    return b.program(), b.images, expected[1]


def perceptron_output(data: bytes, rows: int, cols: int, lanes: int) -> np.ndarray:
    """The output argument of `perceptron`: tile by tile, each `rows` beats."""
    tiles = -(-cols // lanes)
    values = np.frombuffer(data, dtype=np.int8)[: tiles * rows * lanes].reshape(tiles, rows, lanes)
    return values.transpose(1, 0, 2).reshape(rows, tiles * lanes)[:, :cols].astype(np.int64)
