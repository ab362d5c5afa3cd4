"""Imported ONNX models compute what onnxruntime and ONNX's own reference compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from frontends.models import mlp, normal, onnx_model
from onnx.reference import ReferenceEvaluator
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from intar.frontends import load_model
from intar.frontends.onnx_graph import import_onnx
from intar.ir.ops import Op
from intar.ir.reference import KERNELS, quantise, run_float
from intar.ir.taskgraph import TaskGraph


def agree(model: onnx.ModelProto, inputs: dict[str, np.ndarray], atol: float = 1e-5) -> TaskGraph:
    graph = import_onnx(model)
    expected = ReferenceEvaluator(model).run(None, inputs)
    results = run_float(graph, inputs)
    for name, wanted in zip(graph.outputs, expected, strict=True):
        assert results[name].shape == wanted.shape
        np.testing.assert_allclose(results[name], wanted, rtol=1e-5, atol=atol)
    return graph


def ops(graph: TaskGraph) -> list[str]:
    return [task.op.value for task in graph.tasks]


def test_mlp_merges_biases_and_finds_silu() -> None:
    graph = agree(mlp(), {"x": normal(4, 16, seed=9)})
    assert ops(graph) == ["matmul", "relu", "matmul", "silu", "add", "matmul"]
    assert all(len(task.inputs) == 3 for task in graph.tasks if task.op is Op.MATMUL)
    assert graph.macs()["fc2"] == 4 * 32 * 32 and sum(graph.macs().values()) == 7424
    assert graph.inputs == ("x",) and graph.outputs == ("logits",)


def test_attention_takes_transposes_and_scale_in() -> None:
    """Two heads as PyTorch exports them: reshapes, transposes, a scale on both factors."""
    nodes = [("MatMul", ["x", f"w{i}"], [f"{i}"]) for i in "qkv"]
    for i, perm in (("q", (0, 2, 1, 3)), ("k", (0, 2, 3, 1)), ("v", (0, 2, 1, 3))):
        nodes += [("Reshape", [i, "split"], [f"{i}s"]), ("Transpose", [f"{i}s"], [f"{i}h"], {"perm": perm})]
    nodes += [
        ("MatMul", ["qh", "kh"], ["s"]),
        ("Div", ["s", "root"], ["d"]),
        ("Softmax", ["d"], ["p"], {"axis": -1}),
        ("MatMul", ["p", "vh"], ["o"]),
        ("Transpose", ["o"], ["t"], {"perm": (0, 2, 1, 3)}),
        ("Reshape", ["t", "join"], ["y"]),
    ]
    constants: dict[str, np.ndarray] = {f"w{i}": normal(8, 8, seed=n) for n, i in enumerate("qkv")}
    constants |= {"split": np.array([1, 5, 2, 4]), "join": np.array([1, 5, 8]), "root": np.float32(2)}
    graph = agree(onnx_model(nodes, {"x": [1, 5, 8]}, ["y"], constants), {"x": normal(1, 5, 8, seed=9)})
    scores, weighted = (task for task in graph.tasks if task.op is Op.PRODUCT)
    assert (scores.attrs["transposed"], weighted.attrs["transposed"]) == ("second", "none")
    perms = [task.attrs["perm"] for task in graph.tasks if task.op is Op.TRANSPOSE]
    assert perms == [(0, 2, 1, 3)] * 4, "rows stay whole"


@pytest.mark.parametrize(("opset", "axis"), [(11, 1), (11, 2), (17, -1), (17, 0), (17, 1)])
def test_softmax_of_any_axis(opset: int, axis: int) -> None:
    """Before operator set 13: over all axes from `axis` on together (onnxruntime knows it, ONNX's reference does not)."""
    model = onnx_model([("Softmax", ["x"], ["y"], {"axis": axis})], {"x": [2, 3, 4]}, ["y"], opset=opset)
    model.ir_version = 7
    x = normal(2, 3, 4)
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(run_float(import_onnx(model), {"x": x})["y"], expected, atol=1e-6)


NORM = {"axis": np.array([-1]), "two": np.float32(2), "one": np.float32(1), "eps": np.float32(0.01)}
NORM |= {"half": np.float32(0.5), "minus": np.float32(-0.5), "g": normal(8, seed=1), "b": normal(8, seed=2)}
CENTRE = [("ReduceMean", ["x", "axis"], ["m"]), ("Sub", ["x", "m"], ["c"])]


def spread(x: str, square: tuple) -> list:
    """Mean square plus epsilon of `x`."""
    mean = ("ReduceMean", ["s", "axis"], ["v"])
    return [square, mean, ("Add", ["eps", "v"], ["e"])]


@pytest.mark.parametrize(
    "root",
    [
        [("Sqrt", ["e"], ["r"]), ("Div", ["X", "r"], ["z"])],
        [("Pow", ["e", "half"], ["r"]), ("Reciprocal", ["r"], ["i"]), ("Mul", ["i", "X"], ["z"])],
        [("Sqrt", ["e"], ["r"]), ("Div", ["one", "r"], ["i"]), ("Mul", ["X", "i"], ["z"])],
        [("Pow", ["e", "minus"], ["i"]), ("Mul", ["X", "i"], ["z"])],
    ],
)
@pytest.mark.parametrize("square", [("Pow", ["X", "two"], ["s"]), ("Mul", ["X", "X"], ["s"])])
@pytest.mark.parametrize("centred", [True, False])
def test_normalisations_spelled_out_are_found(root: list, square: tuple, centred: bool) -> None:
    tail = [("Mul", ["g", "z"], ["zg"]), ("Add", ["zg", "b"], ["y"])]
    body = [*spread("X", square), *root]
    x = "c" if centred else "x"
    named = [(op, [x if name == "X" else name for name in ins], outs) for op, ins, outs in body]
    model = onnx_model([*(CENTRE if centred else []), *named, *tail], {"x": [2, 3, 8]}, ["y"], NORM)
    graph = agree(model, {"x": normal(2, 3, 8, seed=5)})
    assert ops(graph) == (["layer_norm"] if centred else ["rms_norm", "add"])
    assert graph.tasks[0].attrs["epsilon"] == pytest.approx(0.01)


def test_normalisation_operators() -> None:
    nodes = [
        ("LayerNormalization", ["x", "g", "b"], ["l"], {"epsilon": 0.1}),
        ("LayerNormalization", ["l", "g"], ["n"], {"axis": 2}),
        ("RMSNormalization", ["n", "g"], ["y"], {"epsilon": 0.2}),
    ]
    graph = agree(onnx_model(nodes, {"x": [2, 3, 8]}, ["y"], NORM, opset=23), {"x": normal(2, 3, 8, seed=5)})
    assert ops(graph) == ["layer_norm", "layer_norm", "rms_norm"]


@pytest.mark.parametrize("mask", ["Add", "Where", "Not"])
def test_masks_go_into_the_softmax(mask: str) -> None:
    keep = np.tril(np.ones((5, 7), bool), 2)
    constants: dict[str, np.ndarray] = {"low": np.float32(-1e9), "keep": keep, "hide": ~keep}
    constants["added"] = np.where(keep, np.float32(0), np.float32(-np.inf))
    node = {
        "Add": ("Add", ["added", "x"], ["a"]),
        "Where": ("Where", ["keep", "x", "low"], ["a"]),
        "Not": ("Where", ["hide", "low", "x"], ["a"]),
    }[mask]
    model = onnx_model([node, ("Softmax", ["a"], ["y"])], {"x": [2, 5, 7]}, ["y"], constants)
    graph = agree(model, {"x": normal(2, 5, 7)})
    assert ops(graph) == ["softmax"] and len(graph.tasks[0].inputs) == 2


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_gelu_spelled_out_is_found(approximate: str, order: int) -> None:
    if approximate == "none":
        phi = [("Div", ["x", "sqrt2"], ["t"]), ("Erf", ["t"], ["e"]), ("Add", ["one", "e"], ["phi"])]
    else:
        phi = [
            ("Pow", ["x", "three"], ["c"]),
            ("Mul", ["c", "k"], ["ck"]),
            ("Add", ["x", "ck"], ["i"]),
            ("Mul", ["i", "root"], ["t"]),
            ("Tanh", ["t"], ["e"]),
            ("Add", ["e", "one"], ["phi"]),
        ]
    ends = [
        [("Mul", ["x", "phi"], ["m"]), ("Mul", ["m", "half"], ["y"])],
        [("Mul", ["half", "x"], ["m"]), ("Mul", ["m", "phi"], ["y"])],
        [("Mul", ["phi", "half"], ["m"]), ("Mul", ["x", "m"], ["y"])],
    ]
    numbers = {"sqrt2": 2**0.5, "one": 1, "three": 3, "k": 0.044715, "root": (2 / np.pi) ** 0.5, "half": 0.5}
    constants = {name: np.float32(value) for name, value in numbers.items()}
    model = onnx_model([*phi, *ends[order]], {"x": [2, 8]}, ["y"], constants)
    graph = agree(model, {"x": normal(2, 8, scale=3)})
    assert ops(graph) == ["gelu"] and graph.tasks[0].attrs == {"approximate": approximate}


def test_hardswish_by_clip_is_found() -> None:
    nodes = [
        ("Add", ["x", "three"], ["a"]),
        ("Clip", ["a", "zero", "six"], ["c"]),
        ("Mul", ["x", "c"], ["m"]),
        ("Div", ["m", "six"], ["y"]),
    ]
    constants = {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)}
    assert ops(agree(onnx_model(nodes, {"x": [2, 8]}, ["y"], constants), {"x": normal(2, 8, scale=4)})) == [
        "hardswish"
    ]


def test_a_sigmoid_that_others_read_stays() -> None:
    nodes = [("Sigmoid", ["x"], ["s"]), ("Mul", ["x", "s"], ["y"]), ("Neg", ["s"], ["z"])]
    assert ops(agree(onnx_model(nodes, {"x": [2, 3]}, ["y", "z"]), {"x": normal(2, 3)})) == [
        "sigmoid",
        "silu",
        "mul",
    ]


def batch_norm(width: int) -> dict[str, np.ndarray]:
    return {
        "g": normal(width, seed=1) + 2,
        "b": normal(width, seed=2),
        "m": normal(width, seed=3),
        "v": np.abs(normal(width, seed=4)) + 0.5,
    }


def test_batch_norm_folds_into_the_matmul() -> None:
    nodes = [("Gemm", ["x", "w", "c"], ["h"]), ("BatchNormalization", ["h", "g", "b", "m", "v"], ["y"])]
    constants = {"w": normal(8, 6), "c": normal(6), **batch_norm(6)}
    graph = agree(onnx_model(nodes, {"x": [3, 8]}, ["y"], constants), {"x": normal(3, 8)})
    assert ops(graph) == ["matmul"]


def test_batch_norm_alone_is_a_scale_and_shift() -> None:
    nodes = [("BatchNormalization", ["x", "g", "b", "m", "v"], ["y"], {"epsilon": 0.01})]
    graph = agree(onnx_model(nodes, {"x": [2, 5, 4]}, ["y"], batch_norm(5)), {"x": normal(2, 5, 4)})
    assert ops(graph) == ["scale_shift"] and graph.tasks[0].attrs == {"axis": 1}


def test_batch_norm_does_not_fold_when_the_matmul_has_another_reader() -> None:
    nodes = [
        ("MatMul", ["x", "w"], ["h"]),
        ("BatchNormalization", ["h", "g", "b", "m", "v"], ["n"]),
        ("Add", ["n", "h"], ["y"]),
    ]
    constants = {"w": normal(8, 6), **batch_norm(6)}
    graph = agree(onnx_model(nodes, {"x": [3, 8]}, ["y"], constants), {"x": normal(3, 8)})
    assert ops(graph) == ["matmul", "scale_shift", "add"]


def test_gemm_with_all_its_attributes() -> None:
    attrs = {"alpha": 0.5, "beta": -2.0, "transA": 1, "transB": 1}
    nodes = [("Gemm", ["x", "w", "c"], ["y"], attrs)]
    constants = {"w": normal(6, 8), "c": normal(3, 1, seed=1)}
    graph = agree(onnx_model(nodes, {"x": [8, 3]}, ["y"], constants), {"x": normal(8, 3)})
    assert ops(graph) == ["transpose", "matmul", "add"]


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_matmul_with_either_operand_constant(left: bool, rank: int) -> None:
    x_shape = [8, 8, 8][-rank:]
    nodes = [("MatMul", ["w", "x"] if left else ["x", "w"], ["y"])]
    agree(onnx_model(nodes, {"x": x_shape}, ["y"], {"w": normal(8, 8)}), {"x": normal(*x_shape)}, atol=1e-4)


def test_shape_arithmetic_vanishes() -> None:
    nodes = [
        ("Shape", ["x"], ["s"]),
        ("Gather", ["s", "zero"], ["n"], {"axis": 0}),
        ("Unsqueeze", ["n", "axes"], ["n1"]),
        ("Concat", ["n1", "minus"], ["shape"], {"axis": 0}),
        ("Reshape", ["x", "shape"], ["y"]),
    ]
    constants = {"zero": np.int64(0), "axes": np.array([0]), "minus": np.array([-1])}
    graph = agree(onnx_model(nodes, {"x": [2, 3, 4]}, ["y"], constants), {"x": normal(2, 3, 4)})
    assert ops(graph) == ["reshape"] and graph.tensor("y").shape == (2, 12)


def test_split_becomes_slices_and_slice_takes_several_axes() -> None:
    nodes = [
        ("Split", ["x"], ["a", "b", "c"], {"axis": 1, "num_outputs": 3}),
        ("Slice", ["x", "starts", "ends", "axes"], ["d"]),
    ]
    constants = {"starts": np.array([1, -3]), "ends": np.array([9, -1]), "axes": np.array([0, 1])}
    graph = agree(onnx_model(nodes, {"x": [3, 7]}, list("abcd"), constants), {"x": normal(3, 7)})
    assert ops(graph) == ["slice"] * 5


def test_an_output_that_is_an_input_is_copied() -> None:
    nodes = [("Identity", ["x"], ["y"]), ("Relu", ["x"], ["z"]), ("Identity", ["z"], ["z2"])]
    graph = agree(onnx_model(nodes, {"x": [2, 3]}, ["y", "z", "z2"]), {"x": normal(2, 3)})
    assert ops(graph) == ["reshape", "relu", "reshape"] or sorted(ops(graph)) == [
        "relu",
        "reshape",
        "reshape",
    ]


def test_names_are_made_safe_and_kept_as_source() -> None:
    nodes = [
        ("Relu", ['"; rm -rf'], ["module"], {"name": "//relu 1"}),
        ("Tanh", ["module"], ["Ünïcode/出力"]),
    ]
    graph = import_onnx(onnx_model(nodes, {'"; rm -rf': [1, 4]}, ["Ünïcode/出力"]))
    assert [tensor.name for tensor in graph.tensors] == ["rm_rf", "module_x", "unicode"]
    assert graph.tensors[0].source == '"; rm -rf' and graph.tasks[0].name == "relu_1"
    assert run_float(graph, {'"; rm -rf': np.ones((1, 4))})["unicode"] == pytest.approx(
        np.tanh(np.ones((1, 4)))
    )


class Samples(CalibrationDataReader):
    def __init__(self) -> None:
        self.samples = iter(
            [{"x": normal(4, 16, seed=seed)} for _, seed in zip(range(8), range(100, 108), strict=True)]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.samples, None)


def quantised(
    folder: Path, form: QuantFormat, activation: QuantType, weight: QuantType, per_channel: bool
) -> Path:
    onnx.save(mlp(), folder / "float.onnx")
    quantize_static(
        folder / "float.onnx",
        folder / "quantised.onnx",
        Samples(),
        quant_format=form,
        activation_type=activation,
        weight_type=weight,
        per_channel=per_channel,
    )
    return folder / "quantised.onnx"


def session(model: bytes) -> onnxruntime.InferenceSession:
    """Without fusions, which compute some things in another precision."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options)


@pytest.mark.parametrize(
    ("activation", "weight", "per_channel"),
    [
        (QuantType.QInt8, QuantType.QInt8, True),
        (QuantType.QUInt8, QuantType.QInt8, False),
        (QuantType.QUInt8, QuantType.QUInt8, False),
    ],
)
def test_8_bit_qdq_models_give_the_integers_of_onnxruntime(
    tmp_path: Path, activation: QuantType, weight: QuantType, per_channel: bool
) -> None:
    path = quantised(tmp_path, QuantFormat.QDQ, activation, weight, per_channel)
    graph, runtime = load_model(path), session(path.read_bytes())
    quant = graph.tensor("logits").quant
    assert quant is not None and quant.bits == 8 and quant.signed == (activation is QuantType.QInt8)
    assert ops(graph) == ["matmul", "matmul", "add", "sigmoid", "mul", "add", "matmul"]
    weights = [graph.tensor(task.inputs[1]) for task in graph.tasks if task.op is Op.MATMUL]
    assert all(graph.constants[tensor.name].dtype.itemsize == 1 for tensor in weights)
    assert all((tensor.quant.axis == 1) == per_channel for tensor in weights if tensor.quant)
    for seed in range(50):
        x = normal(4, 16, seed=seed)
        steps = (run_float(graph, {"x": x})["logits"] - runtime.run(None, {"x": x})[0]) / quant.scale
        assert np.abs(steps).max() < 1e-3


@pytest.mark.parametrize(
    ("form", "activation", "near"),
    [
        (QuantFormat.QOperator, QuantType.QInt8, 1e-6),
        (QuantFormat.QOperator, QuantType.QUInt8, 1e-6),
        (QuantFormat.QDQ, QuantType.QInt16, 1e-2),
    ],
)
def test_other_forms_differ_from_onnxruntime_only_where_it_rounds_a_tie_in_single_precision(
    tmp_path: Path, form: QuantFormat, activation: QuantType, near: float
) -> None:
    """onnxruntime's QLinearAdd and int16 grids round float32 results; the exact value there is a half integer."""
    path = quantised(tmp_path, form, activation, QuantType.QInt8, False)
    graph, model = load_model(path), onnx.load(path)
    kind = {QuantType.QUInt8: 2, QuantType.QInt8: 3, QuantType.QInt16: 5}[activation]
    made = [node.output[0] for node in model.graph.node if node.op_type.startswith("Q")]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, kind, None) for name in made)
    runtime = session(model.SerializeToString())
    names = [output.name for output in runtime.get_outputs()]
    pairs = list(zip([*graph.inputs, *(task.output for task in graph.tasks)], made, strict=True))
    for seed in range(50):
        inputs = {"x": normal(4, 16, seed=seed)}
        theirs = dict(zip(names, runtime.run(None, inputs), strict=True))
        ours = run_float(graph, inputs, every_tensor=True)
        values = {**{name: graph.constant(name) for name in graph.constants}, **ours}
        for name, integers in pairs:
            quant, task = graph.tensor(name).quant, graph.producer(name)
            assert quant is not None
            wrong = quantise(ours[name], quant) != theirs[integers].reshape(ours[name].shape)
            if wrong.any():  # what follows is computed from other integers
                sources = [] if task is None else [values[each] for each in task.inputs]
                real = inputs[name] if task is None else KERNELS[task.op](sources, task.attrs)
                exact = real.astype(np.float64)[wrong] / quant.scale
                np.testing.assert_allclose(np.abs(exact - np.floor(exact) - 0.5), 0, atol=near)
                break


def qdq(name: str, target: str, scale: str = "s", zero: str = "z") -> list:
    return [
        ("QuantizeLinear", [name, scale, zero], [f"{target}_q"]),
        ("DequantizeLinear", [f"{target}_q", scale, zero], [target]),
    ]


def test_a_tensor_read_both_on_and_off_the_grid_gets_a_copy() -> None:
    nodes = [("Relu", ["x"], ["a"]), *qdq("a", "b"), ("Tanh", ["b"], ["c"]), ("Add", ["a", "c"], ["y"])]
    constants = {"s": np.float32(0.1), "z": np.int8(3)}
    graph = agree(onnx_model(nodes, {"x": [2, 8]}, ["y"], constants), {"x": normal(2, 8)})
    assert ops(graph) == ["relu", "scale_shift", "tanh", "add"]
    assert graph.tensor("a").quant is None and graph.tensor("b").quant is not None


def test_a_tensor_read_only_on_the_grid_takes_it() -> None:
    nodes = [("Relu", ["x"], ["a"]), *qdq("a", "b"), *qdq("a", "b2"), ("Add", ["b", "b2"], ["y"])]
    constants = {"s": np.float32(0.1), "z": np.uint8(3)}
    graph = agree(onnx_model(nodes, {"x": [2, 8]}, ["y"], constants), {"x": normal(2, 8)})
    quant = graph.tensor("a").quant
    assert ops(graph) == ["relu", "add"] and quant is not None
    assert (quant.bits, quant.signed, quant.zero_point) == (8, False, 3)


def test_int4_weights_keep_their_integers() -> None:
    integers = onnx.helper.make_tensor("w", onnx.TensorProto.INT4, [4, 2], [-8, 7, 1, 0, -1, 2, 3, -4])
    model = onnx_model(
        [("DequantizeLinear", ["w", "s"], ["wf"], {"axis": 1}), ("MatMul", ["x", "wf"], ["y"])],
        {"x": [1, 4]},
        ["y"],
        {"s": np.array([0.5, 0.25], np.float32)},
    )
    model.graph.initializer.append(integers)
    graph = import_onnx(model)
    weight = graph.tasks[0].inputs[1]
    assert graph.constants[weight].tolist() == [[-8, 7], [1, 0], [-1, 2], [3, -4]]
    assert graph.tensor(weight).quant.bits == 4 and graph.tensor(weight).quant.scale == (0.5, 0.25)
    assert run_float(graph, {"x": np.ones((1, 4))})["y"].tolist() == [[-2.5, 1.25]]


def test_dynamic_axes_are_bound_by_symbol_or_by_input() -> None:
    assert import_onnx(mlp("batch"), shapes={"batch": 2}).tensor("logits").shape == (2, 10)
    assert import_onnx(mlp("batch"), shapes={"x": (3, 16)}).tensor("logits").shape == (3, 10)


def test_importing_twice_gives_the_same_digest() -> None:
    assert import_onnx(mlp()).digest() == import_onnx(mlp()).digest()


def test_softmax_guarded_against_nan() -> None:
    """As PyTorch's exporter writes attention: rows that a mask hides altogether would be no numbers, and become 0."""
    nodes = [
        ("Softmax", ["x"], ["s"]),
        ("IsNaN", ["s"], ["nan"]),
        ("Where", ["nan", "zero", "s"], ["y"]),
    ]
    model = onnx_model(nodes, {"x": [2, 3, 5]}, ["y"], {"zero": np.float32(0)})
    assert ops(agree(model, {"x": normal(2, 3, 5)})) == ["softmax"]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        *(
            [(1, 4, 8, 6), (1, 1, 6, 5)],
            [(1, 4, 8, 6), (6, 5)],
            [(8, 6), (3, 6, 5)],
            [(2, 1, 8, 6), (3, 6, 5)],
        ),
        *([(6,), (6, 5)], [(4, 6), (6,)], [(2, 4, 6), (6,)], [(6,), (2, 6, 3)], [(6,), (6,)]),
    ],
)
@pytest.mark.parametrize("constant", ["", "a", "b"])
def test_products_of_other_leading_axes(a: tuple[int, ...], b: tuple[int, ...], constant: str) -> None:
    given = {"a": (a, normal(*a)), "b": (b, normal(*b, seed=1))}
    constants = {name: array for name, (_, array) in given.items() if name == constant}
    inputs = {name: shape for name, (shape, _) in given.items() if name != constant}
    model = onnx_model([("MatMul", ["a", "b"], ["y"])], inputs, ["y"], constants)
    agree(model, {name: given[name][1] for name in inputs})


def test_gemm_of_two_activations() -> None:
    attrs = {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}
    model = onnx_model(
        [("Gemm", ["a", "b", "c"], ["y"], attrs)], {"a": [6, 4], "b": [5, 6]}, ["y"], {"c": normal(5, seed=2)}
    )
    agree(model, {"a": normal(6, 4), "b": normal(5, 6, seed=1)})


def test_rows_put_and_added() -> None:
    """Whole rows are moved; what is added is one product."""
    places, updates = np.array([[0, 1], [1, 2], [1, 0]]), normal(3, 5, seed=3)
    nodes = [
        ("ScatterND", ["x", "places", "rows"], ["put"]),
        ("ScatterND", ["put", "places", "updates"], ["constant"]),
        ("ScatterND", ["constant", "twice", "rows"], ["y"], {"reduction": "add"}),
    ]
    constants = {"places": places, "updates": updates, "twice": places[[0, 1, 1]]}
    model = onnx_model(nodes, {"x": [2, 3, 5], "rows": [3, 5]}, ["y"], constants)
    graph = agree(model, {"x": normal(2, 3, 5), "rows": normal(3, 5, seed=1)})
    assert len(graph.tasks) < 20


def test_many_pieces_are_a_product() -> None:
    order = np.random.default_rng(0).permutation(200)
    model = onnx_model(
        [("Gather", ["x", "order"], ["y"], {"axis": 1})], {"x": [1, 200]}, ["y"], {"order": order}
    )
    assert ops(agree(model, {"x": normal(1, 200)})) == ["matmul"]
