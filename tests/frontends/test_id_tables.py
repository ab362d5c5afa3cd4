"""What ids decide is looked up: masks of the padding, columns of ids, ids behind an offset; in PyTorch and ONNX models."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from frontends.models import normal, onnx_model
from frontends.test_torch_numbers import Function
from onnx import TensorProto
from torch import nn

import intar
from intar.errors import UnsupportedError
from intar.frontends import load_model
from intar.frontends.torch_graph import import_torch
from intar.ir.ops import Op
from intar.ir.reference import run_float
from intar.ir.taskgraph import TaskGraph
from intar.proof import verify_engine


class Encoder(nn.Module):
    """A classifier of texts of which the padding, id 0, counts nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(12, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, ids):
        pad = ids == 0
        y = self.layer(self.words(ids), src_key_padding_mask=pad)
        keep = (~pad).unsqueeze(-1).float()
        return (y * keep).sum(1) / keep.sum(1).clamp(min=1)


def columns(m, ids):
    """A table of its own for each column, as networks for tables of data have them."""
    return torch.cat([part(ids[:, n]) for n, part in enumerate((m.a, m.b, m.c))], 1)


OFFSETS = torch.tensor([0, 3, 5])

MODELS: dict[str, tuple[nn.Module, list[int]]] = {
    "padding": (Encoder(), [12] * 6),
    "columns": (
        Function(columns, a=nn.Embedding(4, 3), b=nn.Embedding(9, 3), c=nn.Embedding(2, 5)),
        [4, 9, 2],
    ),
    "apart": (
        Function(lambda m, ids: m.a(ids.unbind(1)[2]) * m.a(ids.flip(1)[:, 1]), a=nn.Embedding(9, 4)),
        [9] * 3,
    ),
    "offsets": (Function(lambda m, ids: m.a(ids + OFFSETS).flatten(1), a=nn.Embedding(9, 4)), [3, 2, 4]),
    "bag": (
        Function(
            lambda m, ids: torch.cat([part(ids) for part in (m.a, m.b, m.c)], 1),
            **{
                name: nn.EmbeddingBag(9, 4, mode=mode)
                for name, mode in (("a", "sum"), ("b", "mean"), ("c", "max"))
            },
        ),
        [9] * 3,
    ),
    "unknown": (Function(lambda m, ids: m.a(ids.clamp(max=5)), a=nn.Embedding(6, 4)), [12] * 3),
    "numbers": (
        Function(
            lambda m, ids: (
                m.a(ids),
                ((ids > 3) & (ids != 7)).float(),
                torch.where(ids == 2, 0.5, 2.0 * ids),
            ),
            a=nn.Embedding(9, 4),
        ),
        [9] * 3,
    ),
}
"""Modules, and how many ids each place has."""


def ids_of(sizes: list[int], count: int = 12) -> np.ndarray:
    """Ids of samples: the smallest and largest, and random ones."""
    drawn = np.random.default_rng(0).integers(0, sizes, (count, len(sizes)))
    drawn[0], drawn[1] = 0, np.asarray(sizes) - 1
    drawn[2:5, -2:] = 0
    return drawn


def settled(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return module.eval()


@pytest.mark.parametrize("name", MODELS)
def test_what_ids_decide(name: str) -> None:
    module, sizes = settled(MODELS[name][0]), MODELS[name][1]
    ids = ids_of(sizes)
    graph = import_torch(module, torch.from_numpy(ids))
    for row in ids[1:] if name == "padding" else ids:  # a text of nothing is no text
        wanted = module(torch.from_numpy(row[None]))
        made = run_float(graph, {graph.inputs[0]: row[None]})
        for output, tensor in zip(
            graph.outputs, wanted if isinstance(wanted, tuple) else (wanted,), strict=True
        ):
            np.testing.assert_allclose(made[output], tensor.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["padding", "columns"])
def test_in_integers(name: str) -> None:
    """The integers are close to the module, and the engine's those of golden; each place takes all of its own ids."""
    module, sizes = settled(MODELS[name][0]), MODELS[name][1]
    ids = ids_of(sizes)[1:]
    accel = intar.compile(module, torch.from_numpy(ids), device="zcu104", budget="dsp=16", scheme="w8a8r16")
    wanted = module(torch.from_numpy(ids)).detach().numpy()
    error = np.asarray(accel.predict(ids)) - wanted
    assert 10 * np.log10((wanted**2).mean() / (error**2).mean()) > 35
    assert verify_engine(accel.design, [accel.integers(ids[3])]).bit_exact


def test_padding_of_an_onnx_model() -> None:
    """A mask that an exporter has made of the ids, its shape taken from itself."""
    nodes = [
        ("Gather", ["table", "ids"], ["rows"]),
        ("Equal", ["ids", "zero"], ["pad"]),
        ("Not", ["pad"], ["keep"]),
        ("Cast", ["keep"], ["number"], {"to": TensorProto.FLOAT}),
        ("Shape", ["number"], ["shape"]),
        ("Concat", ["shape", "one"], ["longer"], {"axis": 0}),
        ("Reshape", ["number", "longer"], ["column"]),
        ("Mul", ["rows", "column"], ["kept"]),
        ("ReduceSum", ["kept", "one"], ["y"], {"keepdims": 0}),
    ]
    constants = {"table": normal(9, 4), "zero": np.asarray(0), "one": np.asarray([1])}
    model = onnx_model(nodes, {"ids": [1, 6]}, ["y"], constants, types={"ids": TensorProto.INT64})
    session, graph = onnxruntime.InferenceSession(model.SerializeToString()), load_model(model)
    for row in ids_of([9] * 6):
        (wanted,) = session.run(None, {"ids": row[None]})
        np.testing.assert_allclose(run_float(graph, {"ids": row[None]})["y"], wanted, atol=1e-6)


def test_the_largest_of_several_numbers() -> None:
    """Max and Min take any number of operands."""
    nodes = [
        ("Max", ["ids", "two", "three"], ["least"]),
        ("Min", ["least"], ["same"]),
        ("Gather", ["table", "same"], ["y"]),
    ]
    constants = {"table": normal(9, 4), "two": np.asarray(2), "three": np.asarray(3)}
    graph = load_model(onnx_model(nodes, {"ids": [1, 6]}, ["y"], constants, types={"ids": TensorProto.INT64}))
    for row in ids_of([9] * 6):
        found = run_float(graph, {"ids": row[None]})["y"]
        np.testing.assert_array_equal(found, constants["table"][np.maximum(row, 3)][None])


def lookups(graph: TaskGraph) -> list[tuple[int, ...]]:
    return [graph.tensor(task.inputs[1]).shape for task in graph.tasks if task.op is Op.EMBEDDING]


def test_tables_have_a_row_for_each_id() -> None:
    """Ids beside each other are looked up in tables of one length: the longest, unless one is read whole."""
    columns, whole = (
        import_torch(MODELS[name][0].eval(), torch.zeros(1, 3, dtype=torch.int64))
        for name in ("columns", "numbers")
    )
    assert lookups(columns) == [(9, 3), (9, 3), (9, 5)]
    assert lookups(whole) == [(9, 4), (9, 1), (9, 1)]


def test_ids_without_a_table() -> None:
    """Nobody knows how many there are."""
    with pytest.raises(UnsupportedError) as caught:
        import_torch(Function(lambda m, x: (x == 0).float()), torch.zeros(1, 5, dtype=torch.int64))
    (found,) = caught.value.findings
    assert found.where == "input 'x_0'" and found.why and found.hint
