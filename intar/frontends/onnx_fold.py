"""Compute what does not depend on the input: constants, and arithmetic on shapes."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from intar.frontends.onnx_nodes import Node, Rejected

LARGEST = 1 << 28
"""Elements of the largest constant that folding may make; a small file must not ask for all memory."""

NOT_FOLDED = frozenset(
    {
        "DequantizeLinear",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Bernoulli",
    }
    | {"Multinomial", "If", "Loop", "Scan", "Dropout"}
)
"""Kept as nodes: quantised weights keep their integers, random numbers are no constants, control flow is refused."""

_SIZED_BY = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}


def fold(
    node: Node,
    values: MutableMapping[str, np.ndarray],
    opsets: dict[str, int],
    shape_of: Callable[[str], tuple[int, ...] | None],
) -> bool:
    """Put the node's outputs into `values` if they are known; True when they are.

    Parameters
    ----------
    values : the constants so far, by name.
    opsets : operator set versions by domain.
    shape_of : shape of an activation, None when it is not known (yet).

    Raises
    ------
    Rejected
        The reference evaluator fails, or the result would be too large.
    """
    if node.op in ("Shape", "Size") and node.domain == "" and node.inputs[0] not in values:
        shape = shape_of(node.inputs[0])
        if shape is None:
            return False
        start, end = node.attrs.get("start", 0), node.attrs.get("end")
        whole = np.asarray(shape, np.int64)
        values[node.outputs[0]] = (
            whole[start:end] if node.op == "Shape" else np.asarray(prod(shape), np.int64)
        )
        return True
    if node.op == "CastLike" and node.inputs[0] in values and node.inputs[1] not in values:
        value = values[node.inputs[0]]  # activations are real numbers, whatever width the model gives them
        values[node.outputs[0]] = value if value.dtype.kind == "f" else value.astype(np.float32)
        return shape_of(node.inputs[1]) is not None
    if not decided(node) or any(name and name not in values for name in node.inputs):
        return False
    for name, value in zip(node.outputs, evaluate(node, values, opsets), strict=False):
        values[name] = value
    return True


def decided(node: Node) -> bool:
    """What the node reads decides its outputs: no random numbers, no control flow, an operator of ONNX's own."""
    if node.domain or node.op in NOT_FOLDED or node.proto is None:
        return False
    return not any(
        isinstance(value, (onnx.GraphProto, list)) and _has_graph(value) for value in node.attrs.values()
    )


def _has_graph(value: Any) -> bool:
    items: Sequence[Any] = value if isinstance(value, list) else [value]
    return any(isinstance(item, onnx.GraphProto) for item in items)


def evaluate(node: Node, values: MutableMapping[str, np.ndarray], opsets: dict[str, int]) -> list[np.ndarray]:
    """The outputs of a node from the values of its inputs. Raises Rejected (see :func:`fold`)."""
    if node.op in _SIZED_BY:
        wanted = values[node.inputs[_SIZED_BY[node.op]]]
        elements = prod(int(n) for n in wanted.reshape(-1)) * (
            values[node.inputs[0]].size if node.op == "Tile" else 1
        )
        if elements > LARGEST:
            raise Rejected(
                f"its result would have {elements} elements", f"constants may have {LARGEST}", code="graph"
            )
    if node.op == "GatherElements":  # ONNX's reference takes no index that is larger than the data
        data, indices = (values[name] for name in node.inputs)
        axis = int(node.attrs.get("axis", 0)) % max(data.ndim, 1)
        if indices.ndim == data.ndim and (np.abs(indices * 2 + 1) < 2 * data.shape[axis]).all():
            places: list[np.ndarray] = list(np.indices(indices.shape, sparse=True))
            places[axis] = indices
            return [data[tuple(places)]]
    names = [name for name in node.inputs if name]
    unknown = onnx.TypeProto()
    graph = helper.make_graph(
        [node.proto],  # type: ignore[list-item]
        "fold",
        [helper.make_value_info(name, unknown) for name in dict.fromkeys(names)],
        [helper.make_value_info(name, unknown) for name in node.outputs if name],
    )
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(graph, opsets=opsets).run(
                None, {name: values[name] for name in names}
            )
    except Exception as error:  # the evaluator raises whatever NumPy or its own code raises
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise Rejected(
            "its constant result can't be computed", f"ONNX's reference says: {reason}", code="graph"
        ) from None
    if not all(isinstance(result, (np.ndarray, np.generic)) for result in results):
        raise Rejected("its result is no tensor", "sequences and maps have no counterpart in hardware")
    return [np.asarray(result) for result in results]
