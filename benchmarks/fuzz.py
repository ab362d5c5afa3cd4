"""Random networks through every executor: golden, engine (two-sided and interleaved), C++ and RTL.

Every integer of every output is compared, and the engine's prediction with the cycles of the RTL.

>>> python benchmarks/fuzz.py --count 20 --start 0                                            # doctest: +SKIP
"""

from __future__ import annotations

import argparse
import collections
import fcntl
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from intar import pipeline, proof, rendering
from intar.errors import ConfigError, UnsupportedError
from intar.ir.quantgraph import Quantised
from intar.ir.schedule import Machine, Mode, Schedule
from intar.proof import Check
from intar.quant.random_graphs import ATTENTION, STEPS, TOKENS, USUAL, random_inputs, random_quantised
from intar.quant.streamed import stream_states
from intar.schedule.build import build_schedule, lay_out
from intar.schedule.dp import after, enough
from intar.schedule.moves import Move
from intar.schedule.pins import rules_of
from intar.schedule.problem import make_problem
from intar.schedule.solve import moves_of

EXECUTORS = ("engine", "csim", "rtl")
MODES = ("auto", "auto", "intar", "sequential", "dataflow")
ROW_WISE = ("matmul", "matmul", "affine", "binary", "binary")
RESULTS = Path(__file__).parent / "results" / "fuzz.json"
CASES = Path(__file__).parents[1] / "tests" / "conformance" / "cases.json"


@dataclass(frozen=True)
class Outcome:
    """What one seed gave.

    `mismatches` counts differing integers of each executor against golden; `objective` are cycles of the schedule's
    model, `predicted` the engine's, `simulated` those of the RTL in the first inference; `fault` is
    the exception that stopped the case ("" if none); `first` locates the first difference.
    """

    seed: int
    mode: str = ""
    machine: str = ""
    tasks: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    objective: int = 0
    predicted: int = 0
    simulated: int = 0
    mismatches: dict[str, int] = field(default_factory=dict)
    first: str = ""
    fault: str = ""
    steps: bool = False

    @property
    def ok(self) -> bool:
        return not self.fault and not any(self.mismatches.values())

    @property
    def error(self) -> float | None:
        """Predicted against simulated cycles, relative to the simulated ones."""
        return (self.predicted - self.simulated) / self.simulated if self.simulated else None


def random_case(seed: int, solved: bool = True, steps: bool = False) -> tuple[Quantised, Machine, Mode]:
    """A network, a machine and a mode; the seed decides all of it.

    Not `solved`: without moves, which run alone anyway. With `steps`: of networks that keep states from call to call, on
    arrays of cells that may multiply several channels a cycle, perhaps with ports for the states.
    """
    rng = np.random.default_rng([seed, 3])
    bits = (None, (8, 16))[int(rng.integers(2))]
    usual = TOKENS if seed % 9 == 8 else ATTENTION if seed % 3 == 2 else USUAL
    ops = STEPS if steps else ROW_WISE if not solved else usual
    tasks, inputs = int(rng.integers(1, 7)) + 2 * (not solved), int(rng.integers(1, 3))
    quantised = random_quantised(seed, tasks, inputs=inputs, bits=bits, ops=ops)
    lanes = int(rng.choice([4, 8, 16]))
    machine = Machine(
        cores=int(rng.integers(1, 4)),
        rows=int(rng.choice([1, 2, 4])),
        lanes=lanes,
        rate=int(rng.choice([1, 2, 4])),
        port_bits=int(rng.choice([32, 64, 128] if steps else [64, 128, 256])),
        onchip_bytes=1_000_000,
        clock_mhz=300,
        latency=int(rng.choice([8, 64])),
        depth=int(rng.choice([1, 2, 4])) if steps else 1,
    )
    if steps:
        quantised, machine = with_state_ports(quantised, machine, rng)
    return quantised, machine, MODES[int(rng.integers(len(MODES)))]  # type: ignore[return-value]


def with_state_ports(
    quantised: Quantised, machine: Machine, rng: np.random.Generator
) -> tuple[Quantised, Machine]:
    """The same, mostly with so many ports for the states as the network allows."""
    possible = []
    for ports in range(1, machine.cores + 1):
        ported = machine.model_copy(update={"state_ports": ports})
        try:
            possible.append((stream_states(quantised, ported), ported))
        except ConfigError:
            continue
    return (
        possible[int(rng.integers(len(possible)))]
        if possible and rng.random() < 0.9
        else (quantised, machine)
    )


def random_schedule(quantised: Quantised, machine: Machine, seed: int) -> Schedule:
    """Any schedule of the search space, drawn stage by stage: what a solver would seldom choose comes as often as the rest.

    Large stages are likelier, so that pipelined and interleaved ones are common.
    """
    rng = np.random.default_rng([seed, 4])
    problem = make_problem(quantised.graph, machine)
    moves, _ = moves_of(problem, "auto", rules_of(None, problem))
    path: list[Move] = []
    state: tuple[int, tuple[tuple[int, int], ...]] = (0, ())
    while state[0] != problem.everything:
        masks = moves.extensions(state[0])
        sizes = np.array([mask.bit_count() ** 3 for mask in masks], dtype=float)
        mask = masks[int(rng.choice(len(masks), p=sizes / sizes.sum()))]
        ways = moves.options(state[0], mask, frozenset(tensor for tensor, _ in state[1]))
        ways = [move for move in ways if enough(state, move)]
        if ways:
            path.append(ways[int(rng.integers(len(ways)))])
            state, _ = after(problem, state, path[-1])
    return build_schedule(problem, "auto", path, lay_out(problem, path), 0, "random", 0.0)


def describe(quantised: Quantised) -> tuple[str, ...]:
    """One phrase for each task: its kind, shapes, widths and table."""
    graph, found = quantised.graph, []
    for task in graph.tasks:
        out = graph.tensor(task.output)
        weight = f" w{task.weight_bits}" if task.kind == "matmul" else ""
        weight += " cached" * bool(getattr(task, "cached", 0)) + " state" * bool(getattr(task, "state", ""))
        table = "" if task.table is None else f" {task.table.method}"
        found.append(f"{task.kind}{weight}{table} a{out.bits} {'x'.join(map(str, out.shape))}")
    return tuple(found)


def check_case(
    seed: int,
    executors: Sequence[str] = EXECUTORS,
    inferences: int = 2,
    solved: bool = True,
    steps: bool = False,
) -> Outcome:
    """Build the case of a seed and run it through the executors; never raises for a fault of the compiler.

    `solved`: with the schedule that the case's mode gives; otherwise with a random one. `steps`: of :func:`random_case`.
    """
    quantised, machine, mode = random_case(seed, solved, steps)
    outcome = Outcome(
        seed,
        mode if solved else "random",
        f"{machine.cores} cores of {machine.rows}x{machine.lanes}x{machine.depth}, rate {machine.rate}, "
        f"port {machine.port_bits}, latency {machine.latency}, states {machine.state_ports}",
        describe(quantised),
        steps=steps,
    )
    try:
        try:
            return _execute(outcome, quantised, machine, mode, executors, inferences)
        except UnsupportedError:  # of several channels a cycle, which goes with some networks only
            plain = machine.model_copy(update={"depth": 1})
            return _execute(outcome, quantised, plain, mode, executors, inferences)
    except Exception as fault:  # a fuzzer reports whatever comes
        return replace(outcome, fault=f"{type(fault).__name__}: {str(fault)[:600]}")


def _execute(
    outcome: Outcome,
    quantised: Quantised,
    machine: Machine,
    mode: Mode,
    executors: Sequence[str],
    inferences: int,
) -> Outcome:
    if outcome.mode == "random":
        made = pipeline.design(quantised, random_schedule(quantised, machine, outcome.seed))
    else:
        made = pipeline.compile_quantised(quantised, machine, mode)
    inputs = [random_inputs(quantised, outcome.seed + i) for i in range(inferences)]
    checks = []
    with tempfile.TemporaryDirectory(prefix="intar_fuzz_") as scratch:
        out = Path(scratch)
        if {"csim", "rtl"} & set(executors):
            rendering.project(made).write(out)
        runs: dict[str, Callable[[], Check]] = {
            "engine": lambda: proof.verify_engine(made, inputs),
            "csim": lambda: proof.verify_csim(made, inputs, out, sweep=True),
            "rtl": lambda: proof.verify_rtl(made, inputs, out),
        }
        checks = [runs[name]() for name in executors]
    simulated = next((c.cycles[0] for c in checks if c.executor == "rtl"), 0)
    return replace(
        outcome,
        patterns=tuple(stage.pattern for stage in made.schedule.stages),
        objective=made.schedule.objective,
        predicted=made.predicted.cycles,
        simulated=simulated,
        mismatches={check.executor: check.mismatches for check in checks},
        first=next((f"{check.executor}: {check.first}" for check in checks if check.first), ""),
    )


def summary(outcomes: Sequence[Outcome], executors: Sequence[str]) -> dict[str, object]:
    """Counts, mismatches and the distribution of the cycle errors."""
    errors = sorted(
        (o for o in outcomes if o.error is not None), key=lambda o: abs(o.error or 0.0), reverse=True
    )
    sizes = [abs(o.error or 0.0) for o in errors]
    return {
        "graphs": len(outcomes),
        "executors": list(executors),
        "faults": [o.seed for o in outcomes if o.fault],
        "mismatching_graphs": [o.seed for o in outcomes if any(o.mismatches.values())],
        "mismatching_integers": sum(sum(o.mismatches.values()) for o in outcomes),
        "patterns": dict(sorted(collections.Counter(p for o in outcomes for p in o.patterns).items())),
        "cycle_error_median": round(statistics.median(sizes), 6) if sizes else None,
        "cycle_error_worst": round(sizes[0], 6) if sizes else None,
        "worst": [{"error": round(o.error or 0.0, 6), **asdict(o)} for o in errors[:5]],
    }


def write_results(path: Path, outcomes: Sequence[Outcome], executors: Sequence[str]) -> dict[str, object]:
    """Write summary and outcomes in one go; returns the summary."""
    total = summary(outcomes, executors)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"summary": total, "outcomes": [asdict(o) for o in outcomes]}, indent=1) + "\n"
    scratch = path.with_suffix(".tmp")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, path)
    return total


def remember(outcome: Outcome, path: Path = CASES) -> None:
    """Keep a failed seed for the default test run; safe when several processes fail at once."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cases = json.loads(path.read_text(encoding="utf-8"))
        solved = outcome.mode != "random"
        own = {"seed": outcome.seed, "solved": solved, "steps": outcome.steps}
        if any({"solved": True, "steps": False} | case == own | {"why": case["why"]} for case in cases):
            return
        why = (outcome.fault or outcome.first).splitlines()[0][:200]
        cases = sorted([*cases, own | {"why": why}], key=lambda case: case["seed"])
        scratch = path.with_suffix(".tmp")
        scratch.write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")
        os.replace(scratch, path)


def main() -> int:
    """Command line; the exit status is 1 if any graph failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20, help="number of graphs")
    parser.add_argument("--start", type=int, default=0, help="first seed")
    parser.add_argument("--executors", nargs="+", choices=EXECUTORS, default=list(EXECUTORS))
    parser.add_argument(
        "--random-schedules", action="store_true", help="any schedule instead of the solver's"
    )
    parser.add_argument(
        "--steps",
        action="store_true",
        help="step functions: cached rows, several channels a cycle, ports of states",
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no graph after that time")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    begin, outcomes = time.monotonic(), []
    for seed in range(options.start, options.start + options.count):
        if time.monotonic() - begin > options.seconds:
            break
        outcome = check_case(
            seed, options.executors, solved=not options.random_schedules, steps=options.steps
        )
        outcomes.append(outcome)
        if not outcome.ok:
            remember(outcome)
        error = (
            "" if outcome.error is None else f"{outcome.predicted}/{outcome.simulated} {outcome.error:+.2%}"
        )
        print(
            seed, "ok" if outcome.ok else outcome.fault or outcome.first, outcome.patterns, error, flush=True
        )
        write_results(options.out, outcomes, options.executors)
    total = summary(outcomes, options.executors)
    print(json.dumps({k: v for k, v in total.items() if k != "worst"}))
    return 0 if all(o.ok for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
