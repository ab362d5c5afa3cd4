"""LayerNorm and RMSNorm of ONNX models: the operators, and the same spelled out in means, powers and roots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from intar.frontends.onnx_nodes import Node, Rejected, live, scalar
from intar.ir.ops import Op

if TYPE_CHECKING:
    from intar.frontends.importer import Importer

LAYER, RMS = "LayerNormalization", "RMSNormalization"


def layer_norm(importer: Importer, node: Node) -> None:
    x, width = _input(importer, node)
    factor = _vector(importer, node, 1, np.ones(width, np.float32))
    shift = _vector(importer, node, 2, np.zeros(width, np.float32))
    importer.emit(node, Op.LAYER_NORM, [x, factor, shift], {"epsilon": _epsilon(node)})


def rms_norm(importer: Importer, node: Node) -> None:
    x, width = _input(importer, node)
    factor = _vector(importer, node, 1, np.ones(width, np.float32))
    importer.emit(node, Op.RMS_NORM, [x, factor], {"epsilon": _epsilon(node)})


def _epsilon(node: Node) -> float:
    return float(node.attrs.get("epsilon", 1e-5))


def _input(importer: Importer, node: Node) -> tuple[str, int]:
    shape = importer.shape(node.inputs[0])
    axis = int(node.attrs.get("axis", -1))
    if not shape or axis not in (-1, len(shape) - 1):
        raise Rejected(
            f"it normalises from axis {axis} of {len(shape)} on",
            "only the last axis is normalised",
            "merge the axes with a reshape before it",
        )
    if any(importer.is_read(name) for name in node.outputs[1:]):
        raise Rejected("its mean or deviation is read", "only the normalised tensor is computed")
    return importer.tensor(node.inputs[0]), shape[-1]


def _vector(importer: Importer, node: Node, position: int, default: np.ndarray) -> str:
    """A scale or shift along the last axis, as a constant of exactly that many elements."""
    name = node.input(position)
    if name and not importer.is_constant(name):
        raise Rejected(f"its parameter '{name}' is computed at run time", hint="make it a constant")
    array = np.asarray(importer.real(name) if name else default)
    leading = array.shape[:-1]
    if (array.size != default.size and array.size != 1) or any(n != 1 for n in leading):
        raise Rejected(f"its parameter has shape {array.shape}, expected {default.size}", code="graph")
    spread = np.broadcast_to(array.reshape(-1), default.shape).copy()
    return importer.graph.constant(f"{node.outputs[0]}:parameter_{position}", spread)


def rewrite_norms(
    nodes: Sequence[Node], values: Mapping[str, np.ndarray], outputs: Sequence[str]
) -> list[Node]:
    """The nodes with each spelled-out normalisation (without its scale and shift) replaced by one node."""
    makers = {name: node for node in nodes for name in node.outputs}
    finder = _Finder(makers, values)
    return live([finder.norm(node) or node for node in nodes], outputs)


class _Finder:
    """Looks behind a division by a root of a mean of squares."""

    def __init__(self, makers: Mapping[str, Node], values: Mapping[str, np.ndarray]) -> None:
        self.makers, self.values = makers, values

    def norm(self, node: Node) -> Node | None:
        for numerator, root in self._quotients(node):
            inner = self._root(root)
            if inner is None:
                continue
            for mean, constant in self._pairs(inner, "Add"):
                epsilon = scalar(self.values, constant)
                if epsilon is None or self._square(self._mean(mean)) != numerator:
                    continue
                attrs = {"epsilon": epsilon, "axis": -1}
                for x, average in self._pairs(numerator, "Sub"):
                    if self._mean(average) == x:
                        return node.became(LAYER, [x], attrs)
                return node.became(RMS, [numerator], attrs)
        return None

    def _maker(self, name: str, op: str) -> Node | None:
        node = self.makers.get(name)
        return node if node is not None and node.domain == "" and node.op == op else None

    def _pairs(self, name: str, op: str) -> list[tuple[str, str]]:
        node = self._maker(name, op)
        if node is None or len(node.inputs) != 2:
            return []
        a, b = node.inputs
        return [(a, b)] if op in ("Sub", "Div", "Pow") else [(a, b), (b, a)]

    def _quotients(self, node: Node) -> list[tuple[str, str]]:
        """(numerator, divisor that is a root) of a division, or of a product with a reciprocal."""
        if node.domain or len(node.inputs) != 2:
            return []
        a, b = node.inputs
        if node.op == "Div":
            return [(a, b)]
        if node.op != "Mul":
            return []
        return [(x, root) for x, inverse in ((a, b), (b, a)) if (root := self._inverse(inverse)) is not None]

    def _inverse(self, name: str) -> str | None:
        """The tensor whose reciprocal `name` is; ``x**-0.5`` is the reciprocal of a root and stands for itself."""
        if node := self._maker(name, "Reciprocal"):
            return node.inputs[0]
        for one, x in self._pairs(name, "Div"):
            if scalar(self.values, one) == 1:
                return x
        if any(scalar(self.values, power) == -0.5 for _, power in self._pairs(name, "Pow")):
            return name
        return None

    def _root(self, name: str) -> str | None:
        """What a root is taken of."""
        if node := self._maker(name, "Sqrt"):
            return node.inputs[0]
        return next(
            (x for x, power in self._pairs(name, "Pow") if scalar(self.values, power) in (0.5, -0.5)), None
        )

    def _mean(self, name: str | None) -> str | None:
        """What a mean over the last axis is taken of. The rank is not known here: the axis has to be written as -1."""
        node = self._maker(name, "ReduceMean") if name else None
        if node is None or not node.attrs.get("keepdims", 1):
            return None
        axes = node.attrs.get("axes")
        if axes is None and node.input(1) in self.values:
            axes = self.values[node.input(1)].reshape(-1)
        return node.inputs[0] if axes is not None and [int(a) for a in axes] == [-1] else None

    def _square(self, name: str | None) -> str | None:
        """What a square is taken of."""
        if name is None:
            return None
        for x, power in self._pairs(name, "Pow"):
            if scalar(self.values, power) == 2:
                return x
        return next((a for a, b in self._pairs(name, "Mul") if a == b), None)
