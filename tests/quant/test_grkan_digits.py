"""The GR-KAN that is kept as a design: how accurate it is, in float and in integers, on all test images."""

from __future__ import annotations

import numpy as np
import pytest

from intar.assets import asset_dir, import_file
from intar.ir.ops import Op
from intar.ir.reference import run_float
from intar.quant.golden import quantise_input, run_golden
from intar.session import open_source


@pytest.mark.parametrize(
    ("method", "forms"),
    [("table", [(8, 8, "table")] * 2), ("direct", [(8, 8, "direct"), (10, 8, "direct")])],
)
def test_integers_lose_at_most_half_a_point(method: str, forms: list[tuple[int, int, str]]) -> None:
    source = open_source("grkan_digits", rational=method)
    assert [task.op for task in source.graph.tasks] == [Op.RATIONAL, Op.MATMUL] * 2
    tables = [task.table for task in source.quantised.graph.tasks if task.table]
    assert [(table.in_bits, table.groups, table.method) for table in tables] == forms
    _, images, _, labels = import_file(asset_dir("designs") / "digits" / "data.py").split()
    (name,), (out,) = source.graph.inputs, source.graph.outputs
    tensor, right = source.quantised.graph.tensor(name), np.zeros(2, int)
    for image, label in zip(images.reshape(-1, 1, 64), labels, strict=True):
        real = run_float(source.graph, {name: image})[out]
        integers = run_golden(source.quantised, {name: quantise_input(tensor, image)}).tensors[out]
        right += [real.argmax() == label, integers.argmax() == label]
    real_accuracy, accuracy = 100 * right / len(labels)
    assert real_accuracy > 97 and accuracy >= real_accuracy - 0.5
