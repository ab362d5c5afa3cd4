"""Convolutions, pools and resizing compute what onnxruntime computes, for any geometry; Python, YAML and ONNX agree."""

from __future__ import annotations

import re

import numpy as np
import onnxruntime
import pytest
from frontends.models import normal, onnx_model
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from intar.errors import GraphError
from intar.frontends import Builder
from intar.frontends.onnx_graph import import_onnx
from intar.frontends.yaml_graph import import_yaml
from intar.ir.ops import Op
from intar.ir.reference import run_float
from intar.ir.taskgraph import TaskGraph

PADS = st.lists(st.integers(0, 1), min_size=4, max_size=4)
PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))
WIDE_PADS = st.lists(st.integers(0, 3), min_size=4, max_size=4)
SEARCH = settings(max_examples=60, deadline=None, derandomize=True)


def agree(op: str, shape: tuple[int, ...], attrs: dict, constants: dict[str, np.ndarray]) -> TaskGraph:
    """One node on image x through onnxruntime and through the task graph."""
    model = onnx_model(
        [(op, ["x", *constants], ["y"], attrs)], {"x": list(shape)}, ["y"], constants, opset=20
    )
    model.ir_version = 9
    x = normal(*shape, seed=3)
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    graph = import_onnx(model)
    result = run_float(graph, {"x": x})["y"]
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)
    return graph


@SEARCH
@given(st.integers(1, 3), st.integers(1, 2), st.integers(1, 3), PAIR, PAIR, PAIR, WIDE_PADS, st.booleans())  # fmt: skip
def test_conv(groups, inner, outer, kernel, stride, dilation, pads, bias) -> None:
    shape = (2, groups * inner, 7, 6)
    attrs = {"strides": stride, "pads": pads, "dilations": dilation, "group": groups}
    constants = {"w": normal(groups * outer, inner, *kernel, seed=1)}
    if bias:
        constants["b"] = normal(groups * outer, seed=2)
    agree("Conv", shape, attrs, constants)


@SEARCH
@given(st.integers(1, 2), st.integers(1, 2), st.integers(1, 2), PAIR, PAIR, PAIR, PADS,
       st.tuples(st.integers(0, 2), st.integers(0, 2)))  # fmt: skip
def test_conv_transpose(groups, inner, outer, kernel, stride, dilation, pads, extra) -> None:
    assume(all(e < s for e, s in zip(extra, stride, strict=True)))
    attrs = {"strides": stride, "pads": pads, "dilations": dilation, "group": groups, "output_padding": extra}
    weight = {"w": normal(groups * inner, outer, *kernel, seed=1), "b": normal(groups * outer, seed=2)}
    agree("ConvTranspose", (1, groups * inner, 4, 5), attrs, weight)


@SEARCH
@given(st.sampled_from(["MaxPool", "AveragePool"]), PAIR, PAIR, PAIR, PADS, st.booleans(),
       st.booleans())  # fmt: skip
def test_pools(op, kernel, stride, dilation, pads, ceil, counted) -> None:
    assume(all(pads[a] < kernel[a % 2] for a in range(4)))
    attrs = {"kernel_shape": kernel, "strides": stride, "pads": pads, "ceil_mode": int(ceil)}
    if op == "MaxPool":
        attrs["dilations"] = dilation
    else:
        attrs["count_include_pad"] = int(counted)
    agree(op, (1, 2, 8, 7), attrs, {})


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding(auto_pad: str) -> None:
    attrs = {"auto_pad": auto_pad, "strides": [2, 3]}
    agree("Conv", (1, 2, 9, 8), attrs, {"w": normal(3, 2, 3, 4, seed=1)})
    agree("ConvTranspose", (1, 2, 5, 4), attrs, {"w": normal(2, 3, 3, 4, seed=1)})
    agree("MaxPool", (1, 2, 9, 8), {**attrs, "kernel_shape": [3, 4]}, {})


@pytest.mark.parametrize(
    ("transform", "rounding", "exact"),
    [
        ("asymmetric", "floor", True),
        ("half_pixel", "round_prefer_floor", True),
        ("half_pixel", "round_prefer_ceil", True),
        ("asymmetric", "ceil", False),
        ("align_corners", "floor", False),
        ("pytorch_half_pixel", "round_prefer_floor", True),
    ],
)
def test_resize_is_an_upsampling_where_it_repeats_elements(transform, rounding, exact) -> None:
    attrs = {"mode": "nearest", "coordinate_transformation_mode": transform, "nearest_mode": rounding}
    scales = np.array([1, 1, 2, 3], np.float32)
    model = onnx_model(
        [("Resize", ["x", "", "scales"], ["y"], attrs)],
        {"x": [1, 2, 3, 4]},
        ["y"],
        {"scales": scales},
        opset=13,
    )
    model.ir_version = 9
    x = normal(1, 2, 3, 4)
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    graph = import_onnx(model)
    ops = {task.op for task in graph.tasks}
    assert ops == ({Op.UPSAMPLE_NEAREST} if exact else {Op.SLICE, Op.CONCAT})
    assert np.array_equal(run_float(graph, {"x": x})["y"], expected)


def test_batch_normalisation_and_bias_join_the_convolution() -> None:
    for op, weight in (("Conv", normal(4, 1, 3, 3, seed=1)), ("ConvTranspose", normal(2, 2, 3, 3, seed=1))):
        constants = {"w": weight, "c": normal(4, 1, 1, seed=2), "s": normal(4, seed=3), "b": normal(4, seed=4),
                     "m": normal(4, seed=5), "v": np.abs(normal(4, seed=6)) + 0.1}  # fmt: skip
        nodes = [
            (op, ["x", "w"], ["a"], {"group": 2}),
            ("Add", ["a", "c"], ["d"]),
            ("BatchNormalization", ["d", "s", "b", "m", "v"], ["e"]),
            ("PRelu", ["e", "slope"], ["f"]),
            ("Clip", ["f", "low", "high"], ["y"]),
        ]
        constants |= {"slope": normal(4, 1, 1, seed=7), "low": np.float32(-1), "high": np.float32(6)}
        model = onnx_model(nodes, {"x": [1, 2, 5, 5]}, ["y"], constants, opset=15)
        model.ir_version = 9
        graph = import_onnx(model)
        assert [task.op.value for task in graph.tasks][1:] == ["prelu", "clip"]
        assert len(graph.tasks[0].inputs) == 3
        x = normal(1, 2, 5, 5)
        expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
        np.testing.assert_allclose(run_float(graph, {"x": x})["y"], expected, rtol=1e-4, atol=1e-5)


YAML = """
network: images
random: 3
inputs: {x: [1, 2, 9, 8]}
tasks:
  a: {conv2d: x, channels: 4, kernel: [3, 2], stride: 2, pads: [1, 0], groups: 2}
  b: {prelu: [a, slope]}
  c: {conv_transpose2d: b, channels: 3, kernel: 3, stride: [2, 1], output_padding: [1, 0], bias: false}
  d: {max_pool2d: c, kernel: 2, ceil: 1}
  e: {avg_pool2d: d, kernel: 2, stride: 1, pads: 1, count_include_pad: 1}
  f: {upsample_nearest: e, factors: [2, 1]}
  g: {clip: f, low: -1}
  h: {exp: g}
  i: {space_to_depth: h, block: 2}
  j: {global_max_pool: i}
outputs: [h, j]
constants: {slope: [0.1, 0.2, -0.3, 0.4]}
"""


def test_yaml_and_python_make_the_same_graph() -> None:
    read = import_yaml(YAML)
    g = Builder("images")
    x = g.input("x", (1, 2, 9, 8))
    weight = {name: read.constants[name] for name in read.constants}
    a = g.conv2d(x, weight["a_weight"], weight["a_bias"], stride=2, pads=(1, 0), groups=2)
    b = g.prelu(a, [0.1, 0.2, -0.3, 0.4])
    c = g.conv_transpose2d(b, weight["c_weight"], stride=(2, 1), output_padding=(1, 0))
    d = g.max_pool2d(c, 2, ceil=True)
    e = g.avg_pool2d(d, 2, stride=1, pads=1, count_include_pad=True)
    h = g.exp(g.clip(g.upsample_nearest(e, (2, 1)), low=-1))
    j = g.global_max_pool(g.space_to_depth(h, 2))
    g.output(h, j)
    built = g.build()
    assert [(t.op, t.attrs) for t in built.tasks] == [(t.op, t.attrs) for t in read.tasks]
    image = normal(1, 2, 9, 8)
    for one, two in zip(
        run_float(read, {"x": image}).values(), run_float(built, {"x": image}).values(), strict=True
    ):
        assert np.array_equal(one, two)
    assert read.macs()["a"] == 4 * 5 * 4 * 6 and built.macs()["conv_transpose2d_1"] == 4 * 5 * 4 * 27


def test_depth_to_space_undoes_space_to_depth() -> None:
    g = Builder("t")
    x = g.input("x", (1, 3, 5, 7))
    g.output(g.depth_to_space(g.space_to_depth(x, (2, 3)), (2, 3), (5, 7), name="y"))
    image = normal(1, 3, 5, 7)
    assert np.array_equal(run_float(g.build(), {"x": image})["y"], image)


def test_wrong_windows_are_listed_together(golden) -> None:
    g = Builder("t")
    x = g.input("x", (1, 3, 4, 4))
    g.conv2d(x, np.ones((2, 2, 3, 3)))
    g.conv2d(x, np.ones((2, 3, 5, 5)), np.ones(3))
    g.conv2d(x, np.ones((2, 3, 6, 6)))
    g.max_pool2d(x, 2, stride=0)
    g.max_pool2d(x, 2, pads=2)
    g.conv_transpose2d(x, np.ones((2, 2, 3, 3)), pads=(1, 1, 1))
    g.upsample_nearest(g.reshape(x, (3, 16)), 2)
    g.clip(x, 1, 0)
    g.output(g.prelu(x, [1.0, 2.0]))
    with pytest.raises(GraphError) as caught:
        g.build()
    golden("image_shapes", re.sub(r"\.py:\d+", ".py", str(caught.value)))
