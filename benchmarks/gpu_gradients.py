"""Rounding of the coefficients' gradients: the kernels' order of additions, emulated on the CPU, against float64.

    python benchmarks/gpu_gradients.py [ROWS [CHANNELS]]      default 1024·197 rows of 768: 154.9 million elements

Every scheme adds the same float32 terms (`silu` coefficients, 8 groups, `x` and upstream gradient standard normal) in the
order of its kernel:

* `two_stage`: ours, cut up by `intar.gpu.tiling`, with the fused multiply-adds that sm_90 code has;
* `tiles_atomic`: FlashKAT's, 64 rows x 64 channels at a time, tiles one after the other into one float32 cell a group;
* `elements_atomic`: KAT's, every term into its group's float32 cell;
* `terms`: the products of the same float32 factors, exactly: what no order of additions can better;
* `rounded`: the exact sums of exact terms, rounded to float32: no gradient in float32 can be nearer.

Writes ``benchmarks/results/gpu_gradients.json``: mean absolute errors of dA with one numerator a group (`da`), with one for
all groups as in the published models (`da_shared`), and of dB (`db`). Needs less than 2 GB, and minutes.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from intar.gpu.coefficients import preset
from intar.gpu.layout import Layout
from intar.gpu.tiling import Tiling, tiling

RESULTS = Path(__file__).parent / "results" / "gpu_gradients.json"
GROUPS = 8
BLOCK = 64
"""Rows and channels of FlashKAT's tiles."""


def fma(a: Tensor, b: Tensor, c: Tensor | float) -> Tensor:
    """a b + c, rounded once (a product of two float32 is exact in float64)."""
    return (a.double() * b + c).float()


def horner(coefficients: list[float], x: Tensor) -> Tensor:
    """In `x`'s dtype; float32 as a chain of fused multiply-adds."""
    total = torch.full_like(x, coefficients[-1])
    for value in reversed(coefficients[:-1]):
        total = fma(total, x, float(np.float32(value))) if x.dtype == torch.float32 else total * x + value
    return total


Factors = list[tuple[Tensor, Tensor]]


def factors(grad: Tensor, x: Tensor) -> Factors:
    """The ten terms of each element as two factors: t and x^i (i = 0 … 5), then y t and |x|^i (i = 1 … 4)."""
    a, b = ([float(np.float32(value)) for value in part] for part in preset("silu"))
    inverse = 1 / horner([1.0, *b], x.abs())
    t = grad * inverse
    yt = horner(a, x) * inverse * t
    x2 = x * x
    powers = [torch.ones_like(x), x, x2, x2 * x, x2 * x2, x2 * x2 * x]
    return [(t, power) for power in powers] + [(yt, power.abs()) for power in powers[1:5]]


def chunks(rows: int, channels: int, step: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Upstream gradient and `x`, `step` rows at a time; the last ones filled up with zeros."""
    for first in range(0, rows, step):
        generator = torch.Generator().manual_seed(first)
        pair = torch.randn((2, step, channels), generator=generator)
        pair[0, rows - first :] = 0
        yield pair[0], pair[1]


def two_stage(parts: Factors, tiles: Tiling, sums: Tensor, lost: Tensor) -> None:
    """One tile of every program into `sums` [10, programs, lanes, vectors], and what that rounds off into `lost`."""
    shape = (tiles.programs, tiles.lanes, tiles.width, tiles.vec)
    for moment, (weight, power) in enumerate(parts):
        w, p = weight.reshape(shape), power.reshape(shape)
        vectors = fma(w[..., 1::2], p[..., 1::2], w[..., ::2] * p[..., ::2])
        while vectors.shape[-1] > 1:
            vectors = vectors[..., ::2] + vectors[..., 1::2]
        new = sums[moment] + vectors[..., 0]
        lost[moment] += vectors[..., 0] - (new - sums[moment])
        sums[moment] = new


def fold(sums: Tensor, lost: Tensor, tiles: Tiling) -> Tensor:
    """Moments [10, groups]: lanes in float64, stored as float32, then everything in float64."""
    partial = (sums.double() + lost).sum(2).float()
    return partial.double().sum(1).reshape(10, GROUPS, tiles.group).sum(2)


def tiles_atomic(parts: Factors, cells: Tensor) -> None:
    """FlashKAT: 64 rows of a group, 64 channels at a time, then an atomic addition into `cells` [10, groups]."""
    rows, channels = parts[0][0].shape
    programs = torch.zeros(10, rows // BLOCK, GROUPS)
    for moment, (weight, power) in enumerate(parts):
        terms = (weight * power).reshape(rows // BLOCK, BLOCK, GROUPS, channels // GROUPS)
        for block in terms.split(BLOCK, -1):
            programs[moment] += block.sum((1, 3))
    for program in programs.unbind(1):
        cells += program


def elements_atomic(parts: Factors, cells: Tensor) -> None:
    """KAT: one element after the other into `cells` [10, groups]."""
    for moment, (weight, power) in enumerate(parts):
        terms = (weight * power).reshape(len(power), GROUPS, -1).transpose(0, 1).reshape(GROUPS, -1)
        line = torch.cat([cells[moment][:, None], terms], 1).numpy()
        cells[moment] = torch.from_numpy(np.add.accumulate(line, 1, dtype=np.float32)[:, -1])


def exact(parts: Factors, sums: Tensor) -> None:
    """Products and their sums in float64 into `sums` [10, groups]."""
    for moment, (weight, power) in enumerate(parts):
        sums[moment] += (weight.double() * power).reshape(len(power), GROUPS, -1).sum((0, 2))


def errors(found: Tensor, wanted: Tensor) -> dict[str, float]:
    """Mean absolute errors of the gradients that moments [10, groups] stand for, rounded to float32."""
    gap = (found.float().double() - wanted).abs()
    whole = found[:6].sum(1).float().double() - wanted[:6].sum(1)
    return {
        "da": gap[:6].mean().item(),
        "da_shared": whole.abs().mean().item(),
        "db": gap[6:].mean().item(),
    }


def measure(rows: int, channels: int) -> dict[str, object]:
    """All schemes on the same terms."""
    tiles = tiling(Layout(rows, channels, GROUPS, channels // GROUPS, True, False), 4, "backward")
    step = tiles.programs * tiles.lanes
    if step % BLOCK:
        raise SystemExit(f"{rows} rows are too few: {step} of them at a time are no whole tiles of {BLOCK}")
    by_lanes, lost = torch.zeros(2, 10, tiles.programs, tiles.lanes, tiles.width)
    by_tiles, by_elements = torch.zeros(10, GROUPS), torch.zeros(10, GROUPS)
    by_terms, wanted = torch.zeros(2, 10, GROUPS, dtype=torch.float64)
    for grad, x in chunks(rows, channels, step):
        parts = factors(grad, x)
        two_stage(parts, tiles, by_lanes, lost)
        tiles_atomic(parts, by_tiles)
        elements_atomic(parts, by_elements)
        exact(parts, by_terms)
        exact(factors(grad.double(), x.double()), wanted)
    return {
        "rows": rows,
        "channels": channels,
        "elements": rows * channels,
        "programs": tiles.programs,
        "largest": wanted.abs().max().item(),
        "two_stage": errors(fold(by_lanes, lost, tiles), wanted),
        "tiles_atomic": errors(by_tiles, wanted),
        "elements_atomic": errors(by_elements, wanted),
        "terms": errors(by_terms, wanted),
        "rounded": errors(wanted, wanted),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    sizes = [int(value) for value in sys.argv[1:]]
    found = measure(*(sizes + [1024 * 197, 768][len(sizes) :]))
    print(json.dumps(found, indent=1))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
