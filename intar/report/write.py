"""Write a design's report files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from intar.design import Design
from intar.ir.io import write_atomic
from intar.report.html import render_html
from intar.report.perfetto import perfetto_json


def report_folder(directory: Path, design: Design) -> Path:
    """Where the report of a network of a project lies: ``report``, of a further entry a folder of its name there."""
    return Path(directory) / "report" / (design.name if design.entry else "")


def write_report(directory: Path, design: Design, report: Mapping[str, Any]) -> list[Path]:
    """Write ``report.html`` and ``schedule.perfetto.json`` into a project (`report_folder`); give their paths.

    Parameters
    ----------
    directory : the project.
    report : the dict of :func:`intar.report.summary.report_dict`.
    """
    files = {"report.html": render_html(design, report), "schedule.perfetto.json": perfetto_json(design)}
    paths = []
    for name, data in files.items():
        path = report_folder(directory, design) / name
        write_atomic(path, data)
        paths.append(path)
    return paths
