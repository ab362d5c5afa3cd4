"""Integers of ``gain * x + offset``, and of what becomes of an accumulator: bias, multiplier, shift and zero point."""

from __future__ import annotations

import numpy as np

from intar.quant.fixed import factors, limits, requantise
from intar.quant.formats import Format
from intar.quant.weights import Weights

NEGLIGIBLE = 1 << 40

OFFSET = 1 << 16
"""What an affine's zero point is lowered by where offsets are fractions of an input step: with it fits 18 bits."""

LARGEST_BIAS = 1 << 45
"""Beside it an input of 16 bits moves the result by less than a thousandth of a step."""

AT_ONCE = 4096
"""Columns whose results over the input's range are compared at once: a tensor of which every element has its own line has
hundreds of thousands."""

COARSE = 1e-5
"""Steps of the result that rounding a bias may be off by before its line is drawn through a lowered zero point."""

NEIGHBOURS = 8
"""Biases tried on either side of the nearest one."""


def affine_integers(
    gain: np.ndarray, offset: np.ndarray, x: Format, target: Format, plain: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Bias, multiplier and shift (int64, one a column) of ``gain * x + offset``, and the zero point. Raises FactorRange.

    The bias counts input steps. Where the offset is a fraction of one, the zero point is lowered by `OFFSET` output steps
    and the line goes through a bias near ``(OFFSET + offset) / slope``, with its slope turned by less than
    ``slope / OFFSET``; of the biases around that one the one with the fewest wrong results over the input's range is taken
    (docs/numerics.md). With `plain` the offset is rounded to input steps: slopes stay what they are, powers of two.
    """
    pairs, place, counts = np.unique(
        np.stack(np.broadcast_arrays(gain, offset)), axis=1, return_inverse=True, return_counts=True
    )
    integers, zero = _distinct(pairs[0], pairs[1], counts, x, target, plain)
    return *(each[place.reshape(-1)] for each in integers), zero  # type: ignore[return-value]


def _distinct(
    gain: np.ndarray, offset: np.ndarray, counts: np.ndarray, x: Format, target: Format, plain: bool
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], int]:
    """The same of columns of which there are `counts` each."""
    slope, shifted = gain * x.scale / target.scale, offset / target.scale
    with np.errstate(divide="ignore", invalid="ignore"):
        units = shifted / slope
    constant = ~(np.abs(units) < NEGLIGIBLE)
    units = np.where(constant, 0.0, units)
    bias = np.where(constant, 1 << 30, np.rint(units)).astype(np.int64) - x.zero
    simple = (bias, *factors(np.where(constant, shifted / (1 << 30), slope)))
    if plain or (not constant.any() and np.abs((units - np.rint(units)) * slope).max(initial=0.0) < 1e-6):
        return simple, target.zero
    low, high = limits(x.bits)
    inputs = np.unique(np.linspace(low, high, min(high - low + 1, 1024)).astype(np.int64))[:, None]
    worst, total, parts = np.zeros(2), np.zeros(2), []
    for first in range(0, len(slope), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        wanted = np.floor(slope[part] * (inputs - x.zero) + shifted[part] + 0.5)
        level = OFFSET + shifted[part] - slope[part] * x.zero
        exact = _through(slope[part], level, inputs, wanted + OFFSET)
        parts.append(exact)
        own = tuple(each[part] for each in simple)
        for way, ((bias, mult, shift), lowered) in enumerate(((own, 0), (exact, OFFSET))):
            gaps = np.abs(requantise(inputs + bias, mult, shift) - lowered - wanted)
            worst[way] = max(worst[way], gaps.max(initial=0.0))
            total[way] += (gaps * counts[part]).sum()
    if (worst[0], total[0]) <= (worst[1], total[1]):
        return simple, target.zero
    bias, mult, shift = (np.concatenate(each) for each in zip(*parts, strict=True))
    return (bias, mult, shift), target.zero - OFFSET


def accumulator_integers(
    data: Weights, x_scale: float, target: Format
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Bias, multiplier and shift (int64, one a column) that bring accumulators into a format, and the zero point.

    Where the model's own weights and activations have few bits, an accumulator's step is coarse for what is added to it.
    Then the zero point is lowered by `OFFSET` and the line goes through a whole bias there, as an affine's does; it is
    turned by less than ``slope / OFFSET``, which moves a result of 8 bits by less than a hundredth of a step. Raises
    FactorRange.
    """
    slope = x_scale * data.scale / target.scale
    if data.addend is not None:
        whole = np.rint(data.addend)
        if (np.abs(data.addend - whole) * slope).max(initial=0.0) > COARSE:
            level = OFFSET + data.addend * slope
            bias = np.maximum(np.rint(level / slope), 1.0)
            if bias.max() < LARGEST_BIAS and (level > 0).all():
                return (
                    data.bias + (bias - whole).astype(np.int64),
                    *factors(level / bias),
                    target.zero - OFFSET,
                )
    return data.bias, *factors(slope), target.zero


def _through(
    slope: np.ndarray, level: np.ndarray, inputs: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bias, multiplier and shift of ``slope * q + level``: the line through ``level`` at 0 whose zero is a whole number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        nearest = np.rint(level / slope)
    nearest = np.where(np.abs(nearest) < LARGEST_BIAS, nearest, LARGEST_BIAS).astype(np.int64)
    best: tuple[np.ndarray, ...] = ()
    for step in sorted(range(-NEIGHBOURS, NEIGHBOURS + 1), key=abs):
        bias = np.where(nearest + step == 0, 1, nearest + step)
        mult, shift = factors(level / bias)
        wrong = (requantise(inputs + bias, mult, shift) != wanted).sum(axis=0)
        found = (wrong, bias, mult, shift)
        best = (
            tuple(np.where(wrong < best[0], a, b) for a, b in zip(found, best, strict=True))
            if best
            else found
        )
        if not best[0].any():
            break
    return best[1], best[2], best[3]
