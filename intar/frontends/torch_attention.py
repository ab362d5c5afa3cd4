"""Scaled dot-product attention: two products with a softmax between them, the mask and the scale in front of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch.fx import Node as FxNode

from intar.frontends.masks import additive_mask, finite_mask
from intar.frontends.onnx_nodes import Rejected
from intar.frontends.torch_nodes import Writer
from intar.ir.shapes import Shape, show

Arguments = Mapping[str, Any]


def _attention(w: Writer, a: Arguments) -> None:
    """``softmax(query · keyᵀ · scale + mask) · value``, in the module's parts ``scores``, ``softmax`` and ``attended``.

    With fewer heads of keys than of queries, the queries that share a head become rows of one product; mask and softmax
    see the scores head by head.
    """
    query, key, value = a["query"], a["key"], a["value"]
    shape, keys, width = w.shape(query), w.shape(key), w.shape(value)[-1]
    if a["dropout_p"]:
        raise Rejected("it drops elements", hint="call .eval() before the export")
    mask = _mask(w, a, shape[-2], keys[-2])
    grouped = shape[:-2] != keys[:-2]
    if grouped:
        query = w.emit("Reshape", [query, w.integers(_grouped(a, shape, keys, w.shape(value)))])
    axes = (*range(len(keys) - 2), len(keys) - 1, len(keys) - 2)
    turned = w.emit("Transpose", [key], {"perm": axes})
    scores = w.emit("MatMul", [query, turned], part="scores")
    scale = a.get("scale")
    scores = w.emit("Mul", [scores, float(scale) if scale is not None else 1 / sqrt(shape[-1])])
    if grouped:
        scores = w.emit("Reshape", [scores, w.integers((*shape[:-1], keys[-2]))])
    if isinstance(mask, FxNode) and mask in w.placed and mask.meta["val"].dtype == torch.bool:
        scores = w.emit("Where", [mask, scores, -np.inf])
    elif mask is not None:
        scores = w.emit("Add", [scores, mask])
    weights = w.emit("Softmax", [scores], {"axis": -1}, part="softmax")
    if not grouped:
        w.give("MatMul", [weights, value], part="attended")
        return
    rows = shape[-3] // keys[-3] * shape[-2]
    weights = w.emit("Reshape", [weights, w.integers((*keys[:-2], rows, keys[-2]))])
    made = w.emit("MatMul", [weights, value], part="attended")
    w.give("Reshape", [made, w.integers((*shape[:-1], width))])


def _mask(w: Writer, a: Arguments, rows: int, columns: int) -> Any:
    """What is added to the scores: None, a constant, or an activation."""
    if a["is_causal"]:
        return additive_mask(np.tril(np.ones((rows, columns), bool)))
    mask = a["attn_mask"]
    if mask is None or not w.is_constant(mask):
        return mask
    array = w.array(mask)
    return additive_mask(array) if array.dtype == bool else finite_mask(array)


def _grouped(a: Arguments, shape: Shape, keys: Shape, values: Shape) -> Shape:
    """The query's shape with the heads that share keys as rows: (…, heads · L, E) for each head of keys."""
    equal = len(shape) == len(keys) >= 3 and shape[:-3] == keys[:-3] and keys[:-2] == values[:-2]
    shared = a.get("enable_gqa") or keys[-3:-2] == (1,)  # one head of keys for all is broadcasting
    if not shared or not equal or shape[-3] % keys[-3]:
        raise Rejected(
            f"its query {show(shape)} and key {show(keys)} have different leading axes",
            "batch and heads have to be equal, or grouped (enable_gqa)",
        )
    return (*keys[:-2], shape[-3] // keys[-3] * shape[-2], shape[-1])


ATTENTION: dict[str, Callable[[Writer, Arguments], None]] = {"scaled_dot_product_attention": _attention}
"""By the operator's name without namespace and overload."""
