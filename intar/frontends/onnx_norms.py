"""LayerNorm and RMSNorm of ONNX models: the operators, and the same spelled out in means, powers and roots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from intar.frontends.onnx_nodes import Node, Rejected, live, scalar
from intar.ir.ops import Op
from intar.ir.shapes import show

if TYPE_CHECKING:
    from intar.frontends.importer import Importer

LAYER, RMS = "LayerNormalization", "RMSNormalization"


def layer_norm(importer: Importer, node: Node) -> None:
    """LayerNorm over the last axis; a missing scale is 1, a missing shift 0."""
    x, width = _input(importer, node)
    factor = _vector(importer, node, 1, np.ones(width, np.float32))
    shift = _vector(importer, node, 2, np.zeros(width, np.float32))
    importer.emit(node, Op.LAYER_NORM, [x, factor, shift], {"epsilon": _epsilon(node)})


def rms_norm(importer: Importer, node: Node) -> None:
    """RMSNorm over the last axis; a missing scale is 1."""
    x, width = _input(importer, node)
    factor = _vector(importer, node, 1, np.ones(width, np.float32))
    importer.emit(node, Op.RMS_NORM, [x, factor], {"epsilon": _epsilon(node)})


def lp_norm(importer: Importer, node: Node) -> None:
    """Rows over their Euclidean length: an RMSNorm times one over the root of their elements."""
    if int(node.attrs.get("p", 2)) != 2:
        raise Rejected(f"its p is {node.attrs['p']}", "the length of a row is the Euclidean one")
    x, width = _input(importer, node)
    factor = importer.graph.constant(f"{node.outputs[0]}:length", np.full(width, width**-0.5))
    least = float(node.attrs.get("epsilon", 0.0))  # ours: the length that a shorter row is divided by
    importer.emit(node, Op.RMS_NORM, [x, factor], {"epsilon": max(least**2 / width, 1e-30)})


def group_norm(importer: Importer, node: Node) -> None:
    """Groups of channels (an InstanceNormalization: single ones) as rows of a LayerNorm, then scale and shift by channel."""
    x, shape, output = importer.tensor(node.inputs[0]), importer.shape(node.inputs[0]), node.outputs[0]
    if len(shape) < 3:
        raise Rejected(f"its input has the shape {show(shape)}, it needs three axes at least", code="graph")
    channels = shape[1]
    groups = int(node.attrs.get("num_groups", channels))
    if groups < 1 or channels % groups:
        raise Rejected(f"{channels} channels are not {groups} equal groups", code="graph")
    scale, shift = (
        importer.real(node.inputs[position]).astype(np.float64)
        if importer.is_constant(node.inputs[position])
        else None
        for position in (1, 2)
    )
    if scale is None or shift is None:
        raise Rejected("its scale or shift is computed at run time", hint="make it a constant")
    if scale.size == groups != channels:  # before operator set 21
        scale, shift = (np.repeat(each.reshape(-1), channels // groups) for each in (scale, shift))
    width = prod(shape[1:]) // groups
    gain, offset, one, zero = (
        importer.graph.constant(f"{output}:{role}", np.asarray(values))
        for role, values in (
            ("scale", scale),
            ("shift", shift),
            ("one", np.ones(width)),
            ("zero", np.zeros(width)),
        )
    )
    rows = importer.emit(
        node, Op.RESHAPE, [x], {"shape": (shape[0], groups, width)}, output=f"{output}:groups"
    )
    attrs = {"epsilon": _epsilon(node)}
    made = importer.emit(node, Op.LAYER_NORM, [rows, one, zero], attrs, output=f"{output}:normalised")
    back = importer.emit(node, Op.RESHAPE, [made], {"shape": shape}, output=f"{output}:channels")
    importer.emit(node, Op.SCALE_SHIFT, [back, gain, offset], {"axis": 1})


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
            if (length := self._length(root)) and length[0] == numerator:
                return node.became("LpNormalization", [numerator], {"axis": -1, "p": 2, "epsilon": length[1]})
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

    def _length(self, name: str) -> tuple[str, float] | None:
        """What a Euclidean length of rows is taken of, and its lower bound; copies of it along the row are it, too."""
        node, least = self.makers.get(name), 0.0
        while node is not None and node.op in ("Expand", "Identity", "Concat", "Clip", "Max"):
            if (node.op == "Concat" and len(set(node.inputs)) > 1) or (node.op == "Clip" and node.input(2)):
                return None
            if node.op in ("Clip", "Max") and node.input(1):
                least = scalar(self.values, node.inputs[1]) or 0.0
            node = self.makers.get(node.inputs[0])
        if node is None or node.op != "ReduceL2" or self._axes(node) != [-1]:
            return None
        return node.inputs[0], least

    def _axes(self, node: Node) -> list[int] | None:
        """The axes that a reduction keeps as ones, as they are written; None when it drops them, or they are not known."""
        axes = node.attrs.get("axes")
        if axes is None and node.input(1) in self.values:
            axes = self.values[node.input(1)].reshape(-1)
        return None if axes is None or not node.attrs.get("keepdims", 1) else [int(a) for a in axes]

    def _mean(self, name: str | None) -> str | None:
        """What a mean over the last axis is taken of. The rank is not known here: the axis has to be written as -1."""
        node = self._maker(name, "ReduceMean") if name else None
        return node.inputs[0] if node is not None and self._axes(node) == [-1] else None

    def _square(self, name: str | None) -> str | None:
        """What a square is taken of."""
        if name is None:
            return None
        for x, power in self._pairs(name, "Pow"):
            if scalar(self.values, power) == 2:
                return x
        return next((a for a, b in self._pairs(name, "Mul") if a == b), None)
