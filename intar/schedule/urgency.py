"""The same stages in another order: those first on which the most work depends.

The cost model adds stages up, so it does not care about their order. But tasks that use different parts of the machine run
side by side: while the rows node is at a softmax, say, the arrays can make what only the product behind it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from intar.ir.circuit import circuit
from intar.ir.quantgraph import QuantGraph
from intar.ir.schedule import Bank, Copy, Residency, Schedule
from intar.schedule.banks import Tenant, colour
from intar.schedule.validate import validate


def by_urgency(schedule: Schedule, graph: QuantGraph) -> Schedule | None:
    """The schedule with its stages by the cycles of the longest chain that begins with each, longest first.

    None if that is how they stand, or if the tensors don't fit in that order.
    """
    uses = _uses(schedule, graph)
    order = _order([stage.cycles for stage in schedule.stages], _behind(schedule, graph, uses))
    if order == sorted(order):
        return None
    place = {old: new for new, old in enumerate(order)}
    moved = schedule.model_copy(
        update={
            "stages": tuple(schedule.stages[old] for old in order),
            "residency": tuple(_moved(home, place, uses.get(home.tensor, ())) for home in schedule.residency),
        }
    )
    return next((found for found in _in_banks(moved, graph) if not validate(found, graph)), None)


def _uses(schedule: Schedule, graph: QuantGraph) -> dict[str, list[int]]:
    """The stages that make or read each tensor, ascending."""
    tasks = {task.name: task for task in circuit(graph).tasks}
    found: dict[str, list[int]] = {}
    for position, stage in enumerate(schedule.stages):
        for name in {name for p in stage.tasks for name in (*tasks[p.task].inputs, tasks[p.task].output)}:
            found.setdefault(name, []).append(position)
    return found


def _behind(schedule: Schedule, graph: QuantGraph, uses: dict[str, list[int]]) -> list[set[int]]:
    """For each stage those that need what it makes or, of an input that stays on chip, loads first."""
    homes = {home.tensor: home.place for home in schedule.residency}
    behind: list[set[int]] = [set() for _ in schedule.stages]
    for name, (first, *others) in uses.items():
        if name not in graph.inputs or homes[name] == "chip":
            behind[first].update(others)
    return behind


def _order(cycles: Sequence[int], behind: Sequence[set[int]]) -> list[int]:
    """Stages by the cycles of the longest chain from each on; those with equal ones as they are."""
    chains = [0] * len(cycles)
    for stage in reversed(range(len(cycles))):
        chains[stage] = max(1, cycles[stage]) + max((chains[later] for later in behind[stage]), default=0)
    return sorted(range(len(cycles)), key=lambda stage: -chains[stage])


def _moved(home: Residency, place: dict[int, int], used: Sequence[int]) -> Residency:
    """Where a tensor lives, by the new places of the stages."""
    stages = sorted(place[stage] for stage in used)
    whole = {"first_stage": stages[0], "last_stage": stages[-1]}
    copies = tuple(
        copy.model_copy(
            update=whole
            if home.place == "chip"
            else {"first_stage": place[copy.first_stage], "last_stage": place[copy.last_stage]}
        )
        for copy in home.copies
    )
    return home.model_copy(update={**whole, "copies": copies})


def _in_banks(schedule: Schedule, graph: QuantGraph) -> Iterator[Schedule]:
    """The schedule with the banks that it has where each has one copy; else with new ones, if possible with time for
    transfers."""
    copies = [(home.tensor, copy) for home in schedule.residency for copy in home.copies]
    if len({copy.bank for _, copy in copies}) == len(copies):
        yield schedule
        return
    tenants = [
        Tenant(
            name,
            copy.first_stage,
            copy.last_stage,
            copy.bytes,
            name in graph.inputs,
            name in graph.outputs,
            copy.windows,
        )
        for name, copy in copies
    ]
    for wanted in ([tenant.ahead for tenant in tenants], tenants):
        found = colour(wanted)
        bank = iter(found.of)
        residency = tuple(
            home.model_copy(update={"copies": tuple(_in_bank(copy, next(bank)) for copy in home.copies)})
            for home in schedule.residency
        )
        places = zip(accumulate(found.sizes, initial=0), found.sizes, strict=False)
        banks = tuple(Bank(address=first, bytes=size) for first, size in places)
        yield schedule.model_copy(update={"residency": residency, "banks": banks})


def _in_bank(copy: Copy, bank: int) -> Copy:
    return copy.model_copy(update={"bank": bank})
