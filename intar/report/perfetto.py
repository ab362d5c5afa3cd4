"""The predicted run as a Chrome trace, for ui.perfetto.dev or ``chrome://tracing``.

One track a unit, one slice a step; the units of time, named microseconds by these viewers, are cycles.
"""

from __future__ import annotations

import json
from typing import Any

from intar.design import Design
from intar.report.gantt import GROUPS, label_of, unit_groups
from intar.report.occupancy import occupancy


def perfetto_json(design: Design) -> bytes:
    """Trace-event JSON: slices of all units, grouped into processes, and a counter of beats held for each buffer."""
    groups = unit_groups(design)
    units = list(dict.fromkeys(span.node for span in design.predicted.stages))
    threads = {unit: index + 1 for index, unit in enumerate(units)}
    events: list[dict[str, Any]] = []
    for pid, group in enumerate(GROUPS, 1):
        events.append({"ph": "M", "name": "process_name", "pid": pid, "args": {"name": group}})
        events.append({"ph": "M", "name": "process_sort_index", "pid": pid, "args": {"sort_index": pid}})
    for unit, tid in threads.items():
        pid = GROUPS.index(groups[unit]) + 1
        events.append({"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": unit}})
    free: dict[str, int] = {}
    for span in design.predicted.stages:
        if span.first < 0:
            continue
        # Slices of a track may not overlap: a step that was prepared during the one before starts where that ends.
        begin = min(max(span.first, free.get(span.node, 0)), span.last)
        free[span.node] = span.last + 1
        events.append(
            {
                "ph": "X",
                "name": label_of(span.note),
                "cat": groups[span.node],
                "pid": GROUPS.index(groups[span.node]) + 1,
                "tid": threads[span.node],
                "ts": begin,
                "dur": span.last - begin + 1,
                "args": {"step": span.step, "note": span.note, "first": span.first, "last": span.last},
            }
        )
    pid = GROUPS.index("buffers") + 1
    for curve in occupancy(design):
        for cycle, beats in curve.points:
            name = f"{curve.buffer}: beats held"
            events.append({"ph": "C", "name": name, "pid": pid, "ts": cycle, "args": {"beats": beats}})
    lines = ",\n".join(json.dumps(event) for event in events)
    head = json.dumps({"design": design.quantised.graph.name, "unit_of_ts": "cycles"})
    return f'{{"otherData": {head},\n"traceEvents": [\n{lines}\n]}}\n'.encode()
