"""A second interpreter for tests: plain Python, unbounded FIFOs, no time, written from docs/program.md alone.

Every unit is a generator. It yields ``("get", link)``, ``("put", link, beat)`` or ``("token", condition)``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from math import isqrt

from intar.ir import exp2
from intar.ir.nodes.arrays import Core, Feed
from intar.ir.nodes.memories import Buffer, ConstantMemory, Image, ImageStep, Window
from intar.ir.nodes.movers import Argmax, Gather, Router
from intar.ir.nodes.ports import Load, Store
from intar.ir.nodes.rows import Rows, RowsStep
from intar.ir.nodes.vector import Rational, Table, Vector, VectorStep
from intar.ir.program import Program
from intar.ir.rational import WORDS, reciprocals

Unit = Generator[tuple, list[int], None]


def bits_to_elements(data: bytes, start: int, lanes: int, bits: int) -> list[int]:
    """Signed elements from bit `start` of a little-endian byte string."""
    whole = int.from_bytes(data, "little") >> start
    values = [(whole >> (i * bits)) & ((1 << bits) - 1) for i in range(lanes)]
    return [value - (1 << bits) if value >> (bits - 1) else value for value in values]


def elements_to_int(beat: list[int], bits: int) -> int:
    return sum((value & ((1 << bits) - 1)) << (i * bits) for i, value in enumerate(beat))


def clamp(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def rq(v: int, m: int, s: int) -> int:
    return (v * m + (1 << (s - 1))) >> s


def quotient(slot: Rational, t: int, c: list[int]) -> int:
    """A rational function of `t` by the words of its set, as docs/numerics.md has it."""
    v = (t - slot.zero) << slot.lift
    h, g = c[5], c[9]
    for n in (4, 3, 2, 1):
        h = (h * v + (c[n] << 16) + (1 << 15)) >> 16
    for n in (8, 7, 6):
        g = (g * abs(v) + (c[n] << 16) + (1 << 15)) >> 16
    above, below = (h * v >> (c[10] & 31)) + c[0], (g * abs(v) >> (c[10] >> 8)) + (1 << 20)
    down = below.bit_length() - 21
    above, m = clamp(above >> down, -(1 << 24), (1 << 24) - 1), below >> down
    value, fall = reciprocals()[(m >> 12) - 256]
    reciprocal = value - (fall * (m % 4096) >> 12)
    last = above * reciprocal + (1 << (slot.fraction + 18)) >> (slot.fraction + 19)
    return clamp(last + slot.out_zero, slot.lo, slot.hi)


def unpacked(number: int, bits: int) -> list[int]:
    """The signed entries of `bits` bits in a 32-bit number, lowest first."""
    parts = [number >> at & ((1 << bits) - 1) for at in range(0, 32, bits)]
    return [part - (part >> (bits - 1) << bits) for part in parts]


class Model:
    """Runs a program; `memory` holds the bytes of every argument afterwards."""

    def __init__(self, program: Program, images: dict[str, bytes]):
        self.program = program
        self.memory = {a.name: bytearray(a.words * a.port_bits // 8) for a in program.arguments}
        self.constants = {node.name: images[node.name] for node in program.constants}
        for name in images.keys() - self.constants.keys():
            self.memory[name][: len(images[name])] = images[name]
        self.queues: dict[str, deque[list[int]]] = {link.name: deque() for link in program.links}
        self.stored: dict[str, int] = {node.name: 0 for node in program.nodes}
        self.links = {end: link for link in program.links for end in (link.src, link.dst)}

    def run(self) -> dict[str, bytes]:
        units: list[tuple[Unit, list]] = []
        for node in self.program.nodes:
            made = getattr(self, node.kind)(node)
            units += [(unit, [None]) for unit in (made if isinstance(made, list) else [made])]
        pending = [(unit, next(unit, None)) for unit, _ in units]
        while any(request for _, request in pending):
            moved = False
            for index, (unit, request) in enumerate(pending):
                while request is not None:
                    answer = self.answer(request)
                    if answer is False:
                        break
                    moved = True
                    try:
                        request = unit.send(answer)
                    except StopIteration:
                        request = None
                pending[index] = (unit, request)
            assert moved, "the model is stuck"
        assert not any(self.queues.values()), "beats are left in links"
        return {name: bytes(data) for name, data in self.memory.items()}

    def answer(self, request: tuple) -> list[int] | bool | None:
        kind, what = request[:2]
        if kind == "get":
            return self.queues[what].popleft() if self.queues[what] else False
        if kind == "put":
            self.queues[what].append(list(request[2]))
            return None
        return None if what() else False

    def link(self, node: str, port: str) -> str:
        return self.links[f"{node}.{port}"].name

    # -------------------------------------------------------------- nodes

    def load(self, node: Load) -> Unit:
        link = self.links[f"{node.name}.out"]
        for step in node.steps:
            yield "token", lambda need=step.need: not node.after or self.stored[node.after] >= need
            for _ in range(step.repeat):
                word = step.base
                if step.table:
                    (chosen,) = yield "get", self.link(node.name, "ids")
                    word += min(max(chosen, 0), step.table - 1) * step.pitch
                data = bytes(self.memory[node.argument][word * node.port_bits // 8 :])
                for beat in range(step.beats):
                    yield (
                        "put",
                        link.name,
                        bits_to_elements(data, beat * link.lanes * link.bits, link.lanes, link.bits),
                    )

    def store(self, node: Store) -> Unit:
        link = self.links[f"{node.name}.in"]
        for step in node.steps:
            whole = 0
            for beat in range(step.beats):
                whole |= elements_to_int((yield "get", link.name), link.bits) << (
                    beat * link.lanes * link.bits
                )
            words = -(-step.beats * link.lanes * link.bits // node.port_bits)
            size, base = words * node.port_bits // 8, step.base * node.port_bits // 8
            self.memory[node.argument][base : base + size] = whole.to_bytes(size, "little")
            self.stored[node.name] += 1

    def buffer(self, node: Buffer) -> list[Unit]:
        cells: dict[int, list[int]] = {}
        posted = {"in": 0, "out": 0}

        def side(port: str, other: str, steps: tuple, touch: Callable) -> Unit:
            for step in steps:
                for i0 in range(step.walk.counts[0]):
                    need = step.need + i0 * step.need_step
                    yield "token", lambda need=need: posted[other] >= need
                    for address in step.walk.iteration(i0):
                        yield from touch(address // node.lanes if step.elements else address)
                    posted[port] += 1

        def write(address: int) -> Unit:
            cells[address] = yield "get", self.link(node.name, "in")

        def read(address: int) -> Unit:
            yield "put", self.link(node.name, "out"), cells.get(address, [0] * node.lanes)

        return [side("in", "out", node.writes, write), side("out", "in", node.reads, read)]

    def constant(self, node: ConstantMemory) -> Unit:
        beat_bits = node.lanes * node.bits
        for step in node.reads:
            for address in step.walk.addresses():
                beat = bits_to_elements(self.constants[node.name], address * beat_bits, node.lanes, node.bits)
                yield "put", self.link(node.name, "out"), beat

    def image(self, node: Image) -> list[Unit]:
        cells: dict[int, int] = {}
        posted = [0]

        def write() -> Unit:
            for step in node.writes:
                for i0 in range(step.walk.counts[0]):
                    for address in step.walk.iteration(i0):
                        beat = yield "get", self.link(node.name, "in")
                        cells.update({address * node.lanes + i: value for i, value in enumerate(beat)})
                    posted[0] += 1

        def pixel(step: ImageStep, tap: Window, number: int, at: int) -> int:
            row, column = divmod(at, step.columns)
            y, x = row * step.down, column * step.right
            inside = row < step.rows and 0 <= y + tap.dy < tap.height and 0 <= x + tap.dx < tap.width
            place = y * step.pitch + x + tap.offset + number * step.pass_step * node.lanes
            return cells.get(place, 0) if inside else step.pad

        def read() -> Unit:
            for step in node.reads:
                for number in range(step.passes):
                    for i in range(step.tiles):
                        need = min(step.need + i * step.need_step, step.need_limit)
                        yield "token", lambda need=need: posted[0] >= need
                        first = (step.first + i * step.stride) * node.lanes
                        for tap in node.taps[step.tap : step.tap + step.taps]:
                            beat = [pixel(step, tap, number, first + lane) for lane in range(node.lanes)]
                            yield "put", self.link(node.name, "out"), beat

        return [write(), read()]

    def feed(self, node: Feed) -> Unit:
        for step in node.steps:
            for _ in range(step.tiles):
                for m in range(step.m_tiles):
                    for block in range(step.blocks):
                        rows = []
                        for _ in range(step.rows_last if m == step.m_tiles - 1 else step.rows):
                            rows.append((yield "get", self.link(node.name, "in")))
                        rows += [[0] * node.lanes] * (node.rows - len(rows))
                        for _ in range(step.replay):
                            last = step.k_last if block == step.blocks - 1 else node.lanes // node.depth
                            for channel in range(0 if block else step.k_first, last):
                                span = slice(channel * node.depth, (channel + 1) * node.depth)
                                sent = [row[span] for row in rows]
                                if node.by_channel:
                                    sent = [list(column) for column in zip(*sent, strict=True)]
                                yield "put", self.link(node.name, "out"), [x for row in sent for x in row]

    def core(self, node: Core) -> Unit:
        sums = [[[0] * node.lanes for _ in range(node.rows)] for _ in range(node.contexts)]
        for step in node.steps:
            for _ in range(step.tiles):
                for m in range(step.m_tiles):
                    for visit in range(step.visits):
                        for x in range(step.contexts):
                            if visit == 0:
                                sums[x] = [[0] * node.lanes for _ in range(node.rows)]
                            last = visit == step.visits - 1
                            for _ in range(step.k_last if last else step.k):
                                a = yield "get", self.link(node.name, "a")
                                w = yield "get", self.link(node.name, "w")
                                for r in range(node.rows):
                                    for c in range(node.lanes):
                                        for d in range(node.depth):
                                            product = a[r * node.depth + d] * w[c * node.depth + d]
                                            sums[x][r][c] += product
                            if last:
                                for r in range(step.rows_last if m == step.m_tiles - 1 else step.rows):
                                    yield "put", self.link(node.name, "out"), sums[x][r]

    def vector(self, node: Vector) -> Unit:
        tables: dict[int, list[list[int]]] = {}
        for step in node.steps:
            if step.load >= 0 and isinstance(node.slots[step.load], Rational):
                sets: list[list[int]] = []
                for _ in range(node.slots[step.load].groups):
                    words: list[int] = []
                    for _ in range(-(-WORDS // node.lanes)):
                        words += yield "get", self.link(node.name, "params")
                    sets.append(words[:WORDS])
                tables[step.load] = sets
                continue
            if step.load >= 0:
                tables[step.load] = yield from self.table(node, step.load, "params")
                continue
            pooled: list[list[int]] = []
            sets: list[list[int]] = []
            for group in range(step.groups):
                params = []
                by_row = step.per_channel and step.params == "row"
                if by_row and group % step.block == 0:
                    sets = []
                if by_row and not sets:
                    flat: list[int] = []
                    for _ in range(-(-4 // node.lanes)):
                        flat += yield "get", self.link(node.name, "params")
                    sets = [flat[place : place + 4] for place in range(0, len(flat) // 4 * 4, 4)]
                    sets = sets[step.first :] if group % step.block == 0 else sets
                if by_row:
                    params = [[value] * node.lanes for value in sets.pop(0)]
                for _ in range(4 if step.per_channel and not by_row else 0):
                    params.append((yield "get", self.link(node.name, "params")))
                for _ in range(step.beats):
                    beat = yield "get", self.link(node.name, step.source)
                    for _ in range(step.reduce - 1):
                        other = yield "get", self.link(node.name, step.source)
                        beat = [max(pair) for pair in zip(beat, other, strict=True)]
                    other = [0] * node.lanes
                    if step.binary != "none":
                        other = yield "get", self.link(node.name, "y")
                    if step.spread:
                        other = [other[0]] * node.lanes
                    out = []
                    for lane, v in enumerate(beat):
                        lane_params = [p[lane] for p in params]
                        out.append(self.chain(node, step, v, other[lane], lane_params, tables))
                    pooled.append(out)
                    if len(pooled) == step.pool:
                        yield (
                            "put",
                            self.link(node.name, "out"),
                            [max(lane) for lane in zip(*pooled, strict=True)],
                        )
                        pooled.clear()

    def table(
        self, node: Vector | Rows, slot: int, port: str
    ) -> Generator[tuple, list[int], list[list[int]]]:
        """Bases, slopes and curves (0 where there are none) of a slot, from beats of a port."""
        entries = node.tables[slot].groups << node.tables[slot].log_entries
        parts, per_number = [], 32 // node.entry_bits
        for _ in range(1 + node.slopes + node.curves):
            numbers: list[int] = []
            for _ in range(-(-entries // (per_number * node.lanes))):
                numbers += yield "get", self.link(node.name, port)
            parts.append([entry for number in numbers for entry in unpacked(number, node.entry_bits)])
        return parts + [[0] * len(parts[0])] * (3 - len(parts))

    @staticmethod
    def look_up(table: Table, cells: list[list[int]], group: int, v: int) -> int:
        base, slope, curve = cells
        index, fine = divmod(v + (1 << (table.in_bits - 1)), 1 << (table.in_bits - table.log_entries))
        index += group << table.log_entries
        rounding = 1 << (table.q - 1) if table.q else 0
        steep = slope[index] + (curve[index] * fine >> 8)
        return clamp((base[index] + steep * fine + rounding) >> table.q, table.lo, table.hi)

    @staticmethod
    def chain(node: Vector, step: VectorStep, v: int, y: int, params: list[int], tables: dict) -> int:
        if step.affine:
            m, s, bias = step.mult, step.shift, step.bias
            if step.per_channel:
                m, s, bias = params[0], params[1] & 0xFFFF, (params[2] & 0xFFFFFFFF) + (params[3] << 32)
            v = clamp(rq(v + bias, m, s) + step.zero, step.lo, step.hi)
        if step.binary == "add":
            total = (v - step.b_zx) * step.b_mx + (y - step.b_zy) * step.b_my
            v = clamp(
                ((total + (1 << (step.b_shift - 1))) >> step.b_shift) + step.b_zero, step.b_lo, step.b_hi
            )
        if step.binary == "mul":
            v = clamp(
                rq((v - step.b_zx) * (y - step.b_zy), step.b_mx, step.b_shift) + step.b_zero,
                step.b_lo,
                step.b_hi,
            )
        if step.table >= 0:
            group = params[1] >> 16 if step.per_channel else 0
            slot = node.slots[step.table]
            if isinstance(slot, Rational):
                return quotient(slot, v, tables[step.table][group])
            group = params[1] >> 16 if step.per_channel else 0
            v = Model.look_up(node.tables[step.table], tables[step.table], group, v)
        return v

    def gather(self, node: Gather) -> Unit:
        beat: list[int] = []
        count = 0
        for step in node.steps:
            for address in step.walk.addresses():
                taken = yield "get", self.link(node.name, "in")
                beat.append(taken[address % node.lanes])
                count += 1
                if len(beat) == node.lanes or count == step.row:
                    yield "put", self.link(node.name, "out"), beat + [0] * (node.lanes - len(beat))
                    beat = []
                count %= step.row

    def argmax(self, node: Argmax) -> Unit:
        for step in node.steps:
            for _ in range(step.rows):
                row: list[int] = []
                for _ in range(-(-step.cols // node.lanes)):
                    row += yield "get", self.link(node.name, "in")
                row = row[: step.cols]
                yield "put", self.link(node.name, "out"), [row.index(max(row))]

    def rows(self, node: Rows) -> Unit:
        tables = {}
        for load in node.loads:
            tables[load.table] = yield from self.table(node, load.table, "tables")
        for step in node.steps:
            beats, counted = -(-step.cols // node.lanes), step.visible or step.cols
            for _ in range(step.rows):
                row: list[int] = []
                for _ in range(beats):
                    row += yield "get", self.link(node.name, "in")
                if step.op == "norm":
                    values = self.normalised(step, row)
                elif step.op == "softmax":
                    values = self.softmax(step, row, min(counted, step.cols))
                else:
                    values = self.over_peak(step, row, node.lanes)
                for beat in range(len(values) // node.lanes):
                    part = values[beat * node.lanes : (beat + 1) * node.lanes]
                    groups = [0] * node.lanes
                    if step.op == "norm":
                        gains = yield "get", self.link(node.name, "params")
                        offsets = yield "get", self.link(node.name, "params")
                        q = step.out_shift
                        groups = [gain >> 25 & 127 for gain in gains]
                        gains = [(gain + (1 << 24)) % (1 << 25) - (1 << 24) for gain in gains]
                        part = [
                            (z * gain + (offset << (q - 14)) + (1 << (q - 1))) >> q
                            for z, gain, offset in zip(part, gains, offsets, strict=True)
                        ]
                    part = [clamp(v + step.zero, step.lo, step.hi) for v in part]
                    if step.table >= 0:
                        table, cells = node.tables[step.table], tables[step.table]
                        part = [self.look_up(table, cells, *pair) for pair in zip(groups, part, strict=True)]
                    yield "put", self.link(node.name, "out"), part
                counted += step.grow

    def softmax(self, step: RowsStep, row: list[int], counted: int) -> list[int]:
        top = max(row[:counted])
        powers = [self.power(top - v, step.mult, step.shift) for v in row[:counted]]
        total = sum(powers)
        extra = total.bit_length() - 25
        quotient, down = (step.numerator << extra) // total, step.out_shift + extra
        powers += [0] * (len(row) - counted)
        return [(p * quotient + (1 << (down - 1))) >> down for p in powers]

    @staticmethod
    def over_peak(step: RowsStep, row: list[int], lanes: int) -> list[int]:
        """A row over its peak, or the peak in all lanes of a beat."""
        peak = max(1, *(abs(v) for v in row[: step.cols]))
        if step.op == "peak":
            return [peak] * lanes
        log = peak.bit_length() - 1
        ratio, down = (step.numerator << log) // (peak << 24), step.out_shift + log
        over = [(v * ratio + (1 << (down - 1))) >> down for v in row[: step.cols]]
        return over + [0] * (len(row) - step.cols)

    @staticmethod
    def normalised(step: RowsStep, row: list[int]) -> list[int]:
        """z of every element, also of those behind the row's end, which meet whatever gains there are."""
        n, lifted = step.cols, [v << step.lift for v in row]
        total = sum(lifted[:n]) * step.centred
        w = n * sum(v * v for v in lifted[:n]) - total**2 + step.epsilon
        t = (w.bit_length() - 1) // 2
        narrow = (w << 22) >> (2 * t)
        root = min(isqrt((1 << 60) // narrow), (1 << 19) - 1)
        down = step.shift + t
        return [
            ((n * v - total) * (2 * root + 1) + (1 << (down - 1))) >> down if c < n else 0
            for c, v in enumerate(lifted)
        ]

    @staticmethod
    def power(distance: int, mult: int, shift: int) -> int:
        whole, part = divmod((distance * mult + (1 << (shift - 1))) >> shift, 1 << 16)
        whole = min(whole, 26)
        (value, fall), fine = exp2.table()[part >> 8], part & 255
        return (value - ((fall * fine + 128) >> 8) + (1 << whole) // 2) >> whole

    def router(self, node: Router) -> Unit:
        for step in node.steps:
            for index in range(step.rounds):
                for leg in step.legs:
                    last = index % step.period == step.period - 1
                    for _ in range(step.beats_last if last else step.beats):
                        beat = yield "get", self.link(node.name, f"in{leg.src}")
                        for dst in leg.dsts:
                            yield "put", self.link(node.name, f"out{dst}"), beat
