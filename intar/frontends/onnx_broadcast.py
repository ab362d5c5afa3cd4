"""What the circuit does not repeat by itself: operands of different shapes, and constants beside activations.

Sums and products take tensors of one shape, and moves take activations only. Copies are joined until the shapes are alike,
and a constant is made of an activation: nothing of it, and the constant's values on top.
"""

from __future__ import annotations

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.onnx_nodes import Node
from intar.ir.ops import Op, broadcast_shape
from intar.ir.shapes import Shape, ShapeMismatch


def alike(importer: Importer, node: Node, operands: list[str]) -> list[str]:
    """The operands of a sum or product, the activations in the result's shape."""
    graph = importer.graph
    try:
        shape = broadcast_shape(*(graph.shapes[name] for name in operands))
    except ShapeMismatch:  # the task says so
        return operands
    made = {name: repeated(importer, node, name, shape) for name in operands if name not in graph.constants}
    return [made.get(name, name) for name in operands]


def repeated(importer: Importer, node: Node, name: str, shape: Shape) -> str:
    """An activation in the larger shape. Rows are copied as a whole; a column is a product with a row of ones."""
    have = importer.graph.shapes[name]
    if have == shape:
        return name
    wide = (1,) * (len(shape) - len(have)) + have

    def step(op: Op, inputs: list[str], attrs: dict) -> str:
        output = importer.graph.fresh(f"{node.outputs[0]}:{name}:repeated")
        return importer.emit(node, op, inputs, attrs, output=output)

    x = name if wide == have else step(Op.RESHAPE, [name], {"shape": wide})
    if (
        len(shape) == 4 and wide[:2] == shape[:2] and wide[2:] == (1, 1)
    ):  # a number for each channel of an image
        return step(Op.UPSAMPLE_NEAREST, [x], {"factors": shape[2:]})
    if wide[-1] != shape[-1]:
        ones = importer.graph.constant(f"{x}:ones", np.ones((1, shape[-1]), np.float32))
        x = step(Op.MATMUL, [x, ones], {})
    for axis in reversed(range(len(shape) - 1)):
        if wide[axis] != shape[axis]:
            x = step(Op.CONCAT, [x] * shape[axis], {"axis": axis})
    return x


def activations(importer: Importer, node: Node, operands: list[str], axis: int) -> list[str]:
    """The operands of a concatenation along `axis`, the constant ones (a class token) as activations."""
    graph = importer.graph
    source = next((name for name in operands if name not in graph.constants), None)
    if source is None:
        return operands
    return [
        _computed(importer, node, name, source, axis) if name in graph.constants else name
        for name in operands
    ]


def _computed(importer: Importer, node: Node, name: str, source: str, axis: int) -> str:
    """A constant as an activation: as many elements of `source` times zero, plus the constant."""
    shape, have = importer.graph.shapes[name], importer.graph.shapes[source]

    def step(op: Op, inputs: list[str], attrs: dict | None = None) -> str:
        output = importer.graph.fresh(f"{node.outputs[0]}:{name}:computed")
        return importer.emit(node, op, inputs, attrs, output=output)

    x, rest = source, shape[axis] % have[axis]
    if len(shape) != len(have) or shape[:axis] + shape[axis + 1 :] != have[:axis] + have[axis + 1 :]:
        return name  # the task says that the shapes differ
    part = [step(Op.SLICE, [x], {"axis": axis, "start": 0, "stop": rest})] if rest else []
    parts = [x] * (shape[axis] // have[axis]) + part
    x = parts[0] if len(parts) == 1 else step(Op.CONCAT, parts, {"axis": axis})
    nothing = step(Op.MUL, [x, importer.graph.constant(f"{name}:nothing", np.zeros((), np.float32))])
    return step(Op.ADD, [nothing, name])
