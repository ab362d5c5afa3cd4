"""``intar accuracy``: what the integers of a network do on samples of a user's, before anything is generated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from intar.cli.common import (
    Bits,
    Calibration,
    Json,
    Loop,
    Model,
    Rational,
    Scheme,
    Shape,
    Value,
    console,
    open_model,
    printable,
    progress,
    show,
)

app = typer.Typer()


@app.command()
def accuracy(
    model: Model,
    given: Annotated[
        Path,
        typer.Option("--samples", help=".npz, .npy or a folder of them: what the network is judged by."),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(help=".npy: a whole number for each sample, or one-hot rows, of the first output."),
    ] = None,
    scheme: Scheme = None,
    bits: Bits = None,
    rational: Rational = None,
    calibration: Calibration = None,
    shape: Shape = None,
    value: Value = None,
    loop: Loop = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Write the integers' outputs here (.npz), as real values."),
    ] = None,
    as_json: Json = False,
) -> None:
    """The integers of a network beside the real numbers, on samples that it was not calibrated with.

    They are the bits of the C++ and the RTL; nothing is generated, and no board matters.
    """
    from dataclasses import asdict

    from intar.errors import Finding, OutputError
    from intar.grid import prepare
    from intar.ir.io import write_atomic
    from intar.project import refuse_unwritable
    from intar.quant.calibrate import load_array, load_calibration, samples
    from intar.quant.compare import compare, float_outputs, npz, real_outputs, stacked

    if out:
        if out.exists():
            raise OutputError(Finding("there is a file of this name", str(out), hint="name another one"))
        refuse_unwritable(out)
    right = load_array(labels) if labels else None
    with progress("load, calibrate, quantise", "real numbers", "integers") as step:
        source = open_model(
            model, None, scheme, calibration, None, shape, loop, bits=bits, rational=rational, value=value
        )
        graph = prepare(source.graph)
        batch = samples(graph, load_calibration(given, graph), "samples")
        step()
        real = stacked(float_outputs(graph, batch))
        step()
        golden = stacked(real_outputs(graph, source.quantised, batch))
        step()
    found = compare(real, golden, right)
    if out:
        write_atomic(out, npz(golden))
    document: dict[str, Any] = {
        "model": source.graph.name,
        "scheme": source.scheme.name,
        "outputs": [asdict(one) for one in found],
    }

    def human() -> None:
        title = f"{printable(source.graph.name)}, {source.scheme.name}: {len(batch):,} samples"
        table = Table(title=title, title_justify="left")
        columns = ["output", "SQNR", "cosine", "largest error", "chosen alike"]
        columns += ["right", "right in float"] if right is not None else []
        for name in columns:
            table.add_column(name, justify="left" if name == "output" else "right")

        def share(count: int | None, of: int) -> str:
            return "–" if count is None else f"{100 * count / of:.2f} %"

        for one in found:
            noise = "no noise" if one.sqnr_db is None else f"{one.sqnr_db:.1f} dB"
            counts = [one.alike, *([one.right, one.right_float] if right is not None else [])]
            shares = [share(count, one.samples) for count in counts]
            table.add_row(one.output, noise, f"{one.cosine:.4f}", f"{one.max_error:.4g}", *shares)
        console.print(table)
        if out:
            console.print(f"{out}: the integers' outputs", markup=False, highlight=False, soft_wrap=True)

    show(as_json, document, human)
