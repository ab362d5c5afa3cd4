"""Imports point left to right only: a part of the compiler knows what comes before it on the path, and nothing after it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import intar

ROOT = Path(intar.__file__).parent

PATH = (
    ("errors",),
    ("ir", "assets", "project", "tokenizer", "gpu"),
    ("frontends", "grid", "device", "schedule"),
    ("quant", "lower", "engine"),
    ("codegen", "designs", "design"),
    ("hosting", "pipeline", "verify"),
    ("networks", "proof", "rendering"),
    ("generate",),
    ("report",),
    ("advice", "edited", "options", "session"),
    ("reopen",),
    ("bench", "explore", "fit", "api", "random_cases"),
    ("__init__", "cli"),
)
"""Packages and modules of `intar` in the order of the path; those of one place do not know each other."""

BACK_END = {"ir.bits", "ir.names", "ir.nodes", "ir.program", "ir.rational", "ir.segments"}
"""What renderers may know of the typed values: programs, and what these are made of."""


def imports(source: str) -> Iterator[str]:
    """Modules of `intar` that a module imports, without the first name: ``ir.program``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("intar.") for alias in node.names if "intar." in alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module == "intar":
            yield from (alias.name for alias in node.names if alias.name != "__version__")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("intar."):
            yield str(node.module).removeprefix("intar.")


def wrong(sources: Mapping[str, str]) -> list[str]:
    """Imports that point the other way, of modules by their path in `intar`."""
    place = {name: at for at, names in enumerate(PATH) for name in names}
    found = []
    for file, source in sources.items():
        own = file.split("/")[0].removesuffix(".py")
        for module in imports(source):
            other = module.split(".")[0]
            if other != own and place[other] >= place[own]:
                found.append(f"{file} imports {module}")
            known = other in ("ir", "codegen", "engine", "assets", "errors") and (
                other != "ir" or ".".join(module.split(".")[:2]) in BACK_END
            )
            if own == "codegen" and not known:
                found.append(f"{file} imports {module}: renderers see programs and nothing before them")
    return found


def test_imports_point_along_the_path() -> None:
    sources = {str(file.relative_to(ROOT)): file.read_text() for file in ROOT.rglob("*.py")}
    assert len(sources) > 200
    assert wrong(sources) == []


def test_imports_the_other_way_are_found() -> None:
    sources = {
        "ir/graph.py": "from intar.quant.scheme import Scheme",
        "lower/lower.py": "def f():\n    import intar.codegen.rtl",
        "codegen/rtl.py": "from intar.ir.program import Program\nfrom intar.ir.taskgraph import TaskGraph",
        "schedule/solve.py": "from intar import pipeline",
        "quant/golden.py": "from intar.ir.ops import Op",
    }
    assert [text.split(":")[0] for text in wrong(sources)] == [
        "ir/graph.py imports quant.scheme",
        "lower/lower.py imports codegen.rtl",
        "codegen/rtl.py imports ir.taskgraph",
        "schedule/solve.py imports pipeline",
    ]
