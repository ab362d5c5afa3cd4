"""Write the operators of ONNX's own vocabulary that a node stands for, one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, count, pairwise
from typing import Any

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.onnx_nodes import Node

State = str | np.ndarray | None
"""What a step finds: a tensor, a constant, or zeros."""

Function = tuple[str, dict[str, float]]
"""An operator and its attributes."""


class Steps:
    """Writes the operators that a node stands for, each translated at once. `place` goes before their names."""

    def __init__(self, importer: Importer, node: Node) -> None:
        self.importer, self.node = importer, node
        self.place = ""
        self._base = next(name for name in node.outputs if name)
        self._numbers = count()

    def __call__(self, op: str, inputs: Sequence[State], attrs: Mapping[str, Any] | None = None) -> str:
        """The name of an operator's result."""
        from intar.frontends.onnx_ops import HANDLERS

        names = [each if isinstance(each, str) else self.constant(np.asarray(each)) for each in inputs]
        label = f"{self.node.name or self._base}.{self.place}{op.lower()}"
        made = f"{self._base}:{self.place}{op.lower()}:{next(self._numbers)}"
        node = self.node
        HANDLERS[op](
            self.importer,
            Node(op, label, names, [made], dict(attrs or {}), origin=node.origin or node.op, line=node.line),
        )
        return made

    def constant(self, array: np.ndarray) -> str:
        """The name of a new constant."""
        name = f"{self._base}:{self.place}constant:{next(self._numbers)}"
        self.importer.values[name] = array
        return name

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """`x` in another shape."""
        return self("Reshape", [x, np.asarray(shape, np.int64)])

    def join(self, parts: Sequence[str], axis: int) -> str:
        """Parts one behind the other."""
        return self("Concat", parts, {"axis": axis}) if len(parts) > 1 else parts[0]

    def parts(self, x: str, axis: int, sizes: Sequence[int]) -> list[str]:
        """Neighbouring parts of these sizes."""
        ends = pairwise(accumulate(sizes, initial=0))
        return [self("Slice", [x, *(np.asarray([n], np.int64) for n in (*end, axis))]) for end in ends]

    def apply(self, function: Function, x: str) -> str:
        """The function of `x`."""
        return self(function[0], [x], function[1])
