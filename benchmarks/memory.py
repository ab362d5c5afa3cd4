"""Less and less memory on chip: model and engine cycles, banks, spills; every output bit against golden.

>>> python benchmarks/memory.py --json                                                         # doctest: +SKIP
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from intar import pipeline, proof
from intar.errors import InfeasibleError
from intar.frontends.builder import Builder
from intar.ir.nodes.memories import Buffer
from intar.ir.quantgraph import Quantised
from intar.ir.schedule import Machine, Mode
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs
from intar.schedule import solve

MODES: tuple[Mode, ...] = ("auto", "intar", "sequential", "dataflow")
RESULTS = Path(__file__).parent / "results" / "memory.json"


@dataclass(frozen=True)
class Row:
    """One schedule: bytes allowed and used by buffers, cycles, copies and the banks that they share, spilled tensors."""

    case: str
    mode: str
    onchip: int
    bytes: int
    objective: int
    bound: int
    cycles: int
    copies: int
    banks: int
    spilled: tuple[str, ...]
    bit_exact: bool

    @property
    def error(self) -> float:
        return self.objective / self.cycles - 1


def block(rows: int, width: int, blocks: int = 1) -> Quantised:
    """Projections that are added, a residual, and a feed-forward pair with another: the skeleton of a transformer block."""
    rng = np.random.default_rng(rows + width)
    g = Builder(f"block_{rows}_{width}")
    x = source = g.input("x", (rows, width))

    def linear(tensor: str, inner: int, outer: int) -> str:
        return g.matmul(tensor, rng.normal(size=(inner, outer)) / inner**0.5, rng.normal(size=outer) / 4)

    for _ in range(blocks):
        q, k, v = (linear(x, width, width) for _ in range(3))
        mixed = g.add(x, linear(g.add(g.add(q, k), v), width, width))
        inner = g.relu(
            linear(g.scale_shift(mixed, np.full(width, 0.5), np.full(width, 0.1)), width, 4 * width)
        )
        x = g.add(mixed, linear(inner, 4 * width, width))
    g.output(x)
    return quantise(g.build(), calibration={source: rng.normal(size=(8, rows, width))})


def machine(cores: int, onchip: int) -> Machine:
    return Machine(cores=cores, rows=8, lanes=16, rate=8, port_bits=128, onchip_bytes=onchip, clock_mhz=250.0)


CASES = {
    "block 128 x 128": (lambda: block(128, 128), 4, (1 << 20, 170_000, 150_000, 120_000)),
    "block 64 x 64": (lambda: block(64, 64), 4, (1 << 20, 60_000)),
    "block 197 x 96": (lambda: block(197, 96), 2, (1 << 20, 120_000, 90_000)),
    "two blocks 64 x 128": (lambda: block(64, 128, 2), 4, (1 << 20, 120_000)),
}


def measure(case: str, quantised: Quantised, target: Machine, mode: Mode) -> Row | None:
    """None if nothing fits."""
    try:
        schedule = solve(quantised.graph, target, mode)
    except InfeasibleError:
        return None
    made = pipeline.design(quantised, schedule)
    return Row(
        case=case,
        mode=mode,
        onchip=target.onchip_bytes,
        bytes=sum(n.depth * n.lanes * n.bits // 8 for n in made.program.nodes if isinstance(n, Buffer)),
        objective=schedule.objective,
        bound=schedule.bound,
        cycles=made.predicted.cycles,
        copies=sum(len(home.copies) for home in schedule.residency),
        banks=len(schedule.banks),
        spilled=tuple(
            h.tensor for h in schedule.residency if h.place == "spill" and h.first_stage < h.last_stage
        ),
        bit_exact=proof.verify_engine(made, [random_inputs(quantised, 0)]).bit_exact,
    )


def rows(cases: tuple[str, ...] = tuple(CASES), modes: tuple[Mode, ...] = MODES) -> Iterator[Row]:
    """All schedules that exist."""
    for case in cases:
        make, cores, memories = CASES[case]
        quantised = make()
        for onchip in memories:
            for mode in modes:
                row = measure(case, quantised, machine(cores, onchip), mode)
                if row:
                    yield row


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--json", action="store_true", help=f"also write {RESULTS.name} into benchmarks/results"
    )
    options = parser.parse_args()
    found = []
    for row in rows():
        print(
            f"{row.case:20} {row.mode:10} {row.onchip:8} B: {row.bytes:7} B in use, model {row.objective:7}, engine "
            f"{row.cycles:7} ({row.error:+.1%}), bound {row.bound:7}, {row.copies:2} copies in {row.banks:2} banks, "
            f"spilled: {', '.join(row.spilled) or '-'}{'' if row.bit_exact else ', WRONG BITS'}",
            flush=True,
        )
        found.append(row)
    errors = sorted(abs(row.error) for row in found)
    print(f"{len(found)} schedules: error median {errors[len(errors) // 2]:.2%}, worst {errors[-1]:.2%}")
    if options.json:
        RESULTS.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n", encoding="utf-8")
    return 0 if all(row.bit_exact for row in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
