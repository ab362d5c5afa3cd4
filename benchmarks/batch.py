"""Several samples a call: cycles of a call and of each sample in it, of networks whose weights come through the ports.

Every integer of the engine is golden's, and of the RTL where `--rtl` asks for it. Rows are the tables of `docs/tiny.md`.

>>> python benchmarks/batch.py jets ad08 --rtl 1                                                    # doctest: +SKIP
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intar import pipeline, proof, rendering
from intar.assets import asset_dir
from intar.bench import bench_networks
from intar.options import parse_budget
from intar.quant.golden import integer_samples
from intar.report.summary import cycle_limit
from intar.session import open_source

RESULTS = Path(__file__).parent / "results" / "batch.json"
MODELS = asset_dir("designs") / "tiny" / "model.py"


@dataclass(frozen=True)
class Case:
    """A board, and budgets with the samples a call that suit them."""

    device: str
    calls: tuple[tuple[str, int], ...]


SAMPLES = (("multipliers=128", 1), ("multipliers=128", 4), ("multipliers=128", 16))
CASES = {
    "jets": Case("zcu104", SAMPLES),
    "ad08": Case("pynq-z2", SAMPLES),
    "autoencoder": Case("zcu104", SAMPLES),
    "kws_mlp": Case("pynq-z2", (*SAMPLES, ("multipliers=256", 32))),
}


def measure(name: str, in_csim: int, in_rtl: int) -> Iterator[dict[str, Any]]:
    """The rows of a network."""
    case = CASES[name]
    for budget, samples in case.calls:
        source = open_source(
            f"{MODELS}:{name}",
            device=case.device,
            budget=parse_budget([budget]),
            batch=samples,
        )
        made = pipeline.compile_quantised(source.quantised, source.machine, loops=source.loops)
        stored = integer_samples(source.quantised, source.calibration)
        there = min(len(values) for values in stored.values())
        calls = [{key: values[n] for key, values in stored.items()} for n in range(min(2, there))]
        checks = [proof.verify_engine(made, calls)]
        if in_csim or in_rtl:
            with tempfile.TemporaryDirectory() as folder:
                target = rendering.project(made).write(Path(folder) / "project")
                if in_csim:
                    checks.append(proof.verify_csim(made, calls[:in_csim], target))
                if in_rtl:
                    checks.append(proof.verify_rtl(made, calls[:in_rtl], target))
        machine, cycles = source.machine, made.predicted.cycles
        yield {
            "network": name,
            "device": machine.device,
            "samples": samples,
            "machine": f"{machine.cores} x {machine.rows} x {machine.lanes}",
            "multipliers": machine.multipliers,
            "limit": cycle_limit(made),
            "predicted": cycles,
            "simulated": max(checks[-1].cycles) if in_rtl else None,
            "each": round(cycles / samples),
            "microseconds_each": round(cycles / samples / machine.clock_mhz, 2),
            "exact": {check.executor: check.bit_exact for check in checks},
        }


def place(row: dict[str, Any]) -> tuple[int, int, int]:
    """Where a row stands."""
    return list(CASES).index(row["network"]), row["multipliers"], row["samples"]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| network | board | arrays | samples a call | limit | cycles | cycles each | µs each | exact |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ran = "RTL" if row["exact"].get("rtl") else "engine"
        lines.append(
            f"| {row['network']} | {row['device']} | {row['machine']} | {row['samples']} | {row['limit']:,} | "
            f"{row['predicted']:,} | {row['each']:,} | {row['microseconds_each']:,} | {ran} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(
        bench_networks(
            __doc__ or "", list(CASES), lambda name, o: measure(name, o.csim, o.rtl), RESULTS, place, table
        )
    )
