"""Conditions that are known before the circuit runs: each `If` that has one becomes the nodes of the branch it takes.

Exporters leave such nodes behind: a rank or a length that is 1 or not, a sampling rate that the host gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.shape_inference import InferenceError

from intar.frontends.onnx_fold import fold
from intar.frontends.onnx_nodes import Rejected, from_proto
from intar.ir.shapes import Shape

PARAMETER = 4096
"""Elements of the largest constant that shapes may depend on."""


def take_branches(
    model: onnx.ModelProto,
    given: Mapping[str, Shape],
    values: Mapping[str, np.ndarray],
    opsets: dict[str, int],
) -> list[onnx.TensorProto]:
    """Replace, in place, each `If` whose condition `given` shapes of inputs and `values` of tensors decide.

    Those inside a branch follow when it is taken; one whose condition is computed at run time stays, and is refused later.
    Returns the initializers of the branches, which are the model's now.
    """
    before, known, shapes = len(model.graph.initializer), dict(values), dict(given)
    rounds, found = 0, True
    while found and any(node.op_type == "If" for node in model.graph.node):
        found = _fold(model, known, shapes, opsets)
        shapes = _shapes(model, given, known)
        found |= _fold(model, known, shapes, opsets)
        nodes: list[onnx.NodeProto] = []
        for node in model.graph.node:
            branch = _branch(node, known.get(node.input[0])) if node.op_type == "If" else None
            if branch is None:
                nodes.append(node)
            else:
                nodes += _inlined(model.graph, node, branch, f"{node.output[0]}:{rounds}:")
                found = True
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        del model.graph.value_info[:]  # what it says of tensors whose branch was open may be wrong
        rounds += 1
    return list(model.graph.initializer)[before:]


def _branch(node: onnx.NodeProto, condition: np.ndarray | None) -> onnx.GraphProto | None:
    """The branch that a condition takes; None where it is not known, or the node is not as ONNX wants it."""
    if condition is None or condition.size != 1:
        return None
    wanted = "then_branch" if condition.reshape(-1)[0] else "else_branch"
    branch = next((each.g for each in node.attribute if each.name == wanted), None)
    return branch if branch is not None and len(branch.output) == len(node.output) else None


def _inlined(
    graph: onnx.GraphProto, node: onnx.NodeProto, branch: onnx.GraphProto, prefix: str
) -> Iterator[onnx.NodeProto]:
    """The nodes of a branch under names of their own, and copies of its results as the node's; its constants go into the
    graph."""
    own = {tensor.name for tensor in branch.initializer}
    own |= {name for each in branch.node for name in each.output if name}
    for tensor in branch.initializer:
        graph.initializer.add().CopyFrom(tensor)
        graph.initializer[-1].name = prefix + tensor.name
    for each in branch.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(each)
        _rename(copy, own, prefix)
        yield copy
    for result, output in zip(branch.output, node.output, strict=True):
        name = prefix + result.name if result.name in own else result.name
        yield onnx.helper.make_node("Identity", [name], [output], name=node.name)


def _rename(node: onnx.NodeProto, own: set[str], prefix: str) -> None:
    """Put the prefix before the names that a branch defines, also where graphs inside the node read them."""
    for names in (node.input, node.output):
        for at, name in enumerate(names):
            if name in own:
                names[at] = prefix + name
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            hidden = {tensor.name for tensor in graph.initializer} | {entry.name for entry in graph.input}
            hidden |= {name for each in graph.node for name in each.output}
            for each in graph.node:
                _rename(each, own - hidden, prefix)
            for result in graph.output:
                if result.name in own - hidden:
                    result.name = prefix + result.name


def _fold(
    model: onnx.ModelProto,
    known: dict[str, np.ndarray],
    shapes: Mapping[str, Shape],
    opsets: dict[str, int],
) -> bool:
    """Put the tensors that constants and shapes decide into `known`; True when there were new ones."""
    before = len(known)
    for tensor in model.graph.initializer:
        if tensor.name not in known:
            with suppress(ValueError, TypeError, KeyError):  # the importer says what is wrong with it
                known[tensor.name] = numpy_helper.to_array(tensor)
    for node in model.graph.node:
        if not all(name in known for name in node.output):
            with suppress(Rejected):  # whoever translates the node says so
                fold(from_proto(node), known, opsets, shapes.get)
    return len(known) > before


def _shapes(
    model: onnx.ModelProto, given: Mapping[str, Shape], known: Mapping[str, np.ndarray]
) -> dict[str, Shape]:
    """The shapes that ONNX infers from those of the inputs and from constants, where they are whole."""
    small = onnx.ModelProto()
    small.CopyFrom(model)
    for entry in small.graph.input:
        if entry.name in given:
            del entry.type.tensor_type.shape.dim[:]
            for size in given[entry.name]:
                entry.type.tensor_type.shape.dim.add().dim_value = size
    del small.graph.node[:]
    for node in model.graph.node:
        made = [name for name in node.output if name in known and known[name].size <= PARAMETER]
        small.graph.initializer.extend(numpy_helper.from_array(known[name], name) for name in made)
        if not made:
            small.graph.node.append(node)
    try:
        small = onnx.shape_inference.infer_shapes(small, data_prop=True)
    except (InferenceError, ValueError):  # larger than a message may be, or against a rule of ONNX
        return dict(given)
    found = dict(given)
    for entry in (*small.graph.value_info, *small.graph.output):
        dims = entry.type.tensor_type.shape.dim
        if entry.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            found[entry.name] = tuple(dim.dim_value for dim in dims)
    return found
