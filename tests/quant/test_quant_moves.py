"""Moves: the pieces give NumPy's reshape, transpose, slice and concat."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intar.errors import UnsupportedError
from intar.frontends.builder import Builder
from intar.ir.reference import run_float
from intar.quant import pieces
from intar.quant.golden import move, quantise_input, run_golden
from intar.quant.quantise import quantise

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)


def ramp(shape: tuple[int, ...], start: int = 0) -> np.ndarray:
    return np.arange(start, start + int(np.prod(shape))).reshape(shape)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(SHAPES, st.data())
def test_single_input_moves(shape: tuple[int, ...], data: st.DataObject) -> None:
    x = ramp(shape)
    perm = data.draw(st.permutations(range(len(shape))))
    assert move([x], pieces.transpose(shape, perm), 1).tolist() == x.transpose(perm).reshape(-1).tolist()
    axis = data.draw(st.integers(0, len(shape) - 1))
    start = data.draw(st.integers(0, shape[axis] - 1))
    stop = data.draw(st.integers(start + 1, shape[axis]))
    cut = x.take(range(start, stop), axis=axis)
    assert move([x], pieces.take(shape, axis, start, stop), 1).tolist() == cut.reshape(-1).tolist()
    (piece,) = pieces.reshape(shape)
    assert (piece.counts, piece.strides) == ((x.size,), (1,))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SHAPES, st.data())
def test_concat(shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    parts = [ramp((*shape[:axis], n, *shape[axis + 1 :]), 1000 * i) for i, n in enumerate(sizes)]
    made, visits = pieces.concat([p.shape for p in parts], axis, range(len(parts)))
    assert move(parts, made, visits).tolist() == np.concatenate(parts, axis).reshape(-1).tolist()


def test_loops_that_continue_each_other_are_merged() -> None:
    (piece,) = pieces.transpose((2, 3, 1, 4, 5), (1, 0, 2, 3, 4))
    assert (piece.counts, piece.strides) == ((3, 2, 20), (20, 60, 1))
    (piece,) = pieces.transpose((2, 3, 4), (0, 1, 2))
    assert piece.counts == (24,)


def test_a_transposition_that_needs_six_loops_is_refused() -> None:
    g = Builder("t")
    g.output(g.transpose(g.input("x", (2,) * 6), (5, 4, 3, 2, 1, 0)))
    with pytest.raises(UnsupportedError, match="6 nested loops"):
        quantise(g.build(), calibration={"x": np.ones((1, *(2,) * 6))})


def test_operands_that_differ_in_leading_ones_are_reshaped() -> None:
    g = Builder("t")
    x, y = g.input("x", (6,)), g.input("y", (1, 1, 6))
    g.output(g.add(x, y, name="z"))
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=6), rng.normal(size=(1, 1, 6))
    quantised = quantise(g.build(), calibration={"x": a[None], "y": b[None]})
    assert [task.kind for task in quantised.graph.tasks] == ["move", "binary"]
    tensor = quantised.graph.tensor
    ints = {"x": quantise_input(tensor("x"), a), "y": quantise_input(tensor("y"), b)}
    z = run_golden(quantised, ints).tensors["z"]
    assert z.shape == (1, 1, 6)
    assert np.abs(tensor("z").scale * (z - tensor("z").zero) - (a + b)).max() < 0.05


@settings(max_examples=80, deadline=None, derandomize=True)
@given(SHAPES, st.data())
def test_moves_one_after_the_other(shape: tuple[int, ...], data: st.DataObject) -> None:
    """Any chain of reshapes, transposes and slices gives the same elements, in at most as many moves."""
    g, y = Builder("t"), "x"
    g.input("x", shape)
    size = shape
    for step in range(data.draw(st.integers(2, 4))):
        kind = data.draw(st.sampled_from(["reshape", "transpose", "slice"]))
        if kind == "transpose":
            perm = data.draw(st.permutations(range(len(size))))
            y, size = g.transpose(y, perm, name=f"y{step}"), tuple(size[p] for p in perm)
        elif kind == "reshape":
            size = data.draw(st.permutations(size).map(tuple))
            y = g.reshape(y, size, name=f"y{step}")
        else:
            axis = data.draw(st.integers(0, len(size) - 1))
            stop = data.draw(st.integers(1, size[axis]))
            y = g.slice(y, axis, 0, stop, name=f"y{step}")
            size = (*size[:axis], stop, *size[axis + 1 :])
    g.output(y)
    graph = g.build()
    quantised = quantise(graph, calibration={"x": ramp(shape)[None].astype(float)})
    ints = quantise_input(quantised.graph.tensor("x"), ramp(shape))
    expected = run_float(graph, {"x": ints.astype(float)})[y]
    assert np.array_equal(run_golden(quantised, {"x": ints}).tensors[y], expected)
    assert sorted(name for task in quantised.graph.tasks for name in task.fused) == sorted(
        t.name for t in graph.tasks
    )


def test_a_flattened_transpose_is_one_move() -> None:
    g = Builder("t")
    x = g.input("x", (2, 3, 4))
    g.output(g.slice(g.reshape(g.transpose(x, (2, 0, 1)), (4, 6)), 1, 1, 5, name="y"))
    (task,) = quantise(g.build(), calibration={"x": ramp((1, 2, 3, 4))}).graph.tasks
    assert task.inputs == ("x",) and task.output == "y" and len(task.fused) == 3
