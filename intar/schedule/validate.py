"""An independent check of any schedule: it shares no code with the solver and has its own arithmetic.

Everything is recomputed from the graph and from the text of `docs/schedule.md`, in the plainest way there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from intar.ir.circuit import circuit
from intar.ir.quantgraph import QuantGraph
from intar.ir.schedule import Schedule
from intar.schedule.check.cycles import cycle_rules
from intar.schedule.check.facts import Facts, Violation
from intar.schedule.check.memory import alignment_rules, bank_rules, copy_rules, residency_rules
from intar.schedule.check.rules import stage_rules


def validate(schedule: Schedule, graph: QuantGraph) -> list[Violation]:
    """All violations of a schedule; empty if it is sound.

    Checks: every task once, precedence, cores, the rules of each pattern, tile heights, residency and lifetimes, copies,
    banks and memory, cycles of every stage, objective, bound and status.
    """
    graph = circuit(graph)
    structure = list(_tasks_once(schedule, graph))
    if structure:
        return structure
    facts = Facts(schedule, graph)
    found = [v for i in range(len(schedule.stages)) for v in stage_rules(facts, i)]
    found += residency_rules(facts)
    if not found:
        for rules in (alignment_rules, copy_rules, bank_rules, cycle_rules):
            found += rules(facts)
    return found


def _tasks_once(schedule: Schedule, graph: QuantGraph) -> Iterator[Violation]:
    known = {task.name: task for task in graph.tasks}
    count = Counter(p.task for stage in schedule.stages for p in stage.tasks)
    for name in known:
        if count[name] != 1:
            yield Violation("once", name, f"scheduled {count[name]} times")
    for name in count:
        if name not in known:
            yield Violation("once", name, "no such task in the graph")
    made = {tensor for tensor in graph.inputs}
    for i, stage in enumerate(schedule.stages):
        for placement in stage.tasks:
            task = known.get(placement.task)
            if task is None:
                continue
            for tensor in task.inputs:
                if tensor not in made:
                    yield Violation(
                        "precedence", f"stage {i}", f"{task.name} reads {tensor} before it is made"
                    )
            made.add(task.output)
    tensors = {tensor.name for tensor in graph.tensors}
    homes = Counter(r.tensor for r in schedule.residency)
    wanted = {t for task in graph.tasks for t in (*task.inputs, task.output)}
    for name in sorted(wanted | set(homes)):
        if name not in tensors:
            yield Violation("residency", name, "no such tensor in the graph")
        elif homes[name] != (name in wanted):
            yield Violation("residency", name, f"{homes[name]} entries")
