"""A model whose every name is an attack or a keyword in some language that intar writes."""

from __future__ import annotations

import numpy as np
import onnx
from frontends.models import normal, onnx_model

NAMES = (
    '"; rm -rf $HOME; "',
    "module",
    "$(reboot)`reboot`",
    "数据/重量",
    "../../../etc/passwd",
    "a\nb*/ #pragma HLS\n%s {{ x }}",
    "\\always [exec rm]",
    "int",
    "class",
    "${PATH}",
)


def hostile_model() -> onnx.ModelProto:
    """Two matmuls, a sum, a table and a ReLU under the names above."""
    a, b, c, d, e, f, g, h, i, j = NAMES
    nodes = [
        ("MatMul", [a, b], [c], {"name": a}),
        ("Add", [c, d], [e], {"name": b}),
        ("Relu", [e], [f], {"name": f}),
        ("MatMul", [f, g], [h], {"name": d}),
        ("Sigmoid", [h], [i], {"name": h}),
        ("Add", [i, h], [j], {"name": j}),
    ]
    constants = {b: normal(6, 8), d: normal(8).astype(np.float32), g: normal(8, 5)}
    model = onnx_model(nodes, {a: [3, 6]}, [j], constants)
    model.graph.name = '"; rm -rf /; "'
    return model
