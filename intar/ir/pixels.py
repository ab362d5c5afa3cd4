"""Tiles of pixels: `lanes` places of a flat image that are made at once, and what they read of another image."""

from __future__ import annotations

from collections.abc import Sequence

from intar.ir.quantgraph import QConv, QPool, Tap


def last_read(task: QConv | QPool, taps: Sequence[Tap], tile: int, lanes: int) -> int:
    """The last element of a channel that a tile reads, as the channel lies in memory; negative where it reads none."""
    row, column = divmod(min((tile + 1) * lanes, task.height * task.pitch) - 1, task.pitch)
    if row:  # where rows of the input are shorter, the end of the row before may lie behind what the last pixel reads
        column = max(column, task.pitch - task.in_pitch - 1)
    return row * task.in_pitch + column + max(tap.dy * task.in_pitch + tap.dx for tap in taps)
