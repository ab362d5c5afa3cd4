"""Random recurrent networks: LSTM, GRU and RNN in all their forms, one or two, perhaps with a layer between and behind."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from intar.frontends.onnx_graph import import_onnx
from intar.frontends.recurrent_cells import GATES
from intar.ir.taskgraph import TaskGraph


def recurrent_network(rng: np.random.Generator) -> TaskGraph:
    """Layers of random sizes and weights."""
    return _Drawn(rng).graph()


class _Drawn:
    """The nodes and constants of a network."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.numbers: dict[str, list[int]] = {}
        self.entries: dict[str, list[int]] = {}
        self.ends: list[str] = []
        self.length = self.pick(3, 5, 6, 7, 9)

    def pick(self, *options: Any) -> Any:
        """One of the options."""
        return options[int(self.rng.integers(len(options)))]

    def graph(self) -> TaskGraph:
        """The network."""
        width = self.pick(1, 4, 5, 8, 16)
        self.entries["x"] = [self.length, 1, width]
        y, ways, hidden = self.layer("x", width, 1)
        if self.pick(True, False):
            y, ways, hidden = self.layer(*self.between(y, ways, hidden), 2)
        self.behind(y, ways, hidden)
        arrays = [
            numpy_helper.from_array(one.astype(np.float32), name) for name, one in self.constants.items()
        ]
        arrays += [numpy_helper.from_array(np.array(one), name) for name, one in self.numbers.items()]
        declared = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in self.entries.items()]
        results = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ["out", *self.ends]]
        graph = helper.make_graph(self.nodes, "recurrent", declared, results, arrays)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        return import_onnx(model)

    def layer(self, x: str, inputs: int, n: int) -> tuple[str, int, int]:
        """What a recurrent layer gives (length, directions, 1, hidden), its directions, its units."""
        kind, hidden = self.pick(*GATES), self.pick(1, 3, 4, 8, 8, 11, 16, 17)
        direction = self.pick("forward", "forward", "reverse", "bidirectional")
        ways, width = 1 + (direction == "bidirectional"), GATES[kind] * hidden
        shapes = {"w": (ways, width, inputs), "r": (ways, width, hidden), "b": (ways, 2 * width)}
        self.constants |= {f"{name}{n}": self.rng.normal(size=shape) * 0.7 for name, shape in shapes.items()}
        self.constants[f"h{n}"] = self.rng.normal(size=(ways, 1, hidden))
        attrs: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
        if kind == "GRU":
            attrs["linear_before_reset"] = self.pick(0, 1)
        if kind == "RNN":
            attrs["activations"] = [self.pick("Tanh", "Sigmoid", "Elu")] * ways
        given = self.pick("", "", "", f"h{n}", f"start{n}")
        if given == f"start{n}":
            self.entries[given] = [ways, 1, hidden]
        names = [x, f"w{n}", f"r{n}", self.pick("", f"b{n}"), "", given]
        while not names[-1]:
            names.pop()
        outputs = [f"y{n}", f"last{n}", f"cell{n}"][: self.pick(1, 1, 2, 3 if kind == "LSTM" else 2)]
        self.nodes.append(helper.make_node(kind, names, outputs, name=f"cell_{n}", **attrs))
        self.ends += outputs[1:]
        return outputs[0], ways, hidden

    def between(self, y: str, ways: int, hidden: int) -> tuple[str, int]:
        """The rows of a layer, both directions side by side, perhaps through a matmul; their width."""
        width = ways * hidden
        self.nodes.append(helper.make_node("Transpose", [y], ["turned"], perm=[0, 2, 1, 3]))
        self.numbers["rows"] = [self.length, 1, width]
        self.nodes.append(helper.make_node("Reshape", ["turned", "rows"], ["wide"]))
        if self.pick(True, True, False):
            return "wide", width
        self.constants["dense"] = self.rng.normal(size=(width, 6))
        self.nodes.append(helper.make_node("MatMul", ["wide", "dense"], ["narrow"], name="dense"))
        return "narrow", 6

    def behind(self, y: str, ways: int, hidden: int) -> None:
        """What the network makes of the last layer."""
        row = self.pick(0, self.length - 1)
        self.numbers |= {"row": [row], "end": [row + 1], "axis": [0], "flat": [self.length * ways, hidden]}
        self.constants["head"] = self.rng.normal(size=(hidden, 5))
        match self.pick("all", "all", "head", "row"):
            case "head":
                self.nodes.append(helper.make_node("Reshape", [y, "flat"], ["single"]))
                self.nodes.append(helper.make_node("MatMul", ["single", "head"], ["out"], name="matmul"))
            case "row":
                self.nodes.append(helper.make_node("Slice", [y, "row", "end", "axis"], ["out"]))
            case _:
                self.nodes.append(helper.make_node("Relu", [y], ["out"], name="relu"))
