"""The bench: rows of one form, kept as they are made, gone on with where a run was stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intar import bench, designs
from intar.cli import app

SMALL = "gating_net_small"


def test_rows_have_exactly_these_keys(tmp_path: Path) -> None:
    command = ["bench", SMALL, "--no-simulate", "--pattern", "auto,sequential", "-o", str(tmp_path), "--json"]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert [row["pattern"] for row in found] == ["auto", "sequential"]
    for row in found:
        assert tuple(row) == bench.KEYS
        assert row["kernel"] == SMALL and row["predicted"] >= row["limit"] > 0
        assert row["simulated"] is None and row["bit_exact"] is None
    assert json.loads((tmp_path / "small.json").read_text()) == found
    assert (tmp_path / "small.md").read_text() == bench.table(found)


def test_a_stopped_bench_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows from a simulation are taken from the file; a row without one, or with wrong bits, is made again."""
    made: list[tuple[str, tuple[str, ...]]] = []

    def rows(design: str, patterns: list[str], *, simulate: bool) -> list[bench.Row]:
        made.append((design, tuple(patterns)))
        return [
            dict.fromkeys(bench.KEYS) | {"kernel": design, "pattern": p, "bit_exact": True} for p in patterns
        ]

    monkeypatch.setattr(bench, "rows", rows)
    results = bench.Results(tmp_path, "small")
    for pattern, exact in (("sequential", True), ("auto", False), ("dataflow", None)):
        results.add(dict.fromkeys(bench.KEYS) | {"kernel": SMALL, "pattern": pattern, "bit_exact": exact})
    assert [row["pattern"] for row in results.rows()] == ["auto", "sequential", "dataflow"]
    found = list(bench.run([SMALL, "vae_small"], folder=tmp_path, resume=True))
    assert made == [(SMALL, ("auto", "intar", "dataflow")), ("vae_small", bench.PATTERNS)]
    assert len(found) == 8 and all(row["bit_exact"] for row in found)
    assert len(results.rows()) == 8 and {p.name for p in tmp_path.iterdir()} == {"small.json", "small.md"}


def test_groups_stand_for_their_designs() -> None:
    assert set(designs.expand(["peers", SMALL])) == {*designs.names("peers"), SMALL}
    assert {"ffn_512", "gemm_200", "mhsa_64", "bert_block"} == set(designs.names("peers"))
