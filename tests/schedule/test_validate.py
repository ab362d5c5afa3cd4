"""The independent checker finds every kind of fault that is put into a sound schedule."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from graphs import block, machine, mlp, random_case

from intar.errors import InfeasibleError
from intar.ir.schedule import Schedule
from intar.schedule import solve, validate
from intar.schedule.pins import Pins

GRAPH = block(128, 128)
MACHINE = machine(cores=4, rows=8, rate=8, port_bits=128, onchip_bytes=1 << 20)


@pytest.fixture(scope="module")
def sound() -> Schedule:
    schedule = solve(GRAPH, MACHINE, "intar")
    assert {s.pattern for s in schedule.stages} == {"sequential", "parallel", "pipelined"}
    assert {h.place for h in schedule.residency} == {"chip", "tile", "spill"}
    return schedule


def rules(schedule: Schedule) -> set[str]:
    return {violation.rule for violation in validate(schedule, GRAPH)}


def stage_at(schedule: Schedule, pattern: str) -> int:
    return next(i for i, s in enumerate(schedule.stages) if s.pattern == pattern)


def with_stage(schedule: Schedule, i: int, **changes: object) -> Schedule:
    stages = list(schedule.stages)
    stages[i] = stages[i].model_copy(update=changes)
    return schedule.model_copy(update={"stages": tuple(stages)})


def with_home(schedule: Schedule, kind: str, **changes: object) -> Schedule:
    homes = list(schedule.residency)
    i = next(i for i, h in enumerate(homes) if h.place == kind)
    homes[i] = homes[i].model_copy(update=changes)
    return schedule.model_copy(update={"residency": tuple(homes)})


def test_sound(sound):
    assert validate(sound, GRAPH) == []


def test_tasks_once_and_in_order(sound):
    assert "once" in rules(sound.model_copy(update={"stages": sound.stages[1:]}))
    assert "once" in rules(sound.model_copy(update={"stages": (*sound.stages, sound.stages[0])}))
    assert rules(sound.model_copy(update={"stages": sound.stages[::-1]})) == {"precedence"}


def test_cores(sound):
    for pattern in ("parallel", "pipelined"):
        i = stage_at(sound, pattern)
        same = tuple(p.model_copy(update={"cores": (0,)}) for p in sound.stages[i].tasks)
        assert "cores" in rules(with_stage(sound, i, tasks=same))
    i = stage_at(sound, "sequential")
    for cores in ((0, 1, 2, 9), (0, 2), (), (0, 0), (0, 1)):
        placed = tuple(p.model_copy(update={"cores": cores}) for p in sound.stages[i].tasks)
        assert "cores" in rules(with_stage(sound, i, tasks=placed)), cores


def test_axis(sound):
    """Cores take rows of what has products, not of what a follower reads, and this changes cycles and bytes."""
    for pattern in ("sequential", "pipelined"):
        i = stage_at(sound, pattern)
        other = tuple(p.model_copy(update={"axis": "rows"}) for p in sound.stages[i].tasks)
        vector = any(GRAPH.tasks[int(p.task[1:])].kind in ("affine", "binary") for p in other)
        assert rules(with_stage(sound, i, tasks=other)) == {"axis" if vector else "cycles"}, pattern
    graph, m = mlp(), machine(cores=4)
    schedule = solve(graph, m, pins=Pins(pattern={"m1": "pipelined", "m2": "pipelined"}))
    i = next(i for i, stage in enumerate(schedule.stages) if any(p.follows for p in stage.tasks))
    for position in range(2):
        tasks = list(schedule.stages[i].tasks)
        tasks[position] = tasks[position].model_copy(update={"axis": "rows"})
        changed = with_stage(schedule, i, tasks=tuple(tasks))
        assert {v.rule for v in validate(changed, graph)} == {"follows"}


def test_patterns_and_tiles(sound):
    i = stage_at(sound, "pipelined")
    assert "pattern" in rules(with_stage(sound, i, pattern="parallel", tile_rows=0))
    assert "pattern" in rules(with_stage(sound, i, pattern="sequential"))
    assert "tile" in rules(with_stage(sound, i, tile_rows=12))
    assert "tile" in rules(with_stage(sound, i, tile_rows=256))
    assert "tile" in rules(with_stage(sound, stage_at(sound, "parallel"), tile_rows=8))
    assert "pattern" in rules(
        with_stage(sound, stage_at(sound, "parallel"), pattern="pipelined", tile_rows=8)
    )
    assert "mode" in rules(sound.model_copy(update={"mode": "sequential"}))
    placed = tuple(p.model_copy(update={"resident": True}) for p in sound.stages[0].tasks)
    assert "resident" in rules(with_stage(sound, 0, tasks=placed))


def test_residency(sound):
    assert "bytes" in rules(with_home(sound, "chip", bytes=1))
    assert "bytes" in rules(with_home(sound, "tile", bytes=1))
    assert "lifetime" in rules(with_home(sound, "chip", last_stage=99))
    assert "residency" in rules(with_home(sound, "chip", place="tile"))
    assert "residency" in rules(sound.model_copy(update={"residency": sound.residency[1:]}))
    assert "residency" in rules(with_home(sound, "chip", tensor="nobody"))


def with_copy(schedule: Schedule, kind: str, **changes: object) -> Schedule:
    home = next(h for h in schedule.residency if h.place == kind)
    return with_home(schedule, kind, copies=(home.copies[0].model_copy(update=changes), *home.copies[1:]))


def test_copies_and_banks(sound):
    assert "copies" in rules(with_home(sound, "chip", copies=()))
    assert "copies" in rules(with_copy(sound, "chip", bytes=1))
    assert "copies" in rules(with_copy(sound, "chip", last_stage=0))
    assert "bank" in rules(with_copy(sound, "tile", bank=99))
    homes = tuple(
        h.model_copy(update={"copies": tuple(c.model_copy(update={"bank": 0}) for c in h.copies)})
        for h in sound.residency
    )
    assert "bank" in rules(sound.model_copy(update={"residency": homes}))
    less = (sound.banks[0].model_copy(update={"bytes": 1}), *sound.banks[1:])
    assert "bank" in rules(sound.model_copy(update={"banks": less}))
    same = tuple(bank.model_copy(update={"address": 0}) for bank in sound.banks)
    assert "address" in rules(sound.model_copy(update={"banks": same}))


def test_memory(sound):
    small = sound.machine.model_copy(update={"onchip_bytes": 60000})
    assert "memory" in rules(sound.model_copy(update={"machine": small}))


def test_alignment():
    graph = mlp((64, 128, 256, 64), 64)
    pins = Pins(pattern={task.name: "interleaved" for task in graph.tasks})
    schedule = solve(graph, machine(cores=4, rows=8), pins=pins)
    assert schedule.stages[0].tile_rows
    assert validate(schedule, graph) == []
    wide = schedule.machine.model_copy(update={"port_bits": 1 << 16})
    found = validate(schedule.model_copy(update={"machine": wide}), graph)
    assert {v.where for v in found if v.rule == "alignment"} == {"stage 0"}


def test_cycles(sound):
    assert "cycles" in rules(with_stage(sound, 0, cycles=sound.stages[0].cycles - 1))
    assert "objective" in rules(sound.model_copy(update={"objective": sound.objective - 1}))
    assert "bound" in rules(sound.model_copy(update={"bound": sound.objective + 1}))
    assert "bound" in rules(sound.model_copy(update={"bound": sound.objective - 1}))


@pytest.mark.parametrize("mode", ("auto", "intar", "sequential", "dataflow"))
@pytest.mark.parametrize("spills", (True, False))
def test_random_schedules_are_sound(mode, spills):
    solved = 0
    for seed in range(40, 60):
        graph, m = random_case(seed, 3 + seed % 5)
        try:
            schedule = solve(graph, m, mode, spills=spills)
        except InfeasibleError:
            continue
        assert validate(schedule, graph) == [], seed
        solved += 1
    assert solved >= 4
