"""ONNX models as exporters write them: ids one-hot, signals without a height, choices where something is nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conformance.proofs import require, require_generated
from frontends.models import normal, onnx_model
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

import intar
from intar import proof


def compiled() -> tuple[intar.Accelerator, list[np.ndarray], ReferenceEvaluator]:
    """Letters one-hot, a convolution over them, quotients by what may be nothing; accelerator, samples, float."""
    nodes = [
        ("Reshape", ["ids", "column"], ["c"]),
        ("Equal", ["c", "numbers"], ["same"]),
        ("Cast", ["same"], ["hot"], {"to": TensorProto.FLOAT}),
        ("MatMul", ["hot", "table"], ["rows"]),
        ("Transpose", ["rows"], ["signal"], {"perm": (0, 2, 1)}),
        ("Conv", ["signal", "kernel", "bias"], ["filtered"], {"pads": [1, 1]}),
        ("Relu", ["filtered"], ["positive"]),
        ("MaxPool", ["positive"], ["pooled"], {"kernel_shape": [2], "strides": [2]}),
        ("Equal", ["pooled", "zero"], ["nothing"]),
        ("Not", ["nothing"], ["something"]),
        ("Greater", ["pooled", "one"], ["large"]),
        ("And", ["something", "large"], ["chosen"]),
        ("Where", ["chosen", "pooled", "half"], ["y"]),
    ]
    constants = {
        "column": np.array([-1, 8, 1]),
        "numbers": np.arange(9).reshape(1, 1, 9),
        "table": normal(9, 4),
        "kernel": normal(8, 4, 3, seed=1),
        "bias": normal(8, seed=2),
        "zero": np.float32(0),
        "one": np.float32(1),
        "half": np.float32(0.5),
    }
    model = onnx_model(nodes, {"ids": [1, 8]}, ["y"], constants, types={"ids": TensorProto.INT64})
    samples = np.random.default_rng(3).integers(0, 9, (16, 1, 8))
    budget = {"cores": 2, "rows": 2, "lanes": 8}
    accel = intar.compile(model, {"ids": samples}, scheme="w8a8r16", budget=budget, pattern="sequential")
    return accel, list(samples[:4]), ReferenceEvaluator(model)


def test_an_exported_model() -> None:
    """Golden follows float, but where a number lies beside what it is compared with; the engine has golden's integers."""
    accel, samples, model = compiled()
    noise = [
        accel({"ids": ids}).reshape(-1) - model.run(None, {"ids": ids})[0].reshape(-1) for ids in samples
    ]
    assert np.median(np.abs(noise)) < 0.05 and np.mean(np.abs(noise) > 0.2) < 0.02
    require(proof.verify_engine(accel.design, [accel.integers({"ids": ids}) for ids in samples]))


@pytest.mark.full
@pytest.mark.sim
def test_an_exported_model_in_hardware(tmp_path: Path) -> None:
    accel, samples, _ = compiled()
    require_generated(accel.design, [accel.integers({"ids": samples[0]})], accel.write(tmp_path / "made"))
