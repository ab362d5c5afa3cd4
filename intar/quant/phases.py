"""Phases of a depthwise convolution as rows of one block: they read much of the same, once for all of them.

A convolution of few channels a group leaves most rows of an array without work: a channel of a depthwise one takes a row
and its nine taps, phase after phase. The phases of a channel read overlapping windows of the same channels. Together they
are one group, which reads the taps of all, with weights of 0 where a phase has no tap: 16 phases of 3 × 3 take 36 cycles a
tile and not 144. Sums stay what they were, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from intar.ir.kernels import channel_beats, kernel_beats
from intar.ir.quantgraph import GRID, QConv, QuantGraph, Quantised, Tap, TapGroup, stored_bits
from intar.ir.schedule import Machine
from intar.quant.filters import ARRAYS, share
from intar.quant.quantise import finish


def merge_phases(quantised: Quantised, machine: Machine) -> Quantised:
    """The same network with phases of convolutions in one block where that takes fewer cycles on this machine."""
    graph, constants = quantised.graph, dict(quantised.constants)
    made: dict[str, QConv] = {}
    places: dict[str, np.ndarray] = {}  # of the channels of tensors that are in another order now
    for task in graph.tasks:
        if isinstance(task, QConv) and (parts := _merged(graph, task, machine)):
            merged, order, arrays = _merge(task, parts, constants)
            if not _pays(graph, task, merged, machine):
                continue
            made[task.name] = merged
            constants |= arrays
            places[task.output] = np.argsort(order)
    if not made:
        return quantised
    tasks = []
    for task in graph.tasks:
        task = made.get(task.name, task)
        if isinstance(task, GRID) and task.inputs[0] in places:
            where = places[task.inputs[0]]
            task = task.model_copy(update={"groups": tuple(_moved(group, where) for group in task.groups)})
        tasks.append(task)
    kept = graph.model_copy(update={"tasks": tuple(tasks)})
    gone = {getattr(task, role) for task in graph.tasks if task.name in made for role in ARRAYS}  # type: ignore[attr-defined]
    used = {value for task in tasks for value in task.model_dump().values() if isinstance(value, str)}
    return finish(kept, {name: array for name, array in constants.items() if name not in gone - used})


def block_cycles(channels: int, taps: int, machine: Machine) -> int:
    """Cycles of a tile for so many channels of a group: blocks of rows, whose results drain meanwhile."""
    slow = machine.lanes // machine.rate
    full, rest = divmod(channels, machine.rows)
    heights = [machine.rows] * full + ([rest] if rest else [])
    return sum(max(taps, high, high * slow) for high in heights)


def _merged(graph: QuantGraph, task: QConv, machine: Machine) -> list[list[int]]:
    """The groups of a convolution, by number, that are to be together; empty where nothing is gained, or where somebody
    reads its channels who has to find them in order."""
    readers = [other for other in graph.tasks if task.output in other.inputs]
    several = task.table is not None and task.table.groups > 1
    ordered = task.output in graph.outputs or not all(isinstance(other, GRID) for other in readers)
    twice = any(len(set(group.taps)) < len(group.taps) for group in task.groups)
    full = all(group.channels >= machine.rows for group in task.groups)
    if task.reduce > 1 or several or ordered or twice or full:
        return []
    parts: list[list[int]] = []
    for numbers in _connected(task.groups):
        together: list[int] = []
        for number in numbers:
            longer = [*together, number]
            if together and _cycles(task, longer, machine) < _cycles(task, together, machine) + _cycles(
                task, [number], machine
            ):
                together = longer
            else:
                parts += [together] if together else []
                together = [number]
        parts.append(together)
    return sorted(parts) if len(parts) < len(task.groups) else []


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


def _union(task: QConv, numbers: Sequence[int]) -> list[Tap]:
    """All taps of some groups, from the upper ones to the lower ones."""
    taps = {tap for number in numbers for tap in task.groups[number].taps}
    return sorted(taps, key=lambda tap: (tap.dy, tap.channel, tap.dx, tap.short_rows, tap.short_columns))


def _cycles(task: QConv, numbers: Sequence[int], machine: Machine) -> int:
    taps = len({tap for number in numbers for tap in task.groups[number].taps})
    channels = sum(task.groups[number].channels for number in numbers)
    if len(numbers) > 1 and channels > machine.rows:
        return 1 << 40  # a block has no more rows
    return block_cycles(channels, taps, machine)


def _pays(graph: QuantGraph, before: QConv, after: QConv, machine: Machine) -> bool:
    """The cycles that all tiles save are more than those in which more weights come: phases no longer share theirs."""
    tiles = -(-graph.tensor(before.output).cols // machine.lanes)
    one, other = (
        sum(block_cycles(group.channels, len(group.taps), machine) for group in task.groups)
        for task in (before, after)
    )
    beats = channel_beats(after, machine.lanes) - kernel_beats(before, machine.lanes)
    words = 0 if machine.on_chip else beats * machine.lanes * stored_bits(graph)[1] // machine.port_bits
    return tiles * (one - other) // machine.cores > words


def _merge(
    task: QConv, parts: Sequence[Sequence[int]], constants: dict[str, np.ndarray]
) -> tuple[QConv, np.ndarray, dict[str, np.ndarray]]:
    """The convolution with these groups, the channels of before in their new order, and its constants."""
    firsts = np.cumsum([0, *(group.channels for group in task.groups)])
    own = {role: constants[getattr(task, role)] for role in ARRAYS}
    filters = task.channel_filters
    groups, order, weights = [], [], []
    most = max(len(_union(task, part)) for part in parts)
    for part in parts:
        taps = _union(task, part)
        place = {tap: at for at, tap in enumerate(taps)}
        for number in part:
            group = task.groups[number]
            channels = np.arange(firsts[number], firsts[number + 1])
            rows = np.zeros((len(channels), most), own["weight"].dtype)
            rows[:, [place[tap] for tap in group.taps]] = own["weight"][filters[channels], : len(group.taps)]
            weights.append(rows)
            order.append(channels)
        groups.append(TapGroup(channels=sum(task.groups[n].channels for n in part), taps=tuple(taps)))
    channels = np.concatenate(order)
    arrays = {role: own[role][filters[channels]] for role in ARRAYS[1:]} | {"weight": np.concatenate(weights)}
    shared, first = share(arrays, groups)
    names = {role: f"{getattr(task, role)}_together" for role in ARRAYS}
    useful = sum(group.channels * len(group.taps) for group in task.groups)
    merged = task.model_copy(update={**names, "groups": tuple(groups), "filters": first, "useful": useful})
    return merged, channels, {names[role]: shared[role] for role in ARRAYS}


def _moved(group: TapGroup, where: np.ndarray) -> TapGroup:
    """A group that reads the same channels where they are now."""
    taps = tuple(tap.model_copy(update={"channel": int(where[tap.channel])}) for tap in group.taps)
    return group.model_copy(update={"taps": taps})
