"""Three blocks of a tiny GPT-2, looped: a step of one token behind up to eight cached ones, and a prefill."""

from __future__ import annotations

import runpy
from dataclasses import replace

import intar
from intar.assets import asset_dir
from intar.ir.schedule import Machine
from intar.networks import Network

GPT2 = asset_dir("designs") / "gpt2" / "model.py"


def step_and_prefill(tokens: int) -> tuple[list[Network], Machine]:
    """The networks `step` and `prefill` (`tokens` a call) with the same states, and the step's machine."""
    model = runpy.run_path(str(GPT2))
    config = replace(model["TINY"], layers=3)
    form = {"budget": {"multipliers": 16, "rows": 1, "lanes": 16}, "scheme": "w8a8r16", "loop": True}
    step = intar.compile(*model["_step"](config, 8, samples=4), **form)
    chunk = intar.compile(*model["_step"](config, 8, tokens, samples=4), **form, like=step)
    networks = [
        Network(name, made.design.quantised, made.design.schedule.pieces)
        for name, made in (("step", step), ("prefill", chunk))
    ]
    return networks, step.design.schedule.machine
