"""LayerNorm and RMSNorm in integers: parameters from real numbers, and the rows themselves (`docs/numerics.md`)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isfinite

import numpy as np

from intar.ir import norm
from intar.quant.fixed import FactorRange, scaled


@dataclass(frozen=True)
class NormFactors:
    """E, s and q of a normalisation, and its int64 gain and offset, one element a column."""

    epsilon: int
    shift: int
    out_shift: int
    gain: np.ndarray
    offset: np.ndarray


def norm_factors(
    gain: np.ndarray, offset: np.ndarray, epsilon: float, scale: float, out_scale: float
) -> NormFactors:
    """The integers of ``normalised * gain + offset`` on rows of ``len(gain)`` elements in steps of `scale`.

    Raises
    ------
    FactorRange
        Epsilon or an offset is far out of proportion to the tensors' scales, or a gain is too large.
    """
    columns = len(gain)
    count = Fraction(columns) ** 2 * Fraction(epsilon) / Fraction(scale) ** 2
    steps = max(1, round(count))
    if steps >= 1 << norm.EPSILON_BITS:
        raise FactorRange(f"epsilon {epsilon:.4g} is far above the square of the input's step {scale:.4g}")
    fraction = norm.fraction_bits(columns)
    real = np.asarray(gain, np.float64) / out_scale
    largest = float(np.abs(real).max(initial=0.0))
    if not isfinite(largest):
        raise FactorRange("a scale is not a finite number of output steps")
    limit = 1 << (norm.GAIN_BITS - 1)
    fits = [
        q
        for q in range(norm.OFFSET_FRACTION, norm.MAX_OUT_SHIFT + 1)
        if abs(
            scaled(Fraction(largest), q - fraction)
            if q >= fraction
            else Fraction(largest) / 2 ** (fraction - q)
        )
        < limit
    ]
    if not fits:
        raise FactorRange(f"the scale {largest:.4g} (in output steps) is too large")
    out_shift = max(fits)
    offsets = np.rint(np.asarray(offset, np.float64) / out_scale * (1 << norm.OFFSET_FRACTION))
    if not (np.abs(offsets) < 1 << 31).all():
        raise FactorRange(
            f"the shift {np.abs(offset).max():.4g} is too large for an output step of {out_scale:.4g}"
        )
    return NormFactors(
        epsilon=steps,
        shift=norm.ROOT_BITS + 1 - fraction,
        out_shift=out_shift,
        gain=np.rint(np.ldexp(real, out_shift - fraction)).astype(np.int64),
        offset=offsets.astype(np.int64),
    )


def reciprocal_root(total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``R`` and ``t`` of each W (int64, 1 … 2**62 - 1)."""
    w = np.asarray(total, np.int64)
    pair = sum((w >> (2 * i) > 0).astype(np.int64) for i in range(1, 31))
    up = np.maximum(norm.WIDTH_FRACTION - 2 * pair, 0)
    narrow = (w << up) >> np.maximum(2 * pair - norm.WIDTH_FRACTION, 0)
    root = np.zeros_like(w)
    for bit in reversed(range(norm.ROOT_BITS)):
        more = root + (1 << bit)
        root = np.where(more * more * narrow <= 1 << (2 * norm.ROOT_BITS + norm.WIDTH_FRACTION), more, root)
    return root, np.asarray(pair)


def normalise(x: np.ndarray, centred: bool, factors: NormFactors) -> np.ndarray:
    """Each row normalised, in units of the output's last place, before zero point and clamp.

    Parameters
    ----------
    x : int64 (rows, cols), values of at most 16 bits.
    """
    columns = x.shape[1]
    total = x.sum(axis=1, keepdims=True) if centred else np.zeros((len(x), 1), np.int64)
    spread = columns * (x * x).sum(axis=1, keepdims=True) - total * total + factors.epsilon
    root, pair = reciprocal_root(spread)
    down = factors.shift + pair
    z = ((columns * x - total) * (2 * root + 1) + (np.int64(1) << (down - 1))) >> down
    q = factors.out_shift
    offset = factors.offset << (q - norm.OFFSET_FRACTION)
    return (z * factors.gain + offset + (np.int64(1) << (q - 1))) >> q
