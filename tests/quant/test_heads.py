"""The heads of an attention in groups: the same integers, and nothing is changed that can't be divided so."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.transformer import block, grouped_attention

from intar.ir.quantgraph import QProduct, QSoftmax
from intar.quant.golden import run_golden
from intar.quant.heads import group_heads
from intar.quant.quantise import quantise
from intar.quant.random_graphs import random_inputs
from intar.quant.scheme import W8A8R16


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize(("heads", "groups", "batches"), [(4, 2, [2, 2]), (6, 4, [2, 2, 2]), (2, 3, [1, 1])])
def test_the_same_integers(joined: bool, heads: int, groups: int, batches: list[int]) -> None:
    graph, samples = block(width=8 * heads, heads=heads, joined=joined)
    made = quantise(graph, W8A8R16, {"x": samples})
    grouped = group_heads(made, groups)
    for kind, times in ((QSoftmax, 1), (QProduct, 2)):
        found = [task.batch for task in grouped.graph.tasks if isinstance(task, kind)]
        assert sorted(found) == sorted(times * batches)
    assert len({task.name for task in grouped.graph.tasks}) == len(grouped.graph.tasks)
    for seed in range(2):
        inputs = random_inputs(made, seed)
        one, several = (run_golden(network, inputs).tensors for network in (made, grouped))
        for name in made.graph.outputs:
            np.testing.assert_array_equal(one[name], several[name])


def test_what_stays_as_it_is() -> None:
    graph, samples = block(width=24, heads=3)
    made = quantise(graph, W8A8R16, {"x": samples})
    assert group_heads(made, 1) is made and group_heads(made, 2) is made
    graph, samples = grouped_attention(np.triu(np.full((6, 6), -np.inf), 1))
    made = quantise(graph, W8A8R16, {"x": samples})
    assert group_heads(made, 2) is made, "the softmax has other items than the products"
