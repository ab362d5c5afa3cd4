"""Ordinary kernels have no findings, and the command reports what the function reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("clang.cindex", reason="the extra `lint` is not installed")

from intar.codegen.lint import lint_project
from intar.codegen.lint.__main__ import main
from intar.errors import ToolError
from intar.verify.csim_build import compile_csim, run_csim

FIXTURES = Path(__file__).parent / "fixtures"
KERNEL = FIXTURES / "two_core.cpp"
BUFFERS = {"x": 4, "w0": 512, "w1": 256, "y": 2}


def test_the_recommended_structure_is_clean() -> None:
    assert lint_project([KERNEL], "two_core", [], BUFFERS) == []


def test_the_clean_kernel_also_computes(tmp_path: Path) -> None:
    program = compile_csim([KERNEL, FIXTURES / "two_core_sim.cpp"], [FIXTURES], tmp_path)
    stepwise = run_csim(program, ["3"])
    assert stepwise.ok and stepwise.stdout == "wrong 0 of 96\n"
    plain = run_csim(
        program, ["3", "plain"], {"INTAR_SIM_DEPTH": "inf"}
    )  # the kernel's own top, as Vitis calls it
    assert plain.ok and plain.stdout == stepwise.stdout


def test_code_for_the_host_only_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "two_core.h").write_text((FIXTURES / "two_core.h").read_text())
    guarded = '#ifndef __SYNTHESIS__\n    printf("%d", (int)w.empty());\n    for (;;) break;\n#endif\n'
    text = KERNEL.read_text().replace("    int8_t row[INPUTS];", guarded + "    int8_t row[INPUTS];", 1)
    kernel = tmp_path / "two_core.cpp"
    kernel.write_text("#include <stdio.h>\n" + text)
    assert lint_project([kernel], "two_core", [], BUFFERS) == []


def test_pragmas_in_comments_are_no_pragmas(tmp_path: Path) -> None:
    (tmp_path / "two_core.h").write_text((FIXTURES / "two_core.h").read_text())
    kernel = tmp_path / "two_core.cpp"
    kernel.write_text("/*\n#pragma HLS NONSENSE\n*/\n// #pragma HLS NONSENSE\n" + KERNEL.read_text())
    assert lint_project([kernel], "two_core", [], BUFFERS) == []


def test_a_missing_header_is_a_failure_and_not_silence(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel.cpp"
    kernel.write_text('#include "nowhere.h"\nvoid kernel() {}\n')
    assert lint_project([kernel], "kernel")[0].check == "parse"


def test_a_missing_top_is_a_failure() -> None:
    findings = lint_project([KERNEL], "three_core", [], BUFFERS)
    assert "no function 'three_core'" in findings[0].message


def test_a_missing_file_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no such file"):
        lint_project([tmp_path / "none.cpp"], "kernel")


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(KERNEL), "--top", "two_core", "--buffer", "w0=512"]) == 0
    assert capsys.readouterr().out == "0 finding(s)\n"
    assert main([str(KERNEL), "--top", "two_core", "--buffer", "w0=9", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(item["check"], item["file"]) for item in found] == [("interface", str(KERNEL))]
