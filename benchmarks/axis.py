"""Matmuls and products of two activations whose cores take column blocks, or rows: model, engine, and what the solver takes.

Each case alone on cores of 4 × 16 and of 8 × 16 multipliers, with both axes pinned and with none; every output bit against
golden.

>>> python benchmarks/axis.py                                                                  # doctest: +SKIP
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from intar import pipeline, proof
from intar.frontends.builder import Builder
from intar.ir.quantgraph import QMatmul, QProduct, Quantised
from intar.ir.schedule import Axis, Machine
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs
from intar.schedule import Pins, solve
from intar.schedule.timeline import timeline

RESULTS = Path(__file__).parent / "results" / "axis.json"


@dataclass(frozen=True)
class Row:
    """One case on one machine: cycles by the objective, by the timeline and of the engine with either axis pinned and with
    none (``free``), and the axes that the solver takes then."""

    case: str
    cores: str
    model: dict[str, int]
    timeline: dict[str, int]
    engine: dict[str, int]
    taken: tuple[Axis, ...]
    bit_exact: bool


def matmul(rows: int, k: int, cols: int) -> Quantised:
    """``(rows, k) @ (k, cols)`` with constant weights."""
    rng = np.random.default_rng(rows + k + cols)
    g = Builder(f"matmul_{rows}_{k}_{cols}")
    x = g.input("x", (rows, k))
    g.output(g.matmul(x, rng.normal(size=(k, cols)) / k**0.5, rng.normal(size=cols) / 4))
    return quantise(g.build(), calibration={x: rng.normal(size=(8, rows, k))})


def head(rows: int, inner: int) -> Quantised:
    """Scores of one attention head, and what they weigh: two products of activations with a softmax between them."""
    rng = np.random.default_rng(rows + inner)
    g = Builder(f"head_{rows}_{inner}")
    names = [g.input(name, (rows, inner)) for name in ("q", "k", "v")]
    scores = g.softmax(g.product(names[0], names[1], "second"))
    g.output(g.product(scores, names[2]))
    return quantise(g.build(), calibration={n: rng.normal(size=(8, rows, inner)) for n in names})


CASES = {
    "classifier 64 x 64 -> 10": lambda: matmul(64, 64, 10),
    "classifier 64 x 256 -> 10": lambda: matmul(64, 256, 10),
    "classifier 61 x 256 -> 10": lambda: matmul(61, 256, 10),
    "detector 400 x 96 -> 6": lambda: matmul(400, 96, 6),
    "projection 197 x 192 -> 48": lambda: matmul(197, 192, 48),
    "projection 64 x 128 -> 128": lambda: matmul(64, 128, 128),
    "layer 8 x 256 -> 64": lambda: matmul(8, 256, 64),
    "head 64, inner 16": lambda: head(64, 16),
    "head 64, inner 32": lambda: head(64, 32),
}
MACHINES = ((2, 8), (4, 4), (3, 4))
"""Cores, and rows of each."""


def machine(cores: int, rows: int) -> Machine:
    return Machine(
        cores=cores, rows=rows, lanes=16, rate=8, port_bits=128, onchip_bytes=1 << 20, clock_mhz=250.0
    )


def measure(case: str, quantised: Quantised, target: Machine) -> Row:
    arrays = [t.name for t in quantised.graph.tasks if isinstance(t, QMatmul | QProduct)]
    pins = {axis: Pins(axis=dict.fromkeys(arrays, axis)) for axis in get_args(Axis)} | {"free": None}
    model, times, engine, exact = {}, {}, {}, True
    for name, pinned in pins.items():
        schedule = solve(quantised.graph, target, "sequential", pinned)
        made = pipeline.design(quantised, schedule)
        model[name], engine[name] = schedule.objective, made.predicted.cycles
        times[name] = timeline(schedule, quantised.graph)[1]
        exact &= proof.verify_engine(made, [random_inputs(quantised, 0)]).bit_exact
    taken = tuple(p.axis for stage in schedule.stages for p in stage.tasks if p.task in arrays)
    return Row(case, f"{target.cores} of {target.rows} x {target.lanes}", model, times, engine, taken, exact)


def rows() -> Iterator[Row]:
    for case, make in CASES.items():
        quantised = make()
        for cores, height in MACHINES:
            yield measure(case, quantised, machine(cores, height))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--json", action="store_true", help=f"also write {RESULTS.name} into benchmarks/results"
    )
    options = parser.parse_args()
    found = []
    print("| case | cores | model: columns | rows | free | engine: columns | rows | free | taken |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows():
        cells = [*(f"{n:,}" for n in (*row.model.values(), *row.engine.values())), ", ".join(row.taken)]
        print(f"| {row.case} | {row.cores} | {' | '.join(cells)} |{'' if row.bit_exact else ' WRONG BITS'}")
        found.append(row)
    slower = sum(row.engine["free"] > min(row.engine.values()) for row in found)
    print(f"{len(found)} cases, in {slower} of them the other axis is faster; against the engine")
    for what in ("model", "timeline"):
        pairs = [(getattr(row, what)[name], cycles) for row in found for name, cycles in row.engine.items()]
        errors = sorted(abs(cycles / true - 1) for cycles, true in pairs)
        print(f"{what}: median {errors[len(errors) // 2]:.1%}, worst {errors[-1]:.1%}")
    if options.json:
        RESULTS.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n", encoding="utf-8")
    return 0 if all(row.bit_exact for row in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
