"""The cost model: bytes of tensors, weights, parameters and functions on chip, and how long functions take to be loaded."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from intar.ir import parameters
from intar.ir.quantgraph import TableSpec
from intar.ir.rational import WORDS
from intar.ir.schedule import Machine
from intar.schedule.cost import rest_of, rounds, sharing
from intar.schedule.work import Work, ceil_div, row_beats


def tensor_bytes(rows: int, cols: int, bits: int, machine: Machine) -> int:
    """Bytes of one on-chip copy of `rows` rows."""
    return ceil_div(rows * row_beats(cols, machine) * machine.lanes * bits, 8)


def tile_bytes(rows: int, cols: int, bits: int, tile_rows: int, machine: Machine) -> int:
    """Bytes of one copy of a tensor that exists as two row tiles; 0 tile rows: as a whole."""
    held = min(2 * tile_rows, rows) if tile_rows else rows
    return tensor_bytes(held, cols, bits, machine)


def kernel_bytes(works: Sequence[Work], machine: Machine) -> int:
    """Weights of convolutions on all cores: a row of whole beats for each filter, or the ring that they pass through."""
    convolutions = [work for work in works if work.kind == "conv"]
    if convolutions and machine.kernel_ring:
        bits = machine.kernel_ring * machine.lanes * convolutions[0].w_bits
        return ceil_div(bits, 8) * machine.cores
    beats = [sum(n * ceil_div(taps, machine.lanes) for n, taps in work.filters) for work in convolutions]
    each = [ceil_div(n * machine.lanes * work.w_bits, 8) for n, work in zip(beats, convolutions, strict=True)]
    return sum(each) * machine.cores


def ring_bytes(k: int, w_bits: int, machine: Machine) -> int:
    """Weight rings of all cores for reductions of length `k`: two column tiles each."""
    return ceil_div(2 * machine.pairs(k) * machine.depth * machine.lanes * w_bits, 8) * machine.cores


def resident_bytes(work: Work, cores: int, machine: Machine) -> int:
    """All weights of a task kept on chip, in equal memories of `cores` cores."""
    if work.kind != "matmul":
        return 0
    beats = rounds(work, cores, machine) * machine.pairs(work.k) * machine.depth
    return ceil_div(beats * machine.lanes * work.w_bits, 8) * sharing(work, cores, machine)


def column_bytes(work: Work, cols: int, machine: Machine) -> int:
    """Parameters of so many columns of a matmul, and their weights where they are on chip from the start."""
    own = parameter_bytes(cols, machine)
    if machine.on_chip:
        beats = row_beats(cols, machine) * machine.pairs(work.k) * machine.depth
        own += ceil_div(beats * machine.lanes * work.stream_bits, 8)
    return own


def copied_bytes(work: Work, rows: int, cores: int, resident: bool, machine: Machine) -> int:
    """What several cores have of a matmul (`column_bytes`), because they share its rows, or in row tiles of `rows` rows for
    its last column blocks."""
    if work.kind == "matmul" and work.by_rows:
        return (sharing(work, cores, machine) - 1) * column_bytes(work, work.cols, machine)
    rest = None if resident else rest_of(work, rows, cores, machine)
    return column_bytes(work, rest.cores * machine.lanes, machine) if rest else 0


def most_copied_bytes(work: Work, cores: int, machine: Machine) -> int:
    """At most so many bytes of a task's constants are on several cores, however many rows a tile has."""
    if work.kind != "matmul" or work.by_rows:
        return copied_bytes(work, work.rows, cores, False, machine)
    return column_bytes(work, row_beats(work.cols, machine) % cores * machine.lanes, machine)


def parameter_bytes(cols: int, machine: Machine) -> int:
    """Multiplier, shift and bias of every output channel: 16 bytes each, whole beats."""
    return 16 * row_beats(cols, machine) * machine.lanes


def norm_parameter_bytes(cols: int, machine: Machine) -> int:
    """Gain and offset of every column of a normalisation: 8 bytes each, whole beats."""
    return 8 * row_beats(cols, machine) * machine.lanes


def row_parameter_bytes(work: Work, machine: Machine) -> int:
    """Multiplier, shift and bias of every channel of a convolution, on each core: whole beats of 32-bit elements, in
    which what phases have alike may lie once."""
    channels = [count for count, _ in work.groups]
    beats = parameters.parameter_bytes(channels, machine.rows, work.reduce, machine.lanes)
    return work.sets * beats * machine.cores


def rows_bytes(cols: int, bits: int, machine: Machine) -> int:
    """Row memory and power memory of the rows node, of as many rows as it holds, powers of 25 bits."""
    return ceil_div(machine.row_slots * row_beats(cols, machine) * machine.lanes * (bits + 25), 8)


def table_bytes(spec: TableSpec, tables: Sequence[TableSpec], machine: Machine) -> int:
    """A function table, all its groups, in whole beats: results of 8 or 16 bits where none of all `tables` has more, else
    32-bit bases and, where one of the tables has them, slopes and curves."""
    parts = max(len(table.arrays) for table in tables)
    low, high = min(table.lo for table in tables), max(table.hi for table in tables)
    narrow = [size for size in (1, 2) if -(1 << (8 * size - 1)) <= low and high < 1 << (8 * size - 1)]
    size = narrow[0] if narrow and parts == 1 else 4
    return 4 * parts * machine.lanes * ceil_div(spec.entries * size, 4 * machine.lanes)


def table_load_cycles(spec: TableSpec, tables: Sequence[TableSpec], machine: Machine) -> int:
    """Cycles in which a function table is loaded: up to 16 bytes of it a cycle."""
    return table_bytes(spec, tables, machine) // (4 * gcd(machine.lanes, 4))


def direct_load_cycles(groups: int, machine: Machine) -> int:
    """Cycles in which the coefficients of a rational function are loaded: a beat a cycle, each group begins one."""
    return groups * ceil_div(WORDS, machine.lanes)


def direct_bytes(groups: int, machine: Machine) -> int:
    """The coefficients of a rational function that is evaluated, all its groups: whole beats of 32-bit numbers."""
    return 4 * groups * machine.lanes * -(-WORDS // machine.lanes)
