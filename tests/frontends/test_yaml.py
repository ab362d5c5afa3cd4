"""Networks written by hand, the example of the documentation among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intar.frontends import load_model
from intar.frontends.yaml_graph import import_yaml
from intar.ir.io import to_npz
from intar.ir.reference import run_float

DOCS = Path(__file__).parents[2] / "docs" / "task-graph.md"


def documented_example() -> str:
    text = DOCS.read_text(encoding="utf-8")
    return text.split("```yaml\n")[1].split("```")[0]


def test_the_example_of_the_documentation_works() -> None:
    graph = import_yaml(documented_example())
    assert [task.op.value for task in graph.tasks] == [
        "matmul", "gelu", "matmul", "add", "slice", "slice", "sigmoid", "mul",
        "transpose", "reshape", "concat", "scale_shift", "reshape", "matmul",
    ]  # fmt: skip
    result = run_float(graph, {"image": np.ones((1, 64))})
    assert list(result) == ["logits"] and result["logits"].shape == (1, 10)
    assert import_yaml(documented_example()) == graph


def test_weights_come_from_a_file(tmp_path: Path) -> None:
    w, b = np.arange(12.0).reshape(4, 3), np.ones(3)
    (tmp_path / "w.npz").write_bytes(to_npz({"fc.w": w, "fc.b": b}))
    text = "inputs: {x: [2, 4]}\nweights: w.npz\ntasks:\n  y: {matmul: [x, fc.w, fc.b]}\noutputs: [y]\n"
    (tmp_path / "n.yaml").write_text(text)
    x = np.arange(8.0).reshape(2, 4)
    assert np.array_equal(run_float(load_model(tmp_path / "n.yaml"), {"x": x})["y"], x @ w + b)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("{mul: [x, 0.5]}", lambda x: x * 0.5),
        ("{sub: [x, c]}", lambda x: x - [1, 2, 3, 4]),
        ("{relu: x}", lambda x: np.maximum(x, 0)),
        ("{transpose: x}", lambda x: x.T),
        ("{reshape: x, shape: [4, 2]}", lambda x: x.reshape(4, 2)),
        ("{concat: [x, x]}", lambda x: np.concatenate([x, x], 1)),
        ("{slice: x, axis: -1, start: 1, stop: 3}", lambda x: x[:, 1:3]),
        ("{scale_shift: [x, c, c]}", lambda x: x * [1, 2, 3, 4] + [1, 2, 3, 4]),
    ],
)
def test_short_forms(task: str, expected) -> None:  # type: ignore[no-untyped-def]
    graph = import_yaml(
        f"inputs: {{x: [2, 4]}}\nconstants: {{c: [1, 2, 3, 4]}}\ntasks:\n  y: {task}\noutputs: y\n"
    )
    x = np.linspace(-2, 2, 8).reshape(2, 4)
    assert np.array_equal(run_float(graph, {"x": x})["y"], expected(x))


def test_random_weights_depend_on_the_seed_only() -> None:
    text = (
        "inputs: {x: [1, 4]}\ntasks:\n  y: {matmul: x, units: 3, random: SEED, bias: false}\noutputs: [y]\n"
    )
    first, same, other = (import_yaml(text.replace("SEED", seed)) for seed in "778")
    assert first.digest() == same.digest() != other.digest()
    assert len(first.tasks[0].inputs) == 2
