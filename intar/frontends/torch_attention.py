"""Scaled dot-product attention: two products with a softmax between them, the mask and the scale in front of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod, sqrt
from typing import Any

import numpy as np

from intar.frontends.masks import additive_mask, finite_mask
from intar.frontends.onnx_nodes import Rejected
from intar.frontends.torch_nodes import Writer
from intar.ir.ops import Shape, show

Arguments = Mapping[str, Any]


def _attention(w: Writer, a: Arguments) -> None:
    """``softmax(query · keyᵀ · scale + mask) · value``.

    With fewer heads of keys than of queries, the queries that share a head become rows of one product.
    """
    query, key, value = a["query"], a["key"], a["value"]
    shape, keys, width = w.shape(query), w.shape(key), w.shape(value)[-1]
    if a["dropout_p"]:
        raise Rejected("it drops elements", hint="call .eval() before the export")
    mask = _mask(w, a, shape[-2], keys[-2])
    whole = shape
    if shape[:-2] != keys[:-2]:
        query, mask, shape = _grouped(w, a, mask)
    axes = (*range(len(keys) - 2), len(keys) - 1, len(keys) - 2)
    turned = w.emit("Transpose", [key], {"perm": axes})
    scores = w.emit("MatMul", [query, turned])
    scale = a.get("scale")
    scores = w.emit("Mul", [scores, float(scale) if scale is not None else 1 / sqrt(shape[-1])])
    if mask is not None:
        scores = w.emit("Add", [scores, mask])
    weights = w.emit("Softmax", [scores], {"axis": -1})
    if shape == whole:
        w.give("MatMul", [weights, value])
        return
    made = w.emit("MatMul", [weights, value])
    w.give("Reshape", [made, w.integers((*whole[:-1], width))])


def _mask(w: Writer, a: Arguments, rows: int, columns: int) -> Any:
    """What is added to the scores: None, a constant, or an activation."""
    if a["is_causal"]:
        return additive_mask(np.tril(np.ones((rows, columns), bool)))
    mask = a["attn_mask"]
    if mask is None or not w.is_constant(mask):
        return mask
    array = w.array(mask)
    return additive_mask(array) if array.dtype == bool else finite_mask(array)


def _grouped(w: Writer, a: Arguments, mask: Any) -> tuple[str, Any, Shape]:
    """Query and mask with the heads that share keys as rows: (…, heads · L, E) for each head of keys."""
    shape, keys = w.shape(a["query"]), w.shape(a["key"])
    equal = len(shape) == len(keys) >= 3 and shape[:-3] == keys[:-3] and keys[:-2] == w.shape(a["value"])[:-2]
    if not a.get("enable_gqa") or not equal or shape[-3] % keys[-3]:
        raise Rejected(
            f"its query {show(shape)} and key {show(keys)} have different leading axes",
            "batch and heads have to be equal, or grouped (enable_gqa)",
        )
    group = shape[-3] // keys[-3]
    flat = (*keys[:-2], group * shape[-2], shape[-1])
    query = w.emit("Reshape", [a["query"], w.integers(flat)])
    if mask is None:
        return query, None, flat
    if not isinstance(mask, np.ndarray) or prod(mask.shape[:-2]) != 1:
        raise Rejected("its mask differs from head to head", "with grouped heads one constant mask is known")
    rows = np.broadcast_to(mask.reshape(mask.shape[-2:]), (shape[-2], keys[-2]))
    return query, np.tile(rows, (group, 1)), flat


ATTENTION: dict[str, Callable[[Writer, Arguments], None]] = {"scaled_dot_product_attention": _attention}
"""By the operator's name without namespace and overload."""
