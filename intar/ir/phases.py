"""Which groups of a convolution are made together where each has few channels: phases of a depthwise one, above all.

A convolution of few channels a group leaves most rows of an array without work: a channel of a depthwise one takes a row and
its nine taps, phase after phase. The phases of a channel read overlapping windows of the same channels. Together they read
the taps of all of them: 16 phases of 3 × 3 take 36 cycles a tile and not 144.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intar.ir.quantgraph import GRID, QConv, QuantGraph, Tap, TapGroup


def block_cycles(channels: int, taps: int, rows: int, slow: int) -> int:
    """Cycles of a tile for so many channels of a group: blocks of rows, whose results take `slow` cycles each to drain."""
    full, rest = divmod(channels, rows)
    heights = [rows] * full + ([rest] if rest else [])
    return sum(max(taps, high * slow) for high in heights)


def merged_groups(graph: QuantGraph, task: QConv, rows: int) -> list[tuple[int, int]]:
    """(channels, taps) of the groups that a convolution has on arrays of so many rows, if weights cost nothing."""
    own = [(group.channels, len(group.taps)) for group in task.groups]
    parts = parts_together(graph, task, rows, 1) if rows > 1 else []
    return [(sum(own[n][0] for n in part), _taps(task, part)) for part in parts] or own


def parts_together(graph: QuantGraph, task: QConv, rows: int, slow: int) -> list[list[int]]:
    """The groups of a convolution, by number, that are to be together; empty where nothing is gained, where they are so
    already, or where somebody reads its channels who has to find them in order and would not."""
    readers = [other for other in graph.tasks if task.output in other.inputs]
    several = task.table is not None and task.table.groups > 1
    ordered = task.output in graph.outputs or any(
        not isinstance(other, GRID) or task.output in other.inputs[1:] for other in readers
    )
    twice = any(len(set(group.taps)) < len(group.taps) for group in task.groups)
    full = all(group.channels >= rows for group in task.groups)
    if task.tail or task.reduce > 1 or task.useful or several or twice or full:
        return []
    parts: list[list[int]] = []
    for numbers in _connected(task.groups):
        together: list[int] = []
        for number in numbers:
            longer = [*together, number]
            within = sum(task.groups[n].channels for n in longer) <= rows
            one, other, both = (_cycles(task, part, rows, slow) for part in (together, [number], longer))
            if together and within and both < one + other:
                together = longer
            else:
                parts += [together] if together else []
                together = [number]
        parts.append(together)
    parts.sort()
    moved = [number for part in parts for number in part] != list(range(len(task.groups)))
    return [] if len(parts) == len(task.groups) or (ordered and moved) else parts


def _connected(groups: Sequence[TapGroup]) -> Iterator[list[int]]:
    """Groups that read a channel in common, or are connected through others."""
    root: dict[int, int] = {}

    def find(channel: int) -> int:
        while root.setdefault(channel, channel) != channel:
            channel = root[channel]
        return channel

    for group in groups:
        first = find(group.taps[0].channel)
        for channel in {tap.channel for tap in group.taps}:
            root[find(channel)] = first
    found: dict[int, list[int]] = {}
    for number, group in enumerate(groups):
        found.setdefault(find(group.taps[0].channel), []).append(number)
    yield from found.values()


def all_taps(task: QConv, numbers: Sequence[int]) -> list[Tap]:
    """All taps of some groups, from the upper ones to the lower ones."""
    taps = {tap for number in numbers for tap in task.groups[number].taps}
    return sorted(taps, key=lambda tap: (tap.dy, tap.channel, tap.dx, tap.short_rows, tap.short_columns))


def _taps(task: QConv, numbers: Sequence[int]) -> int:
    return len({tap for number in numbers for tap in task.groups[number].taps})


def _cycles(task: QConv, numbers: Sequence[int], rows: int, slow: int) -> int:
    channels = sum(task.groups[number].channels for number in numbers)
    return block_cycles(channels, _taps(task, numbers), rows, slow)
