"""Parameters by row and maxima of beats: what they cost in cycles, and that the RTL takes the same cycles and bits."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from engine_model import Model
from node_kernels import build, merge, simulate
from program_builder import Builder, beats, row_beats, row_set

from intar.engine import MemoryModel, run
from intar.errors import InternalError
from intar.ir.nodes.vector import Vector, VectorStep
from intar.ir.program import Program
from intar.verify.simulate import MemoryModel as SimulatedMemory


def by_row(
    lanes: int, rate: int, groups: int, beats_of_group: int, block: int = 1, first: int = 0
) -> Builder:
    """One step with parameters by row on accumulators."""
    rng, b = random.Random(lanes), Builder("rows")
    placed = {"block": block, "first": first}
    step = VectorStep(groups=groups, beats=beats_of_group, params="row", lo=-128, hi=127, **placed)
    data = row_beats(rng, [row_set(rng) for _ in range(groups)], lanes, block, first)
    b.load("v.acc", beats(rng, groups * beats_of_group, lanes, 32), 32, port_bits=32 * lanes, depth=4)
    b.load("v.params", data, 32, port_bits=32 * lanes, depth=4)
    b.node(Vector(name="v", lanes=lanes, rate=rate, acc_bits=32, bits=8, steps=(step,)))
    b.store("v.out", groups * beats_of_group, lanes, 8, port_bits=8 * lanes if lanes > 3 else 32, depth=4)
    return b


def maxima(lanes: int, rate: int, count: int, reduce: int) -> Builder:
    """`count` maxima of `reduce` beats, then as many beats as they are, without affine."""
    rng, b = random.Random(reduce), Builder("maxima")
    steps = (
        VectorStep(groups=count, beats=1, source="x", affine=False, per_channel=False, reduce=reduce),
        VectorStep(groups=1, beats=count, source="x", affine=False, per_channel=False),
    )
    b.load("v.x", beats(rng, count * (reduce + 1), lanes, 16), 16, port_bits=16 * lanes, depth=4)
    b.node(Vector(name="v", lanes=lanes, rate=rate, acc_bits=32, bits=16, steps=steps))
    b.store("v.out", 2 * count, lanes, 16, port_bits=16 * lanes, depth=4)
    return b


def cycles(builder: Builder) -> int:
    result = run(builder.program(), builder.images, MemoryModel(8))
    result.raise_deadlock()
    assert result.outputs
    return result.cycles


@pytest.mark.parametrize(
    "lanes, rate, beats_of_group, block, first, each",
    [(4, 4, 1, 1, 0, 1), (8, 2, 1, 1, 0, 4), (8, 8, 3, 64, 1, 3), (2, 2, 1, 1, 0, 2), (16, 16, 1, 8, 2, 1)],
)
def test_a_set_of_parameters_takes_no_time_beside_a_beat(
    lanes: int, rate: int, beats_of_group: int, block: int, first: int, each: int
) -> None:
    few, many = (cycles(by_row(lanes, rate, groups, beats_of_group, block, first)) for groups in (64, 192))
    assert many - few == 128 * each


@pytest.mark.parametrize("lanes, rate, reduce, each", [(4, 4, 4, 5), (8, 2, 4, 8), (8, 2, 9, 13)])
def test_a_maximum_costs_its_beats_or_its_slices(lanes: int, rate: int, reduce: int, each: int) -> None:
    """Whichever is more; and the second step's beats one slice time each."""
    few, many = (cycles(maxima(lanes, rate, count, reduce)) for count in (64, 192))
    assert many - few == 128 * each


def test_maxima_of_accumulators_are_refused() -> None:
    builder = by_row(4, 4, 1, 1)
    nodes = tuple(
        node.model_copy(update={"steps": (node.steps[0].model_copy(update={"reduce": 2}),)})
        if isinstance(node, Vector)
        else node
        for node in builder.program().nodes
    )
    program: Program = builder.program().model_copy(update={"nodes": nodes})
    with pytest.raises(InternalError, match="maximum of beats is taken of x only"):
        run(program, builder.images)


def refuse(changes: dict[str, object], match: str) -> None:
    """Running `by_row` with a changed vector unit is an error."""
    builder = by_row(4, 4, 1, 1)
    nodes = [n.model_copy(update=changes) if isinstance(n, Vector) else n for n in builder.program().nodes]
    with pytest.raises(InternalError, match=match):
        run(builder.program().model_copy(update={"nodes": tuple(nodes)}), builder.images)


def test_blocks_that_do_not_fit_are_refused() -> None:
    step = VectorStep(groups=3, beats=1, params="row", lo=-1, hi=1)
    refuse({"steps": (step.model_copy(update={"block": 2}),)}, "3 groups don't make blocks of 2")
    refuse({"steps": (step.model_copy(update={"first": 1}),)}, "place 1 in a beat of 1 sets")


def test_what_a_unit_is_not_built_for_is_refused() -> None:
    """Multipliers that are no powers of two, constant and from memory, and values that are too wide."""
    step = VectorStep(affine=True, per_channel=False, mult=3, beats=1, lo=-1, hi=1)
    refuse({"shift_only": True, "steps": (step,)}, "is no power of two")
    refuse({"shift_only": True}, "in a unit that only shifts")
    refuse({"value_bits": 8}, "exceeds the width of the unit")


@pytest.mark.sim
def test_the_rtl_takes_the_same_cycles(tmp_path: Path) -> None:
    parts = [
        by_row(4, 4, 40, 1),
        by_row(8, 2, 9, 2),
        by_row(1, 1, 7, 3),
        by_row(16, 16, 42, 1, 6, 2),
        by_row(16, 16, 40, 1, 40, 1),
        by_row(8, 4, 9, 1, 3),
        maxima(4, 4, 9, 4),
        maxima(8, 2, 9, 4),
    ]
    program, images = merge("modes", parts)
    expected = Model(program, images).run()
    simulation = build(program, images, tmp_path)
    for latency, num, den in ((40, 1, 1), (3, 1, 2)):
        counted = run(program, images, MemoryModel(latency, num, den))
        simulated = simulate(simulation, program, images, SimulatedMemory(latency, num, den), calls=2)
        assert simulated.cycles == (counted.cycles,) * 2
        for outputs in (
            counted.outputs,
            *({k: v.tobytes() for k, v in o.items()} for o in simulated.outputs),
        ):
            assert outputs
            assert all(outputs[name] == expected[name] for name in outputs)
