"""The engine computes the bits that the docs define: every node kind, and a whole network."""

from __future__ import annotations

import random

import numpy as np
import pytest
from engine_model import Model
from engine_programs import RANDOM
from perceptron import perceptron, perceptron_output

from intar.engine import MemoryModel, run


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("kind", sorted(RANDOM))
def test_random_node_programs_equal_the_model(kind: str, seed: int) -> None:
    builder = RANDOM[kind](random.Random(seed))
    program, images = builder.program(), builder.images
    expected = Model(program, images).run()
    memory = MemoryModel(latency=1 + seed, words_num=1 + seed % 2, words_den=2)
    result = run(program, images, memory)
    result.raise_deadlock()
    assert result.outputs
    for name, data in result.outputs.items():
        assert data == expected[name], name
    assert run(program, memory=memory, values=False).cycles == result.cycles


@pytest.mark.parametrize("rows, sizes, lanes", [(5, (12, 20, 7), 4), (1, (8, 8, 8), 8), (4, (9, 3, 17), 2)])
def test_two_layer_network_equals_numpy(rows: int, sizes: tuple[int, int, int], lanes: int) -> None:
    program, images, expected = perceptron(rows, sizes, lanes)
    result = run(program, images)
    result.raise_deadlock()
    found = perceptron_output(result.outputs["m_y"], rows, sizes[2], lanes)
    np.testing.assert_array_equal(found, expected)
