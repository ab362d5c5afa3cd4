"""Read what the vendor's tools report: C synthesis of Vitis HLS, utilisation and timing of Vivado, kernels of a link.

Each function gives counts under the report's own names: ``dsp``, ``bram36`` (one of 18 kbit is 0.5), ``uram``, ``lut``,
``ff``; times are ns. A report that lacks what it should have is a ToolError that names the file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from intar.errors import Finding, ToolError

UTILISATION = {
    "lut": ("CLB LUTs", "Slice LUTs"),
    "ff": ("CLB Registers", "Slice Registers", "Register as Flip Flop"),
    "bram36": ("Block RAM Tile",),
    "uram": ("URAM",),
    "dsp": ("DSPs", "DSP Slices"),
}
"""Rows of ``report_utilization`` for each count, newest name first; ``URAM`` is missing for parts without."""

KERNEL_COLUMNS = {"lut": "LUT", "ff": "REG", "bram36": "BRAM", "uram": "URAM", "dsp": "DSP"}


def _damaged(file: Path, what: str) -> ToolError:
    return ToolError(Finding(what, str(file), "the tool wrote another format than intar reads"))


def read_csynth(file: Path) -> dict[str, Any]:
    """Estimates of Vitis HLS' ``csynth.xml``: the five counts, ``version``, ``target_ns`` and ``estimated_ns``."""
    try:
        root = ElementTree.parse(file).getroot()
    except ElementTree.ParseError as error:
        raise _damaged(file, f"it is not valid XML: {error}") from None

    def number(path: str) -> float:
        text = root.findtext(path)
        try:
            return float(text or "")
        except ValueError:
            raise _damaged(file, f"{path} is {text!r}, not a number") from None

    area = "AreaEstimates/Resources/"
    return {
        "dsp": int(number(area + "DSP")),
        "bram36": number(area + "BRAM_18K") / 2,
        "uram": int(number(area + "URAM")),
        "lut": int(number(area + "LUT")),
        "ff": int(number(area + "FF")),
        "version": root.findtext("ReportVersion/Version") or "of unknown version",
        "target_ns": number("UserAssignments/TargetClockPeriod"),
        "estimated_ns": number("PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod"),
    }


def _cells(line: str) -> list[str]:
    """The cells of a line ``| a | b |``; empty for any other line."""
    return (
        [cell.strip() for cell in line.strip().strip("|").split("|")] if line.lstrip().startswith("|") else []
    )


def _version(text: str) -> str:
    found = re.search(r"Tool Version\s*:\s*Vivado v\.(\S+)", text)
    return found.group(1) if found else "of unknown version"


def read_utilisation(file: Path) -> dict[str, Any]:
    """Vivado's ``report_utilization``: the five counts and ``version``."""
    text = file.read_text(errors="replace")
    used: dict[str, float] = {}
    for line in text.splitlines():
        cells = _cells(line)
        if len(cells) > 1 and re.fullmatch(r"[\d.]+", cells[1]):
            used.setdefault(cells[0].rstrip("*").strip(), float(cells[1]))
    counts: dict[str, Any] = {}
    for kind, names in UTILISATION.items():
        value = next((used[name] for name in names if name in used), 0.0 if kind == "uram" else None)
        if value is None:
            raise _damaged(file, f"there is no row {names[0]!r}")
        counts[kind] = value if kind == "bram36" else int(value)
    return counts | {"version": _version(text)}


def read_kernel_utilisation(file: Path, kernel: str) -> dict[str, Any]:
    """The row of a kernel in the link's ``kernel_util_routed.rpt``: the five counts."""
    columns: list[str] = []
    for line in file.read_text(errors="replace").splitlines():
        cells = _cells(line)
        if cells[:1] == ["Name"]:
            columns = cells
        elif columns and cells and re.match(rf"{re.escape(kernel)}\b", cells[0]):
            row = {name: re.match(r"[\d.]+", cell) for name, cell in zip(columns, cells, strict=False)}
            counts: dict[str, Any] = {}
            for kind, column in KERNEL_COLUMNS.items():
                cell = row.get(column)
                if cell is None:
                    raise _damaged(file, f"the kernel's row has no number under {column}")
                counts[kind] = float(cell.group()) if kind == "bram36" else int(float(cell.group()))
            return counts
    raise _damaged(file, f"there is no row for kernel {kernel!r}")


def read_timing(file: Path) -> float:
    """Worst negative slack (ns) of Vivado's ``report_timing_summary``: the first number of the design's summary."""
    lines = file.read_text(errors="replace").splitlines()
    for index, line in enumerate(lines):
        if line.lstrip().startswith("WNS(ns)") and index + 2 < len(lines):
            first = (lines[index + 2].split() or [""])[0]
            try:
                return float(first)
            except ValueError:
                raise _damaged(file, f"the worst slack is {first!r}: no path was constrained") from None
    raise _damaged(file, "there is no design timing summary")
