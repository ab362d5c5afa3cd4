"""Networks that have nothing in common but the kernel: one keeps states, another one none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conformance.proofs import require
from lowering.stacks import residual_stack, samples, stepping_stack

from intar import proof, rendering
from intar.device import make_machine
from intar.errors import UnsupportedError
from intar.frontends import Builder
from intar.ir.states import states
from intar.networks import Network, compile_networks
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs, random_quantised
from intar.quant.scheme import W8A8, W8A8R16

BUDGET = {"cores": 2, "rows": 2, "lanes": 8, "rate": 8, "port_bits": 64}


def test_a_network_without_states_beside_one_with(tmp_path: Path) -> None:
    graphs = {"step": stepping_stack(1, 4), "plain": residual_stack(1, width=9)}
    networks = [Network(name, quantise(g, W8A8, samples(g))) for name, g in graphs.items()]
    assert [len(states(network.quantised.graph)) for network in networks] == [2, 0]
    step, plain = compile_networks(networks, make_machine("u280", BUDGET, networks[0].quantised))
    assert (len(step.states), len(plain.states)) == (2, 0)
    project = rendering.project(step, others=(plain,)).write(tmp_path / "project")
    for made in (step, plain):
        inputs = [random_inputs(made.quantised, seed) for seed in range(2)]
        require(proof.verify_engine(made, inputs))
        require(proof.verify_csim(made, inputs, project))
    (image,) = (plain.input_images(inputs[0])[a.name] for a in plain.arguments("state"))
    assert not np.frombuffer(image, np.uint8).any()


@pytest.mark.full
def test_images_beside_wider_tensors(tmp_path: Path) -> None:
    """The weights of convolutions come through ports as wide as activations are, which here is another network's width."""
    rng, g = np.random.default_rng(0), Builder("images")
    image = g.conv2d(g.input("image", (1, 2, 5, 7)), rng.normal(size=(3, 2, 3, 3)), pads=1)
    g.output(g.max_pool2d(image, 2))
    graphs = {"images": (g.build(), W8A8), "wide": (residual_stack(1, width=9), W8A8R16)}
    networks = [Network(name, quantise(g, how, samples(g))) for name, (g, how) in graphs.items()]
    designs = compile_networks(networks, make_machine("u280", BUDGET, networks[1].quantised))
    project = rendering.project(designs[0], others=designs[1:]).write(tmp_path / "project")
    for made in designs:
        inputs = [random_inputs(made.quantised, seed) for seed in range(2)]
        require(proof.verify_engine(made, inputs))
        require(proof.verify_csim(made, inputs, project))


def test_states_that_another_network_shows_are_refused() -> None:
    """Its scores are an output, so its states are inputs: they can't lie where the other network keeps its own."""
    made = random_quantised(1, 1, bits=(8,), ops=("step",))
    (scores,) = (task.inputs[0] for task in made.graph.tasks if task.kind == "softmax")
    shown = replace(made, graph=made.graph.model_copy(update={"outputs": (*made.graph.outputs, scores)}))
    machine = make_machine("u280", BUDGET, made)
    with pytest.raises(UnsupportedError, match="keep other states from call to call"):
        compile_networks([Network("kept", made), Network("shown", shown)], machine)
