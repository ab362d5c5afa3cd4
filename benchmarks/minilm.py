"""all-MiniLM-L6-v2 on the Lee corpus: 50 texts in integers, through the generated C++ and the RTL, beside float and people.

Needs the packages that `designs/minilm/model.py` names. 32 other texts calibrate.

>>> python benchmarks/minilm.py --csim 50 --rtl 2                                                        # doctest: +SKIP
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from intar import pipeline, proof, rendering
from intar.assets import asset_dir, import_file
from intar.bench import bench_model, hardware_faults
from intar.device.boards import find_board
from intar.options import parse_bits, parse_budget
from intar.quant.golden import dequantise, golden_outputs, quantise_input
from intar.report.static import static_resources
from intar.report.summary import cycle_limit
from intar.session import open_source

RESULTS = Path(__file__).parent / "results" / "minilm.json"
TOKENS = 128
LEAST_COSINE, MOST_LOST = 0.997, 0.005
"""Bounds of the mean cosine to float, and of the difference from float's correlation with human judgements."""

FORMATS = ("*.in=10", "*.in1=8")
"""Operands of 10 bits, weights and second operands of products of 8: the widest of which a DSP of a U280 makes two products
a cycle."""

BUDGET = "dsp=3072,divisions=5,inputs=2"
"""6,144 multipliers in 6 arrays of 32 × 32: 384 columns are two blocks for each. A row of scores is four beats, which the
rows node takes in as many cycles: five dividers of 20 cycles keep up. The mask of all heads is 12,288 words a layer: one
port is slower than the softmax, two are not."""

console = Console(stderr=True)


def correlation(vectors: np.ndarray, judged: np.ndarray) -> float:
    """Pearson's, between cosines and judgements of all pairs of texts."""
    pairs = np.triu_indices(len(vectors), 1)
    return float(np.corrcoef((vectors @ vectors.T)[pairs], judged[pairs])[0, 1])


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Compile into `folder`, run everything, compare."""
    home = asset_dir("designs") / "minilm"
    lee = import_file(home / "model.py")
    scheme, bits = parse_bits(options.bits, "w8a8r16")
    with console.status("load, calibrate, quantise, compile"):
        source = open_source(
            f"{home / 'model.py'}:encoder",
            device=options.device,
            scheme=scheme,
            bits=bits,
            budget=parse_budget(options.budget),
        )
        began = time.perf_counter()
        made = pipeline.compile_quantised(source.quantised, source.machine, "auto", None, source.loops)
        rendering.project(made).write(folder)
        compiling = time.perf_counter() - began
    given, judged = lee.encode(lee.lee(), TOKENS), lee.judgements()
    with console.status("float"), torch.no_grad():
        real = lee.make()(**given)["embedding"][:, 0].double().numpy()
    graph, (out,) = source.quantised.graph, source.quantised.graph.outputs
    tensors = {name: graph.tensor(name) for name in (*graph.inputs, out)}
    integers = [
        {
            name: quantise_input(tensors[name], given[name][index].numpy().reshape(tensors[name].shape))
            for name in graph.inputs
        }
        for index in range(len(judged))
    ]
    with console.status("golden"):
        golden = golden_outputs(made.quantised, integers)
    got = np.array([dequantise(tensors[out], one[out]).reshape(-1) for one in golden])
    got /= np.linalg.norm(got, axis=1, keepdims=True)
    cosines = (got * real).sum(axis=1)
    csim = rtl = None
    if options.csim:
        with console.status(f"{options.csim} texts through the C++"):
            csim = proof.verify_csim(made, integers[: options.csim], folder)
    if options.rtl:
        with console.status(f"{options.rtl} texts through the RTL"):
            rtl = proof.verify_rtl(made, integers[: options.rtl], folder)
    machine = source.machine
    resources = static_resources(made.program, find_board(machine.device).uram > 0)
    return {
        "tokens": TOKENS,
        "texts": {"golden": len(judged), "csim": options.csim, "rtl": options.rtl},
        "calibrated_on": len(next(iter((source.calibration or {}).values()))),
        "scheme": scheme,
        "bits": bits,
        "device": machine.device,
        "multipliers": machine.multipliers,
        "dsp": {"all": resources["dsp"], "arrays": resources["by_module"]["core"]["dsp"]},
        "looped_layers": sum(map(len, source.loops)),
        "compile_seconds": round(compiling, 1),
        "cycles": {
            "limit": cycle_limit(made),
            "predicted": made.predicted.cycles,
            "simulated": list(rtl.cycles) if rtl else None,
        },
        "milliseconds": round(made.predicted.cycles / machine.clock_mhz / 1000, 3),
        "bit_exact": {name: run and run.bit_exact for name, run in (("csim", csim), ("rtl", rtl))},
        "seconds": {name: run and round(run.seconds, 1) for name, run in (("csim", csim), ("rtl", rtl))},
        "cosine": {"mean": round(float(cosines.mean()), 5), "least": round(float(cosines.min()), 5)},
        "human": {
            "float": round(correlation(real, judged), 4),
            "integers": round(correlation(got, judged), 4),
        },
    }


def faults(found: dict[str, Any]) -> list[str]:
    """What misses its bound."""
    wrong = hardware_faults(found)
    if found["cosine"]["mean"] < LEAST_COSINE:
        wrong.append(f"the mean cosine to float is {found['cosine']['mean']}, bound {LEAST_COSINE}")
    if abs(found["human"]["float"] - found["human"]["integers"]) > MOST_LOST:
        wrong.append(f"correlation with judgements {found['human']}, bound {MOST_LOST}")
    return wrong


if __name__ == "__main__":
    defaults = {"csim": 4, "budget": [BUDGET], "bits": list(FORMATS)}
    sys.exit(bench_model(__doc__ or "", "texts", defaults, measure, faults, RESULTS))
