"""The command line: ``intar --help``. Every command takes ``--json``; a user's mistake ends in one message and status 2."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from intar.cli import compiling, exploring, judging, listing, running, tuning
from intar.cli.common import notes, printable
from intar.errors import Finding, InternalError, OutputError, UserError

UNWRITABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
)
"""What a disk may say to a command that writes, and a user can change."""

Usage: Any = typer.BadParameter.__base__
"""What typer raises for words that are no command's: a class of click's, which it has inside."""

app = typer.Typer(
    help="Compile a trained network to a statically scheduled FPGA accelerator (HLS C++ and RTL, bit-exact).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (compiling, judging, tuning, exploring, running, listing):
    app.add_typer(part.app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: typed errors become one message and status 2, faults of ours status 3.

    With ``--json`` the standard output then holds ``{"error": {"code", "findings": [{what, where, why, hint}]}}``.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _run(words)
    except UserError as error:
        findings = [vars(finding) for finding in error.findings]
        _stop(words, 2, error.code, findings, f"[red]{error.code} error[/]", str(error))
    except OSError as error:  # a folder of a project in which a tool can't write, a full disk
        if error.errno not in UNWRITABLE:
            raise
        where = str(error.filename or "")
        finding = Finding(
            error.strerror or str(error),
            where,
            hint="name a folder that can be written to, on a disk with room",
        )
        _stop(words, 2, OutputError.code, [vars(finding)], f"[red]{OutputError.code} error[/]", str(finding))
    except InternalError as error:
        _stop(words, 3, "internal", [{"what": str(error)}], "", str(error))


def _run(words: Sequence[str]) -> NoReturn:
    """The command; with ``--json`` words that are none of it are a typed error, too."""
    if "--json" not in words:
        app(args=words)
    try:
        sys.exit(app(args=words, standalone_mode=False) or 0)
    except Usage as error:
        finding = vars(Finding(error.format_message(), hint="see --help"))
        _stop(words, 2, "usage", [finding], "[red]usage error[/]", finding["what"])
    except typer.Abort:
        sys.exit(130)


def _stop(
    words: Sequence[str], status: int, code: str, findings: list[dict[str, str]], head: str, text: str
) -> NoReturn:
    if "--json" in words:
        typer.echo(json.dumps({"error": {"code": code, "findings": findings}}, indent=1))
    if head:
        notes.print(head, highlight=False)
    notes.print(printable(text, "\n"), markup=False, highlight=False, soft_wrap=True)
    sys.exit(status)
