"""The report of a compiled design: charts within the run, cycles that add up, pages that stand alone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from intar.design import Design
from intar.device import make_machine
from intar.engine.result import Span
from intar.ir.nodes.memories import Buffer, BufferStep, Walk
from intar.pipeline import compile_quantised
from intar.quant.accuracy import numerics_report
from intar.quant.random_graphs import random_quantised
from intar.report.gantt import GROUPS, gantt_rows, link_rows, terminal_gantt
from intar.report.html import render_html
from intar.report.lost import Counts, core_cycles, lost_cycles
from intar.report.occupancy import addresses, occupancy
from intar.report.perfetto import perfetto_json
from intar.report.stages import stage_rows
from intar.report.static import NARROW_VALUE, block_memory, product_dsp, static_resources
from intar.report.summary import MODES as ALL_MODES
from intar.report.summary import pattern_row, pattern_rows, report_dict
from intar.report.traffic import ports
from intar.report.write import write_report
from intar.session import open_source

MODES = ("auto", "sequential", "dataflow")


@pytest.fixture(scope="module")
def designs() -> dict[str, Design]:
    source = open_source("digits")
    return {mode: compile_quantised(source.quantised, source.machine, mode) for mode in MODES}


@pytest.fixture(scope="module")
def report(designs: dict[str, Design]) -> dict[str, Any]:
    source = open_source("digits")
    return report_dict(
        designs["auto"],
        patterns=[pattern_row(designs[mode]) for mode in MODES],
        numerics=numerics_report(source.graph, source.quantised, source.calibration),
        lost_cycles=lost_cycles(designs["auto"]),
    )


@pytest.mark.parametrize("mode", MODES)
def test_bars_lie_within_the_run_and_never_overlap(designs: dict[str, Design], mode: str) -> None:
    made = designs[mode]
    rows = gantt_rows(made, GROUPS)
    last: dict[str, int] = {}
    for row in rows:
        assert last.get(row.lane, -1) < row.first <= row.last < made.predicted.cycles
        last[row.lane] = row.last
    tasks = {task.name for task in made.quantised.graph.tasks}
    assert {row.label for row in rows if row.group == "cores"} <= tasks
    worked = {n for n, use in made.predicted.nodes.items() if use.busy and n.startswith("core_")}
    assert {row.lane for row in rows if row.group == "cores"} == worked


@pytest.mark.parametrize("mode", MODES)
def test_stages_say_who_runs_what_and_where_tensors_are(designs: dict[str, Design], mode: str) -> None:
    made = designs[mode]
    rows, machine = stage_rows(made, Counts(made)), made.schedule.machine
    assert [row.stage for row in rows] == list(made.schedule.stages)
    begins = [row.first for row in rows]
    assert begins[0] == 0 and begins == sorted(begins)
    assert sum(sum(row.cycles.values()) for row in rows) == machine.cores * made.predicted.cycles
    assert sum(row.cycles["busy"] for row in rows) == sum(c["busy"] for c in core_cycles(made).values())
    assert all(min(row.cycles.values()) >= 0 for row in rows)
    for index, row in enumerate(rows):
        named = {task for _, tasks in row.cores for task in tasks.split(", ")}
        assert named == {placement.task for placement in row.stage.tasks}
        text = " ".join(names for _, names in row.tensors)
        for home in made.schedule.residency:
            assert (f"{home.tensor} (" in text) == (home.first_stage <= index <= home.last_stage)


def test_neighbouring_steps_of_a_task_are_one_bar(designs: dict[str, Design]) -> None:
    for lane in {row.lane for row in gantt_rows(designs["auto"])}:
        labels = [row.label for row in gantt_rows(designs["auto"]) if row.lane == lane]
        assert all(a != b for a, b in pairwise(labels))


@pytest.mark.parametrize("mode", MODES)
def test_lost_cycles_add_up(designs: dict[str, Design], mode: str) -> None:
    made = designs[mode]
    cores = {name: use for name, use in made.predicted.nodes.items() if name.startswith("core_")}
    lost = lost_cycles(made)
    busy = sum(use.busy for use in cores.values())
    assert sum(lost.values()) == len(cores) * made.predicted.cycles - busy
    assert min(lost.values()) >= 0
    for name, parts in core_cycles(made).items():
        spans = [s for s in made.predicted.stages if s.node == name and s.first >= 0]
        if spans:
            assert parts["start_up"] == min(s.first for s in spans)
            assert parts["drain"] == made.predicted.cycles - 1 - max(s.last for s in spans)
        else:
            assert parts["unused"] == made.predicted.cycles


@pytest.mark.parametrize("mode", MODES)
def test_no_buffer_is_fuller_than_deep(designs: dict[str, Design], mode: str) -> None:
    made = designs[mode]
    curves = occupancy(made)
    assert curves
    for curve in curves:
        assert 0 < curve.peak <= curve.depth
        assert all(beats >= 0 for _, beats in curve.points)
        assert curve.points[-1][1] == 0
        assert curve.points[-1][0] <= made.predicted.cycles


@pytest.mark.parametrize("seed", range(30))
def test_addresses_of_walks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = tuple(int(n) for n in rng.integers(1, 5, 5))
    walk = Walk(
        base=int(rng.integers(0, 9)),
        wrap=int(rng.choice([0, 7])),
        counts=counts,
        strides=tuple(int(n) for n in rng.integers(0, 12, 5)),
        ragged=int(rng.integers(-1, 4)),
        last=int(rng.integers(1, counts[4] + 1)),
    )
    assert addresses(walk).tolist() == sorted(set(walk.addresses()))


def test_ports_move_what_their_links_carry(designs: dict[str, Design]) -> None:
    made = designs["auto"]
    link = {link.src.split(".")[0]: link for link in made.program.links}
    for port in ports(made):
        if port.direction == "read":
            use = link[port.name]
            carried = made.predicted.links[use.name].pops * use.lanes * use.bits // 8
            assert carried <= port.bytes < carried + port.word_bytes * 64


def test_starved_cores_are_blamed_on_weights() -> None:
    source = open_source("digits", budget={"port_bits": 32})
    made = compile_quantised(source.quantised, source.machine)
    lost = lost_cycles(made)
    assert lost["weights"] > lost["activations"] > 0, (
        "a weight beat of 128 bits takes four words of these ports"
    )


def test_occupancy_of_a_buffer_that_is_written_again(designs: dict[str, Design]) -> None:
    def step(base: int, beats: int) -> BufferStep:
        return BufferStep(walk=Walk(base=base, counts=(1, 1, 1, 1, beats), strides=(0, 0, 0, 0, 1)))

    # Beats 0..3 are read until cycle 19, again written from cycle 30 on, but only 0..1 of them; nobody reads beat 0.
    buffer = Buffer(
        name="b", depth=4, lanes=1, bits=8, writes=(step(0, 4), step(0, 2)), reads=(step(0, 4), step(1, 1))
    )
    spans = (
        Span("b.in", 0, "", 2, 5),
        Span("b.in", 1, "", 30, 33),
        Span("b.out", 0, "", 10, 19),
        Span("b.out", 1, "", 40, 49),
    )
    made = designs["auto"]
    made = replace(
        made,
        program=made.program.model_copy(update={"nodes": (buffer,)}),
        predicted=replace(made.predicted, stages=spans, cycles=60),
    )
    (curve,) = occupancy(made)
    assert curve.points == ((2, 4), (20, 0), (30, 2), (34, 1), (50, 0))
    assert curve.peak == 4


@pytest.mark.parametrize("mode", ["auto", "dataflow"])
@pytest.mark.parametrize("seed", [1, 7, 21])
def test_random_networks(seed: int, mode: str) -> None:
    quantised = random_quantised(seed, 6)
    made = compile_quantised(quantised, make_machine("u280", None, quantised), mode)
    uses = [use.busy for name, use in made.predicted.nodes.items() if name.startswith("core_")]
    assert sum(lost_cycles(made).values()) == len(uses) * made.predicted.cycles - sum(uses)
    assert all(curve.points[-1][1] == 0 and curve.peak <= curve.depth for curve in occupancy(made))
    page = render_html(made, report_dict(made)).decode()
    assert all(f"<title>{row.lane}: {row.label}, cycles" in page for row in gantt_rows(made))


class _Page(HTMLParser):
    """Collects what could reach outside, and checks that tags close."""

    VOID = frozenset({"meta", "br", "hr", "img", "input", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.references += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_stands_alone_and_is_deterministic(designs: dict[str, Design], report: dict[str, Any]) -> None:
    page = render_html(designs["auto"], report)
    assert page == render_html(designs["auto"], report)
    text = page.decode()
    assert not re.search(r"http|//|url\(|@import|<script", text)
    parser = _Page()
    parser.feed(text)
    assert parser.open == [] and parser.references == [] and "svg" in parser.seen
    assert f"{designs['auto'].predicted.cycles:,}" in text
    for row in report["numerics"]:
        assert f"<td>{row['name']}</td>" in text
    for mode in MODES:
        assert f"<td>{mode}</td>" in text
    assert not re.search(r'="-?(nan|inf)"', text)


def test_page_without_anything_measured(designs: dict[str, Design]) -> None:
    text = render_html(designs["auto"], report_dict(designs["auto"])).decode()
    assert "not run" in text and "Not measured" in text and "Only this pattern" in text


def test_names_cannot_break_out_of_the_page(designs: dict[str, Design], report: dict[str, Any]) -> None:
    text = render_html(designs["auto"], report | {"design": "<script>x</script>"}).decode()
    assert "<script" not in text and "&lt;script&gt;" in text


def test_trace(designs: dict[str, Design]) -> None:
    made = designs["auto"]
    events = json.loads(perfetto_json(made))["traceEvents"]
    slices = [e for e in events if e["ph"] == "X"]
    assert len(slices) == sum(s.first >= 0 for s in made.predicted.stages)
    assert all(e["dur"] > 0 and e["ts"] + e["dur"] <= made.predicted.cycles for e in slices)
    by_track: dict[tuple[int, int], int] = {}
    for event in slices:
        track = (event["pid"], event["tid"])
        assert event["ts"] >= by_track.get(track, 0)
        by_track[track] = event["ts"] + event["dur"]
    assert perfetto_json(made) == perfetto_json(made)


@pytest.mark.parametrize("width", [40, 120])
def test_terminal_chart_fits(designs: dict[str, Design], width: int) -> None:
    rows = gantt_rows(designs["auto"], ("cores",))
    console = Console(width=400, color_system=None)
    with console.capture() as capture:
        console.print(terminal_gantt(rows, width))
    lines = capture.get().rstrip("\n").split("\n")
    assert max(map(len, lines[:-1])) <= width
    assert "core_0" in lines[0] and "█" in lines[0]


def test_files_are_written(designs: dict[str, Design], report: dict[str, Any], tmp_path: Path) -> None:
    paths = write_report(tmp_path, designs["auto"], report)
    names = ["report/report.html", "report/schedule.perfetto.json"]
    assert [p.relative_to(tmp_path).as_posix() for p in paths] == names
    assert paths[0].read_bytes() == render_html(designs["auto"], report)


def test_links_are_busy_within_the_run(designs: dict[str, Design]) -> None:
    made = designs["auto"]
    rows = link_rows(made)
    used = {
        f"{link.src} → {link.dst}" for link in made.program.links if made.predicted.links[link.name].pushes
    }
    assert {row.lane for row in rows} == used
    for lane in used:
        own = [row for row in rows if row.lane == lane]
        assert all(a.last < b.first for a, b in pairwise(own)) and own[-1].last < made.predicted.cycles


def test_every_key_of_the_report_is_there(designs: dict[str, Design]) -> None:
    found = report_dict(designs["auto"])
    assert (
        set(found["cycles"]) == {"limit", "predicted", "simulated"} and found["cycles"]["simulated"] is None
    )
    assert found["bit_exact"] == {"interpreter": None, "csim": None, "rtl": None}
    assert set(found["resources"]) >= {"dsp", "bram36", "uram", "lut", "ff", "source"}
    assert set(found["schedule"]) >= {"objective", "bound", "gap", "seconds"}
    for key in ("accuracy", "lost_cycles", "patterns", "numerics"):
        assert found[key] is None
    assert {"schema", "design", "device", "pattern", "budget", "stages"} <= set(found)


def test_static_count(designs: dict[str, Design]) -> None:
    made = designs["auto"]
    machine = made.schedule.machine
    found = static_resources(made.program, uram=0)
    assert found["by_module"]["core"]["dsp"] == machine.multipliers // 2  # 8 x 8 bits: two a block
    units = [node for node in made.program.nodes if node.kind == "vector"]
    rescaling = sum(unit.rate * (2 if unit.value_bits <= NARROW_VALUE else 4) for unit in units)
    assert found["by_module"]["vector"]["dsp"] == rescaling > 0
    assert found["dsp"] == machine.multipliers // 2 + rescaling and found["lut"] is None
    assert "no synthesis" in found["source"]


@pytest.mark.parametrize(
    ("a", "b", "dsp"),
    [(8, 8, 1), (16, 16, 1), (18, 25, 1), (19, 18, 1), (26, 18, 2), (32, 18, 2), (32, 32, 4)],
)
def test_pieces_of_products(a: int, b: int, dsp: int) -> None:
    assert product_dsp(a, b) == product_dsp(b, a) == dsp


@pytest.mark.parametrize(
    ("width", "depth", "style", "blocks"),
    [
        (72, 512, "block", (1, 0)),
        (73, 512, "block", (1.5, 0)),
        (36, 513, "block", (1, 0)),
        (512, 416, "block", (7.5, 0)),
        (256, 2048, "block", (14.5, 0)),
        (256, 64, "block", (0, 0)),
        (72, 4097, "ultra", (0, 2)),
        (512, 9, "distributed", (0, 0)),
    ],
)
def test_blocks_of_memories(width: int, depth: int, style: str, blocks: tuple[float, int]) -> None:
    assert block_memory(width, depth, style) == blocks


def test_patterns_that_do_not_fit_say_why(designs: dict[str, Design]) -> None:
    rows = list(pattern_rows(designs["auto"], simulated=7))
    assert [row["pattern"] for row in rows] == list(ALL_MODES)
    assert rows[0]["simulated"] == 7 and all(row["predicted"] > 0 for row in rows)
    schedule = designs["auto"].schedule
    tight = schedule.machine.model_copy(update={"onchip_bytes": 64})
    made = replace(designs["auto"], schedule=schedule.model_copy(update={"machine": tight}))
    rows = list(pattern_rows(made))
    assert [row["predicted"] is None for row in rows] == [False, True, True, True]
    assert "bytes on chip" in rows[1]["reason"]
    page = render_html(made, report_dict(made, patterns=rows)).decode()
    assert "bytes on chip" in page
