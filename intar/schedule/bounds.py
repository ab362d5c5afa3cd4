"""Cycles that every schedule takes at least."""

from __future__ import annotations

from collections.abc import Sequence

from intar.ir.schedule import Machine
from intar.schedule.cost import column_cycles, compute_cycles, stream_cycles
from intar.schedule.work import Work, ceil_div, row_beats


def area(work: Work, machine: Machine) -> tuple[int, int]:
    """(array cycles, vector unit cycles), summed over the cores, that a task takes at least: a bound's ingredient.

    A move stops all of them, unless it may need no step.
    """
    if work.run:
        return 0, 0
    cycles = compute_cycles(work, work.rows, 1, machine)
    if work.kind in ("move", "stream"):
        return machine.cores * cycles, machine.cores * cycles
    if work.kind == "rows":
        return 0, 0
    if work.kind in ("vector", "pool"):
        return 0, cycles
    if work.kind == "conv":
        return cycles, 0
    tiles = row_beats(work.cols, machine)
    products = tiles * column_cycles(work, work.rows, 1, machine)
    if work.kind == "product":
        return products, 0
    stream = stream_cycles(work, tiles, machine)
    return max(products, stream), 0


def spread(areas: Sequence[tuple[int, int]], machine: Machine) -> int:
    """Cycles that tasks of these areas take together at least."""
    arrays, vectors = (sum(area[i] for area in areas) for i in (0, 1))
    return ceil_div(max(arrays, vectors), machine.cores)


def _kept_products(work: Work, machine: Machine) -> int:
    """Products of a convolution that no run of tiles leaves out."""
    return sum(
        (min(work.cols, end * machine.lanes) - first * machine.lanes) * channels * count
        for first, end, taps in work.runs
        for (channels, _), count in zip(work.groups, taps, strict=True)
    )


def lower_bounds(works: Sequence[Work], machine: Machine) -> dict[str, int]:
    """Bounds that hold for every schedule, in cycles.

    `area`: all array cycles (or vector unit cycles, if more) spread evenly over the cores; `ideal`: products over
    multipliers; `weights`: weight words over the ports.
    """
    matmuls = [w for w in works if w.kind == "matmul"]
    macs = sum(w.rows * w.cols * w.k for w in works if w.arrays)
    macs += sum(_kept_products(w, machine) for w in works if w.kind == "conv")
    port = sum(stream_cycles(w, row_beats(w.cols, machine), machine) for w in matmuls)
    return {
        "area": spread([area(w, machine) for w in works], machine),
        "ideal": ceil_div(macs, machine.multipliers),
        "weights": ceil_div(port, machine.cores),
    }
