"""How fast the RTL simulates: cycles per second of wall time of a design with one large core.

The network is two int8 matmuls with ReLU on a core of ROWS × LANES multipliers, behind the fast memory model; the
kernel computes in almost every cycle.

>>> python benchmarks/sim_speed.py --rows 64 --lanes 64 --out benchmarks/results/sim_speed.json     # doctest: +SKIP
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from intar import pipeline, proof, rendering
from intar.frontends.builder import Builder
from intar.ir.io import write_atomic
from intar.ir.schedule import Machine
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs
from intar.quant.scheme import W8A8
from intar.report.static import static_resources


def network(batch: int, width: int) -> tuple[Any, dict[str, np.ndarray]]:
    """`batch` rows through two square layers with random weights, and data to calibrate them."""
    rng = np.random.default_rng(0)
    graph = Builder("sim_speed")
    x = graph.input("x", (batch, width))
    for _ in range(2):
        x = graph.relu(graph.matmul(x, rng.normal(0, width**-0.5, (width, width))))
    graph.output(x)
    return graph.build(), {"x": rng.normal(size=(1, batch, width))}


def measure(rows: int, lanes: int, batch: int, width: int, directory: Path) -> dict[str, Any]:
    """Compile, build, run one inference, compare it with golden; figures as a dict."""
    graph, data = network(batch, width)
    quantised = quantise(graph, W8A8, data)
    machine = Machine(
        cores=1, rows=rows, lanes=lanes, rate=lanes, port_bits=8 * lanes, onchip_bytes=1 << 26, clock_mhz=300
    )
    made = pipeline.compile_quantised(quantised, machine, "sequential")
    rendering.project(made).write(directory)
    begin = time.perf_counter()
    check = proof.verify_rtl(made, [random_inputs(quantised, 0)], directory)
    total = time.perf_counter() - begin
    dsp = static_resources(made.program, uram=True)["dsp"]
    products = sum(batch * width * width for _ in quantised.graph.tasks)
    return {
        "multipliers": machine.multipliers,
        "dsp": dsp,
        "products_a_cycle_and_dsp": round(products / dsp / check.cycles[0], 3),
        "cycles": check.cycles[0],
        "predicted": made.predicted.cycles,
        "busy": round(products / machine.multipliers / check.cycles[0], 4),
        "bit_exact": check.bit_exact,
        "seconds": round(check.seconds, 2),
        "cpu_seconds": round(check.cpu_seconds, 2),
        "cycles_per_second": round(check.cycles[0] / check.seconds),
        "cycles_per_cpu_second": round(check.cycles[0] / check.cpu_seconds),
        "build_seconds": round(total - check.seconds, 1),
    }


def main() -> int:
    """Command line; the exit status is 1 if a bit is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--batch", type=int, default=512, help="rows of the activations")
    parser.add_argument("--width", type=int, default=1024, help="columns of activations and weights")
    parser.add_argument("--keep", type=Path, help="project directory (default: a temporary one)")
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = options.keep or Path(scratch) / "project"
        found = measure(options.rows, options.lanes, options.batch, options.width, directory)
    print(json.dumps(found, indent=1))
    if options.out:
        write_atomic(options.out, (json.dumps(found, indent=1) + "\n").encode())
    return 0 if found["bit_exact"] else 1


if __name__ == "__main__":
    sys.exit(main())
