"""Models with quantisation of their own: QuantizeLinear, DequantizeLinear, and integer operators spelled as
both.

The integers, scales and zero points of the model are kept exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper

from intar.frontends.onnx_nodes import Node, Rejected, from_proto
from intar.frontends.onnx_quant import clip_to_integers
from intar.ir.taskgraph import QuantParams

if TYPE_CHECKING:
    from intar.frontends.importer import Importer

FORMATS: dict[str, tuple[Any, bool]] = {"int4": (4, True), "uint4": (4, False)} | {
    f"{'' if signed else 'u'}int{bits}": (bits, signed) for bits in (8, 16, 32) for signed in (True, False)
}
"""Width and signedness of each integer type."""

ONNX_TYPES = {2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 21: "uint4", 22: "int4"}
"""Numbers of the types in an `output_dtype` attribute."""


def _quant(importer: Importer, node: Node, dtype: str, shape: tuple[int, ...]) -> QuantParams:
    """The format that a QuantizeLinear or DequantizeLinear names, for integers of that type."""
    if dtype not in FORMATS:
        raise Rejected(f"its integers have type {dtype}", hint=f"supported are {', '.join(FORMATS)}")
    scale = importer.value(node.inputs[1], "scale").astype(np.float64)
    zero_name = node.input(2)
    zero = (
        importer.value(zero_name, "zero point").astype(np.int64)
        if zero_name
        else np.zeros(scale.shape, np.int64)
    )
    if node.attrs.get("block_size", 0) or scale.ndim > 1:
        raise Rejected("it quantises in blocks", hint="quantise per tensor or per channel")
    bits, signed = FORMATS[dtype]
    if scale.size == 1 and zero.size == 1:
        return QuantParams(bits=bits, signed=signed, scale=float(scale.item()), zero_point=int(zero.item()))
    axis = int(node.attrs.get("axis", 1))
    axis += len(shape) * (axis < 0)
    zeros = np.broadcast_to(zero.reshape(-1), scale.shape)
    return QuantParams(
        bits=bits,
        signed=signed,
        scale=tuple(float(s) for s in scale),
        zero_point=tuple(int(z) for z in zeros) if zeros.any() else 0,
        axis=axis,
    )


def quantize_linear(importer: Importer, node: Node) -> None:
    """Remember the format; the tensor gets it where it is dequantised."""
    name = node.inputs[0]
    if node.input(2):
        dtype = importer.value(node.inputs[2], "zero point").dtype.name
    else:
        dtype = ONNX_TYPES.get(node.attrs.get("output_dtype", 2), "unknown")
    tensor = importer.tensor(name)
    importer.grids[node.outputs[0]] = (tensor, _quant(importer, node, dtype, importer.shape(name)))


def dequantize_linear(importer: Importer, node: Node) -> None:
    """Integers back to real values: a quantised constant, or the tensor that was quantised."""
    name, output = node.inputs[0], node.outputs[0]
    if name in importer.values:
        array = importer.values[name]
        quant = _quant(importer, node, array.dtype.name, array.shape)
        ints = plain_integers(array)
        if (
            quant.bits == 8
            and quant.signed
            and not np.any(quant.zero_point)
            and (ints >> 3 == ints >> 7).all()
        ):
            quant = quant.model_copy(update={"bits": 4})  # eight bits because the exporter has no fewer
        importer.packed[output] = (ints, quant)
        return
    if name not in importer.grids:
        raise Rejected(f"'{name}' was not quantised by a QuantizeLinear node")
    tensor, quant_in = importer.grids[name]
    shape = importer.graph.shapes[tensor]
    if quant_in is None:
        importer.alias[output] = _integer_input(importer, node, tensor, name)
        return
    dtype = f"{'' if quant_in.signed else 'u'}int{quant_in.bits}"
    if _quant(importer, node, dtype, shape) != quant_in:
        raise Rejected(
            "its scale or zero point is not that of the QuantizeLinear before it",
            "a change of scale on integers is not defined in QDQ form",
            "export the model again",
        )
    importer.alias[output] = importer.on_grid(tensor, quant_in, output, node.source)


def _integer_input(importer: Importer, node: Node, tensor: str, name: str) -> str:
    """An input of the model that arrives as integers: the graph's input is its real value on that grid."""
    quant = _quant(importer, node, importer.integer_inputs[name], importer.graph.shapes[tensor])
    return _in_format(importer, tensor, name, quant)


def _in_format(importer: Importer, tensor: str, name: str, quant: QuantParams) -> str:
    if importer.graph.quant.setdefault(tensor, quant) != quant:
        raise Rejected(f"the input '{name}' is dequantised in two ways")
    return tensor


def whole_numbers(importer: Importer, node: Node) -> None:
    """An input of integers that a Cast makes real numbers: the bytes of an image."""
    name = node.inputs[0]
    bits, signed = FORMATS[importer.integer_inputs[name]]
    quant = QuantParams(bits=bits, signed=signed, scale=1.0)
    importer.alias[node.outputs[0]] = _in_format(importer, importer.grids[name][0], name, quant)


def clip_quantised(importer: Importer, node: Node, low: float, high: float) -> None:
    """A Clip between both: integers of fewer bits than their type has (Brevitas' QCDQ)."""
    tensor, quant = importer.grids[node.inputs[0]]
    if quant is None or not isinstance(quant.scale, float):
        raise Rejected("it clips integers that do not come from a QuantizeLinear node with one scale")
    least, most = int(max(low, quant.qmin)), int(min(high, quant.qmax))
    importer.grids[node.outputs[0]] = (
        clip_to_integers(importer, node, tensor, quant, least, most),
        quant,
    )


def plain_integers(array: np.ndarray) -> np.ndarray:
    """The same integers in a type that NumPy has itself (4 bit types become 8 bit)."""
    if array.dtype.name in ("int4", "uint4"):
        return array.astype(np.int8 if array.dtype.name == "int4" else np.uint8)
    return array


BINARY = {"QLinearMatMul": "MatMul", "QLinearAdd": "Add", "QLinearMul": "Mul"}


def expand_quantised(node: Node) -> list[Node]:
    """An operator on integers as dequantise, compute, quantise; other nodes as they are.

    QLinearMatMul is ONNX's; QLinearAdd, QLinearMul, QLinearSigmoid and QGemm are onnxruntime's.
    """
    if node.domain not in ("", "com.microsoft"):
        return [node]
    if node.op in BINARY and len(node.inputs) >= 7:
        real, before = _dequantised(node, {"a": node.inputs[0:3], "b": node.inputs[3:6]}, {"b": -1})
        return [*before, *_quantised(node, BINARY[node.op], real, node.inputs[6:8])]
    if node.op == "QLinearSigmoid" and len(node.inputs) >= 4:
        real, before = _dequantised(node, {"x": node.inputs[0:3]}, {})
        return [*before, *_quantised(node, "Sigmoid", real, node.inputs[3:5])]
    if (
        node.op == "QGemm"
        and node.attrs.get("alpha", 1.0) == 1.0
        and len(node.inputs) >= 8
        and node.inputs[7]
    ):
        return _expand_gemm(node)
    return [node]


def _expand_gemm(node: Node) -> list[Node]:
    """QGemm: its bias is int32, in units of the product of the operands' scales."""
    transposed = node.attrs.get("transB", 0)
    parts, axes, before = {"a": node.inputs[0:3], "b": node.inputs[3:6]}, {"b": 0 if transposed else -1}, []
    if node.inputs[6]:
        unit = f"{node.outputs[0]}:unit"
        scales = helper.make_node("Mul", [node.inputs[1], node.inputs[4]], [unit], name=unit)
        before.append(from_proto(scales))
        parts["c"], axes["c"] = [node.inputs[6], unit], 0
    real, dequantise = _dequantised(node, parts, axes)
    attrs: dict[str, Any] = {key: node.attrs.get(key, 0) for key in ("transA", "transB")}
    return [*before, *dequantise, *_quantised(node, "Gemm", real, node.inputs[7:9], attrs)]


def _dequantised(
    node: Node, parts: dict[str, list[str]], axes: dict[str, int]
) -> tuple[list[str], list[Node]]:
    """Names of the real operands, and the nodes that make them."""
    names, nodes = [], []
    for role, (integers, *params) in parts.items():
        name = f"{node.outputs[0]}:{role}"
        axis = {"axis": axes[role]} if role in axes else {}
        nodes.append(Node("DequantizeLinear", f"{node.name}:{role}", [integers, *params], [name], axis))
        names.append(name)
    return names, nodes


def _quantised(
    node: Node, op: str, operands: list[str], params: list[str], attrs: dict[str, Any] | None = None
) -> list[Node]:
    """The operator on real values, and the node that quantises its result."""
    output = node.outputs[0]
    return [
        Node(op, node.name, operands, [f"{output}:y"], attrs or {}, origin=node.op),
        Node("QuantizeLinear", f"{node.name}:y", [f"{output}:y", *params], [output]),
    ]
