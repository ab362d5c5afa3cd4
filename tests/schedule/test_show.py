"""The table and the chart say what the schedule says."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from graphs import block, machine, mlp

from intar.schedule import Pins, solve
from intar.schedule.show import gantt, to_text


def test_text_has_every_stage_task_and_figure():
    graph = block(64, 64)
    schedule = solve(graph, machine(cores=4, rows=8, rate=8, port_bits=128))
    text = to_text(schedule)
    for stage in schedule.stages:
        assert stage.pattern in text
        assert f"{stage.cycles:,}" in text
    for task in graph.tasks:
        assert task.name in text
    for home in schedule.residency:
        assert home.tensor in text
    assert f"{schedule.objective:,} cycles" in text and "OPTIMAL" in text
    assert to_text(schedule) == text


def test_text_says_what_cores_share():
    graph, target = mlp((256, 10), 64), machine(cores=2, rows=8, rate=8, port_bits=128)
    for axis, said in (("rows", True), ("columns", False)):
        assert ("m0 (0-1, by rows)" in to_text(solve(graph, target, pins=Pins(axis={"m0": axis})))) == said


def test_chart_is_one_line_a_core_and_as_wide_as_asked():
    graph = block(64, 64)
    schedule = solve(graph, machine(cores=4, rows=8, rate=8, port_bits=128), "dataflow")
    lines = gantt(schedule, 80).plain.splitlines()[:4]
    assert [line[:8] for line in lines] == ["core 0  ", "core 1  ", "core 2  ", "core 3  "]
    for line in lines:
        assert len(line.split("|")[1]) == 80
    idle = [stage for stage in schedule.stages if len({c for p in stage.tasks for c in p.cores}) < 4]
    assert bool(idle) == any("·" in line for line in lines)
