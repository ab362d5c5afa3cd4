"""RNet with its real weights on real pictures: the decisions of the integers are those of the float network."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from intar.assets import asset_dir
from intar.frontends import load_model
from intar.ir.ops import Op
from intar.quant.golden import dequantise, quantise_input, run_golden
from intar.quant.quantise import quantise
from intar.quant.scheme import W8A8, W16A16, Scheme

FOLDER = asset_dir("designs") / "rnet"


pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    export = runpy.run_path(str(FOLDER / "export.py"))["export"]
    return export(tmp_path_factory.mktemp("rnet") / "rnet.onnx")


@pytest.mark.parametrize(("how", "worst"), [(W8A8, 0.1), (W16A16, 0.005)])
def test_decisions(network: Path, how: Scheme, worst: float) -> None:
    data = runpy.run_path(str(FOLDER / "data.py"))
    images, labels = data["images"]()
    session = onnxruntime.InferenceSession(str(network))
    real = np.array([session.run(["face"], {"image": image})[0][0, 1] for image in images])
    assert ((real > 0.5) == labels).all() and len(images) == 200
    graph = load_model(network)
    assert sum(task.op is Op.CONV2D for task in graph.tasks) == 3
    quantised = quantise(graph, how, {"image": data["split"]()[0]})
    source, target = (quantised.graph.tensor(name) for name in ("image", "face"))
    made = []
    for image in images:
        tensors = run_golden(quantised, {"image": quantise_input(source, image)}).tensors
        made.append(dequantise(target, tensors["face"])[0, 1])
    assert int(((np.array(made) > 0.5) == (real > 0.5)).sum()) >= 199
    assert np.abs(made - real).max() < worst
