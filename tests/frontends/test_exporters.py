"""What exporters leave in a model that is not the network: signals without a height, branches on shapes, inputs that
only choose one of them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from frontends.models import normal, onnx_model
from onnx import TensorProto, helper

from intar.errors import GraphError, UnsupportedError
from intar.frontends.onnx_graph import import_onnx
from intar.ir.ops import Op
from intar.ir.reference import run_float
from intar.options import parse_values
from intar.quant.golden import quantise_input
from intar.quant.quantise import quantise
from intar.quant.scheme import scheme


def runs_alike(model: onnx.ModelProto, inputs: dict[str, np.ndarray], **given: object) -> None:
    """The import computes what onnxruntime computes; `given` is what the importer takes beside the model."""
    bound = {name: np.asarray(value) for name, value in given.get("values", {}).items()}  # type: ignore[attr-defined]
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {**inputs, **bound})
    graph = import_onnx(model, **given)  # type: ignore[arg-type]
    found = run_float(graph, inputs)
    for name, wanted in zip(graph.outputs, expected, strict=True):
        assert found[name].shape == wanted.shape
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-5)


def test_signals_are_images_of_one_row() -> None:
    """Convolution, its transpose, pools and padding of (batch, channels, length)."""
    nodes = [
        ("Pad", ["x", "around"], ["p"]),
        ("Conv", ["p", "w", "b"], ["c"], {"strides": [2], "dilations": [2], "pads": [1, 2], "group": 2}),
        ("MaxPool", ["c"], ["m"], {"kernel_shape": [3], "strides": [2], "auto_pad": "SAME_UPPER"}),
        ("ConvTranspose", ["m", "t"], ["u"], {"strides": [2], "pads": [1, 0], "output_padding": [1]}),
        ("AveragePool", ["u"], ["y"], {"kernel_shape": [2], "pads": [1, 0], "count_include_pad": 1}),
        ("GlobalAveragePool", ["u"], ["g"]),
    ]
    constants = {"w": normal(6, 2, 3), "b": normal(6, seed=1), "t": normal(6, 3, 4, seed=2)}
    constants["around"] = np.array([0, 0, 3, 0, 0, 1])
    runs_alike(onnx_model(nodes, {"x": [1, 4, 21]}, ["y", "g"], constants, opset=20), {"x": normal(1, 4, 21)})


def branch(name: str, nodes: list, result: str, constants: dict[str, np.ndarray] | None = None):  # type: ignore[no-untyped-def]
    return helper.make_graph(
        [helper.make_node(op, ins, outs) for op, ins, outs in nodes],
        name,
        [],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(array, each) for each, array in (constants or {}).items()],
    )


def rated() -> onnx.ModelProto:
    """A network for each of two rates, and behind it a rank that the exporter asked for; both branches use one name."""
    nodes = [
        ("Equal", ["rate", "wide"], ["is_wide"]),
        (
            "If",
            ["is_wide"],
            ["h"],
            {
                "then_branch": branch("wide", [("MatMul", ["x", "w"], ["t"])], "t", {"w": normal(4, 3)}),
                "else_branch": branch("low", [("Relu", ["x"], ["t"])], "t"),
            },
        ),
        ("Shape", ["h"], ["size"]),
        ("Gather", ["size", "last"], ["length"]),
        ("Equal", ["length", "three"], ["is_three"]),
        (
            "If",
            ["is_three"],
            ["y"],
            {
                "then_branch": branch("three", [("Tanh", ["h"], ["t"])], "t"),
                "else_branch": branch("other", [("Identity", ["h"], ["t"])], "t"),
            },
        ),
    ]
    constants = {"wide": np.array(16000), "last": np.array(1), "three": np.array(3)}
    return onnx_model(
        nodes, {"x": [1, 4], "rate": []}, ["y"], constants, opset=20, types={"rate": TensorProto.INT64}
    )


@pytest.mark.parametrize("rate", [16000, 8000])
def test_a_known_condition_takes_its_branch(rate: int) -> None:
    runs_alike(rated(), {"x": normal(1, 4)}, values={"rate": np.array(rate)})


def test_an_input_that_only_chooses_a_branch_can_be_made_constant(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnsupportedError, match="--value rate=NUMBER"):
        import_onnx(rated())
    with pytest.raises(UnsupportedError, match="did you mean 'rate'"):
        import_onnx(rated(), values={"rats": 1})
    np.save(tmp_path / "rate.npy", np.array(8000))
    for text in ("rate=8000", f"rate={tmp_path / 'rate.npy'}"):
        assert [task.op for task in import_onnx(rated(), values=parse_values([text])).tasks] == ["relu"]


def lookup(table: np.ndarray) -> tuple[list, dict[str, np.ndarray]]:
    """Ids, one-hot as JAX spells it, times a table."""
    nodes = [
        ("Reshape", ["ids", "column"], ["c"]),
        ("Equal", ["c", "numbers"], ["same"]),
        ("Cast", ["same"], ["hot"], {"to": TensorProto.FLOAT}),
        ("MatMul", ["hot", "w"], ["rows"]),
    ]
    numbers = np.arange(len(table)).reshape(1, 1, -1)
    return nodes, {"column": np.array([-1, 5, 1]), "numbers": numbers, "w": table}


def test_one_hot_ids_times_a_matrix_are_a_lookup() -> None:
    nodes, constants = lookup(normal(7, 4))
    model = onnx_model(
        nodes, {"ids": [1, 5]}, ["rows"], constants, opset=20, types={"ids": TensorProto.INT64}
    )
    runs_alike(model, {"ids": np.array([[0, 6, 3, 3, 1]], np.int64)})
    assert [task.op for task in import_onnx(model).tasks] == [Op.EMBEDDING]


def test_comparisons_and_choices_on_activations() -> None:
    """The quotient that is 0 where the divisor is; not, and, or; an activation that is repeated before a move."""
    nodes = [
        ("Equal", ["x", "zero"], ["none"]),
        ("Greater", ["x", "one"], ["large"]),
        ("Not", ["none"], ["some"]),
        ("And", ["some", "large"], ["both"]),
        ("Or", ["none", "large"], ["either"]),
        ("Cast", ["both"], ["b"], {"to": TensorProto.FLOAT}),
        ("Where", ["either", "x", "b"], ["w"]),
        ("Slice", ["w", "from", "to", "axis"], ["first"]),
        ("Expand", ["first", "wide"], ["e"]),
        ("Concat", ["e", "w"], ["y"], {"axis": 1}),
    ]
    constants = {"zero": np.float32(0), "one": np.float32(1), "wide": np.array([2, 3])}
    constants |= {"from": np.array([0]), "to": np.array([1]), "axis": np.array([1])}
    x = np.array([[0, 1, 2], [-1, 0.5, 3]], np.float32)
    runs_alike(onnx_model(nodes, {"x": [2, 3]}, ["y"], constants, opset=20), {"x": x})


def test_a_long_run_backwards_is_one_product() -> None:
    """What reflection puts at the end of a signal: not a move for each element."""
    model = onnx_model(
        [("Pad", ["x", "p"], ["y"], {"mode": "reflect"})],
        {"x": [1, 40]},
        ["y"],
        {"p": np.array([0, 2, 0, 32])},
    )
    runs_alike(model, {"x": normal(1, 40)})
    tasks = [task.op for task in import_onnx(model).tasks]
    assert tasks == [Op.SLICE, Op.SLICE, Op.SLICE, Op.MATMUL, Op.CONCAT]


def test_sizes_are_the_only_finding_where_shapes_are_computed() -> None:
    """Operators on the shape of a dynamic input are not what is missing."""
    nodes = [("Shape", ["x"], ["s"]), ("ConstantOfShape", ["s"], ["z"]), ("Add", ["x", "z"], ["y"])]
    model = onnx_model(nodes, {"x": ["batch", 4]}, ["y"])
    with pytest.raises(GraphError) as caught:
        import_onnx(model)
    assert [finding.what for finding in caught.value.findings] == ["axis 0 ('batch') is dynamic"]
    assert len(import_onnx(model, {"batch": 1}).tasks) == 1


def test_sizes_without_a_name_of_their_own_are_given_as_a_shape() -> None:
    """Paddle calls every dynamic axis ``?``."""
    model = onnx_model([("Relu", ["x"], ["y"])], {"x": [1, "?", "?"]}, ["y"])
    with pytest.raises(GraphError, match=r"--shape x=1x1x1, or"):
        import_onnx(model)


ML = {"domain": "ai.onnx.ml"}


def learned(labels: list[int]) -> onnx.ModelProto:
    """What skl2onnx writes of a scaler, a network's hidden layer and a logistic regression behind it."""
    rng = np.random.default_rng(0)
    weights = [float(n) for n in rng.standard_normal(15)]
    linear = {"coefficients": weights, "intercepts": [0.3, 0.0, -0.2], "post_transform": "LOGISTIC"}
    nodes: list = [
        ("Scaler", ["x"], ["scaled"], {**ML, "offset": [0.1, 0.2, 0.3, 0.4], "scale": [2.0, 1.0, 0.5, 1.5]}),
        ("MatMul", ["scaled", "w"], ["product"]),
        ("Relu", ["product"], ["hidden"]),
        ("LinearClassifier", ["hidden"], ["first", "scores"], {**ML, **linear, "classlabels_ints": labels}),
        ("Normalizer", ["scores"], ["probabilities"], {**ML, "norm": "L1"}),
        ("LinearRegressor", ["hidden"], ["price"], {**ML, "coefficients": weights[:5], "intercepts": [1.5]}),
        ("ArgMax", ["probabilities"], ["at"], {"axis": 1}),
        ("ArrayFeatureExtractor", ["classes", "at"], ["found"], ML),
        ("Cast", ["found"], ["kind"], {"to": TensorProto.INT64}),
        ("Reshape", ["kind", "flat"], ["label"]),
    ]
    constants = {"w": normal(4, 5, seed=1), "classes": np.asarray(labels), "flat": np.asarray([-1])}
    types = {"first": TensorProto.INT64, "label": TensorProto.INT64}
    outputs = ["first", "probabilities", "price", "label"]
    return onnx_model(nodes, {"x": [1, 4]}, outputs, constants, opset=15, domains=["ai.onnx.ml"], types=types)


def test_what_scikit_learn_learned() -> None:
    for seed in range(4):
        runs_alike(learned([0, 1, 2]), {"x": normal(1, 4, seed=seed)})


def test_labels_that_are_no_indices() -> None:
    """Every place that makes labels, and the dictionaries that skl2onnx makes unless it is told not to."""
    model = learned([3, 5, 8])
    model.graph.node.append(
        onnx.helper.make_node(
            "ZipMap", ["probabilities"], ["map"], domain="ai.onnx.ml", classlabels_int64s=[3, 5, 8]
        )
    )
    model.graph.output.append(onnx.helper.make_tensor_value_info("map", TensorProto.FLOAT, None))
    with pytest.raises(UnsupportedError) as caught:
        import_onnx(model)
    places = [found.where.split(" ")[0] for found in caught.value.findings]
    assert places == ["LinearClassifier", "ArrayFeatureExtractor", "ZipMap"]
    assert all(found.why and found.hint for found in caught.value.findings)


def test_bytes_of_an_image() -> None:
    """A Cast is all that TensorFlow and others have between an image's bytes and real numbers."""
    nodes = [
        ("Cast", ["x"], ["real"], {"to": TensorProto.FLOAT}),
        ("Sub", ["real", "mean"], ["centred"]),
        ("Mul", ["centred", "factor"], ["scaled"]),
        ("Conv", ["scaled", "w"], ["c"]),
        ("ThresholdedRelu", ["c"], ["t"], {"alpha": 0.3}),
        ("GlobalAveragePool", ["t"], ["y"]),
    ]
    constants = {"mean": np.full((3, 1, 1), 127.5, np.float32), "factor": np.float32(1 / 127.5)}
    constants["w"] = normal(4, 3, 3, 3, scale=0.3)
    model = onnx_model(nodes, {"x": [1, 3, 6, 6]}, ["y"], constants, types={"x": TensorProto.UINT8})
    images = np.random.default_rng(0).integers(0, 256, (8, 3, 6, 6)).astype(np.uint8)
    runs_alike(model, {"x": images[:1]})
    made = quantise(import_onnx(model), scheme("w8a8"), {"x": images})
    assert np.array_equal(quantise_input(made.graph.tensor("x"), images[:1]), images[:1].astype(int) - 128)
