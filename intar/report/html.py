"""The report as one HTML page without anything from outside: style and charts are inside, there is no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from intar.design import Design
from intar.report import svg
from intar.report.gantt import colour_index, gantt_rows, link_rows
from intar.report.lost import CAUSES, Counts, core_cycles
from intar.report.occupancy import occupancy
from intar.report.resources import COUNTS, count_text, resource_rows
from intar.report.stages import CAUSES as STAGE_TEXT
from intar.report.stages import stage_rows
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
EXECUTORS = {"interpreter": "interpreter", "csim": "C++ (csim)", "rtl": "RTL (simulated)"}
SHARES = ("float", "integer", "csim", "rtl", "top1")
"""Entries of ``accuracy`` that are shares of right answers."""

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
    made.filters |= {"count": _count, "real": _real, "percent": _percent, "blocks": count_text}
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
    """The patterns with the length of their bars, per cent of the slowest; no bar for what does not fit."""
    cycles = [row["simulated"] or row["predicted"] or 0 for row in rows]
    longest = max([1, *cycles])
    return [dict(row) | {"share": 100 * count / longest} for row, count in zip(rows, cycles, strict=True)]


def _accuracy(name: str, value: object) -> str:
    """Shares of right answers in per cent, everything else as a number."""
    if isinstance(value, (int, float)):
        return _percent(value) if name in SHARES else _real(value)
    return str(value)


def _gantts(design: Design) -> dict[str, Any]:
    main, behind, links = gantt_rows(design), gantt_rows(design, ("feeds", "switches")), link_rows(design)
    colours = colour_index(design, [*main, *behind, *links])
    cycles = design.predicted.cycles
    return {
        "gantt": Markup(svg.gantt(main, cycles, colours, "what each unit works on")),
        "switches": Markup(svg.gantt(behind, cycles, colours, "feeds and switches")) if behind else None,
        "link_gantt": Markup(svg.gantt(links, cycles, colours, "what each link carries", 330)),
        "legend": [(name, f"c{index % svg.PALETTE}") for name, index in colours.items()],
    }


def render_html(design: Design, report: Mapping[str, Any]) -> bytes:
    """The page, UTF-8; the same design and report give the same bytes.

    Parameters
    ----------
    report : the dict of :func:`intar.report.summary.report_dict`.
    """
    counts = Counts(design)
    cycles, cores = design.predicted.cycles, core_cycles(design, counts)
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
        "patterns": _bars(report["patterns"] or []),
        "links": links,
        "stages": stage_rows(design, counts),
        "stage_text": STAGE_TEXT,
        "cause_class": CAUSE_CLASS,
        "executors": EXECUTORS,
        "accuracy": [(name, _accuracy(name, value)) for name, value in (report["accuracy"] or {}).items()],
        "counts": COUNTS,
        "resources": resource_rows(report["resources"], report["device"]),
        "ports": ports(design),
    } | _gantts(design)
    return _environment().get_template("report.html.j2").render(context).encode()
