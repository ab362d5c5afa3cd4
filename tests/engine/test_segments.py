"""Programs with segments: plays follow each other with a barrier, ports move on from round to round; RTL does the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine_programs import RANDOM, perceptron
from looped import replayed
from node_kernels import merge, random_parts
from test_against_rtl import check

from intar.engine import plan_merged, run
from intar.errors import InternalError
from intar.ir.program import (
    UNIT_MULT,
    Argument,
    Leg,
    Link,
    Load,
    LoadStep,
    Program,
    Router,
    RouterStep,
    Store,
    StoreStep,
    Vector,
    VectorStep,
)

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


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_state_and_constants_move_on_from_round_to_round(rounds: int) -> None:
    program, images, expected = sums(rounds)
    for merged in (False, True):
        played = run(program, images, merged=merged)
        played.raise_deadlock()
        np.testing.assert_array_equal(result(played.outputs), expected)
        assert [play.segment for play in played.plays] == [0, *[1] * rounds, 2]
        assert [play.round for play in played.plays] == [0, *range(rounds), 0]


@pytest.mark.sim
def test_rtl_takes_the_same_cycles_over_rounds(tmp_path: Path) -> None:
    program, images, _ = sums(5)
    check(program, images, tmp_path)


def test_a_play_is_a_call_of_its_steps() -> None:
    """Replaying a whole program takes its cycles each time, and leaves the same bits; so does its order for C++."""
    program, images, _ = perceptron(rows=7, sizes=(16, 24, 36), lanes=8, depth=2)
    once, planned = run(program, images), plan_merged(replayed(program, (2, 3)))
    again = run(planned, images)
    assert again.cycles == 5 * once.cycles
    assert again.outputs == once.outputs == run(planned, images, merged=True).outputs
    assert len(again.stages) == 2 * len(once.stages)


@pytest.mark.sim
def test_rtl_replays_every_kind_of_node_and_lets_some_rest(tmp_path: Path) -> None:
    parts = [part for kind in sorted(RANDOM) for part in random_parts(kind, 1, 7)]
    program, images = merge("replayed", parts)

    def plays(node: object, segment: int) -> bool:
        part = int(str(getattr(node, "name", "")).split("_")[0][1:])
        return segment == 0 or part % 3 != segment

    check(replayed(program, (2, 1, 2), plays), images, tmp_path)


def test_segments_out_of_order_are_refused() -> None:
    program, images, _ = sums(2)
    nodes = tuple(
        node.model_copy(update={"steps": node.steps[::-1]}) if node.name == "y" else node
        for node in program.nodes
    )
    broken = program.model_copy(update={"nodes": nodes, "rounds": (1, 2, 1, 1)})
    with pytest.raises(InternalError, match=r"steps of 'y' are in segments \[2, 1, 0\].*segment 3 has no steps"):
        run(broken, images)
