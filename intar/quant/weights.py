"""Weights as integers: ours (symmetric, per output channel) or the model's own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from intar.errors import Finding, InternalError, UnsupportedError
from intar.ir.bits import signed_bits
from intar.ir.quantgraph import weight_type
from intar.ir.taskgraph import QuantParams
from intar.quant.fixed import VALUE_LIMIT, power_above
from intar.quant.ranges import MAX_ACC_BITS, acc_range

BIAS_BITS = 7
"""A bias has at most twice the bits of the input and so many more, in units of the accumulator. Then the rounding of weights
stays 9 bits below a step of an output of the input's width; and the vector units stay narrow."""
CLIP_STEPS = 32


@dataclass(frozen=True)
class Weights:
    """Integers of a matmul, ready for `docs/numerics.md`.

    Parameters
    ----------
    ints : (K, N), as `weight_type` says. bits : their width. scale : float64 (N,).
    bias : int64 (N,), in units of ``scale_x * scale``, the input's zero point folded in.
    acc_bits : width of the accumulator.
    addend : float64 (N,), what `bias` rounds, in the same units and without the zero point, where the model chose the
        units and they may be coarse.
    """

    ints: np.ndarray
    bits: int
    scale: np.ndarray
    bias: np.ndarray
    acc_bits: int
    addend: np.ndarray | None = None


def quantise_weights(
    weight: np.ndarray,
    bias: np.ndarray,
    bits: int,
    x_bits: int,
    x_scale: float,
    x_zero: int,
    power_of_two: bool = False,
) -> Weights:
    """Quantise a real weight (K, N) and bias (N,) for an input of the given format.

    The integers use the full symmetric range, or as much of it as the accumulator has room for; with `power_of_two` as
    much as the next power of two above the scale leaves.
    """
    top = (1 << (bits - 1)) - 1
    while top > 0:
        scale = _scales(weight, bias, top, bits, x_scale, 1 << (2 * x_bits + BIAS_BITS))
        if power_of_two:
            scale = power_above(scale)
        steps = weight / scale
        np.clip(np.rint(steps, out=steps), -top, top, out=steps)
        ints = steps.astype(weight_type(bits))
        result = _finish(ints, bits, scale, bias, x_bits, x_scale, x_zero)
        if result is not None:
            return result
        top >>= 1
    raise InternalError(f"no weight range fits the accumulator for K = {weight.shape[0]}")


def unit_weights(
    weight: np.ndarray, bias: np.ndarray, bits: int, x_bits: int, x_scale: float, x_zero: int
) -> Weights | None:
    """Means, sums and copies: weights 1 and -1 where each column (K, N) has one magnitude and no bias; else None."""
    size = np.abs(weight).max(axis=0)
    if bias.any() or not (size > 0).all() or not ((np.abs(weight) == size) | (weight == 0)).all():
        return None
    return _finish(np.sign(weight).astype(weight_type(bits)), bits, size, bias, x_bits, x_scale, x_zero)


def imported_weights(
    ints: np.ndarray,
    quant: QuantParams,
    gain: np.ndarray,
    bias: np.ndarray,
    x_bits: int,
    x_scale: float,
    x_zero: int,
    place: str,
) -> Weights:
    """The model's own integers, zero point subtracted, for ``gain * (x @ w) + bias``: a gain is in the scales, its sign in
    the integers. Raises UnsupportedError naming `place`."""
    columns = ints.shape[1]
    scale, zero = np.asarray(quant.scale, np.float64).reshape(-1), np.asarray(quant.zero_point).reshape(-1)
    if quant.bits == 32 or (quant.axis == 0 and max(scale.size, zero.size) > 1):
        raise UnsupportedError(
            Finding(
                "the weight's quantisation is not per tensor or per output channel with 4, 8 or 16 bits",
                place,
                hint="export with per-channel int8 weights (axis of the outputs)",
            )
        )
    shifted = (ints.astype(np.int64) - zero.astype(np.int64)) * np.sign(gain).astype(np.int64)
    bits = next((b for b in (4, 8, 16) if b >= quant.bits and _fits(shifted, b)), None)
    scales = np.broadcast_to(scale, (columns,)) * np.where(gain == 0, 1.0, np.abs(gain))
    ints = shifted if bits is None else shifted.astype(weight_type(bits))
    result = None if bits is None else _finish(ints, bits, scales, bias, x_bits, x_scale, x_zero)
    if result is None:
        raise UnsupportedError(
            Finding(
                f"the imported weight and bias need an accumulator of more than {MAX_ACC_BITS} bits, "
                "or a weight of more than 16",
                place,
                hint="give weights and zero points a smaller range, or import the float model",
            )
        )
    return replace(result, addend=bias / (x_scale * scales))


def _fits(ints: np.ndarray, bits: int) -> bool:
    return bool(ints.min() >= -(1 << (bits - 1)) and ints.max() < 1 << (bits - 1))


def _scales(
    weight: np.ndarray, bias: np.ndarray, top: int, bits: int, x_scale: float, bias_limit: int
) -> np.ndarray:
    """One scale for each column, large enough for the weight and for the bias to stay within `bias_limit`."""
    largest = np.abs(weight).max(axis=0)
    scale = largest / top
    if bits == 4:
        scale = _least_error(weight, scale, top)
    scale = np.maximum(scale, np.abs(bias) / (x_scale * bias_limit))
    empty = largest == 0
    # Without weights only the bias counts: 20 bits of it, far finer than any output.
    scale[empty] = np.abs(bias[empty]) / (x_scale * (1 << 20))
    none = ~(scale > np.finfo(np.float64).tiny)
    scale[none] = scale[~none].max(initial=0.0) or 1.0  # of a column of zeros: one that has a factor
    return scale


def _least_error(weight: np.ndarray, scale: np.ndarray, top: int) -> np.ndarray:
    """With few levels some clipping pays: for each column the fraction of the scale with the least squared error."""
    safe = np.where(scale > 0, scale, 1.0)
    best, kept = np.full(scale.shape, np.inf), safe.copy()
    for step in range(CLIP_STEPS, CLIP_STEPS // 2, -1):
        tried = safe * (step / CLIP_STEPS)
        error = ((np.clip(np.rint(weight / tried), -top, top) * tried - weight) ** 2).sum(axis=0)
        better = error < best
        best, kept = np.where(better, error, best), np.where(better, tried, kept)
    return np.where(scale > 0, kept, 0.0)


def _finish(
    ints: np.ndarray,
    bits: int,
    scale: np.ndarray,
    bias: np.ndarray,
    x_bits: int,
    x_scale: float,
    x_zero: int,
) -> Weights | None:
    """Bias and accumulator; None when a sum would not fit."""
    real = np.rint(bias / (x_scale * scale))
    if not (np.abs(real) < VALUE_LIMIT).all():
        return None
    offset = real.astype(np.int64) - x_zero * ints.sum(axis=0)
    low, high = acc_range(ints, x_bits)
    width = signed_bits(int(low.min()), int(high.max()))
    inside = (np.abs(low + offset) < VALUE_LIMIT).all() and (np.abs(high + offset) < VALUE_LIMIT).all()
    return Weights(ints, bits, scale, offset, width) if width <= MAX_ACC_BITS and inside else None
