"""What `solve` promises: known optima, modes, bounds, infeasibility, pins, reproducibility."""

from __future__ import annotations

import ast
import random
import sys
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from graphs import Builder, block, machine, mlp, random_case

import intar
from intar.errors import ConfigError, InfeasibleError
from intar.ir.quantgraph import QuantGraph
from intar.ir.schedule import Schedule
from intar.schedule import Limits, Pins, lower_bounds, pins_of_schedule, solve, validate
from intar.schedule.banks import MOST_TENANTS, Tenant, colour, least
from intar.schedule.build import build_schedule, lay_out
from intar.schedule.moves import WIDE_TASKS, Rules, roomy
from intar.schedule.problem import make_problem, members
from intar.schedule.settled import settled
from intar.schedule.solve import BEAM, moves_of, narrowed, search
from intar.schedule.stages import Stages


def tight_block(onchip: int) -> tuple:
    return block(128, 128), machine(cores=4, rows=8, rate=8, port_bits=128, onchip_bytes=onchip)


def test_mlp_of_the_paper():
    """Hand-made InTAR needs 139 567 model cycles here; both bounds are 90 112."""
    graph, m = mlp(), machine()
    assert lower_bounds(graph, m) == {"area": 90112, "ideal": 90112, "weights": 90112}
    auto = solve(graph, m)
    assert 90112 <= auto.objective <= 90112 * 1.005
    assert auto.status == "OPTIMAL"
    assert [stage.pattern for stage in auto.stages] == ["sequential"] * 3
    assert solve(graph, m, "sequential").objective == auto.objective
    assert 1.6 < solve(graph, m, "dataflow").objective / auto.objective < 2.05


def test_modes_keep_to_their_patterns_and_auto_is_best():
    graph, m = tight_block(1 << 20)
    found = {mode: solve(graph, m, mode) for mode in ("auto", "intar", "sequential", "dataflow")}
    for mode, schedule in found.items():
        assert validate(schedule, graph) == [], mode
        assert schedule.objective >= found["auto"].objective
        assert schedule.bound <= schedule.objective
    assert {s.pattern for s in found["sequential"].stages} == {"sequential"}
    assert "interleaved" not in {s.pattern for s in found["intar"].stages}
    assert {s.pattern for s in found["dataflow"].stages} <= {"pipelined", "parallel"}
    assert found["auto"].objective < found["intar"].objective < found["sequential"].objective


def test_dataflow_groups_are_fixed_for_the_whole_run():
    schedule = solve(mlp((64, 128, 256, 64), 64), machine(cores=4, rows=8, port_bits=256), "dataflow")
    groups = {p.cores for stage in schedule.stages for p in stage.tasks}
    for a in groups:
        for b in groups:
            assert a == b or not set(a) & set(b)


def test_scarce_memory_is_met_by_tiles():
    """With 170 KB only row tiles fit: one task at a time needs whole tensors."""
    graph, m = tight_block(170_000)
    schedule = solve(graph, m)
    assert any(home.place == "tile" for home in schedule.residency)
    with pytest.raises(InfeasibleError) as error:
        solve(graph, m, "sequential")
    text = str(error.value)
    assert "needs 184320 bytes on chip, the machine has 170000 (14320 missing)" in text
    assert "binds" in text and "onchip to at least 184320" in text
    enough = m.model_copy(update={"onchip_bytes": 184320})
    assert validate(solve(graph, enough, "sequential"), graph) == []
    with pytest.raises(InfeasibleError):
        solve(graph, enough.model_copy(update={"onchip_bytes": 184319}), "sequential")


def test_spills_where_memory_is_shared():
    """Two long-lived tensors do not fit at once: one goes off chip and comes back."""
    b = Builder(8, 8)
    x = b.input(32, 32)
    early = b.matmul(x, 64)
    y = early
    for _ in range(3):
        y = b.matmul(b.transpose(b.transpose(y)), 64)
    graph = b.graph("spill", [b.add(early, y)])
    m = machine(cores=2, rows=4, lanes=8, port_bits=64, onchip_bytes=1 << 16)
    roomy = solve(graph, m)
    banks = 2 * 2048 + 2 * 512  # a matmul's input and output; at the end two more tensors in row tiles
    small = m.model_copy(update={"onchip_bytes": make_problem(graph, m).fixed_bytes + banks})
    schedule = solve(graph, small, spills=True)
    assert validate(schedule, graph) == []
    spilled = [h.tensor for h in schedule.residency if h.place == "spill" and h.first_stage < h.last_stage]
    assert spilled, [h.place for h in schedule.residency]
    assert schedule.objective > roomy.objective
    with pytest.raises(InfeasibleError):
        solve(graph, small, spills=False)


def test_parameters_alone_too_large():
    with pytest.raises(InfeasibleError, match="parameters, tables and weight rings alone need 53248 bytes"):
        solve(mlp(), machine(onchip_bytes=50000))


def test_same_input_same_bytes():
    graph, m = tight_block(170_000)
    assert solve(graph, m).to_json() == solve(graph, m).to_json()
    graph, m = random_case(3, 6)
    first, second = (solve(graph, m, engine="cpsat") for _ in range(2))
    assert first.to_json() == second.to_json()
    assert Schedule.from_json(first.to_json()).to_json() == first.to_json()


def test_pins_are_kept():
    graph, m = tight_block(1 << 20)
    free = solve(graph, m)
    stage = next(s for s in free.stages if s.pattern == "interleaved")
    task = stage.tasks[0].task
    pinned = solve(graph, m, pins=Pins(pattern={task: "sequential"}))
    assert validate(pinned, graph) == []
    assert next(s.pattern for s in pinned.stages for p in s.tasks if p.task == task) == "sequential"
    assert pinned.objective >= free.objective
    again = solve(graph, m, pins=pins_of_schedule(free))
    assert again.objective == free.objective


def classifier() -> tuple:
    """64 rows of 256 elements, 10 classes: one column block for two cores."""
    b = Builder(8, 8)
    b.matmul(b.input(64, 256), 10)
    return b.graph("classifier"), machine(cores=2, rows=8, rate=8, port_bits=128)


def test_the_axis_is_decided_and_can_be_pinned():
    graph, m = classifier()
    free = solve(graph, m)
    rows, columns = (solve(graph, m, pins=Pins(axis={"m0": axis})) for axis in ("rows", "columns"))
    for schedule, axis in ((rows, "rows"), (columns, "columns")):
        assert validate(schedule, graph) == []
        assert schedule.stages[0].tasks[0].axis == axis
        assert solve(graph, m, pins=pins_of_schedule(schedule)).to_json() == schedule.to_json()
    assert free.to_json() == rows.to_json() != columns.to_json()
    assert rows.objective < 0.65 * columns.objective
    both = solve(graph, m, "dataflow", Pins(axis={"m0": "rows"}))
    assert both.stages[0].tasks[0].axis == "rows"


def test_axis_at_the_price_of_memory():
    """A second core needs the parameters again: 16 bytes for each of 16 channels. Without the room columns are taken."""
    graph, m = classifier()
    need = make_problem(graph, m).fixed_bytes + 64 * 256 + 64 * 16
    enough = m.model_copy(update={"onchip_bytes": need + 256})
    assert solve(graph, enough, "sequential").stages[0].tasks[0].axis == "rows"
    short = m.model_copy(update={"onchip_bytes": need + 255})
    assert solve(graph, short, "sequential").stages[0].tasks[0].axis == "columns"
    with pytest.raises(InfeasibleError, match=f"needs {need + 256} bytes on chip"):
        solve(graph, short, "sequential", Pins(axis={"m0": "rows"}))


def test_wrong_pins_are_all_reported():
    graph, m = tight_block(1 << 20)
    pins = Pins(
        pattern={"m00": "sequential"},
        cores={"m1": (7,)},
        chip=frozenset({"x"}),
        spill=frozenset({"x"}),
        axis={"b4": "rows", "m01": "columns"},
    )
    with pytest.raises(ConfigError) as error:
        solve(graph, m, pins=pins)
    text = str(error.value)
    assert "no task 'm00'" in text and "did you mean 'm0'" in text
    assert "cores 0 to 3" in text
    assert "to stay on chip and to be spilled" in text
    assert "no task 'm01'" in text
    assert "'b4' is pinned to rows" in text


def test_impossible_pins_are_an_answer():
    graph, m = mlp(), machine()
    with pytest.raises(InfeasibleError, match="pins contradict"):
        solve(graph, m, pins=Pins(pattern={"m0": "parallel"}))


def test_a_cut_search_says_so_and_stays_valid():
    graph, m = tight_block(1 << 20)
    problem = make_problem(graph, m)
    moves, _ = moves_of(problem, "auto", Rules({}))
    narrow = search(problem, moves, width=3)
    best = search(problem, moves)
    assert best.exact and not narrow.exact
    assert best.cycles <= narrow.cycles <= 1.3 * best.cycles


def test_stage_limits_are_kept():
    graph, m = tight_block(1 << 20)
    schedule = solve(graph, m, limits=Limits(matmuls=1, tasks=2))
    assert max(len(stage.tasks) for stage in schedule.stages) <= 2
    assert schedule.objective >= solve(graph, m).objective


def test_banks_hold_one_tensor_at_a_time_in_as_few_bytes_as_possible():
    """Largest first, each into the first free bank, needs 29 bytes here."""
    spans = [(0, 2, 4), (0, 0, 8), (4, 5, 8), (0, 3, 9), (1, 5, 4), (3, 5, 6), (0, 4, 4)]
    tenants = [Tenant(f"t{i}", *span) for i, span in enumerate(spans)]
    found = colour(tenants)
    for bank, size in enumerate(found.sizes):
        inside = sorted(
            (t for t, own in zip(tenants, found.of, strict=True) if own == bank), key=lambda t: t.first
        )
        assert size == max(t.bytes for t in inside)
        assert all(not a.meets(b) for a, b in pairwise(inside))
    assert least(tenants) <= found.total == brute_banks(tenants)


def test_banks_of_very_many_copies() -> None:
    """Without the solver, whose model would be too large: first fit, with nothing twice in one place."""
    rng = random.Random(3)
    firsts = [rng.randrange(400) for _ in range(MOST_TENANTS + 1)]
    tenants = [Tenant(f"t{n}", f, f + rng.randrange(9), rng.randrange(1, 99)) for n, f in enumerate(firsts)]
    found = colour(tenants)
    assert found.bound < found.total < sum(tenant.bytes for tenant in tenants)
    for n, tenant in enumerate(tenants):
        assert tenant.bytes <= found.sizes[found.of[n]]
        assert not any(
            tenant.meets(other) and found.of[n] == found.of[m] for m, other in enumerate(tenants[:n])
        )


def test_large_graphs_are_searched_less_widely() -> None:
    assert [narrowed(4000, tasks) for tasks in (10, WIDE_TASKS, 200, 1000, 100_000)] == [
        4000,
        4000,
        1000,
        40,
        BEAM,
    ]


def unrolled(steps: int) -> QuantGraph:
    """A recurrent network over time: a row of the input, a matmul of the state, gates cut out of it and combined."""
    b = Builder(8, 8)
    state = b.input(1, 16, "state")
    for step in range(steps):
        both = b.matmul(state, 32)
        taken = b.add(b.affine(b.part(both, 0, 16)), b.affine(b.part(both, 16, 16)))
        state = b.add(taken, b.part(b.input(1, 32, f"x{step}"), 0, 16))
    return b.graph("recurrent")


def test_networks_of_very_many_tasks_get_a_settled_schedule() -> None:
    """An unrolled recurrent network: its moves go first, what is combined shares stages, and no copy is made in vain."""
    graph, m = unrolled(24), machine(cores=4, rate=16)
    assert len(graph.tasks) > 1.5 * WIDE_TASKS
    schedule = solve(graph, m)
    assert validate(schedule, graph) == []
    assert schedule.status == "FEASIBLE"
    assert schedule.objective < solve(graph, m, "sequential").objective
    copies = [copy for home in schedule.residency for copy in home.copies]
    readers = [name for task in graph.tasks for name in task.inputs]
    assert len(copies) < len(readers), (
        "copies are made for every reader, whether it reads at the same time or not"
    )


@pytest.mark.parametrize("seeds", [range(10), pytest.param(range(10, 60), marks=pytest.mark.full)])
def test_settled_schedules_are_valid_and_never_below_the_optimum(seeds: range) -> None:
    """Of one task at a time on a machine with memory enough all is settled but the order: the optimum is met."""
    met = 0
    for seed in seeds:
        graph, m = random_case(seed, 6)
        m = m.model_copy(update={"onchip_bytes": 1 << 22})
        problem = make_problem(graph, m)
        assert roomy(problem)
        for mode in ("auto", "sequential", "dataflow"):
            moves, _ = moves_of(problem, mode, Rules({}))
            found, best = settled(problem, moves), search(problem, moves)
            if best is None:
                assert found is None
                continue
            assert found is not None and found.cycles >= best.cycles and best.exact
            met += found.cycles == best.cycles
            layout = lay_out(problem, found.moves)
            made = build_schedule(problem, mode, found.moves, layout, 0, "dp", 0)
            assert not [b for b in validate(made, graph) if b.rule != "bound"], (seed, mode)
    assert met > 2.5 * len(seeds)


def test_a_search_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, m = tight_block(1 << 22)
    best = solve(graph, m)
    monkeypatch.setattr(sys.modules["intar.schedule.solve"], "EFFORT", 50)
    quick = solve(graph, m)
    assert validate(quick, graph) == []
    assert quick.status == "FEASIBLE" and best.status == "OPTIMAL"
    assert best.objective <= quick.objective <= 1.3 * best.objective


def test_ready_tasks_are_the_same_step_by_step() -> None:
    graph = unrolled(2)
    stages, done = Stages(make_problem(graph, machine()), Limits()), 0
    for task in range(len(graph.tasks)):
        ready = stages.ready(done)
        mask = sum(1 << task for task in ready)
        for chosen in ready:
            behind = stages._ready_behind(mask, done | 1 << chosen, chosen)
            assert members(behind) == stages.ready(done | 1 << chosen)
        done |= 1 << task


def brute_banks(tenants: list[Tenant]) -> int:
    """Least bytes over every partition into banks."""
    best = sum(t.bytes for t in tenants)

    def grow(i: int, banks: list[list[Tenant]]) -> None:
        nonlocal best
        if i == len(tenants):
            best = min(best, sum(max(t.bytes for t in bank) for bank in banks))
            return
        for bank in banks:
            if not any(tenants[i].meets(t) for t in bank):
                bank.append(tenants[i])
                grow(i + 1, banks)
                bank.pop()
        grow(i + 1, [*banks, [tenants[i]]])

    grow(0, [])
    return best


def test_banks_of_random_tenants_are_the_smallest():
    rng, harder = random.Random(1), 0
    for _ in range(300):
        spans = [sorted((rng.randrange(6), rng.randrange(6))) for _ in range(7)]
        tenants = [Tenant(f"t{i}", *span, rng.randrange(1, 10)) for i, span in enumerate(spans)]
        found = colour(tenants)
        assert found.bound <= found.total == brute_banks(tenants)
        harder += found.bound < found.total
    assert harder, "largest first and its bound were enough every time: the solver was not tried"


def test_only_the_solver_module_imports_ortools():
    root = Path(intar.__file__).parent
    importers = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.split(".")[0] == "ortools" for name in names):
                importers.add(path.relative_to(root).as_posix())
    assert importers == {"schedule/solver.py"}


def test_checker_imports_nothing_of_the_solver():
    folder = Path(intar.__file__).parent / "schedule"
    modules = set()
    for file in (folder / "validate.py", *sorted((folder / "check").glob("*.py"))):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {m for m in modules if m and m.startswith("intar") and ".schedule.check." not in m} == {
        "intar.ir.beats",
        "intar.ir.circuit",
        "intar.ir.kernels",
        "intar.ir.pixels",
        "intar.ir.quantgraph",
        "intar.ir.rational",
        "intar.ir.schedule",
    }
