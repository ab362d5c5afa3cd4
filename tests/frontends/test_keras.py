"""Keras models: the same numbers, and images that are not turned to and fro."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

os.environ["KERAS_BACKEND"] = "torch"

import keras
from keras import layers

from intar.errors import GraphError
from intar.frontends.load import load_model
from intar.ir.ops import Op
from intar.ir.reference import run_float
from intar.ir.taskgraph import TaskGraph


def images() -> keras.Model:
    """A small U-net: channels last, as Keras has them."""
    x = keras.Input((16, 16, 3), name="photo")
    a = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    a = layers.LeakyReLU(0.1)(layers.BatchNormalization()(a))
    b = layers.SeparableConv2D(16, 3, padding="same", activation="relu")(layers.MaxPooling2D(2)(a))
    b = layers.DepthwiseConv2D(3, padding="same")(b)
    up = layers.UpSampling2D(2)(b)
    joined = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.Concatenate()([up, a]))
    up = layers.Conv2DTranspose(4, 2, strides=2, activation="sigmoid")(joined)
    return keras.Model(x, layers.AveragePooling2D(2)(up))


def words() -> keras.Model:
    """A transformer's block and a recurrent layer behind it."""
    x = keras.Input((6, 16), name="tokens")
    a = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x))
    b = layers.Dense(16)(layers.Dense(32, activation="gelu")(a))
    return keras.Model(x, layers.GRU(8)(a + b))


def checked(model: keras.Model, graph: TaskGraph, seed: int = 0) -> None:
    """The graph computes the model."""
    samples = {
        name: np.random.default_rng(seed)
        .standard_normal((1, *graph.tensor(name).shape[1:]))
        .astype(np.float32)
        for name in graph.inputs
    }
    given = list(samples.values())
    wanted = model.predict(given if len(given) > 1 else given[0], verbose=0)
    made = run_float(graph, samples)
    for name, expected in zip(graph.outputs, wanted if isinstance(wanted, list) else [wanted], strict=True):
        np.testing.assert_allclose(made[name], expected, atol=1e-5)


def test_images_are_turned_at_the_ends_only(tmp_path: Path) -> None:
    model = images()
    model.save(tmp_path / "net.keras")
    graph = load_model(tmp_path / "net.keras")
    assert graph.inputs == ("photo",)
    checked(model, graph)
    moves = [task.op for task in graph.tasks if task.op in (Op.TRANSPOSE, Op.RESHAPE, Op.UPSAMPLE_NEAREST)]
    assert moves == [Op.TRANSPOSE, Op.UPSAMPLE_NEAREST, Op.TRANSPOSE]
    assert [task.op for task in graph.tasks].count(
        Op.ADD
    ) == 1  # the normalisation's: biases are the convolutions'


@pytest.mark.full
def test_biases_behind_moves_are_the_products() -> None:
    model = words()
    graph = load_model(model)
    checked(model, graph)
    attention = graph.tasks[: next(i for i, task in enumerate(graph.tasks) if task.op is Op.LAYER_NORM)]
    assert [len(task.inputs) for task in attention if task.op is Op.MATMUL] == [3, 3, 3, 3]
    assert sum(task.op is Op.ADD for task in attention) == 1


def test_several_inputs_and_outputs() -> None:
    a, b = keras.Input((8,), name="a"), keras.Input((4,), name="b")
    c = layers.Concatenate()([layers.Dense(8, activation="relu")(a), b])
    model = keras.Model([a, b], [layers.Dense(3, name="y")(c), layers.Dense(2, name="z")(c)])
    graph = load_model(model)
    assert (graph.inputs, graph.outputs) == (("a", "b"), ("y", "z"))
    checked(model, graph)


def test_tables_take_ids() -> None:
    """Keras shifts negative ids, and gives an input single precision that says nothing else."""
    text = keras.Input((6,), name="text", dtype="int32")
    kind = keras.Input((1,), name="kind")
    rows = layers.Embedding(9, 4, mask_zero=True)(text)
    joined = layers.Concatenate()([layers.GRU(4)(rows), layers.Flatten()(layers.Embedding(3, 2)(kind))])
    model = keras.Model([text, kind], layers.Dense(2)(joined))
    graph = load_model(model)
    assert [task.op for task in graph.tasks].count(Op.EMBEDDING) >= 2
    rng = np.random.default_rng(0)
    for _ in range(4):
        given = [rng.integers(0, count, (1, size)) for count, size in ((9, 6), (3, 1))]
        wanted = model.predict(given, verbose=0)
        made = run_float(graph, dict(zip(graph.inputs, given, strict=True)))
        np.testing.assert_allclose(made[graph.outputs[0]], wanted, atol=1e-5)


def test_what_is_refused(tmp_path: Path) -> None:
    free = keras.Sequential([keras.Input((None, 8)), layers.Dense(4)])
    with pytest.raises(GraphError, match=r"its shape is \(\?, 8\)"):
        load_model(free)
    (tmp_path / "bad.keras").write_bytes(b"no zip file")
    with pytest.raises(GraphError, match="Keras can't read it"):
        load_model(tmp_path / "bad.keras")
