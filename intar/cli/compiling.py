"""Commands on a model: check, schedule, compile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from intar.cli.common import (
    Batch,
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
    Value,
    check_pattern,
    console,
    open_model,
    printable,
    progress,
    show,
    show_schedule,
)

if TYPE_CHECKING:  # a command imports what it needs when it runs: help shows at once
    from intar.design import Design
    from intar.ir.schedule import Mode
    from intar.schedule.pins import Pins
    from intar.session import Source

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
    value: Value = None,
    batch: Batch = 1,
    as_json: Json = False,
) -> None:
    """Every operator of a model, its memory, and whether a schedule fits the device; needs no calibration data.

    Exit status 1 when nothing fits.
    """
    from intar.fit import check_model
    from intar.options import parse_bits, parse_budget, parse_shapes, parse_values

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
            values=parse_values(value or []),
            batch=batch,
        )
        step()

    def human() -> None:
        table = Table(title=f"{found['model']}: every operator is supported", title_justify="left")
        for column in ("task", "op", "source", "macs"):
            table.add_column(column, justify="right" if column == "macs" else "left")
        for row in found["tasks"]:
            table.add_row(row["task"], row["op"], escape(printable(row["source"])), f"{row['macs']:,}")
        console.print(table)
        for each in found["loops"]:
            console.print(
                f"block ×{each['rounds']}: {each['tasks']} tasks, {each['first']} … {each['last']} and alike"
            )
        memory, machine = found["memory"], found["machine"]
        held = ("weights, " if machine["weights"] == "chip" else "") + "parameters and rings"
        off = f"weights: {memory['weights']:,} bytes off chip; " if machine["weights"] == "memory" else ""
        console.print(
            f"{off}on chip {memory['parameters']:,} bytes of {held}, {memory['activations']:,} of activations "
            f"(largest: {memory['largest']}, {memory['largest_bytes']:,}), budget {memory['budget']:,}"
        )
        cores = f"{machine['cores']} core{'s' * (machine['cores'] > 1)}"
        shape = f"{cores} of {machine['cells']} multipliers on {machine['device']}"
        if found["fits"]:
            console.print(f"[green]fits[/] {shape}: about {found['cycles']:,} cycles an inference")
            if found["on_chip"]:
                console.print(found["on_chip"]["text"], highlight=False)
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
    value: Value = None,
    pin: Pin = None,
    pattern: Pattern = "auto",
    loop: Loop = None,
    batch: Batch = 1,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write schedule.json here, to edit it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Stop at the schedule: stages, cores, bound and gap."""
    from intar.edited import refuse_other
    from intar.ir.io import write_atomic
    from intar.options import parse_pins
    from intar.session import solve_blocks

    mode, pins = check_pattern(pattern), parse_pins(pin or [])
    if out:
        refuse_other(out)
    with progress("load, calibrate, quantise", "schedule") as step:
        source = open_model(
            model,
            device,
            scheme,
            calibration,
            budget,
            shape,
            loop,
            bits=bits,
            rational=rational,
            value=value,
            batch=batch,
        )
        step()
        answer = solve_blocks(source, mode, pins)
        step()
    if out:
        write_atomic(out, answer.to_json().encode())
    show(as_json, json.loads(answer.to_json()), lambda: show_schedule(answer))


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
    value: Value = None,
    pin: Pin = None,
    pattern: Pattern = "auto",
    loop: Loop = None,
    batch: Batch = 1,
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
    from intar import rendering
    from intar.advice import weights_on_chip
    from intar.engine import build as engine
    from intar.errors import ConfigError, Finding
    from intar.networks import main_entry
    from intar.options import parse_entries, parse_pins
    from intar.project import refuse_foreign
    from intar.quant.accuracy import constant_inputs, numerics_report, numerics_warnings
    from intar.quant.golden import integer_samples
    from intar.reopen import update_report
    from intar.verify.hls_lint import lint_files
    from intar.verify.tools import require

    mode, pins = check_pattern(pattern), parse_pins(pin or [])
    entries = parse_entries(entry or [])
    if edited or pin:
        _refuse_several(entries, lengths)
    if edited and pin:
        what = "an edited schedule decides everything"
        raise ConfigError(Finding(what, "--pin", hint="leave --pin or --schedule away"))
    refuse_foreign(out)
    require(engine.missing_tools())
    opened = partial(
        open_model,
        device=device,
        scheme=scheme,
        budget=budget,
        shape=shape,
        loop=loop,
        bits=bits,
        rational=rational,
        value=value,
        batch=batch,
    )
    with progress(
        "load, calibrate, quantise", "schedule and lower", "render", "lint the C++", "write", "numerics"
    ) as step:
        source = opened(model, calibration=calibration, like=like)
        known = source.quantised.graph
        more = {
            name: opened(other, calibration=None, like=known, machine=source.machine)
            for name, other in entries.items()
        }
        step()
        sources = {main_entry(known.name, more): source, **more}
        made, *others = _designs(sources, lengths, mode, pins, edited, bool(budget or device))
        step()
        samples = {name: integer_samples(one.quantised, one.calibration) for name, one in sources.items()}
        own, theirs = next(iter(samples.values())), [samples.get(other.name, {}) for other in others]
        project = rendering.project(made, own, others, theirs)
        step()
        linted = lint_files(project.files, made.program) if lint else None
        step()
        target = project.write(out)
        step()
        better = None
        if not (others or edited or pin or source.loops) and source.asked:
            better = weights_on_chip(
                source.graph,
                source.quantised,
                source.machine,
                source.asked,
                mode,
                made.schedule.objective,
            )
        numerics = numerics_report(source.graph, source.quantised, source.calibration)
        report = update_report(target, made, numerics=numerics)
        for other in others:
            update_report(target, other)
        step()
    document = report | {
        "directory": str(out),
        "digest": project.digest,
        "linted": linted is not None,
        "on_chip": better.document() if better else None,
    }

    def human() -> None:
        warnings = constant_inputs(source.calibration) + numerics_warnings(numerics)
        _show_compiled([made, *others], document, warnings, len(project.files), batch)
        if better:
            console.print(str(better), highlight=False)

    show(as_json, document, human)


def _refuse_several(entries: Mapping[str, str], lengths: int) -> None:
    """A schedule that a person has decided about is that of one network."""
    from intar.errors import ConfigError, Finding

    if entries or lengths > 1:
        what = "a schedule is pinned or edited for a single network only"
        where = "--entry" if entries else "--lengths"
        raise ConfigError(Finding(what, where, hint="leave --schedule and --pin away"))


def _designs(
    sources: Mapping[str, Source], lengths: int, mode: Mode, pins: Pins, edited: Path | None, sized: bool
) -> list[Design]:
    """The designs of a kernel: of its one network, or of each of its entries, which come in several lengths.

    An edited schedule has a machine of its own; `sized`: the user has asked for one, too.
    """
    from intar import pipeline
    from intar.edited import edited_schedule
    from intar.networks import Network, at_lengths, compile_networks
    from intar.quant.blocks import pieces

    source = next(iter(sources.values()))
    if len(sources) == 1 and lengths == 1:
        if edited:
            schedule = edited_schedule(edited, source.quantised, mode, source.machine if sized else None)
            return [pipeline.design(source.quantised, schedule)]
        return [pipeline.compile_quantised(source.quantised, source.machine, mode, pins, source.loops)]
    networks = [
        Network(name, one.quantised, pieces(one.quantised.graph, one.loops)) for name, one in sources.items()
    ]
    forms = [form for network in networks for form in at_lengths(network, lengths)]
    return compile_networks(forms, source.machine, mode)


def _show_compiled(
    designs: Sequence[Design],
    report: Mapping[str, Any],
    warnings: Sequence[str],
    files: int,
    batch: int,
) -> None:
    """What a person is told of a project: schedule, warnings, cycles, constants."""
    from intar.networks import shared_bytes

    made = designs[0]
    show_schedule(made.schedule)
    for warning in warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}")
    cycles, clock = report["cycles"], made.schedule.machine.clock_mhz
    console.print(
        f"{files} files in {escape(report['directory'])}; {cycles['predicted']:,} cycles predicted "
        f"(limit {cycles['limit']:,}), {cycles['predicted'] / clock:,.2f} µs at {clock:g} MHz"
    )
    if batch > 1:
        console.print(f"{batch} samples a call: {cycles['predicted'] / batch:,.0f} cycles each")
    arguments = {argument.name for argument in made.program.arguments}
    if made.program.constants:
        held = sum(node.image_bytes for node in made.program.constants)
        console.print(f"{held:,} bytes of constants are on chip from the start")
    if made.program.entries:
        cycles_of = (f"{one.name} {one.predicted.cycles:,}" for one in designs)
        total = sum(len(data) for name, data in made.images.items() if name in arguments)
        console.print(
            f"one kernel, {len(designs)} entries, cycles: {', '.join(cycles_of)}; {total:,} bytes of constants, "
            f"{shared_bytes(made.program):,} of them for several entries"
        )
    if not report["linted"]:
        console.print("[dim]the C++ was not linted[/]")
