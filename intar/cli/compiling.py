"""Commands on a model: check, schedule, compile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from intar.cli.common import (
    Bits,
    Budget,
    Calibration,
    Device,
    Json,
    Loop,
    Model,
    Pattern,
    Pin,
    Rational,
    Scheme,
    Shape,
    check_pattern,
    console,
    open_model,
    printable,
    progress,
    show,
)

app = typer.Typer()


@app.command()
def check(
    model: Model,
    device: Device = None,
    scheme: Scheme = None,
    bits: Bits = None,
    rational: Rational = None,
    budget: Budget = None,
    shape: Shape = None,
    as_json: Json = False,
) -> None:
    """Every operator of a model, its memory, and whether a schedule fits the device; needs no calibration data.

    Exit status 1 when nothing fits.
    """
    from intar.fit import check_model
    from intar.session import parse_bits, parse_budget, parse_shapes

    scheme, widths = parse_bits(bits or [], scheme)
    with progress("load, quantise with synthetic samples, schedule") as step:
        found = check_model(
            model,
            device=device,
            scheme=scheme,
            bits=widths,
            rational=rational,
            budget=parse_budget(budget or []),
            shapes=parse_shapes(shape or []),
        )
        step()

    def human() -> None:
        table = Table(title=f"{found['model']}: every operator is supported", title_justify="left")
        for column in ("task", "op", "source", "macs"):
            table.add_column(column, justify="right" if column == "macs" else "left")
        for row in found["tasks"]:
            table.add_row(row["task"], row["op"], escape(printable(row["source"])), f"{row['macs']:,}")
        console.print(table)
        if blocks := found["blocks"]:
            console.print(
                f"block ×{blocks['rounds']}: {blocks['tasks']} tasks, {blocks['first']} … {blocks['last']} and alike"
            )
        memory, machine = found["memory"], found["machine"]
        console.print(
            f"weights: {memory['weights']:,} bytes off chip; on chip {memory['parameters']:,} bytes of parameters and "
            f"rings, {memory['activations']:,} of activations (largest: {memory['largest']}, "
            f"{memory['largest_bytes']:,}), budget {memory['budget']:,}"
        )
        shape = f"{machine['cores']} cores of {machine['rows']} x {machine['lanes']} multipliers on {machine['device']}"
        if found["fits"]:
            console.print(f"[green]fits[/] {shape}: about {found['cycles']:,} cycles an inference")
        else:
            console.print(f"[red]does not fit[/] {shape}")
            console.print(found["reason"], markup=False, highlight=False)

    show(as_json, found, human)
    if not found["fits"]:
        raise typer.Exit(1)


@app.command()
def schedule(
    model: Model,
    device: Device = None,
    scheme: Scheme = None,
    bits: Bits = None,
    rational: Rational = None,
    calibration: Calibration = None,
    budget: Budget = None,
    shape: Shape = None,
    pin: Pin = None,
    pattern: Pattern = "auto",
    loop: Loop = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write schedule.json here, to edit it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Stop at the schedule: stages, cores, bound and gap."""
    from intar.ir.io import write_atomic
    from intar.schedule.show import render
    from intar.session import parse_pins, refuse_other, solve_blocks

    mode, pins = check_pattern(pattern), parse_pins(pin or [])
    if out:
        refuse_other(out)
    with progress("load, calibrate, quantise", "schedule") as step:
        source = open_model(
            model, device, scheme, calibration, budget, shape, loop, bits=bits, rational=rational
        )
        step()
        answer = solve_blocks(source, mode, pins)
        step()
    if out:
        write_atomic(out, answer.to_json().encode())
    show(as_json, json.loads(answer.to_json()), lambda: console.print(render(answer)))


@app.command("compile")
def compile_command(
    model: Model,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder of the project: new, empty or an earlier one.")
    ],
    device: Device = None,
    scheme: Scheme = None,
    bits: Bits = None,
    rational: Rational = None,
    calibration: Calibration = None,
    budget: Budget = None,
    shape: Shape = None,
    pin: Pin = None,
    pattern: Pattern = "auto",
    loop: Loop = None,
    entry: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=MODEL: the kernel performs this network, too (a prefill); it shares states and machine."
        ),
    ] = None,
    lengths: Annotated[
        int,
        typer.Option(
            min=1,
            help="So many forms of each step function: a call reads so many parts of its states as it needs.",
        ),
    ] = 1,
    edited: Annotated[
        Path | None, typer.Option("--schedule", help="Use this (edited) schedule.json.")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            help="Project whose formats inputs and outputs of the same names take (states of a prefill)."
        ),
    ] = None,
    lint: Annotated[
        bool, typer.Option(help="Check the C++ against the rules of Vitis HLS, where libclang is installed.")
    ] = True,
    as_json: Json = False,
) -> None:
    """The whole path: model to C++, RTL and weight image, with the predicted cycles."""
    from intar import pipeline, rendering
    from intar.design import Design
    from intar.engine import build as engine
    from intar.errors import ConfigError, Finding
    from intar.networks import Network, at_lengths, compile_networks, main_entry, shared_bytes
    from intar.project import refuse_foreign
    from intar.quant.accuracy import numerics_report
    from intar.quant.blocks import pieces
    from intar.quant.golden import integer_samples
    from intar.session import edited_schedule, parse_entries, parse_pins, update_report
    from intar.verify.hls_lint import lint_files
    from intar.verify.tools import require

    mode, pins = check_pattern(pattern), parse_pins(pin or [])
    entries = parse_entries(entry or [])
    if (entries or lengths > 1) and (edited or pin):
        what, where = (
            "a schedule is pinned or edited for a single network only",
            "--entry" if entries else "--lengths",
        )
        raise ConfigError(Finding(what, where, hint="leave --schedule and --pin away"))
    refuse_foreign(out)
    require(engine.missing_tools())
    with progress(
        "load, calibrate, quantise", "schedule and lower", "render", "lint the C++", "write", "numerics"
    ) as step:
        source = open_model(model, device, scheme, calibration, budget, shape, loop, like, bits, rational)
        known = source.quantised.graph
        more = {
            name: open_model(
                other,
                device,
                scheme,
                None,
                budget,
                shape,
                loop,
                known,
                bits,
                rational,
                source.machine,
            )
            for name, other in entries.items()
        }
        step()
        made_all: list[Design] = []
        named = {main_entry(known.name, more): source, **more}
        if more or lengths > 1:
            networks = [
                form
                for name, one in named.items()
                for form in at_lengths(
                    Network(name, one.quantised, pieces(one.quantised.graph, one.blocks)), lengths
                )
            ]
            made_all = compile_networks(networks, source.machine, mode)
            made = made_all[0]
        elif edited:
            made = pipeline.design(source.quantised, edited_schedule(edited, source.quantised))
        else:
            made = pipeline.compile_quantised(source.quantised, source.machine, mode, pins, source.blocks)
        step()
        samples = {n: integer_samples(one.quantised, one.calibration) for n, one in named.items()}
        others = [samples.get(other.name, {}) for other in made_all[1:]]
        project = rendering.project(made, next(iter(samples.values())), made_all[1:], others)
        step()
        linted = lint_files(project.files, made.program) if lint else None
        step()
        target = project.write(out)
        step()
        numerics = numerics_report(source.graph, source.quantised, source.calibration)
        report = update_report(target, made, numerics=numerics)
        for other in made_all[1:]:
            update_report(target, other)
        step()

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
        if made.program.entries:
            cycles_of = (f"{one.name} {one.predicted.cycles:,}" for one in made_all)
            total = sum(len(data) for data in made.images.values())
            shared = shared_bytes(made.program)
            console.print(
                f"one kernel, {len(made_all)} entries, cycles: {', '.join(cycles_of)}; {total:,} bytes of constants, "
                f"{shared:,} of them for several entries"
            )
        if linted is None:
            console.print("[dim]the C++ was not linted[/]")

    show(
        as_json,
        report | {"directory": str(out), "digest": project.digest, "linted": linted is not None},
        human,
    )
