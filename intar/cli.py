"""The command line: ``intar --help``. Every command takes ``--json``; a user's mistake ends in one message and status 2."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from intar.errors import InternalError, UserError

app = typer.Typer(
    help="Compile a trained network to a statically scheduled FPGA accelerator (HLS C++ and RTL, bit-exact).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console()
notes = Console(stderr=True)

Model = Annotated[
    str, typer.Argument(help="ONNX or YAML file, or the name of a reference design (`intar designs`).")
]
Project = Annotated[Path, typer.Argument(help="Folder that `intar compile … -o` wrote.")]
Device = Annotated[str | None, typer.Option(help="Board (`intar devices`).")]
Scheme = Annotated[str | None, typer.Option(help="w8a8, w16a16 or w4a8.")]
Calibration = Annotated[
    Path | None, typer.Option(help=".npz, .npy or a folder of them: samples along the first axis.")
]
Budget = Annotated[
    list[str] | None, typer.Option(help="KEY=VALUE: dsp, cores, rows, lanes, port_bits, onchip, …")
]
Pattern = Annotated[str, typer.Option(help="auto, intar (no interleaving), sequential or dataflow.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Count = Annotated[int, typer.Option("--count", "-n", min=1, help="Number of inferences.")]
Seed = Annotated[int, typer.Option(help="Seed of random inputs after the stored real ones.")]

COUNTS = ("dsp", "bram36", "uram", "lut", "ff")
PATTERNS = ("auto", "intar", "sequential", "dataflow")


def _show(as_json: bool, document: Any, human: Callable[[], None]) -> None:
    if as_json:
        typer.echo(json.dumps(document, indent=1))
    else:
        human()


def _pattern(name: str) -> Any:
    from intar.errors import ConfigError, Finding

    if name not in PATTERNS:
        raise ConfigError(
            Finding(f"there is no pattern {name!r}", "--pattern", hint=f"one of: {', '.join(PATTERNS)}")
        )
    return name


def _open(
    model: str, device: str | None, scheme: str | None, calibration: Path | None, budget: list[str] | None
) -> Any:
    from intar.session import open_source, parse_budget

    with notes.status("load, calibrate, quantise"):
        return open_source(
            model, device=device, scheme=scheme, calibration=calibration, budget=parse_budget(budget or [])
        )


@app.command()
def check(model: Model, as_json: Json = False) -> None:
    """List every operator of a model: what intar makes of it, and what it can't do."""
    from intar import designs
    from intar.frontends import load_model
    from intar.ir.ops import Op

    path: str | Path = model
    if not Path(model).exists() and model in designs.names():
        folder, spec = designs.load(model)
        path = folder / spec.model
    graph = load_model(path)
    rows = [
        {"task": t.name, "op": Op(t.op).value, "source": t.source, "macs": graph.macs()[t.name]}
        for t in graph.tasks
    ]

    def human() -> None:
        table = Table(title=f"{graph.name}: every operator is supported", title_justify="left")
        for column in ("task", "op", "source", "macs"):
            table.add_column(column, justify="right" if column == "macs" else "left")
        for row in rows:
            table.add_row(row["task"], row["op"], row["source"], f"{row['macs']:,}")
        console.print(table)

    _show(as_json, {"model": graph.name, "supported": True, "tasks": rows}, human)


@app.command()
def schedule(
    model: Model,
    device: Device = None,
    scheme: Scheme = None,
    calibration: Calibration = None,
    budget: Budget = None,
    pattern: Pattern = "auto",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write schedule.json here, to edit it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Stop at the schedule: stages, cores, bound and gap."""
    from intar.ir.io import write_atomic
    from intar.schedule import solve
    from intar.schedule.show import render

    source = _open(model, device, scheme, calibration, budget)
    answer = solve(source.quantised.graph, source.machine, _pattern(pattern))
    if out:
        write_atomic(out, answer.to_json().encode())
    _show(as_json, json.loads(answer.to_json()), lambda: console.print(render(answer)))


@app.command("compile")
def compile_command(
    model: Model,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder of the project: new, empty or an earlier one.")
    ],
    device: Device = None,
    scheme: Scheme = None,
    calibration: Calibration = None,
    budget: Budget = None,
    pattern: Pattern = "auto",
    edited: Annotated[
        Path | None, typer.Option("--schedule", help="Use this (edited) schedule.json.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The whole path: model to C++, RTL and weight image, with the predicted cycles."""
    from intar import pipeline
    from intar.session import read_schedule, update_report

    source = _open(model, device, scheme, calibration, budget)
    with notes.status("schedule, lower, render"):
        if edited:
            made = pipeline.design(source.quantised, read_schedule(edited))
        else:
            made = pipeline.compile_quantised(source.quantised, source.machine, _pattern(pattern))
        project = pipeline.project(made, pipeline.integer_samples(source.quantised, source.calibration))
        target = project.write(out)
    numerics = pipeline.numerics(source.graph, source.quantised, source.calibration)
    report = update_report(target, made, numerics=numerics)

    def human() -> None:
        from intar.quant.accuracy import numerics_warnings
        from intar.schedule.show import render

        console.print(render(made.schedule))
        for warning in numerics_warnings(numerics):
            console.print(f"[yellow]warning:[/] {warning}")
        cycles = report["cycles"]
        console.print(
            f"{len(project.files)} files in {out}; {cycles['predicted']:,} cycles predicted (limit {cycles['limit']:,})"
        )

    _show(as_json, report | {"directory": str(out), "digest": project.digest}, human)


def _verified(directory: Path, check_: Any, report: dict[str, Any], as_json: bool) -> None:
    def human() -> None:
        verdict = (
            "[green]bit-exact[/]" if check_.bit_exact else f"[red]{check_.mismatches} integers differ[/]"
        )
        console.print(f"{check_.executor}: {check_.inferences} inferences, {verdict}, {check_.seconds:.2f} s")
        if check_.first:
            console.print(f"first difference: {check_.first}")
        if check_.cycles:
            predicted, slowest = report["cycles"]["predicted"], max(check_.cycles)
            console.print(f"cycles: {slowest:,} simulated, {predicted:,} predicted")

    _show(as_json, report, human)
    if not check_.bit_exact:
        raise typer.Exit(1)


@app.command()
def csim(project: Project, count: Count = 4, seed: Seed = 0, as_json: Json = False) -> None:
    """Compile the generated C++, run it, compare with golden to the bit."""
    from intar import pipeline
    from intar.session import open_project, stored_inputs, update_report

    made = open_project(project)
    with notes.status("compile and run the C++"):
        result = pipeline.verify_csim(made, stored_inputs(project, made, count, seed), project)
    _verified(project, result, update_report(project, made, [result]), as_json)


@app.command()
def sim(
    project: Project,
    count: Count = 4,
    seed: Seed = 0,
    waves: Annotated[bool, typer.Option(help="Record build/sim/dump.vcd.")] = False,
    stall: Annotated[float, typer.Option(min=0, max=0.9, help="Random stalls of the memory.")] = 0.0,
    wait: Annotated[str, typer.Option(help="interrupt or poll.")] = "interrupt",
    reset: Annotated[bool, typer.Option(help="Reset before every inference.")] = False,
    protocol: Annotated[bool, typer.Option(help="cocotbext-axi memory with random pauses (slow).")] = False,
    as_json: Json = False,
) -> None:
    """Simulate the RTL with Verilator and cocotb, compare with golden to the bit, count cycles."""
    from intar import pipeline
    from intar.session import open_project, stored_inputs, update_report
    from intar.verify.simulate import MemoryModel

    made = open_project(project)
    memory = MemoryModel(latency=made.schedule.machine.latency, stall=stall)
    with notes.status("build and run the simulation"):
        result = pipeline.verify_rtl(
            made,
            stored_inputs(project, made, count, seed),
            project,
            memory=memory,
            wait=wait,
            reset_between=reset,
            waves=waves,
            mode="axiram" if protocol else "dpi",
        )
    kept = [] if stall or protocol else [result]
    _verified(project, result, update_report(project, made, kept), as_json)


@app.command()
def synth(project: Project, as_json: Json = False) -> None:
    """Synthesise the RTL with Yosys (extra `synth`): multipliers, memories, look-up tables and flip-flops."""
    from intar.codegen.rtl import top_name
    from intar.device import find_board
    from intar.session import open_project, update_report
    from intar.verify.synth import family_of, synthesise

    made = open_project(project)
    device = made.schedule.machine.device
    family, note = family_of(device)
    with notes.status(f"synthesise for {family} (minutes)"):
        found = synthesise(project, top_name(made.program), family).to_dict()
    if note:
        found["source"] += f" ({note})"
    report = update_report(project, made, resources=found)

    def human() -> None:
        board = find_board(device).model_dump()
        table = Table(title=found["source"], title_justify="left")
        for column in ("module", *COUNTS):
            table.add_column(column, justify="left" if column == "module" else "right")
        for name, own in found["by_module"].items():
            table.add_row(name, *(f"{own[c]:,}" for c in COUNTS))
        table.add_section()
        table.add_row("all", *(f"{found[c]:,}" for c in COUNTS))
        table.add_row(device, *(f"{board[c]:,}" for c in COUNTS))
        console.print(table)

    _show(as_json, report, human)


@app.command()
def devices(as_json: Json = False) -> None:
    """The boards that intar knows."""
    from dataclasses import asdict

    from intar.device import boards

    known = list(boards().values()) if isinstance(boards(), dict) else list(boards())
    rows = [b.model_dump(mode="json") if hasattr(b, "model_dump") else asdict(b) for b in known]

    def human() -> None:
        table = Table(title="boards", title_justify="left")
        for column in ("name", "part", "lut", "dsp", "bram36", "uram"):
            table.add_column(column)
        for row in rows:
            table.add_row(*(str(row.get(c, "")) for c in ("name", "part", "lut", "dsp", "bram36", "uram")))
        console.print(table)

    _show(as_json, rows, human)


@app.command()
def designs(as_json: Json = False) -> None:
    """The reference designs that `compile` takes by name."""
    from intar import designs as reference

    rows = [{"name": name} | reference.load(name)[1].model_dump(mode="json") for name in reference.names()]
    _show(
        as_json,
        rows,
        lambda: console.print("\n".join(f"{r['name']:12} {r['scheme']:7} {r['device']}" for r in rows)),
    )


@app.command()
def report(project: Project, as_json: Json = False) -> None:
    """Report of a project: Gantt here, report.json, one HTML page and a Perfetto trace in its folder."""
    from intar.report.gantt import gantt_rows, terminal_gantt
    from intar.report.lost import lost_cycles
    from intar.report.write import write_report
    from intar.session import open_project, update_report

    made = open_project(project)
    document = update_report(project, made, lost_cycles=lost_cycles(made))
    pages = write_report(project, made, document)

    def human() -> None:
        console.print(terminal_gantt(gantt_rows(made), console.width - 2))
        for page in pages:
            console.print(f"report: {page}")

    _show(as_json, document, human)


@app.command()
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help="Reference designs; all when none is named.")
    ] = None,
    simulate: Annotated[bool, typer.Option(help="Simulate the RTL, or predict only.")] = True,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for patterns.json and patterns.md.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Reference designs in every pattern on the same budget: limit, predicted, simulated and published cycles."""
    from intar import bench as measure
    from intar import designs as reference
    from intar.ir.io import write_atomic

    found: list[dict[str, Any]] = []
    for name in names or reference.names():
        with notes.status(f"{name}: four patterns"):
            found += measure.rows(name, simulate=simulate)
    if out:
        write_atomic(out / "patterns.json", (json.dumps(found, indent=1) + "\n").encode())
        write_atomic(out / "patterns.md", measure.table(found).encode())
    _show(as_json, found, lambda: console.print(measure.table(found), markup=False))


def main() -> None:
    """Entry point: typed errors become one message and status 2, faults of ours status 3."""
    try:
        app()
    except UserError as error:
        notes.print(f"[red]{error.code} error[/]", highlight=False)
        notes.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except InternalError as error:
        notes.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(3)


if __name__ == "__main__":
    main()
