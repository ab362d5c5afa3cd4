"""What a user sees for bad input: every message is a golden file in ``tests/errors``."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from frontends.models import mlp, normal, onnx_model
from onnx import TensorProto

from intar.errors import GraphError, UnsupportedError, UserError
from intar.frontends import Builder, load_model
from intar.frontends.onnx_graph import import_onnx
from intar.frontends.yaml_graph import import_yaml
from intar.ir.reference import run_float
from intar.ir.taskgraph import QuantParams, Task, Tensor, make_graph

Golden = Callable[[str, str], None]


def message(call: Callable[[], object], kind: type[UserError]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    return str(caught.value)


def test_all_unsupported_operators_at_once(golden: Golden) -> None:
    nodes = [
        ("Hardmax", ["x"], ["a"], {"name": "activation/hardmax"}),
        ("Hardmax", ["a"], ["b"]),
        ("MagicOp", ["b"], ["c"], {"domain": "my.ops", "name": "magic"}),
        ("TopK", ["x", "three"], ["d", "places"], {"name": "largest"}),
        ("Clip", ["x", "low", "high"], ["e"], {"name": "relu6"}),
        ("Add", ["c", "d"], ["f"]),
        ("Add", ["f", "e"], ["y"]),
    ]
    constants: dict[str, np.ndarray] = {"three": np.array([3]), "low": np.float32(6), "high": np.float32(0)}
    model = onnx_model(nodes, {"x": [4, 4]}, ["y"], constants, domains=["my.ops"])
    golden("onnx_unsupported", message(lambda: import_onnx(model), UnsupportedError))


def test_dynamic_shapes_name_the_way_out(golden: Golden) -> None:
    model = onnx_model(
        [("Relu", ["x"], ["y"]), ("Relu", ["z"], ["w"])], {"x": ["batch", 16], "z": [1, 4]}, ["y", "w"]
    )
    model.graph.input[1].type.tensor_type.shape.dim[0].ClearField("dim_value")
    golden("onnx_dynamic", message(lambda: import_onnx(model), GraphError))
    golden(
        "onnx_dynamic_misspelt",
        message(lambda: import_onnx(model, shapes={"bach": 1, "z": (2, 4)}), GraphError),
    )


def test_input_without_shape(golden: Golden) -> None:
    model = onnx_model([("Relu", ["x"], ["y"])], {"x": [1]}, ["y"])
    model.graph.input[0].type.tensor_type.ClearField("shape")
    golden("onnx_no_shape", message(lambda: import_onnx(model), GraphError))


def test_nan_weights(golden: Golden) -> None:
    weight = normal(4, 3)
    weight[2, 1], weight[3, 0] = np.nan, np.inf
    model = onnx_model(
        [("MatMul", ["x", "layer.weight"], ["y"])], {"x": [1, 4]}, ["y"], {"layer.weight": weight}
    )
    golden("onnx_nan", message(lambda: import_onnx(model), GraphError))


@pytest.mark.parametrize(("opset", "name"), [(6, "old"), (99, "new")])
def test_operator_set(golden: Golden, opset: int, name: str) -> None:
    model = onnx_model([("Relu", ["x"], ["y"])], {"x": [1, 4]}, ["y"], opset=opset)
    text = message(lambda: import_onnx(model), UnsupportedError)
    golden(f"onnx_opset_{name}", text.replace(str(onnx.defs.onnx_opset_version()), "NEWEST"))


def test_files_that_are_no_models(golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("corrupt.onnx").write_bytes(b"\x08\x07\xff\xff\xff\xff garbage")
    Path("empty.onnx").write_bytes(b"")
    Path("weights.bin").write_bytes(b"")
    Path("cut.onnx").write_bytes(mlp().SerializeToString()[:-40])
    files = ["missing.onnx", "corrupt.onnx", "empty.onnx", "cut.onnx", "weights.bin", "."]
    texts = [f"--- {file}\n{message(lambda file=file: load_model(file), GraphError)}" for file in files]
    golden("onnx_files", "\n".join(texts))


def test_external_data_outside_the_folder_is_refused(golden: Golden, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(64))
    (folder / "link").symlink_to(tmp_path / "secret")
    model = onnx_model([("MatMul", ["x", "a"], ["y"])], {"x": [1, 4]}, ["y"])
    for name, location in (("a", "../secret"), ("b", "/etc/hostname"), ("c", "link"), ("d", "absent.bin")):
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4, 4])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        model.graph.initializer.append(tensor)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    golden("onnx_external", message(lambda: load_model(folder / "model.onnx"), GraphError))
    assert "the model has no folder" in message(lambda: load_model(model), GraphError)


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    onnx.save(mlp(), tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    x = {"x": normal(4, 16)}
    expected = run_float(import_onnx(mlp()), x)["logits"]
    assert np.array_equal(run_float(load_model(tmp_path / "m.onnx"), x)["logits"], expected)


def test_wrong_models(golden: Golden) -> None:
    shapes = onnx_model(
        [
            ("MatMul", ["x", "w"], ["a"], {"name": "first"}),
            ("Add", ["x", "b"], ["c"], {"name": "second"}),
            ("Reshape", ["x", "s"], ["d"], {"name": "third"}),
        ],
        {"x": [2, 4]},
        ["a", "c", "d"],
        {"w": normal(5, 3), "b": normal(3), "s": np.array([3, 3])},
    )
    cycle = onnx_model(
        [("Add", ["x", "b"], ["a"], {"name": "one"}), ("Relu", ["a"], ["b"]), ("Relu", ["q"], ["y"])],
        {"x": [1]},
        ["y"],
    )
    tokens = onnx_model(
        [("Cast", ["ids"], ["y"], {"to": 1})], {"ids": [1, 8]}, ["y"], types={"ids": TensorProto.INT64}
    )
    bomb = onnx_model(
        [("ConstantOfShape", ["n"], ["c"]), ("Add", ["x", "c"], ["y"])],
        {"x": [1]},
        ["y"],
        {"n": np.array([1 << 20, 1 << 20])},
    )
    training = onnx_model(
        [("BatchNormalization", ["x", "v", "v", "v", "v"], ["y"], {"training_mode": 1})],
        {"x": [1, 4]},
        ["y"],
        {"v": np.ones(4, np.float32)},
    )
    texts = [
        f"--- {name}\n{message(lambda model=model: import_onnx(model), kind)}"
        for name, model, kind in (
            ("shapes", shapes, GraphError),
            ("cycle", cycle, GraphError),
            ("integer input", tokens, UnsupportedError),
            ("too large", bomb, GraphError),
            ("training", training, UnsupportedError),
        )
    ]
    golden("onnx_wrong", "\n".join(texts))


def test_models_that_compute_nothing(golden: Golden) -> None:
    constant = onnx_model([("Relu", ["c"], ["y"])], {"x": [1]}, ["y"], {"c": normal(3)})
    nothing = onnx_model([("Relu", ["x"], ["y"])], {"x": [2]}, ["y"])
    del nothing.graph.node[:], nothing.graph.output[:]
    texts = [
        message(lambda: import_onnx(constant), UnsupportedError),
        message(lambda: import_onnx(nothing), GraphError),
    ]
    golden("onnx_empty", "\n---\n".join(texts))


def test_quantisation_that_does_not_fit(golden: Golden) -> None:
    nodes = [
        ("QuantizeLinear", ["x", "s", "z"], ["q"]),
        ("DequantizeLinear", ["q", "s2", "z"], ["a"], {"name": "rescale"}),
        ("Relu", ["q"], ["b"], {"name": "on_integers"}),
    ]
    constants = {"s": np.float32(0.1), "s2": np.float32(0.2), "z": np.int8(0)}
    model = onnx_model(nodes, {"x": [1, 4]}, ["a", "b"], constants, types={"b": TensorProto.INT8})
    golden("onnx_qdq", message(lambda: import_onnx(model), UnsupportedError))


BAD_YAML = """\
netwrk: demo
inputs:
  x: [1, 16]
  z: [0, 1]
constants:
  w: {random: 1, shape: [16, 4], scle: 2}
  v: {random: -1, shape: 4}
  t: [1, two]
weights: ../weights.npz
tasks:
  h: {matmul: x, unit: 32}
  a: {gelo: h}
  p: {relu: xx}
  q: {add: [x, x, x]}
  u: {matmul: x, units: 4}
  v2: {add: [u, x]}
  w2: {relu: v2}
  k: {transpose: x, perm: [0, 5]}
  k: {relu: x}
  g: {gelu: u, approximate: fast}
  two: {relu: u, tanh: u}
  cat: {concat: [u, x], axes: 1}
  s: {slice: x, axis: 1, start: 0}
outputs: [yy]
"""


def test_yaml_reports_every_mistake_with_its_line(golden: Golden, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(BAD_YAML)
    golden("yaml_mistakes", message(lambda: load_model(tmp_path / "net.yaml"), GraphError))


def test_yaml_that_is_no_network(golden: Golden) -> None:
    texts = [
        message(lambda text=text: import_yaml(text), GraphError)
        for text in ("a: [1,\nb: }\n", "- 1\n- 2\n", "x: !!python/object:os.system 1\n", "\n", "tasks: 3\n")
    ]
    golden("yaml_no_network", "\n---\n".join(texts))


def test_graph_with_many_mistakes(golden: Golden) -> None:
    def build() -> object:
        return make_graph(
            "g",
            [
                Tensor(name="x", shape=(1, 4)),
                Tensor(name="module", shape=(1, 4)),
                Tensor(name="dup", shape=(2,)),
                Tensor(name="dup", shape=(2,)),
                Tensor(name="zero", shape=(0, 3)),
                Tensor(name="w", shape=(4, 4), quant=QuantParams(bits=8, scale=(0.1, -1.0), axis=1)),
                Tensor(name="y", shape=(1, 5)),
                Tensor(name="a", shape=(1, 4)),
                Tensor(name="b", shape=(1, 4)),
                Tensor(name="n", shape=(3,)),
            ],
            [
                Task(name="mm", op="matmul", inputs=("x", "w"), output="y", source="model.py:7"),
                Task(name="one", op="add", inputs=("x", "b"), output="a", attrs={"broadcast": "none"}),
                Task(name="two", op="relu", inputs=("a",), output="b"),
                Task(name="three", op="relu", inputs=("ghost",), output="module"),
                Task(
                    name="three", op="gelu", inputs=("x",), output="a", attrs={"approximate": "quick", "k": 1}
                ),
                Task(name="four", op="matmul", inputs=("x", "b", "x", "x"), output="dup"),
            ],
            ["x", "nope"],
            ["y"],
            {"w": np.full((4, 3), 300), "n": np.array([1, np.nan, 2]), "lost": np.ones(2)},
        )

    golden("graph_mistakes", message(build, GraphError))
    golden("graph_empty", message(lambda: make_graph("g", [], [], [], [], {}), GraphError))


def test_builder_names_the_line_of_python(golden: Golden) -> None:
    g = Builder("bad")
    x = g.input("x", (1, 256))
    g.matmul(x, np.zeros((4, 4)))
    g.relu("nowhere")
    g.relu(x, name="x")
    with pytest.raises(GraphError) as caught:
        g.build()
    text = str(caught.value)
    assert "test_errors.py:" in text

    golden("builder_mistakes", re.sub(r"test_errors\.py:\d+", "test_errors.py:LINE", text))


def test_inputs_of_a_run(golden: Golden) -> None:
    graph = import_onnx(mlp())
    golden(
        "run_inputs", message(lambda: run_float(graph, {"x": np.ones((1, 16)), "y": np.ones(1)}), GraphError)
    )
    assert "no value was given" in message(lambda: run_float(graph, {}), GraphError)


def test_things_that_are_no_models(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intar.frontends.load.find_spec", lambda name: None)
    module = type("Module", (), {"__module__": "torch.nn.modules.module"})
    network = type("Network", (module,), {})
    texts = [
        message(lambda: load_model(network()), UnsupportedError),
        message(lambda: load_model(42), GraphError),
    ]
    golden("load_model", "\n---\n".join(texts))


def test_damaged_models_give_typed_errors_only() -> None:
    """A few thousand damaged files were tried while this was written; these are a sample of all kinds."""
    data, chance = mlp().SerializeToString(), random.Random(0)
    outcomes = {"imported": 0, "refused": 0}
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(600)] = chance.randrange(256)
        try:
            import_onnx(bytes(damaged))
            outcomes["imported"] += 1
        except UserError as error:
            assert error.findings
            outcomes["refused"] += 1
    assert outcomes["refused"] > 100 and sum(outcomes.values()) == 300


def test_outputs_that_nothing_computes_and_bad_axes() -> None:
    nodes = [("Transpose", ["x"], ["y"], {"perm": [0, 2]}), ("Magic", ["x"], ["m"], {"domain": "my"})]
    model = onnx_model(nodes, {"x": [2, 3]}, ["y", "m", "z"], domains=["my"])
    text = message(lambda: import_onnx(model), UnsupportedError)
    assert "output 'z': nothing computes it" in text and "not a permutation of 2 axes" in text
    del model.graph.node[1], model.graph.output[1]
    assert "Graph output 'z' is not an output of any node" in message(lambda: import_onnx(model), GraphError)
