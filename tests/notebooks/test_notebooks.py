"""Every notebook runs from top to bottom, is kept without outputs, and shows what its text promises."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_kept_without_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells and all(not cell.outputs and cell.execution_count is None for cell in cells)


def run(name: str, folder: Path) -> tuple[list[nbformat.NotebookNode], str]:
    """Outputs of a notebook, and what it prints, without colours."""
    notebook = nbformat.read(next(path for path in NOTEBOOKS if path.stem == name), as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs
    )
    return outputs, re.sub(r"\x1b\[[0-9;]*m", "", printed)


def test_pytorch(tmp_path: Path) -> None:
    _, printed = run("pytorch", tmp_path)
    assert "Accelerator 'transformer': image (1, 1, 8, 8) -> output_x (1, 4); " in printed
    noise, same = re.search(r"([\d.]+) dB above the noise, (\d+)% of the classes", printed).groups()
    assert float(noise) > 30 and int(same) >= 90
    assert "bit-exact" in printed
    assert re.search(r"qkv.in +8 bits  cosine 0\.9", printed)
    wide, now = re.search(r"([\d.]+) KiB moved .* ([\d.]+) KiB now", printed).groups()
    assert float(now) < float(wide)


def test_schedules(tmp_path: Path) -> None:
    outputs, printed = run("schedules", tmp_path)
    for mode in ("auto", "intar", "sequential", "dataflow"):
        assert re.search(rf"{mode} +│ +\d", printed)
    free = int(re.search(r"free +([\d,]+) cycles", printed)[1].replace(",", ""))
    for pin in ("sequential", "pipelined"):
        cycles, stages = re.search(rf"widen {pin} +([\d,]+) cycles +(.*)", printed).groups()
        assert int(cycles.replace(",", "")) >= free
        assert re.search(rf"{pin}: [^|]*widen", stages)
    charts = [output.data["image/svg+xml"] for output in outputs if "image/svg+xml" in output.get("data", {})]
    assert len(charts) == 1 and charts[0].count('class="bar"') >= 4
