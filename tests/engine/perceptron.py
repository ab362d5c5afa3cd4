"""A two-layer perceptron as a program, and what it computes."""

from __future__ import annotations

import numpy as np
from program_builder import Builder, params

from intar.ir.nodes.arrays import Core, CoreStep, Feed, FeedStep
from intar.ir.nodes.memories import Buffer, BufferStep, Walk
from intar.ir.nodes.movers import Leg, Router, RouterStep
from intar.ir.nodes.vector import Vector, VectorStep
from intar.ir.program import Program


def perceptron(
    rows: int = 5, sizes: tuple[int, int, int] = (12, 20, 7), lanes: int = 4, depth: int = 4, seed: int = 0
) -> tuple[Program, dict[str, bytes], np.ndarray]:
    """Two layers on one core, one vector unit and one buffer; and what they compute (rows x sizes[2]).

    Layer 0 reads the input rows, which the buffer has got from memory; its result goes back into the buffer;
    layer 1 reads it and its result goes to memory: everything that leaves the vector unit passes the router.
    """
    rng = np.random.default_rng(seed)
    b, feed_rows = Builder("perceptron"), 2
    data = rng.integers(-128, 128, (rows, sizes[0]))
    weights = [rng.integers(-127, 128, (sizes[i], sizes[i + 1])) for i in range(2)]
    biases = [rng.integers(-1000, 1000, sizes[i + 1]) for i in range(2)]
    mult, shift = 3 << 20, 31
    values, expected = data, []
    for w, bias in zip(weights, biases, strict=True):
        values = np.clip((((values @ w + bias) * mult) + (1 << (shift - 1))) >> shift, 0, 127)
        expected.append(values)

    def beats_of(cols: int) -> int:
        return -(-cols // lanes)

    def padded(matrix: np.ndarray) -> list[list[int]]:
        full = np.zeros((matrix.shape[0], beats_of(matrix.shape[1]) * lanes), dtype=np.int64)
        full[:, : matrix.shape[1]] = matrix
        return full.reshape(-1, lanes).tolist()

    m_tiles, last = -(-rows // feed_rows), (rows - 1) % feed_rows + 1
    w_beats: list[list[int]] = []
    p_beats: list[list[int]] = []
    feeds, cores, vectors, writes, reads, routes = [], [], [], [], [], []
    in_beats = [beats_of(size) for size in sizes]
    base = [0, rows * in_beats[0]]
    writes.append(BufferStep(walk=Walk(counts=(1, 1, 1, 1, base[1]), strides=(0, 0, 0, 0, 1))))
    posted_reads = 0
    for layer in range(2):
        k, tiles = sizes[layer], in_beats[layer + 1]
        w = np.zeros((k, tiles * lanes), dtype=np.int64)
        w[:, : sizes[layer + 1]] = weights[layer]
        bias = np.zeros(tiles * lanes, dtype=np.int64)
        bias[: sizes[layer + 1]] = biases[layer]
        for t in range(tiles):
            part = slice(t * lanes, (t + 1) * lanes)
            w_beats += [row for _ in range(m_tiles) for row in w[:, part].tolist()]
            p_beats += params([mult] * lanes, [shift] * lanes, bias[part].tolist())
        k_last = (k - 1) % lanes + 1
        shape = {"tiles": tiles, "m_tiles": m_tiles, "rows": feed_rows, "rows_last": last}
        feeds.append(FeedStep(blocks=in_beats[layer], k_last=k_last, **shape))
        cores.append(CoreStep(k=k, k_last=k, note=f"layer {layer}", **shape))
        vectors.append(VectorStep(groups=tiles, beats=rows, lo=0, hi=127, relu=True))
        # For each tile and pair of rows: block by block, both rows (`last` rows in the last pair).
        reads += [
            BufferStep(
                walk=Walk(
                    base=base[layer],
                    counts=(1, 1, m_tiles, in_beats[layer], feed_rows),
                    strides=(0, 0, feed_rows * in_beats[layer], 1, in_beats[layer]),
                    ragged=2,
                    last=last,
                ),
                need=1 + (in_beats[1] if layer else 0),
                note=f"layer {layer} tile {t}",
            )
            for t in range(tiles)
        ]
        posted_reads += tiles
        if layer == 0:
            walk = Walk(base=base[1], counts=(tiles, 1, 1, 1, rows), strides=(1, 0, 0, 0, in_beats[1]))
            writes.append(BufferStep(walk=walk))
    routes = (
        RouterStep(rounds=1, legs=(Leg(src=0, dsts=(0,)),), beats=base[1], beats_last=base[1]),
        RouterStep(
            rounds=1, legs=(Leg(src=1, dsts=(0,)),), beats=in_beats[1] * rows, beats_last=in_beats[1] * rows
        ),
        RouterStep(
            rounds=1, legs=(Leg(src=1, dsts=(1,)),), beats=in_beats[2] * rows, beats_last=in_beats[2] * rows
        ),
    )
    b.load("router.in0", padded(data), 8, depth=depth, name="x")
    b.load("core.w", w_beats, 8, depth=depth, name="weights")
    b.load("vec.params", p_beats, 32, port_bits=128, depth=depth, name="params")
    b.node(Router(name="router", inputs=2, outputs=2, lanes=lanes, bits=8, steps=routes))
    b.node(
        Buffer(
            name="buf",
            depth=base[1] + rows * in_beats[1],
            lanes=lanes,
            bits=8,
            writes=tuple(writes),
            reads=tuple(reads),
        )
    )
    b.node(Feed(name="feed", rows=feed_rows, lanes=lanes, bits=8, steps=tuple(feeds)))
    b.node(
        Core(name="core", rows=feed_rows, lanes=lanes, a_bits=8, w_bits=8, acc_bits=32, steps=tuple(cores))
    )
    b.node(Vector(name="vec", lanes=lanes, rate=lanes, acc_bits=32, bits=8, steps=tuple(vectors)))
    b.link("router.out0", "buf.in", lanes, 8, depth)
    b.link("buf.out", "feed.in", lanes, 8, depth)
    b.link("feed.out", "core.a", feed_rows, 8, depth)
    b.link("core.out", "vec.acc", lanes, 32, depth)
    b.link("vec.out", "router.in1", lanes, 8, depth)
    b.store("router.out1", in_beats[2] * rows, lanes, 8, name="y")
    return b.program(), b.images, expected[1]


def perceptron_output(data: bytes, rows: int, cols: int, lanes: int) -> np.ndarray:
    """The output argument of `perceptron`: tile by tile, each `rows` beats."""
    tiles = -(-cols // lanes)
    values = np.frombuffer(data, dtype=np.int8)[: tiles * rows * lanes].reshape(tiles, rows, lanes)
    return values.transpose(1, 0, 2).reshape(rows, tiles * lanes)[:, :cols].astype(np.int64)
