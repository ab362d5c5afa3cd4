"""The command line: ``intar --help``. Every command takes ``--json``; a user's mistake ends in one message and status 2."""

from __future__ import annotations

import json
import sys

import typer

from intar.cli import compiling, listing, running
from intar.cli.common import notes
from intar.errors import InternalError, UserError

app = typer.Typer(
    help="Compile a trained network to a statically scheduled FPGA accelerator (HLS C++ and RTL, bit-exact).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (compiling, running, listing):
    app.add_typer(part.app)


def main() -> None:
    """Entry point: typed errors become one message and status 2, faults of ours status 3.

    With ``--json`` the standard output then holds ``{"error": {"code", "findings": [{what, where, why, hint}]}}``.
    """
    try:
        app()
    except UserError as error:
        if "--json" in sys.argv:
            findings = [vars(finding) for finding in error.findings]
            typer.echo(json.dumps({"error": {"code": error.code, "findings": findings}}, indent=1))
        notes.print(f"[red]{error.code} error[/]", highlight=False)
        notes.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except InternalError as error:
        if "--json" in sys.argv:
            typer.echo(
                json.dumps({"error": {"code": "internal", "findings": [{"what": str(error)}]}}, indent=1)
            )
        notes.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(3)
