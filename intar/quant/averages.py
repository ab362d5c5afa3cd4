"""Weighted sums over whole channels, global averages above all, as matrix products.

Such a convolution makes one pixel of each channel: one lane of an array, all taps of a channel after the other. As a product
of the image with a column of weights an array takes as many channels at a time as it has rows.
"""

from __future__ import annotations

import numpy as np

from intar.ir.phases import block_cycles
from intar.ir.quantgraph import QConv, QMatmul, QTask, QuantGraph, Quantised, stored_bits
from intar.ir.schedule import Machine
from intar.quant.filters import ARRAYS
from intar.quant.quantise import finish

SHARE = 16
"""What the ring for weights takes more is at most one part in so many of the on-chip memory."""


def average_products(quantised: Quantised, machine: Machine) -> Quantised:
    """The same network with these convolutions as matmuls where that takes fewer cycles on this machine."""
    graph, constants = quantised.graph, dict(quantised.constants)
    tasks: list[QTask] = []
    for task in graph.tasks:
        if isinstance(task, QConv) and _sums_channels(graph, task) and _pays(graph, task, machine):
            made, arrays = _product(graph, task, constants)
            constants |= arrays
            tasks.append(made)
        else:
            tasks.append(task)
    changed = {task.name for task in tasks if isinstance(task, QMatmul)}
    gone = {
        getattr(t, role) for t in graph.tasks if isinstance(t, QConv) and t.name in changed for role in ARRAYS
    }
    if not gone:
        return quantised
    used = {value for task in tasks for value in task.model_dump().values() if isinstance(value, str)}
    kept = {name: array for name, array in constants.items() if name not in gone - used}
    return finish(graph.model_copy(update={"tasks": tuple(tasks)}), kept)


def _sums_channels(graph: QuantGraph, task: QConv) -> bool:
    """One pixel of each channel, in their order, all with one filter."""
    places = {tuple((tap.dy, tap.dx) for tap in group.taps) for group in task.groups}
    own = [{tap.channel for tap in group.taps} for group in task.groups]
    return (
        task.height == task.width == task.reduce == 1
        and all(group.channels == 1 for group in task.groups)
        and own == [{channel} for channel in range(graph.tensor(task.inputs[0]).rows)]
        and task.tail is None
        and len(places) == 1
        and len(set(next(iter(places)))) == len(task.groups[0].taps)
        and all(0 <= dy < task.in_height and 0 <= dx < task.in_width for dy, dx in next(iter(places)))
        and len(set(task.filters)) == 1
        and (task.table is None or task.table.groups == 1)
    )


def _pays(graph: QuantGraph, task: QConv, machine: Machine) -> bool:
    """A matmul takes fewer cycles, and there is memory for its weights on their way: they come through a ring as large as
    the longest reduction of all matmuls needs, which the network's own may need anyway."""
    slow, (channels, length) = machine.lanes // machine.rate, graph.tensor(task.inputs[0]).shape
    alone = channels * block_cycles(1, len(task.groups[0].taps), machine.rows, slow)
    together = block_cycles(channels, length, machine.rows, slow)
    matmuls = [other for other in graph.tasks if isinstance(other, QMatmul)]
    longest = max((graph.tensor(one.inputs[0]).cols for one in matmuls), default=0)
    more = 0 if machine.on_chip else max(length - longest, 0)
    ring = 2 * more * machine.lanes * stored_bits(graph)[1] // 8
    return together < alone // machine.cores and machine.cores * ring * SHARE <= machine.onchip_bytes


def _product(
    graph: QuantGraph, task: QConv, constants: dict[str, np.ndarray]
) -> tuple[QMatmul, dict[str, np.ndarray]]:
    """The matmul, and its constants: a weight of 0 for what no tap reads."""
    own = {role: constants[getattr(task, role)] for role in ARRAYS}
    taps, filter_ = task.groups[0].taps, task.filters[0]
    weight = np.zeros((graph.tensor(task.inputs[0]).cols, 1), own["weight"].dtype)
    weight[[tap.dy * task.in_pitch + tap.dx for tap in taps], 0] = own["weight"][filter_, : len(taps)]
    arrays = {role: own[role][filter_ : filter_ + 1] for role in ARRAYS[1:]} | {"weight": weight}
    names = {role: f"{task.name}_{role}_summed" for role in ARRAYS}
    fields = {name: getattr(task, name) for name in QMatmul.model_fields if name in QConv.model_fields}
    made = QMatmul(**(fields | names | {"kind": "matmul"}))
    return made, {names[role]: array for role, array in arrays.items()}
