"""What skl2onnx writes of scikit-learn's linear models, networks and scalers, in operators of the domain ``ai.onnx.ml``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.onnx_nodes import Node, Rejected
from intar.frontends.onnx_steps import Steps

_AFTER = {"NONE": "Identity", "LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}
"""The function behind scores, by its name there."""


def _scaler(importer: Importer, node: Node) -> None:
    """``(x − offset) · scale``."""
    steps = Steps(importer, node)
    offset, scale = (np.asarray(node.attrs[key], np.float32) for key in ("offset", "scale"))
    _give(importer, node, 0, steps("Mul", [steps("Sub", [node.inputs[0], offset]), scale]))


def _scores(steps: Steps, node: Node, count: int) -> str:
    """A product with `count` rows of coefficients, and their intercepts."""
    weights = np.asarray(node.attrs["coefficients"], np.float32).reshape(count, -1)
    made = steps("MatMul", [node.inputs[0], weights.T])
    intercepts = node.attrs.get("intercepts")
    return steps("Add", [made, np.asarray(intercepts, np.float32)]) if intercepts else made


def _behind(steps: Steps, node: Node, scores: str) -> str:
    kind = str(node.attrs.get("post_transform", "NONE"))
    if kind not in _AFTER:
        raise Rejected(f"its post_transform is {kind}", f"there are {', '.join(_AFTER)}")
    return steps(_AFTER[kind], [scores], {"axis": -1} if kind == "SOFTMAX" else {})


def _regressor(importer: Importer, node: Node) -> None:
    steps = Steps(importer, node)
    scores = _scores(steps, node, int(node.attrs.get("targets", 1)))
    _give(importer, node, 0, _behind(steps, node, scores))


def _classifier(importer: Importer, node: Node) -> None:
    """The label of the largest score, and the scores."""
    labels = node.attrs.get("classlabels_ints") or node.attrs.get("classlabels_strings") or []
    rows = len(node.attrs.get("intercepts") or labels)
    if rows != len(labels):
        raise Rejected(
            f"it has {rows} scores for {len(labels)} classes", "a class is the largest of its scores"
        )
    steps = Steps(importer, node)
    scores = _scores(steps, node, rows)
    _give(importer, node, 1, _behind(steps, node, scores))
    if importer.is_read(node.outputs[0]):
        _are_indices(labels)
        _give(importer, node, 0, steps("ArgMax", [scores], {"axis": -1, "keepdims": 0}))


def _normalizer(importer: Importer, node: Node) -> None:
    """Rows over their length."""
    steps, kind = Steps(importer, node), str(node.attrs.get("norm", "MAX"))
    if kind not in ("L1", "L2"):
        raise Rejected(f"its norm is {kind}", "there are L1 and L2")
    length = steps(f"Reduce{kind}", [node.inputs[0]], {"axes": [-1], "keepdims": 1})
    _give(importer, node, 0, steps("Div", [node.inputs[0], length]))


def _label(importer: Importer, node: Node) -> None:
    """Classes by their index, which they have to be."""
    labels, index = node.inputs
    if not importer.is_constant(labels) or importer.is_constant(index):
        raise Rejected("it chooses columns", "it is known as what gives the largest score its label")
    _are_indices(importer.value(labels, "labels").reshape(-1).tolist())
    _give(importer, node, 0, Steps(importer, node)("Identity", [index]))


def _are_indices(labels: Sequence[object]) -> None:
    if list(labels) != list(range(len(labels))):
        shown = ", ".join(map(str, list(labels)[:4]))
        raise Rejected(
            f"its classes are {shown} …",
            "what the circuit gives is the class's index, 0, 1, 2, …",
            "train with such labels, or make the scores the model's only output and look the label up on the host",
        )


def _zip_map(importer: Importer, node: Node) -> None:
    raise Rejected(
        "it makes dictionaries",
        "outputs are tensors",
        "convert with options={'zipmap': False} (skl2onnx)",
    )


def _give(importer: Importer, node: Node, position: int, made: str) -> None:
    """A result of the steps is an output of the node, where it has it."""
    if position < len(node.outputs) and node.outputs[position]:
        importer.alias[node.outputs[position]] = importer.alias[made]


SKLEARN: dict[str, Callable[[Importer, Node], None]] = {
    "ai.onnx.ml.ArrayFeatureExtractor": _label,
    "ai.onnx.ml.LinearClassifier": _classifier,
    "ai.onnx.ml.LinearRegressor": _regressor,
    "ai.onnx.ml.Normalizer": _normalizer,
    "ai.onnx.ml.Scaler": _scaler,
    "ai.onnx.ml.ZipMap": _zip_map,
}
"""The translation of each of them."""
