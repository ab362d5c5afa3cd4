"""The report as one HTML page without anything from outside: style and charts are inside, there is no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from intar.pipeline import Design
from intar.report import svg
from intar.report.gantt import colour_index, gantt_rows
from intar.report.lost import CAUSES, core_cycles
from intar.report.occupancy import occupancy
from intar.report.summary import cycle_limit, macs
from intar.report.traffic import ports

CAUSE_TEXT = {
    "busy": "multiplying",
    "start_up": "start-up",
    "weights": "waiting for weights",
    "activations": "waiting for activations",
    "output_room": "waiting for output room",
    "between_steps": "between steps",
    "drain": "drain",
    "unused": "core not used",
}
CAUSE_CLASS = {"busy": "work"} | {cause: f"l{index}" for index, cause in enumerate(CAUSES)}


def _count(value: float | int | None) -> str:
    """A count with thousands separators; a dash for what was not measured."""
    return "–" if value is None else f"{value:,}"


def _real(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}g}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"count": _count, "real": _real, "percent": _percent}
    return made


def _roofline(design: Design, report: Mapping[str, Any]) -> Markup | None:
    """None for a network without products or ports, which has no roofline."""
    work, found = macs(design.quantised.graph), ports(design)
    moved = sum(port.bytes for port in found)
    if not work or not moved:
        return None
    cycles = report["cycles"]
    points = [(name, work / cycles[name]) for name in ("predicted", "simulated") if cycles[name]]
    chart = svg.roofline(
        design.schedule.machine.multipliers,
        sum(port.word_bytes for port in found),
        work / moved,
        work / max(port.words for port in found),
        points,
    )
    return Markup(chart)


def _bars(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The patterns with the length of their bars, per cent of the slowest."""
    longest = max((row["simulated"] or row["predicted"] for row in rows), default=1)
    return [dict(row) | {"share": 100 * (row["simulated"] or row["predicted"]) / longest} for row in rows]


def _gantts(design: Design) -> dict[str, Any]:
    main, behind = gantt_rows(design), gantt_rows(design, ("feeds", "switches"))
    colours = colour_index(design, [*main, *behind])
    cycles = design.predicted.cycles
    return {
        "gantt": Markup(svg.gantt(main, cycles, colours, "what each unit works on")),
        "switches": Markup(svg.gantt(behind, cycles, colours, "feeds and switches")) if behind else None,
        "legend": [(name, f"c{index % svg.PALETTE}") for name, index in colours.items()],
    }


def render_html(design: Design, report: Mapping[str, Any]) -> bytes:
    """The page, UTF-8; the same design and report give the same bytes.

    Parameters
    ----------
    report : the dict of :func:`intar.report.summary.report_dict`.
    """
    cycles, cores = design.predicted.cycles, core_cycles(design)
    total = max(1, cycles * len(cores))
    sums = {name: sum(core[name] for core in cores.values()) for name in CAUSE_TEXT}
    causes = [
        {"text": text, "class": CAUSE_CLASS[name], "cycles": sums[name], "share": sums[name] / total}
        for name, text in CAUSE_TEXT.items()
        if sums[name] or name == "busy"
    ]
    links = [
        {"name": link.name, "src": link.src, "dst": link.dst, "use": design.predicted.links[link.name]}
        for link in design.program.links
    ]
    predicted, simulated = report["cycles"]["predicted"], report["cycles"]["simulated"]
    context = {
        "design": design,
        "report": report,
        "cycles": cycles,
        "macs": macs(design.quantised.graph),
        "limit": cycle_limit(design),
        "difference": None if simulated is None else (predicted - simulated) / simulated,
        "lost": Markup(svg.stacked(cores, CAUSE_CLASS, cycles)) if cores else None,
        "causes": causes,
        "curves": Markup(svg.occupancy_chart(occupancy(design), cycles)),
        "roofline": _roofline(design, report),
        "patterns": _bars(report["patterns"]),
        "links": links,
        "ports": ports(design),
    } | _gantts(design)
    return _environment().get_template("report.html.j2").render(context).encode()
