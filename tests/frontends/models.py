"""Small ONNX models for the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Node = tuple[str, Sequence[str], Sequence[str]] | tuple[str, Sequence[str], Sequence[str], dict]


def onnx_model(
    nodes: Sequence[Node],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str],
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    opset: int = 21,
    domains: Sequence[str] = (),
    types: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A model from (operator, inputs, outputs[, attributes]) tuples; ``name`` among the attributes names the node."""
    graph = helper.make_graph(
        [helper.make_node(op, ins, outs, **(rest[0] if rest else {})) for op, ins, outs, *rest in nodes],
        "net",
        [
            helper.make_tensor_value_info(name, (types or {}).get(name, TensorProto.FLOAT), list(shape))
            for name, shape in inputs.items()
        ],
        [
            helper.make_tensor_value_info(name, (types or {}).get(name, TensorProto.FLOAT), None)
            for name in outputs
        ],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Normal float32 values, the same on every run."""
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def mlp(batch: int | str = 4) -> onnx.ModelProto:
    """Gemm, ReLU, MatMul + bias, SiLU spelled out, a residual, Gemm."""
    nodes: list[Node] = [
        ("Gemm", ["x", "w1", "b1"], ["h1"], {"transB": 1, "name": "fc1"}),
        ("Relu", ["h1"], ["a1"]),
        ("MatMul", ["a1", "w2"], ["h2"], {"name": "fc2"}),
        ("Add", ["h2", "b2"], ["h3"]),
        ("Sigmoid", ["h3"], ["s3"]),
        ("Mul", ["h3", "s3"], ["a3"]),
        ("Add", ["a3", "a1"], ["r"]),
        ("Gemm", ["r", "w3", "b3"], ["logits"], {"name": "fc3"}),
    ]
    constants = {
        "w1": normal(32, 16, seed=1, scale=0.25),
        "b1": normal(32, seed=2),
        "w2": normal(32, 32, seed=3, scale=0.2),
        "b2": normal(32, seed=4),
        "w3": normal(32, 10, seed=5, scale=0.2),
        "b3": normal(10, seed=6),
    }
    return onnx_model(nodes, {"x": [batch, 16]}, ["logits"], constants)
