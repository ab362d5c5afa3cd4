"""What each node becomes in C++: one method per kind.

Everything that has to be computed is computed here, so that the templates only instantiate and wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from intar.codegen.digits import address_lanes, address_unit
from intar.codegen.hls_checks import check_supported, mate, tensor_ids
from intar.codegen.hls_rows import (
    BURST_COLUMNS,
    IMAGE_COLUMNS,
    INT_MAX,
    ROWS_COLUMNS,
    TABLE_COLUMNS,
    VECTOR_COLUMNS,
    WALK_COLUMNS,
    WORD_FIFO,
    Bursts,
    boolean,
    braces,
    check_memory_bits,
    group_rows,
    image_row,
    int64,
    mask_rows,
    native_bits,
    plain_rounds,
    rational_row,
    storage,
    table_row,
    tap_rows,
    track_rows,
    turns,
    walk_row,
    word_count,
)
from intar.codegen.hls_types import Function, Local, NodeView, Pointer, Port, Rom, Row, Stream, beat_type
from intar.codegen.shifts import shift_code
from intar.codegen.windows import window
from intar.errors import InternalError
from intar.ir.nodes.arrays import Core, Feed
from intar.ir.nodes.memories import Buffer, Image
from intar.ir.nodes.movers import Argmax, Gather, Router
from intar.ir.nodes.ports import Load, LoadStep, Store, StoreStep
from intar.ir.nodes.rows import LoadTable, Rows, RowsStep
from intar.ir.nodes.step import Step
from intar.ir.nodes.vector import Lookups, Vector, VectorStep
from intar.ir.program import Link, Node, Program
from intar.ir.segments import ends, is_played, turns_in


def node_views(program: Program, uram: bool) -> tuple[NodeView, ...]:
    """One view per node, in the program's order.

    Parameters
    ----------
    uram : whether the part has UltraRAM (large buffers go there).

    Raises
    ------
    UnsupportedError
        All loads that wait for a store, and all arguments with more than one port, unless the two take turns: neither has
        a canonical HLS form.
    InternalError
        A program that breaks its own rules (unused ports, an interleaving that does not match the steps).
    """
    check_supported(program)
    tensors = tensor_ids(program)
    return tuple(_Views(program, node, uram, tensors).view() for node in program.nodes)


def choosing(link: Link) -> bool:
    """The link brings ids to a load: in C++ both are control driven, and the load takes the words as they come."""
    return link.dst.endswith(".ids")


class _Views:
    """Makes the view of one node; one method per kind."""

    def __init__(self, program: Program, node: Node, uram: bool, tensors: dict[str, int]):
        self.program = program
        self.node = node
        self.uram = uram
        self.tensors = tensors
        self.upper = node.name.upper()
        self.round = "0" if program.rounds == (1,) else "round"
        self.ins = program.inputs_of(node.name)
        self.outs = program.outputs_of(node.name)

    def view(self) -> NodeView:
        make = getattr(self, f"_{self.node.kind}")
        roms, functions, *streams = make(self.node)
        for rom in roms:
            if not rom.rows:
                raise InternalError(f"node {self.node.name!r} has nothing to do: table {rom.name} is empty")
        functions = tuple(self._chosen(self._played(function, roms)) for function in functions)
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
        check_memory_bits(node.name, link.bits)
        bursts = Bursts()
        for step in node.steps:
            stride = node.strides[step.segment] if node.strides else 0
            bursts.add(step, word_count(step.beats, link, node.port_bits), step.repeat, stride)
        words = self._inner("words", word, WORD_FIFO, f"words of {node.argument}")
        runs = self._rom(
            "intar::burst",
            "BURSTS",
            BURST_COLUMNS,
            bursts.rows(),
            bursts.segments,
        )
        transfers = self._listed(
            "intar::transfer",
            "STEPS",
            "beats, repeat",
            [Row(f"{{{s.beats}, {s.repeat}}}", s.note) for s in node.steps],
            node.steps,
        )
        narrow = link.lanes * link.bits <= node.port_bits
        gearbox = "split_words" if narrow else "join_words"
        if node.lookup:
            runs = self._table_runs(node, link)
        fetch = Function(
            f"{node.name}_fetch",
            "load",
            node.name,
            f"bursts from {node.argument}",
            (Port("out", word, words.name),),
            f"intar::fetch<{node.port_bits}>",
            (runs.name, self.round, node.argument, "out"),
            pointer=Pointer(f"const {word}*", node.argument),
        )
        unpack = Function(
            f"{node.name}_unpack",
            "task",
            node.name,
            f"words of {node.argument} to beats",
            (Port("in", word, words.name), self._port("out")),
            f"intar::{gearbox}<{link.bits}, {link.lanes}, {node.port_bits}>",
            (transfers.name, "in", "out"),
        )
        if node.lookup:
            ids = Port("ids", word, f"{self.ins['ids'].src.split('.')[0]}_words")
            fetch = replace(
                fetch,
                about=f"rows of tables in {node.argument}, chosen by ids",
                ports=(ids, *fetch.ports),
                callee=f"intar::lookup<{node.port_bits}>",
                arguments=(runs.name, node.argument, "ids", "out"),
            )
        if node.after:
            return (transfers,), (unpack,), (words,)
        if choosing(link):
            return (runs,), (fetch,), (words,)
        return (runs, transfers), (fetch, unpack), (words,)

    def _table_runs(self, node: Load, link: Link) -> Rom:
        rows = [
            braces(s.base, word_count(s.beats, link, node.port_bits), s.repeat, s.table - 1, s.pitch)
            for s in node.steps
        ]
        return self._rom(
            "intar::table_run",
            "ROWS",
            TABLE_COLUMNS,
            [Row(row, step.note) for row, step in zip(rows, node.steps, strict=True)],
            [s.segment for s in node.steps],
        )

    def _store(self, node: Store) -> tuple[tuple[Rom, ...], tuple[Function, ...], tuple[Stream, ...]]:
        link = self._link("in")
        word = f"intar::word<{node.port_bits}>"
        check_memory_bits(node.name, link.bits)
        words = self._inner("words", word, WORD_FIFO, f"words of {node.argument}")
        reload = mate(self.program, node)
        roms = (
            self._listed(
                "intar::transfer",
                "STEPS",
                "beats, repeat",
                [Row(f"{{{s.beats}, 1}}", s.note) for s in node.steps],
                node.steps,
            ),
            self._bursts(node, link) if reload is None else self._turns(node, link, reload),
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
        taken = Port("in", word, words.name)
        moved = (
            ()
            if reload is None
            else (f"intar::appended(position, {self.program.positions}, {node.row})" if node.row else "0",)
        )
        back = () if reload is None else (Port("out", word, f"{reload.name}_words"),)
        drain = Function(
            f"{node.name}_drain" if reload is None else f"{node.name}_exchange",
            "store",
            node.name,
            f"bursts to {node.argument}"
            + ("" if reload is None else ", and back (a process in a loop of streams: Vitis warns)"),
            (taken, *back),
            f"intar::{'drain' if reload is None else 'exchange'}<{node.port_bits}>",
            (roms[1].name, self.round, *moved, "in", *(port.name for port in back), node.argument),
            pointer=Pointer(f"{word}*", node.argument),
            scalars=("position",) if node.row else (),
        )
        return roms, (pack, drain), (words,)

    def _bursts(self, node: Store, link: Link) -> Rom:
        bursts = Bursts()
        for step in node.steps:
            bursts.add(step, word_count(step.beats, link, node.port_bits))
        return self._rom("intar::burst", "BURSTS", BURST_COLUMNS, bursts.rows(), bursts.segments)

    def _turns(self, node: Store, link: Link, reload: Load) -> Rom:
        """The commands of a store and of the load that takes turns with it."""
        writes, reads = iter(node.steps), iter(reload.steps)
        back = self.program.outputs_of(reload.name)["out"]
        rows: list[Row] = []
        segments: list[int] = []
        for segment in self.program.segments:
            for side, commands in turns_in(node, reload, segment):
                bursts = Bursts()
                for _ in range(commands):
                    step: StoreStep | LoadStep = next(writes) if side == "w" else next(reads)
                    repeat = step.repeat if isinstance(step, LoadStep) else 1
                    moving, beats = (node.strides, link) if side == "w" else (reload.strides, back)
                    stride = moving[segment] if moving else 0
                    bursts.add(step, word_count(step.beats, beats, node.port_bits), repeat, stride)
                rows += [Row(f"{{{row.values}, {int(side == 'r')}}}", row.note) for row in bursts.rows()]
                segments += bursts.segments
        return self._rom("intar::passage", "TURNS", f"{{{BURST_COLUMNS}}}, reads", rows, segments)

    # ---- buffers

    def _buffer(self, node: Buffer) -> tuple[tuple[Rom, ...], tuple[Function, ...]]:
        lanes = address_lanes(node)
        writes, reads = (
            [walk_row(step, lanes, address_unit(step, lanes)) for step in steps]
            for steps in (node.writes, node.reads)
        )
        roms = (
            self._listed("intar::walk", "WRITES", WALK_COLUMNS, writes, node.writes),
            self._listed("intar::walk", "READS", WALK_COLUMNS, reads, node.reads),
            self._order(node),
        )
        memory = Local(
            beat_type(node.lanes, node.bits),
            "memory",
            f"[{node.depth}]",
            (f"BIND_STORAGE variable=memory type=ram_s2p impl={storage(node.depth, self.uram)}",),
        )
        task = Function(
            f"{node.name}_task",
            "task",
            node.name,
            f"{node.depth} beats of memory",
            (self._port("in"), self._port("out")),
            f"intar::buffer<{node.lanes}, {node.bits}, {lanes}>",
            (*(rom.name for rom in roms), "memory", "in", "out"),
            (memory,),
        )
        return roms, (task,)

    def _order(self, node: Buffer | Image) -> Rom:
        order = [(s, turn) for s in self.program.segments for turn in turns(node, s)]
        rows = [Row(f"{{{t}, {w}, {r}}}") for _, (t, w, r) in order]
        return self._rom("intar::turn", "ORDER", "turns, writes, reads", rows, [s for s, _ in order])

    def _image(self, node: Image) -> tuple[tuple[Rom, ...], tuple[Function, ...]]:
        roms = (
            self._listed(
                "intar::walk",
                "WRITES",
                WALK_COLUMNS,
                [walk_row(step) for step in node.writes],
                node.writes,
            ),
            self._listed(
                "intar::image_step",
                "READS",
                IMAGE_COLUMNS,
                [image_row(node, s) for s in node.reads],
                node.reads,
            ),
            self._rom("intar::tap", "TAPS", "beat, element, low, high, column mask", tap_rows(node)),
            self._rom(
                f"intar::lane_mask<{node.lanes}>", "MASKS", "64 lanes a word, lowest first", mask_rows(node)
            ),
            self._rom(
                f"intar::track<{node.lanes}>",
                "TRACKS",
                "columns, near, far and turn of each lane",
                track_rows(node),
            ),
            self._order(node),
        )
        bank, pairs = (node.depth + 1) // 2, -(-(window(node) + node.lanes - 1) // (2 * node.lanes))
        banks = tuple(
            Local(
                beat_type(node.lanes, node.bits),
                name,
                f"[{bank}]",
                (f"BIND_STORAGE variable={name} type=ram_s2p impl={storage(bank, self.uram)}",),
            )
            for name in ("even", "odd")
        )
        task = Function(
            f"{node.name}_task",
            "task",
            node.name,
            f"{node.depth} beats of images, read in windows",
            (self._port("in"), self._port("out")),
            f"intar::image<{node.lanes}, {node.bits}, {(node.lanes - 1).bit_length()}, {bank}, {pairs}>",
            (*(rom.name for rom in roms), "even", "odd", "in", "out"),
            banks,
        )
        return roms, (task,)

    # ---- matrix products

    def _feed(self, node: Feed) -> tuple[tuple[Rom, ...], tuple[Function, ...], tuple[Stream, ...]]:
        rom = self._listed(
            "intar::feed_step",
            "STEPS",
            "tiles, m_tiles, rows, rows_last, blocks, k_first, k_last, replay",
            [
                Row(
                    braces(s.tiles, s.m_tiles, s.rows, s.rows_last, s.blocks, s.k_first, s.k_last, s.replay),
                    s.note,
                )
                for s in node.steps
            ],
            node.steps,
        )
        group = group_rows(node.rows, node.lanes, native_bits(node.bits))
        wide = beat_type(group * node.lanes, node.bits)
        blocks = self._inner(
            "blocks", wide, max(2, node.rows // group), "blocks of rows that wait to be sent"
        )
        order = f"{node.depth}, {'true' if node.by_channel else 'false'}"
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
            f"intar::feed_send<{node.rows}, {group}, {node.lanes}, {node.bits}, {order}>",
            (rom.name, "in", "out"),
        )
        return (rom,), (collect, send), (blocks,)

    def _core(self, node: Core) -> tuple[tuple[Rom, ...], tuple[Function, ...], tuple[Stream, ...]]:
        group = group_rows(node.rows, node.lanes, native_bits(node.acc_bits))
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
                    braces(
                        s.tiles, s.m_tiles, s.visits, s.contexts, s.k, s.k_last, s.rows, s.rows_last, groups
                    ),
                    s.note,
                )
            )
        rom = self._listed(
            "intar::core_step",
            "STEPS",
            "tiles, m_tiles, visits, contexts, k, k_last, rows, rows_last, groups",
            rows,
            node.steps,
        )
        wide = beat_type(group * node.lanes, node.acc_bits)
        tiles = self._inner(
            "tiles", wide, max(2, node.rows // group), "finished accumulators that wait to be drained"
        )
        ports = (self._port("a"), self._port("w"), Port("out", wide, tiles.name))
        used = ", ".join(map(str, (*node.operand_bits, node.pack)))
        sizes = f"{node.rows}, {group}, {node.lanes}, {node.depth}, {node.a_bits}, {node.w_bits}, {used}, {node.acc_bits}"
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
        steps = self._listed(
            "intar::vector_step",
            "STEPS",
            VECTOR_COLUMNS,
            [self._vector_row(node, step) for step in node.steps],
            node.steps,
        )
        tables, locals_ = self._tables(node)
        rationals = self._rom(
            "intar::rational_info",
            "RATIONALS",
            "first, groups, zero, lift, fraction, out_zero, lo, hi",
            [Row(rational_row(slot)) for slot in node.rationals]
            or [Row("{0, 1, 0, 0, 7, 0, 0, 0}", "no rational function")],
        )
        locals_.append(
            Local(
                "int32_t",
                "coefficients",
                f"[{node.rate}][{max(1, node.rational_groups)}][intar::RATIONAL_WORDS]",
                (
                    "ARRAY_PARTITION variable=coefficients type=complete dim=1",
                    "ARRAY_PARTITION variable=coefficients type=complete dim=3",
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
        flags = f"{boolean(node.shift_only)}, {boolean(node.tables)}, {node.parts}, {node.entry_bits}"
        flags += f", {boolean(node.rationals)}"
        sizes = f"{node.lanes}, {node.rate}, {node.acc_bits}, {node.bits}, {node.value_bits}, {flags}"
        task = Function(
            f"{node.name}_task",
            "task",
            node.name,
            f"{node.rate} of {node.lanes} lanes a cycle",
            (*ports, self._port("out")),
            f"intar::vector_unit<{sizes}>",
            (
                *(steps.name, tables.name, rationals.name, "bases", "slopes", "curves", "coefficients"),
                *("acc", "x", "y", "params", "out"),
            ),
            tuple(locals_),
        )
        return (steps, tables, rationals), (task,)

    def _tables(self, node: Lookups) -> tuple[Rom, list[Local]]:
        """The geometry of a unit's tables and the memories that hold them."""
        infos, entries = [Row(table_row(table)) for table in node.tables], node.table_entries
        tables = self._rom(
            "intar::table_info",
            "TABLES",
            "base, in_bits, log_entries, entries, q, lo, hi",
            infos or [Row("{0, 4, 4, 16, 0, 0, 0}", "no table")],
        )
        locals_: list[Local] = []
        for name, used in (("bases", True), ("slopes", node.slopes), ("curves", node.curves)):
            held = entries if used else 0
            storage_ = "bram" if held > 64 else "lutram"
            locals_.append(
                Local(
                    "int32_t",
                    name,
                    f"[{node.rate}][{max(1, held)}]",
                    (
                        f"ARRAY_PARTITION variable={name} type=complete dim=1",
                        f"BIND_STORAGE variable={name} type=ram_s2p impl={storage_}",
                    ),
                )
            )
        return tables, locals_

    def _vector_row(self, node: Vector, s: VectorStep) -> Row:
        if s.load < 0 and s.groups * s.beats == 0:
            raise InternalError(f"a step of vector unit {self.node.name!r} has no beats")
        params = {"lane": "intar::LANE_PARAMS", "row": "intar::ROW_PARAMS"}[s.params]
        affine = braces(
            boolean(s.affine),
            params if s.per_channel else "intar::NO_PARAMS",
            s.mult,
            s.shift,
            int64(s.bias),
            s.zero,
            s.lo,
            s.hi,
        )
        binary_name = {"none": "intar::NO_BINARY", "add": "intar::BINARY_ADD", "mul": "intar::BINARY_MUL"}[
            s.binary
        ]
        mx, my = s.b_mx, s.b_my
        if node.shift_only and s.binary != "none":
            mx, my = shift_code(mx) & 31, shift_code(my)
        binary = braces(binary_name, s.b_zx, s.b_zy, mx, my, s.b_shift, s.b_zero, s.b_lo, s.b_hi)
        source = {"acc": "intar::FROM_ACC", "x": "intar::FROM_X"}[s.source]
        row = braces(
            s.groups,
            s.beats,
            source,
            s.reduce,
            s.pool,
            affine,
            binary,
            *(
                place
                for pair in zip(node.places(s.table), node.places(s.load), strict=True)
                for place in pair
            ),
            boolean(s.relu),
            self.tensors[s.tensor],
        )
        return Row(row, s.note)

    def _gather(self, node: Gather) -> tuple[tuple[Rom, ...], tuple[Function, ...]]:
        roms = (
            self._listed(
                "intar::walk",
                "STEPS",
                WALK_COLUMNS,
                [walk_row(step, node.lanes) for step in node.steps],
                node.steps,
            ),
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

    def _argmax(self, node: Argmax) -> tuple[tuple[Rom, ...], tuple[Function, ...]]:
        rows = [Row(braces(s.rows, *node.beats(s)), s.note) for s in node.steps]
        rom = self._rom(
            "intar::argmax_step",
            "STEPS",
            "rows, beats, lanes of the last beat",
            rows,
            [s.segment for s in node.steps],
        )
        task = Function(
            f"{node.name}_task",
            "task",
            node.name,
            "index of the first largest element of each row",
            (self._port("in"), self._port("out")),
            f"intar::argmax<{node.lanes}, {node.bits}>",
            (rom.name, "in", "out"),
        )
        return (rom,), (task,)

    def _rows(self, node: Rows) -> tuple[tuple[Rom, ...], tuple[Function, ...]]:
        rows = [Row(self._rows_row(node, step), step.note) for step in node.steps]
        rom = self._listed("intar::rows_step", "STEPS", ROWS_COLUMNS, rows, node.steps)
        places = node.depth * node.lanes // node.rate
        locals_ = [
            Local(
                kind,
                name,
                f"[{node.rate}][{places}]",
                (
                    f"ARRAY_PARTITION variable={name} type=complete dim=1",
                    f"BIND_STORAGE variable={name} type=ram_s2p impl={'lutram' if places <= 64 else 'bram'}",
                ),
            )
            for name, kind in (("row", f"intar::element<{node.bits}>"), ("powers", "int32_t"))
        ]
        tables, memories = self._tables(node)
        locals_ += memories
        loads = self._listed(
            "int32_t",
            "LOADS",
            "slots of tables that are filled",
            [Row(str(load.table), load.note) for load in node.loads] or [Row("0", "no table")],
            node.loads or (LoadTable(table=0),),
        )
        ports = [self._port("in")]
        for name in ("params", "tables"):
            if name in self.ins:
                ports.append(self._port(name))
            else:
                locals_.append(Local(f"intar::absent<{beat_type(node.lanes, 32)} >", name, ""))
        kinds = f"{boolean(node.softmax)}, {boolean(node.norm)}, {boolean(node.tables)}, {node.parts}, {node.entry_bits}"
        task = Function(
            f"{node.name}_task",
            "task",
            node.name,
            " and ".join(["softmax"] * node.softmax + ["normalisation"] * node.norm) + " of rows",
            (*ports, self._port("out")),
            f"intar::rows_unit<{node.lanes}, {node.rate}, {node.bits}, {kinds}>",
            (
                *(rom.name, loads.name, "position" if node.placed else "0", tables.name),
                *("bases", "slopes", "curves", "row", "powers"),
                *("in", "params", "tables", "out"),
            ),
            tuple(locals_),
            placed=Port("placed", "int32_t", f"{node.name}_position") if node.placed else None,
        )
        return (rom, loads, tables), (task,)

    def _rows_row(self, node: Rows, s: RowsStep) -> str:
        norm = s.op == "norm"
        return braces(
            boolean(norm),
            s.rows,
            -(-s.cols // node.lanes),
            s.cols,
            s.first,
            int(s.grow),
            s.cached,
            s.mult,
            s.shift,
            int64(s.epsilon if norm else s.numerator),
            s.out_shift,
            boolean(s.centred),
            s.lift,
            s.zero,
            s.lo,
            s.hi,
            s.table,
            boolean(s.relu),
            self.tensors[s.tensor],
        )

    def _router(self, node: Router) -> tuple[tuple[Rom, ...], tuple[Function, ...]]:
        if node.outputs > 128:
            raise InternalError(
                f"router {node.name!r} has {node.outputs} outputs, a pattern has bits for 128"
            )
        legs: list[Row] = []
        steps: list[Row] = []
        segments: list[int] = []
        beats = [0 for _ in self.program.segments]
        for step in filter(None, map(plain_rounds, node.steps)):
            steps.append(
                Row(
                    braces(step.rounds, len(legs), len(step.legs), step.beats, step.period, step.beats_last),
                    step.note,
                )
            )
            segments.append(step.segment)
            for leg in step.legs:
                mask = sum(1 << target for target in set(leg.dsts))
                legs.append(
                    Row(
                        braces(leg.src, braces(f"{mask % (1 << 64):#x}u", f"{mask >> 64:#x}u")),
                        f"in{leg.src} to {', '.join(f'out{d}' for d in sorted(set(leg.dsts)))}",
                    )
                )
            long_rounds = step.rounds // step.period
            beats[step.segment] += len(step.legs) * (
                long_rounds * step.beats_last + (step.rounds - long_rounds) * step.beats
            )
        columns = "rounds, first leg, legs, beats, period, beats_last"
        listed = self._rom("intar::router_step", "STEPS", columns, steps, segments)
        roms = [listed, self._rom("intar::router_leg", "LEGS", "source, targets", legs)]
        total = str(beats[0])
        if len(beats) > 1:
            roms.append(self._rom("int32_t", "BEATS", "beats of each segment", [Row(str(b)) for b in beats]))
            total = f"{roms[-1].name}[segment]"
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
            (f"{listed.name}, {roms[1].name}",),
            router=node,
            first=f"{self._part(listed)}.first" if len(beats) > 1 else "0",
            beats=total,
        )
        return tuple(roms), (task,)

    def _rom(
        self, type_: str, suffix: str, columns: str, rows: Sequence[Row], segments: Sequence[int] = ()
    ) -> Rom:
        """A table; with the segment of each row it is a list that segments play parts of."""
        behind = ends(segments, len(self.program.rounds))
        parts = tuple(zip((0, *behind), behind, strict=False)) if segments else ()
        return Rom(type_, f"{self.upper}_{suffix}", columns, tuple(rows), parts)

    def _listed(
        self, type_: str, suffix: str, columns: str, rows: Sequence[Row], steps: Sequence[Step]
    ) -> Rom:
        """A list with a row for each step; where rounds have steps of their own, of what each play has."""
        rom = self._rom(type_, suffix, columns, rows, [step.segment for step in steps])
        if all(step.only < 0 for step in steps):
            return rom
        parts = []
        for play in self.program.plays:
            own = [i for i, step in enumerate(steps) if is_played(step, *play)]
            parts.append((own[0], own[-1] + 1) if own else (0, 0))
        return replace(rom, parts=tuple(parts), by_play=True)

    def _played(self, function: Function, roms: Sequence[Rom]) -> Function:
        """The function with the part that it plays beside each list among its arguments."""
        parts = {rom.name: self._part(rom) for rom in roms if rom.parts}
        arguments = []
        for argument in function.arguments:
            arguments += [argument, parts[argument]] if argument in parts else [argument]
        return replace(function, arguments=tuple(arguments))

    def _chosen(self, function: Function) -> Function:
        """The function with the number of the entry that a call performs: a task gets it through a stream."""
        if not self.program.entries:
            return function
        if function.role == "task":
            return replace(function, entry=Port("chosen", "int32_t", f"{function.name}_entry"))
        return replace(function, scalars=("entry", *function.scalars))

    def _part(self, rom: Rom) -> str:
        if len(rom.parts) > 1:
            return f"{rom.name}_PARTS[{'PLAYS[segment] + round' if rom.by_play else 'segment'}]"
        return "{" + ", ".join(map(str, rom.parts[0])) + "}"
