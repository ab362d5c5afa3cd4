"""Networks that repeat a block."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from intar.frontends import Builder
from intar.ir.taskgraph import TaskGraph


def residual_stack(
    blocks: int,
    rows: int = 5,
    width: int = 24,
    hidden: int = 40,
    enter: int = 0,
    leave: int = 0,
    function: str = "relu",
    seed: int = 0,
) -> TaskGraph:
    """`blocks` times ``x + W2·f(W1·x)``; with a layer before them (`enter` inputs) and one behind (`leave` outputs)."""
    rng, g = np.random.default_rng(seed), Builder("stack")

    def layer(x: str, inputs: int, outputs: int) -> str:
        weight = rng.normal(0, 1 / np.sqrt(inputs), (inputs, outputs)).astype(np.float32)
        return g.matmul(x, weight, rng.normal(0, 0.1, outputs).astype(np.float32))

    x = g.input("x", (rows, enter or width))
    x = layer(x, enter, width) if enter else x
    for _ in range(blocks):
        x = g.add(x, layer(getattr(g, function)(layer(x, width, hidden)), hidden, width))
    g.output(layer(x, width, leave) if leave else x)
    return g.build()


def rational_stack(blocks: int, rows: int = 5, width: int = 24, groups: int = 4, seed: int = 0) -> TaskGraph:
    """A layer, then `blocks` times ``x + W2·gelu(W1·f(LayerNorm(x)))`` with other rational functions `f` in each block."""
    rng, g = np.random.default_rng(seed), Builder("rational_stack")

    def layer(x: str, inputs: int, outputs: int) -> str:
        return g.matmul(x, rng.normal(0, 1 / np.sqrt(inputs), (inputs, outputs)).astype(np.float32))

    x = layer(g.input("x", (rows, 9)), 9, width)
    for _ in range(blocks):
        scale, shift = rng.normal(1, 0.2, width), rng.normal(0, 0.2, width)
        normed = g.layer_norm(x, scale.astype(np.float32), shift.astype(np.float32))
        a, b = rng.normal(0, 0.2, (groups, 4)), rng.uniform(0.01, 0.2, (groups, 3))
        a[:, 1] += 1
        bent = g.rational(normed, a.astype(np.float32), b.astype(np.float32), groups=groups)
        x = g.add(x, layer(g.gelu(layer(bent, width, 2 * width)), 2 * width, width))
    g.output(x)
    return g.build()


def attention_stack(
    blocks: int,
    rows: int = 6,
    width: int = 16,
    heads: int = 2,
    norms: bool = True,
    behind: bool = False,
    seed: int = 0,
) -> TaskGraph:
    """`blocks` times attention and a feed-forward pair with GELU, each with a residual and LayerNorm before, as in GPT-2;
    with one more LayerNorm `behind` the last."""
    rng, g = np.random.default_rng(seed), Builder("attention_stack")
    size = width // heads

    def layer(x: str, inputs: int, outputs: int) -> str:
        return g.matmul(x, rng.normal(0, 0.5 / np.sqrt(inputs), (inputs, outputs)).astype(np.float32))

    def norm(x: str) -> str:
        scale, shift = rng.normal(1, 0.2, width), rng.normal(0, 0.2, width)
        return g.layer_norm(x, scale.astype(np.float32), shift.astype(np.float32)) if norms else x

    def split(x: str) -> str:
        return g.transpose(g.reshape(x, (rows, heads, size)), (1, 0, 2))

    x = g.input("x", (rows, width))
    for _ in range(blocks):
        normed = norm(x)
        q, k, v = (split(layer(normed, width, width)) for _ in range(3))
        seen = g.product(g.softmax(g.product(q, k, "second")), v)
        joined = g.reshape(g.transpose(seen, (1, 0, 2)), (rows, width))
        x = g.add(x, layer(joined, width, width))
        x = g.add(x, layer(g.gelu(layer(norm(x), width, 2 * width)), 2 * width, width))
    g.output(norm(x) if behind else x)
    return g.build()


def stepping_stack(
    blocks: int, cached: int, width: int = 16, heads: int = 2, new: int = 1, seed: int = 0
) -> TaskGraph:
    """`blocks` times attention of `new` tokens behind `cached` ones, and a feed-forward pair; states ``k_0``, ``v_0``, …."""
    rng, g = np.random.default_rng(seed), Builder("stepping_stack")
    size, outputs = width // heads, []

    def layer(x: str, inputs: int, outputs: int) -> str:
        return g.matmul(x, rng.normal(0, 0.5 / np.sqrt(inputs), (inputs, outputs)).astype(np.float32))

    def split(x: str, name: str = "") -> str:
        return g.transpose(g.reshape(x, (new, heads, size)), (1, 0, 2), name=name)

    x = g.input("x", (new, width))
    mask = g.input("mask", (heads, new, cached + new))
    for block in range(blocks):
        kept = [g.input(f"{part}_{block}", (heads, cached, size)) for part in "kv"]
        q = split(layer(x, width, width))
        rows = [split(layer(x, width, width), f"{part}_{block}_new") for part in "kv"]
        keys, values = (g.concat(pair, axis=1) for pair in zip(kept, rows, strict=True))
        seen = g.product(g.softmax(g.add(g.product(q, keys, "second"), mask)), values)
        joined = g.reshape(g.transpose(seen, (1, 0, 2)), (new, width))
        x = g.add(x, layer(joined, width, width))
        x = g.add(x, layer(g.gelu(layer(x, width, 2 * width)), 2 * width, width))
        outputs += rows
    g.output(x, *outputs)
    return g.build()


def rotary_stack(blocks: int, rows: int = 6, width: int = 8, seed: int = 0) -> TaskGraph:
    """`blocks` times causal attention with rotary embedding and a gated pair, RMSNorm before each; a layer behind."""
    rng, g = np.random.default_rng(seed), Builder("rotary_stack")
    angles = np.tile(np.outer(np.arange(rows), 10000.0 ** (-np.arange(width // 2) / (width // 2))), 2)
    cosine, sine = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    mask = np.triu(np.full((rows, rows), -np.inf), 1).astype(np.float32)

    def layer(x: str, inputs: int, outputs: int) -> str:
        return g.matmul(x, rng.normal(0, 0.5 / np.sqrt(inputs), (inputs, outputs)).astype(np.float32))

    x = g.input("x", (rows, width))
    for _ in range(blocks):
        normed = g.rms_norm(x, rng.normal(1, 0.2, width).astype(np.float32))
        q, k = (g.rope(layer(normed, width, width), cosine, sine) for _ in range(2))
        seen = g.product(g.softmax(g.product(q, k, "second"), mask), layer(normed, width, width))
        x = g.add(x, layer(seen, width, width))
        normed = g.rms_norm(x, rng.normal(1, 0.2, width).astype(np.float32))
        gated = g.mul(g.silu(layer(normed, width, 2 * width)), layer(normed, width, 2 * width))
        x = g.add(x, layer(gated, 2 * width, width))
    g.output(layer(x, width, 5))
    return g.build()


def samples(graph: TaskGraph, count: int = 8, seed: int = 1) -> Mapping[str, np.ndarray]:
    """Normal samples for its inputs."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 1, (count, *graph.tensor(name).shape)) for name in graph.inputs}
