"""Random programs around one array: a feed, a core."""

from __future__ import annotations

import random

from program_builder import Builder, beats

from intar.ir.nodes.arrays import Core, CoreStep, Feed, FeedStep
from intar.ir.packing import products_at_once


def random_feed(rng: random.Random) -> Builder:
    b, rows, lanes = Builder("feed"), rng.choice((1, 2, 4)), rng.choice((2, 4, 8, 12))
    depth = rng.choice([1, 1, *(part for part in (2, 4, lanes) if part < 12 and lanes % part == 0)])
    steps, taken, sent = [], 0, 0
    for _ in range(rng.randrange(1, 4)):
        blocks, k_last = rng.randrange(1, 4), rng.randrange(1, lanes // depth + 1)
        step = FeedStep(
            tiles=rng.randrange(1, 3),
            m_tiles=rng.randrange(1, 4),
            rows=rng.randrange(1, rows + 1),
            rows_last=rng.randrange(1, rows + 1),
            blocks=blocks,
            k_first=rng.choice((0, rng.randrange(k_last if blocks == 1 else lanes // depth))),
            k_last=k_last,
            replay=rng.randrange(1, 3),
        )
        steps.append(step)
        visits = step.tiles * step.blocks
        taken += visits * (step.rows * (step.m_tiles - 1) + step.rows_last)
        channels = lanes // depth * (step.blocks - 1) + step.k_last - step.k_first
        sent += step.tiles * step.m_tiles * step.replay * channels
    b.load("feed.in", beats(rng, taken, lanes, 8), 8, port_bits=32, depth=rng.randrange(1, 4))
    form = {"lanes": lanes, "depth": depth, "by_channel": rng.random() < 0.5}
    b.node(Feed(name="feed", rows=rows, bits=8, steps=tuple(steps), **form))
    b.store("feed.out", sent, rows * depth, 8, port_bits=32, depth=rng.randrange(1, 4))
    return b


def random_core(rng: random.Random) -> Builder:
    b, rows, lanes, contexts = (
        Builder("core"),
        rng.choice((1, 2, 4)),
        rng.choice((1, 2, 4)),
        rng.randrange(1, 4),
    )
    depth = rng.choice((1, 1, 2, 4))
    steps, taken, sent = [], 0, 0
    for _ in range(rng.randrange(1, 4)):
        visits, k = rng.randrange(1, 4), rng.randrange(1, 6)
        step = CoreStep(
            tiles=rng.randrange(1, 3),
            m_tiles=rng.randrange(1, 3),
            visits=visits,
            contexts=rng.randrange(1, contexts + 1),
            k=k,
            k_last=k if visits == 1 else rng.randrange(1, 6),
            rows=rng.randrange(1, rows + 1),
            rows_last=rng.randrange(1, rows + 1),
        )
        steps.append(step)
        inner = step.tiles * step.contexts
        taken += inner * step.m_tiles * (k * (visits - 1) + step.k_last)
        sent += inner * (step.rows * (step.m_tiles - 1) + step.rows_last)
    w_bits, w_used = rng.choice(((4, 4), (8, 8), (8, 4)))
    b.load("core.a", beats(rng, taken, rows * depth, 8), 8, port_bits=32)
    b.load("core.w", beats(rng, taken, lanes * depth, w_used), w_bits, port_bits=32, depth=3)
    b.node(
        Core(
            name="core",
            rows=rows,
            lanes=lanes,
            depth=depth,
            a_bits=8,
            w_bits=w_bits,
            w_used=w_used,
            pack=rng.randrange(1, min(lanes, products_at_once(8, w_used, (27, 18))) + 1),
            acc_bits=24,
            contexts=contexts,
            steps=tuple(steps),
        )
    )
    b.store("core.out", sent, lanes, 32, port_bits=128, depth=rng.randrange(1, 4))
    return b
