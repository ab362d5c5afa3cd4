"""Prefill of GPT-2 medium, one of its 24 layers: cycles for 64 to 1,024 tokens beside those of InTAR's hand-written kernels.

python benchmarks/gpt2_prefill.py [--tokens 64] [--device u280] [-o benchmarks/results] [--rtl]: one JSON line a case.
With --cores and --rows for a smaller machine, which simulates sooner.

Each case is compiled for a machine with the multipliers of InTAR's kernel on that device and no more bandwidth: its
weights come through two ports of 512 bits, which feed six or eight cores with 128 bits each; ours have a port of 128 bits
each. Inputs come through eight ports of 128 bits (there: two of 512), outputs leave through one of 128, as there.
Weights have 4 bits, operands of matmuls 8, residual stream and scores 16 (InTAR: 4, 8, 8); weights and tokens are random.

`macs`: multiply-accumulates that a causal layer needs, `full`: with all products of attention, as the circuit may make them;
`utilisation`: `macs` / (multipliers x cycles). `intar`: estimated cycles of InTAR's kernel (its code's loop bounds and the
latencies of its RTL; nobody has published any), `ratio`: ours / theirs. `lost`: share of the cores' cycles by cause
(`intar.report.lost`). `predicted` are cycles of the engine, `simulated` those of the RTL (with ``--rtl``).
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from intar import pipeline
from intar.assets import asset_dir
from intar.bench import Results, simulated
from intar.device import make_machine, read_budget
from intar.ir.quantgraph import Quantised
from intar.ir.schedule import Mode, Schedule
from intar.report.lost import CAUSES, core_cycles
from intar.report.summary import cycle_limit
from intar.session import open_source

WIDTH, HEADS, LAYERS = 1024, 16, 24
SCHEME = "w4a8r16"

BUDGETS = {
    device: {
        "cores": cores,
        "rows": 32,
        "lanes": 64,
        "rate": 64,
        "port_bits": 128,
        "inputs": 8,
        "divisions": 8,
        "row_units": 2,
    }
    for device, cores in (("u280", 6), ("vpk180", 8))
}
"""12,288 and 16,384 multipliers."""

INTAR = {
    "u280": {64: 176_000, 128: 265_000, 256: 455_000, 512: 876_000, 1024: 1_882_000},
    "vpk180": {64: 141_000, 128: 214_000, 256: 371_000, 512: 723_000, 1024: 1_581_000},
}
"""Cycles of a layer, estimated from the kernels' source."""


def macs(tokens: int, causal: bool) -> int:
    """Multiply-accumulates of a layer: four matrices of width x width, two of width x 4 width, and attention."""
    scores = tokens * (tokens + 1) // 2 if causal else tokens * tokens
    return 12 * WIDTH * WIDTH * tokens + 2 * WIDTH * scores


def quantised(tokens: int) -> Quantised:
    """The integers of a layer."""
    model = f"{asset_dir('designs') / 'gpt2' / 'model.py'}:layer_{tokens}"
    return open_source(model, scheme=SCHEME).quantised


def measure(
    device: str,
    tokens: int,
    integers: Quantised,
    mode: Mode,
    rtl: bool,
    smaller: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """One case; `smaller`: changes of the budget, which make it incomparable."""
    machine = make_machine(*read_budget(device, {**BUDGETS[device], **(smaller or {})}), integers)
    intar = None if smaller else INTAR[device][tokens]
    began = time.process_time()
    made = pipeline.compile_quantised(integers, machine, mode)
    assert isinstance(made.schedule, Schedule)
    cycles, per_core = made.predicted.cycles, core_cycles(made).values()
    total = machine.cores * cycles
    row: dict[str, Any] = {
        "kernel": f"gpt2_layer_{tokens} {device}" + (f" {machine.multipliers}" if smaller else ""),
        "pattern": mode,
        "multipliers": machine.multipliers,
        "limit": cycle_limit(made),
        "predicted": cycles,
        "simulated": None,
        "published": intar,
        "bit_exact": None,
        "ratio": round(cycles / intar, 3) if intar else None,
        "utilisation": round(macs(tokens, True) / machine.multipliers / cycles, 3),
        "macs": macs(tokens, True),
        "full": macs(tokens, False),
        "lost": {cause: round(sum(core[cause] for core in per_core) / total, 3) for cause in CAUSES},
        "stages": [[s.pattern, *(p.task for p in s.tasks)] for s in made.schedule.stages],
        "ms": round(LAYERS * cycles / machine.clock_mhz / 1e3, 2),
        "cpu_s": round(time.process_time() - began, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }
    if rtl:
        check = simulated(made)
        row |= {"simulated": max(check.cycles), "bit_exact": check.bit_exact}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tokens", type=int, action="append", choices=sorted(INTAR["u280"]), help="default: all"
    )
    parser.add_argument("--device", action="append", choices=sorted(BUDGETS), help="default: both")
    parser.add_argument("--pattern", default="auto", choices=("auto", "intar", "sequential", "dataflow"))
    parser.add_argument("--cores", type=int)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rtl", action="store_true", help="simulate, too")
    parser.add_argument("-o", "--out", type=Path, help="folder for gpt2_prefill.json")
    options = parser.parse_args()
    changes = {"cores": options.cores, "rows": options.rows}
    smaller = {key: value for key, value in changes.items() if value}
    results = Results(options.out, "gpt2_prefill") if options.out else None
    for tokens in options.tokens or sorted(INTAR["u280"]):
        integers = quantised(tokens)
        for device in options.device or sorted(BUDGETS):
            row = measure(device, tokens, integers, options.pattern, options.rtl, smaller)
            print(json.dumps(row), flush=True)
            if results:
                results.add(row)


if __name__ == "__main__":
    main()
