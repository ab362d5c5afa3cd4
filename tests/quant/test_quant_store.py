"""Quantised graphs on disk: the same bytes every time, and damage is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intar.errors import GraphError
from intar.ir.io import to_npz
from intar.ir.quantgraph import SCHEMA
from intar.quant.random_graphs import random_quantised
from intar.quant.store import CONSTANTS_FILE, GRAPH_FILE, load, save


def test_round_trip_and_same_bytes(tmp_path: Path) -> None:
    for seed in range(5):
        quantised = random_quantised(seed, 6)
        for folder in ("a", "b"):
            save(quantised, tmp_path / folder)
        again = load(tmp_path / "a")
        assert again.graph == quantised.graph
        assert {n: a.tolist() for n, a in again.constants.items()} == {
            n: a.tolist() for n, a in quantised.constants.items()
        }
        for name in (GRAPH_FILE, CONSTANTS_FILE):
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_damage_is_noticed(tmp_path: Path) -> None:
    quantised = random_quantised(1, 4, ops=("matmul",))
    graph_file, constants_file = save(quantised, tmp_path)
    name = next(iter(quantised.constants))
    changed = {**quantised.constants, name: quantised.constants[name] + 1}
    constants_file.write_bytes(to_npz(changed))
    with pytest.raises(GraphError, match="do not match"):
        load(tmp_path)
    constants_file.write_bytes(to_npz({n: a.astype(np.int32) for n, a in quantised.constants.items()}))
    with pytest.raises(GraphError, match="do not match"):
        load(tmp_path)
    graph_file.write_text(graph_file.read_text().replace(SCHEMA, "intar.quantgraph/0"))
    with pytest.raises(GraphError, match="schema is"):
        load(tmp_path)
    graph_file.write_text(f'{{"schema": "{SCHEMA}", "name": 3}}')
    with pytest.raises(GraphError, match="tensors"):
        load(tmp_path)
    graph_file.write_text("{")
    with pytest.raises(GraphError, match="not valid JSON"):
        load(tmp_path)
    graph_file.unlink()
    with pytest.raises(GraphError, match="does not exist"):
        load(tmp_path)
