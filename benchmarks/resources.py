"""Resources of whole designs: compile, synthesise with Yosys, count; `docs/resources.md` shows the tables.

    python benchmarks/resources.py [DESIGN[:SCHEME] …]      needs the extra `synth`; minutes a design

Puts a row for each design into ``benchmarks/results/resources.json`` and ``resources.md``. The designs are compiled with
their own budgets, and with their own schemes where none is given. `--blocks` counts multipliers and memories only, which
takes a fraction of the time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from intar import pipeline, rendering
from intar.bench import keep
from intar.codegen.rtl import top_name
from intar.report.resources import COUNTS, count_text
from intar.session import open_source
from intar.verify.synth import synthesise_design

DESIGNS = (
    "digits",
    "digits:w8a8-pow2",
    "intar_mlp",
    "intar_mlp:w16a16-pow2",
    "self_attn",
    "cnn4l",
    "vae",
    "gating_net",
)
RESULTS = Path(__file__).parent / "results" / "resources.json"


def measure(chosen: str, blocks: bool) -> dict[str, Any]:
    """Counts of one design, those of its arrays, and the multipliers of its budget."""
    name, _, scheme = chosen.partition(":")
    source = open_source(name, scheme=scheme or None)
    made = pipeline.compile_quantised(source.quantised, source.machine)
    with tempfile.TemporaryDirectory() as folder:
        target = rendering.project(made).write(Path(folder) / name)
        found = synthesise_design(target, top_name(made.program), source.machine.device, blocks)
    return {
        "design": chosen,
        "device": source.machine.device,
        "multipliers": source.machine.multipliers,
        "in_arrays": found["by_module"].get("intar_array", {}).get("dsp", 0),
        **found,
    }


def _cells(counts: dict[str, Any]) -> str:
    return " | ".join(count_text(counts[kind]) for kind in COUNTS)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Totals of each design, then its modules by look-up tables."""
    lines = [
        "| design | device | multipliers | dsp in arrays | " + " | ".join(COUNTS) + " |",
        "|---" * (4 + len(COUNTS)) + "|",
    ]
    lines += [
        f"| {row['design']} | {row['device']} | {row['multipliers']} | {row['in_arrays']:g} | {_cells(row)} |"
        for row in rows
    ]
    for row in rows:
        lines += ["", f"{row['design']} ({row['source']}):", "", "| module | " + " | ".join(COUNTS) + " |"]
        lines.append("|---" * (1 + len(COUNTS)) + "|")
        by_size = sorted(
            row["by_module"].items(), key=lambda item: (-(item[1]["lut"] or item[1]["dsp"]), item[0])
        )
        lines += [f"| `{module}` | {_cells(own)} |" for module, own in by_size]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write, a design at a time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("designs", nargs="*", default=DESIGNS, help=f"default: {' '.join(DESIGNS)}")
    parser.add_argument("--blocks", action="store_true", help="multipliers and memories only")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in options.designs:
        start = time.monotonic()
        row = measure(name, options.blocks)
        rows = keep(RESULTS, row, itemgetter("design"), table)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
