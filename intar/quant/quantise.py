"""From the float task graph to the quantised one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from intar.errors import UnsupportedError
from intar.grid import prepare
from intar.ir.quantgraph import QuantGraph, Quantised, weight_types
from intar.ir.taskgraph import TaskGraph
from intar.quant.absorb import absorb_binaries
from intar.quant.calibrate import Observed
from intar.quant.channels import copy_channels
from intar.quant.emit.emitter import Emitter
from intar.quant.emit.groups import emit
from intar.quant.formats import choose_formats
from intar.quant.functions import function_tables
from intar.quant.fuse import fuse
from intar.quant.merge_moves import merge_moves
from intar.quant.scheme import W8A8, Scheme
from intar.quant.tokens import token_scaled


def quantise(
    graph: TaskGraph,
    scheme: Scheme = W8A8,
    calibration: Mapping[str, np.ndarray] | None = None,
    skip: Sequence[str] = (),
    alike: Sequence[Sequence[str]] = (),
    observed: Mapping[str, Observed] | None = None,
) -> Quantised:
    """Quantise a graph.

    Tensors that the model quantises itself (QDQ) keep their scales and zero points; all others get theirs from the
    calibration data, by the scheme.

    Parameters
    ----------
    graph : a valid task graph.
    scheme : widths and range method.
    calibration : for each input, samples along a first axis; None for a model that is quantised throughout.
    skip : names of passes of :func:`intar.grid.prepare` to leave out.
    alike : sets of tensors in the same place of all rounds of a loop: they have one width, as far as the model leaves it
        open, and their functions tables of one size.
    observed : what calibration has found on the same prepared graph and data (:func:`intar.quant.calibrate.observe`): it is
        not run again.

    Raises
    ------
    UnsupportedError
        Operators, broadcasts or quantisations without an integer form (all of them).
    CalibrationError
        Calibration data is missing or does not fit the model.
    """
    graph = token_scaled(prepare(graph, skip), scheme)
    groups = fuse(graph, scheme.rational == "direct")
    formats = choose_formats(graph, groups, scheme, calibration, alike, observed)
    emitter = Emitter(graph, formats, scheme, function_tables(groups, formats, scheme, alike))
    found = emitter.found
    for group in groups:
        try:
            emit(emitter, group)
        except UnsupportedError as error:
            found.extend(error.findings)
    if found:
        raise UnsupportedError(found)
    tasks = absorb_binaries(emitter.tasks, emitter.tensors, graph.outputs)
    used = {*graph.inputs, *graph.outputs, *(n for task in tasks for n in (*task.inputs, task.output))}
    numbers = {name for group in groups if group.cached for name in group.first.inputs[1:]}
    made = QuantGraph(
        name=graph.name,
        tensors=tuple(tensor for tensor in emitter.tensors.values() if tensor.name in used),
        tasks=tuple(tasks),
        inputs=tuple(name for name in graph.inputs if name not in numbers),
        outputs=graph.outputs,
    )
    return finish(merge_moves(copy_channels(made)), emitter.constants)


def finish(graph: QuantGraph, constants: Mapping[str, np.ndarray]) -> Quantised:
    """Freeze the constants, read-only and each in its type (`Quantised`), and write their digest into the graph."""
    types = weight_types(graph)
    frozen = {}
    for name in sorted(constants):
        frozen[name] = np.array(constants[name], types.get(name, np.int64), order="C")
        frozen[name].setflags(write=False)
    return Quantised(graph.model_copy(update={"digest": constants_digest(frozen)}), frozen)


def constants_digest(constants: Mapping[str, np.ndarray]) -> str:
    """SHA-256 (hex) of names, types, shapes and values."""
    total = hashlib.sha256()
    for name in sorted(constants):
        array = constants[name]
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        total.update(f"{name}\0{little.dtype.str}\0{array.shape}\0".encode())
        total.update(little.data)
    return total.hexdigest()
