"""Signals of one dimension (batch, channels, length): images of one row, for operators that are translated for images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from intar.frontends.importer import Importer
from intar.frontends.onnx_nodes import Node
from intar.ir.ops import Op

Handler = Callable[[Importer, Node], None]

ONE_ROW = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0, "output_shape": 1}
"""What each of these attributes is across the row."""


def or_signal(handler: Handler) -> Handler:
    """A handler of images that takes signals, too: the same node on an image of one row."""

    def translate(importer: Importer, node: Node) -> None:
        shape = importer.shape(node.inputs[0])
        if len(shape) != 3:
            handler(importer, node)
            return
        made = f"{node.outputs[0]}:row"
        image = importer.emit(
            node,
            Op.RESHAPE,
            [importer.tensor(node.inputs[0])],
            {"shape": (*shape[:2], 1, shape[2])},
            output=importer.graph.fresh(f"{node.outputs[0]}:image"),
        )
        importer.alias[image] = image
        operands = [image, *(_in_a_row(importer, node, at) for at in range(1, len(node.inputs)))]
        row = node.became(node.op, operands, _attrs(node.attrs))
        row.outputs = [made, *node.outputs[1:]]
        handler(importer, row)
        if (found := importer.graph.shapes.get(importer.alias[made])) is not None:
            importer.emit(node, Op.RESHAPE, [importer.alias[made]], {"shape": (*found[:2], found[3])})

    return translate


def _attrs(attrs: dict[str, Any]) -> dict[str, Any]:
    """The attributes on an image of one row; what has another number of elements is left for the handler to refuse."""
    wide = dict(attrs)
    for name, across in ONE_ROW.items():
        if len(attrs.get(name, ())) == 1:
            wide[name] = [across, *attrs[name]]
    if len(attrs.get("pads", ())) == 2:
        wide["pads"] = [0, attrs["pads"][0], 0, attrs["pads"][1]]
    return wide


def _in_a_row(importer: Importer, node: Node, position: int) -> str:
    """A constant kernel of three axes with one of a single row between; other operands as they are."""
    name = node.inputs[position]
    if not importer.is_constant(name) or len(importer.shape(name)) != 3:
        return name
    made = f"{node.outputs[0]}:{name}:row"
    if name in importer.packed:
        array, quant = importer.packed[name]
        importer.packed[made] = (array[:, :, None], quant)  # the channels are axis 0 or 1
    else:
        importer.values[made] = importer.values[name][:, :, None]
    return made
