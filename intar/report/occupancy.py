"""How full each buffer is over time, as exactly as whole steps tell.

A beat counts as held from the first cycle of the step that writes it to the last cycle of the last step that reads it
before it is written again. Inside a step the order is not looked at, so the curve is an upper envelope.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intar.design import Design
from intar.engine import Span
from intar.ir.nodes.memories import Buffer, BufferStep, Walk


@dataclass(frozen=True)
class Occupancy:
    """`points`: (cycle, beats held from this cycle on); the last point has 0 beats. `depth` is in beats."""

    buffer: str
    depth: int
    beat_bits: int
    points: tuple[tuple[int, int], ...]

    @property
    def peak(self) -> int:
        """Most beats held at once."""
        return max((beats for _, beats in self.points), default=0)


def addresses(walk: Walk) -> np.ndarray:
    """The set of addresses of a walk, ascending (int64)."""
    index = [np.arange(count, dtype=np.int64) for count in walk.counts]
    outer = index[0] * walk.strides[0]
    if walk.wrap:
        outer %= walk.wrap
    terms = [outer, *(i * stride for i, stride in zip(index[1:], walk.strides[1:], strict=True))]
    total = np.full((1,) * 5, walk.base, dtype=np.int64)
    for axis, term in enumerate(terms):
        total = total + term.reshape([-1 if other == axis else 1 for other in range(5)])
    if walk.ragged < 0:
        return np.unique(total)
    short = np.zeros((1, 1, 1, 1, walk.counts[4]), dtype=bool)
    short[..., walk.last :] = True
    ends = index[walk.ragged] == walk.counts[walk.ragged] - 1
    ends = ends.reshape([-1 if axis == walk.ragged else 1 for axis in range(5)])
    return np.unique(total[np.broadcast_to(~(short & ends), total.shape)])


def _touched(step: BufferStep, lanes: int) -> np.ndarray:
    found = addresses(step.walk)
    return np.unique(found // lanes) if step.elements else found


def _one(design: Design, buffer: Buffer) -> Occupancy:
    spans: dict[tuple[str, int], list[Span]] = {}
    for s in design.predicted.stages:
        if s.first >= 0:
            spans.setdefault((s.node, s.step), []).append(s)
    steps = []
    for side, own in (("in", buffer.writes), ("out", buffer.reads)):
        for index, step in enumerate(own):
            for span in spans.get((f"{buffer.name}.{side}", index), ()):
                steps.append((span.first, side, span.last, step))
    steps.sort(
        key=lambda item: item[:2]
    )  # "in" before "out": a write comes before the reads of the same cycle

    start = np.full(buffer.depth, -1, dtype=np.int64)
    end = np.zeros(buffer.depth, dtype=np.int64)
    change: dict[int, int] = {}

    def close(at: np.ndarray, limit: int) -> None:
        held = at[start[at] >= 0]
        for edges, sign in ((start[held], 1), (np.minimum(end[held] + 1, limit), -1)):
            for cycle, count in zip(*np.unique(edges, return_counts=True), strict=True):
                change[int(cycle)] = change.get(int(cycle), 0) + sign * int(count)

    for first, side, last, step in steps:
        at = _touched(step, buffer.lanes)
        if side == "in":
            close(at, first)
            # A read step that began earlier may still be reading the new beats: keep its end.
            start[at], end[at] = first, np.maximum(last, end[at])
        else:
            end[at] = np.maximum(end[at], last)
    close(np.arange(buffer.depth), design.predicted.cycles)
    points, level = [], 0
    for cycle in sorted(change):
        level += change[cycle]
        points.append((cycle, level))
    return Occupancy(buffer.name, buffer.depth, buffer.lanes * buffer.bits, tuple(points))


def occupancy(design: Design) -> list[Occupancy]:
    """Curves of all buffers, in the program's order."""
    return [_one(design, node) for node in design.program.nodes if isinstance(node, Buffer)]
