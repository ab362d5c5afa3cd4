"""What the HLS templates are given: for each node its functions, ROM tables, inner streams and local memories.

Everything that has to be computed is computed here, so that the templates only instantiate and wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from intar.errors import Finding, InternalError, UnsupportedError
from intar.ir.program import (
    Buffer,
    BufferStep,
    Core,
    Feed,
    Gather,
    Link,
    Load,
    Node,
    Program,
    Router,
    RouterStep,
    Store,
    Table,
    Vector,
    VectorStep,
    Walk,
)

WIDEST_BEAT = 4096
"""Widest element of an inner stream, bits: what Vitis packs into one FIFO word without complaint."""
WORD_FIFO = 16
"""Depth of the FIFO between a memory port and its gearbox, words; the port itself buffers bursts."""
INT_MAX = 2**31 - 1


@dataclass(frozen=True)
class Row:
    """One line of a ROM: its C++ initialiser and what it is for."""

    values: str
    note: str = ""


@dataclass(frozen=True)
class Rom:
    """A constant table ``static const type name[]``; `columns` names the fields for the reader."""

    type: str
    name: str
    columns: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Port:
    """A stream parameter of a node function: `name` inside, `stream` is the top's stream, `type` its element."""

    name: str
    type: str
    stream: str


@dataclass(frozen=True)
class Local:
    """An array in a node function; `pragmas` follow its declaration. `type` and `shape` as in ``type name shape``."""

    type: str
    name: str
    shape: str
    pragmas: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pointer:
    """The memory parameter of a control-driven function."""

    type: str
    argument: str


@dataclass(frozen=True)
class Function:
    """One C++ function: `role` is ``load``, ``task`` or ``store``; the body calls `callee` with `arguments`."""

    name: str
    role: str
    node: str
    about: str
    ports: tuple[Port, ...]
    callee: str
    arguments: tuple[str, ...]
    locals: tuple[Local, ...] = ()
    pointer: Pointer | None = None
    router: Router | None = None
    beats: int = 0


@dataclass(frozen=True)
class Stream:
    """A FIFO of the top function."""

    name: str
    type: str
    depth: int
    about: str


@dataclass(frozen=True)
class NodeView:
    """All that one node becomes in C++."""

    name: str
    kind: str
    roms: tuple[Rom, ...]
    functions: tuple[Function, ...]
    streams: tuple[Stream, ...] = ()


def beat_type(lanes: int, bits: int) -> str:
    """C++ type of a beat."""
    return f"intar::beat<{lanes}, {bits}>"


def node_views(program: Program, uram: bool) -> tuple[NodeView, ...]:
    """One view per node, in the program's order.

    Parameters
    ----------
    uram : whether the part has UltraRAM (large buffers go there).

    Raises
    ------
    UnsupportedError
        All loads that wait for a store, and all arguments with more than one port: neither has a canonical HLS form.
    InternalError
        A program that breaks its own rules (unused ports, an interleaving that does not match the steps).
    """
    findings = [*_waiting_loads(program), *_shared_arguments(program)]
    if findings:
        raise UnsupportedError(findings)
    tensors = tensor_ids(program)
    return tuple(_Views(program, node, uram, tensors).view() for node in program.nodes)


def tensor_ids(program: Program) -> dict[str, int]:
    """Number of the saturation counter of every tensor that a vector step makes."""
    names = (step.tensor for node in program.nodes if isinstance(node, Vector) for step in node.steps)
    return {name: index for index, name in enumerate(dict.fromkeys(names))}


def _waiting_loads(program: Program) -> Iterable[Finding]:
    for node in program.nodes:
        if isinstance(node, Load) and (node.after or any(step.need for step in node.steps)):
            yield Finding(
                f"the load waits for the store {node.after!r} (a tensor is spilled to memory and read back)",
                f"node {node.name!r}",
                "a DATAFLOW region of Vitis HLS has no canonical form for memory that one process writes and another reads",
                "use the RTL back end, or forbid spills in the schedule",
            )


def _shared_arguments(program: Program) -> Iterable[Finding]:
    users: dict[str, list[str]] = {}
    for node in program.nodes:
        if isinstance(node, Load | Store):
            users.setdefault(node.argument, []).append(node.name)
    for argument, names in users.items():
        if len(names) > 1:
            yield Finding(
                f"the nodes {', '.join(map(repr, names))} share one kernel argument",
                f"argument {argument!r}",
                "in Vitis HLS each pointer of a DATAFLOW region belongs to one process",
                "use the RTL back end, or give each node an argument of its own",
            )


class _Views:
    """Makes the view of one node; one method per kind."""

    def __init__(self, program: Program, node: Node, uram: bool, tensors: dict[str, int]):
        self.node = node
        self.uram = uram
        self.tensors = tensors
        self.upper = node.name.upper()
        self.ins = program.inputs_of(node.name)
        self.outs = program.outputs_of(node.name)

    def view(self) -> NodeView:
        make = getattr(self, f"_{self.node.kind}")
        roms, functions, *streams = make(self.node)
        for rom in roms:
            if not rom.rows:
                raise InternalError(f"node {self.node.name!r} has nothing to do: table {rom.name} is empty")
        return NodeView(self.node.name, self.node.kind, roms, functions, *streams)

    def _link(self, port: str) -> Link:
        link = self.ins.get(port) or self.outs.get(port)
        if link is None:
            raise InternalError(f"port {self.node.name}.{port} is used by a step but has no link")
        return link

    def _port(self, name: str) -> Port:
        """Parameter of a function for the node's port `name`."""
        link = self._link(name)
        return Port(name, beat_type(link.lanes, link.bits), link.name)

    def _inner(self, suffix: str, type_: str, depth: int, about: str) -> Stream:
        return Stream(f"{self.node.name}_{suffix}", type_, depth, about)

    # ---- memory ports

    def _load(self, node: Load) -> tuple[tuple[Rom, ...], tuple[Function, ...], tuple[Stream, ...]]:
        link = self._link("out")
        word = f"intar::word<{node.port_bits}>"
        _check_memory_bits(node.name, link.bits)
        bursts: list[tuple[int, int, int, list[str]]] = []
        for step in node.steps:
            _grow(bursts, step.base, _words(step.beats, link, node.port_bits), step.repeat, step.note)
        words = self._inner("words", word, WORD_FIFO, f"words of {node.argument}")
        roms = (
            self._rom(
                "intar::burst",
                "BURSTS",
                "base, words, repeat",
                [Row(f"{{{b}, {n}, {r}}}", _notes(t)) for b, n, r, t in bursts],
            ),
            self._rom(
                "intar::transfer",
                "STEPS",
                "beats, repeat",
                [Row(f"{{{s.beats}, {s.repeat}}}", s.note) for s in node.steps],
            ),
        )
        narrow = link.lanes * link.bits <= node.port_bits
        gearbox = "split_words" if narrow else "join_words"
        fetch = Function(
            f"{node.name}_fetch",
            "load",
            node.name,
            f"bursts from {node.argument}",
            (Port("out", word, words.name),),
            f"intar::fetch<{node.port_bits}>",
            (roms[0].name, node.argument, "out"),
            pointer=Pointer(f"const {word}*", node.argument),
        )
        unpack = Function(
            f"{node.name}_unpack",
            "task",
            node.name,
            f"words of {node.argument} to beats",
            (Port("in", word, words.name), self._port("out")),
            f"intar::{gearbox}<{link.bits}, {link.lanes}, {node.port_bits}>",
            (roms[1].name, "in", "out"),
        )
        return roms, (fetch, unpack), (words,)

    def _store(self, node: Store) -> tuple[tuple[Rom, ...], tuple[Function, ...], tuple[Stream, ...]]:
        link = self._link("in")
        word = f"intar::word<{node.port_bits}>"
        _check_memory_bits(node.name, link.bits)
        bursts: list[tuple[int, int, int, list[str]]] = []
        for step in node.steps:
            _grow(bursts, step.base, _words(step.beats, link, node.port_bits), 1, step.note)
        words = self._inner("words", word, WORD_FIFO, f"words of {node.argument}")
        roms = (
            self._rom(
                "intar::transfer",
                "STEPS",
                "beats, repeat",
                [Row(f"{{{s.beats}, 1}}", s.note) for s in node.steps],
            ),
            self._rom(
                "intar::burst",
                "BURSTS",
                "base, words, repeat",
                [Row(f"{{{b}, {n}, {r}}}", _notes(t)) for b, n, r, t in bursts],
            ),
        )
        narrow = link.lanes * link.bits <= node.port_bits
        gearbox = "join_beats" if narrow else "split_beats"
        pack = Function(
            f"{node.name}_pack",
            "task",
            node.name,
            f"beats to words of {node.argument}",
            (self._port("in"), Port("out", word, words.name)),
            f"intar::{gearbox}<{link.bits}, {link.lanes}, {node.port_bits}>",
            (roms[0].name, "in", "out"),
        )
        drain = Function(
            f"{node.name}_drain",
            "store",
            node.name,
            f"bursts to {node.argument}",
            (Port("in", word, words.name),),
            f"intar::drain<{node.port_bits}>",
            (roms[1].name, "in", node.argument),
            pointer=Pointer(f"{word}*", node.argument),
        )
        return roms, (pack, drain), (words,)

    # ---- buffers

    def _buffer(self, node: Buffer) -> tuple[tuple[Rom, ...], tuple[Function, ...]]:
        columns = WALK_COLUMNS
        roms = (
            self._rom("intar::walk", "WRITES", columns, [_walk_row(step) for step in node.writes]),
            self._rom("intar::walk", "READS", columns, [_walk_row(step) for step in node.reads]),
            self._rom(
                "intar::turn",
                "ORDER",
                "turns, writes, reads",
                [Row(f"{{{t}, {w}, {r}}}") for t, w, r in turns(node)],
            ),
        )
        memory = Local(
            beat_type(node.lanes, node.bits),
            "memory",
            f"[{node.depth}]",
            (f"BIND_STORAGE variable=memory type=ram_s2p impl={storage(node, self.uram)}",),
        )
        task = Function(
            f"{node.name}_task",
            "task",
            node.name,
            f"{node.depth} beats of memory",
            (self._port("in"), self._port("out")),
            f"intar::buffer<{node.lanes}, {node.bits}>",
            (*(rom.name for rom in roms), "memory", "in", "out"),
            (memory,),
        )
        return roms, (task,)

    # ---- matrix products

    def _feed(self, node: Feed) -> tuple[tuple[Rom, ...], tuple[Function, ...], tuple[Stream, ...]]:
        rom = self._rom(
            "intar::feed_step",
            "STEPS",
            "tiles, m_tiles, rows, rows_last, blocks, k_last, replay",
            [
                Row(_braces(s.tiles, s.m_tiles, s.rows, s.rows_last, s.blocks, s.k_last, s.replay), s.note)
                for s in node.steps
            ],
        )
        group = group_rows(node.rows, node.lanes, _native(node.bits))
        wide = beat_type(group * node.lanes, node.bits)
        blocks = self._inner(
            "blocks", wide, max(2, node.rows // group), "blocks of rows that wait to be sent"
        )
        collect = Function(
            f"{node.name}_collect",
            "task",
            node.name,
            "rows to blocks",
            (self._port("in"), Port("out", wide, blocks.name)),
            f"intar::feed_collect<{node.rows}, {group}, {node.lanes}, {node.bits}>",
            (rom.name, "in", "out"),
        )
        send = Function(
            f"{node.name}_send",
            "task",
            node.name,
            "blocks to channels",
            (Port("in", wide, blocks.name), self._port("out")),
            f"intar::feed_send<{node.rows}, {group}, {node.lanes}, {node.bits}>",
            (rom.name, "in", "out"),
        )
        return (rom,), (collect, send), (blocks,)

    def _core(self, node: Core) -> tuple[tuple[Rom, ...], tuple[Function, ...], tuple[Stream, ...]]:
        group = group_rows(node.rows, node.lanes, _native(node.acc_bits))
        rows = []
        for s in node.steps:
            groups = -(-max(s.rows if s.m_tiles > 1 else 0, s.rows_last) // group)
            beats = s.tiles * s.m_tiles * ((s.visits - 1) * s.k + s.k_last + groups)
            if beats > INT_MAX:
                raise InternalError(
                    f"a step of core {node.name!r} has {beats} beats, more than a 32-bit counter holds"
                )
            rows.append(
                Row(
                    _braces(
                        s.tiles, s.m_tiles, s.visits, s.contexts, s.k, s.k_last, s.rows, s.rows_last, groups
                    ),
                    s.note,
                )
            )
        rom = self._rom(
            "intar::core_step",
            "STEPS",
            "tiles, m_tiles, visits, contexts, k, k_last, rows, rows_last, groups",
            rows,
        )
        wide = beat_type(group * node.lanes, node.acc_bits)
        tiles = self._inner(
            "tiles", wide, max(2, node.rows // group), "finished accumulators that wait to be drained"
        )
        ports = (self._port("a"), self._port("w"), Port("out", wide, tiles.name))
        sizes = f"{node.rows}, {group}, {node.lanes}, {node.a_bits}, {node.w_bits}, {node.acc_bits}"
        if node.contexts == 1:
            mac = Function(
                f"{node.name}_mac",
                "task",
                node.name,
                f"{node.rows} x {node.lanes} multiply-accumulates a cycle",
                ports,
                f"intar::core_mac<{sizes}>",
                (rom.name, "a", "w", "out"),
            )
        else:
            saved = Local(
                f"intar::element<{node.acc_bits}>",
                "saved",
                f"[{node.contexts}][{node.rows}][{node.lanes}]",
                (
                    "ARRAY_PARTITION variable=saved type=complete dim=2",
                    "ARRAY_PARTITION variable=saved type=complete dim=3",
                ),
            )
            mac = Function(
                f"{node.name}_mac",
                "task",
                node.name,
                f"{node.rows} x {node.lanes} multiply-accumulates a cycle",
                ports,
                f"intar::core_mac_contexts<{sizes}>",
                (rom.name, "saved", "a", "w", "out"),
                (saved,),
            )
        drain = Function(
            f"{node.name}_drain",
            "task",
            node.name,
            "accumulators to rows",
            (Port("in", wide, tiles.name), self._port("out")),
            f"intar::core_drain<{group}, {node.lanes}, {node.acc_bits}>",
            (rom.name, "in", "out"),
        )
        return (rom,), (mac, drain), (tiles,)

    # ---- vector unit, gather, router

    def _vector(self, node: Vector) -> tuple[tuple[Rom, ...], tuple[Function, ...]]:
        steps = self._rom(
            "intar::vector_step", "STEPS", VECTOR_COLUMNS, [self._vector_row(step) for step in node.steps]
        )
        infos, entries = [], 0
        for table in node.tables:
            infos.append(Row(_table_row(table, entries)))
            entries += 1 << table.log_entries
        tables = self._rom(
            "intar::table_info",
            "TABLES",
            "base, in_bits, log_entries, q, lo, hi",
            infos or [Row("{0, 4, 4, 0, 0, 0}", "no table")],
        )
        locals_: list[Local] = []
        for name, used in (("bases", bool(node.tables)), ("slopes", bool(node.tables) and node.slopes)):
            storage_ = "bram" if used and entries > 64 else "lutram"
            locals_.append(
                Local(
                    "int32_t",
                    name,
                    f"[{node.rate}][{max(1, entries) if used or node.tables else 1}]",
                    (
                        f"ARRAY_PARTITION variable={name} type=complete dim=1",
                        f"BIND_STORAGE variable={name} type=ram_s2p impl={storage_}",
                    ),
                )
            )
        ports = []
        kinds = {
            "acc": (node.lanes, node.acc_bits),
            "x": (node.lanes, node.bits),
            "y": (node.lanes, node.bits),
            "params": (node.lanes, 32),
        }
        for name, (lanes, bits) in kinds.items():
            if name in self.ins:
                ports.append(self._port(name))
            else:
                locals_.append(Local(f"intar::absent<{beat_type(lanes, bits)} >", name, ""))
        sizes = f"{node.lanes}, {node.rate}, {node.acc_bits}, {node.bits}, {_bool(node.tables)}, {_bool(node.slopes)}"
        task = Function(
            f"{node.name}_task",
            "task",
            node.name,
            f"{node.rate} of {node.lanes} lanes a cycle",
            (*ports, self._port("out")),
            f"intar::vector_unit<{sizes}>",
            (steps.name, tables.name, "bases", "slopes", "acc", "x", "y", "params", "out"),
            tuple(locals_),
        )
        return (steps, tables), (task,)

    def _vector_row(self, s: VectorStep) -> Row:
        if s.load < 0 and s.groups * s.beats == 0:
            raise InternalError(f"a step of vector unit {self.node.name!r} has no beats")
        affine = _braces(
            _bool(s.affine), _bool(s.per_channel), s.mult, s.shift, _int64(s.bias), s.zero, s.lo, s.hi
        )
        binary_name = {"none": "intar::NO_BINARY", "add": "intar::BINARY_ADD", "mul": "intar::BINARY_MUL"}[
            s.binary
        ]
        binary = _braces(binary_name, s.b_zx, s.b_zy, s.b_mx, s.b_my, s.b_shift, s.b_zero, s.b_lo, s.b_hi)
        source = {"acc": "intar::FROM_ACC", "x": "intar::FROM_X"}[s.source]
        row = _braces(
            s.groups, s.beats, source, affine, binary, s.table, s.load, _bool(s.relu), self.tensors[s.tensor]
        )
        return Row(row, s.note)

    def _gather(self, node: Gather) -> tuple[tuple[Rom, ...], tuple[Function, ...]]:
        walks = [BufferStep(walk=step.walk, elements=True, note=step.note) for step in node.steps]
        roms = (
            self._rom("intar::walk", "STEPS", WALK_COLUMNS, [_walk_row(step) for step in walks]),
            self._rom("int32_t", "ROWS", "elements per row", [Row(str(step.row)) for step in node.steps]),
        )
        task = Function(
            f"{node.name}_task",
            "task",
            node.name,
            "one element a cycle",
            (self._port("in"), self._port("out")),
            f"intar::gather<{node.lanes}, {node.bits}>",
            (roms[0].name, roms[1].name, "in", "out"),
        )
        return roms, (task,)

    def _router(self, node: Router) -> tuple[tuple[Rom, ...], tuple[Function, ...]]:
        legs: list[Row] = []
        steps: list[Row] = []
        beats = 0
        for step in filter(None, map(_plain_rounds, node.steps)):
            steps.append(
                Row(
                    _braces(step.rounds, len(legs), len(step.legs), step.beats, step.period, step.beats_last),
                    step.note,
                )
            )
            for leg in step.legs:
                mask = sum(1 << target for target in set(leg.dsts))
                legs.append(
                    Row(
                        _braces(leg.src, f"{mask:#x}u"),
                        f"in{leg.src} to {', '.join(f'out{d}' for d in sorted(set(leg.dsts)))}",
                    )
                )
            long_rounds = step.rounds // step.period
            beats += len(step.legs) * (
                long_rounds * step.beats_last + (step.rounds - long_rounds) * step.beats
            )
        roms = (
            self._rom(
                "intar::router_step", "STEPS", "rounds, first leg, legs, beats, period, beats_last", steps
            ),
            self._rom("intar::router_leg", "LEGS", "source, targets", legs),
        )
        ports = [self._port(f"in{i}") for i in range(node.inputs)] + [
            self._port(f"out{i}") for i in range(node.outputs)
        ]
        task = Function(
            f"{node.name}_task",
            "task",
            node.name,
            "static switch",
            tuple(ports),
            "",
            (roms[0].name, roms[1].name),
            router=node,
            beats=beats,
        )
        return roms, (task,)

    def _rom(self, type_: str, suffix: str, columns: str, rows: Sequence[Row]) -> Rom:
        return Rom(type_, f"{self.upper}_{suffix}", columns, tuple(rows))


WALK_COLUMNS = "base, wrap, counts (5), strides (5), ragged, last, beats of an iteration, of the last one, counts elements"
VECTOR_COLUMNS = (
    "groups, beats, source, {affine, per channel, mult, shift, bias, zero, lo, hi}, "
    "{binary, zx, zy, mx, my, shift, zero, lo, hi}, table, load, relu, tensor"
)


def turns(node: Buffer) -> list[tuple[int, int, int]]:
    """The static order of a buffer as (turns, write iterations, read iterations), equal neighbours joined.

    Raises
    ------
    InternalError
        The order leaves out iterations, or reads before the `need` of a step is met.
    """
    _check_order(node)
    pairs: list[list[int]] = []
    for side, count in node.merged:
        if side == "w" and pairs and pairs[-1][1] == 0:
            pairs[-1][0] += count
        elif side == "w":
            pairs.append([count, 0])
        elif not pairs:
            pairs.append([0, count])
        else:
            pairs[-1][1] += count
    joined: list[tuple[int, int, int]] = []
    for writes, reads in pairs:
        if joined and joined[-1][1:] == (writes, reads):
            joined[-1] = (joined[-1][0] + 1, writes, reads)
        else:
            joined.append((1, writes, reads))
    return joined


def _check_order(node: Buffer) -> None:
    needs = {
        side: [step.need + i * step.need_step for step in steps for i in range(step.walk.counts[0])]
        for side, steps in (("w", node.writes), ("r", node.reads))
    }
    done = {"w": 0, "r": 0}
    for side, count in node.merged:
        other = "r" if side == "w" else "w"
        due = needs[side][done[side] : done[side] + count]
        if len(due) != count or any(need > done[other] for need in due):
            raise InternalError(f"the static order of buffer {node.name!r} does not fit its steps")
        done[side] += count
    if any(done[side] != len(needs[side]) for side in done):
        raise InternalError(f"the static order of buffer {node.name!r} leaves out iterations")


def _walk_row(step: BufferStep) -> Row:
    walk = step.walk
    stride0 = walk.strides[0] % walk.wrap if walk.wrap else walk.strides[0]
    values = (
        walk.base,
        walk.wrap,
        *walk.counts,
        stride0,
        *walk.strides[1:],
        walk.ragged,
        walk.last,
        _iteration_beats(walk, last=False),
        _iteration_beats(walk, last=True),
        _bool(step.elements),
    )
    return Row(_braces(*values), step.note)


def _iteration_beats(walk: Walk, last: bool) -> int:
    """Addresses of one iteration of the outermost loop."""
    _, c1, c2, c3, c4 = walk.counts
    if walk.ragged == 0:
        return c1 * c2 * c3 * (walk.last if last else c4)
    if walk.ragged > 0:
        return c1 * c2 * c3 // walk.counts[walk.ragged] * (walk.last + (walk.counts[walk.ragged] - 1) * c4)
    return c1 * c2 * c3 * c4


def _plain_rounds(step: RouterStep) -> RouterStep | None:
    """The step without rounds that move nothing; None if nothing is left. The order of beats stays."""
    long_rounds = step.rounds // step.period
    short_rounds = step.rounds - long_rounds
    if step.beats_last and (step.beats or not short_rounds):
        return step
    rounds, beats = (long_rounds, step.beats_last) if step.beats_last else (short_rounds, step.beats)
    if rounds * beats == 0:
        return None
    return step.model_copy(update={"rounds": rounds, "beats": beats, "beats_last": beats, "period": 1})


def _grow(
    bursts: list[tuple[int, int, int, list[str]]], base: int, words: int, repeat: int, note: str
) -> None:
    """Add a run, joined to the one before it when memory and order allow one longer burst."""
    if bursts and repeat == 1 and bursts[-1][2] == 1 and bursts[-1][0] + bursts[-1][1] == base:
        first, count, _, notes = bursts[-1]
        bursts[-1] = (first, count + words, 1, [*notes, note])
    else:
        bursts.append((base, words, repeat, [note]))


def _notes(notes: Sequence[str]) -> str:
    known = list(dict.fromkeys(filter(None, notes)))
    return known[0] if len(known) == 1 else f"{known[0]} ... {known[-1]}" if known else ""


def _words(beats: int, link: Link, port_bits: int) -> int:
    return -(-beats * link.lanes * link.bits // port_bits)


def _check_memory_bits(name: str, bits: int) -> None:
    if bits not in (4, 8, 16, 32, 64):
        raise InternalError(f"node {name!r} moves elements of {bits} bits to or from memory")


def group_rows(rows: int, lanes: int, bits: int) -> int:
    """Rows of a block that one inner beat holds: the largest divisor of `rows` within :data:`WIDEST_BEAT` bits."""
    fitting = [n for n in range(1, rows + 1) if rows % n == 0 and n * lanes * bits <= WIDEST_BEAT]
    return fitting[-1] if fitting else 1


def _native(bits: int) -> int:
    return next(width for width in (8, 16, 32, 64) if bits <= width)


def storage(node: Buffer, uram: bool) -> str:
    """Kind of memory for a buffer: small ones in LUTs, deep ones in UltraRAM where the part has it."""
    if node.depth <= 64:
        return "lutram"
    return "uram" if uram and node.depth >= 2048 else "bram"


def _braces(*values: object) -> str:
    return "{" + ", ".join(map(str, values)) + "}"


def _bool(value: object) -> str:
    return "true" if value else "false"


def _int64(value: int) -> str:
    return str(value) if -INT_MAX <= value <= INT_MAX else f"INT64_C({value})"


def _table_row(table: Table, base: int) -> str:
    return _braces(base, table.in_bits, table.log_entries, table.q, table.lo, table.hi)
