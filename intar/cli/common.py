"""What every command shares: options, output as text or JSON, progress on the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

console = Console()
notes = Console(stderr=True)

Model = Annotated[
    str,
    typer.Argument(
        help="ONNX, PyTorch (.pt2), Keras (.keras) or YAML file, FILE.py:FUNCTION that makes a PyTorch module with its "
        "example inputs, or the name of a reference design (`intar designs`)."
    ),
]
Project = Annotated[Path, typer.Argument(help="Folder that `intar compile … -o` wrote.")]
Device = Annotated[
    str | None, typer.Option(help="Board (`intar devices`); u280 unless given, or the reference design's.")
]
Scheme = Annotated[
    str | None,
    typer.Option(
        help="w8a8 (unless given, or a reference design's), w16a16, w4a8, w8a8r16, w4a8r16; with -pow2: requantise "
        "by shifts."
    ),
]
Bits = Annotated[
    list[str] | None,
    typer.Option(
        help="PATTERN=4|8|16|8t for TASK.in, TASK.out, TASK.weight or a tensor; or a .json file of `intar tune`."
    ),
]
Rational = Annotated[
    str | None,
    typer.Option(help="How rational functions are built: auto (as costs least), table, pieces or direct."),
]
Calibration = Annotated[
    Path | None, typer.Option(help=".npz, .npy or a folder of them: samples along the first axis.")
]
Budget = Annotated[
    list[str] | None,
    typer.Option(help="KEY=VALUE: dsp, cores, rows, lanes, port_bits, onchip, weights=chip, …"),
]
Shape = Annotated[
    list[str] | None,
    typer.Option(help="Size of a dynamic axis (batch=1) or shape of an input (image=1x28x28)."),
]
Value = Annotated[
    list[str] | None,
    typer.Option(help="INPUT=NUMBER or INPUT=FILE.npy: an input of an ONNX model that is a constant."),
]
Pin = Annotated[
    list[str] | None,
    typer.Option(
        help="TASK=PATTERN, CORES (0+1) or AXIS (columns, rows): decided; the solver does the rest."
    ),
]
Pattern = Annotated[str, typer.Option(help="auto, intar (no interleaving), sequential or dataflow.")]
Loop = Annotated[
    bool | None,
    typer.Option(
        "--loop/--unroll", help="Loop a repeated block in hardware, or not (default: where it pays)."
    ),
]
Batch = Annotated[
    int, typer.Option(min=1, help="Samples a call; weights are read once for all of them (no images).")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Entry = Annotated[
    str | None, typer.Option(help="This entry of a kernel that performs several networks (default: all).")
]
Count = Annotated[int, typer.Option("--count", "-n", min=1, help="Number of inferences.")]
Seed = Annotated[int, typer.Option(help="Seed of random inputs after the stored real ones.")]


def show(as_json: bool, document: Any, human: Callable[[], None]) -> None:
    """Print the document, or what `human` prints."""
    if as_json:
        typer.echo(json.dumps(document, indent=1))
    else:
        human()


def show_all(as_json: bool, documents: Mapping[str, Any], human: Callable[[], None]) -> None:
    """Print the document of a kernel's one network, or those of several by their entries; or what `human` prints."""
    several = {"entries": dict(documents)} if len(documents) > 1 else None
    show(as_json, several or next(iter(documents.values())), human)


def show_schedule(schedule: Any) -> None:
    """A schedule as a person reads it, as wide as the terminal allows."""
    from intar.schedule.show import MARGIN, render

    console.print(render(schedule, max(20, min(100, console.width - MARGIN))))


def printable(text: str, keep: str = "") -> str:
    """Names from a model as they may be sent to a terminal: control characters but those of `keep` as escapes."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def progress(*steps: str) -> Iterator[Callable[[], None]]:
    """A bar over named steps on the standard error of a terminal; call the value that it gives to go on to the next."""
    bar = Progress(
        SpinnerColumn(),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=notes,
        transient=True,
        disable=not notes.is_terminal,
    )
    names = iter([*steps[1:], ""])
    with bar:
        task = bar.add_task(steps[0], total=len(steps))
        yield lambda: bar.update(task, advance=1, description=next(names))


def check_pattern(name: str) -> Any:
    """The pattern's name (ConfigError when there is none such)."""
    from intar.bench import PATTERNS
    from intar.errors import ConfigError, Finding

    if name not in PATTERNS:
        raise ConfigError(
            Finding(f"there is no pattern {name!r}", "--pattern", hint=f"one of: {', '.join(PATTERNS)}")
        )
    return name


def open_model(
    model: str,
    device: str | None,
    scheme: str | None,
    calibration: Path | None,
    budget: list[str] | None,
    shape: list[str] | None,
    loop: bool | None = None,
    like: Any = None,
    bits: list[str] | None = None,
    rational: str | None = None,
    machine: Any = None,
    value: list[str] | None = None,
    batch: int = 1,
) -> Any:
    """Load, calibrate, quantise and size, as the options say (`intar.session.Source`)."""
    from intar.options import parse_bits, parse_budget, parse_shapes, parse_values
    from intar.session import open_source

    scheme, widths = parse_bits(bits or [], scheme)
    return open_source(
        model,
        device=device,
        scheme=scheme,
        calibration=calibration,
        budget=parse_budget(budget or []),
        shapes=parse_shapes(shape or []),
        loop=loop,
        like=like,
        machine=machine,
        bits=widths,
        rational=rational,
        values=parse_values(value or []),
        batch=batch,
    )
