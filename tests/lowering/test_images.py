"""Networks of images on the machine: convolutions and pools of odd shapes, in every back-end independent way."""

from __future__ import annotations

import numpy as np
import pytest
from frontends.models import normal
from grid.image_networks import network
from hypothesis import given, settings
from hypothesis import strategies as st

from intar.device import make_machine
from intar.grid import prepare
from intar.pipeline import compile_quantised, verify_engine
from intar.quant.quantise import quantise
from intar.quant.scheme import scheme


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
    rng = np.random.default_rng(0)
    inputs = {}
    for name in quantised.graph.inputs:
        tensor = quantised.graph.tensor(name)
        inputs[name] = rng.integers(-(1 << (tensor.bits - 1)), 1 << (tensor.bits - 1), tensor.shape)
    result = verify_engine(made_design, [inputs])
    assert result.bit_exact, result.first


@pytest.mark.parametrize("mode", ["sequential", "auto"])
def test_random_networks_of_images(mode: str) -> None:
    @settings(max_examples=20, deadline=None, derandomize=True)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        check(data, mode)

    run()
