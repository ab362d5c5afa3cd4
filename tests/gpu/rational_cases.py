"""Operands for the tests of the grouped rational function, and the function written down a second time."""

from __future__ import annotations

import torch
from torch import Tensor

TRAINED = (
    (3.5052e-2, 1.9598, -7.1714e-4, 6.8695e-2, 1.7044e-3, 6.9782e-2),
    (2.477e-5, -2.1652e-2, -1.3371e-2, -3.3172e-2),
)
"""The first function of a trained KAT: the size that coefficients have in practice, with mixed signs."""


def operands(
    shape: tuple[int, ...], groups: int, shared: tuple[bool, bool] = (True, False), seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """`x` normal with a deviation of 2, and coefficients around the trained ones: float32 leaves."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(shape, generator=generator)
    parts = []
    for row, one in zip(TRAINED, shared, strict=True):
        base = torch.tensor(row).repeat(1 if one else groups, 1)
        parts.append(base + 0.05 * torch.randn(base.shape, generator=generator))
    return x, parts[0], parts[1]


def written_out(x: Tensor, a: Tensor, b: Tensor, groups: int) -> Tensor:
    """The definition, group by group and power by power, with absolute values whose slope at zero is +1."""
    size = -(-x.shape[-1] // groups)
    blocks = []
    for group, block in enumerate(x.split(size, dim=-1)):
        numerator, denominator = a[group % a.shape[0]], b[group % b.shape[0]]
        p = sum(numerator[i] * block**i for i in range(6))
        q = 1 + sum(magnitude(denominator[i - 1]) * magnitude(block) ** i for i in range(1, 5))
        blocks.append(p / q)
    return torch.cat(blocks, -1)


def magnitude(value: Tensor) -> Tensor:
    return torch.where(value < 0, -value, value)
