"""How an image is kept, and what a window reads of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from intar.errors import Finding, UnsupportedError
from intar.grid.windows import Window
from intar.ir.shapes import Shape
from intar.ir.taskgraph import QuantParams


@dataclass(frozen=True)
class Stored:
    """How an image is kept.

    Parameters
    ----------
    name : the tensor (1, channels, rows of the grid, columns of the grid) in the new graph.
    channels : its channels.
    where : (phases, C): the channel of each phase of each channel of the image.
    phases : rows, columns.
    size : rows, columns of the image.
    """

    name: str
    channels: int
    where: np.ndarray
    phases: tuple[int, int]
    size: tuple[int, int]

    @property
    def canonical(self) -> bool:
        """Phase after phase, all channels of each, and nothing else."""
        count = self.where.size
        return self.channels == count and bool((self.where.reshape(-1) == np.arange(count)).all())

    @property
    def apart(self) -> bool:
        """No two channels of the image are kept in one."""
        owner = np.zeros(self.channels, np.int64)
        channels = np.broadcast_to(np.arange(self.where.shape[1]), self.where.shape)
        owner[self.where] = channels
        return bool((owner[self.where] == channels).all())

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return -(-self.size[0] // self.phases[0]), -(-self.size[1] // self.phases[1])

    def rows(self, axis: int, phase: int) -> int:
        """Valid rows (axis 0) or columns of a phase: those of the grid, or one less."""
        return -(-(self.size[axis] - phase) // self.phases[axis])

    def short(self, axis: int, phase: int) -> int:
        """1 when the phase has a row (axis 0) or column less than the grid."""
        return int(self.rows(axis, phase) < self.grid[axis])

    def lookalikes(self) -> list[int]:
        """For each phase the first one that is kept in the same channels."""
        first: dict[bytes, int] = {}
        return [first.setdefault(row.tobytes(), index) for index, row in enumerate(self.where)]


def canonical(phases: int, channels: int) -> np.ndarray:
    """Where each channel of each phase is kept: (phases, channels), phase after phase."""
    return np.arange(phases * channels).reshape(phases, channels)


def beside(phases: int, channels: int, few: int) -> np.ndarray:
    """Where they are kept if all phases of `few` channels stand together: (phases, channels)."""
    order = np.arange(phases * channels).reshape(-1, phases, few)
    return order.transpose(1, 0, 2).reshape(phases, channels)


Slot = tuple[int, int, int, int, int]
"""Phase of the input, rows down, columns right, and whether the phase is short in rows and columns."""


def reads(
    window: Window, x: Stored, out: Stored, phase: tuple[int, int]
) -> tuple[list[Slot], list[tuple[int, int, int]]]:
    """The distinct reads of one output phase, and for each kernel position (row, column) the read it is part of.

    Reads that lie outside the image for every element of the phase are left out.
    """
    same, slots, sums = x.lookalikes(), dict[Slot, int](), []
    steps = [axis.step(out.phases[a], x.phases[a]) for a, axis in enumerate((window.rows, window.columns))]

    def inside(axis: int, source: int, distance: int) -> bool:
        last = (out.rows(axis, phase[axis]) - 1) * steps[axis]
        return distance < x.rows(axis, source) and last + distance >= 0

    for k, a, dy in window.rows.reads(phase[0], x.phases[0]):
        for m, b, dx in window.columns.reads(phase[1], x.phases[1]):
            if inside(0, a, dy) and inside(1, b, dx):
                slot = (same[a * x.phases[1] + b], dy, dx, x.short(0, a), x.short(1, b))
                sums.append((k, m, slots.setdefault(slot, len(slots))))
    return list(slots) or [(0, 0, 0, x.short(0, 0), x.short(1, 0))], sums


def tap(x: Stored, slot: Slot, channel: int) -> Shape:
    """The slot as a tap (`intar.ir.taps`) of one channel of the image."""
    phase, *rest = slot
    return (int(x.where[phase, channel]), *rest)


def weighted(
    window: Window, x: Stored, slots: list[Slot], sums: Iterable[tuple[int, int, int]]
) -> list[tuple[list[Shape], np.ndarray]]:
    """Taps and weights (outputs, taps) of each group of one output phase; taps without any weight are left out.

    Those of a row stand together, so that taps above or below an image are the first or the last ones.
    """
    weight = window.weight
    assert weight is not None
    total = np.zeros((*weight.shape[:2], len(slots)), weight.dtype)
    for k, m, slot in sums:
        total[:, :, slot] += weight[:, :, k, m]
    inner, made = weight.shape[1], []
    for group, part in enumerate(np.split(total, window.groups)):
        first: dict[Shape, int] = {}
        kept = x.where[:, group * inner : (group + 1) * inner].tolist()
        order = [
            first.setdefault((channel, *rest), len(first))
            for phase, *rest in slots
            for channel in kept[phase]
        ]
        taps, flat = list(first), np.zeros((len(part), len(first)), part.dtype)
        np.add.at(
            flat.T, order, part.transpose(2, 1, 0).reshape(len(order), -1)
        )  # taps that coincide are one
        used = np.flatnonzero((flat != 0).any(axis=0))
        used = used if used.size else np.zeros(1, np.int64)
        made.append(([taps[i] for i in used], flat[:, used]))
    return made


def stored_weight(
    weight: np.ndarray, quant: QuantParams | None, where: np.ndarray
) -> tuple[np.ndarray, QuantParams | None]:
    """Integers in the narrowest type that holds sums of the model's own, a scale for each channel that is kept.

    `where` : (phases, channels) of the image that is made.
    """
    if quant is None:
        return weight, None
    bits = next((b for b in (4, 8, 16) if abs(weight).max() < 1 << (b - 1)), 32)
    stored = weight.astype(f"int{max(bits, 8)}")
    scale = quant.scale
    if isinstance(scale, tuple) and len(scale) > 1:
        if quant.axis != 0:
            raise UnsupportedError(
                Finding(
                    "a weight of a convolution is quantised along its input channels",
                    hint="quantise it per tensor or per output channel",
                )
            )
        spread = np.empty(where.size)
        spread[where] = scale
        return stored, QuantParams(bits=bits, scale=tuple(spread.tolist()), axis=0)  # type: ignore[arg-type]
    single = scale[0] if isinstance(scale, tuple) else scale
    return stored, QuantParams(bits=bits, scale=single)  # type: ignore[arg-type]
