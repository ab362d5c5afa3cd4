"""Normalisations of ONNX models: the operators, and what stands for a spelled-out one (`onnx_moments`)."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from intar.frontends.onnx_nodes import Node, Rejected
from intar.ir.ops import Op
from intar.ir.shapes import Shape, show

if TYPE_CHECKING:
    from intar.frontends.importer import Importer


def layer_norm(importer: Importer, node: Node) -> None:
    """LayerNorm from an axis on; a missing scale is 1, a missing shift 0."""
    _along_rows(importer, node, Op.LAYER_NORM, (1.0, 0.0))


def rms_norm(importer: Importer, node: Node) -> None:
    """RMSNorm from an axis on; a missing scale is 1."""
    _along_rows(importer, node, Op.RMS_NORM, (1.0,))


def _along_rows(importer: Importer, node: Node, op: Op, defaults: tuple[float, ...]) -> None:
    """A normalisation with vectors, whose defaults are given; several axes are one while it lasts."""
    shape, axis = importer.shape(node.inputs[0]), int(node.attrs.get("axis", -1))
    if not shape or not -len(shape) <= axis < len(shape):
        raise Rejected(f"its axis {axis} does not exist in a tensor of {len(shape)} axes", code="graph")
    if any(importer.is_read(name) for name in node.outputs[1:]):
        raise Rejected("its mean or deviation is read", "only the normalised tensor is computed")
    x, own, output = importer.tensor(node.inputs[0]), shape[axis:], node.outputs[0]
    vectors = [_vector(importer, node, at, np.full(own, n, np.float32)) for at, n in enumerate(defaults, 1)]
    attrs = {"epsilon": _epsilon(node)}
    if len(own) == 1:
        importer.emit(node, op, [x, *vectors], attrs)
        return
    flat = {"shape": (*shape[: len(shape) - len(own)], prod(own))}
    x = importer.emit(node, Op.RESHAPE, [x], flat, output=f"{output}:rows")
    x = importer.emit(node, op, [x, *vectors], attrs, output=f"{output}:normalised")
    importer.emit(node, Op.RESHAPE, [x], {"shape": shape})


def lp_norm(importer: Importer, node: Node) -> None:
    """Rows over their Euclidean length: an RMSNorm times one over the root of their elements."""
    if int(node.attrs.get("p", 2)) != 2:
        raise Rejected(f"its p is {node.attrs['p']}", "the length of a row is the Euclidean one")
    x, width = _input(importer, node)
    factor = importer.graph.constant(f"{node.outputs[0]}:length", np.full(width, width**-0.5))
    least = float(node.attrs.get("epsilon", 0.0))  # ours: the length that a shorter row is divided by
    importer.emit(node, Op.RMS_NORM, [x, factor], {"epsilon": max(least**2 / width, 1e-30)})


def group_norm(importer: Importer, node: Node) -> None:
    """Groups of channels (an InstanceNormalization: single ones) as rows of a LayerNorm, then scale and shift by channel."""
    x, shape, output = importer.tensor(node.inputs[0]), importer.shape(node.inputs[0]), node.outputs[0]
    if len(shape) < 3:
        raise Rejected(f"its input has the shape {show(shape)}, it needs three axes at least", code="graph")
    channels = shape[1]
    groups = int(node.attrs.get("num_groups", channels))
    if groups < 1 or channels % groups:
        raise Rejected(f"{channels} channels are not {groups} equal groups", code="graph")
    scale, shift = (
        importer.real(node.inputs[position]).astype(np.float64)
        if importer.is_constant(node.inputs[position])
        else None
        for position in (1, 2)
    )
    if scale is None or shift is None:
        raise Rejected("its scale or shift is computed at run time", hint="make it a constant")
    if scale.size == groups != channels:  # before operator set 21
        scale, shift = (np.repeat(each.reshape(-1), channels // groups) for each in (scale, shift))
    width = prod(shape[1:]) // groups
    gain, offset, one, zero = (
        importer.graph.constant(f"{output}:{role}", np.asarray(values))
        for role, values in (
            ("scale", scale),
            ("shift", shift),
            ("one", np.ones(width)),
            ("zero", np.zeros(width)),
        )
    )
    rows = importer.emit(
        node, Op.RESHAPE, [x], {"shape": (shape[0], groups, width)}, output=f"{output}:groups"
    )
    attrs = {"epsilon": _epsilon(node)}
    made = importer.emit(node, Op.LAYER_NORM, [rows, one, zero], attrs, output=f"{output}:normalised")
    back = importer.emit(node, Op.RESHAPE, [made], {"shape": shape}, output=f"{output}:channels")
    importer.emit(node, Op.SCALE_SHIFT, [back, gain, offset], {"axis": 1})


def _epsilon(node: Node) -> float:
    return float(node.attrs.get("epsilon", 1e-5))


def _input(importer: Importer, node: Node) -> tuple[str, int]:
    shape = importer.shape(node.inputs[0])
    axis = int(node.attrs.get("axis", -1))
    if not shape or axis not in (-1, len(shape) - 1):
        raise Rejected(
            f"it normalises from axis {axis} of {len(shape)} on",
            "only the last axis is normalised",
            "merge the axes with a reshape before it",
        )
    if any(importer.is_read(name) for name in node.outputs[1:]):
        raise Rejected("its mean or deviation is read", "only the normalised tensor is computed")
    return importer.tensor(node.inputs[0]), shape[-1]


def _vector(importer: Importer, node: Node, position: int, default: np.ndarray) -> str:
    """A scale or shift along the normalised axes, as a constant of as many elements in a row."""
    name = node.input(position)
    if name and not importer.is_constant(name):
        raise Rejected(f"its parameter '{name}' is computed at run time", hint="make it a constant")
    array = np.asarray(importer.real(name) if name else default)
    leading: Shape = array.shape[: max(0, array.ndim - default.ndim)]
    own = array.reshape(array.shape[len(leading) :])
    have: Shape = own.shape
    fits = all(n in (1, size) for n, size in zip(have[::-1], default.shape[::-1], strict=False))
    if any(n != 1 for n in leading) or not fits:
        raise Rejected(f"its parameter has shape {array.shape}, expected {show(default.shape)}", code="graph")
    spread = np.broadcast_to(own, default.shape).reshape(-1).copy()
    return importer.graph.constant(f"{node.outputs[0]}:parameter_{position}", spread)


def axis_norm(importer: Importer, node: Node) -> None:
    """A LayerNorm or (`centred` 0) RMSNorm along one axis alone, with its scale and shift where they are constants."""
    x, shape, output = importer.tensor(node.inputs[0]), importer.shape(node.inputs[0]), node.outputs[0]
    rank, axis = len(shape), int(node.attrs["axis"])
    if not -rank <= axis < rank:
        raise Rejected(f"its axis {axis} does not exist in a tensor of {rank} axes", code="graph")
    axis %= rank
    if node.attrs["count"] not in (0, shape[axis]):
        raise Rejected(
            f"it divides a sum of {shape[axis]} elements by {node.attrs['count']}", "that is no mean",
            "divide by the number of elements",
        )  # fmt: skip
    vectors: list[np.ndarray] = []
    later: list[tuple[Op, str]] = []
    for position, op, nothing in ((1, Op.MUL, 1.0), (2, Op.ADD, 0.0)):
        name = node.input(position)
        array = np.asarray(importer.real(name)) if name else np.full((), nothing)
        spread = array.reshape((1,) * (rank - array.ndim) + array.shape)
        along = not later and spread.ndim == rank and spread.size == spread.shape[axis]
        vectors.append(np.broadcast_to(spread.reshape(-1) if along else nothing, shape[axis]).copy())
        if not along:
            later.append((op, importer.graph.constant(f"{output}:{op}", array)))
    perm = (*(a for a in range(rank) if a != axis), axis)
    steps: list[tuple[Op, list[str], dict]] = []
    if axis != rank - 1:
        steps.append((Op.TRANSPOSE, [], {"perm": perm}))
    roles = ("scale", "shift")[: 1 + int(node.attrs["centred"])]
    gains = [importer.graph.constant(f"{output}:{role}", v) for role, v in zip(roles, vectors, strict=False)]
    steps.append(
        (Op.LAYER_NORM if node.attrs["centred"] else Op.RMS_NORM, gains, {"epsilon": _epsilon(node)})
    )
    if axis != rank - 1:
        steps.append((Op.TRANSPOSE, [], {"perm": tuple(perm.index(a) for a in range(rank))}))
    steps += [(op, [name], {}) for op, name in later]
    for number, (op, more, attrs) in enumerate(steps, 1):
        name = "" if number == len(steps) else f"{output}:{op}_{number}"
        x = importer.emit(node, op, [x, *more], attrs, output=name)
