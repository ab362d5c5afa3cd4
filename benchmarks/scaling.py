"""InTAR's kernels with four and sixteen times their multipliers and port bits: how far each scales, and what stops it.

Predicted by the engine; `--rtl` simulates too and compares every bit. Rows are kept as they are made, so that
kernels can be measured one by one.

>>> python benchmarks/scaling.py intar_mlp vae --rtl                                           # doctest: +SKIP
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intar import pipeline
from intar.bench import keep_all, simulated
from intar.errors import UserError
from intar.report.lost import CAUSES, core_cycles
from intar.report.summary import cycle_limit, macs
from intar.session import open_source

RESULTS = Path(__file__).parent / "results" / "scaling.json"

Budget = dict[str, object]
LARGER: dict[str, dict[int, Budget]] = {
    "intar_mlp": {
        4: {"cores": 4, "rows": 1, "lanes": 32, "rate": 2, "port_bits": 512},
        16: {"cores": 8, "rows": 1, "lanes": 64, "rate": 4, "port_bits": 1024},
    },
    "self_attn": {
        4: {"cores": 4, "rows": 2, "lanes": 16, "rate": 4, "port_bits": 512},
        16: {"cores": 8, "rows": 4, "lanes": 16, "rate": 16, "port_bits": 1024},
    },
    "cnn4l": {
        4: {"cores": 3, "rows": 1, "lanes": 576, "rate": 288, "port_bits": 1024},
        16: {"cores": 12, "rows": 1, "lanes": 576, "rate": 576, "port_bits": 1024, "inputs": 8, "outputs": 12}
        | {"multipliers": 6912},
    },
    "vae": {
        4: {"cores": 1, "rows": 2, "lanes": 256, "rate": 64, "port_bits": 1024},
        16: {"cores": 4, "rows": 2, "lanes": 256, "rate": 256, "port_bits": 1024, "inputs": 4, "outputs": 4},
    },
    "gating_net": {
        4: {"cores": 6, "rows": 4, "lanes": 16, "rate": 4, "port_bits": 1024},
        16: {"cores": 6, "rows": 16, "lanes": 16, "rate": 16, "port_bits": 1024},
    },
}
"""Budgets by kernel and factor; what is not named stays as in the design. A port has at most 1024 bits: some kernels get
more of them, with a core each."""


def measure(kernel: str, factor: int, rtl: bool) -> dict[str, Any]:
    """One row; `share` of the cores' cycles by what they did, products of padding among ``busy``."""
    source = open_source(kernel, budget=LARGER[kernel].get(factor, {}))
    began = time.perf_counter()
    made = pipeline.compile_quantised(source.quantised, source.machine, loops=source.loops)
    seconds = time.perf_counter() - began
    machine, cycles = made.schedule.machine, made.predicted.cycles
    cores = core_cycles(made).values()
    check = simulated(made) if rtl else None
    return {
        "kernel": kernel,
        "factor": factor,
        "machine": f"{machine.cores} x {machine.rows} x {machine.lanes}",
        "multipliers": machine.multipliers,
        "port_bits": machine.port_bits,
        "weight_ports": machine.cores,
        "limit": cycle_limit(made),
        "predicted": cycles,
        "objective": made.schedule.objective,
        "utilisation": round(macs(made.quantised.graph) / (machine.multipliers * cycles), 4),
        "share": {
            cause: round(sum(core[cause] for core in cores) / (machine.cores * cycles), 4)
            for cause in ("busy", *CAUSES)
        },
        "stages": len(made.schedule.stages),
        "compile_seconds": round(seconds, 1),
        "simulated": max(check.cycles) if check else None,
        "bit_exact": check.bit_exact if check else None,
    }


def place(row: dict[str, Any]) -> tuple[int, int]:
    """Where a row stands: kernels in the order of `LARGER`."""
    return list(LARGER).index(row["kernel"]), row["factor"]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table, with the two largest losses of each."""
    lines = [
        "| kernel | budget | cores | ports | limit | predicted | simulated | products | lost to |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lost = {cause: row["share"][cause] for cause in CAUSES}
        lost["padding"] = max(0.0, row["share"]["busy"] - row["utilisation"])
        worst = [c for c in sorted(lost, key=lambda c: -lost[c])[:2] if lost[c] >= 0.005]
        why = ", ".join(f"{cause.replace('_', ' ')} {100 * lost[cause]:.1f} %" for cause in worst)
        simulated = f"{row['simulated']:,}" if row["simulated"] else "–"
        lines.append(
            f"| {row['kernel']} | × {row['factor']} | {row['machine']} | {row['weight_ports']} × {row['port_bits']} | "
            f"{row['limit']:,} | {row['predicted']:,} | {simulated} | {100 * row['utilisation']:.1f} % | {why or '–'} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kernels", nargs="*", help=f"of {', '.join(LARGER)} (default: all)")
    parser.add_argument("--factor", type=int, nargs="*", choices=(1, 4, 16), default=(1, 4, 16))
    parser.add_argument("--rtl", action="store_true", help="simulate the RTL and compare with golden")
    options = parser.parse_args()
    chosen = options.kernels or list(LARGER)
    unknown = sorted(set(chosen) - set(LARGER))
    if unknown:
        parser.error(f"no kernel of these: {', '.join(unknown)}")
    rows = (measure(kernel, factor, options.rtl) for kernel in chosen for factor in options.factor)
    return 0 if keep_all(rows, lambda row: row["bit_exact"] is not False, RESULTS, place, table) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(str(error))
