"""Handshake leaves in simulation: each cocotb module is one test here."""

from __future__ import annotations

from pathlib import Path

import leaf_top
import pytest

pytestmark = pytest.mark.sim


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("streams_cocotb", {"random_stalls", "full_throughput", "fifo_contract"}),
        ("axi_cocotb", {"random_traffic", "gapless", "done_count_restarts", "axi_ram_with_pauses"}),
        ("control_cocotb", {"register_map", "start_and_ready", "interrupts", "continue_chain"}),
    ],
)
def test_cocotb_module(leaf_program: Path, tmp_path: Path, module: str, names: set[str]) -> None:
    passed = leaf_top.run(leaf_program, module, tmp_path)
    assert set(passed) == names
