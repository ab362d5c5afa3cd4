"""Einsum, Tile, and normalisations over several axes: numbers as ONNX's reference has them, and what they become."""

from __future__ import annotations

import numpy as np
import pytest
from frontends.models import normal, onnx_model
from frontends.test_onnx_numbers import agree, ops

from intar.errors import UserError
from intar.frontends.onnx_graph import import_onnx

SIZES = {"b": 2, "h": 3, "i": 4, "j": 5, "d": 6, "k": 7, "n": 1}


def shape(labels: str) -> list[int]:
    return [SIZES[label] for label in labels]


@pytest.mark.parametrize(
    "equation, expected",
    [
        ("bhid,bhjd->bhij", ["product"]),  # scores: the turned operand is the product's own
        ("bhij,bhjd->bihd", ["product", "transpose"]),
        ("bhid,bhjd->bhi", None),  # nobody else has j
        ("bid,bid->bid", ["mul"]),
        ("bid->di", None),
        ("bid,bd->bi", None),
        ("bid , bi", None),
    ],
)
def test_of_activations(equation: str, expected: list[str] | None) -> None:
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    given = {f"x{at}": shape(labels) for at, labels in enumerate(terms)}
    model = onnx_model([("Einsum", list(given), ["y"], {"equation": equation})], given, ["y"])
    graph = agree(model, {name: normal(*size, seed=at) for at, (name, size) in enumerate(given.items())})
    assert expected is None or ops(graph) == expected


@pytest.mark.parametrize(
    "equation, weight, expected",
    [
        ("bid,dk->bik", "dk", ["matmul"]),
        ("bid,kd->bik", "kd", ["matmul"]),
        ("...d,dk->...k", "dk", ["matmul"]),
        ("dk,bid->bik", "dk", ["matmul"]),
        ("bid,dhk->bihk", "dhk", ["matmul", "reshape"]),
        ("bid,d->bid", "d", ["mul"]),
        ("bid,id->b", "id", None),
    ],
)
def test_with_a_constant(equation: str, weight: str, expected: list[str] | None) -> None:
    names = ["x", "w"] if not equation.startswith(f"{weight},") else ["w", "x"]
    model = onnx_model(
        [("Einsum", names, ["y"], {"equation": equation})],
        {"x": shape("bid")},
        ["y"],
        {"w": normal(*shape(weight))},
    )
    graph = agree(model, {"x": normal(*shape("bid"), seed=1)})
    assert expected is None or ops(graph) == expected


@pytest.mark.parametrize(
    "equation, message",
    [("bii->bi", "takes a diagonal"), ("bi,bi->b", "does not fit its operands")],
)
def test_what_it_has_not_is_said(equation: str, message: str) -> None:
    model = onnx_model([("Einsum", ["x"], ["y"], {"equation": equation})], {"x": [2, 4, 4]}, ["y"])
    with pytest.raises(UserError, match=message):
        import_onnx(model)


@pytest.mark.parametrize(
    "size, repeats, expected",
    [
        ([2, 3, 4], [1, 2, 3], ["concat", "concat"]),
        ([2, 1, 4], [1, 3, 1], ["concat"]),
        ([2, 3, 1], [1, 1, 5], ["matmul"]),
    ],
)
def test_tiles(size: list[int], repeats: list[int], expected: list[str]) -> None:
    model = onnx_model([("Tile", ["x", "r"], ["y"])], {"x": size}, ["y"], {"r": np.array(repeats)})
    assert ops(agree(model, {"x": normal(*size)})) == expected


@pytest.mark.parametrize("axis", [1, -2])
def test_a_layer_norm_over_several_axes(axis: int) -> None:
    nodes = [("LayerNormalization", ["x", "g", "b"], ["y"], {"axis": axis, "epsilon": 0.1})]
    constants = {"g": normal(3, 4, seed=1), "b": normal(4, seed=2)}
    graph = agree(onnx_model(nodes, {"x": [2, 3, 4]}, ["y"], constants), {"x": normal(2, 3, 4)})
    assert ops(graph) == ["reshape", "layer_norm", "reshape"]
