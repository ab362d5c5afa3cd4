"""``intar explore``: one model on many budgets."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from intar.cli.common import (
    Batch,
    Bits,
    Budget,
    Calibration,
    Device,
    Json,
    Model,
    Rational,
    Scheme,
    Shape,
    Value,
    check_pattern,
    console,
    open_model,
    progress,
    show,
)

app = typer.Typer()

DEFAULT_SWEEP = ("dsp=8,16,32,64,128",)


@app.command()
def explore(
    model: Model,
    device: Device = None,
    scheme: Scheme = None,
    bits: Bits = None,
    rational: Rational = None,
    calibration: Calibration = None,
    budget: Budget = None,
    shape: Shape = None,
    value: Value = None,
    batch: Batch = 1,
    sweep: Annotated[
        list[str] | None,
        typer.Option(help="KEY=VALUE,VALUE,…: budgets to try (default: dsp=8,16,32,64,128)."),
    ] = None,
    pattern: Annotated[
        str, typer.Option(help="Patterns to try, joined by commas.")
    ] = "auto,sequential,dataflow",
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = min(8, os.cpu_count() or 1),
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for explore.json and explore.html.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Design-space exploration: predicted cycles and counted resources of many budgets, and their Pareto front.

    `--budget` fixes what `--sweep` does not vary; of a reference design only the board is taken, not its budget.
    """
    from intar import explore as exploring
    from intar.edited import refuse_other
    from intar.engine import build as engine
    from intar.ir.io import write_atomic
    from intar.options import parse_budget, parse_sweeps
    from intar.report.scatter import render_exploration
    from intar.verify.tools import require

    patterns = [check_pattern(name) for name in pattern.split(",")]
    sweeps, fixed = parse_sweeps(sweep or DEFAULT_SWEEP), parse_budget(budget or [])
    chosen = exploring.points(sweeps, fixed, patterns)
    require(engine.missing_tools())
    if out:
        refuse_other(out / "explore.json", (exploring.SCHEMA,), "an exploration")
    with progress("load, calibrate, quantise", *(f"point {i + 1}" for i in range(len(chosen)))) as step:
        source = open_model(
            model,
            device,
            scheme,
            calibration,
            None,
            shape,
            loop=False,
            bits=bits,
            rational=rational,
            value=value,
            batch=batch,
        )
        step()
        workers = min(jobs, len(chosen))
        document = exploring.explore(source.quantised, source.machine.device, chosen, workers, step)
        better = exploring.better_on_chip(source.graph, source.quantised, document)
        document["on_chip"] = better.document() if better else None
    if out:
        write_atomic(out / "explore.json", (json.dumps(document, indent=1) + "\n").encode())
        write_atomic(out / "explore.html", render_exploration(document))

    def human() -> None:
        held = "".join(f", {key}={value}" for key, value in fixed.items())
        title = f"{document['design']} on {document['board']}{held}"
        table = Table(title=title, title_justify="left", padding=(0, 0, 0, 1))
        table.add_column("budget", overflow="fold")
        for name in ("pattern", "machine", "cycles", "µs", "dsp", "bram36", "uram", ""):
            table.add_column(
                name, justify="left" if name in ("pattern", "machine") else "right", no_wrap=True
            )
        for row in document["points"]:
            limits = "\n".join(f"{key}={row['budget'][key]}" for key in sweeps)
            style = "bold green" if row["pareto"] else None
            if row["cycles"] is None:
                table.add_row(limits, row["pattern"], "does not fit", style="dim")
                continue
            deep = f"×{row['depth']}" if row["depth"] > 1 else ""
            machine = f"{row['cores']}×{row['rows']}×{row['lanes']}{deep}"
            cells = (
                f"{row['cycles']:,}",
                f"{row['microseconds']:,.2f}",
                f"{row['dsp']:,}",
                f"{row['bram36']:,g}",
            )
            table.add_row(
                limits, row["pattern"], machine, *cells, str(row["uram"]), "*" * row["pareto"], style=style
            )
        console.print(table)
        console.print("*: Pareto-optimal in time, DSP and memory; counts: " + document["resources"])
        if better:
            console.print(f"fastest point: {better}", highlight=False)
            console.print("both beside each other: --sweep weights=memory,chip", highlight=False)
        if out:
            console.print(f"{out / 'explore.html'}", markup=False, highlight=False, soft_wrap=True)

    show(as_json, document, human)
