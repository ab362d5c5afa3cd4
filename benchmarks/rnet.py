"""RNet on 200 real pictures, half of them faces: float, integers, generated C++ on all of them, RTL on some.

Needs the model (`designs/rnet/export.py`) and scikit-image (its pictures). Forty of the pictures calibrate.

>>> python benchmarks/rnet.py --rtl 20 --json                                                  # doctest: +SKIP
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
from rich.console import Console
from rich.table import Table

from intar import designs, pipeline, proof, rendering
from intar.assets import import_file
from intar.errors import UserError
from intar.ir.reference import run_float
from intar.proof import Check
from intar.quant.golden import golden_outputs, integer_samples, quantise_input
from intar.report.summary import cycle_limit
from intar.session import open_source

RESULTS = Path(__file__).parent / "results" / "rnet.json"
MOST_DIFFERENT = 1
"""Pictures on which integers may decide otherwise than float."""

console = Console()


def decisions(outputs: list[np.ndarray]) -> np.ndarray:
    """Whether each is a face: the second of the two probabilities is larger."""
    return np.array([int(np.argmax(output)) == 1 for output in outputs])


def measure(pictures_in_rtl: int, folder: Path) -> dict[str, Any]:
    """Compile into `folder`, run everything, count."""
    source = open_source("rnet")
    where, spec = designs.load("rnet")
    pictures, labels = import_file(where / str(spec.calibration.module)).images()
    name, face = source.graph.inputs[0], source.graph.outputs[0]
    with console.status("compile"):
        began = time.perf_counter()
        made = pipeline.compile_quantised(source.quantised, source.machine, loops=source.loops)
        project = rendering.project(made, integer_samples(source.quantised, source.calibration))
        project.write(folder)
        compiling = time.perf_counter() - began
    with console.status(f"float and golden on {len(pictures)} pictures"):
        real = decisions([run_float(source.graph, {name: picture})[face] for picture in pictures])
        tensor = source.quantised.graph.tensor(name)
        integers = [{name: quantise_input(tensor, picture)} for picture in pictures]
        golden = decisions([out[face] for out in golden_outputs(made.quantised, integers)])
    with console.status(f"generated C++ on {len(pictures)} pictures"):
        csim = proof.verify_csim(made, integers, folder)
    every = np.arange(len(pictures))
    rows: list[tuple[str, np.ndarray, np.ndarray, Check | None]] = [
        ("float", real, every, None),
        ("integer (golden)", golden, every, None),
        ("C++ (csim)", decisions([out[face] for out in csim.outputs]), every, csim),
    ]
    rtl = None
    if pictures_in_rtl:
        chosen = np.linspace(0, len(pictures) - 1, pictures_in_rtl).astype(int)
        with console.status(f"RTL under Verilator on {pictures_in_rtl} pictures"):
            rtl = proof.verify_rtl(made, [integers[i] for i in chosen], folder)
        rows.append(("RTL (Verilator)", decisions([out[face] for out in rtl.outputs]), chosen, rtl))
    simulated = max(rtl.cycles) if rtl else None
    return {
        "scheme": spec.scheme,
        "multipliers": source.machine.multipliers,
        "calibrated_on": spec.calibration.samples,
        "limit": cycle_limit(made),
        "predicted": made.predicted.cycles,
        "simulated": simulated,
        "microseconds": (simulated or made.predicted.cycles) / source.machine.clock_mhz,
        "compile_seconds": round(compiling, 1),
        "executors": [
            {
                "executor": executor,
                "pictures": len(at),
                "right": int((found == labels[at]).sum()),
                "as_float": int((found == real[at]).sum()),
                "bit_exact": check.bit_exact if check else None,
                "seconds": round(check.seconds, 1) if check else None,
            }
            for executor, found, at, check in rows
        ],
    }


def show(result: dict[str, Any]) -> None:
    """The table on the terminal."""
    title = f"RNet, {result['scheme']}, {result['multipliers']} multipliers"
    table = Table(
        "", "pictures", "right", "decided as float", "equal to golden", title=title, title_justify="left"
    )
    for row in result["executors"]:
        exact = {None: "", True: "every bit", False: "[red]no[/]"}[row["bit_exact"]]
        table.add_row(row["executor"], str(row["pictures"]), str(row["right"]), str(row["as_float"]), exact)
    console.print(table)
    console.print(
        f"cycles a picture: {result['predicted']:,} predicted, {result['simulated'] or '-'} simulated, "
        f"{result['limit']:,} at least; {result['microseconds']:.0f} µs"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rtl", type=int, default=20, help="pictures in RTL (default 20; 0: no RTL)")
    parser.add_argument("-o", "--out", type=Path, help="folder for the project (default: a temporary one)")
    parser.add_argument(
        "--json", action="store_true", help=f"also write {RESULTS.name} into benchmarks/results"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        result = measure(options.rtl, options.out or Path(temporary) / "project")
    show(result)
    if options.json:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    good = all(
        row["bit_exact"] is not False and row["as_float"] >= row["pictures"] - MOST_DIFFERENT
        for row in result["executors"]
    )
    return 0 if good and result["simulated"] in (None, result["predicted"]) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(str(error))
