"""Weights of convolutions on chip: all of them from their loading to the end, or in a ring that they pass through."""

from __future__ import annotations

from intar.ir.quantgraph import QConv, QuantGraph


def kernel_beats(task: QConv, lanes: int) -> int:
    """Beats of all weights of a convolution: a row of whole beats for each filter."""
    return sum(count * -(-taps // lanes) for count, taps in task.filter_sizes)


def channel_beats(task: QConv, lanes: int) -> int:
    """The same of all channels: a row of whole beats for each."""
    return sum(group.channels * -(-len(group.taps) // lanes) for group in task.groups)


def block_beats(task: QConv, rows: int, lanes: int) -> int:
    """Beats of the weights that its largest block of channels takes (of a pooling convolution all that make one channel)."""
    if task.reduce > 1:
        parts = [range(i, i + task.reduce) for i in range(0, len(task.groups), task.reduce)]
        return max(
            len({task.filters[i] for i in part}) * -(-len(task.groups[part[0]].taps) // lanes)
            for part in parts
        )
    kinds = {(group.channels, len(group.taps)) for group in task.groups}
    return max(min(rows, channels) * -(-taps // lanes) for channels, taps in kinds)


def least_ring(graph: QuantGraph, rows: int, lanes: int) -> int:
    """Beats of a ring at least: two blocks of channels of each convolution; 0 where there are none."""
    tasks = [task for task in graph.tasks if isinstance(task, QConv)]
    return 2 * max((block_beats(task, rows, lanes) for task in tasks), default=0)


def overfills(beats: int, ring: int) -> bool:
    """So many beats would fill more than half of a ring (0: there is none)."""
    return 0 < ring < 2 * beats


def comes_in_blocks(task: QConv, lanes: int, ring: int) -> bool:
    """The weights come block of channels by block, as the products need them, and again for each phase: all of them would
    fill more than half of the `ring` (beats)."""
    return overfills(kernel_beats(task, lanes), ring)


def passing_beats(task: QConv, lanes: int, ring: int) -> int:
    """Beats of weights that come while a convolution runs, or the one before it; 0 where there is no ring."""
    if not ring:
        return 0
    if not comes_in_blocks(task, lanes, ring):
        return kernel_beats(task, lanes)
    return channel_beats(task, lanes)
