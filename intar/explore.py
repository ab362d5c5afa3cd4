"""Design-space exploration: one network on many budgets and in several patterns; predicted cycles, counted resources.

A point is compiled down to the program and run by the engine, so its cycles are those that the RTL simulation shows; nothing
is rendered. Points are independent and run in processes of their own; the answer does not depend on how many.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from intar import pipeline, rendering
from intar.advice import ON_CHIP, WORTH, OnChip, weights_on_chip
from intar.device import make_machine, read_budget
from intar.errors import ConfigError, Finding, ToolError, UserError
from intar.ir.quantgraph import Quantised
from intar.ir.schedule import Mode
from intar.ir.taskgraph import TaskGraph
from intar.report.static import static_resources

SCHEMA = "intar.explore/1"
OBJECTIVES = ("microseconds", "dsp", "memory_kbit")
"""What a Pareto-optimal point is best in: no other point is at least as good in all three and better in one."""


@dataclass(frozen=True)
class Point:
    """One budget (overrides of the board's defaults, as `Budget.parse` takes them) in one pattern."""

    budget: tuple[tuple[str, object], ...]
    pattern: Mode


def points(
    sweeps: Mapping[str, Sequence[object]], fixed: Mapping[str, object], patterns: Sequence[Mode]
) -> list[Point]:
    """Every combination of the swept values with every pattern, in the order given."""
    twice = sorted(set(sweeps) & set(fixed))
    if twice:
        raise ConfigError(
            Finding("it is swept and fixed", f"budget {key}", hint="drop one of --sweep and --budget")
            for key in twice
        )
    combinations = product(*([(key, value) for value in values] for key, values in sweeps.items()))
    return [
        Point((*fixed.items(), *combination), pattern) for combination in combinations for pattern in patterns
    ]


def evaluate(quantised: Quantised, board: str, point: Point) -> dict[str, Any]:
    """Machine, cycles and resources of a point; ``reason`` says why there are none, else it is empty."""
    row: dict[str, Any] = {"budget": dict(point.budget), "pattern": point.pattern, "reason": ""}
    empty = (
        "cores",
        "rows",
        "lanes",
        "depth",
        "port_bits",
        "cycles",
        "microseconds",
        "dsp",
        "bram36",
        "uram",
        "memory_kbit",
    )
    row |= dict.fromkeys(empty)
    try:
        machine = make_machine(board, dict(point.budget), quantised)
        row |= {key: getattr(machine, key) for key in ("cores", "rows", "lanes", "depth", "port_bits")}
        made = pipeline.compile_quantised(quantised, machine, point.pattern)
    except UserError as error:
        return row | {"reason": error.findings[0].what}
    counted = static_resources(made.program, rendering.build_target(machine).uram)
    cycles = made.predicted.cycles
    return row | {
        "cycles": cycles,
        "microseconds": round(cycles / machine.clock_mhz, 3),
        "memory_kbit": 36 * counted["bram36"] + 288 * counted["uram"],
        **{key: counted[key] for key in ("dsp", "bram36", "uram")},
    }


def pareto(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Which rows are Pareto-optimal in `OBJECTIVES`; of equal ones the first."""
    keys = [tuple(row[o] for o in OBJECTIVES) if row["cycles"] is not None else None for row in rows]

    def beaten(index: int) -> bool:
        own = keys[index]
        assert own is not None
        return any(
            other is not None
            and all(a <= b for a, b in zip(other, own, strict=True))
            and (other != own or at < index)
            for at, other in enumerate(keys)
            if at != index
        )

    return [key is not None and not beaten(index) for index, key in enumerate(keys)]


def better_on_chip(graph: TaskGraph, quantised: Quantised, document: Mapping[str, Any]) -> OnChip | None:
    """What weights on chip would make of the fastest point of an exploration (`intar.advice`); where several are as fast,
    because ports bring no more weights, of the one that gains most."""
    rows = [row for row in document["points"] if row["cycles"] is not None]
    fastest = [row for row in rows if row["microseconds"] == min(each["microseconds"] for each in rows)]
    found = filter(None, (_on_chip(graph, quantised, document["board"], row) for row in fastest))
    return min(found, key=lambda one: one.cycles, default=None)


def _on_chip(graph: TaskGraph, quantised: Quantised, board: str, row: Mapping[str, Any]) -> OnChip | None:
    asked = read_budget(board, row["budget"])
    machine = make_machine(*asked, quantised)
    better = weights_on_chip(graph, quantised, machine, asked, row["pattern"], row["cycles"])
    if not better:
        return None
    point = Point((*row["budget"].items(), *ON_CHIP.items()), row["pattern"])
    cycles = evaluate(quantised, board, point)["cycles"]
    return replace(better, cycles=cycles) if cycles and row["cycles"] >= WORTH * cycles else None


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with the exploration, also where it is interrupted: at once, and without a word of their own.

    Raises
    ------
    ToolError
        One of them was killed, mostly for want of memory.
    """
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"))
    try:
        yield pool
    except BrokenProcessPool:
        what, hint = (
            "a process of the exploration was killed",
            "there may be too little memory: take fewer with --jobs",
        )
        raise ToolError(Finding(what, hint=hint)) from None
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started here don't hear Ctrl-C, which goes to all of a terminal: the first one answers it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def explore(
    quantised: Quantised,
    board: str,
    chosen: Sequence[Point],
    jobs: int = 1,
    step: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Evaluate points and mark the Pareto front.

    Parameters
    ----------
    jobs : processes; 1 evaluates here.
    step : called after each point.

    Returns
    -------
    dict with ``schema``, ``design``, ``board``, ``resources`` (the source of the counts) and ``points``: for each the
    budget, pattern, machine, cycles, resources, ``reason`` and ``pareto``, in the order of `chosen`.
    """
    rows: list[dict[str, Any]] = [{} for _ in chosen]
    if jobs == 1:
        for index, point in enumerate(chosen):
            rows[index] = evaluate(quantised, board, point)
            step()
    else:
        with _workers(jobs) as pool:
            with _deaf():
                running = {
                    pool.submit(evaluate, quantised, board, point): i for i, point in enumerate(chosen)
                }
            for done in as_completed(running):
                rows[running[done]] = done.result()
                step()
    for row, best in zip(rows, pareto(rows), strict=True):
        row["pareto"] = best
    return {
        "schema": SCHEMA,
        "design": quantised.graph.name,
        "board": board,
        "resources": "static count of multipliers and memories (no synthesis)",
        "points": rows,
    }
