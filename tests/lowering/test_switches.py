"""Ports with more partners than a router has: routers in a row, of which each names few."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from frontends.models import normal

from intar.design import Design
from intar.device import make_machine
from intar.frontends import Builder
from intar.grid import prepare
from intar.ir.nodes.movers import Router
from intar.lower import netlist
from intar.lower.netlist import Flow, FlowLeg, Netlist, PortType, in_groups
from intar.pipeline import compile_quantised
from intar.proof import verify_csim, verify_engine, verify_rtl
from intar.quant.golden import quantise_input
from intar.quant.quantise import quantise
from intar.quant.scheme import scheme
from intar.rendering import project


def narrow(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    for name in ("MOST_INPUTS", "MOST_OUTPUTS", "MOST_LEGS"):
        monkeypatch.setattr(netlist, name, most)


def small() -> tuple[Design, list[dict[str, np.ndarray]]]:
    """Convolutions on four cores, and heads that moves cut out: switches with up to eight partners."""
    rng, g = np.random.default_rng(0), Builder("switched")
    x = g.relu(g.conv2d(g.input("x", (1, 2, 8, 8)), rng.normal(size=(4, 2, 3, 3)), pads=1))
    rows = g.reshape(g.max_pool2d(x, kernel=2, stride=2), (8, 8))
    parts = [g.slice(rows, axis=1, start=at, stop=at + 2) for at in (0, 2, 4, 6)]
    g.output(g.concat([g.transpose(part, (1, 0)) for part in parts], axis=0))
    quantised = quantise(prepare(g.build()), scheme("w8a8"), {"x": normal(2, 1, 2, 8, 8)})
    machine = make_machine("zcu104", {"cores": 4, "rows": 2, "lanes": 8}, quantised)
    tensor = quantised.graph.tensor("x")
    sample = {"x": quantise_input(tensor, normal(1, *tensor.shape).reshape(tensor.shape))}
    return compile_quantised(quantised, machine), [sample]


def test_groups_are_as_large_as_a_tree_of_them_needs() -> None:
    assert in_groups("abc", 3) == ["a", "b", "c"]
    assert in_groups("abcdefg", 3) == ["abc", "def", "g"]
    assert [len(group) for group in in_groups("x" * 11, 3)] == [9, 2]


def test_every_beat_comes_in_order_through_routers_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, 2)
    net = Netlist({port: PortType(1, 8) for port in (*(f"a{i}.out" for i in range(5)), "z.in")})
    legs = tuple(FlowLeg(f"a{i}.out", ("z.in",)) for i in (4, 0, 2, 1, 3))
    net.flow(Flow(legs, rounds=3, beats=2, period=3, beats_last=1))
    routers, links = net.finish()
    to = {link.src: link.dst for link in links}

    def beats(end: str) -> list[str]:
        """Who sent the beats that a router gives."""
        router = next(r for r in routers if f"{r.name}.out0" == end)
        before = [
            next(src for src, dst in to.items() if dst == f"{router.name}.in{i}")
            for i in range(router.inputs)
        ]
        queues = [iter(beats(src)) if not src.startswith("a") else iter([src] * 5) for src in before]
        return [
            next(queues[leg.src])
            for step in router.steps
            for turn in range(step.rounds)
            for leg in step.legs
            for _ in range(step.beats_last if turn % step.period == step.period - 1 else step.beats)
        ]

    assert all(len(step.legs) <= 2 and router.inputs <= 2 for router in routers for step in router.steps)
    order = [f"a{i}.out" for i in (4, 0, 2, 1, 3)]
    rounds = [[name for name in order for _ in range(count)] for count in (2, 2, 1)]
    assert beats("merge_z_in.out0") == list(chain(*rounds))


def test_a_network_through_narrow_routers_is_golden_on_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, 3)
    made, samples = small()
    routers = [node for node in made.program.nodes if isinstance(node, Router)]
    assert max(max(router.inputs, router.outputs) for router in routers) == 3
    assert any(router.name.endswith("_0_0") or router.name.endswith("_0") for router in routers)
    assert verify_engine(made, samples).bit_exact


@pytest.mark.full
def test_it_is_golden_in_cpp_and_rtl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    narrow(monkeypatch, 3)
    made, samples = small()
    project(made).write(tmp_path)
    assert verify_csim(made, samples, tmp_path).bit_exact
    assert verify_rtl(made, samples, tmp_path).bit_exact
