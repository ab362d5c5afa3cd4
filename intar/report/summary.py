"""The report of a design as one stable, versioned dict (`report.json`, DESIGN section 9).

What was not run is None, never missing and never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from intar.design import Design
from intar.errors import InfeasibleError, UnsupportedError
from intar.ir.quantgraph import QConv, QMatmul, QProduct, QuantGraph
from intar.ir.schedule import Mode, Stage
from intar.pipeline import recompile
from intar.proof import Check
from intar.rendering import build_target
from intar.report.static import static_resources

SCHEMA = "intar.report/1"
MODES: tuple[Mode, ...] = ("auto", "intar", "sequential", "dataflow")


def macs(graph: QuantGraph) -> int:
    """Multiply-accumulates of one inference: a convolution's over its valid pixels, taps outside of the image included."""
    total = 0
    for task in graph.tasks:
        if isinstance(task, QMatmul | QProduct):
            out, depth = graph.tensor(task.output), graph.tensor(task.inputs[0]).cols
            total += out.rows * out.cols * depth
        elif isinstance(task, QConv):
            taps = task.useful or sum(group.channels * len(group.taps) for group in task.groups)
            total += task.height * task.width * taps
    return total


def cycle_limit(design: Design) -> int:
    """MACs ÷ multipliers, or the words that the ports of one kind share: only tiles with fewer taps can beat it.

    The weights may be spread over all weight ports, whatever this schedule does with them. Taps outside of an image count,
    whether a whole tile leaves them out (`intar.ir.pixels`) or not; rows that are looked up do not.
    """
    machine, arguments = design.schedule.machine, design.program.arguments
    weights = sum(a.words for a in arguments if a.role == "constant" and a.name not in ("p", "e"))
    others = [a.words for a in arguments if a.role != "constant" or a.name == "p"]
    products = -(-macs(design.quantised.graph) // machine.multipliers)
    return max(products, -(-weights // machine.cores), *others)


def pattern_row(design: Design, simulated: int | None = None) -> dict[str, Any]:
    """One line of the comparison of patterns."""
    return {
        "pattern": design.schedule.mode,
        "objective": design.schedule.objective,
        "predicted": design.predicted.cycles,
        "simulated": simulated,
        "reason": "",
    }


def pattern_rows(design: Design, simulated: int | None = None) -> Iterator[dict[str, Any]]:
    """The design's own pattern and the others on the same machine, in the order of `MODES`.

    A pattern that does not fit has None for its cycles and says why in ``reason``.
    """
    for mode in MODES:
        if mode == design.schedule.mode:
            yield pattern_row(design, simulated)
            continue
        try:
            yield pattern_row(recompile(design, mode))
        except (InfeasibleError, UnsupportedError) as error:
            lost = dict.fromkeys(("objective", "predicted", "simulated"))
            yield {"pattern": mode} | lost | {"reason": error.findings[0].what}


def report_dict(
    design: Design,
    checks: Sequence[Check] = (),
    *,
    accuracy: Mapping[str, Any] | None = None,
    patterns: Sequence[Mapping[str, Any]] | None = None,
    numerics: Sequence[Mapping[str, Any]] | None = None,
    resources: Mapping[str, Any] | None = None,
    timing: Mapping[str, Any] | None = None,
    lost_cycles: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The whole report; every key is always there.

    Parameters
    ----------
    checks : executors that were compared with golden.
    accuracy, patterns, numerics, timing, lost_cycles : what was measured; None: not run.
    resources : of a synthesis; None: the compiler's static count (`source` says which).
    """
    by_name = {check.executor: check for check in checks}
    rtl = by_name.get("rtl")
    machine = design.schedule.machine
    return {
        "schema": SCHEMA,
        "design": design.quantised.graph.name,
        "entry": design.name if design.program.entries else None,
        "device": machine.device,
        "pattern": design.schedule.mode,
        "budget": machine.model_dump(mode="json") | {"multipliers": machine.multipliers},
        "cycles": {
            "limit": cycle_limit(design),
            "predicted": design.predicted.cycles,
            "simulated": max(rtl.cycles) if rtl and rtl.cycles else None,
        },
        "bit_exact": {
            "interpreter": _exact(by_name.get("engine")),
            "csim": _exact(by_name.get("csim")),
            "rtl": _exact(rtl),
        },
        "accuracy": dict(accuracy) if accuracy is not None else None,
        "resources": dict(resources)
        if resources
        else static_resources(design.program, build_target(machine).uram),
        "timing": dict(timing) if timing else None,
        "schedule": {
            "objective": design.schedule.objective,
            "bound": design.schedule.bound,
            "gap": design.schedule.gap,
            "status": design.schedule.status,
            "seconds": round(design.schedule.seconds, 3),
        },
        "stages": [_stage(rounds, stage) for rounds, stage in design.schedule.laps],
        "lost_cycles": dict(lost_cycles) if lost_cycles is not None else None,
        "patterns": [dict(row) for row in patterns] if patterns else None,
        "numerics": [dict(row) for row in numerics] if numerics else None,
        "saturations": dict(by_name["csim"].saturations) if "csim" in by_name else None,
    }


def _exact(check: Check | None) -> bool | None:
    return None if check is None else check.bit_exact


def _stage(rounds: int, stage: Stage) -> dict[str, Any]:
    return {
        "pattern": stage.pattern,
        "tasks": {p.task: list(p.cores) for p in stage.tasks},
        "tile_rows": stage.tile_rows,
        "cycles": stage.cycles,
        "rounds": rounds,
    }
