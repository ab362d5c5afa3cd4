"""The patterns of a design beside each other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from intar import pipeline
from intar.ir.schedule import Mode, Schedule
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


def test_what_a_softmax_does_not_wait_for_comes_behind_it() -> None:
    source = open_source("mhsa_64")
    made = pipeline.compile_quantised(source.quantised, source.machine)
    assert isinstance(made.schedule, Schedule)
    order = [place.task for stage in made.schedule.stages for place in stage.tasks]
    assert order.index("scores") < order.index("p") < order.index("v") < order.index("heads")
    assert made.predicted.cycles == 17_234  # 19,121 with v in front
