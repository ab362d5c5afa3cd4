"""Time and memory of the whole path for GPT-2, from the PyTorch module to all files written: one process for each size.

``python benchmarks/gpt2_compile.py [--size small] [-o benchmarks/results]`` prints JSON: for each size wall and CPU
seconds and the largest resident memory of the process, the load of the machine when it began, predicted cycles, and the
files written. U280, 8,192 multipliers, scheme w8a8r16, 64 tokens, random weights.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from intar.assets import asset_dir

SIZES = ("small", "medium")
OPTIONS = ("--device", "u280", "--budget", "multipliers=8192", "--scheme", "w8a8r16")


def measure(size: str) -> dict[str, object]:
    """Compile one size in a process of its own."""
    model = f"{asset_dir('designs') / 'gpt2' / 'model.py'}:{size}"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / size
        load, began = os.getloadavg()[0], time.perf_counter()
        command = [sys.executable, "-m", "intar.cli", "compile", model, *OPTIONS, "-o", str(target)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"the compiler ended with status {process.returncode}")
        report = json.loads((target / "report" / "report.json").read_text())
        written = [file.stat().st_size for file in target.rglob("*") if file.is_file()]
    return {
        "size": size,
        "wall_s": round(seconds, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_gb": round(used.ru_maxrss / 1e6, 2),
        "load": round(load, 1),
        "cycles": report["cycles"]["predicted"],
        "files": len(written),
        "written_gb": round(sum(written) / 1e9, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", action="append", choices=SIZES, help="default: all")
    parser.add_argument("-o", "--out", type=Path, help="folder for gpt2_compile.json")
    options = parser.parse_args()
    text = json.dumps([measure(size) for size in options.size or SIZES], indent=1) + "\n"
    print(text, end="")
    if options.out:
        (options.out / "gpt2_compile.json").write_text(text)


if __name__ == "__main__":
    main()
