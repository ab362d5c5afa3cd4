"""Elements chosen, replaced and added by constant indices, uneven pools, volumes and what is left of a division: in every
executor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conformance.proofs import require, require_generated
from torch import nn

import intar
from intar import proof


class Chosen(nn.Module):
    """A volume and a signal, each through what such networks have."""

    def __init__(self) -> None:
        super().__init__()
        self.volume, self.out = nn.Conv3d(2, 3, (2, 3, 3), padding=(0, 1, 1)), nn.Linear(24, 4)
        self.circle = nn.Conv1d(3, 4, 3, padding=1, padding_mode="circular")
        self.register_buffer("ends", torch.tensor([0, 2, 2, 1, 0, 4, 1, 3]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.max_pool3d(self.volume(x), (2, 1, 1)).flatten(1, 2)  # 1 × 3 × 5 × 7
        y = F.adaptive_avg_pool2d(F.relu(y), (2, 4)).flatten(2)  # 1 × 3 × 8
        z = self.circle(torch.remainder(y, 0.25))
        z = torch.zeros_like(z[..., :6]).index_add(2, self.ends, z)
        z[:, 1:3, ::2] = z[:, :2, 1::2]
        return self.out(z.flatten(1)) + z.flatten(1)[:, :4].prod(1, keepdim=True)


def compiled() -> tuple[intar.Accelerator, np.ndarray, Chosen]:
    torch.manual_seed(0)
    module, samples = Chosen().eval(), torch.randn(8, 2, 3, 5, 7)
    return (
        intar.compile(module, samples, budget={"multipliers": 16}, scheme="w8a8r16"),
        samples.numpy(),
        module,
    )


@pytest.mark.full
def test_engine() -> None:
    accel, samples, module = compiled()
    with torch.no_grad():
        expected = np.concatenate([module(torch.from_numpy(x[None])).numpy() for x in samples])
    error = np.abs(np.concatenate([accel(x[None]) for x in samples]) - expected)
    assert np.median(error) < 0.03 * np.abs(expected).max()
    require(proof.verify_engine(accel.design, [accel.integers(x[None]) for x in samples[:2]]))


@pytest.mark.full
@pytest.mark.sim
def test_generated_code(tmp_path: Path) -> None:
    accel, samples, _ = compiled()
    require_generated(
        accel.design, [accel.integers(x[None]) for x in samples[:2]], accel.write(tmp_path / "project")
    )
