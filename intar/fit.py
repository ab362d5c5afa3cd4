"""What a network asks of a machine, before anything is generated: operators, memory, and whether a schedule fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from intar.advice import weights_on_chip
from intar.errors import InfeasibleError
from intar.frontends.load import Values
from intar.ir.loops import looped_form
from intar.ir.ops import Op
from intar.ir.quantgraph import QConv, QMatmul
from intar.ir.taskgraph import TaskGraph
from intar.quant.scheme import Width
from intar.schedule.problem import make_problem
from intar.session import Source, open_source, solve_blocks


def synthetic_samples(graph: TaskGraph, count: int = 2) -> dict[str, np.ndarray]:
    """Random samples (positions 0): enough to find out sizes, which don't depend on the values of data."""
    rng = np.random.default_rng(0)
    rows = {task.inputs[1]: 1 for task in graph.tasks if task.op is Op.CACHED_SOFTMAX}
    for task in graph.tasks:
        if task.op is Op.EMBEDDING:
            ids, table = task.inputs
            rows[ids] = min(rows.get(ids, len(graph.constants[table])), len(graph.constants[table]))
    return {
        name: rng.integers(0, rows[name], shape) if name in rows else rng.normal(size=shape)
        for name in graph.inputs
        for shape in [(count, *graph.tensor(name).shape)]
    }


def check_model(
    model: str,
    *,
    device: str | None = None,
    scheme: str | None = None,
    budget: Mapping[str, object] | None = None,
    shapes: Mapping[str, int | Sequence[int]] | None = None,
    bits: Mapping[str, Width] | None = None,
    rational: str | None = None,
    values: Values = None,
    batch: int = 1,
) -> dict[str, Any]:
    """Every operator with its task and MACs, the memory, and whether the machine of device and budget can hold it.

    Returns
    -------
    dict with ``model``, ``supported`` (always true: an unsupported operator is an error), ``tasks`` (task, op, source,
    macs), ``loops`` (for each block that repeats ``rounds``, ``tasks`` of a round and the ``first`` and ``last`` of
    these in its first one), ``memory`` (bytes: ``weights``; on chip ``parameters`` (with the weights, if the budget has
    these on chip), ``activations`` and ``budget``; the ``largest`` activation and its ``largest_bytes``), ``fits``,
    ``reason`` (empty when it fits), ``machine`` and ``cycles`` (the schedule's objective, None when nothing fits), and
    ``on_chip``: what weights on chip would make of it (`intar.advice`), None when there is nothing to say.

    Raises
    ------
    UserError
        The model can't be read, has unsupported operators (all of them listed), or an option is wrong.
    """
    source = open_source(
        model,
        device=device,
        scheme=scheme,
        budget=budget,
        shapes=shapes,
        synthetic=synthetic_samples,
        bits=bits,
        rational=rational,
        values=values,
        batch=batch,
    )
    graph, machine = source.quantised.graph, source.machine
    problem = make_problem(graph, machine)
    largest = max(problem.tensors, key=lambda t: t.bytes)
    weights = sum(
        source.quantised.constants[task.weight].size * task.weight_bits // 8
        for task in graph.tasks
        if isinstance(task, QMatmul | QConv)
    )
    try:
        schedule, reason = solve_blocks(source, "auto", None), ""
    except InfeasibleError as error:
        schedule, reason = None, str(error)
    own = {"multipliers": machine.multipliers, "cells": machine.cells}
    better = None
    if schedule and source.asked and not source.loops:
        better = weights_on_chip(
            source.graph, source.quantised, machine, source.asked, "auto", schedule.objective
        )
    return {
        "model": source.graph.name,
        "supported": True,
        "tasks": _tasks(source),
        "loops": _loops(source),
        "memory": {
            "weights": weights,
            "parameters": problem.fixed_bytes,
            "activations": sum(t.bytes for t in problem.tensors),
            "largest": largest.name,
            "largest_bytes": largest.bytes,
            "budget": machine.onchip_bytes,
        },
        "fits": schedule is not None,
        "reason": reason,
        "machine": machine.model_dump(mode="json") | own,
        "cycles": schedule.objective if schedule else None,
        "on_chip": better.document() if better else None,
    }


def _loops(source: Source) -> list[dict[str, Any]]:
    return [
        {"rounds": len(blocks), "tasks": len(first), "first": first[0], "last": first[-1]}
        for blocks in looped_form(source.graph)[1]
        for first in blocks[:1]
    ]


def _tasks(source: Source) -> list[dict[str, Any]]:
    work = source.graph.macs()
    return [
        {"task": task.name, "op": Op(task.op).value, "source": task.source, "macs": work[task.name]}
        for task in source.graph.tasks
    ]
