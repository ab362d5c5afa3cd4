"""Vector units and rows nodes in C++, and the functions that they hold."""

from __future__ import annotations

from intar.codegen.hls_nodes.text import boolean, braces, int64
from intar.codegen.hls_nodes.view import Parts, View
from intar.codegen.hls_types import Local, Port, Rom, Row, beat_type
from intar.codegen.shifts import shift_code
from intar.errors import InternalError
from intar.ir.nodes.rows import LoadTable, Rows, RowsStep
from intar.ir.nodes.vector import Lookups, Rational, Table, Vector, VectorStep

VECTOR_COLUMNS = (
    "groups, beats, source, reduce, pool, {affine, params, block, first, mult, shift, bias, late, zero, lo, hi}, "
    "{binary, zx, zy, mx, my, shift, zero, lo, hi}, table, load, rational, load, relu, tensor"
)
ROWS_COLUMNS = (
    "op, rows, beats, cols, first, grow, cached, mult, shift, numerator, out_shift, centred, lift, zero, lo, hi, table, "
    "relu, tensor"
)


def vector(view: View, node: Vector) -> Parts:
    """A task with the memories of the unit's functions."""
    steps = view.listed(
        "intar::vector_step",
        "STEPS",
        VECTOR_COLUMNS,
        [_vector_row(view, node, step) for step in node.steps],
        node.steps,
    )
    tables, locals_ = _tables(view, node)
    rationals = view.rom(
        "intar::rational_info",
        "RATIONALS",
        "first, groups, zero, lift, fraction, out_zero, lo, hi",
        [Row(_rational_row(slot)) for slot in node.rationals]
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
        if name in view.ins:
            ports.append(view.port(name))
        else:
            locals_.append(Local(f"intar::absent<{beat_type(lanes, bits)} >", name, ""))
    flags = f"{boolean(node.shift_only)}, {boolean(node.tables)}, {node.parts}, {node.entry_bits}"
    flags += f", {boolean(node.rationals)}"
    sizes = f"{node.lanes}, {node.rate}, {node.acc_bits}, {node.bits}, {node.value_bits}, {flags}"
    task = view.task(
        "task",
        f"{node.rate} of {node.lanes} lanes a cycle",
        (*ports, view.port("out")),
        f"intar::vector_unit<{sizes}>",
        (
            *(steps.name, tables.name, rationals.name, "bases", "slopes", "curves", "coefficients"),
            *("acc", "x", "y", "params", "out"),
        ),
        tuple(locals_),
    )
    return Parts((steps, tables, rationals), (task,))


def _vector_row(view: View, node: Vector, s: VectorStep) -> Row:
    if s.load < 0 and s.groups * s.beats == 0:
        raise InternalError(f"a step of vector unit {view.node.name!r} has no beats")
    params = {"lane": "intar::LANE_PARAMS", "row": "intar::ROW_PARAMS"}[s.params]
    affine = braces(
        boolean(s.affine),
        params if s.per_channel else "intar::NO_PARAMS",
        s.block,
        s.first,
        s.mult,
        s.shift,
        int64(s.bias),
        boolean(s.late),
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
    binary = braces(
        binary_name, s.b_zx, s.b_zy, mx, my, s.b_shift, s.b_zero, s.b_lo, s.b_hi, boolean(s.spread)
    )
    source = {"acc": "intar::FROM_ACC", "x": "intar::FROM_X"}[s.source]
    row = braces(
        s.groups,
        s.beats,
        source,
        s.reduce,
        s.pool,
        affine,
        binary,
        *(place for pair in zip(node.places(s.table), node.places(s.load), strict=True) for place in pair),
        boolean(s.relu),
        view.tensors[s.tensor],
    )
    return Row(row, s.note)


def rows(view: View, node: Rows) -> Parts:
    """A task with the memories of a row, of its powers and of the unit's functions."""
    rows = [Row(_rows_row(view, node, step), step.note) for step in node.steps]
    rom = view.listed("intar::rows_step", "STEPS", ROWS_COLUMNS, rows, node.steps)
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
    tables, memories = _tables(view, node)
    locals_ += memories
    loads = view.listed(
        "int32_t",
        "LOADS",
        "slots of tables that are filled",
        [Row(str(load.table), load.note) for load in node.loads] or [Row("0", "no table")],
        node.loads or (LoadTable(table=0),),
    )
    ports = [view.port("in")]
    for name in ("params", "tables"):
        if name in view.ins:
            ports.append(view.port(name))
        else:
            locals_.append(Local(f"intar::absent<{beat_type(node.lanes, 32)} >", name, ""))
    kinds = ", ".join(boolean(kind) for kind in (node.softmax, node.norm, node.peaks, node.tables))
    kinds += f", {node.parts}, {node.entry_bits}"
    does = ["softmax"] * node.softmax + ["normalisation"] * node.norm + ["peaks"] * node.peaks
    task = view.task(
        "task",
        " and ".join(does) + " of rows",
        (*ports, view.port("out")),
        f"intar::rows_unit<{node.lanes}, {node.rate}, {node.bits}, {kinds}>",
        (
            *(rom.name, loads.name, "position" if node.placed else "0", tables.name),
            *("bases", "slopes", "curves", "row", "powers"),
            *("in", "params", "tables", "out"),
        ),
        tuple(locals_),
        placed=Port("placed", "int32_t", f"{node.name}_position") if node.placed else None,
    )
    return Parts((rom, loads, tables), (task,))


def _rows_row(view: View, node: Rows, s: RowsStep) -> str:
    return braces(
        f"intar::ROW_{s.op.upper()}",
        s.rows,
        s.beats(node.lanes),
        s.cols,
        s.first,
        int(s.grow),
        s.cached,
        s.mult,
        s.shift,
        int64(s.epsilon if s.op == "norm" else s.numerator),
        s.out_shift,
        boolean(s.centred),
        s.lift,
        s.zero,
        s.lo,
        s.hi,
        s.table,
        boolean(s.relu),
        view.tensors[s.tensor],
    )


def _tables(view: View, node: Lookups) -> tuple[Rom, list[Local]]:
    """The geometry of a unit's tables and the memories that hold them."""
    infos, entries = [Row(_table_row(table)) for table in node.tables], node.table_entries
    tables = view.rom(
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


def _table_row(table: Table) -> str:
    return braces(table.first, table.in_bits, table.log_entries, table.entries, table.q, table.lo, table.hi)


def _rational_row(slot: Rational) -> str:
    return braces(
        slot.first, slot.groups, slot.zero, slot.lift, slot.fraction, slot.out_zero, slot.lo, slot.hi
    )
