"""LSTM, GRU and RNN of PyTorch and ONNX compute what these compute; what is not supported is said."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from frontends.models import normal, onnx_model
from torch import nn

from intar.errors import GraphError, UnsupportedError
from intar.frontends.onnx_graph import import_onnx
from intar.frontends.torch_graph import import_torch
from intar.ir.ops import Op
from intar.ir.reference import run_float
from intar.ir.taskgraph import TaskGraph

KINDS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
HIDDEN, INPUTS, LENGTH = 4, 3, 5


class Given(nn.Module):
    """A layer with states before its first step that are inputs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x, h, c=None):
        return self.layer(x, h if c is None else (h, c))


def layer(kind: str, **options: object) -> nn.Module:
    torch.manual_seed(len(kind) + len(options))
    return KINDS[kind](INPUTS, HIDDEN, **options).eval()  # type: ignore[arg-type]


def close(graph: TaskGraph, inputs: list[np.ndarray], expected: list[np.ndarray]) -> None:
    results = run_float(graph, dict(zip(graph.inputs, inputs, strict=True)))
    assert len(graph.outputs) == len(expected)
    for name, wanted in zip(graph.outputs, expected, strict=True):
        assert results[name].shape == wanted.shape
        np.testing.assert_allclose(results[name], wanted, atol=1e-5)


def results(module: nn.Module, *x: torch.Tensor) -> list[np.ndarray]:
    with torch.no_grad():
        y, last = module(*x)
    return [each.numpy() for each in (y, *(last if isinstance(last, tuple) else [last]))]


def exported(module: nn.Module, *x: torch.Tensor) -> onnx.ModelProto:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, x, file, dynamo=False, opset_version=17)
    return onnx.load_from_string(file.getvalue())


OPTIONS = {
    "plain": {},
    "batch_first": {"batch_first": True},
    "two_ways": {"bidirectional": True, "bias": False},
    "layers": {"num_layers": 2, "bidirectional": True, "batch_first": True},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("batch", [1, 2])
def test_pytorch_layers(kind: str, options: str, batch: int) -> None:
    module = layer(kind, **OPTIONS[options])
    first = OPTIONS[options].get("batch_first")
    x = torch.from_numpy(normal(*((batch, LENGTH) if first else (LENGTH, batch)), INPUTS))
    program = torch.export.export(module, (x,), strict=False)
    close(import_torch(program), [x.numpy()], results(module, x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ways", [1, 2])
def test_states_before_the_first_step(kind: str, ways: int) -> None:
    module = Given(layer(kind, bidirectional=ways == 2))
    given = [torch.from_numpy(normal(LENGTH, 1, INPUTS))]
    given += [torch.from_numpy(normal(ways, 1, HIDDEN, seed=n)) for n in range(1 + (kind == "LSTM"))]
    program = torch.export.export(module, tuple(given), strict=False)
    close(import_torch(program), [each.numpy() for each in given], results(module, *given))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS)
def test_onnx_exports_of_pytorch(kind: str, options: str) -> None:
    module = layer(kind, **OPTIONS[options])
    first = OPTIONS[options].get("batch_first")
    x = torch.from_numpy(normal(*((1, LENGTH) if first else (LENGTH, 1)), INPUTS))
    model = exported(module, x)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert kind in {node.op_type for node in model.graph.node}
    close(import_onnx(model), [x.numpy()], expected)


def node(kind: str, optional: dict[int, np.ndarray] | None = None, **attrs: object) -> onnx.ModelProto:
    """A model of one layer; `optional` are constants for inputs of the node by their position."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    ways = 2 if attrs.get("direction") == "bidirectional" else 1
    shape = [1, LENGTH, INPUTS] if attrs.get("layout") else [LENGTH, 1, INPUTS]
    constants = {"w": normal(ways, gates * HIDDEN, INPUTS, seed=1), "r": normal(ways, gates * HIDDEN, HIDDEN)}
    constants |= {f"c{position}": array for position, array in (optional or {}).items()}
    names = ["x", "w", "r", *(f"c{n}" if n in (optional or {}) else "" for n in range(3, 8))]
    while not names[-1]:
        names.pop()
    outputs = ["y", "last"][: 2 if attrs.pop("last", False) else 1]
    made = [(kind, names, outputs, {"name": "cell", "hidden_size": HIDDEN, **attrs})]
    return onnx_model(made, {"x": shape}, outputs, constants)


@pytest.mark.parametrize(
    ("kind", "optional", "attrs"),
    [
        ("GRU", {3: normal(1, 24, seed=2)}, {"linear_before_reset": 0, "direction": "reverse"}),
        ("GRU", {3: normal(1, 24, seed=2), 5: normal(1, 1, 4)}, {"linear_before_reset": 1, "last": True}),
        ("GRU", {5: normal(1, 1, 4)}, {"linear_before_reset": 0, "last": True}),
        ("LSTM", {5: normal(1, 1, 4), 6: normal(1, 1, 4, seed=3)}, {"last": True}),
        ("LSTM", {4: np.array([LENGTH], np.int32)}, {"activations": ["HardSigmoid", "Relu", "Tanh"]}),
        ("RNN", {}, {"activations": ["LeakyRelu"], "activation_alpha": [0.3], "direction": "reverse"}),
        ("LSTM", {}, {"activations": ["Sigmoid", "Softplus", "Elu"] * 2, "direction": "bidirectional"}),
    ],
)
def test_onnx_nodes(kind: str, optional: dict[int, np.ndarray], attrs: dict[str, object]) -> None:
    model = node(kind, optional, **dict(attrs))
    model.ir_version = 9
    x = normal(LENGTH, 1, INPUTS, seed=7)
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    close(import_onnx(model), [x], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_one_product_for_the_inputs_of_all_steps(kind: str) -> None:
    graph = import_onnx(node(kind, linear_before_reset=1) if kind == "GRU" else node(kind))
    matmuls = [task for task in graph.tasks if task.op is Op.MATMUL]
    assert len(matmuls) == 1 + (LENGTH - 1), "zeros before the first step need no product"
    assert len({task.inputs[1] for task in matmuls[1:]}) == 1, "steps share their weights"


def test_what_is_not_supported(golden: Callable[[str, str], None]) -> None:
    refused = {
        "clip": node("LSTM", clip=1.0),
        "coupled": node("LSTM", input_forget=1),
        "peepholes": node("LSTM", {7: normal(1, 12)}),
        "lengths": node("GRU", {4: np.array([3], np.int32)}),
        "activation": node("RNN", activations=["Softsign"]),
    }
    wrong = {
        "number": node("LSTM", activations=["Tanh"]),
        "weight": node("GRU", {3: normal(1, 7)}),
        "state": node("GRU", {5: normal(1, 2, 4)}),
    }
    said = []
    for kind, models in ((UnsupportedError, refused), (GraphError, wrong)):
        for model in models.values():
            with pytest.raises(kind) as caught:
                import_onnx(model)
            said.append(str(caught.value))
    golden("onnx_recurrent", "\n".join(said))


def test_projected_states_are_refused(golden: Callable[[str, str], None]) -> None:
    x = torch.zeros(LENGTH, 1, INPUTS)
    program = torch.export.export(layer("LSTM", proj_size=2), (x,), strict=False)
    with pytest.raises(UnsupportedError) as caught:
        import_torch(program)
    golden("torch_recurrent", str(caught.value))
