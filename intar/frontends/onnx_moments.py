"""Normalisations and softmaxes that exporters spell out in means, powers and roots, found again.

JAX and TensorFlow drop reduced axes and bring them back with a reshape and an expansion, take a mean as a sum times a
number, and a variance as the mean of squares less the square of the mean, which is clamped at 0; Keras puts mean and shift
together. What is found becomes one node: `AxisNormalization`, `LpNormalization` or a Softmax along one axis (`single`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isclose

import numpy as np

from intar.frontends.onnx_nodes import Node, live, scalar

SPREAD = ("Reshape", "Expand", "Unsqueeze", "Identity")
"""What brings back an axis that a reduction has dropped, and repeats along it."""


def rewrite_moments(
    nodes: Sequence[Node], values: Mapping[str, np.ndarray], outputs: Sequence[str]
) -> list[Node]:
    """The nodes with each spelled-out normalisation or softmax replaced by one node."""
    makers = {name: node for node in nodes for name in node.outputs}
    finder = _Finder(makers, values)
    found = live([finder.norm(node) or finder.softmax(node) or node for node in nodes], outputs)
    read = Counter([*outputs, *(name for node in found for name in node.inputs)])
    made: dict[str, Node] = {}
    for node in found:
        whole = _with_vector(node, made, values, read)
        made |= dict.fromkeys(whole.outputs, whole)
    return live([made[node.outputs[0]] for node in found], outputs)


def _with_vector(
    node: Node, made: Mapping[str, Node], values: Mapping[str, np.ndarray], read: Mapping[str, int]
) -> Node:
    """A product or sum of a constant and a normalisation that nobody else reads: that normalisation, with scale or shift."""
    if node.op not in ("Mul", "Add") or node.domain or len(node.inputs) != 2:
        return node
    for name, constant in (node.inputs, node.inputs[::-1]):
        norm = made.get(name)
        if norm is None or norm.op != "AxisNormalization" or constant not in values or read[name] > 1:
            continue
        scale, shift = norm.input(1), norm.input(2)
        if node.op == "Mul" and not scale and not shift:
            return replace(norm, inputs=[norm.inputs[0], constant]).at(node)
        if node.op == "Add" and not shift and norm.attrs["centred"]:
            return replace(norm, inputs=[norm.inputs[0], scale, constant]).at(node)
    return node


@dataclass(frozen=True)
class _Reduced:
    """What a reduction along one axis is taken of; `count`: a mean that divides the sum by so many (0: by all)."""

    of: str
    axis: int
    count: int = 0


class _Finder:
    """Looks behind a division by a root of a mean of squares, or by a sum of powers. Ranks are not known here."""

    def __init__(self, makers: Mapping[str, Node], values: Mapping[str, np.ndarray]) -> None:
        self.makers, self.values = makers, values

    # ------------------------------------------------------------ what is found

    def norm(self, node: Node) -> Node | None:
        """The normalisation that a node ends."""
        for numerator, root, scale in self._quotients(node):
            if not scale and (length := self._length(root)) and length[0] == numerator:
                return node.became("LpNormalization", [numerator], {"axis": -1, "p": 2, "epsilon": length[1]})
            for mean, epsilon in self._deviation(root):
                for x, average in self._pairs(numerator, "Sub"):
                    centre = self._mean(average)
                    if centre and centre.of == x and self._is_variance(mean, numerator, centre):
                        return self._normalised(node, [x, scale], centre, epsilon, 1)
                squares = self._mean(mean)
                if squares and self._square(squares.of) == numerator:
                    return self._normalised(node, [numerator, scale], squares, epsilon, 0)
        return self._shifted(node)

    def _shifted(self, node: Node) -> Node | None:
        """``x * factor + (shift - mean * factor)``, where the factor is a scale over a deviation."""
        for product, rest in self._sums(node):
            for x, factor in self._pairs(product, "Mul"):
                root, scale = self._inverse(factor)
                for shift, moved in self._pairs(rest, "Sub") if root else []:
                    for average, again in self._pairs(moved, "Mul"):
                        centre = self._mean(average)
                        if again != factor or shift not in self.values or not centre or centre.of != x:
                            continue
                        for mean, epsilon in self._deviation(root):
                            if self._is_variance(mean, "", centre):
                                return self._normalised(node, [x, scale, shift], centre, epsilon, 1)
        return None

    def softmax(self, node: Node) -> Node | None:
        """The softmax that a node ends: powers over their sum."""
        for powers, divisor, scale in self._quotients(node):
            total, maker = self._reduced(divisor, "ReduceSum"), self._maker(powers, "Exp")
            if scale or maker is None or total is None or total.of != powers:
                continue
            x = maker.inputs[0]
            for scores, largest in self._pairs(x, "Sub"):
                top = self._reduced(self._bare(largest, "Max", -np.inf), "ReduceMax", largest)
                if top and top.of == scores and top.axis == total.axis:
                    x = scores
            return node.became("Softmax", [x], {"axis": total.axis, "single": 1})
        return None

    @staticmethod
    def _normalised(node: Node, inputs: list[str], mean: _Reduced, epsilon: float, centred: int) -> Node:
        attrs = {"axis": mean.axis, "count": mean.count, "epsilon": epsilon, "centred": centred}
        return replace(node.became("AxisNormalization", inputs, attrs), domain="intar")

    # ------------------------------------------------------------ quotients and roots

    def _maker(self, name: str, *ops: str) -> Node | None:
        node = self.makers.get(name)
        return node if node is not None and node.domain == "" and node.op in ops else None

    def _pairs(self, name: str, op: str) -> list[tuple[str, str]]:
        node = self._maker(name, op)
        if node is None or len(node.inputs) != 2:
            return []
        a, b = node.inputs
        return [(a, b)] if op in ("Sub", "Div", "Pow") else [(a, b), (b, a)]

    def _sums(self, node: Node) -> list[tuple[str, str]]:
        return self._pairs(node.outputs[0], "Add") if node.op == "Add" else []

    def _quotients(self, node: Node) -> list[tuple[str, str, str]]:
        """(numerator, divisor, constant factor or none) of a division, or of a product with a reciprocal."""
        if node.domain or len(node.inputs) != 2:
            return []
        a, b = node.inputs
        if node.op == "Div":
            return [(a, b, "")]
        if node.op != "Mul":
            return []
        found = [(x, *self._inverse(inverse)) for x, inverse in ((a, b), (b, a))]
        return [(x, root, scale) for x, root, scale in found if root]

    def _inverse(self, name: str) -> tuple[str, str]:
        """The tensor whose reciprocal `name` is, and the constant that this is multiplied with, if any; ``x**-0.5`` is the
        reciprocal of a root and stands for itself."""
        if node := self._maker(name, "Reciprocal"):
            return node.inputs[0], ""
        for one, x in self._pairs(name, "Div"):
            if scalar(self.values, one) == 1:
                return x, ""
        if any(scalar(self.values, power) == -0.5 for _, power in self._pairs(name, "Pow")):
            return name, ""
        for x, scale in self._pairs(name, "Mul"):
            if scale in self.values and (inner := self._inverse(x)) and inner[0] and not inner[1]:
                return inner[0], scale
        return "", ""

    def _deviation(self, name: str) -> Iterator[tuple[str, float]]:
        """Mean of squares and epsilon of a root of their sum."""
        node = self._maker(name, "Sqrt")
        powers = [x for x, power in self._pairs(name, "Pow") if scalar(self.values, power) in (0.5, -0.5)]
        for inner in [node.inputs[0]] if node else powers:
            for mean, constant in self._pairs(inner, "Add"):
                if (epsilon := scalar(self.values, constant)) is not None:
                    yield mean, epsilon

    def _length(self, name: str) -> tuple[str, float] | None:
        """What a Euclidean length of rows is taken of, and its lower bound; copies of it along the row are it, too."""
        node, least = self.makers.get(name), 0.0
        while node is not None and node.op in ("Expand", "Identity", "Concat", "Clip", "Max"):
            if (node.op == "Concat" and len(set(node.inputs)) > 1) or (node.op == "Clip" and node.input(2)):
                return None
            if node.op in ("Clip", "Max") and node.input(1):
                least = scalar(self.values, node.inputs[1]) or 0.0
            node = self.makers.get(node.inputs[0])
        if (
            node is None
            or node.op != "ReduceL2"
            or self._axes(node) != [-1]
            or not node.attrs.get("keepdims", 1)
        ):
            return None
        return node.inputs[0], least

    # ------------------------------------------------------------ reductions

    def _axes(self, node: Node) -> list[int] | None:
        """The axes of a reduction as they are written; None when they are not known."""
        axes = node.attrs.get("axes")
        if axes is None and node.input(1) in self.values:
            axes = self.values[node.input(1)].reshape(-1)
        return None if axes is None else [int(a) for a in axes]

    def _unspread(self, name: str) -> str:
        """What a tensor is spread from along axes of one element."""
        while (node := self._maker(name, *SPREAD)) is not None and all(
            n in self.values for n in node.inputs[1:]
        ):
            name = node.inputs[0]
        return name

    def _reduced(self, name: str, op: str, shown: str = "") -> _Reduced | None:
        """A reduction along one axis, which is still there, or there again in `shown` (None: `name`)."""
        node = self._maker(self._unspread(name), op)
        axes = self._axes(node) if node else None
        if node is None or axes is None or len(axes) != 1:
            return None
        back = self._unspread(shown or name) != (shown or name)
        return _Reduced(node.inputs[0], axes[0]) if node.attrs.get("keepdims", 1) or back else None

    def _mean(self, name: str, shown: str = "") -> _Reduced | None:
        """A mean along one axis: the operator, or a sum times or over a number."""
        shown, inner = shown or name, self._unspread(name)
        if made := self._reduced(inner, "ReduceMean", shown):
            return made
        parts = [(total, scalar(self.values, n)) for total, n in self._pairs(inner, "Div")]
        for total, part in self._pairs(inner, "Mul"):
            factor = scalar(self.values, part)
            parts.append((total, 1 / factor if factor else None))
        for total, number in parts:
            made = self._reduced(total, "ReduceSum", shown) if number else None
            if made and number and number >= 1 and isclose(number, round(number), rel_tol=1e-5):
                return _Reduced(made.of, made.axis, round(number))
        return None

    def _square(self, name: str) -> str | None:
        """What a square is taken of."""
        for x, power in self._pairs(name, "Pow"):
            if scalar(self.values, power) == 2:
                return x
        return next((a for a, b in self._pairs(name, "Mul") if a == b), None)

    def _bare(self, name: str, op: str, bound: float) -> str:
        """A tensor without a lower bound that changes nothing, and what it is spread from."""
        name = self._unspread(name)
        for x, least in self._pairs(name, op):
            if (value := scalar(self.values, least)) is not None and value <= bound:
                return self._unspread(x)
        return name

    def _is_variance(self, name: str, numerator: str, centre: _Reduced) -> bool:
        """``mean((x - mean(x))²)``, or ``max(0, mean(x²) - mean(x)²)``, along the same axis."""
        squares = self._mean(name)
        if squares and squares.axis == centre.axis:
            inner = self._square(squares.of)
            pairs = self._pairs(inner, "Sub") if inner else []
            means = [(x, self._mean(average)) for x, average in pairs]
            return inner == numerator or any(x == centre.of and mean == centre for x, mean in means)
        bare = self._bare(name, "Max", 0.0)
        if node := self._maker(bare, "Relu"):
            bare = self._unspread(node.inputs[0])
        for first, second in self._pairs(bare, "Sub"):
            squares, average = self._mean(first, name), self._square(self._unspread(second))
            mean = self._mean(average, name) if average else None
            if squares and mean == centre and squares.axis == centre.axis:
                return self._square(squares.of) == centre.of
        return False
