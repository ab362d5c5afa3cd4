"""Normalisations and softmaxes as JAX, TensorFlow and Keras spell them, and signals behind convolutions without bias."""

from __future__ import annotations

import numpy as np
import pytest
from frontends.models import normal, onnx_model
from frontends.test_onnx_numbers import agree, ops

from intar.errors import UnsupportedError
from intar.frontends.onnx_graph import import_onnx

WIDTH = 6
CONSTANTS = {
    "axis": np.array([1]), "back": np.array([2, 1, 8]), "whole": np.array([2, WIDTH, 8]),
    "part": np.float32(1 / WIDTH), "zero": np.float32(0), "least": np.float32(-np.inf), "eps": np.float32(1e-3),
    "g": normal(1, WIDTH, 1, seed=1), "b": normal(1, WIDTH, 1, seed=2),
}  # fmt: skip
DROPPED = {"keepdims": 0}


def mean(x: str, out: str) -> list:
    """A mean along axis 1, as JAX writes it: a sum without the axis, times a number."""
    return [("ReduceSum", [x, "axis"], [f"{out}_sum"], DROPPED), ("Mul", [f"{out}_sum", "part"], [out])]


def again(x: str, out: str) -> list:
    """The axis brought back, and spread."""
    return [("Reshape", [x, "back"], [f"{out}r"]), ("Expand", [f"{out}r", "back"], [out])]


JAX = [
    *mean("x", "m"), ("Mul", ["x", "x"], ["q"]), *mean("q", "qm"), ("Mul", ["m", "m"], ["mm"]),
    ("Sub", ["qm", "mm"], ["d"]), ("Max", ["zero", "d"], ["v"]), *again("v", "vs"), ("Add", ["vs", "eps"], ["e"]),
    ("Sqrt", ["e"], ["r"]), ("Reciprocal", ["r"], ["i"]), ("Mul", ["i", "g"], ["ig"]), *again("m", "ms"),
    ("Sub", ["x", "ms"], ["c"]), ("Mul", ["c", "ig"], ["z"]), ("Add", ["z", "b"], ["y"]),
]  # fmt: skip


def test_a_layer_norm_as_jax_spells_it_along_a_middle_axis() -> None:
    graph = agree(onnx_model(JAX, {"x": [2, WIDTH, 8]}, ["y"], CONSTANTS), {"x": normal(2, WIDTH, 8, seed=5)})
    assert ops(graph) == ["transpose", "layer_norm", "transpose"], "scale and shift are the norm's own"


def test_keras_puts_mean_and_shift_together() -> None:
    keep = {"keepdims": 1}
    nodes = [
        ("ReduceMean", ["x", "last"], ["m"], keep), ("Sub", ["x", "m"], ["c"]), ("Mul", ["c", "c"], ["q"]),
        ("ReduceMean", ["q", "last"], ["v"], keep), ("Add", ["v", "eps"], ["e"]), ("Sqrt", ["e"], ["r"]),
        ("Reciprocal", ["r"], ["i"]), ("Mul", ["i", "g"], ["f"]), ("Mul", ["x", "f"], ["xf"]),
        ("Mul", ["m", "f"], ["mf"]), ("Sub", ["b", "mf"], ["s"]), ("Add", ["xf", "s"], ["y"]),
    ]  # fmt: skip
    constants = {
        "last": np.array([2]),
        "eps": np.float32(1e-3),
        "g": normal(8, seed=1),
        "b": normal(8, seed=2),
    }
    model = onnx_model(nodes, {"x": [2, 3, 8]}, ["y"], constants)
    assert ops(agree(model, {"x": normal(2, 3, 8, seed=5)})) == ["layer_norm"]


@pytest.mark.parametrize("stopped", [True, False])
def test_a_softmax_spelled_out(stopped: bool) -> None:
    """With and without the largest score taken away first."""
    less = [
        ("ReduceMax", ["x", "axis"], ["t"], DROPPED), ("Max", ["least", "t"], ["tt"]), *again("tt", "ts"),
        ("Sub", ["x", "ts"], ["c"]),
    ]  # fmt: skip
    powers = [("Exp", ["c" if stopped else "x"], ["p"]), ("ReduceSum", ["p", "axis"], ["n"], DROPPED)]
    nodes = [*(less if stopped else []), *powers, *again("n", "ns"), ("Div", ["p", "ns"], ["y"])]
    model = onnx_model(nodes, {"x": [2, WIDTH, 8]}, ["y"], CONSTANTS)
    assert ops(agree(model, {"x": normal(2, WIDTH, 8, seed=5)})) == ["transpose", "softmax", "transpose"]


def test_a_sum_over_another_number_is_no_mean() -> None:
    wrong = CONSTANTS | {"part": np.float32(0.25)}
    with pytest.raises(UnsupportedError, match="divides a sum of 6 elements by 4"):
        import_onnx(onnx_model(JAX, {"x": [2, WIDTH, 8]}, ["y"], wrong))


def test_a_bias_behind_a_signal_joins_its_convolution() -> None:
    nodes = [
        ("Conv", ["x", "w"], ["k"]), ("Add", ["k", "b"], ["a"]), ("Relu", ["a"], ["r"]),
        ("Conv", ["r", "u"], ["l"]), ("Add", ["l", "c"], ["s"]), ("ReduceMax", ["s", "last"], ["y"], DROPPED),
    ]  # fmt: skip
    constants = {"w": normal(4, 3, 3, seed=1), "b": normal(1, 4, 1, seed=2), "u": normal(2, 4, 1, seed=3)}
    constants |= {"c": normal(1, 2, 1, seed=4), "last": np.array([2])}
    graph = agree(onnx_model(nodes, {"x": [1, 3, 9]}, ["y"], constants), {"x": normal(1, 3, 9, seed=5)})
    assert ops(graph) == ["reshape", "conv2d", "relu", "conv2d", "global_max_pool", "reshape"]
