"""Cycles of reference designs, pattern by pattern, on the same multipliers and ports, from RTL simulation."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from intar import pipeline
from intar.report.summary import cycle_limit
from intar.session import open_source, stored_inputs

PATTERNS: tuple[pipeline.Mode, ...] = ("auto", "intar", "sequential", "dataflow")


def rows(design: str, *, simulate: bool = True, inferences: int = 2) -> Iterator[dict[str, Any]]:
    """One dict a pattern: design, pattern, multipliers, limit, predicted, simulated, published, bit_exact.

    `simulated` and `bit_exact` are None without `simulate`. Patterns with the same schedule share one simulation.
    """
    source = open_source(design)
    seen: dict[str, pipeline.Check] = {}
    for mode in PATTERNS:
        made = pipeline.compile_quantised(source.quantised, source.machine, mode, blocks=source.blocks)
        key = made.program.to_json()
        if simulate and key not in seen:
            with tempfile.TemporaryDirectory() as folder:
                target = pipeline.project(made).write(Path(folder) / "project")
                seen[key] = pipeline.verify_rtl(made, stored_inputs(target, made, inferences, 0), target)
        check = seen.get(key)
        yield {
            "kernel": design,
            "pattern": mode,
            "multipliers": source.machine.multipliers,
            "limit": cycle_limit(made),
            "objective": made.schedule.objective,
            "predicted": made.predicted.cycles,
            "simulated": max(check.cycles) if check else None,
            "published": source.anchor.cycles if source.anchor else None,
            "bit_exact": check.bit_exact if check else None,
        }


def table(found: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    keys = list(found[0])
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    for row in found:
        lines.append("| " + " | ".join(f"{v:,}" if type(v) is int else str(v) for v in row.values()) + " |")
    return "\n".join(lines) + "\n"
