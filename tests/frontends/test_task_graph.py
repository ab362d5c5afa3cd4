"""The task graph itself: names, storage, identity, views, and the meaning of each operator."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import networkx
import numpy as np
import pytest
from frontends.models import mlp, normal
from hypothesis import given, settings
from hypothesis import strategies as st

from intar.errors import GraphError
from intar.frontends import Builder, load_model
from intar.frontends.onnx_graph import import_onnx
from intar.ir.io import load_graph, save_graph, to_npz
from intar.ir.names import MAX_LENGTH, RESERVED, is_safe, sanitise
from intar.ir.ops import FUNCTIONS, OPS, Op
from intar.ir.reference import KERNELS, NAMED, quantise, run_float
from intar.ir.taps import attributes
from intar.ir.taskgraph import QuantParams, Task, TaskGraph, Tensor, dequantise, make_graph, topological


@given(st.lists(st.text(max_size=80)))
@settings(max_examples=200, deadline=None)
def test_any_names_become_distinct_safe_identifiers(names: list[str]) -> None:
    safe = sanitise(names)
    assert list(safe) == list(dict.fromkeys(names)) and len(set(safe.values())) == len(safe)
    for name in safe.values():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name) and len(name) <= MAX_LENGTH and name not in RESERVED
        assert is_safe(name) and sanitise([name]) == {name: name}
    assert sanitise(names) == safe


def test_names_of_every_bad_kind() -> None:
    given = [
        '"; rm',
        "module",
        "",
        "1st",
        "ÄÖ",
        "出力",
        "a" * 99,
        "A",
        "a",
        "a_2",
        "x__y",
        "logic",
        "template",
        "proc",
    ]
    safe = sanitise(given)
    assert [safe[name] for name in given[:6]] == ["rm", "module_x", "unnamed", "n1st", "ao", "unnamed_2"]
    assert safe["A"] == "a_3" and safe["a"] == "a" and safe["a_2"] == "a_2" and safe["x__y"] == "x_y"
    assert len(safe["a" * 99]) == MAX_LENGTH and safe["logic"] == "logic_x"


def small() -> TaskGraph:
    g = Builder("small")
    x = g.input("x", (2, 8))
    h = g.gelu(g.matmul(x, normal(8, 4), normal(4, seed=1)), name="h")
    g.output(g.add(h, g.mul(h, 0.5)))
    return g.build()


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_storing_and_reading_gives_the_same_graph_and_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    graph = import_onnx(mlp())
    first = [path.read_bytes() for path in save_graph(graph, tmp_path / f"a{suffix}")]
    again = load_graph(tmp_path / f"a{suffix}")
    second = [path.read_bytes() for path in save_graph(again, tmp_path / f"b{suffix}")]
    assert again == graph and first == second and load_model(tmp_path / f"a{suffix}") == graph
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{n}{s}" for n in "ab" for s in (suffix, ".npz")
    )


def test_a_quantised_graph_survives_storage(tmp_path: Path) -> None:
    quant = QuantParams(bits=8, scale=(0.5, 0.25), axis=1)
    graph = make_graph(
        "q",
        [
            Tensor(name="x", shape=(1, 3), quant=QuantParams(bits=8, signed=False, scale=0.1, zero_point=7)),
            Tensor(name="w", shape=(3, 2), quant=quant),
            Tensor(name="y", shape=(1, 2)),
        ],
        [Task(name="mm", op=Op.MATMUL, inputs=("x", "w"), output="y")],
        ["x"],
        ["y"],
        {"w": np.array([[1, 2], [3, 4], [5, -6]], np.int8)},
    )
    save_graph(graph, tmp_path / "q.json")
    again = load_graph(tmp_path / "q.json")
    assert again == graph and again.tensor("w").quant == quant and again.constants["w"].dtype == np.int8
    assert again.constant("w").tolist() == [[0.5, 0.5], [1.5, 1.0], [2.5, -1.5]]


def test_changed_files_are_noticed(tmp_path: Path) -> None:
    path, arrays = save_graph(small(), tmp_path / "g.json")
    document = json.loads(path.read_text())
    names = {name: array + 1 for name, array in np.load(arrays).items()}
    arrays.write_bytes(to_npz(names))
    with pytest.raises(GraphError, match="digest"):
        load_graph(path)
    arrays.write_bytes(b"not a zip")
    with pytest.raises(GraphError, match="npz"):
        load_graph(path)
    path.write_text(json.dumps({**document, "schema": "intar.taskgraph/0"}))
    arrays.unlink()
    with pytest.raises(GraphError, match=r"taskgraph/1"):
        load_graph(path)
    path.write_text(json.dumps({**document, "tasks": [{"name": 3, "op": "magic", "speed": 9}]}))
    with pytest.raises(GraphError) as caught:
        load_graph(path)
    assert len(caught.value.findings) >= 4


def test_digest_depends_on_structure_and_values_only() -> None:
    graph = small()
    name = next(iter(graph.constants))
    other = graph.model_copy(update={"constants": {**graph.constants, name: graph.constants[name] + 1}})
    assert graph.digest() == small().digest() != other.digest() and graph != other
    renamed = graph.model_copy(update={"name": "other"})
    assert renamed.digest() != graph.digest()


def test_constants_can_not_be_changed() -> None:
    graph = small()
    with pytest.raises(ValueError, match="read-only"):
        graph.constants[next(iter(graph.constants))][0] = 1


def test_tasks_are_sorted_stably_and_shown_as_a_graph() -> None:
    graph = small()
    assert topological(graph.tasks[::-1])[0] == graph.tasks[0]
    assert topological(graph.tasks) == list(graph.tasks)
    view = graph.to_networkx()
    assert list(networkx.topological_sort(view)) == [task.name for task in graph.tasks]
    assert [data["tensor"].name for _, _, data in view.in_edges(graph.tasks[-1].name, data=True)] == [
        "h",
        "mul_1",
    ]
    assert view.nodes["h"]["task"].op is Op.GELU
    table = graph.table()
    assert table.row_count == 4 and "64 MACs" in str(table.title)


def test_every_operator_has_a_shape_rule_and_a_meaning() -> None:
    assert set(OPS) == set(Op) == set(KERNELS)
    assert set(FUNCTIONS) == set(NAMED)


def _unit(x: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and variance 1, up to PyTorch's epsilon."""
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def test_every_operator_computes_what_its_shape_rule_says() -> None:
    g = Builder("all")
    x, y = g.input("x", (2, 3, 4)), g.input("y", (4,))
    vector = np.arange(4.0)
    made = [
        g.matmul(x, normal(4, 5), normal(5)),
        g.matmul(y, normal(4, 2)),
        g.add(x, y),
        g.sub(1.0, x),
        g.mul(y, x),
        *(
            op(x)
            for op in (g.relu, g.sigmoid, g.tanh, g.gelu, g.hardswish, g.silu, g.mish, g.softplus, g.elu)
        ),
        g.gelu(x, "tanh"),
        g.scale_shift(x, vector, vector + 1),
        g.scale_shift(x, [1, 2, 3], [0, 0, 1], axis=1),
        g.reshape(x, (4, -1)),
        g.transpose(x, (1, 2, 0)),
        g.concat([x, x], axis=1),
        g.slice(x, -1, 1, -1),
        g.slice(x, 2, 0, 4, 3),
        g.power(x, 4.0),
        *(g.function(x, function) for function in FUNCTIONS),
        g.clip(x, -0.5, 0.5),
        g.exp(x),
        g.prelu(x, [0.1, 0.2, -0.3]),
        g.rational(x, normal(2, 6), normal(1, 4), groups=2),
        g.product(x, x, "second"),
        g.softmax(x),
        g.softmax(x, np.triu(np.full((3, 4), -np.inf), 1)),
        g.cached_softmax(x, g.input("position", (1,)), 1),
        g.layer_norm(x, vector, vector + 1),
        g.rms_norm(x, vector),
        g.row_unit(x),
        g.row_peak(x),
        g.rope(x, np.cos(normal(3, 4)), np.sin(normal(3, 4))),
        g.embedding(y, normal(3, 5)),
        g.argmax(x),
        g.argmax(x, keepdims=True),
    ]
    image = g.reshape(x, (1, 4, 2, 3))
    blocks = g.space_to_depth(image, (2, 3))
    one, pair = (
        attributes([(2, [(0, 0, -1, 0, 1), (3, 1, 0, 0, 0)]), (1, [(1, 0, 0, 0, 0)])], (2, 4)),
        normal(3, 2),
    )
    made += [
        g.conv2d(image, normal(6, 2, 2, 1), normal(6), groups=2, pads=1),
        g.conv_transpose2d(image, normal(4, 3, 3, 2), stride=2),
        g.upsample_nearest(image, (3, 2)),
        *(pool(image, 2, pads=(1, 0)) for pool in (g.max_pool2d, g.avg_pool2d)),
        *(pool(image) for pool in (g.global_avg_pool, g.global_max_pool)),
        g.depth_to_space(blocks, (2, 3), (2, 3)),
        g.taps(Op.TAP_CONV, image, one, pair, normal(3)),
        g.taps(Op.TAP_MAX, image, one),
    ]
    g.output(*made)
    graph = g.build()
    assert {task.op for task in graph.tasks} == set(Op)
    a, b = normal(2, 3, 4, seed=5).astype(np.float64), normal(4, seed=6).astype(np.float64)
    results = run_float(graph, {"x": a, "y": b, "position": np.zeros(1)})
    assert all(results[name].shape == graph.tensor(name).shape for name in made)
    rows = normal(3, 5)[np.clip(np.rint(b), 0, 2).astype(int)]
    assert np.array_equal(results["embedding_1"], rows)
    assert np.array_equal(results["argmax_2"], a.argmax(-1)[..., None])
    assert np.array_equal(results["sub_1"], 1 - a) and np.array_equal(results["mul_1"], a * b)
    assert np.allclose(results["scale_shift_2"], a * [[1], [2], [3]] + [[0], [0], [1]])
    assert np.array_equal(results["slice_1"], a[..., 1:-1])
    assert (
        np.allclose(np.tril(results["softmax_2"]).sum(axis=-1), 1)
        and not np.triu(results["softmax_2"], 1).any()
    )
    assert np.allclose(results["cached_softmax_1"].sum(axis=-1), 1)
    assert not np.triu(results["cached_softmax_1"][..., 1:], 1).any()
    assert not results["cached_softmax_1"][..., 0].any()
    assert np.allclose((results["layer_norm_1"] - vector - 1)[..., 1:] / vector[1:], _unit(a)[..., 1:])
    assert np.allclose(results["rms_norm_1"], a / np.sqrt((a**2).mean(-1, keepdims=True) + 1e-6) * vector)
    assert np.allclose(results["row_unit_1"] * results["row_peak_1"], a)
    assert np.array_equal(results["row_peak_1"], np.abs(a).max(-1, keepdims=True))
    turned = np.concatenate([-a[..., 2:], a[..., :2]], axis=-1)
    assert np.allclose(results["rope_1"], a * np.cos(normal(3, 4)) + turned * np.sin(normal(3, 4)))
    assert np.array_equal(results["transpose_1"], a.transpose(1, 2, 0))
    assert [task.attrs["broadcast"] for task in graph.tasks if task.op in (Op.ADD, Op.MUL)] == [
        "right",
        "left",
    ]


def test_functions_at_known_points() -> None:
    x = np.array([-800.0, -3.0, -1.0, 0.0, 1.0, 3.0, 800.0])
    f = {op: KERNELS[op]([x], {"approximate": "none"}) for op in (Op.SIGMOID, Op.GELU, Op.HARDSWISH, Op.SILU)}
    assert f[Op.SIGMOID][[0, 3, 6]].tolist() == [0, 0.5, 1] and np.isfinite(f[Op.SILU]).all()
    assert f[Op.GELU][[2, 4]] == pytest.approx([-0.15865525393145707, 0.8413447460685429], abs=1e-15)
    assert f[Op.HARDSWISH].tolist() == pytest.approx([0, 0, -1 / 3, 0, 2 / 3, 3, 800])


@pytest.mark.parametrize(("bits", "signed"), [(4, True), (8, False), (16, True), (32, True)])
def test_grids_saturate_and_round_ties_to_even(bits: int, signed: bool) -> None:
    quant = QuantParams(bits=bits, signed=signed, scale=0.5, zero_point=1)
    integers = quantise(np.array([-1e12, 0.25, 0.75, 1e12]), quant)
    assert integers.tolist() == [quant.qmin, 1, 3, quant.qmax]
    assert quant.qmax - quant.qmin == 2**bits - 1
    assert dequantise(integers, quant)[1:3].tolist() == [0.0, 1.0]


def test_importing_the_graph_does_not_import_onnx() -> None:
    code = "import sys, intar, intar.ir, intar.ir.io, intar.frontends; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
