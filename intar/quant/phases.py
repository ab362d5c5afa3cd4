"""Groups of few channels as one (`intar.ir.phases`): with the taps of all, and weights of 0 where a channel has none.

Sums stay what they were, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intar.ir.kernels import block_beats, channel_beats, kernel_beats
from intar.ir.phases import all_taps, block_cycles, parts_together
from intar.ir.quantgraph import GRID, QConv, QuantGraph, Quantised, TapGroup, stored_bits
from intar.ir.schedule import Machine
from intar.quant.filters import ARRAYS, share
from intar.quant.quantise import finish

SHARE = 64
"""What a convolution takes more is at most one part in so many of the on-chip memory."""


def merge_phases(quantised: Quantised, machine: Machine) -> Quantised:
    """The same network with phases of convolutions in one block where that takes fewer cycles on this machine."""
    graph, constants = quantised.graph, dict(quantised.constants)
    slow = machine.lanes // machine.rate
    made: dict[str, QConv] = {}
    places: dict[str, np.ndarray] = {}  # of the channels of tensors that are in another order now
    for task in graph.tasks:
        if isinstance(task, QConv) and (parts := parts_together(graph, task, machine.rows, slow)):
            merged, order, arrays = _merge(task, parts, constants)
            if not (_pays(graph, task, merged, machine) and _fits(graph, task, merged, machine)):
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


def _pays(graph: QuantGraph, before: QConv, after: QConv, machine: Machine) -> bool:
    """The cycles that all tiles save are more than those in which more weights come: phases no longer share theirs."""
    rows, slow = machine.rows, machine.lanes // machine.rate
    tiles = -(-graph.tensor(before.output).cols // machine.lanes)
    one, other = (
        sum(block_cycles(group.channels, len(group.taps), rows, slow) for group in task.groups)
        for task in (before, after)
    )
    beats = channel_beats(after, machine.lanes) - kernel_beats(before, machine.lanes)
    words = 0 if machine.on_chip else beats * machine.lanes * stored_bits(graph)[1] // machine.port_bits
    return tiles * (one - other) // machine.cores > words


def _fits(graph: QuantGraph, before: QConv, after: QConv, machine: Machine) -> bool:
    """Two blocks fit in the ring for kernels; or what weights and parameters take more is a small share of the memory."""
    lanes, ring = machine.lanes, machine.kernel_ring
    beats = channel_beats(after, lanes) - kernel_beats(before, lanes)
    parameters = 16 * sum(group.channels for group in after.groups)
    more = parameters + (0 if ring else beats * lanes * stored_bits(graph)[1] // 8)
    within = not ring or 2 * block_beats(after, machine.rows, lanes) <= ring
    return within and machine.cores * more * SHARE <= machine.onchip_bytes


def _merge(
    task: QConv, parts: Sequence[Sequence[int]], constants: dict[str, np.ndarray]
) -> tuple[QConv, np.ndarray, dict[str, np.ndarray]]:
    """The convolution with these groups, the channels of before in their new order, and its constants."""
    firsts = np.cumsum([0, *(group.channels for group in task.groups)])
    own = {role: constants[getattr(task, role)] for role in ARRAYS}
    filters = task.channel_filters
    groups, order, weights = [], [], []
    most = max(len(all_taps(task, part)) for part in parts)
    for part in parts:
        taps = all_taps(task, part)
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
    names = {role: f"{task.name}_{role}_together" for role in ARRAYS}
    useful = sum(group.channels * len(group.taps) for group in task.groups)
    merged = task.model_copy(update={**names, "groups": tuple(groups), "filters": first, "useful": useful})
    return merged, channels, {names[role]: shared[role] for role in ARRAYS}


def _moved(group: TapGroup, where: np.ndarray) -> TapGroup:
    """A group that reads the same channels where they are now."""
    taps = tuple(tap.model_copy(update={"channel": int(where[tap.channel])}) for tap in group.taps)
    return group.model_copy(update={"taps": taps})
