"""PyTorch models as people write them: broadcast masks and gates, class tokens, padding, less common functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conformance.proofs import require, require_generated
from torch import nn

import intar
from intar import proof


class Gated(nn.Module):
    """Depthwise convolution, a gate of its channels, and what is left of the image's mean."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(2, 8, 1), nn.Conv2d(8, 8, 3, groups=8)
        self.squeeze, self.excite, self.head = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.elu(self.depthwise(F.pad(F.mish(self.stem(x)), (1, 1, 1, 1))))
        gate = F.adaptive_avg_pool2d(x, 1)
        x = x * F.hardsigmoid(self.excite(F.relu(self.squeeze(gate))))
        return self.head(x.mean((2, 3)))


class Patches(nn.Module):
    """A vision transformer of one block: patches behind a class token, attention spelled out."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.patch = heads, nn.Conv2d(1, width, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.place = nn.Parameter(torch.randn(1, 5, width))
        self.norm, self.qkv, self.out = (
            nn.LayerNorm(width),
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        batch, tokens, width = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, width))
        return F.normalize(x[:, 0], dim=-1)


class Masked(nn.Module):
    """Attention under a mask of tokens, which the module turns into what is added to all rows and heads."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.table = heads, nn.Embedding(20, width)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))

    def forward(self, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        x = 3 * self.table(ids)
        batch, tokens, width = x.shape
        q, k, v = (
            one(x).view(batch, tokens, self.heads, -1).transpose(1, 2) for one in (self.q, self.k, self.v)
        )
        scores = q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5
        scores = scores + (1 - keep[:, None, None, :]) * -10000.0
        return (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, width)


class Signal(nn.Module):
    """Causal convolutions, a gate, groups of channels normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(2, 8, 3), nn.Conv1d(4, 4, 3, dilation=2)
        self.norm = nn.GroupNorm(2, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.glu(self.first(F.pad(x, (2, 0))), 1)
        return self.norm(x + F.softplus(self.second(F.pad(x, (4, 0)))))


class Functions(nn.Module):
    """A sine network with quotients, choices, the larger of two, reductions, and elements chosen along an axis."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.sin(3 * self.first(x))
        y = self.second(x)
        y = torch.where(y > 0.1, y, 0.5 * torch.maximum(x, y)) / (1 + y.std(-1, keepdim=True))
        y = y + (y * y + 0.1).log() - (y.abs() + 0.1) ** 0.5 + y.amax(-1, keepdim=True)
        y = y[..., ::2] + y.flip(-1)[..., [3, 1, 0, 0, 2, 7, 6, 5]] + y.sum(1, keepdim=True)[..., :8]
        return F.log_softmax(y, -1)


class Larger(nn.Module):
    """An image in finer steps by interpolation, padded with what is there, its largest elements."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(F.pad(x, (1, 1, 1, 1), mode="reflect")).cos()
        x = self.last(F.interpolate(x, scale_factor=2, mode="bilinear"))
        return F.adaptive_max_pool2d(x, 2).flatten(1) + x.roll(2, 3).sum((1, 2, 3))


def masked() -> tuple[torch.Tensor, ...]:
    lengths = torch.randint(2, 7, (16, 1))
    return torch.randint(0, 20, (16, 6)), (torch.arange(6)[None] < lengths).float()


MODELS: dict[str, tuple[type[nn.Module], Callable[[], torch.Tensor | tuple[torch.Tensor, ...]], float]] = {
    "gated": (Gated, lambda: torch.randn(16, 2, 8, 8), 25),
    "patches": (Patches, lambda: torch.randn(16, 1, 8, 8), 30),
    "masked": (Masked, masked, 60),
    "signal": (Signal, lambda: torch.randn(16, 2, 12), 25),
    "functions": (Functions, lambda: torch.randn(16, 3, 8), 25),
    "larger": (Larger, lambda: torch.randn(16, 2, 6, 6), 25),
}
"""Module, samples, and how many decibels golden is at least above the noise."""


def compiled(name: str) -> tuple[intar.Accelerator, dict[str, np.ndarray], nn.Module]:
    """Accelerator, samples by input, and module."""
    torch.manual_seed(0)
    make, data, _ = MODELS[name]
    module, given = make().eval(), data()
    scheme = {"masked": "w16a16", "patches": "w8a8r16", "functions": "w8a8r16"}.get(name, "w8a8")
    pattern = "sequential" if name == "functions" else "auto"  # a hundred small tasks
    budget = {"cores": 2, "rows": 2, "lanes": 8}
    accel = intar.compile(module, given, scheme=scheme, budget=budget, pattern=pattern)
    listed = given if isinstance(given, tuple) else (given,)
    return accel, dict(zip(accel.graph.inputs, (x.numpy() for x in listed), strict=True)), module


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    """Golden follows the module, masks and all; the engine has golden's integers."""
    accel, given, module = compiled(name)
    calls = [{key: values[i : i + 1] for key, values in given.items()} for i in range(4)]
    noise = signal = 0.0
    for call in calls:
        with torch.no_grad():
            wanted = module(*map(torch.from_numpy, call.values())).numpy().reshape(-1)
        noise += float(((accel(call).reshape(-1) - wanted) ** 2).sum())
        signal += float((wanted**2).sum())
    assert 10 * np.log10(signal / noise) > MODELS[name][2]
    require(proof.verify_engine(accel.design, [accel.integers(call) for call in calls]))


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.parametrize("name", MODELS)
def test_models_in_hardware(name: str, tmp_path: Path) -> None:
    accel, given, _ = compiled(name)
    call = accel.integers({key: values[:1] for key, values in given.items()})
    require_generated(accel.design, [call], accel.write(tmp_path / "made"))
