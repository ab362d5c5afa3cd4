"""Networks trained for few bits: golden, engine, C++ and RTL have the same integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from conformance.proofs import require, require_generated
from quant.qonnx_networks import convolutions, perceptron

import intar
from intar import proof


def models() -> dict[str, onnx.ModelProto]:
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(shape) for shape in ((64, 64), (64, 10))]
    biases = [rng.standard_normal(size) for size in (64, 10)]
    return {
        "perceptron": perceptron(weights, biases, 2, 3, True, scale=0.31),
        "convolutions": convolutions(3),
    }


@pytest.mark.parametrize("name", [*models()])
def test_the_engine_has_goldens_integers(name: str) -> None:
    accel = intar.compile(models()[name], budget={"cores": 2, "rows": 1, "lanes": 8})
    samples = np.random.default_rng(1).uniform(0, 1, (4, 1, 64))
    require(proof.verify_engine(accel.design, [accel.integers(sample) for sample in samples]))


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.parametrize("name", [*models()])
def test_generated_code_has_them(name: str, tmp_path: Path) -> None:
    accel = intar.compile(models()[name], budget={"cores": 2, "rows": 1, "lanes": 8})
    sample = np.random.default_rng(1).uniform(0, 1, (1, 64))
    require_generated(accel.design, [accel.integers(sample)], accel.write(tmp_path / "made"))
