"""What quantisation costs: every tensor of the golden model against the float reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from intar.grid import prepare
from intar.grid.valid import valid_elements
from intar.ir.bits import INDEX_BITS
from intar.ir.quantgraph import QTensor, Quantised
from intar.ir.reference import AT_ONCE, float_tensors
from intar.ir.taskgraph import TaskGraph
from intar.quant.calibrate import counted, samples
from intar.quant.golden import dequantise, golden_tensors, quantise_input

SQNR_BOUND_DB = 20.0

MOST_SAMPLES = 64
"""Samples that a report is made from, at most."""


def numerics_report(
    graph: TaskGraph, quantised: Quantised, data: Mapping[str, np.ndarray] | None
) -> list[dict[str, Any]]:
    """Compare the golden model with the float reference on real samples.

    Parameters
    ----------
    graph : the float graph that `quantised` was made from; where passes were left out, as prepared without them.
    data : samples, as for calibration (:func:`intar.quant.calibrate.samples`), of which the first `MOST_SAMPLES` count;
        without any the report is empty.

    Returns
    -------
    One dict for each tensor of the quantised graph that the float graph has too, in order:
    ``name``, ``source``, ``bits``, ``scale``, ``zero``, ``sqnr_db`` (signal to quantisation noise over all samples,
    decibel; None when there is no noise), ``max_error`` (largest absolute difference, in the tensor's real units),
    ``saturations`` (of all samples together), ``elements`` (compared, of all samples), ``output`` (whether it is an
    output of the network) and ``table_error`` (largest error of its function table, units of the last place; None
    without a table).

    Raises
    ------
    CalibrationError
        The data does not fit the model.
    """
    if not data:
        return []
    graph = prepare(graph)
    shared = [tensor for tensor in quantised.graph.tensors if tensor.name in graph.by_name]
    signal, noise, worst, saturated = (dict.fromkeys((t.name for t in shared), 0.0) for _ in range(4))
    batch = samples(graph, {name: arrays[:MOST_SAMPLES] for name, arrays in data.items()})
    masks = valid_elements(graph)
    for first in range(0, len(batch), AT_ONCE):
        for tensor, ints, real, count in _side_by_side(
            graph, quantised, shared, batch[first : first + AT_ONCE]
        ):
            name = tensor.name
            made = counted(graph, name, real, dequantise(tensor, _as_real(ints, real.shape)))
            real = counted(graph, name, real)
            error = made - real
            if name in masks:
                error, real = error[masks[name]], real[masks[name]]
            signal[name] += float((real**2).sum())
            noise[name] += float((error**2).sum())
            worst[name] = max(worst[name], float(np.abs(error).max(initial=0.0)))
            saturated[name] += count
    tables = {task.output: task.table.max_error for task in quantised.graph.tasks if task.table is not None}
    return [
        {
            "name": tensor.name,
            "source": graph.tensor(tensor.name).source or tensor.name,
            "bits": tensor.bits,
            "scale": tensor.scale,
            "zero": tensor.zero,
            "sqnr_db": _decibel(signal[tensor.name], noise[tensor.name]),
            "max_error": worst[tensor.name],
            "saturations": int(saturated[tensor.name]),
            "elements": len(batch)
            * int(masks[tensor.name].sum() if tensor.name in masks else graph.tensor(tensor.name).size),
            "output": tensor.name in quantised.graph.outputs,
            "table_error": tables.get(tensor.name),
        }
        for tensor in shared
    ]


def _side_by_side(
    graph: TaskGraph,
    quantised: Quantised,
    shared: Sequence[QTensor],
    batch: Sequence[Mapping[str, np.ndarray]],
) -> Iterator[tuple[QTensor, np.ndarray, np.ndarray, int]]:
    """Each tensor that golden and float have, in each sample: its integers, its real values, and the saturations (those of
    all samples with the first)."""
    known = {tensor.name: tensor for tensor in shared}
    tensors = {name: quantised.graph.tensor(name) for name in quantised.graph.given}
    inputs = [{name: quantise_input(tensors[name], array) for name, array in one.items()} for one in batch]
    reals, waiting = float_tensors(graph, batch), {}
    for name, ints, count in golden_tensors(quantised, inputs):
        if name not in known:
            continue
        while name not in waiting:
            made, arrays = next(reals)
            if made in known:
                waiting[made] = arrays
        for sample, pair in enumerate(zip(ints, waiting.pop(name), strict=True)):
            yield known[name], *pair, 0 if sample else count


def _as_real(ints: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The integers in the float tensor's shape; an image on a grid loses the filler at the end of its rows."""
    if ints.shape == shape:
        return ints
    return ints.reshape(*shape[:3], -1)[..., : shape[3]]


def _decibel(signal: float, noise: float) -> float | None:
    """10·log10 of the ratio; None without noise, a very low number when there is noise but no signal."""
    if noise == 0:
        return None
    return 10 * math.log10(signal / noise) if signal > 0 else -300.0


def constant_inputs(data: Mapping[str, np.ndarray] | None) -> list[str]:
    """A sentence for each input whose samples hold one number only: they don't say what its range is."""
    return [
        f"input '{name}': every element of every sample is {np.ravel(array)[0]:g}; the formats that follow from that "
        "may fit no other data; calibrate with real samples"
        for name, array in (data or {}).items()
        if array.size > 1 and array.dtype.kind in "fiu" and np.ptp(array) == 0
    ]


def numerics_warnings(report: list[dict[str, Any]], bound_db: float = SQNR_BOUND_DB) -> list[str]:
    """A sentence for each tensor whose signal-to-noise ratio is below `bound_db`, with the way out; none for ids and
    indices: how far two of them are apart says nothing."""
    return [
        f"tensor '{row['source']}': its signal is only {row['sqnr_db']:.1f} dB above the quantisation noise "
        f"({row['bits']} bits, bound {bound_db:g} dB); use w16a16, or calibrate with data closer to what it will see"
        for row in report
        if row["bits"] < INDEX_BITS and row["sqnr_db"] is not None and row["sqnr_db"] < bound_db
    ]
