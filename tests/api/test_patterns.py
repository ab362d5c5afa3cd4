"""The patterns of a design beside each other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from intar import pipeline
from intar.ir.schedule import Mode
from intar.session import open_source

NAMES = ("digits", "vae_small", "cnn4l_small", "self_attn_small", "gating_net_small")


@pytest.mark.parametrize("name", NAMES)
def test_auto_is_never_slower(name: str) -> None:
    source = open_source(name)
    modes: Sequence[Mode] = ("auto", "intar", "sequential", "dataflow")
    cycles = {
        m: pipeline.compile_quantised(source.quantised, source.machine, m).predicted.cycles for m in modes
    }
    assert cycles["auto"] == min(cycles.values()), cycles
