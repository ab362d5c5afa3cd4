"""Design-space exploration: every combination, the Pareto front, the same answer in any number of processes."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from intar.cli import main
from intar.errors import ToolError
from intar.explore import OBJECTIVES, explore, pareto, points
from intar.report.scatter import render_exploration
from intar.session import open_source


@pytest.fixture(scope="module")
def found() -> dict:
    source = open_source("digits")
    chosen = points({"dsp": [8, 16], "lanes": [4, 8]}, {"onchip": "64K"}, ["auto", "dataflow"])
    assert len(chosen) == 8
    return explore(source.quantised, "pynq-z2", chosen)


def test_processes_change_nothing(found: dict) -> None:
    source = open_source("digits")
    chosen = points({"dsp": [8, 16], "lanes": [4, 8]}, {"onchip": "64K"}, ["auto", "dataflow"])
    assert explore(source.quantised, "pynq-z2", chosen, jobs=2) == found
    assert render_exploration(found) == render_exploration(json.loads(json.dumps(found)))


def test_points_obey_their_budget(found: dict) -> None:
    for row in found["points"]:
        arrays = row["cores"] * row["rows"] * -(-row["lanes"] // 2)  # int8: two products a DSP
        assert arrays <= row["budget"]["dsp"]
        assert row["lanes"] == row["budget"]["lanes"]
        assert row["cycles"] > 0 and row["dsp"] >= arrays
    fastest = min(found["points"], key=lambda row: row["cycles"])
    assert fastest["pareto"] or any(
        row["pareto"] and row["cycles"] == fastest["cycles"] for row in found["points"]
    )


def test_the_front_is_that_of_the_definition() -> None:
    rows = [
        dict(zip(OBJECTIVES, values, strict=True)) | {"cycles": cycles}
        for *values, cycles in [
            (3, 1, 1, 1),
            (1, 3, 1, 1),
            (2, 2, 1, 1),
            (3, 3, 1, 1),
            (2, 2, 1, 1),
            (0, 0, 0, None),
        ]
    ]
    assert pareto(rows) == [True, True, True, False, False, False]


def test_what_does_not_fit_says_why() -> None:
    source = open_source("digits")
    chosen = points({"onchip": [64, "64K"], "dsp": [10**6]}, {}, ["auto"])
    chosen += points({"onchip": [64]}, {"dsp": 8}, ["auto"])
    found = explore(source.quantised, "pynq-z2", chosen)
    assert [row["cycles"] for row in found["points"]] == [None, None, None]
    assert "DSPs" in found["points"][0]["reason"] and "bytes on chip" in found["points"][2]["reason"]
    page = render_exploration(found).decode()
    assert "bytes on chip" in page and "<svg" not in page


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "explore",
        "digits",
        "--sweep",
        "dsp=8,16",
        "--pattern",
        "auto",
        "--jobs",
        "1",
        "-o",
        str(tmp_path),
    ]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--json"])
    assert not stop.value.code
    shown = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "explore.json").read_text()) == shown
    assert "<svg" in (tmp_path / "explore.html").read_text()
    assert [row["budget"] for row in shown["points"]] == [{"dsp": "8"}, {"dsp": "16"}]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sweep", ["--sweep", "dsp", "--sweep", "lanse=1,2", "--sweep", "rows=0"]),
        ("sweep_twice", ["--sweep", "dsp=8", "--budget", "dsp=16"]),
        ("pattern", ["--pattern", "auto,fast"]),
    ],
)
def test_mistakes(name: str, words: list[str], golden, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["explore", "digits", *words])
    assert stop.value.code == 2
    golden(f"explore_{name}", capsys.readouterr().err)


@pytest.mark.full
def test_an_interrupted_exploration_leaves_no_process() -> None:
    """Whatever stops it, its processes end with it; one that was killed is a typed error."""
    source = open_source("digits")
    chosen = points({"dsp": [8, 16, 32, 64]}, {}, ["sequential"])

    def stop() -> None:
        raise KeyboardInterrupt

    def kill() -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(KeyboardInterrupt):
        explore(source.quantised, "pynq-z2", chosen, jobs=2, step=stop)
    assert not multiprocessing.active_children()
    with pytest.raises(ToolError, match="a process of the exploration was killed"):
        explore(source.quantised, "pynq-z2", chosen * 3, jobs=2, step=kill)
