"""Magika's file types: the first and last 1,024 bytes of files to one of 214 kinds, compared with float on other files.

Needs `pip install --no-deps magika==1.0.3` (or `MAGIKA=`, the file model.onnx of its model standard_v3_3; nothing of the
package is imported) and onnxruntime. The files are this repository's and Python's own.

>>> python benchmarks/magika.py --csim 2                                                                 # doctest: +SKIP
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from rich.console import Console

import intar
from intar import proof
from intar.bench import bench_model, hardware_faults
from intar.errors import ConfigError, Finding
from intar.options import parse_bits, parse_budget
from intar.report.static import static_resources
from intar.report.summary import cycle_limit

RESULTS = Path(__file__).parent / "results" / "magika.json"
REPOSITORY = Path(__file__).parent.parent
SIDE, PADDING = 1024, 256
SUFFIXES = ("py", "md", "yaml", "sv", "h", "json", "txt", "ipynb", "toml", "svg", "pyc", "so")
EACH, CALIBRATION = 4, 16
"""Files of each suffix, and how many of all calibrate; the others are compared."""

LEAST_SAME, LEAST_DECIBELS = 0.95, 25.0
"""Bounds of the share of files with the same label, and of the probabilities' distance from noise."""

console = Console(stderr=True)


def model_file() -> Path:
    """The network's file; ConfigError where it is not."""
    spec = find_spec("magika")
    package = [Path(spec.origin).parent / "models/standard_v3_3/model.onnx"] if spec and spec.origin else []
    for file in (*([Path(os.environ["MAGIKA"])] if "MAGIKA" in os.environ else []), *package):
        if file.is_file():
            return file
    hint = "pip install --no-deps magika==1.0.3, or name the file in MAGIKA"
    raise ConfigError(Finding("Magika's network is not there", "standard_v3_3/model.onnx", hint=hint))


def files() -> list[Path]:
    """`EACH` files of each suffix, mixed: those that git keeps here, then Python's."""
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    mine = [REPOSITORY / name for name in listed.stdout.splitlines()]
    python = Path(sysconfig.get_paths()["stdlib"])
    found = []
    for suffix in SUFFIXES:
        more = (
            file
            for folder in (".", "lib-dynload", "json/__pycache__")
            for file in sorted((python / folder).glob(f"*.{suffix}"))
        )
        own = [file for file in mine if file.suffix == f".{suffix}"]
        found.append([file for file in (*own, *more) if file.stat().st_size > 64][:EACH])
    return [group[turn] for turn in range(EACH) for group in found if turn < len(group)]


def features(file: Path) -> np.ndarray:
    """What the network takes (1, 2048): bytes of beginning and end without blanks around them, 256 where there is none."""
    content = file.read_bytes()
    first = np.frombuffer(content.lstrip()[:SIDE], np.uint8)
    last = np.frombuffer(content.rstrip()[-SIDE:], np.uint8)
    row = np.full(2 * SIDE, PADDING, np.int32)
    row[: len(first)] = first
    row[2 * SIDE - len(last) :] = last
    return row[None]


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Compile into `folder`, run everything, compare."""
    model = model_file()
    chosen = files()
    session = onnxruntime.InferenceSession(str(model))
    samples = np.stack([features(file) for file in chosen])
    wanted = np.stack([session.run(None, {"bytes": sample})[0][0] for sample in samples])[CALIBRATION:]
    scheme, bits = parse_bits(options.bits or [], "w8a8r16")
    began = time.process_time()
    with console.status("compile"):
        accel = intar.compile(
            str(model),
            {"bytes": samples[:CALIBRATION]},
            shapes={"unk__214": 1},
            device=options.device,
            scheme=scheme or "w8a8r16",
            bits=bits,
            budget=parse_budget(options.budget or []),
        )
    seconds = time.process_time() - began
    accel.write(folder)
    made, machine = accel.design, accel.design.schedule.machine
    with console.status(f"{len(wanted)} files in integers"):
        results = [accel({"bytes": sample}) for sample in samples[CALIBRATION:]]
        calls = [accel.integers({"bytes": sample}) for sample in samples[CALIBRATION:]]
    got = np.stack([np.asarray(result).reshape(-1) for result in results])
    csim = proof.verify_csim(made, calls[: options.csim], folder) if options.csim else None
    rtl = proof.verify_rtl(made, calls[: options.rtl], folder) if options.rtl else None
    noise = float(((got - wanted) ** 2).sum())
    return {
        "files": {"calibrated_on": CALIBRATION, "compared": len(got)},
        "scheme": scheme,
        "bits": bits,
        "machine": f"{machine.cores} x {machine.rows} x {machine.lanes}",
        "device": machine.device,
        "dsp": static_resources(made.program, False)["dsp"],
        "compile_cpu_seconds": round(seconds, 1),
        "cycles": {
            "limit": cycle_limit(made),
            "predicted": made.predicted.cycles,
            "simulated": list(rtl.cycles) if rtl else None,
        },
        "microseconds": round(made.predicted.cycles / machine.clock_mhz, 1),
        "clock_mhz": machine.clock_mhz,
        "bit_exact": {name: run and run.bit_exact for name, run in (("csim", csim), ("rtl", rtl))},
        "same_label": int((got.argmax(axis=1) == wanted.argmax(axis=1)).sum()),
        "probability": {
            "mean_difference_of_the_first": round(
                float(np.abs(got - wanted)[range(len(got)), wanted.argmax(axis=1)].mean()), 4
            ),
            "largest_difference": round(float(np.abs(got - wanted).max()), 4),
            "decibels": round(10 * float(np.log10((wanted**2).sum() / noise)), 2),
        },
    }


def faults(found: dict[str, Any]) -> list[str]:
    """What misses its bound."""
    wrong = hardware_faults(found)
    if found["same_label"] < LEAST_SAME * found["files"]["compared"]:
        wrong.append(f"{found['same_label']} files with the same label, bound {LEAST_SAME}")
    if found["probability"]["decibels"] < LEAST_DECIBELS:
        wrong.append(
            f"probabilities are {found['probability']['decibels']} dB above noise, bound {LEAST_DECIBELS}"
        )
    return wrong


if __name__ == "__main__":
    defaults = {"csim": 2, "device": "u280"}
    sys.exit(bench_model(__doc__ or "", "files", defaults, measure, faults, RESULTS))
