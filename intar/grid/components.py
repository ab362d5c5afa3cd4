"""Which tensors of a rewritten graph lie flat on a grid, and how far their rows are apart."""

from __future__ import annotations

from dataclasses import dataclass

from intar.grid.images import TAPS, channel_factor, grid_images
from intar.ir.ops import Op
from intar.ir.taskgraph import TaskGraph

BORDERS = frozenset({Op.SPACE_TO_DEPTH, Op.DEPTH_TO_SPACE})

LEAST_PITCH = 2
"""The rows of an operator's output, if there are several, lie at least this part as far apart as those of its input (those
columns of them that it steps on)."""


@dataclass(frozen=True)
class Grid:
    """A tensor (1, channels, height, width) that is kept as (channels, height * pitch)."""

    channels: int
    height: int
    width: int
    pitch: int

    @property
    def shape(self) -> tuple[int, int]:
        """Shape as it is kept."""
        return self.channels, self.height * self.pitch


def grids(graph: TaskGraph) -> dict[str, Grid]:
    """The grid of each tensor that operators on taps read or make, or that elementwise operators connect to them.

    The pitch of a tensor is its width, so that no place is kept or computed that is no pixel. But what an operator on taps
    makes has rows that are at least half as far apart as those that it reads: an image gives its readers windows of
    neighbouring rows, and `LEAST_PITCH` bounds how much longer these are than a beat. Tensors that other operators connect
    have one pitch.
    """
    if not any(task.op in TAPS for task in graph.tasks):
        return {}
    images = _on_grid(graph)
    group = {name: name for name in images}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for task in graph.tasks:
        names = [name for name in (*task.inputs, task.output) if name in images]
        if task.op not in BORDERS and task.op not in TAPS:
            if channel_factor(graph, task):
                names.remove(task.inputs[1])
            for name in names[1:]:
                group[root(name)] = root(names[0])
    pitch: dict[str, int] = {}
    for name in images:
        pitch[root(name)] = max(pitch.get(root(name), 0), graph.tensor(name).shape[3])
    reads = [
        (root(task.inputs[0]), root(task.output), task.attrs["stride"][1])  # type: ignore[index]
        for task in graph.tasks
        if task.op in TAPS and graph.tensor(task.output).shape[2] > 1
    ]
    grown = True
    while grown:
        grown = False
        for source, made, right in reads:
            least = -(-pitch[source] // (LEAST_PITCH * right))  # type: ignore[operator]
            if pitch[made] < least:
                pitch[made], grown = least, True
    found = {}
    for name in images:
        _, channels, height, width = graph.tensor(name).shape
        found[name] = Grid(channels, height, width, pitch[root(name)])
    return found


def _on_grid(graph: TaskGraph) -> set[str]:
    """Images of tap operators and of what is connected to them, not through a border."""
    inside = graph.model_copy(update={"tasks": tuple(t for t in graph.tasks if t.op not in BORDERS)})
    return {name for name in grid_images(inside) if name not in graph.constants}
