"""Which channel belongs to which group, and everything that can be wrong with the operands."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from intar.errors import ConfigError, Finding

NUMERATOR, DENOMINATOR = 6, 4
"""Coefficients of a numerator of degree 5, and of a denominator of degree 4 whose constant is 1."""

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""What `x`, `a` and `b` may be; the arithmetic is float32 for all of them."""


@dataclass(frozen=True)
class Layout:
    """Shapes of one call.

    Parameters
    ----------
    rows : product of all axes of `x` but the last.
    channels : the last axis of `x`.
    groups : consecutive blocks of channels.
    size : channels in a block; the last one is shorter where `groups` does not divide `channels`.
    shared_a, shared_b : one row of coefficients for all groups.
    """

    rows: int
    channels: int
    groups: int
    size: int
    shared_a: bool
    shared_b: bool


def layout_of(
    x: torch.Tensor, a: torch.Tensor, b: torch.Tensor, groups: int, grad: torch.Tensor | None = None
) -> Layout:
    """The layout, or one error that has every finding; `grad` is the upstream gradient, where there is one.

    Channel `c` is in group ``c // ceil(channels / groups)``. Where `groups` divides `channels` these are the blocks of the
    published models; elsewhere the last group is shorter, and undefined (an error) where it would have no channel at all.
    """
    found = []
    channels = x.shape[-1] if x.ndim else 0
    size = -(-channels // groups) if groups > 0 else 0
    if x.ndim == 0:
        found.append(
            Finding("a scalar has no channels", "x", "the last axis holds the channels", "add an axis")
        )
    if groups < 1:
        found.append(Finding(f"{groups} is not a number of groups", "groups", hint="give 1 or more"))
    elif x.ndim and size * (groups - 1) >= channels:
        found.append(
            Finding(
                f"{channels} channels don't fill {groups} groups: blocks of {size} leave a group empty",
                "groups",
                "group g holds the channels from g·ceil(channels / groups)",
                f"give a divisor of {channels}" if channels else "give x channels",
            )
        )
    for name, part, width in (("a", a, NUMERATOR), ("b", b, DENOMINATOR)):
        if part.ndim != 2 or part.shape[1] != width or part.shape[0] not in (1, groups):
            found.append(
                Finding(
                    f"shape {list(part.shape)} does not fit {groups} groups",
                    name,
                    f"it is [1, {width}] where all groups share the coefficients, else [{groups}, {width}]",
                )
            )
    if grad is not None and grad.shape != x.shape:
        found.append(Finding(f"shape {list(grad.shape)} is not that of x, {list(x.shape)}", "grad"))
    for name, part in (("x", x), ("a", a), ("b", b), *(() if grad is None else (("grad", grad),))):
        if part.dtype not in DTYPES:
            found.append(
                Finding(
                    f"dtype {part.dtype} is not supported",
                    name,
                    "tensors are float32, bfloat16 or float16, the arithmetic is float32",
                    "convert it, or use intar.gpu.reference.forward, which computes in any dtype",
                )
            )
        if part.device != x.device:
            found.append(Finding(f"is on {part.device}, x on {x.device}", name))
    if found:
        raise ConfigError(found)
    rows = math.prod(x.shape[:-1])
    return Layout(rows, channels, groups, size, a.shape[0] == 1, b.shape[0] == 1)
