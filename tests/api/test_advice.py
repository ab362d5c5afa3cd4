"""Who does not know of weights on chip is told of them: where all fit and it pays, with figures that come true."""

from __future__ import annotations

from pathlib import Path

import pytest

from intar.explore import better_on_chip, explore, points
from intar.fit import check_model, synthetic_samples
from intar.session import open_source

PERCEPTRON = """\
network: perceptron
random: 1
inputs: {x: [1, 64]}
tasks:
  a: {matmul: x, units: 64}
  b: {relu: a}
  c: {matmul: b, units: 64}
  d: {relu: c}
  y: {matmul: d, units: 8}
outputs: [y]
"""

IMAGE = """\
network: image
random: 1
inputs: {x: [1, 4, 12, 12]}
tasks:
  a: {conv2d: x, channels: 8, kernel: 3, pads: 1}
  b: {relu: a}
  y: {conv2d: b, channels: 8, kernel: 3, pads: 1}
outputs: [y]
"""


@pytest.fixture
def perceptron(tmp_path: Path) -> str:
    path = tmp_path / "perceptron.yaml"
    path.write_text(PERCEPTRON)
    return str(path)


def test_advice_comes_true(perceptron: str) -> None:
    budget = {"multipliers": 64}
    told = check_model(perceptron, device="pynq-z2", budget=budget)["on_chip"]
    assert told["cycles"] * 1.25 <= told["instead"]
    assert "add --budget weights=chip" in told["text"]
    taken = check_model(perceptron, device="pynq-z2", budget=budget | told["budget"])
    assert taken["cycles"] == told["cycles"] and taken["on_chip"] is None
    assert [taken["machine"][key] for key in ("cores", "lanes", "depth")] == [
        told[key] for key in ("cores", "lanes", "depth")
    ]


@pytest.mark.parametrize(
    "budget",
    [{"weights": "memory"}, {"onchip": "6K"}, {"multipliers": 16, "cores": 1, "lanes": 16, "port_bits": 128}],
)
def test_no_advice_where_it_is_asked_for_does_not_fit_or_does_not_pay(
    perceptron: str, budget: dict[str, object]
) -> None:
    found = check_model(perceptron, device="pynq-z2", budget=budget)
    assert found["fits"] and found["on_chip"] is None


def test_no_advice_for_convolutions_that_multiply_all_the_time(tmp_path: Path) -> None:
    (tmp_path / "image.yaml").write_text(IMAGE)
    found = check_model(str(tmp_path / "image.yaml"), budget={"multipliers": 32})
    assert found["fits"] and found["on_chip"] is None


def test_advice_on_the_fastest_point_of_an_exploration(perceptron: str) -> None:
    source = open_source(perceptron, device="pynq-z2", synthetic=synthetic_samples)
    chosen = points({"multipliers": [16, 64]}, {}, ["sequential"])
    document = explore(source.quantised, "pynq-z2", chosen)
    better = better_on_chip(source.graph, source.quantised, document)
    assert better is not None and better.instead == document["points"][0]["cycles"]
    assert document["points"][0]["cycles"] == document["points"][1]["cycles"], (
        "the port brings no more weights"
    )
    other = explore(
        source.quantised, "pynq-z2", points({"weights": ["chip"]}, {"multipliers": 64}, ["sequential"])
    )
    assert better.cycles == other["points"][0]["cycles"]
