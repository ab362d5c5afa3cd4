"""Merge tasks of an imported network: biases and normalisation into linear tasks, transposes into products, masks into
softmax, grids."""

from __future__ import annotations

from math import prod
from operator import add

import numpy as np

from intar.frontends.assemble import Assembly, Draft
from intar.frontends.layouts import LINEAR, settle_layouts
from intar.frontends.masks import finite_mask
from intar.frontends.reshaped_images import functions_of_images
from intar.ir.ops import HIDDEN, Op
from intar.ir.shapes import Shape
from intar.ir.taskgraph import dequantise


def simplify(graph: Assembly) -> None:
    """Apply all merges, in the order in which they enable each other."""
    graph.prune()
    settle_grids(graph)
    settle_layouts(graph)
    absorb_transposes(graph)
    merge_pads(graph)
    merge_masks(graph)
    merge_lookups(graph)
    functions_of_images(graph)
    changed = True
    while changed:
        changed = merge_bias(graph) or fold_scale(graph)
    graph.prune()


def settle_grids(graph: Assembly) -> None:
    """Turn each copy onto a grid (a task without operator) into the format of the tensor that it copies.

    That needs a tensor which nobody reads off the grid; otherwise the copy becomes a scale_shift by one and
    zero.
    """
    for task in [task for task in graph.tasks if task.op is None]:
        source, quant = task.inputs[0], graph.quant[task.output]
        readers = graph.consumers().get(source, [])
        alone = source not in graph.outputs and all(
            reader.op is None and graph.quant[reader.output] == quant for reader in readers
        )
        same = graph.quant.get(source) == quant
        if same or (alone and source not in graph.quant and source not in graph.constants):
            graph.quant[source] = quant
            graph.tasks.remove(task)
            del graph.makers[task.output], graph.shapes[task.output], graph.quant[task.output]
            graph.redirect(task.output, source)
            continue
        shape = graph.shapes[source]
        width = shape[-1] if shape else 1
        ones = graph.constant(f"{task.output}:scale", np.ones(width, np.float32))
        zeros = graph.constant(f"{task.output}:shift", np.zeros(width, np.float32))
        task.op, task.inputs, task.attrs = (
            Op.SCALE_SHIFT,
            (source, ones, zeros),
            {"axis": max(len(shape) - 1, 0)},
        )


def absorb_transposes(graph: Assembly) -> None:
    """A transpose that takes the last axis of a product's second operand away becomes the product's own.

    What is left of the transpose keeps rows whole; often nothing is left.
    """
    for task in graph.tasks[:]:
        if task.op is not Op.PRODUCT:
            continue
        name = task.inputs[1]
        maker = graph.makers.get(name)
        if maker is None or maker.op is not Op.TRANSPOSE or name in graph.outputs:
            continue
        source, perm = maker.inputs[0], maker.attrs["perm"]
        assert isinstance(perm, tuple)
        swapped = (*perm[:-2], perm[-1], perm[-2])
        same_grid = graph.quant.get(name) in (None, graph.quant.get(source))
        if swapped[-1] != len(perm) - 1 or graph.consumers()[name] != [task] or not same_grid:
            continue
        if task.inputs[0] == name:
            continue
        task.attrs["transposed"] = "none" if task.attrs["transposed"] == "second" else "second"
        if swapped == tuple(range(len(perm))):
            task.inputs = (task.inputs[0], source)
        else:
            maker.attrs["perm"] = swapped
            shape = graph.shapes[name]
            graph.shapes[name] = (*shape[:-2], shape[-1], shape[-2])
    graph.prune()


def merge_pads(graph: Assembly) -> None:
    """Zeros around an image (a convolution of each channel by itself with a single one) become those of the convolution
    behind them."""
    for task in graph.tasks:
        if task.op is not Op.CONV2D:
            continue
        name = task.inputs[0]
        maker = graph.makers.get(name)
        while maker is not None and maker.op is Op.RESHAPE and maker.inputs[0] not in graph.quant:
            maker = graph.makers.get(maker.inputs[0])
        if maker is None or not _only_pads(graph, maker) or graph.shapes[maker.output] != graph.shapes[name]:
            continue
        if graph.quant.get(name) not in (None, graph.quant.get(maker.inputs[0])):
            continue
        own, before = task.attrs["pads"], maker.attrs["pads"]
        assert isinstance(own, tuple) and isinstance(before, tuple)
        task.attrs["pads"] = tuple(map(add, own, before))
        task.inputs = (maker.inputs[0], *task.inputs[1:])
    graph.prune()


def _only_pads(graph: Assembly, task: Draft) -> bool:
    """Whether a task puts zeros around an image and does nothing else."""
    if task.op is not Op.CONV2D or len(task.inputs) != 2 or task.attrs["stride"] != (1, 1):
        return False
    weight = graph.constants[task.inputs[1]]
    return weight.shape == (task.attrs["groups"], 1, 1, 1) and bool(
        (_values(graph, task.inputs[1]) == 1).all()
    )


def merge_masks(graph: Assembly) -> None:
    """The addition of a constant that hides elements becomes the mask of the softmax behind it."""
    for task in graph.tasks:
        name = task.inputs[0] if task.op is Op.SOFTMAX and len(task.inputs) == 1 else ""
        maker = graph.makers.get(name)
        if maker is None or maker.op is not Op.ADD or graph.consumers()[name] != [task]:
            continue
        if name in graph.outputs or name in graph.quant:
            continue
        for x, mask in (maker.inputs, maker.inputs[::-1]):
            hides = mask in graph.constants and bool((_values(graph, mask) <= HIDDEN).any())
            if hides and x not in graph.constants and graph.shapes[x] == graph.shapes[name]:
                held = finite_mask(_values(graph, mask)).astype(np.float32)
                task.inputs = (x, graph.constant(f"{mask}:held", held))
                break
    graph.prune()


def merge_lookups(graph: Assembly) -> None:
    """Rows of ones that ids choose, times a matrix, are the rows of that matrix."""
    for task in graph.tasks:
        maker = graph.makers.get(task.inputs[0]) if task.op is Op.MATMUL else None
        while maker is not None and maker.op is Op.RESHAPE and maker.output not in graph.quant:
            maker = graph.makers.get(maker.inputs[0])
        if maker is None or maker.op is not Op.EMBEDDING or maker.output in (*graph.outputs, *graph.quant):
            continue
        if len(task.inputs) > 2 or any(name in graph.quant for name in task.inputs[1:]):
            continue
        table = graph.constants[maker.inputs[1]]
        if not np.array_equal(table, np.eye(len(table))):
            continue
        ids, weight = maker.inputs[0], task.inputs[1]
        if graph.shapes[task.output] == (*graph.shapes[ids], graph.shapes[weight][1]):
            task.op, task.inputs, task.attrs = Op.EMBEDDING, (ids, weight), {}
            continue
        rows = graph.fresh(f"{task.output}:rows")
        graph.task(Op.EMBEDDING, (ids, weight), rows, name=task.name, source=task.source)
        graph.tasks.insert(graph.tasks.index(task), graph.tasks.pop())
        task.op, task.inputs, task.attrs = Op.RESHAPE, (rows,), {"shape": graph.shapes[task.output]}
    graph.prune()


LARGEST = 1 << 24
"""Elements of a result whose addend is followed through moves."""


def _sole_linear(graph: Assembly, task: Draft, name: str) -> Draft | None:
    """The matmul or convolution that makes `name`, when only `task` reads it and it has no grid of its own."""
    maker = graph.makers.get(name)
    if maker is None or maker.op not in LINEAR or name in graph.outputs or name in graph.quant:
        return None
    return maker if graph.consumers()[name] == [task] else None


def _channel_axis(graph: Assembly, maker: Draft) -> int:
    """The axis of its output that the bias goes along."""
    return len(graph.shapes[maker.output]) - 1 if maker.op is Op.MATMUL else 1


def _values(graph: Assembly, name: str) -> np.ndarray:
    array, quant = graph.constants[name], graph.quant.get(name)
    return array if quant is None else dequantise(array, quant)


def _linear_behind(graph: Assembly, task: Draft, name: str) -> tuple[Draft, list[Draft]] | None:
    """The matmul or convolution whose result is `name`, maybe moved, and the moves from there; `task` alone reads it."""
    consumers: dict[str, list[Draft]] = {}  # found only where there are moves: this is asked of every sum
    moves: list[Draft] = []
    while (maker := graph.makers.get(name)) is not None and maker.op in (Op.RESHAPE, Op.TRANSPOSE):
        consumers = consumers or graph.consumers()
        if name in graph.outputs or name in graph.quant or consumers[name] != [moves[-1] if moves else task]:
            return None
        moves.append(maker)
        name = maker.inputs[0]
    found = _sole_linear(graph, moves[-1] if moves else task, name)
    return None if found is None else (found, moves)


def _row_behind(
    graph: Assembly, maker: Draft, moves: list[Draft], bias: str, shape: Shape
) -> np.ndarray | None:
    """The constant that is added to what `moves` make, as one number for each channel of `maker`; None if it is not that."""
    array = _values(graph, bias)
    if array.ndim > len(shape) or prod(shape) > LARGEST:
        return None
    spread = np.broadcast_to(array, shape)
    for move in moves:
        before = graph.shapes[move.inputs[0]]
        if move.op is Op.RESHAPE:
            spread = spread.reshape(before)
        else:
            perm = move.attrs["perm"]
            assert isinstance(perm, tuple)
            spread = spread.transpose(np.argsort(perm))
    axis = _channel_axis(graph, maker)
    rows = np.moveaxis(spread, axis, -1).reshape(-1, spread.shape[axis])
    return rows[0] if bool((rows == rows[0]).all()) else None


def merge_bias(graph: Assembly) -> bool:
    """Matmul or convolution without bias, then the addition of one number a channel: one with bias. True if merged.

    What stands between them may be moves: channels that a network keeps last, a signal's or a head's axes.
    """
    for task in graph.tasks:
        if task.op is not Op.ADD:
            continue
        for position in (0, 1):
            bias, product = task.inputs[position], task.inputs[1 - position]
            behind = _linear_behind(graph, task, product) if bias in graph.constants else None
            if (
                behind is None
                or len(behind[0].inputs) != 2
                or graph.shapes[task.output] != graph.shapes[product]
            ):
                continue
            maker, moves = behind
            if graph.shapes[bias] == (graph.shapes[maker.output][_channel_axis(graph, maker)],) and not moves:
                maker.inputs = (*maker.inputs, bias)
            else:
                row = _row_behind(graph, maker, moves, bias, graph.shapes[product])
                if row is None:
                    continue
                maker.inputs = (*maker.inputs, graph.constant(f"{bias}:row", row))
            if moves:
                _move_over(graph, task, moves[0], maker)
            else:
                _take_over(graph, task, maker)
            return True
    return False


def fold_scale(graph: Assembly) -> bool:
    """Matmul or convolution, then a scale and shift of its channels: one with other weights. True if one was folded."""
    for task in graph.tasks:
        if task.op is not Op.SCALE_SHIFT:
            continue
        maker = _sole_linear(graph, task, task.inputs[0])
        if maker is None or task.attrs["axis"] != _channel_axis(graph, maker):
            continue
        if any(each in graph.quant for each in maker.inputs[1:]):
            continue
        weight = graph.constants[maker.inputs[1]]
        scale, shift = (graph.constants[each].astype(np.float64) for each in task.inputs[1:])
        bias = graph.constants[maker.inputs[2]].astype(np.float64) if len(maker.inputs) == 3 else 0.0
        scaled = _scaled_channels(maker, weight, scale).astype(weight.dtype)
        folded = graph.constant(f"{maker.inputs[1]}:folded", scaled)
        moved = graph.constant(f"{task.output}:bias", (bias * scale + shift).astype(weight.dtype))
        maker.inputs = (maker.inputs[0], folded, moved)
        _take_over(graph, task, maker)
        return True
    return False


def _scaled_channels(maker: Draft, weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The weight whose output channels are multiplied by `scale`."""
    if maker.op is Op.MATMUL:
        return weight * scale
    if maker.op is Op.CONV2D:
        return weight * scale.reshape(-1, 1, 1, 1)
    groups = maker.attrs["groups"]
    assert isinstance(groups, int)
    split = weight.reshape(groups, -1, *weight.shape[1:]) * scale.reshape(groups, 1, -1, 1, 1)
    return split.reshape(weight.shape)


def _take_over(graph: Assembly, task: Draft, maker: Draft) -> None:
    """Let `maker` compute what `task` computed."""
    graph.tasks.remove(task)
    del graph.makers[maker.output]
    maker.output = task.output
    if task.source != maker.source:
        maker.source = f"{maker.source} + {task.source}"
    graph.makers[task.output] = maker


def _move_over(graph: Assembly, task: Draft, move: Draft, maker: Draft) -> None:
    """Let the last `move` behind `maker` make what `task` made, which is in `maker` now."""
    maker.source = f"{maker.source} + {task.source}"
    graph.tasks.remove(task)
    del graph.makers[move.output]
    move.output = task.output
    graph.makers[task.output] = move
