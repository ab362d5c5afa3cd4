"""Exported programs that are quantised already: our integers are PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.ao.quantization.fx._decomposed  # registers quantized_decomposed
from torch import nn

from intar.errors import UnsupportedError
from intar.frontends.load import load_model
from intar.ir.quantgraph import QConv, QMatmul
from intar.quant.golden import quantise_input, run_golden
from intar.quant.quantise import quantise

DECOMPOSED = torch.ops.quantized_decomposed


class Converted(nn.Module):
    """What ``convert_pt2e`` leaves: weights of 8 bits and a scale for each output channel, activations of 8 bits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        for name, shape in {"conv": (6, 1, 3, 3), "linear": (10, 96)}.items():
            self.register_buffer(name, torch.randint(-127, 128, shape, dtype=torch.int8))
            self.register_buffer(f"{name}_scale", torch.rand(shape[0]) / 300 + 0.001)
            self.register_buffer(f"{name}_zero", torch.zeros(shape[0], dtype=torch.int64))
        self.bias = nn.Parameter(torch.randn(10))

    def grid(
        self, x: torch.Tensor, scale: float, zero: int, low: int, high: int, dtype: torch.dtype
    ) -> torch.Tensor:
        """An activation rounded to integers."""
        q = DECOMPOSED.quantize_per_tensor(x, scale, zero, low, high, dtype)
        return DECOMPOSED.dequantize_per_tensor(q, scale, zero, low, high, dtype)

    def weight(self, name: str) -> torch.Tensor:
        """The real weight of stored integers."""
        arrays = (getattr(self, f"{name}{role}") for role in ("", "_scale", "_zero"))
        return DECOMPOSED.dequantize_per_channel(*arrays, 0, -127, 127, torch.int8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolution, pool, linear."""
        x = self.grid(x, 0.0171, 117, 0, 255, torch.uint8)
        x = torch.relu(nn.functional.conv2d(x, self.weight("conv"), None, padding=1))
        x = nn.functional.max_pool2d(self.grid(x, 0.0183, -128, -128, 127, torch.int8), 2)
        x = nn.functional.linear(x.flatten(1), self.weight("linear"), self.bias)
        return self.grid(x, 0.0517, 0, -64, 63, torch.int8)


class Trained(nn.Module):
    """Fake quantisation as training has it: weights of 4 bits, activations of 6."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.linear = nn.Parameter(torch.randn(6, 1, 3, 3)), nn.Parameter(torch.randn(10, 96))
        self.register_buffer("scales", self.conv.detach().abs().amax((1, 2, 3)) / 7)
        self.register_buffer("zeros", torch.zeros(6, dtype=torch.int32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolution, pool, linear."""
        x = torch.fake_quantize_per_tensor_affine(x, 0.0171, 117, 0, 255)
        weight = torch.fake_quantize_per_channel_affine(self.conv, self.scales, self.zeros, 0, -7, 7)
        x = torch.fake_quantize_per_tensor_affine(
            torch.relu(nn.functional.conv2d(x, weight, padding=1)), 0.0831, 0, 0, 63
        )
        x = nn.functional.max_pool2d(x, 2)
        weight = torch.fake_quantize_per_tensor_affine(self.linear, 0.3, 0, -8, 7)
        return torch.fake_quantize_per_tensor_affine(
            nn.functional.linear(x.flatten(1), weight), 0.317, 0, -128, 127
        )


@pytest.mark.parametrize(("module", "bits"), [(Converted(), 8), (Trained(), 4)])
def test_integers_equal_torch(module: nn.Module, bits: int) -> None:
    images = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    program = torch.export.export(module.eval(), (images[:1],))
    ours = quantise(load_model(program))
    x, y = (ours.graph.tensor(names[0]) for names in (ours.graph.inputs, ours.graph.outputs))
    assert y.bits == 8 and x.unsigned
    layers = [task for task in ours.graph.tasks if isinstance(task, (QConv, QMatmul))]
    assert [task.weight_bits for task in layers] == [bits, bits]
    for image in images:
        theirs = np.rint(module(image[None]).detach().numpy() / y.scale)
        mine = run_golden(ours, {x.name: quantise_input(x, image[None].numpy())}).tensors[y.name] - y.zero
        assert (mine == theirs).all()


def test_scales_of_the_run_are_refused() -> None:
    class Dynamic(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scale, zero = x.abs().max() / 127, torch.zeros((), dtype=torch.int64)
            q = DECOMPOSED.quantize_per_tensor.tensor(x, scale, zero, -127, 127, torch.int8)
            return DECOMPOSED.dequantize_per_tensor.tensor(q, scale, zero, -127, 127, torch.int8)

    program = torch.export.export(Dynamic(), (torch.randn(1, 8),))
    with pytest.raises(UnsupportedError, match="its scale is computed at run time"):
        load_model(program)
