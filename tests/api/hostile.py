"""A model whose every name is an attack or a keyword in some language that intar writes."""

from __future__ import annotations

import numpy as np
import onnx
import yaml
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


def hostile_yaml() -> str:
    """The same network, written by hand."""
    a, b, c, d, e, f, g, h, i, j = NAMES
    network = {
        "network": '"; rm -rf /; "',
        "inputs": {a: [3, 6]},
        "constants": {
            b: {"random": 1, "shape": [6, 8], "scale": 0.4},
            d: {"random": 2, "shape": [8]},
            g: {"random": 3, "shape": [8, 5], "scale": 0.4},
        },
        "tasks": {
            c: {"matmul": [a, b]},
            e: {"add": [c, d]},
            f: {"relu": e},
            h: {"matmul": [f, g]},
            i: {"sigmoid": h},
            j: {"add": [i, h]},
        },
        "outputs": [j],
    }
    return yaml.safe_dump(network, allow_unicode=True, sort_keys=False)
