"""Resources of whole designs: compile, synthesise with Yosys, count; `docs/resources.md` shows the tables.

    python benchmarks/resources.py [DESIGN[:SCHEME] …]      needs the extra `synth`; three minutes a design

Writes ``benchmarks/results/resources.json`` and ``resources.md``. The designs are compiled with their own budgets, and with
their own schemes where none is given.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from intar import pipeline
from intar.codegen.rtl import top_name
from intar.report.resources import COUNTS, count_text
from intar.session import open_source
from intar.verify.synth import synthesise_design

DESIGNS = ("digits", "digits:w8a8-pow2", "intar_mlp", "intar_mlp:w16a16-pow2")
RESULTS = Path(__file__).parent / "results"


def measure(chosen: str) -> dict[str, Any]:
    """Counts of one design and the multipliers of its budget."""
    name, _, scheme = chosen.partition(":")
    source = open_source(name, scheme=scheme or None)
    made = pipeline.compile_quantised(source.quantised, source.machine)
    with tempfile.TemporaryDirectory() as folder:
        target = pipeline.project(made).write(Path(folder) / name)
        found = synthesise_design(target, top_name(made.program), source.machine.device)
    return {
        "design": chosen,
        "device": source.machine.device,
        "multipliers": source.machine.multipliers,
        **found,
    }


def _cells(counts: dict[str, Any]) -> str:
    return " | ".join(count_text(counts[kind]) for kind in COUNTS)


def table(rows: list[dict[str, Any]]) -> str:
    """Totals of each design, then its modules by look-up tables."""
    lines = [
        "| design | device | multipliers | " + " | ".join(COUNTS) + " |",
        "|---" * (3 + len(COUNTS)) + "|",
    ]
    lines += [f"| {row['design']} | {row['device']} | {row['multipliers']} | {_cells(row)} |" for row in rows]
    for row in rows:
        lines += ["", f"{row['design']} ({row['source']}):", "", "| module | " + " | ".join(COUNTS) + " |"]
        lines.append("|---" * (1 + len(COUNTS)) + "|")
        by_size = sorted(row["by_module"].items(), key=lambda item: (-item[1]["lut"], item[0]))
        lines += [f"| `{module}` | {_cells(own)} |" for module, own in by_size]
    return "\n".join(lines) + "\n"


def main(names: list[str]) -> None:
    """Measure and write."""
    rows = []
    for name in names or DESIGNS:
        start = time.monotonic()
        rows.append(measure(name))
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "resources.json").write_text(json.dumps(rows, indent=1) + "\n")
    (RESULTS / "resources.md").write_text(table(rows))
    print(table(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
