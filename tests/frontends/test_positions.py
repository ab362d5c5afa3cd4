"""Masks that the position of a call decides become `cached_softmax`, in every way in which they are written."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from torch import nn

import intar
from intar.errors import CalibrationError, ConfigError, GraphError, UnsupportedError, UserError
from intar.frontends import Builder, load_model
from intar.ir.ops import Op
from intar.ir.reference import run_float
from intar.quant.golden import run_golden
from intar.quant.quantise import quantise
from intar.quant.scheme import W8A8

CACHED, LENGTH, HEADS, SIZE = 5, 3, 2, 4


def counted(position: torch.Tensor) -> torch.Tensor:
    columns, own = torch.arange(CACHED + LENGTH), torch.arange(LENGTH)[:, None]
    return (columns < position) | ((columns >= CACHED) & (columns - CACHED <= own))


def added(scores: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return scores + torch.where(keep, 0.0, -torch.inf)


def chosen(scores: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return torch.where(keep, scores, -torch.inf)


def hidden(scores: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return scores.masked_fill(~keep, -1e4)


class Attention(nn.Module):
    """Attention behind a cache, its scores masked as `mask` does it."""

    def __init__(self, mask: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.mask = mask

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, position: torch.Tensor
    ) -> torch.Tensor:
        return self.mask(q @ k.transpose(2, 3), counted(position)).softmax(-1) @ v


class Fused(nn.Module):
    """The same in one operator, heads of keys shared."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, position: torch.Tensor
    ) -> torch.Tensor:
        keep = counted(position)
        mask = keep if self.form == "keep" else torch.where(keep, 0.0, -torch.inf)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)


def samples(heads: int = HEADS) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    shapes = {
        "q": (heads, LENGTH, SIZE),
        "k": (HEADS, CACHED + LENGTH, SIZE),
        "v": (HEADS, CACHED + LENGTH, SIZE),
    }
    count = CACHED + 1
    return {n: torch.randn(count, *s) for n, s in shapes.items()} | {"position": torch.arange(count)}


@pytest.mark.parametrize(
    ("module", "heads"),
    [
        *((Attention(mask), HEADS) for mask in (added, chosen, hidden)),
        *((Fused(form), 2 * HEADS) for form in ("keep", "add")),
    ],
)
def test_masks_of_torch(module: nn.Module, heads: int) -> None:
    given = samples(heads)
    graph = load_model(module, None, given)
    (task,) = (task for task in graph.tasks if task.op is Op.CACHED_SOFTMAX)
    assert task.attrs == {"cached": CACHED} and task.inputs[1] == "position"
    assert not any(task.op in (Op.SOFTMAX, Op.ADD) for task in graph.tasks)
    for number in range(CACHED + 1):
        one = {name: value[number : number + 1] for name, value in given.items()}
        made = run_float(graph, {name: value.numpy() for name, value in one.items()})
        assert np.abs(made[graph.outputs[0]] - module(**one).numpy()).max() < 1e-5


def onnx_model(limit: int = CACHED) -> onnx.ModelProto:
    """Scores under a mask that is computed from the position with ONNX's own operators."""
    columns = np.arange(CACHED + LENGTH)
    own = (columns >= limit) & (columns - CACHED <= np.arange(LENGTH)[:, None])
    nodes = [
        helper.make_node("Cast", ["position"], ["at"], to=TensorProto.FLOAT),
        helper.make_node("Less", ["columns", "at"], ["filled"]),
        helper.make_node("Or", ["filled", "own"], ["keep"]),
        helper.make_node("Where", ["keep", "x", "low"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["y"], axis=-1),
    ]
    shape = (HEADS, LENGTH, CACHED + LENGTH)
    graph = helper.make_graph(
        nodes,
        "positions",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("position", TensorProto.INT64, (1,)),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [
            onnx.numpy_helper.from_array(columns.astype(np.float32), "columns"),
            onnx.numpy_helper.from_array(own, "own"),
            onnx.numpy_helper.from_array(np.float32(-np.inf).reshape(()), "low"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_masks_of_onnx() -> None:
    graph = load_model(onnx_model())
    (task,) = graph.tasks
    assert (task.op, task.attrs) == (Op.CACHED_SOFTMAX, {"cached": CACHED})
    with pytest.raises(UnsupportedError, match="hides other scores"):
        load_model(onnx_model(CACHED + 1))


def shifted(scores: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return chosen(scores, keep.roll(1, -1))


def read_elsewhere(scores: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return chosen(scores, keep) + keep.float()


def doubled(scores: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return 2 * chosen(scores, keep)


@pytest.mark.parametrize(
    ("mask", "what"),
    [
        (shifted, "hides other scores"),
        (read_elsewhere, "hides other scores"),
        (doubled, "computes on what the input 'position' decides"),
    ],
)
def test_what_is_no_such_mask(mask: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], what: str) -> None:
    with pytest.raises(UnsupportedError, match=what):
        load_model(Attention(mask), None, samples())


def built(name: str = "position") -> Builder:
    g = Builder("cached")
    x, at = g.input("x", (HEADS, LENGTH, CACHED + LENGTH)), g.input(name, (1,))
    g.output(g.cached_softmax(x, at, CACHED))
    return g


def data(positions: list[int], name: str = "position") -> dict[str, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(len(positions), HEADS, LENGTH, CACHED + LENGTH))
    return {"x": x, name: np.array(positions)[:, None]}


def test_builder_and_yaml() -> None:
    text = f"""
inputs: {{x: [{HEADS}, {LENGTH}, {CACHED + LENGTH}], position: [1]}}
tasks: {{y: {{cached_softmax: [x, position], cached: {CACHED}}}}}
outputs: [y]
"""
    from intar.frontends.yaml_graph import import_yaml

    graph = built().build()
    given = data([2])
    one = {name: value[0] for name, value in given.items()}
    (made,), (again,) = (run_float(g, one).values() for g in (graph, import_yaml(text)))
    assert (made == again).all() and (made[:, :, 2:CACHED] == 0).all()
    assert ((made > 0).sum(axis=-1) == [3, 4, 5]).all()


def refused(run: Callable[[], object], kind: type[UserError], what: str) -> None:
    with pytest.raises(kind, match=what):
        run()


def test_mistakes() -> None:
    refused(
        lambda: quantise(built("at").build(), W8A8, data([0], "at")),
        UnsupportedError,
        "not the input 'position'",
    )
    refused(
        lambda: quantise(built().build(), W8A8, data([0, CACHED + 1])),
        CalibrationError,
        "not all positions 0 … 5",
    )
    g = Builder("wrong")
    g.output(g.cached_softmax(g.input("x", (2, 3, 9)), g.input("position", (1,)), CACHED))
    refused(g.build, GraphError, "column for each of 5 cached tokens")
    accelerator = intar.compile(built().build(), data([0, 2, CACHED]), budget={"multipliers": 4})
    one = {name: value[0] for name, value in data([0]).items()}
    wrong = one | {"position": np.array([CACHED + 1])}
    refused(lambda: accelerator(wrong), ConfigError, "the position 6 is out of range")
    ints = accelerator.integers(one)
    far = ints | {"position": np.array([-1])}
    refused(lambda: run_golden(accelerator.design.quantised, far), GraphError, "none of 0 … 5")
    near = {name: value for name, value in ints.items() if name != "position"}
    refused(lambda: run_golden(accelerator.design.quantised, near), GraphError, "no integers were given")
