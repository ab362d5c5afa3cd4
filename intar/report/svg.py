"""The charts of the HTML report as inline SVG text.

Colours are classes of the page's style sheet, so that the charts follow light and dark; numbers are rounded to a
tenth of a pixel, so that the same design gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from intar.report.gantt import Row
from intar.report.occupancy import Occupancy

WIDTH = 1040
"""Width of every chart, pixels of its own scale; the page scales charts to its width."""

LEFT, RIGHT = 150, 16
PALETTE = 12
"""Colour classes c0 to c11 for tasks."""


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def rect(x: float, y: float, width: float, height: float, classes: str, title: str = "") -> str:
    """A rectangle with a tooltip."""
    body = f"<title>{escape(title)}</title>" if title else ""
    size = " ".join(
        f'{name}="{_number(v)}"' for name, v in (("x", x), ("y", y), ("width", width), ("height", height))
    )
    return f'<rect {size} class="{classes}">{body}</rect>'


def text(x: float, y: float, content: str, classes: str = "") -> str:
    """A piece of text, anchored as its classes say."""
    return f'<text x="{_number(x)}" y="{_number(y)}" class="{classes}">{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, classes: str) -> str:
    """A straight line."""
    at = " ".join(f'{name}="{_number(v)}"' for name, v in (("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2)))
    return f'<line {at} class="{classes}"/>'


def figure(height: float, parts: Sequence[str], label: str) -> str:
    """The parts as one picture; `label` is for readers that cannot see it."""
    head = f'<svg viewBox="0 0 {WIDTH} {_number(height)}" role="img" aria-label="{escape(label)}">'
    return "\n".join((head, *parts, "</svg>"))


def ticks(limit: float, count: int = 8) -> list[int]:
    """Round numbers from 0 to `limit`, about `count` of them."""
    rough = max(1.0, limit / count)
    power = 10 ** math.floor(math.log10(rough))
    step = max(1, int(next(m * power for m in (1, 2, 5, 10) if m * power >= rough)))
    return list(range(0, int(limit) + 1, step))


def _time_axis(cycles: int, top: float, bottom: float, left: float = LEFT) -> list[str]:
    scale = (WIDTH - left - RIGHT) / cycles
    parts = []
    for tick in ticks(cycles):
        x = left + tick * scale
        parts += [line(x, top, x, bottom, "grid"), text(x, bottom + 14, f"{tick:,}", "axis mid")]
    return parts


def _short(name: str, characters: int = 22) -> str:
    return name if len(name) <= characters else name[: characters - 1] + "…"


def gantt(
    rows: Sequence[Row], cycles: int, colours: Mapping[str, int], label: str, left: float = LEFT
) -> str:
    """Lanes over cycles, lanes in the order of the rows, with a heading at each group; names are `left` pixels wide."""
    scale = (WIDTH - left - RIGHT) / cycles
    top, y, group = 8.0, 8.0, ""
    bars: list[str] = []
    for lane in dict.fromkeys(row.lane for row in rows):
        own = [row for row in rows if row.lane == lane]
        if own[0].group != group:
            group = own[0].group
            y += 16
            bars.append(text(0, y - 3, group, "head"))
        bars.append(text(left - 8, y + 13, _short(lane, int(left / 6.8)), "lane end"))
        for row in own:
            x, width = left + row.first * scale, max(0.6, (row.last - row.first + 1) * scale)
            busy = f"{row.lane}: {row.label}, cycles {row.first:,} to {row.last:,}"
            bars.append(rect(x, y + 2, width, 15, f"c{colours[row.label] % PALETTE}", busy))
            if width > 7 * len(row.label) + 6:
                bars.append(text(x + width / 2, y + 13, row.label, "on mid"))
        y += 20
    return figure(y + 22, [*_time_axis(cycles, top, y + 2, left), *bars], label)


def occupancy_chart(curves: Sequence[Occupancy], cycles: int) -> str:
    """One band a buffer: filled steps up to its depth."""
    scale, height = (WIDTH - LEFT - RIGHT) / cycles, 34
    parts, y = [], 6.0
    for curve in curves:
        base = y + height - 6
        parts.append(text(LEFT - 8, y + 14, _short(curve.buffer), "lane end"))
        parts.append(text(LEFT - 8, y + 27, f"peak {curve.peak:,} / {curve.depth:,}", "axis end"))
        parts.append(rect(LEFT, y, cycles * scale, base - y, "empty"))
        path = [f"M{LEFT} {_number(base)}"]
        for cycle, beats in curve.points:
            level = base - (base - y) * beats / curve.depth
            path.append(f"H{_number(LEFT + cycle * scale)}V{_number(level)}")
        title = f"{curve.buffer}: at most {curve.peak:,} of {curve.depth:,} beats of {curve.beat_bits} bits"
        parts.append(f'<path d="{"".join(path)}Z" class="held"><title>{escape(title)}</title></path>')
        y += height
    return figure(y + 20, [*_time_axis(cycles, 2, y), *parts], "beats held by each buffer over time")


def stacked(bars: Mapping[str, Mapping[str, int]], classes: Mapping[str, str], total: int) -> str:
    """One horizontal bar a name, of pieces (piece → cycles) that add up to `total`."""
    scale, y, parts = (WIDTH - LEFT - RIGHT) / total, 4.0, []
    for name, pieces in bars.items():
        x = float(LEFT)
        parts.append(text(LEFT - 8, y + 16, _short(name), "lane end"))
        for piece, count in pieces.items():
            if not count:
                continue
            width, share = count * scale, 100 * count / total
            title = f"{name}: {piece.replace('_', ' ')}, {count:,} cycles ({share:.1f} %)"
            parts.append(rect(x, y, width, 22, classes[piece], title))
            if width > 46:
                parts.append(text(x + width / 2, y + 15, f"{share:.1f} %", "on mid"))
            x += width
        y += 30
    return figure(y, parts, "cycles of each core by cause")


def roofline(
    peak: float, bandwidth: float, intensity: float, port_roof: float, points: Sequence[tuple[str, float]]
) -> str:
    """Attainable MACs per cycle over MACs per byte of port traffic, both logarithmic.

    Parameters
    ----------
    peak : multipliers, MACs per cycle.
    bandwidth : bytes per cycle of all ports together.
    intensity : MACs per byte of the design.
    port_roof : MACs per cycle at which the design's busiest port is never idle.
    points : name and MACs per cycle of what the design reaches.
    """  # fmt: skip
    height, left, bottom = 300.0, 70.0, 262.0
    ridge = peak / bandwidth
    x_low = 10 ** math.floor(math.log10(min(intensity, ridge) / 3))
    x_high = 10 ** math.ceil(math.log10(max(intensity, ridge) * 3))
    values = [peak, min(peak, bandwidth * x_low), *(v for _, v in points)]
    y_low = 10 ** math.floor(math.log10(min(values)))
    y_high = 10 ** math.ceil(math.log10(peak * 1.3))

    def at_x(value: float) -> float:
        return left + (WIDTH - left - RIGHT) * math.log10(value / x_low) / math.log10(x_high / x_low)

    def at_y(value: float) -> float:
        return bottom - (bottom - 12) * math.log10(value / y_low) / math.log10(y_high / y_low)

    parts = []
    for power in range(round(math.log10(x_low)), round(math.log10(x_high)) + 1):
        x = at_x(10.0**power)
        parts += [line(x, 12, x, bottom, "grid"), text(x, bottom + 15, f"{10.0**power:g}", "axis mid")]
    for power in range(round(math.log10(y_low)), round(math.log10(y_high)) + 1):
        y = at_y(10.0**power)
        parts += [
            line(left, y, WIDTH - RIGHT, y, "grid"),
            text(left - 6, y + 4, f"{10.0**power:g}", "axis end"),
        ]
    start = max(x_low, y_low / bandwidth)
    parts += [
        line(at_x(start), at_y(bandwidth * start), at_x(ridge), at_y(peak), "roof"),
        line(at_x(ridge), at_y(peak), at_x(x_high), at_y(peak), "roof"),
        text(at_x(x_high) - 6, at_y(peak) - 7, f"all multipliers: {peak:g} MACs a cycle", "note end"),
        text(WIDTH - RIGHT, bottom + 32, "MACs for each byte through the ports", "axis end"),
        text(left, 9, "MACs a cycle", "axis"),
    ]
    if y_low <= port_roof < peak:
        y = at_y(port_roof)
        parts += [
            line(at_x(max(start, port_roof / bandwidth)), y, at_x(x_high), y, "roof dash"),
            text(at_x(x_high) - 6, y + 14, f"busiest port: {port_roof:.1f} MACs a cycle", "note end"),
        ]
    for name, value in points:
        x, y = at_x(intensity), at_y(value)
        mark, radius = ("point", 6) if name == "predicted" else ("point ring", 9)
        title = f"{name}: {value:.2f} MACs a cycle, {intensity:.2f} MACs a byte"
        dot = f'<circle cx="{_number(x)}" cy="{_number(y)}" r="{radius}" class="{mark}"><title>{title}</title></circle>'
        parts.append(dot)
    best = points[0][1]
    label = f"this design: {best:.1f} ({100 * best / peak:.1f} % of the multipliers)"
    right = at_x(intensity) > (left + WIDTH) / 2
    x = at_x(intensity) + (-12 if right else 12)
    parts.append(text(x, at_y(best) + 18, label, "strong end" if right else "strong"))
    return figure(height, parts, "roofline of the design")
