"""Which tensors are images that the grid is about."""

from __future__ import annotations

from collections.abc import Iterator

from intar.grid.windows import WINDOWS
from intar.ir.ops import TABULATED, Op
from intar.ir.taskgraph import Task, TaskGraph

UNARY = TABULATED | {Op.RELU, Op.CLIP, Op.PRELU, Op.SCALE_SHIFT}
BINARY = frozenset({Op.ADD, Op.SUB, Op.MUL})
VIEWS = frozenset({Op.UPSAMPLE_NEAREST, Op.SPACE_TO_DEPTH, Op.DEPTH_TO_SPACE})
TAPS = frozenset({Op.TAP_CONV, Op.TAP_MAX})


def grid_images(graph: TaskGraph) -> set[str]:
    """Images (1, C, H, W) that operators on images read or make, and those that elementwise operators connect to them."""
    found: set[str] = set()

    def activations(task: Task) -> list[str]:
        return [name for name in (*task.inputs, task.output) if name not in graph.constants]

    for task in graph.tasks:
        if task.op in WINDOWS or task.op in VIEWS or task.op in TAPS:
            found.update(activations(task))
    grown = True
    while grown:
        grown = False
        for task in graph.tasks:
            names = activations(task)
            if found.issuperset(names) or found.isdisjoint(names) or not follows(graph, task):
                continue
            found.update(names)
            grown = True
    return found


def channel_factor(graph: TaskGraph, task: Task) -> bool:
    """Whether the task multiplies an image (1, C, H, W) by a pixel (1, C, 1, 1)."""
    if task.op is not Op.MUL or any(name in graph.constants for name in task.inputs):
        return False
    image, pixel = (graph.tensor(name).shape for name in task.inputs)
    return len(image) == 4 and pixel == (*image[:2], 1, 1) != image


def gated_in_any_order(graph: TaskGraph, name: str) -> bool:
    """Whether a product with a pixel reads an image, and all who read it find its channels in any order in which they are
    kept: windows, and up to the next ones such products and functions of single elements."""
    found = set(_readers(graph, name))
    return None not in found and Op.MUL in found


def _readers(graph: TaskGraph, name: str) -> Iterator[Op | None]:
    """What reads an image up to the next windows; None for what has to find its channels in order."""
    if name in graph.outputs:
        yield None
    for task in graph.tasks:
        if name not in task.inputs or task.op in WINDOWS:
            continue
        gated = channel_factor(graph, task) and task.inputs[0] == name
        alike = task.op in UNARY - {Op.PRELU, Op.RATIONAL} and follows(graph, task)
        yield task.op if gated or alike else None
        if gated or alike:
            yield from _readers(graph, task.output)


def follows(graph: TaskGraph, task: Task) -> bool:
    """Whether the task works on images as they are stored."""
    shapes = {graph.tensor(n).shape for n in (*task.inputs, task.output) if n not in graph.constants}
    if channel_factor(graph, task):
        shapes.remove(graph.tensor(task.inputs[1]).shape)
    if any(len(shape) != 4 or shape[0] != 1 for shape in shapes):
        return False
    if task.op in (Op.CONCAT, Op.SLICE, Op.SCALE_SHIFT):
        return task.attrs["axis"] == 1
    if task.op is Op.RATIONAL:
        return task.attrs["groups"] == 1 or task.attrs["axis"] == 1
    return (task.op in UNARY or task.op in BINARY) and len(shapes) == 1
