"""Random programs around one node that moves elements: a gather, an argmax, a look-up, a router."""

from __future__ import annotations

import random

import numpy as np
from program_builder import Builder, beats, some_port
from random_memories import random_walk

from intar.ir.bits import INDEX_BITS
from intar.ir.nodes.movers import Argmax, ArgmaxStep, Gather, GatherStep, Leg, Router, RouterStep
from intar.ir.nodes.ports import Load, LoadStep
from intar.ir.program import Argument


def random_gather(rng: random.Random) -> Builder:
    b, lanes = Builder("gather"), rng.choice((1, 2, 4, 6))
    steps, taken, sent = [], 0, 0
    for _ in range(rng.randrange(1, 5)):
        # A row is one or several steps, or a part of one.
        walks = [random_walk(rng, 60) for _ in range(rng.choice((1, 1, 2, 3)))]
        row = sum(walk.beats for walk in walks)
        if len(walks) == 1:
            row = rng.choice([d for d in range(1, row + 1) if row % d == 0])
        steps += [GatherStep(walk=walk, row=row) for walk in walks]
        total = sum(walk.beats for walk in walks)
        taken += total
        sent += total // row * -(-row // lanes)
    b.load("g.in", beats(rng, taken, lanes, 16), 16, port_bits=32, depth=rng.randrange(1, 4))
    b.node(Gather(name="g", lanes=lanes, bits=16, steps=tuple(steps)))
    b.store("g.out", sent, lanes, 16, port_bits=32)
    return b


def random_argmax(rng: random.Random) -> Builder:
    """Rows with many equal elements, of one beat and of several."""
    b, lanes = Builder("argmax"), rng.choice((1, 2, 4, 6))
    steps = [
        ArgmaxStep(rows=rng.choice((1, 2, 5)), cols=rng.randrange(1, 4 * lanes + 1))
        for _ in range(rng.randrange(1, 4))
    ]
    node = Argmax(name="top", lanes=lanes, bits=16, steps=tuple(steps))
    taken = sum(step.rows * node.beats(step)[0] for step in steps)
    few = beats(rng, taken, lanes, rng.choice((2, 3, 16)))
    b.load("top.in", few, 16, port_bits=some_port(rng, 16 * lanes), depth=rng.randrange(1, 4))
    b.node(node)
    b.store("top.out", sum(step.rows for step in steps), 1, INDEX_BITS, depth=rng.randrange(1, 4))
    return b


def random_lookup(rng: random.Random) -> Builder:
    """Rows of one or two tables in one argument, some ids beyond their ends."""
    b, lanes, port_bits = Builder("lookup"), rng.choice((2, 4, 8)), 64
    steps, chosen, base, id_base = [], [], 0, 0
    for _ in range(rng.randrange(1, 4)):
        rows, row_beats = rng.randrange(1, 9), rng.randrange(1, 7)
        words = -(-row_beats * lanes * 8 // port_bits)
        pitch, count = words + rng.choice((0, 0, 3)), rng.choice((1, 3, 6))
        step = LoadStep(base=base, beats=row_beats, repeat=count, table=rows, pitch=pitch)
        steps.append(step)
        chosen.append(LoadStep(base=id_base, beats=count))
        base += rows * pitch
        id_base += -(-count * INDEX_BITS // port_bits)
    ids = [[rng.randrange(-2, 11) if rng.random() < 0.9 else -(1 << 31)] for _ in range(2 * id_base)]
    b.load("table.ids", ids, INDEX_BITS, port_bits=port_bits, name="ids", depth=rng.randrange(1, 4))
    b.nodes[-1] = b.nodes[-1].model_copy(update={"steps": tuple(chosen)})
    image = np.random.default_rng(rng.randrange(1 << 30)).integers(0, 256, base * port_bits // 8)
    b.images["m_table"] = image.astype(np.uint8).tobytes()
    b.arguments.append(Argument(name="m_table", role="input", port_bits=port_bits, words=base))
    b.node(Load(name="table", port_bits=port_bits, argument="m_table", words=base, steps=tuple(steps)))
    b.store("table.out", sum(step.repeat * step.beats for step in steps), lanes, 8, depth=rng.randrange(1, 4))
    return b


def random_router(rng: random.Random) -> Builder:
    b, inputs, outputs = Builder("router"), rng.randrange(1, 4), rng.randrange(1, 4)
    steps = []
    taken, sent = [0] * inputs, [0] * outputs
    for _ in range(rng.randrange(1, 5)):
        legs = tuple(
            Leg(
                src=rng.randrange(inputs),
                dsts=tuple(rng.sample(range(outputs), rng.randrange(1, outputs + 1))),
            )
            for _ in range(rng.randrange(1, 4))
        )
        step = RouterStep(
            rounds=rng.randrange(1, 6),
            legs=legs,
            beats=rng.randrange(0, 4),
            period=rng.randrange(1, 4),
            beats_last=rng.randrange(0, 3),
        )
        steps.append(step)
        for index in range(step.rounds):
            count = step.beats_last if index % step.period == step.period - 1 else step.beats
            for leg in legs:
                taken[leg.src] += count
                for dst in leg.dsts:
                    sent[dst] += count
    b.node(Router(name="r", inputs=inputs, outputs=outputs, lanes=2, bits=8, steps=tuple(steps)))
    # A port that only legs without beats use still has a link; 1000 places keep the tests free of deadlocks.
    for index, count in enumerate(taken):
        b.load(f"r.in{index}", beats(rng, count or 1, 2, 8), 8, port_bits=32)
        if not count:
            spare(b)
    for index, count in enumerate(sent):
        b.store(f"r.out{index}", count or 1, 2, 8, port_bits=32, depth=1000)
        if not count:
            spare(b)
    return b


def spare(b: Builder) -> None:
    """Takes the steps away from the node added last: its link carries nothing."""
    node = b.nodes[-1]
    b.nodes[-1] = node.model_copy(update={"steps": ()})
