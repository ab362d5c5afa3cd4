"""PyTorch models through the whole path: every door, repeated blocks, a real network, C++ and RTL."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import intar
from intar.assets import asset_dir
from intar.cli import app
from intar.frontends import load_model
from intar.frontends.load import make_model
from intar.ir.ops import Op
from intar.ir.reference import run_float
from intar.ir.repeats import repeated_blocks
from intar.quant.widths import path

DESIGNS = asset_dir("designs")
GPT2 = DESIGNS / "gpt2" / "model.py"


class Block(nn.Module):
    """Attention beside a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.out = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, 16)

    def forward(self, x):
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return nn.functional.gelu(self.out(x))


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))


@pytest.mark.parametrize(
    ("make", "shape"), [(perceptron, (16, 16)), pytest.param(Block, (16, 8, 16), marks=pytest.mark.full)]
)
def test_module_to_bits(make: Callable[[], nn.Module], shape: tuple[int, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, samples = make().eval(), torch.randn(shape)
    accelerator = intar.compile(module, samples, budget={"multipliers": 16})
    with torch.no_grad():
        expected = module(samples[:1]).numpy()
    got = accelerator(samples[:1])
    assert isinstance(got, np.ndarray) and got.shape == expected.shape
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.99
    x, project = samples[:1].numpy(), tmp_path / "project"
    accelerator.write(project)
    checks = [accelerator.csim(x, project), accelerator.simulate(x, project)]
    assert [check.mismatches for check in checks] == [0, 0]
    assert checks[1].cycles == (accelerator.design.predicted.cycles,)


def test_saved_program_is_the_module(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval(), torch.randn(1, 8)
    file = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(module, (x,)), file)
    graphs = [load_model(file), load_model(torch.export.load(file)), load_model(module, samples=x)]
    assert [[task.op for task in graph.tasks] for graph in graphs] == [[Op.MATMUL, Op.RELU, Op.MATMUL]] * 3
    for graph in graphs:
        made = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
        np.testing.assert_allclose(made, module(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_blocks_of_gpt2() -> None:
    module, tokens = make_model(f"{GPT2}:scaled")
    graph = load_model(module, samples=tokens)
    (blocks,) = repeated_blocks(graph)
    around = [Op.EMBEDDING, Op.EMBEDDING, Op.ADD, Op.SLICE, Op.RESHAPE, Op.LAYER_NORM, Op.MATMUL, Op.ARGMAX]
    inside = {name for block in blocks for name in block}
    assert len(blocks) == 4 and [task.op for task in graph.tasks if task.name not in inside] == around
    counts = {op: sum(task.op is op for task in graph.tasks) for op in (Op.LAYER_NORM, Op.SOFTMAX, Op.GELU)}
    assert counts == {Op.LAYER_NORM: 9, Op.SOFTMAX: 4, Op.GELU: 4}


def test_parts_of_an_attention_have_names() -> None:
    """Its two products are its module's, for pins, reports and widths."""
    module, tokens = make_model(f"{GPT2}:scaled")
    names = {path(task.source): task.op for task in load_model(module, samples=tokens).tasks}
    for layer in range(4):
        found = [names[f"trunk.h.{layer}.attn.{part}"] for part in ("scores", "softmax", "attended")]
        assert found == [Op.PRODUCT, Op.SOFTMAX, Op.PRODUCT]


@pytest.mark.parametrize("name", ["scaled", "tiny_step", "tiny_chunk"])
def test_gpt2_computes_what_pytorch_does(name: str) -> None:
    module, samples = make_model(f"{GPT2}:{name}")
    graph = load_model(module, samples=samples)
    last = {key: value[-1:] for key, value in samples.items()}
    with torch.no_grad():
        expected = module(**last)
    made = run_float(graph, {key: value.numpy() for key, value in last.items()})
    assert set(made) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(made[key], value.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.parametrize("name", ["tiny", "scaled", "scaled_step"])
def test_gpt2_in_hardware(name: str, tmp_path: Path) -> None:
    """Tokens in, next token out: four looped blocks in *scaled* and, behind cached tokens, in *scaled_step*."""
    module, samples = make_model(f"{GPT2}:{name}")
    accelerator = intar.compile(module, samples, budget={"multipliers": 64}, scheme="w8a8r16")
    assert (4 in accelerator.design.program.rounds) == (name != "tiny")
    x, project = {key: value[-1:].numpy() for key, value in samples.items()}, tmp_path / "project"
    with torch.no_grad():
        expected = module(**{key: value[-1:] for key, value in samples.items()})
    got = accelerator(x)
    assert int(np.reshape(got["next"] if isinstance(got, dict) else got, -1)[0]) == int(expected["next"])
    accelerator.write(project)
    checks = [accelerator.csim(x, project), accelerator.simulate(x, project)]
    assert [check.mismatches for check in checks] == [0, 0]
    assert checks[1].cycles == (accelerator.design.predicted.cycles,)


def test_check_names_the_block(tmp_path: Path) -> None:
    factory = tmp_path / "stack.py"
    factory.write_text(
        "import torch\nfrom torch import nn\n\ndef stack():\n"
        "    layers = [part for _ in range(5) for part in (nn.Linear(8, 8), nn.ReLU())]\n"
        "    return nn.Sequential(*layers).eval(), torch.randn(4, 8)\n"
    )
    result = CliRunner().invoke(app, ["check", f"{factory}:stack", "--json"])
    assert result.exit_code == 0, result.output
    (loop,) = json.loads(result.stdout)["loops"]
    assert (loop["rounds"], loop["tasks"]) == (5, 2)


def test_rnet_is_the_same_network_from_both_front_ends(tmp_path: Path) -> None:
    """Random weights: the network, its ceiling pools and its slopes; the real weights are in tests/quant."""
    torch.manual_seed(0)
    module = runpy.run_path(str(DESIGNS / "rnet" / "export.py"))["RNet"]().eval()
    x = torch.randn(1, 3, 24, 24)
    direct = load_model(module, samples=x)
    file = tmp_path / "rnet.onnx"
    torch.onnx.export(module, (x,), dynamo=True, opset_version=20).save(str(file), external_data=False)
    exported = load_model(file)
    assert sorted(task.op for task in direct.tasks) == sorted(task.op for task in exported.tasks)
    for graph in (direct, exported):
        made = run_float(graph, {graph.inputs[0]: x.numpy()})
        for name, expected in zip(graph.outputs, module(x), strict=True):
            np.testing.assert_allclose(made[name], expected.detach().numpy(), rtol=1e-4, atol=1e-5)
