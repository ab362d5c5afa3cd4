"""Kernels as the generator writes them are clean, and a fault inside a library template is found in its instances."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("clang.cindex", reason="the extra `lint` is not installed")

from engine_programs import RANDOM
from hls_cases import joined, prepared, random_cases

from intar.codegen.hls import render_hls
from intar.codegen.lint import LintFinding, lint_project


def lint_generated(kind: str, folder: Path, edit: tuple[str, str, str] = ("", "", "")) -> list[LintFinding]:
    """Render random programs of a kind, change one library header if asked to, and lint."""
    program, images = joined(random_cases(kind, 2))
    program = prepared(program)
    for path, data in render_hls(program, images=images).items():
        if path.startswith("hls/"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    name, old, new = edit
    if name:
        header = folder / "hls" / "intar" / name
        text = header.read_text()
        assert old in text, f"{name} has no longer: {old}"
        header.write_text(text.replace(old, new))
    buffers = {argument.name: argument.words for argument in program.arguments}
    return lint_project([folder / "hls" / "kernel.cpp"], program.name, [folder / "hls"], buffers)


@pytest.mark.parametrize("kind", sorted(RANDOM))
def test_generated_kernels_are_clean(kind: str, tmp_path: Path) -> None:
    assert [str(finding) for finding in lint_generated(kind, tmp_path)] == []


@pytest.mark.parametrize(
    ("kind", "edit", "check"),
    [
        ("core", ("intar_core.h", "II=1 style=flp", "II=1"), "flushable"),
        ("feed", ("intar_feed.h", "type=complete dim=0", "type=complete dim=2"), "bank"),
        ("gather", ("intar_gather.h", "#pragma HLS LOOP_TRIPCOUNT", "// "), "loop"),
    ],
)
def test_faults_in_templates_are_found(
    kind: str, edit: tuple[str, str, str], check: str, tmp_path: Path
) -> None:
    findings = lint_generated(kind, tmp_path, edit)
    assert {finding.check for finding in findings} == {check}
    assert {Path(finding.file).name for finding in findings} == {edit[0]}
