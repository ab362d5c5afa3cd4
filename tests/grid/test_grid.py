"""Networks of images as taps on one grid compute the same."""

from __future__ import annotations

import numpy as np
from frontends.models import normal
from grid.image_networks import network
from hypothesis import given, settings
from hypothesis import strategies as st

from intar.grid import PASSES, prepare
from intar.ir.reference import run_float
from intar.ir.taskgraph import TaskGraph
from intar.ir.validate import findings


def agree(graph: TaskGraph, inputs: dict[str, np.ndarray], skip: tuple[str, ...] = ()) -> TaskGraph:
    made = prepare(graph, skip)
    assert not findings(made) and prepare(made) is made
    expected, results = run_float(graph, inputs), run_float(made, inputs)
    for name in graph.outputs:
        np.testing.assert_allclose(results[name], expected[name], rtol=1e-9, atol=1e-9)
    return made


@settings(max_examples=250, deadline=None, derandomize=True)
@given(st.data())
def test_random_networks(data: st.DataObject) -> None:
    graph, shape = network(data)
    image = normal(*shape, seed=1)
    agree(graph, {"x": image})
    agree(graph, {"x": image}, tuple(PASSES))
