"""Commands that look: boards, designs, the report of a project, the bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from intar.cli.common import Entry, Json, Project, check_pattern, console, notes, progress, show, show_all

app = typer.Typer()


@app.command()
def devices(as_json: Json = False) -> None:
    """The boards that intar knows."""
    from intar.device import boards

    rows = [board.model_dump(mode="json") for board in boards().values()]

    def human() -> None:
        table = Table(title="boards", title_justify="left")
        for column in ("name", "part", "lut", "dsp", "bram36", "uram"):
            table.add_column(column)
        for row in rows:
            table.add_row(*(str(row.get(c, "")) for c in ("name", "part", "lut", "dsp", "bram36", "uram")))
        console.print(table)

    show(as_json, rows, human)


@app.command()
def designs(as_json: Json = False) -> None:
    """The reference designs that `compile` takes by name."""
    from intar import designs as reference

    rows = [{"name": name} | reference.load(name)[1].model_dump(mode="json") for name in reference.names()]
    width = max(len(row["name"]) for row in rows)
    lines = [f"{row['name']:{width}}  {row['scheme']:7} {row['device']}" for row in rows]
    show(as_json, rows, lambda: console.print("\n".join(lines)))


@app.command()
def report(project: Project, entry: Entry = None, as_json: Json = False) -> None:
    """Report of a project: Gantt here, report.json, one HTML page and a Perfetto trace in its folder; of each entry."""
    from intar.engine import build as engine
    from intar.reopen import open_entries, update_report
    from intar.report.gantt import gantt_rows, terminal_gantt
    from intar.report.lost import lost_cycles
    from intar.report.resources import resource_table
    from intar.report.summary import MODES, pattern_rows
    from intar.report.write import write_report
    from intar.verify.tools import require

    require(engine.missing_tools())
    networks = open_entries(project, entry)
    documents: dict[str, dict[str, Any]] = {}
    pages: list[Path] = []
    for made in networks:
        with progress("where the cycles go", *(f"pattern {mode}" for mode in MODES), "pages") as step:
            document = update_report(project, made, lost_cycles=lost_cycles(made))
            step()
            patterns = document["patterns"] or []
            if len(patterns) < len(MODES):
                patterns = []
                for row in pattern_rows(made, document["cycles"]["simulated"]):
                    patterns.append(row)
                    step()
                document = update_report(project, made, patterns=patterns)
            pages += write_report(project, made, document)
        documents[made.name] = document

    def human() -> None:
        for made in networks:
            document = documents[made.name]
            if len(networks) > 1:
                console.print(f"entry {made.name}: {made.predicted.cycles:,} cycles", highlight=False)
            console.print(terminal_gantt(gantt_rows(made), console.width - 2))
            table = Table("pattern", "predicted cycles", title="the same machine", title_justify="left")
            for row in document["patterns"]:
                table.add_row(row["pattern"], f"{row['predicted']:,}" if row["predicted"] else row["reason"])
            console.print(table)
        console.print(resource_table(document["resources"], document["device"]))
        for page in pages:
            console.print(f"report: {escape(str(page))}", soft_wrap=True)

    show_all(as_json, documents, human)


@app.command()
def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Reference designs or groups of them (kernels: InTAR's five; peers); the quick ones when none is named."
        ),
    ] = None,
    simulate: Annotated[bool, typer.Option(help="Simulate the RTL, or predict only.")] = True,
    pattern: Annotated[
        str, typer.Option(help="Patterns, joined by commas.")
    ] = "auto,intar,sequential,dataflow",
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder for the table of each group, as .json and .md, row by row."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Leave out what --out has from a simulation before.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Reference designs in every pattern on the same budget: limit, predicted, simulated and published cycles."""
    from intar import bench as measure
    from intar import designs as reference
    from intar.engine import build as engine
    from intar.errors import ConfigError, Finding
    from intar.project import refuse_unwritable
    from intar.verify import toolchain
    from intar.verify.tools import require

    patterns = [check_pattern(name) for name in pattern.split(",")]
    if resume and not out:
        raise ConfigError(
            Finding("there is nothing to go on with", "--resume", hint="name a folder with --out")
        )
    chosen = reference.expand(names or [])
    require(engine.missing_tools(), toolchain.missing_tools() if simulate else ())
    if out:
        refuse_unwritable(out / "rows.json")
    found: list[dict[str, Any]] = []
    with progress(*(f"{name}: {one}" for name in chosen for one in patterns)) as step:
        for row in measure.run(chosen, patterns, simulate=simulate, folder=out, resume=resume):
            found.append(row)
            step()
            if not notes.is_terminal:
                notes.print(
                    f"{row['kernel']} {row['pattern']}: {row['simulated'] or row['predicted']}",
                    highlight=False,
                )
    show(as_json, found, lambda: console.print(measure.table(found), markup=False, soft_wrap=True))
    if any(row["bit_exact"] is False for row in found):
        raise typer.Exit(1)
