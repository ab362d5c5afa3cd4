"""Functions of signals, which are images of one row between reshapes, as functions of these images.

``f(reshape(x))`` is ``reshape(f(x))`` where the reshape only drops or adds axes of one element: a sum with a number for each
channel then joins the convolution that makes x, and two reshapes that undo each other go. The largest element or the mean of
channels is that of the image before reshapes.
"""

from __future__ import annotations

import numpy as np

from intar.frontends.assemble import Assembly, Draft
from intar.ir.ops import TABULATED, Op

MAKERS = frozenset({Op.CONV2D, Op.CONV_TRANSPOSE2D, Op.MAX_POOL2D, Op.AVG_POOL2D})
WHOLE = frozenset({Op.GLOBAL_MAX_POOL, Op.GLOBAL_AVG_POOL})
UNARY = TABULATED | {Op.RELU, Op.CLIP}
BINARY = frozenset({Op.ADD, Op.SUB, Op.MUL})


def functions_of_images(graph: Assembly) -> None:
    """Put sums and products with a number for each channel, and the functions behind them, before the reshapes they read."""
    readers = graph.consumers()
    images = {task.output for task in graph.tasks if task.op in MAKERS}
    moved: set[str] = set()  # what such sums make, and functions of it
    for task in list(graph.tasks):
        if task.op in WHOLE and (image := _image_behind(graph, task.inputs[0])) in moved:
            task.inputs = (image,)
            readers = graph.consumers()
        reshape = graph.makers.get(_data(graph, task))
        if reshape is None or reshape.op is not Op.RESHAPE:
            continue
        image = reshape.inputs[0]
        if task.op is Op.RESHAPE:
            own = {task.output, reshape.output}
            same = image in moved and graph.shapes[task.output] == graph.shapes[image]
            if same and task.output not in graph.outputs and not own & graph.quant.keys():
                graph.redirect(task.output, image)
                readers = graph.consumers()
            continue
        known = image in (images if task.op in BINARY else moved) and len(readers[reshape.output]) == 1
        if known and _exchange(graph, task, reshape):
            moved.add(task.output)
            readers = graph.consumers()


def _image_behind(graph: Assembly, name: str) -> str:
    """The image with the same elements in the same channels that a tensor is reshaped from, or the tensor."""
    found, shape = name, graph.shapes[name]
    while (
        (maker := graph.makers.get(name)) is not None and maker.op is Op.RESHAPE and name not in graph.quant
    ):
        name = maker.inputs[0]
        if len(graph.shapes[name]) == 4 and graph.shapes[name][:2] == shape[:2]:
            found = name
    return found


def _data(graph: Assembly, task: Draft) -> str:
    """The activation that a function of one activation reads, or a reshape; no name for other tasks."""
    if task.op in UNARY or task.op is Op.RESHAPE:
        return task.inputs[0]
    given = [name for name in task.inputs if name not in graph.constants]
    return given[0] if task.op in BINARY and len(given) == 1 else ""


def _exchange(graph: Assembly, task: Draft, reshape: Draft) -> bool:
    """Exchange a function and the reshape that it reads; False where that can't be."""
    image, flat, output = reshape.inputs[0], reshape.output, task.output
    shape, before = graph.shapes[flat], graph.shapes[image]
    if graph.shapes[output] != shape or _long(shape) != _long(before) or flat in graph.outputs:
        return False
    if {image, flat, output} & graph.quant.keys():
        return False
    inputs = []
    for name in task.inputs:
        if name == flat:
            inputs.append(image)
            continue
        array, axes = graph.constants[name], [a for a, n in enumerate(shape) if n != 1]
        wide = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
        own = [a for a, n in enumerate(wide.shape) if n != 1]
        if name in graph.quant or len(own) > 1:
            return False
        if own:  # the same axis of the image
            place = [a for a, n in enumerate(before) if n != 1][axes.index(own[0])]
            array = wide.reshape([-1 if a == place else 1 for a in range(len(before))])
        inputs.append(graph.constant(f"{name}:image", np.asarray(array)))
    made = graph.fresh(f"{output}:image")
    graph.shapes[made] = before
    task.inputs, task.output = tuple(inputs), made
    reshape.inputs, reshape.output, reshape.attrs = (made,), output, {"shape": shape}
    graph.makers |= {made: task, output: reshape}
    del graph.makers[flat]
    first, second = graph.tasks.index(reshape), graph.tasks.index(task)
    graph.tasks[first], graph.tasks[second] = task, reshape
    return True


def _long(shape: tuple[int, ...]) -> list[int]:
    return [n for n in shape if n != 1]
