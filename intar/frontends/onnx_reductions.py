"""Reductions over axes: means and sums are products with a column, the largest element is a pool's."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.onnx_matmul import along
from intar.frontends.onnx_nodes import Node, Rejected
from intar.frontends.onnx_steps import Steps
from intar.ir.ops import Op
from intar.ir.shapes import Shape


class _Reduction:
    """A reduction: what it reads, over which axes, and into which shape."""

    def __init__(self, importer: Importer, node: Node) -> None:
        self.importer, self.node = importer, node
        self.shape: Shape = importer.shape(node.inputs[0])
        self.x = importer.tensor(node.inputs[0])
        given = importer.integers(node, 1, "axes")
        self.nothing = not given and bool(node.attrs.get("noop_with_empty_axes", 0))
        rank = len(self.shape)
        self.axes = sorted({axis % rank for axis in (given or range(rank))})
        keep = node.attrs.get("keepdims", 1)
        self.target = tuple(
            1 if a in self.axes else n for a, n in enumerate(self.shape) if keep or a not in self.axes
        )
        self.image = rank == 4 and self.axes == [2, 3] and self.shape[0] == 1

    def step(self, op: Op, inputs: list[str], attrs: dict | None = None) -> str:
        """A task whose result another one reads."""
        output = self.importer.graph.fresh(f"{self.node.outputs[0]}:{op}")
        return self.importer.emit(self.node, op, inputs, attrs, output=output)

    def rows(self, x: str) -> str:
        """The tensor with the reduced axes last, and as one."""
        kept = [a for a in range(len(self.shape)) if a not in self.axes]
        if [*kept, *self.axes] != list(range(len(self.shape))):
            x = self.step(Op.TRANSPOSE, [x], {"perm": (*kept, *self.axes)})
        wanted = (*(self.shape[a] for a in kept), prod(self.shape[a] for a in self.axes))
        return x if self.importer.graph.shapes[x] == wanted else self.step(Op.RESHAPE, [x], {"shape": wanted})

    def weighted(self, x: str, weight: float) -> None:
        """The sum, each element times `weight`."""
        if self.image:
            count = self.shape[2] * self.shape[3]
            x = self.step(Op.GLOBAL_AVG_POOL, [x])
            if weight * count != 1:
                factor = self.importer.graph.constant(f"{x}:count", np.asarray(weight * count))
                x = self.step(Op.MUL, [x, factor])
        else:
            x = self.column(x, weight)
        self.importer.emit(self.node, Op.RESHAPE, [x], {"shape": self.target})

    def column(self, x: str, weight: float) -> str:
        """The sum as (rows, 1)."""
        x = self.rows(x)
        count = self.importer.graph.shapes[x][-1]
        weights = self.importer.graph.constant(f"{x}:weights", np.full((count, 1), weight, np.float32))
        return self.step(Op.MATMUL, [x, weights])

    def largest(self, x: str) -> str:
        """The largest elements, as (1, rows, 1, 1)."""
        if self.image:
            return self.step(Op.GLOBAL_MAX_POOL, [x])
        x = self.rows(x)
        shape = self.importer.graph.shapes[x]
        image = self.step(Op.RESHAPE, [x], {"shape": (1, prod(shape[:-1]), 1, shape[-1])})
        return self.step(Op.GLOBAL_MAX_POOL, [image])


def _handler(reduce: Callable[[_Reduction], None]) -> Callable[[Importer, Node], None]:
    def handler(importer: Importer, node: Node) -> None:
        reduction = _Reduction(importer, node)
        if reduction.nothing:
            importer.alias[node.outputs[0]] = reduction.x
        else:
            reduce(reduction)

    return handler


def _mean(r: _Reduction) -> None:
    r.weighted(r.x, 1 / prod(r.shape[a] for a in r.axes))


def _sum(r: _Reduction) -> None:
    r.weighted(r.x, 1.0)


def _absolute(r: _Reduction) -> None:
    """A leaky ReLU that leaks with the other sign."""
    if len(r.shape) < 2:
        raise Rejected(f"its input has {len(r.shape)} axes", "an absolute value needs two")
    slope = r.importer.graph.constant(f"{r.node.outputs[0]}:slope", np.full(r.shape[1], -1.0))
    r.weighted(r.step(Op.PRELU, [r.x, slope]), 1.0)


def _squares(r: _Reduction) -> None:
    r.weighted(r.step(Op.MUL, [r.x, r.x]), 1.0)


def _length(r: _Reduction) -> None:
    square = r.column(r.step(Op.MUL, [r.x, r.x]), 1.0)
    root = r.step(Op.POWER, [square], {"exponent": 0.5})
    r.importer.emit(r.node, Op.RESHAPE, [root], {"shape": r.target})


def _max(r: _Reduction) -> None:
    r.importer.emit(r.node, Op.RESHAPE, [r.largest(r.x)], {"shape": r.target})


def _min(r: _Reduction) -> None:
    minus = r.importer.graph.constant(f"{r.node.outputs[0]}:minus_one", np.asarray(-1.0))
    turned = r.step(Op.MUL, [r.largest(r.step(Op.MUL, [r.x, minus])), minus])
    r.importer.emit(r.node, Op.RESHAPE, [turned], {"shape": r.target})


def _log_sum(importer: Importer, node: Node, axes: list[int]) -> tuple[Steps, str, str, str]:
    """Differences to the largest element along the axes, that element, and the logarithm of the sum of their powers of e:
    a sum from 1 to the number of elements, whatever these are."""
    steps, x, keep = Steps(importer, node), node.inputs[0], {"axes": axes, "keepdims": 1}
    top = steps("ReduceMax", [x], keep)
    apart = steps("Sub", [x, top])
    return steps, apart, top, steps("Log", [steps("ReduceSum", [steps("Exp", [apart])], keep)])


def _log_softmax(importer: Importer, node: Node) -> None:
    """Along one axis; before operator set 13 along all axes from `axis` on together."""
    rank, old = len(importer.shape(node.inputs[0])), importer.opset < 13
    axis = int(node.attrs.get("axis", 1 if old else -1))
    if not -rank <= axis < rank:
        raise Rejected(f"its axis {axis} does not exist in a tensor of {rank} axes", code="graph")
    axis %= rank
    steps, apart, _, total = _log_sum(importer, node, list(range(axis, rank)) if old else [axis])
    importer.alias[node.outputs[0]] = importer.alias[steps("Sub", [apart, total])]


def _log_sum_exp(importer: Importer, node: Node) -> None:
    r = _Reduction(importer, node)
    steps, _, top, total = _log_sum(importer, node, r.axes)
    importer.emit(node, Op.RESHAPE, [importer.alias[steps("Add", [top, total])]], {"shape": r.target})


def _cumulative_sum(importer: Importer, node: Node) -> None:
    """Sums of all elements so far: a product with a triangle of ones."""
    shape, x = importer.shape(node.inputs[0]), importer.tensor(node.inputs[0])
    rank = len(shape)
    axis = int(importer.value(node.inputs[1], "axis").reshape(-1)[0]) % rank
    square = np.ones((shape[axis], shape[axis]), np.float32)
    triangle = np.triu(square, int(node.attrs.get("exclusive", 0)))
    triangle = triangle[::-1, ::-1] if node.attrs.get("reverse", 0) else triangle
    importer.alias[node.outputs[0]] = along(importer, node, x, axis, triangle)


REDUCTIONS: dict[str, Callable[[Importer, Node], None]] = {
    "CumSum": _cumulative_sum,
    "LogSoftmax": _log_softmax,
    "ReduceL1": _handler(_absolute),
    "ReduceL2": _handler(_length),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMax": _handler(_max),
    "ReduceMean": _handler(_mean),
    "ReduceMin": _handler(_min),
    "ReduceSum": _handler(_sum),
    "ReduceSumSquare": _handler(_squares),
}
"""The translation of each of them."""
