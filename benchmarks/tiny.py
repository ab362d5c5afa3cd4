"""The small networks of `designs/tiny` on a budget of a user's: cycles, accuracy, compile time; C++ and RTL against golden.

The engine's integers are compared with golden's on two samples, those of the C++ (`--csim`) and of the RTL (`--rtl`) on as
many as asked for; float's outputs with golden's on sixteen (four of large networks). Rows are kept as they are made, and
are the tables of `docs/tiny.md`.

>>> python benchmarks/tiny.py jets ad08 --csim 4 --rtl 2                                            # doctest: +SKIP
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from intar import pipeline, proof, rendering
from intar.assets import asset_dir
from intar.bench import bench_networks
from intar.ir.reference import run_float
from intar.options import parse_budget
from intar.quant.golden import dequantise, golden_outputs, quantise_input
from intar.quant.search import sqnr
from intar.report.summary import cycle_limit, macs
from intar.session import open_source

RESULTS = Path(__file__).parent / "results" / "tiny.json"
MODELS = asset_dir("designs") / "tiny" / "model.py"
SAMPLES = 16
"""Samples on which float and golden are compared."""
ALL = "outputs"


@dataclass(frozen=True)
class Case:
    """Board, budget and scheme of a network; `published` (inferences a second, who) of a circuit with its shapes."""

    device: str
    budget: str
    scheme: str = "w8a8"
    published: tuple[float, str] | None = None


CASES = {
    "jets": Case("zcu104", "multipliers=128"),
    "ad08": Case("pynq-z2", "multipliers=128", published=(53365.414, "hls4ml")),
    "autoencoder": Case("zcu104", "multipliers=128"),
    "kws_mlp": Case("pynq-z2", "multipliers=128", published=(57268.135, "FINN")),
    "ds_cnn": Case("zcu104", "multipliers=128"),
    "resnet8": Case("zcu104", "multipliers=128"),
    "rn07": Case("pynq-z2", "multipliers=128", published=(36.596, "hls4ml")),
    "cnv": Case("zcu104", "multipliers=512", published=(661.473, "FINN")),
    "mobilenet": Case("zcu104", "multipliers=256"),
    "resnet18": Case("zcu104", "multipliers=1024"),
    "resnet50": Case("zcu104", "multipliers=1024"),
    "mobilenet_v2": Case("zcu104", "multipliers=1024"),
    "mobilenet_v3": Case("zcu104", "multipliers=1024"),
    "yolo": Case("zcu104", "multipliers=1024"),
    "unet": Case("zcu104", "multipliers=128"),
    "tcn": Case("zcu104", "multipliers=128"),
    "vit": Case("zcu104", "multipliers=128", "w8a8r16"),
    "lstm": Case("zcu104", "multipliers=64"),
    "gru": Case("zcu104", "multipliers=64"),
    "bilstm": Case("zcu104", "multipliers=64"),
}


def measure(name: str, in_csim: int, in_rtl: int) -> dict[str, Any]:
    """One row; `compile_seconds` are of the processor, from the module to all files in memory."""
    case, began = CASES[name], time.process_time()
    source = open_source(
        f"{MODELS}:{name}", device=case.device, scheme=case.scheme, budget=parse_budget([case.budget])
    )
    made = pipeline.compile_quantised(source.quantised, source.machine, loops=source.loops)
    project = rendering.project(made)
    seconds = time.process_time() - began
    graph, machine = source.quantised.graph, source.machine
    (given,) = graph.inputs
    samples = (source.calibration or {})[given][:SAMPLES]
    real = [
        together(run_float(source.graph, {given: x.reshape(source.graph.tensor(given).shape)}))
        for x in samples
    ]
    shape = graph.tensor(given).shape
    integers = [{given: quantise_input(graph.tensor(given), x.reshape(shape))} for x in samples]
    golden = [
        together({name: dequantise(graph.tensor(name), found) for name, found in one.items()})
        for one in golden_outputs(made.quantised, integers)
    ]
    csim = rtl = None
    with tempfile.TemporaryDirectory() as folder:
        if in_csim or in_rtl:
            project.write(Path(folder) / "project")
        if in_csim:
            csim = proof.verify_csim(made, integers[:in_csim], Path(folder) / "project")
        if in_rtl:
            rtl = proof.verify_rtl(made, integers[:in_rtl], Path(folder) / "project")
    engine = proof.verify_engine(made, integers[:2])
    return {
        "network": name,
        "device": machine.device,
        "scheme": case.scheme,
        "machine": f"{machine.cores} x {machine.rows} x {machine.lanes}",
        "multipliers": machine.multipliers,
        "clock_mhz": machine.clock_mhz,
        "tasks": len(source.graph.tasks),
        "macs": macs(graph),
        "limit": cycle_limit(made),
        "predicted": made.predicted.cycles,
        "simulated": max(rtl.cycles) if rtl else None,
        "microseconds": round(made.predicted.cycles / machine.clock_mhz, 2),
        "sqnr_db": round(sqnr(real, golden), 1),
        "samples": len(samples),
        "agree": sum(int(np.argmax(a[ALL]) == np.argmax(b[ALL])) for a, b in zip(real, golden, strict=True)),
        "exact": {c.executor: c.bit_exact for c in (engine, csim, rtl) if c},
        "inferences": {c.executor: c.inferences for c in (engine, csim, rtl) if c},
        "seconds": {c.executor: round(c.seconds, 1) for c in (csim, rtl) if c},
        "compile_seconds": round(seconds, 1),
        "published": list(case.published) if case.published else None,
    }


def together(outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs of a network as one."""
    return {ALL: np.concatenate([found.reshape(-1) for found in outputs.values()])}


def place(row: dict[str, Any]) -> int:
    """Where a row stands: in the order of `CASES`."""
    return list(CASES).index(row["network"])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table, and the one with the published times."""
    heads = (
        "network|tasks|board|arrays|multiply-accumulates|limit|cycles|÷ limit|µs|SQNR|as float|exact|compile"
    )
    lines = [f"| {heads.replace('|', ' | ')} |", "|" + "---|" * (heads.count("|") + 1)]
    shown = {"csim": "C++", "rtl": "RTL"}
    for row in rows:
        ran = [f"{shown[name]} {row['inferences'][name]}" for name in shown if row["exact"].get(name)] or [
            "engine"
        ]
        wide = "" if row["scheme"] == "w8a8" else f" ({row['scheme']})"
        lines.append(
            f"| {row['network']}{wide} | {row['tasks']} | {row['device']} | {row['machine']} | {row['macs']:,} | "
            f"{row['limit']:,} | {row['predicted']:,} | {row['predicted'] / row['limit']:.2f} | "
            f"{row['microseconds']:,} | {row['sqnr_db']} dB | {row['agree']}/{row.get('samples', SAMPLES)} | "
            f"{', '.join(ran)} | {row['compile_seconds']} s |"
        )
    return "\n".join([*lines, "", *beside(rows)]) + "\n"


def beside(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The published circuits' times, and ours, as a Markdown table."""
    lines = [
        "| network | theirs | inferences/s | µs each | ours on | MHz | multipliers | µs each |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["published"]:
            rate, who = row["published"]
            lines.append(
                f"| {row['network']} | {who} | {rate:,.1f} | {1e6 / rate:,.1f} | {row['device']} | "
                f"{row['clock_mhz']:g} | {row['multipliers']} | {row['microseconds']:,.1f} |"
            )
    return lines


if __name__ == "__main__":
    torch.set_num_threads(1)  # seconds of the processor are then seconds
    sys.exit(
        bench_networks(
            __doc__ or "", list(CASES), lambda name, o: [measure(name, o.csim, o.rtl)], RESULTS, place, table
        )
    )
