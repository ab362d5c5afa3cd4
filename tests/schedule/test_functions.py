"""Whether a network's rational functions are tables or evaluated: blocks of a lane as Yosys counts them, and the choice."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from intar.device import make_machine
from intar.device.boards import DSP48E2, find_board
from intar.frontends.builder import Builder
from intar.ir.quantgraph import Quantised
from intar.ir.taskgraph import TaskGraph
from intar.quant.quantise import quantise
from intar.quant.scheme import scheme
from intar.schedule.functions import dsp_blocks, lane, load_cycles, weight
from intar.session import size_network

DSP48E1 = find_board("pynq-z2").multiplier

A = (0.0005, 0.5, 0.2488, 0.0505, 0.00486, 0.000183)
B = (0.1, 0.101, 0.05, 0.000366)


def network(width: int, rows: int, groups: int = 8) -> tuple[TaskGraph, dict[str, np.ndarray]]:
    """A matmul that ends in functions of `groups` groups."""
    rng = np.random.default_rng(0)
    g = Builder("net")
    a, b = (np.tile(row, (groups, 1)) * rng.uniform(0.8, 1.2, (groups, len(row))) for row in (A, B))
    h = g.matmul(g.input("x", (rows, width)), rng.normal(size=(width, 64)) / np.sqrt(width))
    g.output(g.rational(h, a, b, groups=groups))
    return g.build(), {"x": rng.normal(0, 2, (16, rows, width))}


def built(method: str, name: str = "w8a8", groups: int = 8) -> Quantised:
    graph, samples = network(16, 2, groups)
    return quantise(graph, scheme(name).with_rational(method), samples)


@pytest.mark.parametrize(
    ("method", "name", "dsp", "ramb18", "lut"),
    [
        ("table", "w8a8", 2, 1, 718),
        ("direct", "w8a8", 13, 0, 1982),
        ("direct", "w16a16", 13, 0, 1982),
    ],
)
def test_a_lane_is_about_what_yosys_counts(method: str, name: str, dsp: int, ramb18: int, lut: int) -> None:
    """The rows for 8 groups of `docs/gr-kan.md` (`benchmarks/lane_tables.py`)."""
    found = lane(built(method, name))
    assert (found.dsp, found.ramb18) == (dsp, ramb18)
    assert found.lut == pytest.approx(lut, rel=0.1)


def test_loading() -> None:
    graph, samples = network(16, 2)
    for method, cycles in (("table", 128), ("direct", 8)):
        made = quantise(graph, scheme("w8a8").with_rational(method), samples)
        machine = make_machine("u280", {"cores": 1, "rows": 2, "lanes": 16, "rate": 16}, made)
        assert load_cycles(made, machine) == cycles


@pytest.mark.parametrize(("width", "rows", "method"), [(16, 2, "direct"), (256, 256, "table")])
def test_the_choice_is_the_smaller_product(width: int, rows: int, method: str) -> None:
    """Where there is little to do, loading tables is most of the time; where there is much, multipliers are dear."""
    graph, samples = network(width, rows)
    sized = partial(make_machine, "u280", {"multipliers": 64})
    made, machine, _ = size_network(graph, scheme("w8a8"), samples, sized)
    assert [task.table.method for task in made.graph.tasks if task.table] == [method]
    others = [quantise(graph, scheme("w8a8").with_rational(how), samples) for how in ("table", "direct")]
    assert weight(made, machine, DSP48E2) == min(weight(other, machine, DSP48E2) for other in others)


def test_what_the_device_has_no_blocks_for_is_out() -> None:
    graph, samples = network(16, 2)
    budget = {"cores": 2, "rows": 2, "lanes": 16, "rate": 16, "port_bits": 64}
    made, machine, _ = size_network(
        graph, scheme("w16a16"), samples, partial(make_machine, "pynq-z2", budget)
    )
    direct = quantise(graph, scheme("w16a16").with_rational("direct"), samples)
    assert weight(direct, machine, DSP48E1) < weight(made, machine, DSP48E1)
    assert dsp_blocks(made, machine, DSP48E1) <= 220 < dsp_blocks(direct, machine, DSP48E1)
    assert [task.table.method for task in made.graph.tasks if task.table] == ["pieces"]
