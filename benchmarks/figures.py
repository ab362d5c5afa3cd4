"""The picture of the patterns in docs/schedule.md: one small network, scheduled in four ways on one machine.

>>> python benchmarks/figures.py                                                               # doctest: +SKIP
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

import intar
from intar.design import Design
from intar.frontends import Builder
from intar.ir.io import write_atomic
from intar.ir.schedule import Mode
from intar.ir.taskgraph import TaskGraph
from intar.report.gantt import colour_index, gantt_rows
from intar.report.svg import WIDTH, gantt, text
from intar.schedule.pins import Pins

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "patterns.svg"
BUDGET = {"cores": 2, "rows": 4, "lanes": 8, "onchip": "64K"}
STYLE = """text { font: 12px sans-serif; fill: #1b2430 } .title { font-weight: 600; font-size: 14px }
.mid { text-anchor: middle } .end { text-anchor: end } .axis, .head { fill: #5b6878 } .on { fill: #fff }
.grid { stroke: #dde2e9 } .page { fill: #fff }
.c0 { fill: #2f6fd0 } .c1 { fill: #b4531f } .c2 { fill: #1d8163 } .c3 { fill: #8a4bb8 } .c4 { fill: #a8740a }
.c5 { fill: #c03a6b } .c6 { fill: #4a7d1c } .c7 { fill: #5a6b80 } .c8 { fill: #0f7f92 } .c9 { fill: #7a5230 }"""


def network() -> tuple[TaskGraph, np.ndarray]:
    """Two matmuls of one input, and one behind the second of them; samples (16, 64, 32)."""
    rng = np.random.default_rng(0)
    g = Builder("patterns")
    x = g.input("x", (64, 32))
    left = g.matmul(x, rng.normal(size=(32, 64)) / 6, name="left")
    right = g.relu(g.matmul(x, rng.normal(size=(32, 64)) / 6, name="right"))
    g.output(left, g.matmul(right, rng.normal(size=(64, 32)) / 8, name="behind"))
    return g.build(), rng.normal(size=(16, 64, 32))


def patterns() -> dict[str, Design]:
    """A design for each pattern, by the title of its part of the picture."""
    graph, samples = network()
    ways: dict[str, tuple[Mode, dict[str, str]]] = {
        "sequential: one after the other, each on all cores": ("sequential", {}),
        "parallel: left and right side by side, a core each": (
            "auto",
            {"left": "parallel", "right": "parallel", "behind": "sequential"},
        ),
        "pipelined: right hands row tiles over to behind, on another core": (
            "auto",
            {"left": "sequential", "right": "pipelined", "behind": "pipelined"},
        ),
        "interleaved: right and behind take turns on all cores, row tile by row tile": (
            "auto",
            {"left": "sequential", "right": "interleaved", "behind": "interleaved"},
        ),
    }
    return {
        title: intar.compile(graph, samples, budget=BUDGET, pattern=mode, pins=Pins(pattern=pins)).design
        for title, (mode, pins) in ways.items()
    }


def picture(designs: dict[str, Design]) -> str:
    """The designs one below the other on one scale, as a file that stands alone."""
    longest = max(design.predicted.cycles for design in designs.values())
    parts, top = [], 0.0
    colours: dict[str, int] = {}
    for title, design in designs.items():
        rows = gantt_rows(design, ("cores", "vector units"))
        for label in colour_index(design, rows):
            colours.setdefault(label, len(colours))
        chart = gantt(rows, longest, colours, title)
        height = float(re.search(r'viewBox="0 0 \d+ ([\d.]+)"', chart)[1])  # type: ignore[index]
        heading = f"{title}: {design.predicted.cycles:,} cycles"
        parts += [text(0, top + 18, heading, "title"), f'<g transform="translate(0 {top + 22:.0f})">']
        parts += [*chart.split("\n")[1:-1], "</g>"]
        top += height + 34
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}">'
    page = f'<rect class="page" width="{WIDTH}" height="{top:.0f}"/>'
    return "\n".join((head, f"<style>{STYLE}</style>", page, *parts, "</svg>")) + "\n"


def main() -> int:
    """Write the picture, and say what it shows."""
    designs = patterns()
    for title, design in designs.items():
        stages = [f"{s.pattern} {', '.join(p.task for p in s.tasks)}" for s in design.schedule.stages]
        print(f"{design.predicted.cycles:6,} cycles  {title}  [{' | '.join(stages)}]")
    write_atomic(FIGURE, picture(designs).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
