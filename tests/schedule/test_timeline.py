"""The timeline of a schedule against the engine: cycles of designs in every pattern, and of random networks."""

from __future__ import annotations

import statistics

import pytest

from intar import pipeline
from intar.bench import PATTERNS
from intar.random_cases import random_case
from intar.schedule.timeline import timeline
from intar.session import open_source


def errors(name: str) -> dict[str, float]:
    """Of the timeline against the engine, relative to the engine, in each pattern; *auto* is no slower than the others."""
    source, found, cycles = open_source(name), {}, {}
    for pattern in PATTERNS:
        made = pipeline.compile_quantised(source.quantised, source.machine, pattern)
        cycles[pattern] = made.predicted.cycles
        found[pattern] = timeline(made.schedule, made.quantised.graph)[1] / made.predicted.cycles - 1
    assert cycles["auto"] == min(cycles.values())
    return found


@pytest.mark.parametrize(
    "name",
    [
        "grkan_digits",  # coefficients of functions come before anything else
        "cnn4l_small",  # layers side by side in bands of tiles
        *(
            pytest.param(name, marks=pytest.mark.full)
            for name in (
                "digits",
                "vae_small",
                "gating_net_small",
                "self_attn_small",
                "mhsa_64",
                "vae",
                "cnn4l",
                "intar_mlp",
            )
        ),
    ],
)
def test_designs_in_every_pattern(name):
    assert all(abs(error) < 0.08 for error in errors(name).values()), errors(name)


def test_tasks_end_in_the_order_of_their_data():
    source = open_source("self_attn_small")
    made = pipeline.compile_quantised(source.quantised, source.machine, "sequential")
    spans, cycles = timeline(made.schedule, made.quantised.graph)
    ends = {span.task: span.last for span in spans}
    tasks = {task.name: task for task in made.quantised.graph.tasks}
    maker = {task.output: name for name, task in tasks.items()}
    for span in spans:
        for tensor in tasks[span.task].inputs:
            assert span.first <= span.last and ends.get(maker.get(tensor, ""), 0) < span.last < cycles


@pytest.mark.full
def test_random_networks():
    found = []
    for seed in range(40):
        for made in random_case("tasks", seed).make():
            cycles = timeline(made.schedule, made.quantised.graph)[1]
            found.append(abs(cycles / made.predicted.cycles - 1))
    assert statistics.median(found) < 0.05
    assert sum(error <= 0.1 for error in found) > 0.75 * len(found)
