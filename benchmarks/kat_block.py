"""A block of KAT-tiny on the FPGA, from torch.export on: GR-KAN against the same block with GELU and no first function.

python benchmarks/kat_block.py [--width 192 --heads 3 --tokens 197] [--multipliers 512 --cores 2] [--rtl] [--out FILE]

One JSON line each; with `--out` they take the place of the same blocks' rows in the file.

Coefficients are our fits of identity and SiLU, moved by 20 % at random, as if learned; weights and samples are random.
`sqnr_db`: float against integers on all samples. `engine`, `csim`, `rtl`: integers that differ from golden (the last two
with `--rtl`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from intar import pipeline, proof, rendering
from intar.design import Design
from intar.device import make_machine
from intar.frontends.torch_graph import import_torch
from intar.gpu import KATBlock
from intar.ir.io import write_atomic
from intar.ir.reference import run_float
from intar.ir.schedule import Mode
from intar.ir.taskgraph import TaskGraph
from intar.quant.golden import dequantise, quantise_input, run_golden
from intar.quant.quantise import quantise
from intar.quant.scheme import scheme
from intar.report.static import static_resources

SAMPLES = 8


def block(kind: str, width: int, heads: int, tokens: int) -> tuple[TaskGraph, np.ndarray]:
    """The network of one block, ``grkan`` or ``gelu``, and samples (n, tokens, width)."""
    torch.manual_seed(0)
    module = KATBlock(width, heads).eval()
    functions = (module.mlp.act1, module.mlp.act2)
    for function in functions:
        for parameter in function.parameters():
            parameter.data *= 1 + 0.2 * torch.randn(parameter.shape)
    start = functions[0].weight_numerator.data
    start += torch.randn(start.shape) * torch.tensor([0.05, 0.05, 0.05, 0.01, 1e-3, 1e-4])
    functions[0].weight_denominator.data += 0.05 * torch.rand(functions[0].weight_denominator.shape)
    if kind == "gelu":
        module.mlp.act1, module.mlp.act2 = nn.Identity(), nn.GELU()
    samples = torch.randn(SAMPLES, tokens, width)
    return import_torch(module, samples[:1]), samples.numpy()


def quality(graph: TaskGraph, made: Design, samples: np.ndarray) -> float:
    """Signal over noise of the output, decibels."""
    name, out = graph.inputs[0], graph.outputs[0]
    tensors, signal, noise = made.quantised.graph, 0.0, 0.0
    for sample in samples:
        real = run_float(graph, {name: sample[None]})[out]
        ints = run_golden(made.quantised, {name: quantise_input(tensors.tensor(name), sample[None])}).tensors[
            out
        ]
        signal += float((real**2).sum())
        noise += float(((real - dequantise(tensors.tensor(out), ints)) ** 2).sum())
    return 10 * float(np.log10(signal / noise))


def measure(kind: str, options: argparse.Namespace, pattern: Mode) -> dict[str, object]:
    """Cycles, resources and accuracy of one block in one pattern."""
    graph, samples = block(kind, options.width, options.heads, options.tokens)
    how = scheme(options.scheme).with_rational(options.rational)
    quantised = quantise(graph, how, {graph.inputs[0]: samples})
    machine = make_machine(
        options.device, {"multipliers": options.multipliers, "cores": options.cores}, quantised
    )
    made = pipeline.compile_quantised(quantised, machine, pattern)
    resources = static_resources(made.program, uram=True)
    row: dict[str, object] = {
        "block": kind,
        "width": options.width,
        "tokens": options.tokens,
        "rational": options.rational,
        "pattern": pattern,
        "multipliers": machine.multipliers,
        "objective": made.schedule.objective,
        "cycles": made.predicted.cycles,
        "dsp": resources["dsp"],
        "bram36": resources["bram36"],
        "vector": resources["by_module"].get("vector"),
        "sqnr_db": round(quality(graph, made, samples), 2),
    }
    integers = [
        {name: quantise_input(quantised.graph.tensor(name), sample[None]) for name in graph.inputs}
        for sample in samples[:2]
    ]
    row["engine"] = proof.verify_engine(made, integers).mismatches
    if options.rtl:
        with tempfile.TemporaryDirectory() as folder:
            rendering.project(made).write(Path(folder))
            row["csim"] = proof.verify_csim(made, integers, Path(folder)).mismatches
            rtl = proof.verify_rtl(made, integers, Path(folder))
            row |= {"rtl": rtl.mismatches, "simulated": max(rtl.cycles)}
    return row


def keep(row: dict[str, object], file: Path) -> None:
    """Write a row into the list in `file`, in place of one of the same block, pattern and multipliers."""
    key = ("block", "width", "tokens", "rational", "pattern", "multipliers")
    rows = json.loads(file.read_text()) if file.exists() else []
    others = [other for other in rows if any(other[name] != row[name] for name in key)]
    write_atomic(file, (json.dumps([*others, row], indent=1) + "\n").encode())


def main() -> None:
    parser = argparse.ArgumentParser(description="KAT's block on the FPGA")
    sizes = {"--width": 192, "--heads": 3, "--tokens": 197, "--multipliers": 512, "--cores": 2}
    for option, default in sizes.items():
        parser.add_argument(option, type=int, default=default)
    parser.add_argument("--scheme", default="w8a8r16")
    parser.add_argument("--device", default="u280")
    parser.add_argument("--rational", default="auto", help="auto (tables), table, pieces or direct")
    parser.add_argument("--patterns", nargs="+", default=["auto"])
    parser.add_argument("--rtl", action="store_true", help="C++ and RTL too")
    parser.add_argument("--out", type=Path, help="file for the rows, a list in JSON")
    options = parser.parse_args()
    for pattern in options.patterns:
        for kind in ("grkan", "gelu"):
            row = measure(kind, options, pattern)
            print(json.dumps(row), flush=True)
            if options.out:
                keep(row, options.out)


if __name__ == "__main__":
    main()
