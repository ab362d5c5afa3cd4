"""``intar tune``: the cheapest formats that are accurate enough."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from intar.cli.common import (
    Bits,
    Calibration,
    Json,
    Loop,
    Model,
    Scheme,
    Shape,
    Value,
    console,
    notes,
    open_model,
    show,
)

if TYPE_CHECKING:  # a command imports what it needs when it runs: help shows at once
    from intar.quant.chosen import ChosenFormats
    from intar.quant.search import Search
    from intar.session import Source

app = typer.Typer()

KIB = 8 * 1024


@app.command()
def tune(
    model: Model,
    bound: Annotated[float, typer.Option(help="What the metric has to be at least.")],
    metric: Annotated[
        str, typer.Option(help="cosine (mean over the samples) or sqnr (decibel), golden against float.")
    ] = "cosine",
    scheme: Scheme = None,
    bits: Bits = None,
    calibration: Calibration = None,
    shape: Shape = None,
    value: Value = None,
    count: Annotated[int, typer.Option("--samples", min=1, help="Samples that the metric is taken on.")] = 16,
    weights: Annotated[bool, typer.Option(help="Narrow weights, too, to half of the scheme's bits.")] = False,
    token_scales: Annotated[
        bool,
        typer.Option(help="Matmul operands have 8 bits, with a scale for each token where it is needed."),
    ] = False,
    loop: Loop = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write the formats here, for --bits.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search the cheapest formats of matmul operands (and weights) that meet an accuracy bound.

    The default scheme is w8a8r16, or that of a reference design. Exit status 2 when even the widest formats miss the bound.
    """
    from intar import designs
    from intar.edited import refuse_other
    from intar.errors import ConfigError, Finding
    from intar.ir.io import write_atomic
    from intar.quant.chosen import SCHEMA
    from intar.quant.search import METRICS
    from intar.session import tune as search

    if metric not in METRICS:
        raise ConfigError(
            Finding(f"there is no metric {metric!r}", "--metric", hint=f"one of: {', '.join(METRICS)}")
        )
    if out:
        refuse_other(out, (SCHEMA,), "a file of formats")
    if scheme is None and model not in designs.names():
        scheme = "w8a8r16"
    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as bar:
        task = bar.add_task("load, calibrate, quantise")
        source = open_model(model, None, scheme, calibration, None, shape, loop, bits=bits, value=value)
        bar.update(task, description="observe")
        found = search(
            source,
            bound,
            metric,  # type: ignore[arg-type]
            count=count,
            weights=weights,
            tokens=token_scales,
            step=lambda trial: bar.update(task, description=f"{metric} {trial.score:.6g}"),
        )
    chosen = _chosen(source, found)
    if out:
        write_atomic(out, (chosen.model_dump_json(by_alias=True, indent=1) + "\n").encode())
    document = _document(source, found, metric, bound) | {"formats": chosen.model_dump(by_alias=True)}

    def human() -> None:
        samples = min(count, len(next(iter((source.calibration or {"": []}).values()))))
        title = f"{source.graph.name}, {source.scheme.name}: {metric} of {samples} samples, bound {bound:g}"
        console.print(_table(found, metric, title))
        best = found.chosen
        console.print(f"chosen: {metric} {best.score:.6g}, {best.moved / KIB:,.1f} KiB moved by an inference")
        if out:
            console.print(f"{out}: for --bits", markup=False, highlight=False, soft_wrap=True)

    show(as_json, document, human)


def _chosen(source: Source, found: Search) -> ChosenFormats:
    """What `--bits` reads: the formats, and how each was decided."""
    from intar.quant.chosen import ChosenFormats

    rows = [
        {
            "place": list(step.unit.patterns),
            "bits": step.unit.narrow if step.kept else step.unit.wide,
            "alone": step.alone.score,
            "score": step.trial.score,
            "moved": step.trial.moved,
            "kept": step.kept,
        }
        for step in found.steps
    ]
    bits = {**dict(source.scheme.bits), **found.chosen.bits}
    return ChosenFormats(scheme=source.scheme.name, bits=bits, trade_off=tuple(rows))


def _document(source: Source, found: Search, metric: str, bound: float) -> dict[str, Any]:
    """The two ends and what was chosen between them, for ``--json``."""
    ends = {
        key: {"score": trial.score, "moved": trial.moved}
        for key, trial in (("wide", found.wide), ("narrow", found.narrow), ("chosen", found.chosen))
    }
    return {"model": source.graph.name, "metric": metric, "bound": bound, **ends}


def _table(found: Search, metric: str, title: str) -> Table:
    """A row for each place in the order of narrowing, between all wide and all narrow."""
    table = Table(title=title, title_justify="left")
    for column in ("bits", "place", "alone", metric, "KiB moved", ""):
        justify = "left" if column in ("place", "") else "right"
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    table.add_row("", "all wide", "", f"{found.wide.score:.6g}", f"{found.wide.moved / KIB:,.1f}", "")
    for step in found.steps:
        table.add_row(
            str(step.unit.narrow),
            ", ".join(step.unit.patterns),
            f"{step.alone.score:.6g}",
            f"{step.trial.score:.6g}",
            f"{step.trial.moved / KIB:,.1f}",
            "" if step.kept else f"stays {step.unit.wide}",
            style=None if step.kept else "dim",
        )
    table.add_row("", "all narrow", "", f"{found.narrow.score:.6g}", f"{found.narrow.moved / KIB:,.1f}", "")
    return table
