"""Programs with segments: any program played several times over, and programs that play parts of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from intar.ir.nodes.memories import Buffer, ConstantMemory, Image
from intar.ir.nodes.movers import Leg, Router, RouterStep
from intar.ir.nodes.ports import Load, LoadStep, Store, StoreStep
from intar.ir.nodes.rows import Rows
from intar.ir.nodes.step import Step
from intar.ir.nodes.vector import UNIT_MULT, Vector, VectorStep
from intar.ir.program import Argument, Link, Node, Program

WORDS, LANES = 5, 8


def sums(rounds: int) -> tuple[Program, dict[str, bytes], np.ndarray]:
    """Enter with x, add a row of w in each round, leave: a program, its images, and the numbers that it leaves.

    The state lies in y, in turn in its first and its second region; the result in the third.
    """
    rng = np.random.default_rng(rounds)
    x, w = (rng.integers(-9, 9, (n, WORDS * LANES)).astype(np.int8) for n in (1, rounds))
    port = {"port_bits": 64, "words": 3 * WORDS}
    last = rounds % 2 * WORDS
    add = {"b_mx": 1 << 20, "b_my": 1 << 20, "b_shift": 20, "b_lo": -128, "b_hi": 127, "binary": "add"}
    copy = {"affine": True, "mult": UNIT_MULT, "shift": 30, "lo": -128, "hi": 127}
    work = {"beats": WORDS, "source": "x", "affine": False, "per_channel": False}
    nodes = (
        Load(name="x", port_bits=64, argument="x", words=WORDS, steps=(LoadStep(base=0, beats=WORDS),)),
        Load(
            name="w",
            port_bits=64,
            argument="w",
            words=WORDS * rounds,
            strides=(0, WORDS, 0),
            steps=(LoadStep(base=0, beats=WORDS, segment=1),),
        ),
        Load(
            name="r",
            argument="y",
            after="y",
            steps=(
                LoadStep(base=0, beats=WORDS, swap=WORDS, segment=1),
                LoadStep(base=last, beats=WORDS, segment=2),
            ),
            **port,
        ),
        Router(
            name="merge",
            inputs=2,
            outputs=1,
            lanes=LANES,
            bits=8,
            steps=tuple(
                RouterStep(
                    rounds=1,
                    legs=(Leg(src=int(s > 0), dsts=(0,)),),
                    beats=WORDS,
                    beats_last=WORDS,
                    segment=s,
                )
                for s in range(3)
            ),
        ),
        Vector(
            name="unit",
            lanes=LANES,
            rate=LANES // 2,
            acc_bits=8,
            bits=8,
            steps=(
                VectorStep(**work | copy),
                VectorStep(**work | add, segment=1),
                VectorStep(**work | copy, segment=2),
            ),
        ),
        Store(
            name="y",
            argument="y",
            steps=(
                StoreStep(base=0, beats=WORDS),
                StoreStep(base=WORDS, beats=WORDS, swap=-WORDS, segment=1),
                StoreStep(base=2 * WORDS, beats=WORDS, segment=2),
            ),
            turns=(("w", 1), ("r", 1), ("w", 1), ("r", 1), ("w", 1)),
            **port,
        ),
    )
    ends = ("x.out merge.in0", "r.out merge.in1", "merge.out0 unit.x", "w.out unit.y", "unit.out y.in")
    links = tuple(
        Link(name=f"l{i}", src=end.split()[0], dst=end.split()[1], lanes=LANES, bits=8, depth=2)
        for i, end in enumerate(ends)
    )
    sizes = {"x": ("input", WORDS), "w": ("constant", WORDS * rounds), "y": ("output", 3 * WORDS)}
    arguments = tuple(
        Argument(name=name, role=role, port_bits=64, words=words) for name, (role, words) in sizes.items()
    )
    program = Program(name="sums", rounds=(1, rounds, 1), nodes=nodes, links=links, arguments=arguments)
    return program, {"x": x.tobytes(), "w": w.tobytes()}, (x + w.sum(axis=0))[0]


def result(outputs: dict[str, bytes]) -> np.ndarray:
    return np.frombuffer(outputs["y"], np.int8)[2 * WORDS * LANES :]


def replayed(
    program: Program, rounds: Sequence[int], plays: Callable[[Node, int], bool] = lambda node, segment: True
) -> Program:
    """`program` with ``len(rounds)`` segments; in each a node does what it does in `program` or nothing, as `plays` says."""
    nodes = tuple(
        _replayed(node, [segment for segment in range(len(rounds)) if plays(node, segment)])
        for node in program.nodes
    )
    return program.model_copy(update={"nodes": nodes, "rounds": tuple(rounds)})


def step_lists(node: Node) -> tuple[str, ...]:
    """The names of a node's lists of steps."""
    if isinstance(node, Buffer | Image):
        return "writes", "reads"
    if isinstance(node, ConstantMemory):
        return ("reads",)
    return ("steps", "loads") if isinstance(node, Rows) else ("steps",)


def _replayed(node: Node, segments: Sequence[int]) -> Node:
    update: dict[str, object] = {}
    for name in step_lists(node):
        steps: tuple[Step, ...] = getattr(node, name)
        update[name] = tuple(
            step.model_copy(update={"segment": segment}) for segment in segments for step in steps
        )
    if isinstance(node, Buffer | Image):
        update["merged"] = node.merged * len(segments)
    if isinstance(node, Store):
        update["turns"] = node.turns * len(segments)
    return node.model_copy(update=update)
