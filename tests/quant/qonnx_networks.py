"""Networks of few bits in QONNX's nodes, and what these compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference.op_run import OpRun

DOMAIN = "qonnx.custom_op.general"


class Quant(OpRun):
    """QONNX's node as its specification has it."""

    op_domain = DOMAIN

    def _run(
        self,
        x: Any,
        scale: Any,
        zero: Any,
        bits: Any,
        signed: int = 1,
        narrow: int = 0,
        rounding_mode: str = "ROUND",
        **_: Any,
    ) -> Any:
        half = 2.0 ** (bits - 1)
        low, high = (-half + narrow, half - 1) if signed else (0.0, 2 * half - 1 - narrow)
        whole = np.floor if rounding_mode == "FLOOR" else np.rint
        return (((whole(np.clip(x / scale + zero, low, high)) - zero) * scale).astype(np.float32),)


class Trunc(OpRun):
    """Integers without their last bits, on the same scale."""

    op_domain = DOMAIN

    def _run(
        self, x: Any, scale: Any, zero: Any, before: Any, after: Any, rounding_mode: str = "FLOOR", **_: Any
    ) -> Any:
        whole = np.floor if rounding_mode == "FLOOR" else np.rint
        steps = whole(np.round(x / scale + zero) / 2.0 ** (before - after))
        return (((steps - zero) * scale).astype(np.float32),)


class BipolarQuant(OpRun):
    """One bit of weight."""

    op_domain = DOMAIN

    def _run(self, x: Any, scale: Any, **_: Any) -> Any:
        return ((np.where(x >= 0, scale, -scale)).astype(np.float32),)


class Network:
    """An ONNX model in the making."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.arrays: dict[str, np.ndarray] = {}

    def array(self, value: Any) -> str:
        """The name of a new constant, float32 unless it is of integers."""
        array = np.asarray(value)
        name = f"c{len(self.arrays)}"
        self.arrays[name] = array if array.dtype.kind == "i" and array.ndim else array.astype(np.float32)
        return name

    def node(self, op: str, *inputs: Any, **attrs: Any) -> str:
        """The name of a node's output; inputs that are no names become constants."""
        names = [each if isinstance(each, str) else self.array(each) for each in inputs]
        output = f"t{len(self.nodes)}"
        domain = DOMAIN if op.endswith("Quant") or op == "Trunc" else ""
        self.nodes.append(helper.make_node(op, names, [output], domain=domain, **attrs))
        return output

    def quant(
        self, x: Any, scale: Any, bits: int, zero: float = 0.0, signed: int = 1, narrow: int = 0
    ) -> str:
        """A Quant node."""
        return self.node(
            "Quant", x, scale, zero, float(bits), signed=signed, narrow=narrow, rounding_mode="ROUND"
        )

    def model(self, output: str, shape: tuple[int, ...]) -> onnx.ModelProto:
        """The whole of it, from ``x`` of the shape to `output`."""
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(array, name) for name, array in self.arrays.items()],
        )
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 2)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def perceptron(
    weights: list[np.ndarray],
    biases: list[np.ndarray],
    weight_bits: int,
    bits: int,
    per_channel: bool,
    scale: float = 0.031,
) -> onnx.ModelProto:
    """64-64-10 with a batch normalisation; weights of `weight_bits`, activations of `bits`."""
    rng = np.random.default_rng(0)
    net, top = Network(), max(2 ** (weight_bits - 1) - 1, 1)
    name = net.quant("x", 1 / 15, 4, signed=0)
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        largest = np.abs(weight).max(axis=0 if per_channel else None, keepdims=per_channel)
        kept = (
            net.node("BipolarQuant", weight, np.abs(weight).mean(axis=0, keepdims=True))
            if weight_bits == 1
            else net.quant(weight, largest / top, weight_bits, narrow=1)
        )
        name = net.node("MatMul", name, kept)
        if layer == 0:
            gain = rng.uniform(0.5, 1.5, 64) * np.where(np.arange(64) % 7 == 0, -1, 1)
            name = net.node("BatchNormalization", name, gain, bias, rng.normal(size=64), np.ones(64))
            name = net.quant(net.node("Relu", name), 4 * scale, bits, signed=0)
        else:
            name = net.quant(net.node("Add", name, bias), 8 * scale, 8)
    return net.model(name, (1, 64))


def convolutions(bits: int) -> onnx.ModelProto:
    """Two on images of 8 x 8 and a matmul; weights of `bits`, activations of 3 and 5."""
    rng = np.random.default_rng(0)
    net = Network()
    image = net.quant(net.node("Reshape", "x", np.array([1, 1, 8, 8])), 0.0331, 5, zero=3, signed=0)

    def kept(*shape: int) -> str:
        weight = rng.standard_normal(shape)
        scale = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 3
        return (
            net.node("BipolarQuant", weight, scale) if bits == 1 else net.quant(weight, scale, bits, narrow=1)
        )

    a = net.node("Conv", image, kept(6, 1, 3, 3), rng.standard_normal(6), pads=[1, 1, 1, 1])
    a = net.quant(net.node("Relu", a), 0.61, 3, signed=0)
    a = net.node("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2])
    a = net.node("Conv", a, kept(8, 3, 3, 3), group=2, pads=[1, 1, 1, 1])
    a = net.node(
        "BatchNormalization", a, rng.uniform(0.5, 1.5, 8), rng.normal(size=8), np.zeros(8), np.ones(8)
    )
    a = net.quant(a, 0.83, 5)
    weight = rng.standard_normal((128, 10))
    a = net.node("MatMul", net.node("Flatten", a), net.quant(weight, 0.3, 4))
    return net.model(net.quant(a, 1.7, 8), (1, 64))
