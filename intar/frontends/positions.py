"""Masks that the position of a call decides, found by trying every position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from intar.frontends.onnx_nodes import Rejected
from intar.ir.ops import HIDDEN, POSITION
from intar.ir.reference import counted_columns
from intar.ir.shapes import Shape, show

Form = Literal["added", "keeps", "hides"]


@dataclass(frozen=True)
class PositionMask:
    """What makes `cached_softmax` of a softmax behind it.

    Parameters
    ----------
    shape : of the mask; its last axes are the tokens of a call and, behind `cached` ones, the same tokens.
    form : numbers that are ``added`` to scores, or a choice that ``keeps`` or ``hides`` them.
    """

    shape: Shape
    cached: int
    form: Form


@dataclass(frozen=True)
class Masked:
    """Scores (by the graph's name) under a mask that depends on the position: a softmax has to follow."""

    scores: str
    mask: PositionMask


def position_mask(values: Callable[[int], np.ndarray]) -> PositionMask:
    """The mask whose value at each position is `values(position)`.

    Raises
    ------
    Rejected
        At some position it is not the one of a causal attention behind a cache: row i of a call keeps the columns before the
        position and, behind the cached ones, its own and those of the tokens before it.
    """
    first = values(0)
    shape = tuple(first.shape)
    cached = shape[-1] - shape[-2] if len(shape) > 1 else 0
    if cached < 1:
        raise Rejected(f"what the input '{POSITION}' decides is {show(shape)}, and no mask", _WHY, _HINT)
    forms = ("added",) if first.dtype != bool else ("keeps", "hides")
    keeps = [counted_columns(position, cached, shape[-2]) for position in range(cached + 1)]
    arrays = [first, *(values(position) for position in range(1, cached + 1))]
    for form in forms:
        fits = all(_fits(form, array, keep) for array, keep in zip(arrays, keeps, strict=True))
        if fits:
            return PositionMask(shape, cached, form)  # type: ignore[arg-type]
    raise Rejected(
        f"the mask {show(shape)} that the input '{POSITION}' decides hides other scores", _WHY, _HINT
    )


def _fits(form: str, array: np.ndarray, keep: np.ndarray) -> bool:
    if form == "added":
        return bool(np.where(keep, array == 0, array <= HIDDEN).all())
    return bool((array == (keep if form == "keeps" else ~keep)).all())


_WHY = (
    "row i of L new tokens keeps the columns before the position, and of the last L columns the first i + 1"
)
_HINT = "with keys cat([cache, new]) and c = arange(T + L): keep = (c < position) | (c >= T) & (c - T <= arange(L)[:, None])"
