"""Random networks of images whose choices Hypothesis makes, and shrinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from intar.ir.shapes import Shape
from intar.ir.taskgraph import TaskGraph
from intar.quant.random_images import random_network


class Drawn:
    """Choices of Hypothesis."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data

    def number(self, low: int, high: int) -> int:
        return self.data.draw(st.integers(low, high))

    def pick(self, options: Sequence[Any]) -> Any:
        return self.data.draw(st.sampled_from(options))


def network(data: st.DataObject, length: int = 5) -> tuple[TaskGraph, Shape]:
    """A network and the shape of its image."""
    graph = random_network(Drawn(data), length)
    return graph, graph.tensor("x").shape
