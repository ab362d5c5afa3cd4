"""Predicted against simulated cycles, and bits, over designs in every pattern and over random networks.

Four figures of every case: the schedule's objective (which the solver minimises) and the cycles of its timeline, the
engine's prediction, and the RTL's cycles, whose output is compared with golden integer by integer.

>>> python benchmarks/predicted.py -o benchmarks/results                                       # doctest: +SKIP
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fuzz import check_case, expected_cycles

from intar import bench, designs, pipeline
from intar.errors import InfeasibleError, UnsupportedError
from intar.ir.io import write_atomic
from intar.session import open_source

DESIGNS = (*designs.expand([]), "mhsa_64", "vae", "cnn4l", "intar_mlp", "rnet")
LONG = 10_000
"""Predicted cycles from which start and end of an inference hardly count."""


@dataclass(frozen=True)
class Case:
    """One schedule: `group` is ``design``, ``solved`` (a random network in a random mode) or ``drawn`` (another one with a
    random schedule); cycles; `expected` are those of the schedule's timeline, None if it has parts; `simulated` is None, and
    `exact` is about the engine alone or None, where the RTL was not simulated."""

    group: str
    name: str
    pattern: str
    objective: int
    expected: int | None
    predicted: int
    simulated: int | None
    exact: bool | None
    fault: str = ""

    @property
    def prediction_error(self) -> float | None:
        """Of the engine against the RTL, relative to the RTL."""
        return self.predicted / self.simulated - 1 if self.simulated else None

    @property
    def timeline_error(self) -> float | None:
        """Of the schedule's timeline against the engine, relative to the engine."""
        return self.expected / self.predicted - 1 if self.expected and self.predicted else None


def design_cases(names: Sequence[str], simulate: bool) -> Iterator[Case]:
    """Reference designs in all patterns."""
    for name in names:
        source = open_source(name)
        for pattern in bench.PATTERNS:
            try:
                made = pipeline.compile_quantised(
                    source.quantised, source.machine, pattern, loops=source.loops
                )
            except (InfeasibleError, UnsupportedError):  # nothing fits in this pattern
                continue
            check = bench.simulated(made, bench.INFERENCES) if simulate else None
            yield Case(
                "design",
                name,
                pattern,
                made.schedule.objective,
                expected_cycles(made) or None,
                made.predicted.cycles,
                max(check.cycles) if check else None,
                check.bit_exact if check else None,
            )


def random_cases(count: int, start: int, simulate: bool) -> Iterator[Case]:
    """`count` networks as the solver schedules them, and as many with a random schedule."""
    executors = ("engine", "csim", "rtl") if simulate else ("engine",)
    for family, group in (("tasks", "solved"), ("schedules", "drawn")):
        for seed in range(start, start + count):
            o = check_case(seed, executors, family=family)
            mode = o.words.split(",")[0]
            cycles = (o.objective, o.expected or None, o.predicted, o.simulated or None)
            yield Case(group, f"seed {seed}", mode, *cycles, o.ok, o.fault or o.first)


def spread(errors: Sequence[tuple[float, Case]]) -> dict[str, object] | None:
    """Median and worst of absolute errors, and whose the worst is."""
    if not errors:
        return None
    worst, case = max(errors, key=lambda pair: abs(pair[0]))
    return {
        "cases": len(errors),
        "median": round(statistics.median(abs(error) for error, _ in errors), 6),
        "worst": round(worst, 6),
        "worst_case": f"{case.name} {case.pattern}, {case.predicted} cycles",
    }


def summary(cases: Sequence[Case]) -> dict[str, object]:
    """Errors of prediction and timeline: of all, and of the timeline by group, long and short."""
    errors = [(case.timeline_error, case) for case in cases if case.timeline_error is not None]
    parts = {
        f"{group}, {'long' if long else 'short'}": spread(
            [(e, c) for e, c in errors if c.group == group and (c.predicted >= LONG) == long]
        )
        for group in ("design", "solved", "drawn")
        for long in (True, False)
    }
    return {
        "cases": len(cases),
        "mismatching": [f"{c.name} {c.pattern}: {c.fault}" for c in cases if c.exact is False],
        "prediction": spread([(c.prediction_error, c) for c in cases if c.prediction_error is not None]),
        "timeline": {"all": spread(errors)} | {name: part for name, part in parts.items() if part},
    }


def main() -> int:
    """Command line; the exit status is 1 if a bit is wrong or a case failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "designs", nargs="*", default=DESIGNS, help="reference designs (default: the quick ones)"
    )
    parser.add_argument("--count", type=int, default=25, help="random networks of either kind")
    parser.add_argument("--start", type=int, default=100, help="first seed")
    parser.add_argument("--predict-only", action="store_true", help="no RTL: timeline against engine")
    parser.add_argument("-o", "--out", type=Path, help="folder for predicted.json")
    options = parser.parse_args()
    cases: list[Case] = []
    for found in (
        design_cases(options.designs, not options.predict_only),
        random_cases(options.count, options.start, not options.predict_only),
    ):
        for case in found:
            cases.append(case)
            verdict = {True: "exact", False: f"WRONG: {case.fault}", None: ""}[case.exact]
            print(
                f"{case.group:7} {case.name:17} {case.pattern:10} objective {case.objective:7}, "
                f"timeline {case.expected or '–':>7}, engine {case.predicted:7}, RTL {case.simulated or '–':>7} {verdict}",
                flush=True,
            )
    total = summary(cases)
    print(json.dumps(total, indent=1))
    if options.out:
        document = {"summary": total, "cases": [asdict(case) for case in cases]}
        write_atomic(options.out / "predicted.json", (json.dumps(document, indent=1) + "\n").encode())
    return 1 if total["mismatching"] else 0


if __name__ == "__main__":
    sys.exit(main())
