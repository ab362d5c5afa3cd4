"""The two simulators of library modules, each built once per session."""

from __future__ import annotations

from pathlib import Path

import leaf_top
import pytest
import unit_top


@pytest.fixture(scope="session")
def leaf_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return leaf_top.build(tmp_path_factory.mktemp("leaves"))


@pytest.fixture(scope="session")
def unit_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unit_top.build(tmp_path_factory.mktemp("units"))
