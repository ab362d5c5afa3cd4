"""MatMul and Gemm as tasks with a constant K×N weight; MatMul of two activations as a product."""

from __future__ import annotations

from math import prod

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.onnx_broadcast import repeated
from intar.frontends.onnx_nodes import Node, Rejected
from intar.frontends.onnx_steps import Steps
from intar.ir.ops import Op, broadcast_shape
from intar.ir.shapes import Shape, ShapeMismatch, show
from intar.ir.taskgraph import QuantParams


def matmul(importer: Importer, node: Node) -> None:
    """``A @ B`` where one of the two is constant."""
    a, b = node.inputs
    if importer.is_constant(a) and not importer.is_constant(b):
        _left_constant(importer, node, a, b)
        return
    if not importer.is_constant(b):
        _product(importer, node, a, b)
        return
    x, shape = importer.tensor(a), importer.shape(b)
    if len(shape) == 1:
        weight = _weight(importer, b, (shape[0], 1))
        product = importer.emit(node, Op.MATMUL, [x, weight], output=f"{node.outputs[0]}:column")
        if product in importer.graph.shapes:
            target = importer.graph.shapes[product][:-1]
            importer.emit(node, Op.RESHAPE, [product], {"shape": target})
        return
    if any(n != 1 for n in shape[:-2]):
        importer.alias[node.outputs[0]] = _each(importer, node, x, *_parts(importer, b))
        return
    weight = _weight(importer, b, shape[-2:])
    rank = len(importer.graph.shapes[x])
    if len(shape) <= max(rank, 2):
        importer.emit(node, Op.MATMUL, [x, weight])
        return
    product = importer.emit(node, Op.MATMUL, [x, weight], output=f"{node.outputs[0]}:flat")
    if product in importer.graph.shapes:
        flat = importer.graph.shapes[product]
        lead = len(shape) - max(rank, 2)
        importer.emit(node, Op.RESHAPE, [product], {"shape": (*(1,) * lead, *flat)})


def _product(importer: Importer, node: Node, a: str, b: str) -> None:
    """``A @ B`` of two activations. What all share on the right is one product of all rows; else what has fewer leading axes
    is repeated."""
    shape_a, shape_b = importer.shape(a), importer.shape(b)
    graph, output = importer.graph, node.outputs[0]
    if not shape_a or not shape_b:
        raise Rejected("one of its operands is a number", "a product takes rows", code="graph")

    def step(op: Op, inputs: list[str], attrs: dict) -> str:
        return importer.emit(node, op, inputs, attrs, output=graph.fresh(f"{output}:part"))

    def shaped(x: str, shape: Shape) -> str:
        return x if graph.shapes[x] == shape else step(Op.RESHAPE, [x], {"shape": shape})

    rows, columns = (1, *shape_a)[-2:], (*shape_b, 1)[:2] if len(shape_b) == 1 else shape_b[-2:]
    lead_a, lead_b = shape_a[:-2], shape_b[:-2]
    try:
        lead = broadcast_shape(lead_a, lead_b)
    except ShapeMismatch:
        raise Rejected(
            f"the leading axes of {show(shape_a)} and {show(shape_b)} differ", code="graph"
        ) from None
    target = (*lead, *rows[: len(shape_a) > 1], *columns[2 - (len(shape_b) > 1) :])
    x, y = shaped(importer.tensor(a), (*lead_a, *rows)), shaped(importer.tensor(b), (*lead_b, *columns))
    if lead_a == lead_b == lead and target == (*lead, rows[0], columns[1]):
        importer.emit(node, Op.PRODUCT, [x, y], {"transposed": "none"})
        return
    if prod(lead_b) == 1:
        x = shaped(repeated(importer, node, x, (*lead, *rows)), (prod(lead) * rows[0], rows[1]))
        y = shaped(y, columns)
    else:
        x, y = (repeated(importer, node, x, (*lead, *rows)), repeated(importer, node, y, (*lead, *columns)))
    importer.emit(node, Op.RESHAPE, [step(Op.PRODUCT, [x, y], {"transposed": "none"})], {"shape": target})


def _left_constant(importer: Importer, node: Node, a: str, b: str) -> None:
    """A @ B with a constant A: (Bᵀ @ Aᵀ)ᵀ."""
    shape_a, shape_b = importer.shape(a), importer.shape(b)
    array, quant = _parts(importer, a)
    output = node.outputs[0]
    if array.ndim < 2:  # a row
        array = array[None]
    if quant is not None and quant.axis is not None:
        quant = quant.model_copy(update={"axis": array.ndim * 2 - 3 - quant.axis})
    if len(shape_b) == 1:
        made = _each(importer, node, importer.tensor(b), array.swapaxes(-1, -2), quant)
        if len(shape_a) > 1:
            importer.alias[output] = made
        else:
            importer.emit(node, Op.RESHAPE, [made], {"shape": ()})
        return
    swap = (*range(len(shape_b) - 2), len(shape_b) - 1, len(shape_b) - 2)
    turned = importer.emit(
        node, Op.TRANSPOSE, [importer.tensor(b)], {"perm": swap}, output=f"{output}:turned"
    )
    product = _each(importer, node, turned, array.swapaxes(-1, -2), quant)
    rank = len(importer.graph.shapes[product])
    swap = (*range(rank - 2), rank - 1, rank - 2)
    if len(shape_a) > 1:
        importer.emit(node, Op.TRANSPOSE, [product], {"perm": swap})
        return
    made = importer.emit(node, Op.TRANSPOSE, [product], {"perm": swap}, output=f"{output}:back")
    shape = importer.graph.shapes[made]
    importer.emit(node, Op.RESHAPE, [made], {"shape": (*shape[:-2], shape[-1])})


def _each(importer: Importer, node: Node, x: str, weights: np.ndarray, quant: QuantParams | None) -> str:
    """``x @ weights`` for constant matrices with leading axes: a product for each of them."""
    graph, output = importer.graph, node.outputs[0]

    def step(op: Op, inputs: list[str], attrs: dict | None = None) -> str:
        return importer.emit(node, op, inputs, attrs, output=graph.fresh(f"{output}:part"))

    row = len(graph.shapes[x]) == 1
    rows, width = (1, *graph.shapes[x])[-2:]
    try:
        lead = broadcast_shape(graph.shapes[x][:-2], weights.shape[:-2])
    except ShapeMismatch as error:
        raise Rejected(str(error), code="graph") from None
    if width != weights.shape[-2]:
        what = f"rows of {width} elements meet constant matrices {show(weights.shape)}"
        raise Rejected(what, f"they take rows of {weights.shape[-2]}", code="graph")
    target = (*lead, *(rows,) * (not row), weights.shape[-1])
    if quant is not None and quant.axis not in (None, weights.ndim - 1):
        raise Rejected("its weight is quantised along another axis than that of its outputs")
    form = quant if quant is None or quant.axis is None else quant.model_copy(update={"axis": 1})
    flat = weights.reshape(-1, *weights.shape[-2:])
    if len(flat) == 1:
        made = step(Op.MATMUL, [x, graph.constant(f"{output}:weight", flat[0], form)])
        return made if graph.shapes[made] == target else step(Op.RESHAPE, [made], {"shape": target})
    each = np.broadcast_to(np.arange(len(flat)).reshape(weights.shape[:-2]), lead).reshape(-1)
    wide = repeated(importer, node, x, (*lead, rows, width))
    x = step(Op.RESHAPE, [wide], {"shape": (len(each), rows, width)})
    names = [graph.constant(f"{output}:weight", matrix, form) for matrix in flat]
    parts = [
        step(
            Op.MATMUL,
            [step(Op.SLICE, [x], {"axis": 0, "start": at, "stop": at + 1, "step": 1}), names[which]],
        )
        for at, which in enumerate(each)
    ]
    return step(Op.RESHAPE, [step(Op.CONCAT, parts, {"axis": 0})], {"shape": target})


def gemm(importer: Importer, node: Node) -> None:
    """``alpha · A' @ B' + beta · C``."""
    a, b, c = node.inputs[0], node.inputs[1], node.input(2)
    alpha, beta = float(node.attrs.get("alpha", 1.0)), float(node.attrs.get("beta", 1.0))
    if not importer.is_constant(b):
        _gemm_of_two(importer, node, alpha, beta)
        return
    x, output = importer.tensor(a), node.outputs[0]
    if node.attrs.get("transA", 0):
        x = importer.emit(node, Op.TRANSPOSE, [x], {"perm": (1, 0)}, output=f"{output}:turned")
        if x not in importer.graph.shapes:
            return
    weight = _transposed(importer, b) if node.attrs.get("transB", 0) else importer.tensor(b)
    weight = _scaled(importer, weight, alpha)
    if not c or beta == 0:
        importer.emit(node, Op.MATMUL, [x, weight])
        return
    product = importer.emit(node, Op.MATMUL, [x, weight], output=f"{output}:product")
    addend = importer.tensor(c)
    if importer.is_constant(c):
        addend = _scaled(importer, addend, beta)
    elif beta != 1:
        factor = importer.graph.constant(f"{output}:beta", np.asarray(beta))
        addend = importer.emit(node, Op.MUL, [addend, factor], output=f"{output}:scaled")
    if product in importer.graph.shapes and addend in importer.graph.shapes:
        importer.emit(node, Op.ADD, [product, addend])


def _gemm_of_two(importer: Importer, node: Node, alpha: float, beta: float) -> None:
    """Gemm whose second matrix is an activation."""
    steps, operands = Steps(importer, node), []
    for name, turned in zip(node.inputs[:2], ("transA", "transB"), strict=True):
        operands.append(steps("Transpose", [name], {"perm": (1, 0)}) if node.attrs.get(turned, 0) else name)
    made = steps("MatMul", operands)
    if alpha != 1:
        made = steps("Mul", [made, np.asarray(alpha)])
    if (c := node.input(2)) and beta:
        made = steps("Add", [made, c if beta == 1 else steps("Mul", [c, np.asarray(beta)])])
    importer.alias[node.outputs[0]] = importer.alias[made]


def along(importer: Importer, node: Node, x: str, axis: int, matrix: np.ndarray) -> str:
    """Each row along an axis times a constant matrix (elements before, elements after)."""
    rank = len(importer.graph.shapes[x])
    weight = importer.graph.constant(f"{node.outputs[0]}:weights", matrix.astype(np.float32))

    def step(op: Op, inputs: list[str], attrs: dict | None = None) -> str:
        return importer.emit(node, op, inputs, attrs, output=importer.graph.fresh(f"{node.outputs[0]}:part"))

    if axis == rank - 1:
        return step(Op.MATMUL, [x, weight])
    perm = tuple(rank - 1 if a == axis else axis if a == rank - 1 else a for a in range(rank))
    return step(
        Op.TRANSPOSE, [step(Op.MATMUL, [step(Op.TRANSPOSE, [x], {"perm": perm}), weight])], {"perm": perm}
    )


def _scaled(importer: Importer, name: str, factor: float) -> str:
    """The constant times a factor; a positive one goes into the scale of quantised integers."""
    if factor == 1:
        return name
    array, quant = importer.graph.constants[name], importer.graph.quant.get(name)
    if quant is None:
        return importer.graph.constant(f"{name}:scaled", (array * np.float64(factor)).astype(array.dtype))
    if factor <= 0:
        raise Rejected("alpha and beta of a quantised Gemm have to be positive")
    scale = tuple(s * factor for s in quant.scale) if isinstance(quant.scale, tuple) else quant.scale * factor
    return importer.graph.constant(f"{name}:scaled", array, quant.model_copy(update={"scale": scale}))


def _transposed(importer: Importer, name: str) -> str:
    """The transposed constant matrix, integers and channel axis included."""
    array, quant = _parts(importer, name)
    if array.ndim != 2:
        raise Rejected(f"its weight '{name}' has {array.ndim} axes, expected 2", code="graph")
    if quant is not None and quant.axis is not None:
        quant = quant.model_copy(update={"axis": 1 - quant.axis})
    return importer.graph.constant(f"{name}:transposed", array.T, quant)


def _weight(importer: Importer, name: str, shape: tuple[int, ...]) -> str:
    """The constant in another shape (axes of one element added or removed)."""
    array, quant = _parts(importer, name)
    if array.shape == shape:
        return importer.tensor(name)
    if quant is not None and quant.axis is not None:
        # axes in front are dropped, or one behind is added
        axis = quant.axis - max(array.ndim - 2, 0)
        if axis < 0:
            raise Rejected(f"its weight '{name}' is quantised along a batch axis")
        quant = quant.model_copy(update={"axis": axis})
    return importer.graph.constant(f"{name}:matrix", array.reshape(shape), quant)


def _parts(importer: Importer, name: str) -> tuple[np.ndarray, QuantParams | None]:
    if name in importer.packed:
        return importer.packed[name]
    return importer.real(name), None
