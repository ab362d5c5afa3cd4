"""Write a design's report files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from intar.ir.io import write_atomic
from intar.pipeline import Design
from intar.report.html import render_html
from intar.report.perfetto import perfetto_json


def write_report(directory: Path, design: Design, report: Mapping[str, Any]) -> list[Path]:
    """Write ``report/report.html`` and ``report/schedule.perfetto.json`` of a project; give their paths.

    Parameters
    ----------
    directory : the project.
    report : the dict of :func:`intar.report.summary.report_dict`.
    """
    files = {"report.html": render_html(design, report), "schedule.perfetto.json": perfetto_json(design)}
    paths = []
    for name, data in files.items():
        path = Path(directory) / "report" / name
        write_atomic(path, data)
        paths.append(path)
    return paths
