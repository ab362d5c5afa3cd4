"""The grouped rational function in plain PyTorch: what the kernels compute, in any floating-point type.

For an element `x` of group `g`, with every term of the denominator positive::

    P = a0 + a1 x + … + a5 x^5      Q = 1 + |b1||x| + |b2||x|^2 + |b3||x|^3 + |b4||x|^4      y = P / Q

This is what the released kernels of KAT and FlashKAT execute and what their checkpoints were trained with; the papers
write ``|b1 x + …|``, and the published CPU path uses signed powers, which is another function for ``x < 0``.

The sign of `x` is its sign bit, that of ``b = 0`` is +1. So the gradient of `b` is not zero at ``b = 0``, where every
identity initialisation starts and where autograd through ``abs`` would stay for ever.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def forward(x: Tensor, a: Tensor, b: Tensor, groups: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """``F(x)``, computed in `dtype`, in the dtype of `x`; shapes as in :func:`intar.gpu.group_rational`."""
    numerator, denominator = _coefficients(x, a, b, groups, dtype)
    wide = x.to(dtype)
    return (_horner(numerator, wide) / _denominator(denominator, wide)).to(x.dtype)


def backward(
    grad: Tensor, x: Tensor, a: Tensor, b: Tensor, groups: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `x`, `a` and `b`; elements are computed in `dtype`, the sums over them in float64.

    With ``t = grad / Q``: ``dx = t (P' - sign(x) y Q')``, ``da_i = sum t x^i``, ``db_i = -sign(b_i) sum y t |x|^i``.
    """
    numerator, denominator = _coefficients(x, a, b, groups, dtype)
    wide = x.to(dtype)
    size = wide.abs()
    q = _denominator(denominator, wide)
    y, t = _horner(numerator, wide) / q, grad.to(dtype) / q
    slope_p = _horner([i * c for i, c in enumerate(numerator)][1:], wide)
    slope_q = _horner([i * c for i, c in enumerate(denominator, 1)], size)
    dx = (t * (slope_p - torch.where(wide.signbit(), -y, y) * slope_q)).to(x.dtype)

    da = torch.stack([_group_sums(t * wide**i, groups) for i in range(len(numerator))], 1)
    db = torch.stack([_group_sums(y * t * size**i, groups) for i in range(1, len(denominator) + 1)], 1)
    da = da.sum(0, keepdim=True) if a.shape[0] == 1 else da
    db = db.sum(0, keepdim=True) if b.shape[0] == 1 else db
    return dx, da.to(a.dtype), torch.where(b < 0, db, -db).to(b.dtype)


def oracle(
    grad: Tensor, x: Tensor, a: Tensor, b: Tensor, groups: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Result and gradients (`y`, `dx`, `da`, `db`) in float64: what every other implementation is measured against."""
    grad, x, a, b = (part.detach().to(torch.float64) for part in (grad, x, a, b))
    return forward(x, a, b, groups, torch.float64), *backward(grad, x, a, b, groups, torch.float64)


def _coefficients(
    x: Tensor, a: Tensor, b: Tensor, groups: int, dtype: torch.dtype
) -> tuple[list[Tensor], list[Tensor]]:
    """Coefficients of every channel: lists of tensors [channels] (or scalars where all groups share them)."""
    channels = x.shape[-1]
    group = torch.arange(channels, device=x.device) // -(-channels // groups)
    spread = [part[0] if part.shape[0] == 1 else part[group] for part in (a.to(dtype), b.to(dtype).abs())]
    return list(spread[0].unbind(-1)), list(spread[1].unbind(-1))


def _horner(coefficients: list[Tensor], x: Tensor) -> Tensor:
    total = coefficients[-1].expand_as(x)
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


def _denominator(coefficients: list[Tensor], x: Tensor) -> Tensor:
    size = x.abs()
    return _horner(coefficients, size) * size + 1


def _group_sums(terms: Tensor, groups: int) -> Tensor:
    """Float64 sums over all axes but the last, then over each group's channels: [groups]."""
    columns = terms.reshape(-1, terms.shape[-1]).sum(0, dtype=torch.float64)
    size = -(-len(columns) // groups)
    return pad(columns, (0, size * groups - len(columns))).reshape(groups, size).sum(1)
