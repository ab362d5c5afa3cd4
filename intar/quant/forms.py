"""The form of a network that a machine performs: the same function, with the same outputs to the bit."""

from __future__ import annotations

from intar.ir.quantgraph import Quantised
from intar.ir.schedule import AnySchedule, Machine, PartedSchedule
from intar.quant.averages import average_products
from intar.quant.heads import group_heads
from intar.quant.phases import merge_phases
from intar.quant.pooled import pool_products


def machine_form(quantised: Quantised, machine: Machine) -> Quantised:
    """With pools in the convolutions before them on arrays of one row: there results leave in the order in which a pool
    takes them. On others phases of depthwise convolutions share the rows, and global averages are matmuls."""
    if machine.rows == 1:
        return pool_products(quantised)
    return average_products(merge_phases(quantised, machine), machine)


def form_of(quantised: Quantised, schedule: AnySchedule) -> Quantised:
    """The form whose tasks a schedule places: as the network is, with its pools joined, with its heads in groups."""
    if isinstance(schedule, PartedSchedule):
        placed = {name for rounds in schedule.pieces for names in rounds for name in names}
    else:
        placed = {place.task for stage in schedule.stages for place in stage.tasks}
    pooled = machine_form(quantised, schedule.machine)
    joined = _names(quantised) - _names(pooled)
    form = quantised if joined & placed else pooled
    if schedule.machine.row_units == 1 or placed <= _names(form):
        return form
    return group_heads(form, schedule.machine.row_units)


def _names(quantised: Quantised) -> set[str]:
    return {task.name for task in quantised.graph.tasks}
