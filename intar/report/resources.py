"""The report's ``resources`` as rows and as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from intar.device import boards

COUNTS = ("dsp", "bram36", "uram", "lut", "ff")
"""Kinds of blocks, in the order of every table."""


def count_text(value: float | None) -> str:
    """A count with thousands separators; halves of block memories as .5; a dash for what was not counted."""
    if value is None:
        return "–"
    return f"{value:,.1f}" if value % 1 else f"{int(value):,}"


def resource_rows(resources: Mapping[str, Any], device: str) -> list[tuple[str, list[float | None]]]:
    """(name, counts) for each module, then ``all``, then the board where it is known."""
    rows = [(name, [own[c] for c in COUNTS]) for name, own in (resources["by_module"] or {}).items()]
    rows.append(("all", [resources[c] for c in COUNTS]))
    board = boards().get(device)
    if board:
        rows.append((f"{device} has", [getattr(board, c) for c in COUNTS]))
    return rows


def resource_table(resources: Mapping[str, Any], device: str) -> Table:
    """One row a module, the sum, and what the board has."""
    table = Table(title=resources["source"], title_justify="left")
    for column in ("module", *COUNTS):
        table.add_column(column, justify="left" if column == "module" else "right")
    for name, counts in resource_rows(resources, device):
        if name == "all":
            table.add_section()
        table.add_row(name, *(count_text(count) for count in counts))
    return table
