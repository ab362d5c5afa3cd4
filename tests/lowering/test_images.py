"""Networks of images on the machine: convolutions and pools of odd shapes on the engine, two designs as C++ and RTL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from frontends.models import normal
from grid.image_networks import network
from hypothesis import given, settings
from hypothesis import strategies as st

from intar.device import make_machine
from intar.grid import prepare
from intar.ir.quantgraph import Quantised
from intar.pipeline import Design, compile_quantised, project, verify_csim, verify_engine, verify_rtl
from intar.quant.quantise import quantise
from intar.quant.scheme import scheme
from intar.session import open_source


def check(data: st.DataObject, mode: str) -> None:
    graph, shape = network(data)
    made = prepare(graph)
    quantised = quantise(
        made, scheme(data.draw(st.sampled_from(["w8a8", "w16a16"]))), {"x": normal(4, *shape)}
    )
    rows, lanes = data.draw(st.sampled_from([(1, 4), (2, 4), (1, 8), (3, 8), (4, 16), (2, 12)]))
    budget = {"cores": data.draw(st.integers(1, 3)), "rows": rows, "lanes": lanes}
    budget["rate"] = data.draw(st.sampled_from([n for n in range(1, lanes + 1) if lanes % n == 0]))
    machine = make_machine("u280", budget | {"port_bits": 32 if lanes == 12 else 64}, quantised)
    made_design = compile_quantised(quantised, machine, mode)
    result = verify_engine(made_design, [random_inputs(quantised)])
    assert result.bit_exact, result.first


@pytest.mark.parametrize("mode", ["auto", "dataflow"])
def test_random_networks_of_images(mode: str) -> None:
    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        check(data, mode)

    run()


@pytest.mark.parametrize("mode", ["auto", "sequential", "dataflow"])
def test_the_model_and_the_engine_agree(mode: str) -> None:
    """Sequential cycles within 5 %; dataflow overlaps what the model adds up."""
    made, inputs = design("cnn4l_small", mode)
    assert verify_engine(made, [inputs]).bit_exact
    if mode == "dataflow":
        assert made.predicted.cycles < made.schedule.objective
    else:
        assert abs(made.predicted.cycles / made.schedule.objective - 1) <= 0.05


@pytest.mark.sim
@pytest.mark.parametrize(
    "name, mode",
    [
        ("cnn4l_small", "auto"),
        pytest.param("cnn4l_small", "dataflow", marks=pytest.mark.full),
        pytest.param("vae_small", "auto", marks=pytest.mark.full),
    ],
)
def test_generated_code(name: str, mode: str, tmp_path: Path) -> None:
    """Golden = csim = RTL, and the RTL takes the cycles that the engine counted."""
    made, inputs = design(name, mode)
    folder = project(made).write(tmp_path / "made")
    assert verify_csim(made, [inputs], folder, sweep=True).bit_exact
    simulated = verify_rtl(made, [inputs], folder)
    assert simulated.bit_exact and simulated.cycles == (made.predicted.cycles,)


def design(name: str, mode: str) -> tuple[Design, dict[str, np.ndarray]]:
    """A reference design and random inputs."""
    source = open_source(name)
    return compile_quantised(source.quantised, source.machine, mode), random_inputs(source.quantised)


def random_inputs(quantised: Quantised) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    inputs = {}
    for name in quantised.graph.inputs:
        tensor = quantised.graph.tensor(name)
        inputs[name] = rng.integers(-(1 << (tensor.bits - 1)), 1 << (tensor.bits - 1), tensor.shape)
    return inputs
