"""The small networks of `designs/tiny`: the engine, C++ and RTL have golden's integers.

All of them, and how closely golden follows float, are measured by `benchmarks/tiny.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conformance.proofs import require, require_generated

from intar import proof, rendering
from intar.assets import asset_dir
from intar.design import Design
from intar.pipeline import compile_quantised
from intar.quant.golden import integer_samples
from intar.session import open_source

MODELS = asset_dir("designs") / "tiny" / "model.py"


def compiled(name: str) -> tuple[Design, list[dict[str, np.ndarray]]]:
    """The design on 64 multipliers of a ZCU104, and two of its samples."""
    scheme = "w8a8r16" if name == "vit" else "w8a8"
    source = open_source(f"{MODELS}:{name}", device="zcu104", budget={"multipliers": 64}, scheme=scheme)
    made = compile_quantised(source.quantised, source.machine, loops=source.loops)
    samples = integer_samples(source.quantised, source.calibration, 2)
    return made, [{given: array[at] for given, array in samples.items()} for at in range(2)]


def test_jets() -> None:
    made, inputs = compiled("jets")
    assert made.name == made.quantised.graph.name == "jets"  # a Sequential's name would say nothing
    require(proof.verify_engine(made, inputs))


@pytest.mark.full
@pytest.mark.sim
def test_jets_in_every_executor(tmp_path: Path) -> None:
    made, inputs = compiled("jets")
    rendering.project(made).write(tmp_path)
    require_generated(made, inputs, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("name", ["ad08", "tcn", "unet", "resnet8", "ds_cnn", "vit"])
def test_networks_in_the_engine_and_in_cpp(name: str, tmp_path: Path) -> None:
    made, inputs = compiled(name)
    require(proof.verify_engine(made, inputs))
    require(proof.verify_csim(made, inputs, rendering.project(made).write(tmp_path)))
