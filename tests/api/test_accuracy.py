"""What integers do on samples of a user's: on the command line, and as `Accelerator.predict`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import intar
from intar.cli import main
from intar.errors import CalibrationError, ConfigError
from intar.quant.compare import compare

YAML = """\
network: classifier
random: 3
inputs: {x: [1, 16]}
tasks:
  a: {matmul: x, units: 12}
  b: {relu: a}
  y: {matmul: b, units: 5}
outputs: [y]
"""


def run(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*words])
    printed = capsys.readouterr()
    assert (stop.value.code or 0) == status, printed.err
    return printed.err if status else printed.out


def test_accuracy_before_anything_is_generated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Path("net.yaml").write_text(YAML)
    calibration, judged = rng.normal(size=(64, 16)), rng.normal(size=(50, 16))
    np.savez("calibration.npz", calibration)  # an array without a name
    np.save("judged.npy", judged)
    words = ["accuracy", "net.yaml", "--calibration", "calibration.npz", "--samples", "judged.npy"]
    run(capsys, *words, "-o", "out.npz")
    outputs = np.load("out.npz")["y"]
    np.testing.assert_array_equal(outputs, intar.compile("net.yaml", calibration).predict(judged))

    np.save("labels.npy", outputs.argmax(axis=1))
    (found,) = json.loads(run(capsys, *words, "--labels", "labels.npy", "--json"))["outputs"]
    assert found["right"] == found["samples"] == 50 and found["right_float"] == found["alike"]
    assert found["sqnr_db"] > 25 and found["cosine"] > 0.99

    assert "there is a file of this name" in run(capsys, *words, "-o", "out.npz", status=2)
    assert "labels of shape 64×16" in run(capsys, *words, "--labels", "calibration.npz", status=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "calibration.npz", "judged.npy", "labels.npy", "net.yaml", "out.npz",
    ]  # fmt: skip


NET = """\
import torch

def net():
    torch.manual_seed(0)
    return torch.nn.Linear(8, 3).eval(), torch.randn(10, 8)
"""


def test_a_file_s_function_brings_samples(tmp_path: Path) -> None:
    """They calibrate, in Python as on the command line."""
    (tmp_path / "net.py").write_text(NET)
    made = intar.compile(tmp_path / "net.py:net", budget="multipliers=16")
    assert made.graph.name == "net" and made.calibration is not None
    assert made.predict(torch.zeros(2, 8)).shape == (2, 3)


def test_many_samples_are_many_calls() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3)).eval()
    x = torch.randn(10, 8)
    one = intar.compile(module, x, device="pynq-z2", budget="multipliers=16")
    found = one.predict(x)
    assert found.shape == (10, 3)
    np.testing.assert_array_equal(found, np.concatenate([one(sample) for sample in x]))
    np.testing.assert_array_equal(found, one.predict({"input": x}))
    four = intar.compile(module, x, device="pynq-z2", budget="multipliers=16", batch=4)
    np.testing.assert_array_equal(found, four.predict(x))
    with pytest.raises(CalibrationError, match="samples for 'input': its shape is 10×7"):
        one.predict(x[:, :7])
    with pytest.raises(ConfigError, match="for several inputs a tuple"):
        intar.compile(module, [x, x[:, :3]])


def test_labels_need_something_that_is_chosen() -> None:
    real = {"y": np.array([[0.5], [0.25]])}
    assert compare(real, real)[0].alike is None
    with pytest.raises(CalibrationError, match="one real number"):
        compare(real, real, np.array([0, 1]))
    chosen = {"y": np.array([[3.0], [1.0]])}
    assert compare(chosen, chosen, np.array([3, 0]))[0].right == 1
