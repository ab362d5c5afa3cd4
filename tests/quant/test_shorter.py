"""A network behind fewer cached rows gives the integers of the whole one, at every position that it serves."""

from __future__ import annotations

import numpy as np
import pytest

from intar.errors import UnsupportedError
from intar.frontends import Builder
from intar.ir.quantgraph import QAffine, QProduct, QSoftmax, Quantised
from intar.ir.states import states
from intar.quant.golden import run_golden
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs
from intar.quant.scheme import scheme
from intar.quant.shorter import shorter

CACHED, HEADS, SIZE = 6, 2, 4


def attention(length: int, name: str = "w8a8r16", turned: bool = False) -> Quantised:
    """New rows of keys and values behind cached ones; with `turned` the cached keys are columns."""
    g = Builder("attention")
    x = g.input("x", (HEADS, length, SIZE))
    k = g.input("k", (HEADS, SIZE, CACHED) if turned else (HEADS, CACHED, SIZE))
    v, at = g.input("v", (HEADS, CACHED, SIZE)), g.input("position", (1,))
    rng = np.random.default_rng(0)
    q, new, value = (g.matmul(x, rng.normal(size=(SIZE, SIZE))) for _ in range(3))
    cached = g.transpose(k, (0, 2, 1)) if turned else k
    shares = g.cached_softmax(g.product(q, g.concat([cached, new], axis=1), "second"), at, CACHED)
    g.output(g.product(shares, g.concat([v, value], axis=1)))
    g.output(g.reshape(new, (HEADS, length, SIZE), name="k_new"))
    g.output(g.reshape(value, (HEADS, length, SIZE), name="v_new"))
    graph = g.build()
    data = {n: rng.normal(size=(8, *graph.tensor(n).shape)) for n in ("x", "k", "v")}
    return quantise(graph, scheme(name), data | {"position": np.arange(8)[:, None] % (CACHED + 1)})


@pytest.mark.parametrize("name", ["w8a8", "w8a8r16", "w16a16"])
@pytest.mark.parametrize("length", [1, 2])
def test_the_same_integers(length: int, name: str) -> None:
    whole = attention(length, name)
    for cached in range(length + 1, CACHED):
        short = shorter(whole, cached)
        assert {state.rows for state in states(short.graph)} == {cached} and short.graph.positions == cached
        sizes = [task for task in short.graph.tasks if isinstance(task, QProduct | QSoftmax | QAffine)]
        assert all(short.graph.tensor(task.output).cols in (cached + length, SIZE) for task in sizes)
        for position in range(cached + 1):
            inputs = random_inputs(whole, position) | {"position": np.array([position])}
            first = {n: inputs[n][:, :cached] for n in ("k", "v")}
            made, expected = run_golden(short, inputs | first), run_golden(whole, inputs)
            for output in whole.graph.outputs:
                assert np.array_equal(made.tensors[output], expected.tensors[output]), (cached, position)


def test_what_has_no_shorter_form() -> None:
    with pytest.raises(UnsupportedError, match="no states of which the first 6 rows"):
        shorter(attention(1), CACHED)
    with pytest.raises(UnsupportedError, match="no states of which the first 1 rows"):
        shorter(attention(1), 1)
    with pytest.raises(UnsupportedError) as caught:
        shorter(attention(1, turned=True), 3)
    assert "no form with fewer cached rows" in caught.value.findings[0].what
