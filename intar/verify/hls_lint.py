"""The HLS linter on what the compiler emits: a finding in generated C++ is a fault of ours."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Mapping
from pathlib import Path

from intar.engine.build import no_compiler
from intar.errors import Finding, InternalError
from intar.ir.program import Program


def has_libclang() -> bool:
    """Whether the extra `lint` is installed."""
    return (
        importlib.util.find_spec("clang") is not None and importlib.util.find_spec("clang.cindex") is not None
    )


def missing_tools() -> list[Finding]:
    """What the linter needs and this machine lacks."""
    found = no_compiler("libclang has no headers of its own")
    if not has_libclang():
        hint = "pip install 'intar[lint]'"
        found.append(Finding("libclang is not installed", why="the C++ is parsed with it", hint=hint))
    return found


def lint_directory(directory: Path, program: Program) -> int:
    """Check ``hls/kernel.cpp`` of a project with every check of `intar.codegen.lint`; gives the number of lines read.

    Raises
    ------
    InternalError : the linter found something; all of it is quoted.
    ToolError : libclang is not installed.
    """
    from intar.codegen.lint import lint_project

    hls = directory / "hls"
    buffers = {argument.name: argument.words for argument in program.arguments}
    findings = lint_project([hls / "kernel.cpp"], program.name, [hls], buffers)
    if findings:
        raise InternalError(
            "the generated C++ breaks rules of Vitis HLS:\n" + "\n".join(str(finding) for finding in findings)
        )
    sources = [hls / "kernel.cpp", hls / "kernel.h", *sorted((hls / "intar").glob("*.h"))]
    return sum(len(source.read_text().splitlines()) for source in sources)


def lint_files(files: Mapping[str, bytes], program: Program) -> int | None:
    """`lint_directory` on a project that is not written yet; None where libclang is not installed."""
    if not has_libclang():
        return None
    with tempfile.TemporaryDirectory(prefix="intar-lint-") as folder:
        for name, data in files.items():
            if name.startswith("hls/"):
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        return lint_directory(Path(folder), program)
