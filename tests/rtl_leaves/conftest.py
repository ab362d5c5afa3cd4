"""The simulator of all leaves, built once per session."""

from __future__ import annotations

from pathlib import Path

import leaf_top
import pytest


@pytest.fixture(scope="session")
def leaf_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return leaf_top.build(tmp_path_factory.mktemp("leaves"))
