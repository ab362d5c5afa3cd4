"""Networks of images in integers: golden against the definition, against float, and against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from frontends.models import normal
from grid.image_networks import network
from hypothesis import given, settings
from hypothesis import strategies as st

from intar.frontends import Builder
from intar.grid import PASSES, prepare
from intar.ir.circuit import as_stored, border_moves, circuit, from_circuit, to_circuit
from intar.ir.image_reference import conv2d
from intar.ir.ops import Op
from intar.ir.quantgraph import DirectSpec, QConv, QMove, QPool, Tap, TapGroup
from intar.ir.reference import run_float
from intar.ir.taskgraph import TaskGraph
from intar.quant import golden
from intar.quant.accuracy import numerics_report
from intar.quant.filters import ARRAYS, share, share_members
from intar.quant.fixed import requantise
from intar.quant.golden import dequantise, on_grid, quantise_input, run_golden
from intar.quant.quantise import quantise
from intar.quant.random_images import Seeded, random_images, random_network
from intar.quant.scheme import W4A8, W8A8, W16A16, Scheme


def real_outputs(quantised, graph: TaskGraph, x: np.ndarray) -> list[np.ndarray]:
    ints = {"x": quantise_input(quantised.graph.tensor("x"), x)}
    tensors = run_golden(quantised, ints).tensors
    return [dequantise(quantised.graph.tensor(name), tensors[name]) for name in graph.outputs]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_random_networks_are_accurate(data: st.DataObject) -> None:
    graph, shape = network(data)
    samples = np.stack([normal(*shape, seed=seed) for seed in range(3)])
    for skip in ((), tuple(PASSES)):
        quantised = quantise(graph, W16A16, {"x": samples}, skip)
        made = real_outputs(quantised, graph, samples[1])
        for name, ours in zip(graph.outputs, made, strict=True):
            real = run_float(graph, {"x": samples[1]})[name]
            span = max(np.abs(run_float(graph, {"x": one})[name]).max() for one in samples)
            assert np.abs(ours - real).max() <= 0.01 * span + 1e-6
        rows = numerics_report(prepare(graph, skip), quantised, {"x": samples})
        assert rows and {row["name"] for row in rows} >= set(graph.outputs)


def reads(task: QConv | QPool, x: np.ndarray, tap: Tap, row: int, column: int) -> int:
    """One read by the definition in the quantised graph."""
    r, c = row + tap.dy, column + tap.dx
    inside = 0 <= r < task.in_height - tap.short_rows and 0 <= c < task.in_width - tap.short_columns
    return int(x[tap.channel, r * task.in_pitch + c]) if inside else task.pad


TAP = st.builds(
    Tap,
    channel=st.integers(0, 2),
    dy=st.integers(-3, 3),
    dx=st.integers(-3, 3),
    short_rows=st.integers(0, 1),
    short_columns=st.integers(0, 1),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.lists(TAP, min_size=1, max_size=5)), min_size=1, max_size=3),
    st.tuples(*(st.integers(1, 5) for _ in range(4))),
    st.integers(0, 3),
    st.sampled_from([1, 8, 1 << 21]),
    st.booleans(),
    st.booleans(),
)
def test_golden_is_the_definition(parts, sizes, extra, held, wide, shared) -> None:
    groups = tuple(TapGroup(channels=channels, taps=tuple(taps)) for channels, taps in parts)
    channels, most = sum(g.channels for g in groups), max(len(g.taps) for g in groups)
    in_height, in_width, height, width = sizes
    in_pitch, pitch = in_width + extra, width + extra // 2
    common = {
        "name": "t", "inputs": ("x",), "output": "y", "in_height": in_height, "in_width": in_width, "height": height,
        "width": width, "in_pitch": in_pitch, "pitch": pitch, "groups": groups,
    }  # fmt: skip
    rng = np.random.default_rng(held + extra)
    x = rng.integers(-128, 128, (3, in_height * in_pitch))
    constants = {
        "w": rng.integers(-127, 128, (channels, most)),
        "b": rng.integers(-500, 500, channels),
        "m": rng.integers(1 << 29, 1 << 31, channels),
        "s": rng.integers(36, 40, channels),
    }
    starts, known = np.cumsum([0, *(g.channels for g in groups)]), dict[tuple[int, int], int]()
    filters = tuple(
        known.setdefault((g.channels, len(g.taps)), int(start)) if shared else int(start)
        for g, start in zip(groups, starts, strict=False)
    )
    conv = QConv(**common, lo=-50, hi=90, zero=3, pad=-7, weight="w", weight_bits=8, bias="b", mult="m", shift="s",
                 filters=filters, acc_bits=54 if wide else 20)  # fmt: skip
    pool = QPool(**common, lo=-100, hi=100, pad=-128)
    old, golden.GRID_ELEMENTS = golden.GRID_ELEMENTS, held
    try:
        made = [on_grid(task, [x], constants) for task in (conv, pool)]
    finally:
        golden.GRID_ELEMENTS = old
    saturated = [0, 0]
    owner = [g for g in groups for _ in range(g.channels)]
    owned = [first + i for g, first in zip(groups, filters, strict=True) for i in range(g.channels)]
    for o, row, column in np.ndindex(channels, height, width):
        values = [reads(conv, x, tap, row, column) for tap in owner[o].taps]
        f = owned[o]
        acc = sum(int(w) * v for w, v in zip(constants["w"][f], values, strict=False)) + constants["b"][f]
        v = int(requantise(np.array(acc), constants["m"][f], constants["s"][f])) + 3
        top = max(reads(pool, x, tap, row, column) for tap in owner[o].taps)
        for index, (task, value) in enumerate(((conv, v), (pool, top))):
            wanted = min(max(value, task.lo), task.hi)
            saturated[index] += wanted != value
            assert made[index][0][o, row * pitch + column] == wanted
    assert [count for _, count in made] == saturated


def test_convolutions_between_upsamplings_run_on_the_small_image() -> None:
    """conv → up 2 → conv → up 2 → conv → pool 2 → conv: one grid, four taps for nine where an image was enlarged."""
    g, size = Builder("chain"), 12
    x = g.input("x", (1, 1, size, size))
    kernels = [normal(1, 1, 3, 3, seed=seed) for seed in range(4)]
    y = g.upsample_nearest(g.relu(g.conv2d(x, kernels[0], pads=1)), 2)
    y = g.upsample_nearest(g.relu(g.conv2d(y, kernels[1], pads=1)), 2)
    y = g.relu(g.max_pool2d(g.conv2d(y, kernels[2], pads=1), 2))
    g.output(g.conv2d(y, kernels[3], pads=1))
    graph = g.build()
    samples = np.stack([normal(1, 1, size, size, seed=seed) for seed in range(4)])
    assert sum(graph.macs().values()) == (9 + 4 * 9 + 16 * 9 + 4 * 9) * size**2
    taps = {(): [9, 16, 64, 36], ("upsample_phases",): [9, 36, 144, 36]}
    for skip, expected in taps.items():
        made = prepare(graph, skip)
        counts = [n // size**2 for n in made.macs().values() if n]
        assert counts == expected
        quantised = quantise(graph, W16A16, {"x": samples}, skip)
        tasks = quantised.graph.tasks
        convs = [task for task in tasks if isinstance(task, QConv)]
        assert {(t.height, t.width, t.pitch) for t in (*convs,)} == {(size, size, size)}
        assert [t.relu for t in convs] == [True, True, True, False]
        assert [sum(g.channels for g in t.groups) for t in convs] == [1, 4, 16, 4]
        moves = [task for task in tasks if isinstance(task, QMove)]
        assert len(moves) == (4 if skip else 2), "two upsamplings are copies of rows"
        assert not any(move.host for move in moves[:-1]) and moves[-1].host
        real = run_float(graph, {"x": samples[0]})[graph.outputs[0]]
        (ours,) = real_outputs(quantised, graph, samples[0])
        assert np.abs(ours - real).max() < 1e-3 * np.abs(real).max()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_a_convolution_is_the_direct_integer_convolution(data: st.DataObject) -> None:
    """Of the input's integers less their zero point, with the weight's integers, whatever stride and padding."""
    groups = data.draw(st.integers(1, 2))
    kernel, stride, dilation = (data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) for _ in range(3))
    pads = data.draw(st.tuples(*[st.integers(0, 3)] * 4))
    shape = (1, 2 * groups, data.draw(st.integers(7, 12)), data.draw(st.integers(7, 12)))
    weight = normal(3 * groups, 2, *kernel, seed=1)
    attrs = {"stride": stride, "dilation": dilation, "pads": pads, "groups": groups}
    g = Builder("t")
    g.output(g.conv2d(g.input("x", shape), weight, **attrs, name="y"))
    image = normal(*shape, seed=2)
    quantised = quantise(g.build(), W8A8, {"x": image[None] + 0.5})
    x, y = (quantised.graph.tensor(name) for name in ("x", "y"))
    ints = quantise_input(x, image)
    (task,) = (task for task in quantised.graph.tasks if isinstance(task, QConv))
    # Kernel rows and columns that only ever see padding have no say in the scale.
    seen = [
        [
            any(0 <= i * stride[a] + k * dilation[a] - pads[a] < shape[2 + a] for i in range(y.shape[2 + a]))
            for k in range(kernel[a])
        ]
        for a in (0, 1)
    ]
    used = weight * np.outer(*seen)
    scale = np.abs(used).max(axis=(1, 2, 3)).astype(np.float64) / 127
    whole = np.rint(used / scale[:, None, None, None])
    acc = conv2d([(ints - x.zero).astype(np.float64), whole], attrs)[0].astype(np.int64)
    mult, shift = (quantised.constants[name][:, None, None] for name in (task.mult, task.shift))
    wanted = np.clip(requantise(acc, mult, shift) + y.zero, -128, 127)
    assert np.array_equal(run_golden(quantised, {"x": ints}).tensors["y"][0], wanted)


@pytest.mark.parametrize(
    ("how", "least"), [(W8A8, 25.0), (W16A16, 60.0), (W4A8, 12.0), (Scheme("p", 8, 8, "percentile"), 20.0)]
)
def test_every_scheme(how: Scheme, least: float) -> None:
    g = Builder("t")
    x = g.input("x", (1, 3, 12, 10))
    y = g.relu(g.conv2d(x, normal(8, 3, 3, 3, seed=1, scale=0.3), normal(8, seed=2, scale=0.1), pads=1))
    y = g.max_pool2d(y, 2)
    y = g.silu(g.conv2d(y, normal(8, 1, 3, 3, seed=3, scale=0.4), groups=8, pads=1))
    y = g.add(y, g.avg_pool2d(y, 3, stride=1, pads=1))
    y = g.conv_transpose2d(y, normal(8, 4, 4, 4, seed=4, scale=0.2), stride=2, pads=1)
    y = g.clip(g.scale_shift(y, [1, 2, -1, 0.5], [0, 0.1, 0, 0], axis=1), -1, 2)
    g.output(
        g.matmul(g.reshape(g.prelu(y, [0.1, 0.2, 0.3, 0.4]), (1, 480)), normal(480, 5, seed=5, scale=0.05))
    )
    graph = g.build()
    samples = np.stack([normal(1, 3, 12, 10, seed=seed) for seed in range(20)])
    quantised = quantise(graph, how, {"x": samples})
    rows = {row["name"]: row for row in numerics_report(graph, quantised, {"x": samples[:5]})}
    assert rows[graph.outputs[0]]["sqnr_db"] > least
    assert all(isinstance(task, QConv) or task.table is None for task in quantised.graph.tasks)


def test_the_host_moves_what_stands_alone_at_the_border() -> None:
    """The circuit's part of the network, from what it loads to what it stores, is golden's."""
    g = Builder("t")
    x, y = g.input("x", (1, 2, 7, 5)), g.input("y", (1, 4, 4, 3))
    a = g.conv2d(x, normal(4, 2, 3, 3, seed=1), stride=2, pads=1, name="a")
    b = g.upsample_nearest(g.add(a, y), (1, 2), name="b")
    g.output(a, b)
    graph = g.build()
    quantised = quantise(graph, W8A8, {"x": normal(4, 1, 2, 7, 5), "y": normal(4, 1, 4, 4, 3)})
    q = quantised.graph
    ints = {name: quantise_input(q.tensor(name), normal(*q.tensor(name).shape, seed=2)) for name in q.inputs}
    tensors = run_golden(quantised, ints).tensors
    moves = border_moves(q)
    assert moves.keys() >= {"x", "a", "b"} and not any(task in circuit(q).tasks for task in moves.values())
    inside = {name: moves[name].output for name in q.inputs if name in moves}
    for name, array in to_circuit(q, ints).items():
        assert np.array_equal(array, tensors[inside.get(name, name)].reshape(-1))
    stored = {name: tensors[moves[name].inputs[0] if name in moves else name] for name in q.outputs}
    for name, array in from_circuit(q, stored).items():
        assert np.array_equal(array, tensors[name])
    ones = as_stored(q, {name: np.ones_like(tensors[name]) for name in q.outputs})
    for name, array in as_stored(q, tensors).items():
        assert np.array_equal(array, stored[name].reshape(-1) * ones[name])
        assert ones[name].sum() == tensors[name].size


def test_a_seed_makes_the_same_network() -> None:
    one, two = (random_images(7, W8A8)[1] for _ in range(2))
    assert one.graph == two.graph and one.graph.digest
    kinds = {task.op for seed in range(200) for task in random_network(Seeded(seed)).tasks}
    assert {
        Op.CONV2D,
        Op.CONV_TRANSPOSE2D,
        Op.MAX_POOL2D,
        Op.AVG_POOL2D,
        Op.UPSAMPLE_NEAREST,
        Op.CONCAT,
    } <= kinds


def test_maxima_share_filters_as_a_whole() -> None:
    """Members of one filter have it together; others stand behind each other, once for all outputs that have the same."""
    arrays = {name: np.arange(4) for name in ARRAYS}
    members = np.array([[2, 2], [0, 0], [1, 3], [2, 2], [1, 3], [3, 1]])
    made, filters = share_members(arrays, members)
    assert all(array.tolist() == [2, 0, 1, 3, 3, 1] for array in made.values())
    assert filters == (0, 0, 1, 1, 2, 3, 0, 0, 2, 3, 4, 5)
    for name in ARRAYS:
        np.testing.assert_array_equal(made[name][np.array(filters)].reshape(members.shape), members)


def test_channels_of_different_functions_share_no_filter() -> None:
    arrays = {name: np.ones((4, 1) if name == "weight" else 4, int) for name in ARRAYS}
    groups = tuple(TapGroup(channels=1, taps=(Tap(channel=c, dy=0, dx=0),)) for c in range(4))
    spec = DirectSpec(
        function="rational", in_bits=8, groups=2, zero=0, out_zero=0, lift=0, fraction=0, lo=0, hi=1,
        coefficients="c", max_error=0.0,
    )  # fmt: skip
    assert share(arrays, groups)[1] == (0, 0, 0, 0)
    assert share(arrays, groups, spec)[1] == (0, 0, 1, 1)


def test_channels_are_taken_from_where_they_were_made() -> None:
    """A block of YOLOv8: halves of the channels in four phases, a sum with one of them, all of them put together, and that
    once more for an output. What is the same is copied once, and nothing twice."""
    g = Builder("c2f")
    x = g.conv2d(g.input("x", (1, 2, 8, 8)), normal(8, 2, 3, 3), pads=1)
    first, second = g.slice(x, 1, 0, 4), g.slice(x, 1, 4, 8)
    made = g.add(g.conv2d(second, normal(4, 4, 3, 3), pads=1), second)
    whole = g.concat([first, second, made], axis=1)
    g.output(whole, g.conv2d(whole, normal(4, 12, 2, 2), stride=2))
    graph = g.build()
    samples = np.stack([normal(1, 2, 8, 8, seed=seed) for seed in range(4)])
    quantised = quantise(graph, W16A16, {"x": samples})
    assert not any(isinstance(task, QPool) for task in quantised.graph.tasks)
    moves = [task for task in quantised.graph.tasks if isinstance(task, QMove) and not task.host]
    conv, half, joined = moves[0].inputs, moves[0].output, [move.inputs for move in moves[1:]]
    assert len(conv) == 1 and half not in {name for inputs in joined for name in inputs}
    assert len(joined) == 2 and {inputs[0] for inputs in joined} == {*conv}
    for name, ours in zip(graph.outputs, real_outputs(quantised, graph, samples[0]), strict=True):
        real = run_float(graph, {"x": samples[0]})[name]
        assert np.abs(ours - real).max() < 1e-3 * np.abs(real).max()
