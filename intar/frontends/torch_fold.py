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
    target = node.target
    if not decided(node) or any(source not in constants for source in node.all_input_nodes):
        return False
    assert callable(target)
    with torch.no_grad():
        args: Any = map_arg(node.args, constants.__getitem__)
        constants[node] = target(*args, **map_arg(node.kwargs, constants.__getitem__))
    return True


def decided(node: FxNode) -> bool:
    """What the node reads decides its value: no random number, and not more than LARGEST elements."""
    target, value = node.target, node.meta.get("val")
    if getattr(target, "_opname", "") in INTEGERS:
        return False
    if torch.Tag.nondeterministic_seeded in getattr(target, "tags", ()):
        return False
    if not callable(target) or (target is not operator.getitem and not hasattr(target, "_schema")):
        return False
    return not isinstance(value, torch.Tensor) or prod(value.shape) <= LARGEST


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's values; half precision as float32, which holds them exactly."""
    tensor = tensor.detach().cpu()
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    return tensor.numpy()
