"""The baseline: FlashKAT's kernels, written anew from a description of what they do.

Forward: one element a thread, its group found by a division, its ten coefficients loaded from memory. Backward: a program
has 64 rows of one group, takes 64 channels at a time, divides for every term, sums each term over every tile, and adds ten
sums atomically. Float32 in and out; one row of coefficients for each group; the group size divides the channels. The
backward kernel has its shape as constants, so that every new batch size is compiled again.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS = COLUMNS = 64
"""Of a backward tile."""
BLOCK = 128
"""Elements of a forward program."""


@triton.jit
def forward_kernel(x, a, b, y, channels, size_of_group, count, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    group = (place % channels) // size_of_group
    value = tl.load(x + place, inside, other=0.0)
    size = tl.abs(value)
    p = tl.load(a + group * 6 + 5)
    for i in tl.static_range(4, -1, -1):
        p = p * value + tl.load(a + group * 6 + i)
    q = tl.abs(tl.load(b + group * 4 + 3))
    for i in tl.static_range(2, -1, -1):
        q = q * size + tl.abs(tl.load(b + group * 4 + i))
    tl.store(y + place, p / (q * size + 1.0), inside)


@triton.jit
def backward_kernel(
    grad, x, a, b, dx, da, db,
    TOTAL: tl.constexpr, CHANNELS: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    group = tl.program_id(1)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    a0, a1, a2 = tl.load(a + group * 6), tl.load(a + group * 6 + 1), tl.load(a + group * 6 + 2)
    a3, a4, a5 = tl.load(a + group * 6 + 3), tl.load(a + group * 6 + 4), tl.load(a + group * 6 + 5)
    b1, b2 = tl.load(b + group * 4), tl.load(b + group * 4 + 1)
    b3, b4 = tl.load(b + group * 4 + 2), tl.load(b + group * 4 + 3)
    da0, da1, da2, da3, da4, da5 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    db1, db2, db3, db4 = 0.0, 0.0, 0.0, 0.0
    for start in range(0, SIZE, COLUMNS):
        column = start + tl.arange(0, COLUMNS)[None, :]
        inside = (row < TOTAL) & (column < SIZE)
        place = row * CHANNELS + group * SIZE + column
        value = tl.load(x + place, inside, other=0.0)
        upper = tl.load(grad + place, inside, other=0.0)
        size = tl.abs(value)
        x2 = value * value
        x3 = x2 * value
        x4 = x3 * value
        x5 = x4 * value
        s2 = size * size
        s3 = s2 * size
        s4 = s3 * size
        p = a0 + a1 * value + a2 * x2 + a3 * x3 + a4 * x4 + a5 * x5
        q = 1.0 + tl.abs(b1) * size + tl.abs(b2) * s2 + tl.abs(b3) * s3 + tl.abs(b4) * s4
        r = a1 + 2.0 * a2 * value + 3.0 * a3 * x2 + 4.0 * a4 * x3 + 5.0 * a5 * x4
        sign = tl.where(value < 0, -1.0, 1.0)
        s = sign * (tl.abs(b1) + 2.0 * tl.abs(b2) * size + 3.0 * tl.abs(b3) * s2 + 4.0 * tl.abs(b4) * s3)
        slope = -p / (q * q)
        tl.store(dx + place, (r / q + s * slope) * upper, inside)
        db1 += tl.sum(slope * tl.where(b1 < 0, -1.0, 1.0) * size * upper)
        db2 += tl.sum(slope * tl.where(b2 < 0, -1.0, 1.0) * s2 * upper)
        db3 += tl.sum(slope * tl.where(b3 < 0, -1.0, 1.0) * s3 * upper)
        db4 += tl.sum(slope * tl.where(b4 < 0, -1.0, 1.0) * s4 * upper)
        da0 += tl.sum(upper / q)
        da1 += tl.sum(value * upper / q)
        da2 += tl.sum(x2 * upper / q)
        da3 += tl.sum(x3 * upper / q)
        da4 += tl.sum(x4 * upper / q)
        da5 += tl.sum(x5 * upper / q)
    tl.atomic_add(da + group * 6, da0)
    tl.atomic_add(da + group * 6 + 1, da1)
    tl.atomic_add(da + group * 6 + 2, da2)
    tl.atomic_add(da + group * 6 + 3, da3)
    tl.atomic_add(da + group * 6 + 4, da4)
    tl.atomic_add(da + group * 6 + 5, da5)
    tl.atomic_add(db + group * 4, db1)
    tl.atomic_add(db + group * 4 + 1, db2)
    tl.atomic_add(db + group * 4 + 2, db3)
    tl.atomic_add(db + group * 4 + 3, db4)


def forward(x: Tensor, a: Tensor, b: Tensor, groups: int) -> Tensor:
    """`x` [rows, channels], contiguous float32; `a` [groups, 6], `b` [groups, 4]."""
    y = torch.empty_like(x)
    forward_kernel[triton.cdiv(x.numel(), BLOCK),](
        x, a, b, y, x.shape[1], x.shape[1] // groups, x.numel(), BLOCK=BLOCK
    )
    return y


def backward(grad: Tensor, x: Tensor, a: Tensor, b: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `x`, `a` [groups, 6] and `b` [groups, 4]; their last bits differ from run to run."""
    dx, da, db = torch.empty_like(x), torch.zeros_like(a), torch.zeros_like(b)
    backward_kernel[triton.cdiv(len(x), ROWS), groups](
        grad, x, a, b, dx, da, db,
        TOTAL=len(x), CHANNELS=x.shape[1], SIZE=x.shape[1] // groups, ROWS=ROWS, COLUMNS=COLUMNS,
    )  # fmt: skip
    return dx, da, db
