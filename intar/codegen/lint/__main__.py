"""``python -m intar.codegen.lint FILE... --top NAME [--json]``: exit code 0 clean, 1 findings, 2 wrong use."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from intar.codegen.lint import lint_project
from intar.errors import UserError


def _buffer(text: str) -> tuple[str, int]:
    name, _, elements = text.partition("=")
    if not name or not elements.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form ARGUMENT=ELEMENTS")
    return name, int(elements)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the linter from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m intar.codegen.lint", description="Check the HLS C++ of a kernel."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--top", required=True, help="name of the top function")
    parser.add_argument(
        "-I", "--include", action="append", default=[], type=Path, help="directory of headers"
    )
    parser.add_argument(
        "--buffer",
        action="append",
        default=[],
        type=_buffer,
        metavar="ARG=N",
        help="elements of an argument's buffer",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    options = parser.parse_args(arguments)
    try:
        findings = lint_project(options.files, options.top, options.include, dict(options.buffer))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            print(finding)
        print(f"{len(findings)} finding(s)")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
