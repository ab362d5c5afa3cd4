"""Products of an image with a number for each of its channels that the network computes (squeeze and excitation).

They come as products with an image of equal pixels, an upsampled one; the circuit multiplies by the pixel itself.
"""

from __future__ import annotations

from intar.grid.sketch import Sketch
from intar.ir.ops import Op, broadcast_kind
from intar.ir.taskgraph import Task, TaskGraph


def channel_factors(graph: TaskGraph) -> TaskGraph:
    """The graph with the pixel (1, C, 1, 1) as the second operand of such products; itself where there are none."""
    found = {task.name: pixel for task in graph.tasks if (pixel := _pixel(graph, task))}
    return _Rewriter(graph, found).run() if found else graph


def _pixel(graph: TaskGraph, task: Task) -> tuple[str, str] | None:
    """The image and the pixel of a product; None if there is no such product."""
    if task.op is not Op.MUL or len(task.inputs) != 2:
        return None
    for image, factor in (task.inputs, task.inputs[::-1]):
        maker = graph.producer(factor)
        if (
            image == factor
            or maker is None
            or maker.op is not Op.UPSAMPLE_NEAREST
            or image in graph.constants
        ):
            continue
        pixel = graph.tensor(maker.inputs[0])
        kept = graph.tensor(factor).quant in (None, pixel.quant)
        if pixel.shape[2:] == (1, 1) and pixel.shape != graph.tensor(factor).shape and kept:
            return image, pixel.name
    return None


class _Rewriter(Sketch):
    def __init__(self, graph: TaskGraph, found: dict[str, tuple[str, str]]) -> None:
        super().__init__(graph)
        self.found = found

    def run(self) -> TaskGraph:
        self.constants = dict(self.graph.constants)
        self.tensors = {tensor.name: tensor for tensor in self.graph.tensors}
        for task in self.graph.tasks:
            if operands := self.found.get(task.name):
                kind = broadcast_kind(*(self.tensors[name].shape for name in operands))
                task = task.model_copy(update={"inputs": operands, "attrs": {"broadcast": kind}})
            self.tasks.append(task)
        return self._finish()
