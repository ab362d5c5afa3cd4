"""The page of an exploration: time over multipliers, one dot a point, the Pareto front in a line; and the table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from intar.report.svg import RIGHT, WIDTH, figure, line, rect, text

LEFT, TOP, BOTTOM = 80.0, 16.0, 380.0


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between two positive numbers."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]


def scatter(rows: Sequence[Mapping[str, Any]]) -> str:
    """Microseconds an inference over DSP blocks, both logarithmic, as inline SVG; colours are patterns."""
    found = [row for row in rows if row["cycles"] is not None]
    if not found:
        return ""
    patterns = list(dict.fromkeys(row["pattern"] for row in found))
    x_low, x_high = min(r["dsp"] for r in found) / 1.3, max(r["dsp"] for r in found) * 1.3
    y_low, y_high = min(r["microseconds"] for r in found) / 1.3, max(r["microseconds"] for r in found) * 1.3

    def at(row: Mapping[str, Any]) -> tuple[float, float]:
        return at_x(row["dsp"]), at_y(row["microseconds"])

    def at_x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(value / x_low) / math.log(x_high / x_low)

    def at_y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * math.log(value / y_low) / math.log(y_high / y_low)

    parts = []
    for tick in _ticks(x_low, x_high):
        x = at_x(tick)
        parts += [line(x, TOP, x, BOTTOM, "grid"), text(x, BOTTOM + 16, f"{tick:g}", "axis mid")]
    for tick in _ticks(y_low, y_high):
        y = at_y(tick)
        parts += [line(LEFT, y, WIDTH - RIGHT, y, "grid"), text(LEFT - 8, y + 4, f"{tick:g}", "axis end")]
    front = sorted((row for row in found if row["pareto"]), key=lambda row: (row["dsp"], row["microseconds"]))
    stairs: list[Mapping[str, Any]] = []
    for row in front:  # with more memory a point may be slower at the same multipliers: not part of this line
        if not stairs or row["microseconds"] < stairs[-1]["microseconds"]:
            stairs.append(row)
    for a, b in pairwise(stairs):
        (x1, y1), (x2, y2) = at(a), at(b)
        parts += [line(x1, y1, x2, y1, "front"), line(x2, y1, x2, y2, "front")]
    for row in sorted(found, key=lambda row: row["pareto"]):
        x, y = at(row)
        budget = ", ".join(f"{key}={value}" for key, value in row["budget"].items())
        title = f"{row['pattern']}; {budget}: {row['cycles']:,} cycles, {row['dsp']:,} DSP, {row['memory_kbit']:,g} kbit"
        size, extra = (12, "best") if row["pareto"] else (8, "other")
        parts.append(
            rect(x - size / 2, y - size / 2, size, size, f"c{patterns.index(row['pattern'])} {extra}", title)
        )
    for index, pattern in enumerate(patterns):
        x = LEFT + 150 * index
        parts += [rect(x, BOTTOM + 40, 11, 11, f"c{index} best"), text(x + 17, BOTTOM + 50, pattern)]
    parts += [
        text(LEFT, 10, "microseconds an inference (predicted)", "axis"),
        text(WIDTH - RIGHT, BOTTOM + 32, "DSP blocks (static count)", "axis end"),
    ]
    return figure(BOTTOM + 60, parts, "time over multipliers")


def render_exploration(document: Mapping[str, Any]) -> bytes:
    """The page, UTF-8; the same document gives the same bytes."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    chart = Markup(scatter(document["points"]))
    return environment.get_template("explore.html.j2").render(chart=chart, **document).encode()
