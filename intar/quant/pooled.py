"""A pool over channels that are phases of one image joins the convolution that makes them.

The vector unit gives the largest of the results that follow each other, and what is pooled is never stored.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from intar.ir.quantgraph import QConv, QPool, Quantised, TapGroup
from intar.quant.filters import ARRAYS, share_members
from intar.quant.quantise import finish


def pool_products(quantised: Quantised) -> Quantised:
    """The same network with every pool merged into a convolution where that is exact."""
    graph, constants = quantised.graph, dict(quantised.constants)
    reads = Counter(name for task in graph.tasks for name in task.inputs)
    made = {task.output: task for task in graph.tasks}
    joined: dict[str, QConv] = {}
    gone = set()
    for pool in graph.tasks:
        conv = made.get(pool.inputs[0])
        if (
            not isinstance(pool, QPool)
            or not isinstance(conv, QConv)
            or conv.table is not None
            or conv.tail is not None
            or conv.reduce > 1
        ):
            continue
        order = _order(pool)
        if reads[conv.output] > 1 or conv.output in graph.outputs or order is None:
            continue
        if not _alike(conv, order):
            continue
        joined[pool.name] = _join(conv, pool, order, constants)
        gone.add(conv.name)
    if not joined:
        return quantised
    tensors = {made_.output for made_ in graph.tasks if made_.name in gone}
    kept = graph.model_copy(
        update={
            "tasks": tuple(joined.get(task.name, task) for task in graph.tasks if task.name not in gone),
            "tensors": tuple(tensor for tensor in graph.tensors if tensor.name not in tensors),
        }
    )
    used = {value for task in kept.tasks for value in task.model_dump().values() if isinstance(value, str)}
    tables = {name for task in kept.tasks if task.table for name in task.table.arrays.values()}
    return finish(kept, {name: array for name, array in constants.items() if name in used | tables})


def _order(pool: QPool) -> np.ndarray | None:
    """(output channels, n): the channels that each output is the largest of; None if a window moves or shares a channel."""
    if (
        any(group.channels > 1 for group in pool.groups)
        or len({len(group.taps) for group in pool.groups}) > 1
    ):
        return None
    taps = [tap for group in pool.groups for tap in group.taps]
    if pool.stride != (1, 1) or any(tap.dy or tap.dx or tap.short_rows or tap.short_columns for tap in taps):
        return None
    order = np.array([[tap.channel for tap in group.taps] for group in pool.groups])
    return order if len(np.unique(order)) == order.size else None


def _alike(conv: QConv, order: np.ndarray) -> bool:
    """The channels of each maximum have as many taps; all channels are used."""
    taps = np.repeat([len(group.taps) for group in conv.groups], [group.channels for group in conv.groups])
    return order.size == len(taps) and bool((taps[order] == taps[order[:, :1]]).all())


def _join(conv: QConv, pool: QPool, order: np.ndarray, constants: dict[str, np.ndarray]) -> QConv:
    groups = [group for group in conv.groups for _ in range(group.channels)]
    own = {role: constants[getattr(conv, role)] for role in ARRAYS}
    made, filters = share_members(own, conv.channel_filters[order])
    names = {role: f"{getattr(conv, role)}_pooled" for role in ARRAYS}
    constants |= {names[role]: array for role, array in made.items()}
    return conv.model_copy(
        update={
            **names,
            "output": pool.output,
            "height": pool.height,
            "width": pool.width,
            "pitch": pool.pitch,
            "groups": tuple(TapGroup(channels=1, taps=groups[channel].taps) for channel in order.reshape(-1)),
            "filters": filters,
            "reduce": order.shape[1],
            "lo": max(conv.lo, pool.lo),
            "hi": min(conv.hi, pool.hi),
            "relu": conv.relu or pool.relu,
            "fused": (*conv.fused, *pool.fused),
        }
    )
