"""Which elements of the tensors on a grid belong to an image.

Phases may have a row or column less than the grid; what is computed there means nothing and is never read, so it has no
say in ranges and in comparisons. What readers take for valid says which elements that are.
"""

from __future__ import annotations

import numpy as np

from intar.grid.components import grids
from intar.grid.images import TAPS, channel_factor
from intar.ir.ops import Op
from intar.ir.taps import FIELDS
from intar.ir.taskgraph import Task, TaskGraph

UNREAD = 2


def valid_elements(graph: TaskGraph) -> dict[str, np.ndarray]:
    """For each tensor on a grid of a prepared graph a mask of its shape; of a channel that nothing reads all are valid."""
    on_grid = grids(graph)
    short = {name: np.full((grid.channels, 2), UNREAD) for name, grid in on_grid.items()}
    for task in reversed(graph.tasks):
        _look(graph, task, short)
    masks = {}
    for name, grid in on_grid.items():
        missing = np.where(short[name] == UNREAD, 0, short[name])
        rows = np.arange(grid.height) < grid.height - missing[:, :1]
        columns = np.arange(grid.width) < grid.width - missing[:, 1:]
        masks[name] = (rows[:, :, None] & columns[:, None, :])[None]
    return masks


def _look(graph: TaskGraph, task: Task, short: dict[str, np.ndarray]) -> None:
    """Note in `short`, per channel of the task's inputs, how many rows and columns the task takes for missing."""
    if task.op in TAPS:
        taps = np.reshape(task.attrs["taps"], (-1, FIELDS))  # type: ignore[arg-type]
        short[task.inputs[0]][taps[:, 0]] = taps[:, 3:]
    elif task.op is Op.DEPTH_TO_SPACE and task.inputs[0] in short:
        block, size = (np.asarray(task.attrs[key]) for key in ("block", "size"))
        grid = -(-size // block)
        channels = len(short[task.inputs[0]]) // (block[0] * block[1])
        for phase in np.ndindex(*block):
            first = (phase[0] * block[1] + phase[1]) * channels
            short[task.inputs[0]][first : first + channels] = grid - -(-(size - phase) // block)
    elif task.output in short and task.op is not Op.SPACE_TO_DEPTH:
        first = 0
        for name in task.inputs[: 1 if channel_factor(graph, task) else None]:
            if name not in short:
                continue
            count = len(short[name]) if task.op is Op.CONCAT else len(short[task.output])
            seen = short[task.output][first : first + count]
            short[name] = np.minimum(short[name], seen)
            first += count if task.op is Op.CONCAT else 0
