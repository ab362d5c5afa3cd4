"""Transpositions around elementwise tasks, and those that undo each other.

Networks whose images have their channels last (Keras, TensorFlow) turn each image for a convolution and back behind it.
What lies between is elementwise: a region of such tasks beside an image computes the same in either layout. It takes the one
that moves fewer elements at its edge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod

import numpy as np

from intar.frontends.assemble import Assembly, Draft
from intar.ir.ops import TABULATED, Op
from intar.ir.shapes import Shape

ELEMENTWISE = TABULATED | {
    Op.RELU,
    Op.CLIP,
    Op.ADD,
    Op.SUB,
    Op.MUL,
    Op.SCALE_SHIFT,
    Op.CONCAT,
    Op.SLICE,
    Op.PRELU,
}

CHANNELS_FIRST, CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)

IMAGES = (Op.CONV2D, Op.CONV_TRANSPOSE2D, Op.UPSAMPLE_NEAREST, Op.MAX_POOL2D, Op.AVG_POOL2D)

LINEAR = (Op.MATMUL, Op.CONV2D, Op.CONV_TRANSPOSE2D)
"""What an elementwise task, a bias or a scale right behind it joins."""

BINARY = (Op.ADD, Op.SUB, Op.MUL)


def settle_layouts(graph: Assembly) -> None:
    """Merge transpositions that follow each other, and turn regions as long as that moves fewer elements."""
    _find_upsampling(graph)
    _merge_transposes(graph)
    while any(_turned(graph, region) for region in _regions(graph)):
        _merge_transposes(graph)
    _merge_upsampling(graph)


def _perm(task: Draft) -> Shape:
    perm = task.attrs["perm"]
    assert isinstance(perm, tuple)
    return perm


def _inverse(perm: Shape) -> Shape:
    return tuple(perm.index(axis) for axis in range(len(perm)))


def _turn(shape: Iterable[int], perm: Shape) -> Shape:
    given = tuple(shape)
    return tuple(given[axis] for axis in perm)


def _find_upsampling(graph: Assembly) -> None:
    """Rows or columns of an image with its channels last that are repeated (Keras' upsampling: a new axis, copies along it,
    one axis of both) are nearest neighbours of the image with its channels first."""
    consumers = graph.consumers()
    for task in graph.tasks[:]:
        joined = graph.makers.get(task.inputs[0]) if task.op is Op.RESHAPE else None
        apart = graph.makers.get(joined.inputs[0]) if joined is not None and joined.op is Op.CONCAT else None
        if joined is None or apart is None or apart.op is not Op.RESHAPE or len(set(joined.inputs)) > 1:
            continue
        shape, count, axis = graph.shapes[apart.inputs[0]], len(joined.inputs), joined.attrs["axis"]
        assert isinstance(axis, int)
        between = {apart.output, joined.output} & {*graph.quant, *graph.outputs}
        private = consumers[apart.output] == [joined] and consumers[joined.output] == [task] and not between
        if (
            len(shape) != 4
            or axis not in (2, 3)
            or graph.shapes[apart.output] != (*shape[:axis], 1, *shape[axis:])
        ):
            continue
        if not private or graph.shapes[task.output] != _times(shape, axis - 1, count):
            continue
        factors = (count, 1) if axis == 2 else (1, count)
        x, source = apart.inputs[0], task.source
        at = graph.tasks.index(task)
        behind, graph.tasks = graph.tasks[at + 1 :], graph.tasks[:at]
        image = graph.task(
            Op.TRANSPOSE, [x], graph.fresh(f"{x}:first"), {"perm": CHANNELS_FIRST}, source=source
        )
        larger = graph.fresh(f"{task.output}:first")
        graph.task(Op.UPSAMPLE_NEAREST, [image], larger, {"factors": factors}, name=task.name, source=source)
        graph.task(Op.TRANSPOSE, [larger], task.output, {"perm": CHANNELS_LAST}, source=source)
        for name in (image, larger) if x in graph.quant else ():
            graph.quant[name] = graph.quant[x]
        graph.tasks += behind
    graph.prune()


def _merge_upsampling(graph: Assembly) -> None:
    """Rows repeated, then columns, are both at once."""
    for task in graph.tasks:
        maker = graph.makers.get(task.inputs[0]) if task.op is Op.UPSAMPLE_NEAREST else None
        if maker is None or maker.op is not Op.UPSAMPLE_NEAREST or maker.output in graph.quant:
            continue
        first, second = maker.attrs["factors"], task.attrs["factors"]
        assert isinstance(first, tuple) and isinstance(second, tuple)
        task.inputs, task.attrs["factors"] = maker.inputs, (first[0] * second[0], first[1] * second[1])
    graph.prune()


def _times(shape: Shape, axis: int, count: int) -> Shape:
    return (*shape[:axis], shape[axis] * count, *shape[axis + 1 :])


def _merge_transposes(graph: Assembly) -> None:
    """A transposition of a transposition is one, or none."""
    for task in graph.tasks[:]:
        maker = graph.makers.get(task.inputs[0]) if task.op is Op.TRANSPOSE else None
        if maker is None or maker.op is not Op.TRANSPOSE or maker.output in graph.quant:
            continue
        task.inputs, task.attrs["perm"] = maker.inputs, _turn(_perm(maker), _perm(task))
    for task in graph.tasks[:]:
        if task.op is not Op.TRANSPOSE or _perm(task) != tuple(range(len(_perm(task)))):
            continue
        source = task.inputs[0]
        kept = graph.quant.get(task.output, graph.quant.get(source)) == graph.quant.get(source)
        if kept and task.output not in graph.outputs:
            graph.redirect(task.output, source)
    graph.prune()


@dataclass
class Region:
    """Elementwise tasks that read each other's results: activations they take from outside, and what others read.

    `readers` are the tasks outside that read a result.
    """

    tasks: list[Draft] = field(default_factory=list)
    entries: dict[str, None] = field(default_factory=dict)
    exits: dict[str, None] = field(default_factory=dict)
    readers: dict[str, list[Draft]] = field(default_factory=dict)


def _movable(graph: Assembly, task: Draft) -> bool:
    """Whether the task computes the same of transposed operands: all of them have its result's axes."""
    if task.op not in ELEMENTWISE:
        return False
    rank = len(graph.shapes[task.output])
    activations = [name for name in task.inputs if name not in graph.constants]
    if rank < 3 or any(len(graph.shapes[name]) != rank for name in activations):
        return False
    others = [name for name in task.inputs if name in graph.constants]
    if any(name in graph.quant for name in others):
        return False
    if task.op is Op.PRELU:
        slopes = graph.constants[task.inputs[1]]
        return bool((slopes == slopes.flat[0]).all())
    return task.op in BINARY or task.op is Op.SCALE_SHIFT or not others


def _regions(graph: Assembly) -> list[Region]:
    region_of: dict[str, Region] = {}  # by the name of a result
    for task in graph.tasks:
        if not _movable(graph, task):
            continue
        found = list({id(region_of[n]): region_of[n] for n in task.inputs if n in region_of}.values())
        own = found[0] if found else Region()
        for other in found[1:]:
            own.tasks += other.tasks
            region_of |= {each.output: own for each in other.tasks}
        own.tasks.append(task)
        region_of[task.output] = own
    regions = list({id(region): region for region in region_of.values()}.values())
    consumers, position = graph.consumers(), {task.output: i for i, task in enumerate(graph.tasks)}
    for region in regions:
        region.tasks.sort(key=lambda task: position[task.output])
        made = {task.output for task in region.tasks}
        for task in region.tasks:
            outside = [name for name in task.inputs if name not in made and name not in graph.constants]
            region.entries |= dict.fromkeys(outside)
            readers = [reader for reader in consumers.get(task.output, []) if reader.output not in made]
            region.readers[task.output] = readers
            if readers or task.output in graph.outputs:
                region.exits[task.output] = None
    return regions


def _gain(graph: Assembly, region: Region, perm: Shape, consumers: dict[str, list[Draft]]) -> int:
    """Elements that are moved less when results are ``transpose(result', perm)`` and the region makes ``result'``."""
    inside, gain, same = {task.output for task in region.tasks}, 0, tuple(range(len(perm)))
    for name in region.entries:
        size, maker = _moved(graph.shapes[name], _inverse(perm)), graph.makers.get(name)
        if maker is None or maker.op is not Op.TRANSPOSE:
            gain -= size
            continue
        alone = name not in graph.outputs and all(task.output in inside for task in consumers[name])
        if _perm(maker) == perm:
            gain += size if alone else 0
        elif not alone:
            gain -= size
    for name in region.exits:
        size = _moved(graph.shapes[name], _inverse(perm))
        others = name in graph.outputs
        for reader in region.readers[name]:
            if reader.op is Op.TRANSPOSE:
                gain += size if _turn(perm, _perm(reader)) == same else 0
            else:
                others = True
        gain -= size if others else 0
    return gain


def _moved(shape: Shape, perm: Shape) -> int:
    """Elements that a transposition moves: none where only axes of one element change their places."""
    kept = [axis for axis in perm if shape[axis] > 1]
    return 0 if kept == sorted(kept) else prod(shape)


def _turned(graph: Assembly, region: Region) -> bool:
    """Turn the region if that pays; True when it was done."""
    makers = [graph.makers[name] for name in region.entries if name in graph.makers]
    entries = [task for task in makers if task.op is Op.TRANSPOSE]
    readers = [reader for each in region.readers.values() for reader in each]
    exits = [task for task in readers if task.op is Op.TRANSPOSE]
    if not entries and not exits:
        return False
    rank, consumers = len(graph.shapes[region.tasks[0].output]), graph.consumers()
    if not any(_image(graph, task.inputs[0]) for task in entries) and not any(
        reader.op in IMAGES for task in exits for reader in consumers.get(task.output, [])
    ):
        return False
    perms = [_perm(task) for task in entries] + [_inverse(_perm(task)) for task in exits]
    gains = {perm: _gain(graph, region, perm, consumers) for perm in perms if len(perm) == rank}
    best = max(gains, key=lambda perm: gains[perm], default=None)
    joins = {_perm(task) for task in entries if _linear(graph, task.inputs[0])}
    if best is None or gains[best] < (best not in joins):
        return False
    _apply(graph, region, best)
    return True


def _image(graph: Assembly, name: str) -> bool:
    """Whether an operator on images makes the tensor, or elementwise tasks of what one makes."""
    while (maker := graph.makers.get(name)) is not None and maker.op in ELEMENTWISE:
        name = next((each for each in maker.inputs if each not in graph.constants), "")
    return maker is not None and maker.op in IMAGES


def _linear(graph: Assembly, name: str) -> bool:
    """Whether a matmul or convolution makes the tensor: an elementwise task right behind it costs nothing."""
    maker = graph.makers.get(name)
    return maker is not None and maker.op in LINEAR


def _apply(graph: Assembly, region: Region, perm: Shape) -> None:
    """Compute the region's results before the transposition `perm`."""
    back = _inverse(perm)
    made = {task.output for task in region.tasks}
    twins = {name: graph.fresh(f"{name}:turned") for name in (*region.entries, *made)}
    entered: set[str] = set()
    result: list[Draft] = []
    tasks, graph.tasks = graph.tasks, []  # new tasks are collected there, to be put in order
    for task in tasks:
        if task.output not in made:
            result.append(task)
            continue
        for name in task.inputs:
            if name in region.entries and name not in entered:
                entered.add(name)
                graph.task(Op.TRANSPOSE, [name], twins[name], {"perm": back}, source=task.source)
                if name in graph.quant:
                    graph.quant[twins[name]] = graph.quant[name]
        old = task.output
        shape = _turn(graph.shapes[old], back)
        task.inputs = tuple(
            twins[name] if name in twins else _constant(graph, task, name, back, shape)
            for name in task.inputs
        )
        task.output = twins[old]
        if "axis" in task.attrs:
            axis = task.attrs["axis"]
            assert isinstance(axis, int)
            task.attrs["axis"] = perm[axis]
        graph.shapes[task.output] = shape
        graph.makers[task.output] = task
        del graph.makers[old]
        if old in graph.quant:
            graph.quant[task.output] = graph.quant[old]
        graph.tasks.append(task)
        if old in region.exits:
            graph.task(Op.TRANSPOSE, [task.output], old, {"perm": perm}, source=task.source)
        result += graph.tasks
        graph.tasks = []
    graph.tasks = result
    graph.prune()


def _constant(graph: Assembly, task: Draft, name: str, back: Shape, shape: Shape) -> str:
    """A constant operand for the other layout; parameters along an axis (scale and shift) stay as they are."""
    array = graph.constants[name]
    if task.op is Op.PRELU:
        return graph.constant(f"{name}:turned", np.full(shape[1], array.flat[0], array.dtype))
    if task.op not in BINARY:
        return name
    wide = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    return graph.constant(f"{name}:turned", wide.transpose(back))
