"""Random programs around one memory: a buffer, constants, an image."""

from __future__ import annotations

import random

from program_builder import Builder, beats, some_port

from intar.ir.nodes.memories import (
    Buffer,
    BufferStep,
    Image,
    ImageStep,
    ReadStep,
    Walk,
    Window,
)


def random_walk(rng: random.Random, depth: int) -> Walk:
    """A walk whose addresses lie in 0..depth-1."""
    while True:
        counts = tuple(rng.choice((1, 1, 2, 3)) for _ in range(5))
        strides = tuple(rng.randrange(0, 5) for _ in range(5))
        ragged = rng.choice((-1, 0, 1, 2, 3))
        walk = Walk(
            base=rng.randrange(0, 4),
            wrap=rng.choice((0, 5, 7)),
            counts=counts,
            strides=strides,
            ragged=ragged,
            last=rng.randrange(1, counts[4] + 1) if ragged >= 0 else 0,
        )
        if max(walk.addresses()) < depth:
            return walk


def random_buffer(rng: random.Random) -> Builder:
    """Writes and reads in turns: each step needs everything before it on the other side."""
    b, lanes, depth = Builder("buffer"), rng.choice((1, 4, 12)), 48
    elements = rng.random() < 0.4
    writes, reads, written, read = [], [], 0, 0
    for _ in range(rng.randrange(1, 5)):
        writes.append(BufferStep(walk=random_walk(rng, depth), need=read, note=f"w{len(writes)}"))
        written += writes[-1].walk.counts[0]
        walk = random_walk(rng, depth)
        reads.append(BufferStep(walk=walk, need=written, elements=elements, note=f"r{len(reads)}"))
        read += walk.counts[0]
    port = {"depth": rng.randrange(1, 4), "port_bits": 32 if lanes == 12 else 64}
    b.load("buf.in", beats(rng, sum(s.walk.beats for s in writes), lanes, 8), 8, **port)
    b.node(Buffer(name="buf", depth=depth, lanes=lanes, bits=8, writes=tuple(writes), reads=tuple(reads)))
    b.store("buf.out", sum(s.walk.beats for s in reads), lanes, 8, **port)
    return b


def random_constant(rng: random.Random) -> Builder:
    """Walks over constants, of which a beat may be a part of a byte, and the image too."""
    b, depth = Builder("constant"), rng.choice((27, 48))
    lanes, bits = rng.choice(((1, 4), (1, 8), (4, 8), (8, 4), (4, 16), (2, 32), (64, 8)))
    reads = tuple(ReadStep(walk=random_walk(rng, depth), note=f"r{n}") for n in range(rng.randrange(1, 6)))
    b.constant("rom", beats(rng, depth, lanes, bits), bits, reads)
    port = {"depth": rng.randrange(1, 4), "port_bits": some_port(rng, lanes * bits)}
    b.store("rom.out", sum(step.walk.beats for step in reads), lanes, bits, **port)
    return b


def random_image(rng: random.Random) -> Builder:
    """Images of up to three channels, written in beats or in runs of tiles, read in windows as far as they are there."""
    b, lanes = Builder("image"), rng.choice((1, 2, 4, 12, 16))
    height, width, channels = rng.randrange(1, 7), rng.randrange(1, 9), rng.randrange(1, 4)
    pitch = width + rng.randrange(0, 3)
    tiles = -(-height * pitch // lanes)
    depth = channels * tiles
    taps = []
    for _ in range(rng.randrange(1, 8)):
        dy, dx, channel = rng.randrange(-4, 5), rng.randrange(-4, 5), rng.randrange(channels)
        short_rows, short_columns = rng.randrange(min(2, height)), rng.randrange(min(2, width))
        size = {"height": height - short_rows, "width": width - short_columns}
        taps.append(Window(offset=channel * tiles * lanes + dy * pitch + dx, dy=dy, dx=dx, **size))
    order = rng.choice(
        (
            Walk(counts=(depth, 1, 1, 1, 1), strides=(1, 0, 0, 0, 0)),
            Walk(counts=(1, 1, 1, 1, depth), strides=(0, 0, 0, 0, 1)),
            Walk(counts=(tiles, 1, 1, 1, channels), strides=(1, 0, 0, 0, tiles)),
        )
    )
    reads = []
    other = rng.choice((pitch, rng.randrange(1, 2 * pitch + 1)))
    for _ in range(rng.randrange(1, 4)):
        columns, rows = rng.choice((pitch, other)), rng.randrange(1, 8)
        made = -(-rows * columns // lanes)
        first, stride = rng.randrange(made), rng.randrange(1, 4)
        tap = rng.randrange(len(taps))
        total = order.counts[0]
        early = total == depth and channels == 1 and all(t.dy <= 0 and t.dy * pitch + t.dx <= 0 for t in taps)
        down, right = rng.choice(((1, 1), (1, 1), (2, 2), (1, 2), (3, 1), (2, 4)))
        early = early and columns == pitch and (down, right) == (1, 1)
        own = rng.randrange(1, len(taps) - tap + 1)
        # Where there is one more channel on either side of those that are read, the next pass may read that.
        at = [(t.offset - t.dy * pitch - t.dx) // (tiles * lanes) for t in taps[tap : tap + own]]
        further, most = rng.choice(((1, channels - max(at)), (-1, min(at) + 1)))
        passes = rng.randrange(1, 3) if early or most == 1 else most
        reads.append(
            ImageStep(
                first=first,
                stride=stride,
                tiles=rng.randrange(1, -(-(made - first) // stride) + 1),
                passes=passes,
                pass_step=0 if early or most == 1 else further * tiles,
                rows=rows,
                columns=columns,
                down=down,
                right=right,
                pitch=pitch,
                tap=tap,
                taps=own,
                pad=rng.randrange(-128, 128),
                need=first + 1 if early else total,
                need_step=stride if early else rng.randrange(0, 2),
                need_limit=total,
                note=f"r{len(reads)}",
            )
        )
    port = {"depth": rng.randrange(1, 4), "port_bits": 32 if lanes == 12 else 64}
    b.load("img.in", beats(rng, depth, lanes, 8), 8, **port)
    b.node(
        Image(
            name="img",
            depth=depth,
            lanes=lanes,
            bits=8,
            taps=tuple(taps),
            writes=(BufferStep(walk=order, note="w"),),
            reads=tuple(reads),
        )
    )
    count = sum(s.passes * s.tiles * s.taps for s in reads)
    b.store("img.out", count, lanes, 8, **(port | {"port_bits": 32 if lanes == 12 else 128}))
    return b
