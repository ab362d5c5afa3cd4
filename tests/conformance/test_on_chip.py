"""Weights that the circuit has from the start: a project of them runs wherever it lies, and its host knows none of them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from intar import pipeline, rendering
from intar.design import Design
from intar.proof import verify_csim, verify_engine, verify_rtl
from intar.reopen import open_project, stored_inputs
from intar.report.gantt import gantt_rows
from intar.report.static import static_resources
from intar.session import open_source

BUDGET = {"multipliers": 32, "weights": "chip"}


@pytest.fixture(scope="module")
def made() -> Design:
    source = open_source("digits", budget=BUDGET)
    return pipeline.compile_quantised(source.quantised, source.machine)


def test_the_project_holds_the_constants_and_its_host_does_not_load_them(
    made: Design, tmp_path: Path
) -> None:
    held = {node.name for node in made.program.constants}
    files = rendering.project(made).files
    assert held == set(made.images) and held
    for name in held:
        assert files[f"data/{name}.bin"] == made.images[name]
        assert f"`{name}` | constant |" in files["README.md"].decode()
    target = rendering.project(made).write(tmp_path / "made")
    host = runpy.run_path(str(target / "host" / "host.py"))
    assert [argument["name"] for argument in host["ARGUMENTS"]] == ["x", "y"]
    moved = target.rename(tmp_path / "moved")
    again = open_project(moved)
    assert again.images == made.images and again.program == made.program
    inputs = stored_inputs(moved, again, 2, 0)
    assert verify_engine(again, inputs).bit_exact
    assert verify_csim(again, inputs, moved).bit_exact


@pytest.mark.sim
@pytest.mark.full
def test_the_rtl_reads_its_contents_wherever_the_project_lies(made: Design, tmp_path: Path) -> None:
    """A build that is there already takes the contents of the project as it is."""
    target = rendering.project(made).write(tmp_path / "made")
    inputs = stored_inputs(target, made, 2, 0)
    first = verify_rtl(made, inputs, target)
    assert first.bit_exact and set(first.cycles) == {made.predicted.cycles}
    moved = target.rename(tmp_path / "moved")
    assert verify_rtl(made, inputs, moved).bit_exact
    name = next(iter(made.images))
    contents = moved / "rtl" / f"{name}.mem"
    contents.write_text("".join("0" * len(line) + "\n" for line in contents.read_text().split()))
    assert not verify_rtl(made, inputs, moved).bit_exact


def test_reports_count_and_show_them(made: Design) -> None:
    kinds = static_resources(made.program, uram=960)["by_module"]
    deep = [node for node in made.program.constants if node.depth > 64]
    assert deep and kinds["constant"]["bram36"] > 0 and kinds["constant"]["uram"] == 0
    shown = {row.lane for row in gantt_rows(made) if row.group == "ports"}
    assert {node.name for node in made.program.constants} <= shown
