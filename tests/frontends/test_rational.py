"""Grouped rational functions from every front end: one operator, the same numbers as PyTorch's kernel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from frontends.models import normal, onnx_model

from intar.frontends import load_model
from intar.frontends.builder import Builder
from intar.frontends.torch_graph import import_torch
from intar.gpu import GRKAN, KATBlock, group_rational
from intar.ir.ops import Op
from intar.ir.reference import run_float
from intar.ir.taskgraph import TaskGraph

A, B = normal(1, 6, seed=1), normal(3, 4, seed=2)
X = normal(1, 5, 11, seed=3, scale=2)
WANTED = group_rational(*(torch.tensor(array) for array in (X, A, B)), 3).numpy()

YAML = """
inputs: {x: [1, 5, 11]}
weights: coefficients.npz
tasks: {y: {rational: [x, a, b], groups: 3}}
outputs: [y]
"""


def from_builder(folder: Path) -> TaskGraph:
    g = Builder("net")
    g.output(g.rational(g.input("x", X.shape), A, B, groups=3))
    return g.build()


def from_yaml(folder: Path) -> TaskGraph:
    np.savez(folder / "coefficients.npz", a=A, b=B)
    (folder / "net.yaml").write_text(YAML)
    return load_model(folder / "net.yaml")


def from_onnx(folder: Path) -> TaskGraph:
    """By a node of the domain ``intar``."""
    attributes = {"groups": 3, "domain": "intar"}
    nodes = [("GroupRational", ["x", "a", "b"], ["y"], attributes)]
    model = onnx_model(nodes, {"x": X.shape}, ["y"], {"a": A, "b": B}, domains=("intar",))
    onnx.save(model, folder / "net.onnx")
    return load_model(folder / "net.onnx")


def from_torch(folder: Path) -> TaskGraph:
    class Rational(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = (torch.nn.Parameter(torch.tensor(array)) for array in (A, B))

        def forward(self, x):
            return group_rational(x, self.a, self.b, 3)

    return import_torch(Rational().eval(), torch.tensor(X))


@pytest.mark.parametrize("make", [from_builder, from_yaml, from_onnx, from_torch])
def test_the_kernels_numbers(make, tmp_path: Path) -> None:
    """Groups of 4, 4 and 3 columns; the numerator shared."""
    graph = make(tmp_path)
    (task,) = graph.tasks
    assert task.op is Op.RATIONAL and task.attrs == {"groups": 3, "axis": 2, "repeats": 1}
    found = run_float(graph, {graph.inputs[0]: X})[graph.outputs[0]]
    np.testing.assert_allclose(found, WANTED, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("module", "functions"), [(GRKAN(16, 24), 2), (KATBlock(16, 2), 2)], ids=["GRKAN", "KATBlock"]
)
def test_modules_of_kat(module: torch.nn.Module, functions: int) -> None:
    x = torch.tensor(normal(1, 5, 16, seed=4))
    graph = import_torch(module.eval(), x)
    assert sum(task.op is Op.RATIONAL for task in graph.tasks) == functions
    with torch.no_grad():
        wanted = module(x).numpy()
    found = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
