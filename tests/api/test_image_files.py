"""A network of images in a file of the user's own, as ONNX and as YAML: compiled and run by the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from frontends.models import normal, onnx_model

from intar.cli import main

YAML = """\
network: pictures
inputs:
  x: [1, 2, 8, 8]
tasks:
  c: {conv2d: x, channels: 3, kernel: 3, pads: 1, random: 1}
  r: {relu: c}
  p: {max_pool2d: r, kernel: 2}
  f: {reshape: p, shape: [1, 48]}
  y: {matmul: f, units: 5, random: 2}
outputs: [y]
"""


def write_yaml(path: Path) -> None:
    path.write_text(YAML)


def write_onnx(path: Path) -> None:
    """The same operators, in ONNX's terms."""
    nodes = [
        ("Conv", ["x", "w", "b"], ["h"], {"pads": [1, 1, 1, 1]}),
        ("Relu", ["h"], ["r"]),
        ("MaxPool", ["r"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Flatten", ["p"], ["f"]),
        ("Gemm", ["f", "v", "c"], ["y"]),
    ]
    constants = {"w": normal(3, 2, 3, 3), "b": normal(3), "v": normal(48, 5, scale=0.1), "c": normal(5)}
    path.write_bytes(onnx_model(nodes, {"x": [1, 2, 8, 8]}, ["y"], constants).SerializeToString())


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command that has to succeed; its JSON document."""

    def run(*words: str) -> dict[str, Any]:
        with pytest.raises(SystemExit) as stop:
            main([*words, "--json"])
        printed = capsys.readouterr()
        assert not stop.value.code, printed.err
        return json.loads(printed.out)

    return run


@pytest.mark.parametrize("name, write", [("own.onnx", write_onnx), ("own.yaml", write_yaml)])
def test_compile_and_csim(name: str, write: Any, tmp_path: Path, command: Any) -> None:
    write(tmp_path / name)
    np.save(tmp_path / "samples.npy", normal(8, 1, 2, 8, 8))
    words = ["compile", str(tmp_path / name), "-o", str(tmp_path / "p"), "--budget", "cores=2,rows=1,lanes=8"]
    made = command(*words, "--calibration", str(tmp_path / "samples.npy"))
    assert made["cycles"]["predicted"] > 0 and len(made["numerics"]) > 0
    assert command("csim", str(tmp_path / "p"))["bit_exact"]["csim"] is True
