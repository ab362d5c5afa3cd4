"""Weights on chip from call to call beside weights that come through the ports in each call: cycles on the same budget.

Every integer of the engine is golden's, and of the C++ and the RTL where `--csim` and `--rtl` ask for it. Rows are a table
of `docs/tiny.md`.

>>> python benchmarks/chip.py jets ad08 --csim 2 --rtl 2                                            # doctest: +SKIP
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intar import pipeline, proof, rendering
from intar.assets import asset_dir
from intar.bench import bench_networks
from intar.design import Design
from intar.ir.nodes.memories import ConstantMemory
from intar.options import parse_budget
from intar.quant.golden import integer_samples
from intar.report.summary import cycle_limit
from intar.session import Source, open_source

RESULTS = Path(__file__).parent / "results" / "chip.json"
MODELS = asset_dir("designs") / "tiny" / "model.py"
CASES = {
    "jets": ("zcu104", "multipliers=128", "w8a8"),
    "ad08": ("pynq-z2", "multipliers=128", "w8a8"),
    "autoencoder": ("zcu104", "multipliers=128", "w8a8"),
    "kws_mlp": ("pynq-z2", "multipliers=128", "w8a8"),
    "ds_cnn": ("zcu104", "multipliers=128", "w8a8"),
    "rn07": ("pynq-z2", "multipliers=128", "w8a8"),
    "vit": ("zcu104", "multipliers=128", "w8a8r16"),
    "lstm": ("zcu104", "multipliers=64", "w8a8"),
    "gru": ("zcu104", "multipliers=64", "w8a8"),
}
"""Board, budget and scheme of each network."""


def compiled(name: str, weights: str) -> tuple[Source, Design]:
    """A network with its weights there."""
    device, budget, scheme = CASES[name]
    source = open_source(
        f"{MODELS}:{name}",
        device=device,
        scheme=scheme,
        budget=parse_budget([budget, f"weights={weights}"]),
    )
    return source, pipeline.compile_quantised(source.quantised, source.machine, loops=source.loops)


def measure(name: str, in_csim: int, in_rtl: int) -> dict[str, Any]:
    """One row."""
    _, ported = compiled(name, "memory")
    source, made = compiled(name, "chip")
    stored = integer_samples(source.quantised, source.calibration)
    calls = [{key: values[n] for key, values in stored.items()} for n in range(2)]
    checks = [proof.verify_engine(made, calls)]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "project"
        if in_csim or in_rtl:
            rendering.project(made).write(target)
        if in_csim:
            checks.append(proof.verify_csim(made, calls[:in_csim], target))
        if in_rtl:
            checks.append(proof.verify_rtl(made, calls[:in_rtl], target))
    machine, cycles = source.machine, made.predicted.cycles
    held = sum(len(made.images[n.name]) for n in made.program.nodes if isinstance(n, ConstantMemory))
    return {
        "network": name,
        "device": machine.device,
        "ported_machine": f"{ported.schedule.machine.cores} x {ported.schedule.machine.cells}",
        "ported": ported.predicted.cycles,
        "machine": f"{machine.cores} x {machine.cells}",
        "multipliers": machine.multipliers,
        "held_bytes": held,
        "limit": cycle_limit(made),
        "predicted": cycles,
        "simulated": max(checks[-1].cycles) if in_rtl else None,
        "microseconds": round(cycles / machine.clock_mhz, 2),
        "exact": {check.executor: check.bit_exact for check in checks},
    }


def place(row: dict[str, Any]) -> int:
    """Where a row stands."""
    return list(CASES).index(row["network"])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| network | board | through ports: arrays | cycles | on chip: arrays | bytes held | limit | cycles | µs | exact |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    shown = {"csim": "C++", "rtl": "RTL"}
    for row in rows:
        ran = [shown[name] for name in shown if row["exact"].get(name)] or ["engine"]
        lines.append(
            f"| {row['network']} | {row['device']} | {row['ported_machine']} | {row['ported']:,} | {row['machine']} | "
            f"{row['held_bytes']:,} | {row['limit']:,} | {row['predicted']:,} | {row['microseconds']:,} | {', '.join(ran)} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(
        bench_networks(
            __doc__ or "", list(CASES), lambda name, o: [measure(name, o.csim, o.rtl)], RESULTS, place, table
        )
    )
