"""Einsum: two operands at a time as a sum, a product of matrices or of elements, and the moves around it."""

from __future__ import annotations

from collections import Counter
from math import prod
from string import ascii_letters

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.onnx_nodes import Node, Rejected
from intar.frontends.onnx_steps import Steps
from intar.ir.shapes import show

Term = tuple[str | np.ndarray, str]
"""An operand, and a label for each of its axes."""


def einsum(importer: Importer, node: Node) -> None:
    """Any equation without diagonals. Operands are taken from left to right."""
    shapes = [importer.shape(name) for name in node.inputs]
    terms, output = _labels(str(node.attrs["equation"]), [len(shape) for shape in shapes])
    sizes: dict[str, int] = {}
    for labels, shape in zip(terms, shapes, strict=True):
        for label, size in zip(labels, shape, strict=True):
            if sizes.setdefault(label, size) != size:
                raise Rejected(
                    f"its operands have the shapes {' and '.join(map(show, shapes))}", code="graph"
                )
    work = _Einsum(Steps(importer, node), sizes)
    found: list[Term] = [
        (importer.real(name) if importer.is_constant(name) else name, labels)
        for name, labels in zip(node.inputs, terms, strict=True)
    ]
    while len(found) > 1:
        first, second, *rest = found
        needed = output + "".join(labels for _, labels in rest)
        found = [
            work.pair(work.summed(first, second[1] + needed), work.summed(second, first[1] + needed), needed),
            *rest,
        ]
    x, labels = work.summed(found[0], output)
    importer.alias[node.outputs[0]] = importer.tensor(str(work.turned((x, labels), output)))


def _labels(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """The labels of each operand and of the result, those of an ellipsis among them."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    given = left.split(",")
    free = [letter for letter in ascii_letters if letter not in equation]
    most = max(
        (rank - len(term) + 3 for term, rank in zip(given, ranks, strict=False) if "..." in term), default=0
    )
    dots = "".join(free[:most])
    terms = []
    for term, rank in zip(given, ranks, strict=len(given) == len(ranks)):
        count = rank - len(term) + 3
        terms.append(term.replace("...", dots[most - count :] if count else ""))
    counted = Counter(left.replace("...", "").replace(",", ""))
    implied = "..." * ("..." in left) + "".join(sorted(label for label, n in counted.items() if n == 1))
    output = (right if arrow else implied).replace("...", dots)
    if len(given) != len(ranks) or any(len(t) != rank for t, rank in zip(terms, ranks, strict=False)):
        raise Rejected(f"its equation {equation!r} does not fit its operands", code="graph")
    if any(len(set(term)) < len(term) for term in (*terms, output)):
        raise Rejected(
            f"its equation {equation!r} takes a diagonal", hint="choose its elements before (Gather)"
        )
    return terms, output


class _Einsum:
    """Writes the steps; `sizes` are those of the labels. Constants are moved at once."""

    def __init__(self, steps: Steps, sizes: dict[str, int]) -> None:
        self.steps, self.sizes = steps, sizes

    def shape(self, labels: str) -> list[int]:
        """The sizes of some axes."""
        return [self.sizes[label] for label in labels]

    def summed(self, term: Term, needed: str) -> Term:
        """The operand without axes that nobody else has."""
        x, labels = term
        axes = [axis for axis, label in enumerate(labels) if label not in needed]
        if not axes:
            return term
        left = "".join(label for label in labels if label in needed)
        if isinstance(x, np.ndarray):
            return x.sum(axis=tuple(axes)), left
        return self.steps("ReduceSum", [x], {"axes": axes, "keepdims": 0}), left

    def turned(self, term: Term, labels: str) -> str | np.ndarray:
        """The operand with its axes in this order."""
        x, own = term
        perm = [own.index(label) for label in labels]
        if perm == sorted(perm):
            return x
        return (
            x.transpose(perm) if isinstance(x, np.ndarray) else self.steps("Transpose", [x], {"perm": perm})
        )

    def shaped(self, x: str | np.ndarray, shape: list[int]) -> str | np.ndarray:
        """The operand in another shape."""
        if isinstance(x, np.ndarray):
            return x.reshape(shape)
        same = list(self.steps.importer.shape(x)) == shape
        return x if same else self.steps.reshape(x, shape)

    def pair(self, first: Term, second: Term, needed: str) -> Term:
        """What two operands make, with the axes that are needed."""
        if isinstance(first[0], np.ndarray):
            first, second = second, first  # a constant stands on the right
        a, b = first[1], second[1]
        both = "".join(label for label in a if label in b and label in needed)
        inner = "".join(label for label in a if label in b and label not in needed)
        mine, other = ("".join(c for c in x if c not in y) for x, y in ((a, b), (b, a)))
        if not inner and not (mine and other):  # element by element
            if other:
                first, second, a = second, first, b
            factor = self.turned(second, "".join(label for label in a if label in second[1]))
            spread = [self.sizes[label] if label in second[1] else 1 for label in a]
            return self.steps("Mul", [first[0], self.shaped(factor, spread)]), a
        rows = [prod(self.shape(mine))] if both or not isinstance(second[0], np.ndarray) else self.shape(mine)
        left = self.shaped(
            self.turned(first, both + mine + inner), [*self.shape(both), *rows, prod(self.shape(inner))]
        )
        size = [*self.shape(both), prod(self.shape(inner)), prod(self.shape(other))]
        right = self.shaped(self.turned(second, both + inner + other), size)
        made = self.steps("MatMul", [left, right])
        return self.shaped(made, self.shape(both + mine + other)), both + mine + other
