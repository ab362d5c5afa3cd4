"""The packed multipliers of hls/intar_core.h, which synthesis sees and csim does not, against plain products."""

from __future__ import annotations

from pathlib import Path

import pytest

from intar.assets import asset_dir
from intar.verify.csim_build import compile_csim, run_csim

SOURCE = Path(__file__).parent / "packed_core.cpp"
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-label")
CHAINS = 32  # combinations of ends of the ranges


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_csim([SOURCE], [asset_dir("hls")], tmp_path_factory.mktemp("packed"), FLAGS)


@pytest.mark.parametrize("a_bits, w_bits, pack", [(8, 8, 2), (16, 4, 2), (8, 4, 2), (4, 8, 2), (4, 4, 3)])
def test_all_operands_and_the_worst_chains(program: Path, a_bits: int, w_bits: int, pack: int) -> None:
    compared, wrong = map(int, run_csim(program, [f"{a_bits}x{w_bits}"], timeout=120).stdout.split())
    assert compared == (pack << (a_bits + pack * w_bits)) + CHAINS * 3 * (2 * pack + 1)
    assert wrong == 0
