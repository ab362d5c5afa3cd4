"""The Python door and the command line, as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import intar
from intar import designs, pipeline, rendering
from intar.errors import ConfigError, OutputError
from intar.frontends import Builder
from intar.project import LOCK, LOCK_SCHEMA, Project
from intar.reopen import open_project
from intar.session import open_source


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "intar.cli", *words], capture_output=True, text=True, timeout=300
    )


def test_import_is_cheap():
    code = "import sys, intar; print([m for m in ('numpy', 'onnx', 'ortools', 'torch', 'cocotb') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_accelerator_follows_the_float_model(tmp_path: Path):
    rng = np.random.default_rng(0)
    folder, spec = designs.load("digits")
    samples = rng.random((32, 1, 64))
    accel = intar.compile(folder / spec.model, samples, device="pynq-z2")
    from intar.ir.reference import run_float

    real = run_float(accel.graph, {accel.graph.inputs[0]: samples[0]})[accel.graph.outputs[0]]
    got = accel(samples[0])
    step = accel.design.quantised.graph.tensor(accel.graph.outputs[0]).scale
    assert np.abs(got - real).max() < 8 * step
    check = accel.csim(samples[0], accel.write(tmp_path / "project"))
    assert check.bit_exact, check.first
    assert accel.csim(samples[1]).bit_exact  # in a folder of its own
    found = accel.report()
    assert found["bit_exact"] == {"interpreter": None, "csim": True, "rtl": None}
    assert [row["pattern"] for row in found["patterns"]] == ["auto", "intar", "sequential", "dataflow"]
    assert found["numerics"] and found["lost_cycles"]
    assert (tmp_path / "project" / "report" / "report.json").exists()


def test_outputs_come_in_the_order_of_the_network():
    """Not in the order in which they are computed: values are told apart by their place."""
    g = Builder("heads")
    rng = np.random.default_rng(0)
    early = g.relu(g.matmul(g.input("x", (1, 8)), rng.normal(size=(8, 8))))
    late = g.matmul(early, rng.normal(size=(8, 4)))
    g.output(late)
    g.output(early)
    graph = g.build()
    accelerator = intar.compile(
        graph, {"x": rng.normal(size=(4, 1, 8))}, device="pynq-z2", budget={"dsp": 32}
    )
    x = rng.normal(size=(1, 8)).astype(np.float32)
    for found in (accelerator(x), accelerator.predict(x[None])):
        assert list(found) == list(graph.outputs) == [late, early]
        assert [value.shape[-1] for value in found.values()] == [4, 8]


def test_same_input_same_bytes():
    source = open_source("digits")
    first, second = (
        rendering.project(pipeline.compile_quantised(open_source("digits").quantised, source.machine))
        for _ in range(2)
    )
    assert first.files == second.files and first.digest == second.digest


@pytest.mark.parametrize("name", designs.expand([]))
def test_a_project_opens_again(name: str, tmp_path: Path):
    source = open_source(name)
    made = pipeline.compile_quantised(source.quantised, source.machine)
    target = rendering.project(made).write(tmp_path / "p")
    again = open_project(target)
    assert again.program == made.program and again.images == made.images


def test_mistakes_in_python(tmp_path: Path):
    """Each is one typed error, also where PyTorch or NumPy would have said something."""
    module, samples = torch.nn.Linear(8, 4).eval(), torch.randn(8, 8, requires_grad=True)
    with pytest.raises(ConfigError, match="there is no pattern 'fast'"):
        intar.compile(module, samples, pattern="fast")
    with pytest.raises(ConfigError, match="32 is no mapping"):
        intar.compile(module, samples, budget=32)
    with pytest.raises(ConfigError, match="'multipliers' is not KEY=VALUE"):
        intar.compile(module, samples, budget="cores=2,multipliers")
    with pytest.raises(ConfigError, match="there is no board 3"):
        intar.compile(module, samples, device=3)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="input 'input_x': every element of every sample is 0"):
        intar.compile(module, torch.zeros(2, 8), budget={"multipliers": 4})
    accel = intar.compile(module.bfloat16(), samples.bfloat16(), budget={"multipliers": 4})
    assert (
        repr(accel).startswith("Accelerator 'linear': input_x (1, 8) -> output_x (1, 4); ")
        and len(repr(accel)) < 200
    )
    np.testing.assert_array_equal(accel(samples[0]), accel({"input_x": samples[:1].detach().numpy()}))
    for value, message in (
        (
            samples,
            "its shape is 8×8, expected 1×8 for one inference\n  way out: predict takes several samples",
        ),
        (np.zeros(9), "its shape is 9, expected 1×8"),
        (np.full(8, np.nan), "not finite"),
        (
            {"y": samples[0]},
            "input_x: no value was given for this input\ny: there is no such input\n  way out: inputs: input_x",
        ),
        (np.zeros(8, complex), "its values are complex128, not numbers"),
    ):
        with pytest.raises(ConfigError, match=message):
            accel(value)
    with pytest.raises(OutputError, match="there is no intar project here"):
        accel.csim(samples[0], tmp_path / "nothing")
    intar.compile(torch.nn.Linear(8, 2).eval(), samples, budget="multipliers=4").write(tmp_path / "other")
    with pytest.raises(OutputError, match="the project is another network's"):
        accel.csim(samples[0], tmp_path / "other")


def test_foreign_directory_is_refused(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(OutputError, match="not an intar project"):
        Project({LOCK: b"{}"}).write(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def small_project(**files: bytes) -> Project:
    """A project of these files, with the lock that lists them."""
    lock = {"schema": LOCK_SCHEMA, "files": Project(files).digests}
    return Project(files | {LOCK: json.dumps(lock).encode()})


def test_rewrite_replaces_an_earlier_project(tmp_path: Path):
    target = tmp_path / "p"
    small_project(old=b"1").write(target)
    (target / "build").mkdir()
    (target / "build" / "anything").write_text("made by a tool")
    small_project(new=b"2").write(target)
    assert sorted(p.name for p in target.iterdir()) == [LOCK, "new"]
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


@pytest.mark.parametrize(
    "name,words",
    [
        ("cli_no_model", ["compile", "nosuch.onnx", "-o", "out"]),
        ("cli_budget", ["compile", "digits", "-o", "out", "--budget", "rowz=3,dsp", "--budget", "lanes=x"]),
        ("cli_pattern", ["schedule", "digits", "--pattern", "sequentail"]),
        ("cli_device", ["schedule", "digits", "--device", "u28"]),
        ("cli_too_small", ["schedule", "digits", "--budget", "onchip_bytes=64"]),
        ("cli_no_project", ["csim", "nosuch"]),
        ("cli_loop", ["schedule", "digits", "--loop"]),
        ("cli_scheme", ["schedule", "digits", "--scheme", "w3a3"]),
    ],
)
def test_mistakes_are_one_typed_error(name, words, golden, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # `make demo` leaves a folder `out` in the checkout
    done = command(*words)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    golden(name, done.stderr)


def test_json_of_every_listing():
    assert {row["name"] for row in json.loads(command("designs", "--json").stdout)} >= {"digits", "intar_mlp"}
    assert any(row["name"] == "u280" for row in json.loads(command("devices", "--json").stdout))
    schedule = json.loads(command("schedule", "digits", "--json").stdout)
    assert schedule["objective"] >= schedule["bound"]


@pytest.mark.parametrize("name", ["p", "x", "entry", "vector_0"])
def test_networks_may_be_called_like_parts_of_the_kernel(name: str, tmp_path: Path):
    """A kernel has arguments p and x, and a node vector_0: in C++ they share a scope with the kernel itself."""
    net = Builder(name)
    net.output(net.relu(net.matmul(net.input("a", (1, 8)), np.eye(8, 4))))
    accel = intar.compile(net, np.ones((2, 1, 8)), budget={"multipliers": 4})
    assert accel.design.program.name == f"{name}_kernel"
    assert accel.write(tmp_path / "made").is_dir()
