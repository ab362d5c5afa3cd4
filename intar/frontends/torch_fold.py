"""Compute what does not depend on a program's inputs: parameters, masks, positions."""

from __future__ import annotations

import operator
from collections.abc import MutableMapping
from math import prod
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node as FxNode
from torch.fx.node import map_arg

LARGEST = 1 << 28
"""Elements of the largest constant that folding may make."""

INTEGERS = (
    "dequantize_per_tensor",
    "dequantize_per_channel",
    "fake_quantize_per_tensor_affine",
    "fake_quantize_per_channel_affine",
)
"""Operators that are kept: of quantised weights the integers count."""


UNREAD = ("empty_like", "full_like", "isinf", "isnan", "ones_like", "zeros_like")
"""Operators that take no value from the tensor that they read: its shape, or that its elements are finite."""


def given_constants(program: ExportedProgram) -> dict[str, tuple[str, torch.Tensor]]:
    """Name in the module and value of each parameter, buffer and constant, by the node's name."""
    found: dict[str, tuple[str, torch.Tensor]] = {}
    stores = (program.state_dict, program.constants)
    for spec in program.graph_signature.input_specs:
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            target = str(spec.target)
            value = next(store[target] for store in stores if target in store)
            found[spec.arg.name] = (target, value.detach())  # type: ignore[union-attr]
    return found


def fold(node: FxNode, constants: MutableMapping[FxNode, Any]) -> bool:
    """Put the node's value into `constants` if all it reads is there; True when it is.

    Results that are not :func:`decided` are left alone.
    """
    target, value = node.target, node.meta.get("val")
    if isinstance(value, torch.Tensor) and any(isinstance(n, int) and n == 0 for n in value.shape):
        constants[node] = torch.zeros([int(n) for n in value.shape], dtype=value.dtype)
        return True
    unread = _opname(node) in UNREAD
    if not decided(node) or any(source not in constants for source in node.all_input_nodes if not unread):
        return False
    assert callable(target)

    def known(source: FxNode) -> Any:
        given = source.meta.get("val")
        if source in constants or not isinstance(given, torch.Tensor):
            return constants[source]
        return torch.zeros(given.shape, dtype=given.dtype)

    with torch.no_grad():
        args: Any = map_arg(node.args, known)
        constants[node] = target(*args, **map_arg(node.kwargs, known))
    return True


def _opname(node: FxNode) -> str:
    return str(getattr(node.target, "_opname", ""))


def decided(node: FxNode) -> bool:
    """What the node reads decides its value: no random number, and not more than LARGEST elements."""
    target, value = node.target, node.meta.get("val")
    if _opname(node) in INTEGERS:
        return False
    if torch.Tag.nondeterministic_seeded in getattr(target, "tags", ()) and not _keeps_all(node):
        return False
    if not callable(target) or (target is not operator.getitem and not hasattr(target, "_schema")):
        return False
    sizes = value.shape if isinstance(value, torch.Tensor) else ()
    return prod(n for n in sizes if isinstance(n, int)) <= LARGEST


def _keeps_all(node: FxNode) -> bool:
    """An operator that may drop elements by chance, and drops none: queries that are parameters attend to one another."""
    attention = _opname(node) == "scaled_dot_product_attention"
    dropped: Any = node.args[4] if len(node.args) > 4 else node.kwargs.get("dropout_p", 0.0)
    return attention and not dropped


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's values; half precision as float32, which holds them exactly."""
    tensor = tensor.detach().cpu()
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    return tensor.numpy()
