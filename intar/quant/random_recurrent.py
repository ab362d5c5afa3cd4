"""Random recurrent networks: an LSTM, GRU or RNN in all its forms, perhaps with a layer behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from intar.frontends.onnx_graph import import_onnx
from intar.frontends.recurrent_cells import GATES
from intar.ir.taskgraph import TaskGraph


def recurrent_network(rng: np.random.Generator) -> TaskGraph:
    """A layer of random size and weights."""

    def pick(*options: Any) -> Any:
        return options[int(rng.integers(len(options)))]

    kind, length, inputs = pick(*GATES), pick(3, 5, 6, 7, 9), pick(1, 4, 5, 8, 16)
    hidden, direction = (
        pick(1, 3, 4, 8, 8, 11, 16, 17),
        pick("forward", "forward", "reverse", "bidirectional"),
    )
    ways, width = 1 + (direction == "bidirectional"), GATES[kind] * hidden
    shapes = {"w": (ways, width, inputs), "r": (ways, width, hidden), "b": (ways, 2 * width)}
    constants: dict[str, np.ndarray] = {n: rng.normal(size=shape) * 0.7 for n, shape in shapes.items()}
    constants |= {"h": rng.normal(size=(ways, 1, hidden)), "head": rng.normal(size=(hidden, 5))}
    row = pick(0, length - 1)
    numbers = {"row": [row], "end": [row + 1], "axis": [0], "shape": [length * ways, hidden]}
    attrs: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    if kind == "GRU":
        attrs["linear_before_reset"] = pick(0, 1)
    if kind == "RNN":
        attrs["activations"] = [pick("Tanh", "Sigmoid", "Elu")] * ways
    given = pick("", "", "", "h", "start")
    names = ["x", "w", "r", pick("", "b"), "", given]
    while not names[-1]:
        names.pop()
    outputs = ["y", "last", "cell"][: pick(1, 1, 2, 3 if kind == "LSTM" else 2)]
    nodes = [helper.make_node(kind, names, outputs, name="cell", **attrs)]
    ends = outputs[1:]
    match pick("all", "all", "head", "row"):
        case "head":
            nodes.append(helper.make_node("Reshape", ["y", "shape"], ["flat"]))
            nodes.append(helper.make_node("MatMul", ["flat", "head"], ["out"], name="matmul"))
        case "row":
            nodes.append(helper.make_node("Slice", ["y", "row", "end", "axis"], ["out"]))
        case _:
            nodes.append(helper.make_node("Relu", ["y"], ["out"], name="relu"))
    entries = {"x": [length, 1, inputs]} | ({"start": [ways, 1, hidden]} if given == "start" else {})
    arrays = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    arrays += [numpy_helper.from_array(np.array(value), name) for name, value in numbers.items()]
    declared = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in entries.items()]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ["out", *ends]]
    graph = helper.make_graph(nodes, "recurrent", declared, results, arrays)
    return import_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9))
