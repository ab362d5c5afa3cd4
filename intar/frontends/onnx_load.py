"""Read an ONNX model from a file or an object, trusting nothing in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import external_data_helper

from intar.errors import Finding, GraphError, UnsupportedError
from intar.ir.io import read_bytes

OLDEST_OPSET = 7
"""Broadcasting and BatchNormalization mean what they mean today from this operator set on."""

SPELLED_OUT = (
    *("Attention", "CausalConvWithState", "CenterCropPad", "LinearAttention", "MeanVarianceNormalization"),
    *("ReduceLogSum", "RotaryEmbedding", "SwiGLU", "ThresholdedRelu"),
)
"""Operators that are translated as what ONNX itself says they are made of."""

CHECKED_BYTES = 1 << 30
"""Models larger than this skip ONNX's own checker, which would serialise them once more."""


def load_onnx(source: str | Path | bytes | onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """The model with all its data in memory, and what messages call it.

    Raises
    ------
    GraphError
        No such file, not an ONNX model, data outside the model's folder, or an invalid model.
    UnsupportedError
        An operator set that is too old or too new.
    """
    if isinstance(source, onnx.ModelProto):
        model, where, folder = onnx.ModelProto(), source.graph.name or "model", None
        model.CopyFrom(source)
    elif isinstance(source, bytes):
        model, where, folder = _parse(source, "model"), "model", None
    else:
        path = Path(source)
        model, where, folder = _parse(read_bytes(path), path.name), path.name, path.parent
    _names(model, where)
    _external_data(model, folder, where)
    _opset(model, where)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    model = _spelled_out(model)
    _checker(model, where)
    return model, where


def _spelled_out(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with what ONNX says that some operators are made of in their place."""
    found = [
        node for node in model.graph.node if node.op_type in SPELLED_OUT and node.domain in ("", "ai.onnx")
    ]
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    for node in found:  # the inliner leaves defaults out
        given = {attribute.name for attribute in node.attribute}
        schema = onnx.defs.get_schema(node.op_type, opset)
        defaults = [each.default_value for each in schema.attributes.values() if each.name not in given]
        node.attribute.extend(value for value in defaults if value.type != onnx.AttributeProto.UNDEFINED)
    try:
        asked = [("", op) for op in SPELLED_OUT]
        return (
            onnx.inliner.inline_selected_functions(model, asked, inline_schema_functions=True)
            if found
            else model
        )
    except (
        RuntimeError
    ):  # the inliner takes no operator whose optional inputs are left out: it is refused by name
        return model


def _parse(data: bytes, where: str) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise GraphError(
            Finding(
                "the file is not a valid ONNX model",
                where,
                "its bytes are damaged or cut short",
                "export it again",
            )
        ) from None
    if not model.HasField("graph") or not model.opset_import:
        raise GraphError(
            Finding(
                "the file is not a valid ONNX model",
                where,
                "it has no graph or no operator set",
                "export it again",
            )
        )
    return model


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield sparse.values
            yield sparse.indices
        for node in graph.node:
            for attribute in node.attribute:
                yield from ([attribute.t] if attribute.HasField("t") else [])
                yield from attribute.tensors
                graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _external_data(model: onnx.ModelProto, folder: Path | None, where: str) -> None:
    """Load tensors kept in other files, only from the model's own folder or below it."""
    found = []
    outside = [tensor for tensor in _tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    for tensor in outside:
        location = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
        place = f"tensor '{tensor.name}'"
        if folder is None:
            found.append(
                Finding(
                    f"its data is in another file ('{location}'), and the model has no folder",
                    place,
                    hint="give the model's path, or load the data first (onnx.load_external_data_for_model)",
                )
            )
            continue
        root = folder.resolve()
        target = (root / location).resolve()
        if not location or "\0" in location or Path(location).is_absolute() or root not in target.parents:
            found.append(
                Finding(
                    f"its data is said to be in '{location}', outside the model's folder",
                    place,
                    "a model may only read files beside it",
                    "save the model with its data in the same folder",
                )
            )
        elif not target.is_file():
            found.append(
                Finding(f"its data file '{location}' does not exist", place, hint="copy it beside the model")
            )
    if found:
        raise GraphError(found)
    for tensor in outside:
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(folder))
        except (ValueError, OSError, onnx.checker.ValidationError) as error:
            raise GraphError(Finding(f"its data can't be read: {error}", f"tensor '{tensor.name}'")) from None
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _opset(model: onnx.ModelProto, where: str) -> None:
    newest = onnx.defs.onnx_opset_version()
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx") and not OLDEST_OPSET <= entry.version <= newest:
            raise UnsupportedError(
                Finding(
                    f"the model uses ONNX operator set {entry.version}, supported are {OLDEST_OPSET} to {newest}",
                    where,
                    hint="export it again with opset_version=20, or use onnx.version_converter",
                )
            )


def _names(model: onnx.ModelProto, where: str) -> None:
    """Refuse names that are no text: protobuf hands them out as bytes."""
    graph = model.graph
    names = [graph.name, *(each.name for each in (*graph.input, *graph.output, *graph.initializer))]
    names += [entry.domain for entry in model.opset_import]
    names += [dim.dim_param for entry in graph.input for dim in entry.type.tensor_type.shape.dim]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        names += [attribute.name for attribute in node.attribute]
    if not all(isinstance(name, str) for name in names):
        why = "a name in it is not UTF-8 text"
        raise GraphError(Finding("the file is not a valid ONNX model", where, why, "export it again"))


def _check_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Attributes and number of inputs of nodes whose operator ONNX knows."""
    context = onnx.checker.C.CheckerContext()
    context.ir_version = model.ir_version or onnx.IR_VERSION
    context.opset_imports = {entry.domain: entry.version for entry in model.opset_import}
    found = []
    for node in nodes:
        try:
            onnx.checker.check_node(node, context)
        except onnx.checker.ValidationError as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), "")
            found.append(Finding("it breaks a rule of ONNX", f"{node.op_type} node '{node.name}'", reason))
    if found:
        raise GraphError(found)


def _checker(model: onnx.ModelProto, where: str) -> None:
    known = [node for node in model.graph.node if onnx.defs.has(node.op_type, node.domain)]
    if len(known) < len(model.graph.node) or model.ByteSize() > CHECKED_BYTES:
        _check_nodes(model, known)
        return
    if not all(entry.type.tensor_type.HasField("shape") for entry in model.graph.input):
        return  # the importer says which, and what to do
    for entry in model.graph.output:
        if entry.type.HasField("tensor_type"):
            entry.type.tensor_type.shape.SetInParent()  # shapes of outputs are ours to find out
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        if "topologically sorted" in reason:
            return  # the importer sorts the nodes, and names those of a cycle
        raise GraphError(
            Finding("the model breaks a rule of ONNX", where, reason, "export it again")
        ) from None
