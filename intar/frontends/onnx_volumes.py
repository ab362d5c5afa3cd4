"""Volumes of three dimensions (batch, channels, depth, height, width): images, for operators translated for these.

A pool is one of each slice and one over the depths of each pixel. A convolution reads the slices under its kernel as
channels, and the slices that it makes lie one below the other in a tall image, in whole strides, so that one convolution
of an image makes all of them; rows between two slices are thrown away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.onnx_nodes import Node, Rejected
from intar.frontends.onnx_steps import Steps
from intar.ir.shapes import show

Handler = Callable[[Importer, Node], None]

POOLS = ("AveragePool", "MaxPool", "LpPool")


def or_volume(handler: Handler) -> Handler:
    """A handler of images that takes volumes, too."""

    def translate(importer: Importer, node: Node) -> None:
        if len(importer.shape(node.inputs[0])) != 5:
            handler(importer, node)
            return
        steps = Steps(importer, node)
        if node.op in POOLS:
            made = _pool(steps, importer, node)
        elif node.op == "Conv":
            made = _convolution(steps, importer, node)
        elif node.op in ("GlobalAveragePool", "GlobalMaxPool"):
            op = {"GlobalAveragePool": "ReduceMean", "GlobalMaxPool": "ReduceMax"}[node.op]
            made = steps(op, [node.inputs[0]], {"axes": [2, 3, 4], "keepdims": 1})
        else:
            raise Rejected(
                f"it works on a volume {show(importer.shape(node.inputs[0]))}",
                "of operators on volumes there are convolutions and pools",
                "work slice by slice, with depth as channels",
            )
        importer.alias[node.outputs[0]] = importer.alias[made]

    return translate


def _numbers(node: Node, name: str, count: int, default: int) -> list[int]:
    values = [int(n) for n in node.attrs.get(name, (default,) * count)]
    if len(values) != count:
        raise Rejected(f"its {name} has {len(values)} numbers, expected {count}", code="graph")
    return values


def _pads(node: Node) -> list[int]:
    if node.attrs.get("auto_pad", "NOTSET") not in ("", "NOTSET", "VALID"):
        raise Rejected(
            "its padding follows from its size", "padding of a volume is six numbers", "write out its pads"
        )
    return _numbers(node, "pads", 6, 0)


def _pool(steps: Steps, importer: Importer, node: Node) -> str:
    """Slice by slice, then along the depth."""
    if any(importer.is_read(name) for name in node.outputs[1:]):
        raise Rejected("its indices are used", "only the values of a pool are computed")
    batch, channels, depth, height, width = importer.shape(node.inputs[0])
    pads = _pads(node)
    windows = {key: _numbers(node, key, 3, 1) for key in ("kernel_shape", "strides", "dilations")}
    rest = {key: value for key, value in node.attrs.items() if key in ("ceil_mode", "count_include_pad", "p")}
    flat = {key: value[1:] for key, value in windows.items()} | {"pads": [*pads[1:3], *pads[4:]]}
    deep = {key: [value[0], 1] for key, value in windows.items()} | {"pads": [pads[0], 0, pads[3], 0]}
    x = node.inputs[0]
    if any(windows["kernel_shape"][n] * windows["strides"][n] > 1 for n in (1, 2)):
        x = steps.reshape(x, [batch, channels * depth, height, width])
        x = steps(node.op, [x], rest | flat)
        height, width = importer.shape(x)[2:]
    x = steps.reshape(x, [batch, channels, depth, height * width])
    if windows["kernel_shape"][0] * windows["strides"][0] > 1:
        x = steps(node.op, [x], rest | deep)
        depth = importer.shape(x)[2]
    return steps.reshape(x, [batch, channels, depth, height, width])


def _convolution(steps: Steps, importer: Importer, node: Node) -> str:
    """One convolution of a tall image: channels are the slices under the kernel, rows those of all slices that it makes."""
    shape, name = importer.shape(node.inputs[0]), node.inputs[1]
    if not importer.is_constant(name) or shape[0] != 1:
        raise Rejected(
            f"it works on a batch of {shape[0]} volumes"
            if shape[0] != 1
            else f"its weight '{name}' is an activation",
            "weights are laid out before the circuit runs, for one volume at a time",
        )
    weight, groups, pads = importer.real(name), int(node.attrs.get("group", 1)), _pads(node)
    strides, dilations = (_numbers(node, key, 3, 1) for key in ("strides", "dilations"))
    kernel, channels = weight.shape[2:], shape[1]
    spans = [dilation * (size - 1) + 1 for dilation, size in zip(dilations, kernel, strict=True)]
    sizes = [(shape[2 + a] + pads[a] + pads[a + 3] - spans[a]) // strides[a] + 1 for a in range(3)]
    x = steps("Pad", [node.inputs[0], np.asarray([0, 0, pads[0], 0, 0, 0, 0, pads[3], 0, 0])])
    starts = np.arange(sizes[0])[None] * strides[0] + np.arange(kernel[0])[:, None] * dilations[0]
    x = steps("Gather", [x, starts.reshape(-1)], {"axis": 2})
    attrs: dict[str, Any] = {"group": groups, "dilations": dilations[1:], "strides": strides[1:]}
    wide = weight.swapaxes(1, 2).reshape(
        weight.shape[0], -1, *kernel[1:]
    )  # slices of the kernel outside, channels inside
    if kernel[1:] == (1, 1) and strides[1:] == [1, 1] and not any(pads[1:3] + pads[4:]):
        tall, width = shape[3] * shape[4], 1  # pixels don't meet: rows of one
    else:
        below = -(shape[3] + pads[1] + pads[4]) % strides[1]
        x = steps("Pad", [x, np.asarray([0, 0, 0, pads[1], 0, 0, 0, 0, pads[4] + below, 0])])
        tall, width = shape[3] + pads[1] + pads[4] + below, shape[4]
        attrs["pads"] = [0, pads[2], spans[1] - 1, pads[5]]
    grouped = [groups, channels // groups, kernel[0], sizes[0] * tall, width]
    x = steps("Transpose", [steps.reshape(x, grouped)], {"perm": (0, 2, 1, 3, 4)})
    x = steps.reshape(x, [1, channels * kernel[0], sizes[0] * tall, width])
    bias = [node.inputs[2]] if node.input(2) else []
    made = steps("Conv", [x, wide.astype(np.float32), *bias], attrs)
    if "pads" not in attrs:
        return steps.reshape(made, [1, weight.shape[0], *sizes])
    rows = tall // strides[1]
    made = steps.reshape(made, [1, weight.shape[0], sizes[0], rows, sizes[2]])
    return steps.parts(made, 3, [sizes[1], rows - sizes[1]])[0] if rows > sizes[1] else made
