"""A transformer block like GPT-2's, from the Python builder, small enough for every executor."""

from __future__ import annotations

import numpy as np

from intar.frontends.builder import Builder
from intar.ir.taskgraph import TaskGraph


def block(
    width: int = 32,
    heads: int = 2,
    tokens: int = 8,
    hidden: int = 64,
    *,
    causal: bool = True,
    joined: bool = False,
    seed: int = 0,
) -> tuple[TaskGraph, np.ndarray]:
    """LayerNorm, attention, residual, LayerNorm, feed-forward with GELU, residual; and samples (16, tokens, width).

    `joined`: one matmul makes queries, keys and values.
    """
    rng = np.random.default_rng(seed)

    def layer(x: str, rows: int, columns: int) -> str:
        return g.matmul(x, rng.normal(size=(rows, columns)) * rows**-0.5, rng.normal(0, 0.1, columns))

    def norm(x: str) -> str:
        return g.layer_norm(x, rng.normal(1, 0.2, width), rng.normal(0, 0.1, width))

    def by_head(x: str) -> str:
        return g.transpose(g.reshape(x, (tokens, heads, width // heads)), (1, 0, 2))

    g = Builder("block_small")
    x = g.input("x", (tokens, width))
    h = norm(x)
    if joined:
        whole = layer(h, width, 3 * width)
        q, k, v = (by_head(g.slice(whole, 1, n * width, (n + 1) * width)) for n in range(3))
    else:
        q, k, v = (by_head(layer(h, width, width)) for _ in range(3))
    scores = g.mul(g.product(q, k, "second"), (width // heads) ** -0.5)
    mask = np.triu(np.full((tokens, tokens), -np.inf), 1) if causal else None
    mixed = g.product(g.softmax(scores, mask), v)
    side_by_side = g.reshape(g.transpose(mixed, (1, 0, 2)), (tokens, width))
    residual = g.add(x, layer(side_by_side, width, width))
    hot = g.gelu(layer(norm(residual), width, hidden))
    g.output(g.add(residual, layer(hot, hidden, width)))
    return g.build(), rng.normal(size=(16, tokens, width))


def grouped_attention(mask: np.ndarray, seed: int = 0) -> tuple[TaskGraph, np.ndarray]:
    """Llama's attention on 6 tokens: RMSNorm, 4 heads of queries on 2 of keys and values, rotary embedding, residual.

    `mask` is added to the scores (6, 6). With samples (16, 6, 32).
    """
    tokens, width, heads, shared = 6, 32, 4, 2
    size, rng = width // heads, np.random.default_rng(seed)
    angle = np.arange(tokens)[:, None] * 100.0 ** (-np.arange(size // 2) / (size // 2))
    angle = np.concatenate([angle, angle], axis=1)

    def layer(x: str, columns: int) -> str:
        return g.matmul(x, rng.normal(size=(width, columns)) * width**-0.5)

    def by_head(x: str, count: int) -> str:
        return g.transpose(g.reshape(x, (tokens, count, size)), (1, 0, 2))

    g = Builder("grouped_attention")
    x = g.input("x", (tokens, width))
    h = g.rms_norm(x, rng.normal(1, 0.2, width))
    q = g.rope(by_head(layer(h, width), heads), np.cos(angle), np.sin(angle))
    k = g.rope(by_head(layer(h, shared * size), shared), np.cos(angle), np.sin(angle))
    v = by_head(layer(h, shared * size), shared)
    # The query heads of one key head lie one below the other: one product each.
    grouped = (shared, heads // shared * tokens)
    scores = g.mul(g.product(g.reshape(q, (*grouped, size)), k, "second"), size**-0.5)
    p = g.softmax(g.reshape(scores, (heads, tokens, tokens)), mask, name="p")
    mixed = g.reshape(g.product(g.reshape(p, (*grouped, tokens)), v), (heads, tokens, size))
    joined = g.reshape(g.transpose(mixed, (1, 0, 2)), (tokens, width))
    g.output(g.add(x, layer(joined, width)))
    return g.build(), rng.normal(size=(16, tokens, width))
