"""Compiling csim programs: the cache, the errors, the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from intar.errors import ToolError
from intar.verify import csim_build
from intar.verify.csim_build import compile_csim, run_csim


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)


def test_only_what_changed_is_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, build = tmp_path / "with blank", tmp_path / "build"
    write(source, value_h="#define VALUE 3\n", other_cpp="int other() { return 4; }\n")
    write(
        source,
        main_cpp='#include <stdio.h>\n#include "value.h"\nint other();\nint main() { printf("%d", VALUE + other()); }\n',
    )
    sources = [source / "main.cpp", source / "other.cpp"]
    compiled: list[str] = []
    original = csim_build._run_compiler

    def counting(command: list[str], what: str) -> None:
        compiled.append(Path(what).name)
        original(command, what)

    monkeypatch.setattr(csim_build, "_run_compiler", counting)
    first = compile_csim(sources, [], build)
    assert run_csim(first).stdout == "7" and len(compiled) == 3
    assert compile_csim(sources, [], build) == first and len(compiled) == 3
    write(source, value_h="#define VALUE 5\n")
    second = compile_csim(sources, [], build)
    assert second != first and run_csim(second).stdout == "9"
    assert compiled[3:] == [
        "main.cpp",
        "other.cpp",
    ]  # one object and the link, which is named after the last source


def test_the_first_error_of_the_compiler_is_quoted(tmp_path: Path) -> None:
    write(tmp_path, main_cpp="int main() { return missing; }\n")
    with pytest.raises(ToolError, match=r"error: .missing. was not declared") as caught:
        compile_csim([tmp_path / "main.cpp"], [], tmp_path / "build")
    assert "main.cpp" in caught.value.findings[0].where


def test_an_undefined_function_is_quoted(tmp_path: Path) -> None:
    write(tmp_path, main_cpp="void nowhere();\nint main() { nowhere(); }\n")
    with pytest.raises(ToolError, match="undefined reference to `nowhere"):
        compile_csim([tmp_path / "main.cpp"], [], tmp_path / "build")


def test_all_missing_sources_are_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        compile_csim([tmp_path / "a.cpp", tmp_path / "b.cpp"], [], tmp_path)
    assert [Path(finding.where).name for finding in caught.value.findings] == ["a.cpp", "b.cpp"]


def test_no_compiler_has_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, main_cpp="int main() {}\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ToolError, match="install g\\+\\+"):
        compile_csim([tmp_path / "main.cpp"], [], tmp_path / "build")


def test_a_program_that_hangs_is_given_up(tmp_path: Path) -> None:
    write(tmp_path, main_cpp="int main() { for (volatile int i = 0;; i = 1) {} }\n")
    program = compile_csim([tmp_path / "main.cpp"], [], tmp_path / "build")
    with pytest.raises(ToolError, match=r"did not finish within 0\.5 s"):
        run_csim(program, timeout=0.5)
