"""What each unit of a compiled design works on, and when: rows for every chart of the report, and a terminal chart.

The rows come from the engine's spans, so they are cycles of the predicted run, not the solver's estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text

from intar.design import Design
from intar.engine.result import Span
from intar.ir.nodes.movers import Router
from intar.ir.nodes.vector import Vector
from intar.ir.program import Node

KINDS: Mapping[str, str] = {
    "load": "ports",
    "store": "ports",
    "constant": "ports",
    "core": "cores",
    "vector": "vector units",
    "gather": "movers",
    "argmax": "movers",
    "rows": "vector units",
    "buffer": "buffers",
    "image": "buffers",
    "feed": "feeds",
    "router": "switches",
}
"""Group of lanes by kind of node."""

GROUPS = ("cores", "vector units", "movers", "ports", "buffers", "feeds", "switches")
"""Groups in the order in which charts show them."""

MAIN = GROUPS[:5]
"""Groups that `gantt_rows` gives unless told otherwise; feeds and switches only pass beats on."""

TERMINAL_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


@dataclass(frozen=True)
class Row:
    """One bar: unit `lane` works for `label` from cycle `first` to cycle `last`, both inclusive.

    `label` is the task (or the tensor, where a port moves one) that the steps' notes begin with.
    """

    lane: str
    label: str
    first: int
    last: int
    group: str = ""


def label_of(note: str) -> str:
    """Task or tensor that the note of a step is about; table loads share the label ``tables``."""
    head = note.split(":", 1)[0].split(" ", 1)[0]
    if head in ("load", "table") or not head:
        return "tables" if head else "other"
    return head


def unit_groups(design: Design) -> dict[str, str]:
    """Group of each unit of the engine; the two sides of a buffer are units ``name.in`` and ``name.out``."""
    groups: dict[str, str] = {}
    for node in design.program.nodes:
        names = (f"{node.name}.in", f"{node.name}.out") if node.kind in ("buffer", "image") else (node.name,)
        groups |= dict.fromkeys(names, KINDS[node.kind])
    return groups


def gantt_rows(design: Design, groups: Iterable[str] = MAIN) -> list[Row]:
    """Bars of every unit, in the order of `GROUPS` and of time.

    Neighbouring steps of one unit for the same task make one bar. The bars of a lane never overlap: units begin to
    prepare a step (a port asks for its words) while the step before still runs, and the bar then starts where the
    bar before ends.

    Parameters
    ----------
    groups : groups of `GROUPS` to show.
    """
    of_unit, wanted = unit_groups(design), set(groups)
    spans = [s for s in design.predicted.stages if s.first >= 0 and of_unit[s.node] in wanted]
    rows: list[Row] = []
    for node, steps in groupby(spans, key=lambda span: span.node):
        free = 0
        for label, run in groupby(steps, key=lambda span: label_of(span.note)):
            parts = list(run)
            first = max(free, min(part.first for part in parts))
            last = max(part.last for part in parts)
            if last < first:
                continue  # it ended within the bar before
            rows.append(Row(node, label, first, last, of_unit[node]))
            free = last + 1
    place = {node.name: index for index, node in enumerate(design.program.nodes)}

    def order(row: Row) -> tuple[int, int, str]:
        name, _, side = row.lane.partition(".")
        return GROUPS.index(row.group), place[name], side  # the "in" side of a buffer before the "out" side

    return sorted(rows, key=order)


def link_rows(design: Design) -> list[Row]:
    """Bars of every link, in the program's order: while the unit that fills it works on a step that sends over it."""
    rows: list[Row] = []
    nodes = {node.name: node for node in design.program.nodes}
    spans: dict[str, list[Span]] = {}
    for span in design.predicted.stages:
        if span.first >= 0:
            spans.setdefault(span.node, []).append(span)
    for link in design.program.links:
        owner, port = link.src.split(".")
        node = nodes[owner]
        unit = f"{owner}.out" if node.kind == "buffer" else owner
        free = 0
        sending = [s for s in spans.get(unit, ()) if _sends(node, s.step, port)]
        for label, run in groupby(sending, key=lambda span: label_of(span.note)):
            parts = list(run)
            first, last = max(free, min(p.first for p in parts)), max(p.last for p in parts)
            if last < first:
                continue
            rows.append(Row(f"{link.src} → {link.dst}", label, first, last, "links"))
            free = last + 1
    return rows


def _sends(node: Node, step: int, port: str) -> bool:
    """Whether a step of a node puts beats out at a port."""
    if isinstance(node, Router):
        return any(int(port.removeprefix("out")) in leg.dsts for leg in node.steps[step].legs)
    if isinstance(node, Vector):
        return node.steps[step].load < 0
    return True


def colour_index(design: Design, rows: Sequence[Row]) -> dict[str, int]:
    """A number for each label: the tasks in their order first, then whatever else the rows name."""
    labels = [task.name for task in design.quantised.graph.tasks]
    labels += sorted({row.label for row in rows} - set(labels))
    used = {row.label for row in rows}
    return {label: index for index, label in enumerate(name for name in labels if name in used)}


def _line(rows: Sequence[Row], cells: int, cycles: int, colours: Mapping[str, str]) -> Text:
    """One lane: every cell in the colour of the task that held most of it, fuller blocks for more cycles."""
    text = Text()
    for cell in range(cells):
        begin, end = cell * cycles / cells, (cell + 1) * cycles / cells
        shares = {
            row: min(end, row.last + 1) - max(begin, row.first)
            for row in rows
            if row.first < end and row.last + 1 > begin
        }
        if not shares:
            text.append("·", style="dim")
            continue
        best = max(shares, key=lambda row: shares[row])
        level = min(3, int(4 * sum(shares.values()) / (end - begin)))
        text.append("░▒▓█"[level], style=colours[best.label])
    return text


def terminal_gantt(rows: Sequence[Row], width: int = 100) -> RenderableType:
    """A chart of block characters, `width` columns wide in all, with the colours' tasks below.

    Lighter blocks stand for cells in which the unit worked only a part of the cycles.
    """
    if not rows:
        return Text("no unit worked", style="dim")
    labels = list(dict.fromkeys(row.label for row in rows))
    colours = {name: TERMINAL_COLOURS[i % len(TERMINAL_COLOURS)] for i, name in enumerate(labels)}
    margin = min(max(len(row.lane) for row in rows), max(8, width // 3))
    cells = max(10, width - margin - 1)
    cycles = max(row.last for row in rows) + 1
    lines: list[Text] = []
    for lane in dict.fromkeys(row.lane for row in rows):
        name = lane if len(lane) <= margin else lane[: margin - 1] + "…"
        own = [row for row in rows if row.lane == lane]
        lines.append(Text(f"{name:>{margin}} ") + _line(own, cells, cycles, colours))
    scale = "0" + f"{cycles:,} cycles".rjust(cells - 1)
    lines.append(Text(" " * (margin + 1) + scale, style="dim"))
    legend = Text(" " * (margin + 1))
    for name in labels:
        legend.append("█ ", style=colours[name])
        legend.append(f"{name}  ")
    return Group(*lines, legend)
