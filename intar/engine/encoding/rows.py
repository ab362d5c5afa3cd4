"""Rows nodes as the C++ side reads them."""

from __future__ import annotations

from intar.engine.encoding.encoder import Encoder
from intar.engine.encoding.functions import tables
from intar.ir import exp2, norm
from intar.ir.nodes.rows import Rows, RowsStep

ROW_OPS = ("softmax", "norm", "unit", "peak")
"""Operations of a rows node in the order of their numbers."""


def _rows_in_range(step: RowsStep) -> bool:
    """The bounds of docs/numerics.md."""
    if step.op == "norm":
        lengths = step.cols <= norm.MAX_COLS and 0 <= step.lift < norm.BITS
        factors = 1 <= step.shift <= norm.MAX_SHIFT and 1 <= step.epsilon < 1 << norm.EPSILON_BITS
        return lengths and factors and norm.OFFSET_FRACTION <= step.out_shift <= norm.MAX_OUT_SHIFT
    if step.op == "peak":
        return step.cols <= 1 << exp2.MAX_LOG_COLS
    low, high = 1 << (exp2.NUMERATOR_BITS - 1), 1 << exp2.NUMERATOR_BITS
    if step.op == "unit":
        factors = 1 <= step.out_shift <= 46 - exp2.ONE_BITS
        return step.cols <= 1 << exp2.MAX_LOG_COLS and factors and low <= step.numerator < high
    factors = 0 < step.mult < 1 << 25 and 1 <= step.shift <= 46 and 1 <= step.out_shift <= 46
    return step.cols <= 1 << exp2.MAX_LOG_COLS and factors and low <= step.numerator < high


def rows(e: Encoder, node: Rows) -> None:
    """Append a rows node: its tables and their loads, the table of powers, and a pass for each step."""
    e.port(node, "in", bool(node.steps), node.lanes, node.bits)
    e.port(node, "params", node.norm, node.lanes, 32)
    e.port(node, "tables", bool(node.loads), node.lanes, 32)
    e.port(node, "out", bool(node.steps), node.lanes)
    e.expect(node.rate > 0 and node.lanes % max(node.rate, 1) == 0, node.name, "rate does not divide lanes")
    e.expect(node.held & (node.held - 1) == 0, node.name, "rows held are no power of two")
    tables(e, node)
    loads = e.played(node.loads)
    e.expect(all(s.table < len(node.tables) for s in loads), node.name, "there is no such table slot")
    e.put(len(loads), *(step.table for step in loads))
    e.put(node.lanes, node.rate, node.held, node.divisions, node.norm, 2 * len(exp2.table()))
    for entry in exp2.table():
        e.put(*entry)
    steps = e.played(node.steps)
    e.put(len(steps))
    for index, step in enumerate(steps):
        where = f"{node.name} step {index}"
        beats = step.beats(node.lanes)
        e.expect(beats <= node.depth, where, f"rows of {beats} beats in a memory of {node.depth}")
        e.expect(_rows_in_range(step), where, "a factor or a length is out of range")
        e.expect(-1 <= step.table < len(node.tables), where, "there is no such table slot")
        filled = step.table < 0 or any(load.table == step.table for load in loads)
        e.expect(filled, where, f"nothing fills table {step.table}")
        grouped = step.table >= 0 and node.tables[step.table].groups > 1
        e.expect(step.op == "norm" or not grouped, where, "a table with groups needs columns that say which")
        e.expect(step.cached < step.first, where, "no element of a row may count")
        plain = step.table < 0 and not (step.visible or step.grow or step.cached)
        alone = step.op in ("softmax", "norm") or plain
        e.expect(alone, where, "a peak, or a row over it, has neither table nor mask")
        e.put(ROW_OPS.index(step.op), step.rows, beats, step.cols, step.first, step.grow)
        e.put(min(e.position, step.cached), step.cached)
        e.put(step.mult, step.shift, step.numerator, step.out_shift)
        e.put(step.centred, step.lift, step.epsilon, step.zero, step.lo, step.hi, step.table)
    e.unit(node, "", steps, node.steps)
