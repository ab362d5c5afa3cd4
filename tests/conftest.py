"""Shared by all tests: golden files with one refresh flag, and what runs Triton's kernels.

Triton chooses its interpreter when it is imported, which PyTorch does on behalf of the first test file that exports a
model: so it is chosen here, before all of them. Where there is a GPU the kernels run on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

if not Path("/dev/nvidiactl").exists():
    os.environ["TRITON_INTERPRET"] = "1"

TESTS = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--refresh-golden",
        action="store_true",
        help="rewrite the golden files instead of comparing with them",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """``golden(name, text)``: text equals ``tests/errors/NAME.txt`` (``tests/NAME`` if NAME has a ``/``)."""
    refresh = request.config.getoption("--refresh-golden")

    def compare(name: str, text: str) -> None:
        path = TESTS / name if "/" in name else TESTS / "errors" / f"{name}.txt"
        text = text.rstrip("\n") + "\n"
        if refresh:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        place = path.relative_to(TESTS.parent)
        assert path.exists(), f"{place} is missing: run pytest with --refresh-golden and review the new file"
        assert text == path.read_text(encoding="utf-8"), f"differs from {place} (--refresh-golden accepts it)"

    return compare
