"""What the documents name exists: files, links, modules and their contents, options of commands; and commands print what
stands below them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import typer

from intar.cli import app
from intar.device.budget import ALIASES, Budget

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = {"--no-deps"}
"""Options of pip."""

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def code(text: str) -> Iterator[str]:
    """What stands between backticks in a line."""
    return (found for line in text.split("\n") for found in re.findall(r"`([^`]+)`", line))


def heading(text: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {heading(title) for title in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)}


def test_anchors() -> None:
    assert heading("csim, sim, lint") == "csim-sim-lint"
    assert heading("MiniLM-L6, a sentence encoder") == "minilm-l6-a-sentence-encoder"
    assert heading("The kernels (`intar/gpu/kernels.py`)") == "the-kernels-intargpukernelspy"


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            where = (page.parent / file).resolve() if file else page
            assert where.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(where), f"{page.name}: {target}"


@pages
def test_files_are_there(page: Path) -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    for word in (word.rstrip(",.:") for text in code(page.read_text()) for word in text.split()):
        if re.fullmatch(r"[\w./-]+", word) and "/" in word and word.split("/")[0] in folders - {"out"}:
            assert (ROOT / word).exists(), f"{page.name}: {word}"


@pages
def test_modules_and_their_contents_are_there(page: Path) -> None:
    for name in re.findall(r"\bintar(?:\.[A-Za-z_]\w*)+", " ".join(code(page.read_text()))):
        place, names = importlib.import_module("intar"), name.split(".")[1:]
        for at, part in enumerate(names):
            if not hasattr(place, part):
                importlib.import_module(".".join(["intar", *names[: at + 1]]))
            place = getattr(place, part)


@pages
def test_options_are_those_of_a_command(page: Path) -> None:
    commands = typer.main.get_command(app).commands.values()  # type: ignore[attr-defined]
    options = [option for command in commands for option in command.params]
    known = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    for script in (*ROOT.glob("benchmarks/*.py"), *ROOT.glob("intar/**/*.py"), *ROOT.glob("designs/*/*.py")):
        known.update(re.findall(r'"(--[a-z0-9-]+)"', script.read_text()))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", page.read_text()))
    assert named <= known | OTHERS | {"--help"}


def test_the_budget_has_these_keys() -> None:
    table = (ROOT / "docs" / "cli.md").read_text().split("### The budget\n")[1].split("\n\n")[0]
    named = {key for line in table.split("\n") for key in re.findall(r"`([a-z_]+)`", line.split("|")[1])}
    assert {ALIASES.get(key, key) for key in named} == {field.name for field in fields(Budget)}


def sessions(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The commands of a page that stand behind a ``$``, and the lines that they are said to print."""
    for block in re.findall(r"^```\n(\$ intar .*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        for part in block.split("$ intar ")[1:]:
            command, *lines = part.rstrip().split("\n")
            yield command, [line for line in lines if line != "…"]


def lasting(line: str) -> str:
    """A line without seconds, and without the sizes of the libraries that are copied into each project."""
    return re.sub(r"[\d,.]+ (s\b|files|lines)", r"N \1", line.rstrip())


@pytest.mark.parametrize("name", ["tiny", "batch", "chip"])
def test_tables_are_those_of_the_results(name: str) -> None:
    page = (ROOT / "docs" / "tiny.md").read_text().split("\n")
    rows = (ROOT / "benchmarks" / "results" / f"{name}.md").read_text().split("\n")
    assert [row for row in rows if row not in page] == []


@pytest.mark.full
@pytest.mark.sim
@pytest.mark.parametrize("name", ["cli", "generate"])
def test_commands_print_what_the_page_says(name: str, tmp_path: Path) -> None:
    (tmp_path / "designs").symlink_to(ROOT / "designs")
    _, images, _, labels = runpy.run_path(str(ROOT / "designs" / "digits" / "data.py"))["split"]()
    np.savez(tmp_path / "test.npz", image=images)
    np.save(tmp_path / "labels.npy", labels)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"}
    for command, expected in sessions(ROOT / "docs" / f"{name}.md"):
        line = f"{shlex.quote(sys.executable)} -m intar.cli {command}"
        ran = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert ran.returncode < 2, ran.stderr
        printed = iter([lasting(line) for line in (ran.stdout + ran.stderr).split("\n")])
        for said in map(lasting, expected):
            assert any(said == line for line in printed), f"intar {command}: {said}\n\n{ran.stdout}"


@pytest.mark.full
def test_the_picture_of_the_patterns_is_of_this_compiler() -> None:
    spec = importlib.util.spec_from_file_location("figures", ROOT / "benchmarks" / "figures.py")
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    assert figures.picture(figures.patterns()) == figures.FIGURE.read_text()
