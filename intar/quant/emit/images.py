"""Convolutions, maxima and reorderings of images on a grid, as integer tasks."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from intar.grid.components import Grid
from intar.ir.ops import Op
from intar.ir.quantgraph import FunctionSpec, Piece, QConv, QPool, Tap, TapGroup
from intar.ir.shapes import Shape
from intar.ir.taps import groups_of
from intar.ir.taskgraph import Task
from intar.ir.validate import where
from intar.quant import pieces
from intar.quant.affine import accumulator_integers
from intar.quant.filters import share
from intar.quant.fixed import factors, limits
from intar.quant.formats import Format
from intar.quant.fuse import Group
from intar.quant.weights import Weights, imported_weights, quantise_weights, unit_weights

TAP_BITS = 8
"""Of the weight of an operator that treats each channel alone: it stands for the offset's steps, not for the gain."""

if TYPE_CHECKING:
    from intar.quant.emit.emitter import Emitter


def tap_groups(groups: list[tuple[int, list[Shape]]]) -> tuple[TapGroup, ...]:
    """The groups of a float task as those of an integer one."""
    return tuple(
        TapGroup(channels=channels, taps=tuple(_tap(*tap) for tap in taps)) for channels, taps in groups
    )


@lru_cache(maxsize=1 << 16)
def _tap(channel: int, dy: int, dx: int, short_rows: int, short_columns: int) -> Tap:
    """A tap; groups and layers have many in common."""
    return Tap(channel=channel, dy=dy, dx=dx, short_rows=short_rows, short_columns=short_columns)  # type: ignore[arg-type]


def _alone(channels: int) -> list[tuple[int, list[Shape]]]:
    """Every channel reads its own element."""
    return [(1, [(c, 0, 0, 0, 0)]) for c in range(channels)]


def _geometry(x: Grid, y: Grid) -> dict[str, Any]:
    return {
        "in_height": x.height,
        "in_width": x.width,
        "height": y.height,
        "width": y.width,
        "in_pitch": x.pitch,
        "pitch": y.pitch,
    }


def _stride(task: Task) -> tuple[int, int]:
    stride = task.attrs["stride"]
    assert isinstance(stride, tuple)
    return stride[0], stride[1]


def conv(emitter: Emitter, group: Group) -> None:
    """A convolution, or an elementwise operator as one tap of weight 1 a channel."""
    source, task = group.inputs[0], group.first
    x, target = emitter.formats.stored[source], emitter.target(group)
    grids = emitter.on_grid
    own = task.op is Op.TAP_CONV
    data = _weights(emitter, group, x) if own else _one_tap(group, x)
    groups = groups_of(task.attrs) if own else _alone(grids[source].channels)
    common = emitter.common(group, (source,), target, group.output)
    bias, mult, shift, zero = accumulator_integers(data, x.scale, target)
    data = replace(data, bias=bias)
    emitter.tasks.append(
        QConv(
            **common | {"zero": zero},
            **_geometry(grids[source], grids[group.output]),
            **_filters(emitter, task.name, data, mult, shift, tap_groups(groups), common["table"]),
            pad=x.zero,
            stride=_stride(task) if own else (1, 1),
        )
    )


def _filters(
    emitter: Emitter,
    name: str,
    data: Weights,
    mult: np.ndarray,
    shift: np.ndarray,
    groups: tuple[TapGroup, ...],
    table: FunctionSpec | None = None,
) -> dict[str, Any]:
    """The fields of a convolution that say what it multiplies: taps, and each filter once."""
    arrays = {"weight": data.ints.T, "bias": data.bias, "mult": mult, "shift": shift}
    arrays, filters = share(arrays, groups, table)
    names = {role: emitter.constant(name, role, array) for role, array in arrays.items()}
    return {
        **names,
        "groups": groups,
        "filters": filters,
        "weight_bits": data.bits,
        "acc_bits": data.acc_bits,
    }


def _weights(emitter: Emitter, group: Group, x: Format) -> Weights:
    name = group.first.inputs[1]
    quant = emitter.graph.tensor(name).quant
    if quant is not None:
        ints = emitter.graph.constants[name].T
        turned = quant.model_copy(update={"axis": None if quant.axis is None else 1 - quant.axis})
        return imported_weights(
            ints, turned, group.gain, group.offset, x.bits, x.scale, x.zero, where(group.first)
        )
    weight = emitter.graph.constant(name).T * group.gain
    bits = emitter.weight_bits(group)
    units = unit_weights(weight, group.offset, bits, x.bits, x.scale, x.zero)
    return units or quantise_weights(weight, group.offset, bits, x.bits, x.scale, x.zero)


def _one_tap(group: Group, x: Format) -> Weights:
    """``gain * x + offset``: the gain is in the multipliers, the offset in steps of the input's scale times gain / 127."""
    weight = group.gain[None, :]
    units = unit_weights(weight, group.offset, TAP_BITS, x.bits, x.scale, x.zero)
    return units or quantise_weights(weight, group.offset, TAP_BITS, x.bits, x.scale, x.zero)


def pool(emitter: Emitter, group: Group) -> None:
    """A maximum over taps; its input has the output's format."""
    task, target = group.first, emitter.target(group)
    source = emitter.in_format(task, group.inputs[0], target)
    common = emitter.common(group, (source,), target, group.output) | {"zero": 0}
    grids = emitter.on_grid
    emitter.tasks.append(
        QPool(
            **common,
            **_geometry(grids[group.inputs[0]], grids[group.output]),
            pad=limits(target.bits)[0],
            stride=_stride(task),
            groups=tap_groups(groups_of(task.attrs)),
        )
    )


def rescale(
    emitter: Emitter, name: str, output: str, own: str, source: str, old: Format, new: Format
) -> QConv:
    """A copy of a grid tensor in another format."""
    grid = emitter.on_grid[name]
    ones, zeros = np.ones((1, grid.channels)), np.zeros(grid.channels)
    data = unit_weights(ones, zeros, 8, old.bits, old.scale, old.zero)
    assert data is not None
    mult, shift = factors(old.scale * data.scale / new.scale)
    lo, hi = limits(new.bits)
    return QConv(
        name=own,
        inputs=(name,),
        output=output,
        lo=lo,
        hi=hi,
        zero=new.zero,
        source=source,
        **_geometry(grid, grid),
        **_filters(emitter, own, data, mult, shift, tap_groups(_alone(grid.channels))),
        pad=old.zero,
    )


def by_place(emitter: Emitter, group: Group) -> tuple[np.ndarray, np.ndarray, bool]:
    """Gain and offset of every element of a grid tensor as it is kept, and whether all channels have the same."""
    grid = emitter.on_grid[group.inputs[0]]
    spread = []
    for values, filler in ((group.gain, 1.0), (group.offset, 0.0)):
        whole = np.full((grid.channels, grid.height, grid.pitch), filler)
        whole[:, :, : grid.width] = values.reshape(grid.channels, grid.height, grid.width)
        spread.append(whole.reshape(grid.channels, -1))
    same = all(bool((values == values[0]).all()) for values in spread)
    return spread[0], spread[1], same


def move_pieces(emitter: Emitter, group: Group) -> tuple[tuple[Piece, ...], bool]:
    """The pieces of a space_to_depth or depth_to_space, and whether the host does it: it stands alone at the border."""
    task, graph = group.first, emitter.graph
    name, output = task.inputs[0], task.output
    block = task.attrs["block"]
    assert isinstance(block, tuple)
    pair = (block[0], block[1])
    if task.op is Op.SPACE_TO_DEPTH:
        shape = graph.tensor(name).shape[1:]
        grid = emitter.on_grid.get(output) or _plain(graph.tensor(output).shape)
        made = pieces.blocks_to_grid(shape, pair, grid.height, grid.pitch)
        alone = name in graph.inputs and len(graph.consumers(name)) == 1 and name not in graph.outputs
        size = int(np.prod(shape))
        straight = grid.shape[0] * grid.shape[1] == size and made == pieces.reshape(shape)
        return made, alone and output in emitter.on_grid and not straight
    shape = graph.tensor(output).shape[1:]
    grid = emitter.on_grid.get(name) or _plain(graph.tensor(name).shape)
    alone = output in graph.outputs and not graph.consumers(output) and name in emitter.on_grid
    return pieces.grid_to_image(shape, pair, grid.height, grid.pitch), alone


def _plain(shape: Shape) -> Grid:
    return Grid(shape[1], shape[2], shape[3], shape[3])
