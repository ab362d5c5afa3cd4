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

from intar import proof, rendering
from intar.design import Design
from intar.errors import ConfigError, InfeasibleError, UnsupportedError
from intar.ir.quantgraph import Quantised
from intar.ir.schedule import PartedSchedule
from intar.proof import Check
from intar.quant.random_graphs import random_inputs
from intar.random_cases import FAMILIES, random_case
from intar.schedule.timeline import timeline

EXECUTORS = ("engine", "csim", "rtl")
REFUSALS = (ConfigError, InfeasibleError, UnsupportedError)
"""What says that there is no such design."""
RESULTS = Path(__file__).parent / "results" / "fuzz.json"
CASES = Path(__file__).parents[1] / "tests" / "conformance" / "cases.json"


@dataclass(frozen=True)
class Outcome:
    """What one seed of a family gave.

    `words` are its options, `tasks` those of all entries. `mismatches` counts differing integers of each executor against
    golden; `objective` are cycles of the schedule's model, `expected` those of its timeline (0 where an entry has parts),
    `predicted` the engine's, `simulated` those of the RTL, all of the first inference of each entry together; `fault` is
    the exception that stopped the case, or cycles that were not as predicted ("" if none), `refused` the user error that
    says that there is no such design; `first` locates the first difference.
    """

    seed: int
    family: str = "tasks"
    words: str = ""
    tasks: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    objective: int = 0
    expected: int = 0
    predicted: int = 0
    simulated: int = 0
    mismatches: dict[str, int] = field(default_factory=dict)
    first: str = ""
    fault: str = ""
    refused: str = ""

    @property
    def ok(self) -> bool:
        return not self.fault and not any(self.mismatches.values())

    @property
    def error(self) -> float | None:
        """Predicted against simulated cycles, relative to the simulated ones."""
        return (self.predicted - self.simulated) / self.simulated if self.simulated else None


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
    seed: int, executors: Sequence[str] = EXECUTORS, inferences: int = 2, family: str = "tasks"
) -> Outcome:
    """Build the case of a seed and run it through the executors; never raises for a fault of the compiler."""
    outcome = Outcome(seed, family)
    try:
        case = random_case(family, seed)
        outcome = replace(outcome, words=case.words)
        try:
            designs = case.make()
        except REFUSALS as error:
            return replace(outcome, refused=f"{type(error).__name__}: {str(error)[:600]}")
        return _execute(outcome, designs, executors, inferences)
    except Exception as fault:  # a fuzzer reports whatever comes
        return replace(outcome, fault=f"{type(fault).__name__}: {str(fault)[:600]}")


def expected_cycles(made: Design) -> int:
    """Cycles by the timeline of a design's schedule; 0 if it has parts."""
    schedule = made.schedule
    return 0 if isinstance(schedule, PartedSchedule) else timeline(schedule, made.quantised.graph)[1]


def _execute(
    outcome: Outcome, designs: Sequence[Design], executors: Sequence[str], inferences: int
) -> Outcome:
    checks: list[tuple[Design, Check]] = []
    with tempfile.TemporaryDirectory(prefix="intar_fuzz_") as scratch:
        out = Path(scratch)
        if {"csim", "rtl"} & set(executors):
            rendering.project(designs[0], others=designs[1:]).write(out)
        for made in designs:
            inputs = [random_inputs(made.quantised, outcome.seed + i) for i in range(inferences)]
            runs: dict[str, Callable[[], Check]] = {
                "engine": lambda made=made, inputs=inputs: proof.verify_engine(made, inputs),
                "csim": lambda made=made, inputs=inputs: proof.verify_csim(made, inputs, out, sweep=True),
                "rtl": lambda made=made, inputs=inputs: proof.verify_rtl(made, inputs, out),
            }
            checks += [(made, runs[name]()) for name in executors]
    fault = next(
        (
            f"the {c.executor} takes {c.cycles}, predicted {m.predicted.cycles}"
            for m, c in checks
            if {*c.cycles} - {m.predicted.cycles}
        ),
        "",
    )
    mismatches = collections.Counter(dict.fromkeys(executors, 0))
    for _, check in checks:
        mismatches[check.executor] += check.mismatches
    return replace(
        outcome,
        tasks=tuple(phrase for made in designs for phrase in describe(made.quantised)),
        patterns=tuple(stage.pattern for made in designs for _, stage in made.schedule.laps),
        objective=sum(made.schedule.objective for made in designs),
        expected=sum(map(expected_cycles, designs)) if all(map(expected_cycles, designs)) else 0,
        predicted=sum(made.predicted.cycles for made in designs),
        simulated=sum(check.cycles[0] for _, check in checks if check.executor == "rtl"),
        mismatches=dict(mismatches),
        first=next(
            (f"{made.name}, {check.executor}: {check.first}" for made, check in checks if check.first), ""
        ),
        fault=fault,
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
        "refused": [o.seed for o in outcomes if o.refused],
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
        own = {"seed": outcome.seed, "family": outcome.family}
        if any(case == own | {"why": case["why"]} for case in cases):
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
    parser.add_argument("--family", choices=[*FAMILIES], default="tasks")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no graph after that time")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    begin, outcomes = time.monotonic(), []
    for seed in range(options.start, options.start + options.count):
        if time.monotonic() - begin > options.seconds:
            break
        outcome = check_case(seed, options.executors, family=options.family)
        outcomes.append(outcome)
        if not outcome.ok:
            remember(outcome)
        error = (
            "" if outcome.error is None else f"{outcome.predicted}/{outcome.simulated} {outcome.error:+.2%}"
        )
        print(
            seed,
            outcome.fault or outcome.first or outcome.refused or "ok",
            outcome.patterns,
            error,
            flush=True,
        )
        write_results(options.out, outcomes, options.executors)
    total = summary(outcomes, options.executors)
    print(json.dumps({k: v for k, v in total.items() if k != "worst"}))
    return 0 if all(o.ok for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
