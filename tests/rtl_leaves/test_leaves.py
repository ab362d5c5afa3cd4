"""Handshake leaves in simulation: each cocotb module is one test here."""

from __future__ import annotations

from pathlib import Path

import products_top
import pytest
from cocotb_program import run

pytestmark = pytest.mark.sim


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("streams_cocotb", {"random_stalls", "full_throughput", "fifo_contract"}),
        ("axi_cocotb", {"random_traffic", "gapless", "done_count_restarts", "axi_ram_with_pauses"}),
        (
            "control_cocotb",
            {"register_map", "start_and_ready", "interrupts", "continue_chain", "random_pauses"},
        ),
    ],
)
def test_cocotb_module(leaf_program: Path, tmp_path: Path, module: str, names: set[str]) -> None:
    passed = run(leaf_program, module, tmp_path)
    assert set(passed) == names


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("pipelines_cocotb", {"functions"}),
        pytest.param(
            "rows_passes_cocotb",
            {
                *("largest_of_rows", "terms_of_rows", "divisions_in_turn"),
                *("columns_of_rows", "lookups_of_results", "results_of_rows"),
            },
            marks=pytest.mark.full,
        ),
        (
            "vector_machines_cocotb",
            {"loads_of_tables", "loads_of_vector_units", "parameters_of_groups", "settings_of_steps"},
        ),
        (
            "machines_cocotb",
            {
                *("step_programs", "step_programs_after_reset", "steps_of_rounds"),
                *("address_walks", "walks_over_rows"),
                *(
                    "moves_of_rounds",
                    "plays_of_an_inference",
                    "maxima_of_runs",
                    "divisions",
                ),
                *("reciprocal_roots", "multiply_accumulate"),
            },
        ),
    ],
)
def test_units(unit_program: Path, tmp_path: Path, module: str, names: set[str]) -> None:
    assert set(run(unit_program, module, tmp_path)) == names


@pytest.mark.full
@pytest.mark.parametrize("kinds", ["small", "large"])
def test_packed_products_of_all_operands(kinds: str, tmp_path: Path) -> None:
    """Exhaustive: what shares a multiplier comes out as if it had one of its own."""
    program = products_top.build(tmp_path, kinds)
    assert run(program, "products_cocotb", tmp_path, INTAR_KINDS=kinds) == ["all_operands"]


@pytest.mark.full
def test_many_operands(unit_program: Path, tmp_path: Path) -> None:
    assert run(unit_program, "pipelines_cocotb", tmp_path, INTAR_ITEMS="2000") == ["functions"]
