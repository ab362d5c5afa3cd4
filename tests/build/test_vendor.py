"""Vendor flows with executables that record how they were called and leave reports of the tools' form."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from intar.cli import main
from intar.errors import ToolError
from intar.pipeline import compile_quantised
from intar.rendering import project
from intar.session import open_source
from intar.verify import vendor_reports

FAKE = """#!PYTHON
import json, os, pathlib, sys
tool = os.path.basename(sys.argv[0])
if tool == os.environ.get("FAKE_FAILS"):
    print("INFO: starting"); print("ERROR: [HLS 200-70] it is only a fake"); sys.exit(3)
entry = {"tool": tool, "words": sys.argv[1:], "cwd": os.getcwd(), "cosim": os.environ.get("INTAR_COSIM", "")}
with open(os.environ["FAKE_LOG"], "a") as log:
    log.write(json.dumps(entry) + chr(10))
def leave(path, text):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_text(text)
reports = pathlib.Path(os.environ["FAKE_REPORTS"])
words = sys.argv[1:]
if "-c" in words or tool == "vitis_hls":
    leave("../work/hls/syn/report/csynth.xml", (reports / "csynth.xml").read_text())
if "--package" in words or tool == "vitis_hls":
    leave(os.environ["FAKE_KERNEL"] + ".xo", "xo")
if any(word.endswith("synth.tcl") for word in words):
    leave("utilization.rpt", (reports / "utilization.rpt").read_text())
    leave("timing.rpt", (reports / "timing.rpt").read_text())
if any(word.endswith("overlay.tcl") for word in words):
    for kind in ("bit", "hwh"):
        leave(os.environ["FAKE_KERNEL"] + "." + kind, kind)
    leave("utilization.rpt", (reports / "utilization.rpt").read_text())
    leave("timing.rpt", (reports / "timing.rpt").read_text())
if any(word.endswith("package_xo.tcl") for word in words):
    leave(os.environ["FAKE_KERNEL"] + ".xo", "xo")
if "-l" in words:
    assert os.path.exists(words[-3]), "the kernel object is not there"
    text = (reports / "kernel_util_routed.rpt").read_text().replace("KERNEL", os.environ["FAKE_KERNEL"])
    leave("_x/reports/link/imp/impl_1_kernel_util_routed.rpt", text)
    leave(words[-1], "xclbin")
"""
REPORTS = Path(__file__).parent / "reports"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = open_source("intar_mlp")
    target = tmp_path_factory.mktemp("build") / "p"
    made = compile_quantised(source.quantised, source.machine, "sequential")
    return project(made).write(target)


@pytest.fixture
def tools(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Callable[[], list]]:
    """Call it with the tools that are to be there; what it gives reads the calls so far."""

    def install(*names: str, kernel: str) -> Callable[[], list]:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in names:
            (folder / name).write_text(FAKE.replace("PYTHON", sys.executable, 1))
            (folder / name).chmod(0o755)
        compiler = shutil.which("g++")
        assert compiler, "the engine needs it"
        (folder / "g++").symlink_to(compiler)
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setenv("FAKE_LOG", str(tmp_path / "calls"))
        monkeypatch.setenv("FAKE_REPORTS", str(REPORTS))
        monkeypatch.setenv("FAKE_KERNEL", kernel)
        return lambda: [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]

    return install


def run(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    """A build that has to succeed: what ``--json`` prints."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["build", *words, "--json"])
    assert not stop.value.code
    return json.loads(capsys.readouterr().out)


def test_vitis(written: Path, tools, capsys: pytest.CaptureFixture[str]) -> None:
    calls = tools("v++", "vitis-run", kernel="intar_mlp")
    found = run(capsys, str(written), "--cosim", "--link", "--platform", "xilinx_u280_x")
    config = ["--config", "hls_config.cfg", "--work_dir", "../work"]
    root = written / "build" / "vitis"
    assert [(c["tool"], c["words"]) for c in calls()] == [
        ("v++", ["-c", "--mode", "hls", *config]),
        ("vitis-run", ["--mode", "hls", "--cosim", *config]),
        ("vitis-run", ["--mode", "hls", "--package", *config]),
        (
            "v++",
            [
                "-l",
                "-t",
                "hw",
                "--platform",
                "xilinx_u280_x",
                "--config",
                "link.cfg",
                "--save-temps",
                "--temp_dir",
                "_x",
                "--jobs",
                "4",
                "intar_mlp.xo",
                "-o",
                "intar_mlp.xclbin",
            ],
        ),
    ]
    assert [c["cwd"] for c in calls()] == [str(root / "hls")] * 3 + [str(root)]
    assert all(c["cosim"] == "1" for c in calls())
    counts = {"dsp": 61, "bram36": 41.5, "uram": 2, "lut": 12345, "ff": 23456}
    assert found["resources"] == counts | {"source": "v++ link for xilinx_u280_x, routed", "by_module": None}
    assert found["timing"]["target_ns"] == 4.0 and found["timing"]["slack_ns"] == 1.08
    assert found["artefacts"] == ["build/vitis/intar_mlp.xo", "build/vitis/intar_mlp.xclbin"]
    stored = json.loads((written / "report" / "report.json").read_text())
    assert stored["resources"] == found["resources"]


def test_vitis_estimate_and_the_old_command(written: Path, tools, capsys: pytest.CaptureFixture[str]) -> None:
    calls = tools("vitis_hls", kernel="intar_mlp")
    found = run(capsys, str(written))
    assert [(c["tool"], c["words"]) for c in calls()] == [("vitis_hls", ["-f", "run_hls.tcl"])]
    assert found["resources"] == {
        "dsp": 48, "bram36": 20.5, "uram": 2, "lut": 9876, "ff": 8765,
        "source": "Vitis HLS 2023.2, estimate of C synthesis", "by_module": None,
    }  # fmt: skip


def test_vivado(written: Path, tools, capsys: pytest.CaptureFixture[str]) -> None:
    calls = tools("vivado", kernel="kernel_intar_mlp")
    found = run(capsys, str(written), "--flow", "vivado", "--implement")
    batch = ["-mode", "batch", "-nojournal", "-source"]
    part = "xcu280-fsvh2892-2L-e"
    assert [c["words"] for c in calls()] == [
        [*batch, "../../rtl/synth.tcl", "-tclargs", part, "4.000", "implement"],
        [*batch, "../../rtl/package_xo.tcl", "-tclargs", part],
    ]
    assert {c["cwd"] for c in calls()} == {str(written / "build" / "vivado")}
    counts = {"dsp": 50, "bram36": 19.5, "uram": 3, "lut": 4321, "ff": 7654}
    source = "Vivado 2023.2, placed and routed out of context"
    assert found["resources"] == counts | {"source": source, "by_module": None}
    assert found["timing"] == {"target_ns": 4.0, "achieved_ns": 3.861, "slack_ns": 0.139, "source": source}


def test_overlay(tools, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = open_source("digits", device="pynq-z2", budget={"multipliers": 16})
    board = project(compile_quantised(source.quantised, source.machine, "sequential")).write(tmp_path / "z2")
    calls = tools("vivado", kernel="kernel_digits")
    found = run(capsys, str(board), "--flow", "overlay", "--jobs", "2")
    script = ["-mode", "batch", "-nojournal", "-source", "../../rtl/overlay.tcl", "-tclargs"]
    z2 = ["xc7z020clg400-1", "100", "2", "tul.com.tw:pynq-z2:part0"]
    assert [(c["words"], c["cwd"]) for c in calls()] == [([*script, *z2], str(board / "build" / "overlay"))]
    assert found["artefacts"] == [f"build/overlay/kernel_digits.{kind}" for kind in ("bit", "hwh")]
    source = "Vivado 2023.2, the kernel in the bitstream"
    assert found["resources"]["source"] == found["timing"]["source"] == source
    assert found["timing"]["target_ns"] == 10.0


@pytest.mark.parametrize(
    ("name", "present", "words"),
    [
        ("vitis", ("vitis-run",), ("--flow", "vitis")),
        ("vitis_link", ("vitis_hls",), ("--flow", "vitis", "--link")),
        ("vivado", (), ("--flow", "vivado", "--link")),
        ("overlay", ("vivado",), ("--flow", "overlay")),
        ("flow", (), ("--flow", "quartus")),
    ],
)
def test_missing_tools(name, present, words, written: Path, tools, golden, capsys) -> None:
    tools(*present, kernel="k")
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["build", str(written), *words])
    assert stop.value.code == 2
    golden(f"build_{name}", capsys.readouterr().err)


def test_a_failing_tool_is_quoted(written: Path, tools, golden, capsys, monkeypatch) -> None:
    tools("v++", "vitis-run", kernel="k")
    monkeypatch.setenv("FAKE_FAILS", "v++")
    monkeypatch.chdir(written.parent)
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["build", "p"])
    golden("build_fails", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("csynth.xml", "<profile>", vendor_reports.read_csynth),
        ("csynth.xml", "<profile/>", vendor_reports.read_csynth),
        ("utilization.rpt", "| CLB LUTs | 7 |", vendor_reports.read_utilisation),
        ("timing.rpt", "WNS(ns) TNS(ns)\n------- ---\n  NA  NA", vendor_reports.read_timing),
        ("timing.rpt", "", vendor_reports.read_timing),
    ],
)
def test_other_formats_are_errors(name: str, text: str, read: Callable, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ToolError, match=name):
        read(tmp_path / name)


def test_older_utilisation_report(tmp_path: Path) -> None:
    """7 series: slices instead of CLBs, no UltraRAM."""
    text = (REPORTS / "utilization.rpt").read_text()
    text = "\n".join(line for line in text.splitlines() if "URAM" not in line)
    (tmp_path / "u.rpt").write_text(
        text.replace("CLB LUTs*", "Slice LUTs").replace("CLB Registers", "Slice Registers")
    )
    assert vendor_reports.read_utilisation(tmp_path / "u.rpt") == {
        "lut": 4321, "ff": 7654, "bram36": 19.5, "uram": 0, "dsp": 50, "version": "2023.2",
    }  # fmt: skip


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="no Tcl interpreter")
def test_tcl_scripts_are_complete(written: Path) -> None:
    for name in (
        "rtl/synth.tcl",
        "rtl/package_ip.tcl",
        "rtl/package_xo.tcl",
        "rtl/overlay.tcl",
        "hls/run_hls.tcl",
    ):
        script = f"set f [open {{{written / name}}}]; puts [info complete [read $f]]"
        done = subprocess.run(["tclsh"], input=script, capture_output=True, text=True, env=dict(os.environ))
        assert done.stdout.strip() == "1", name
