"""Pools that join the convolutions before them on arrays of one row."""

from __future__ import annotations

import numpy as np
from quant.test_phases import machine

from intar.frontends import Builder
from intar.grid import prepare
from intar.ir.circuit import circuit
from intar.ir.quantgraph import QConv
from intar.pipeline import compile_quantised
from intar.proof import verify_engine
from intar.quant.golden import golden_outputs
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs
from intar.quant.scheme import W8A8


def test_a_pool_of_one_pixel_leaves_out_the_others() -> None:
    """A window of one pixel, of which the stride leaves one: the convolution's grid is larger than the pool's."""
    rng, g = np.random.default_rng(0), Builder("one_pixel")
    x = g.conv2d(g.input("x", (1, 2, 2, 2)), rng.normal(size=(3, 2, 1, 1)))
    g.output(g.max_pool2d(x, 1, stride=2))
    quantised = quantise(prepare(g.build()), W8A8, {"x": rng.normal(size=(2, 1, 2, 2, 2))})
    made = compile_quantised(quantised, machine(1, 8))
    (joined,) = (task for task in circuit(made.quantised.graph).tasks if isinstance(task, QConv))
    assert (joined.height, joined.width, joined.pitch) == (1, 1, 1)
    given = [random_inputs(quantised, 0)]
    (expected,), (found,) = golden_outputs(quantised, given), golden_outputs(made.quantised, given)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    assert verify_engine(made, given).bit_exact
