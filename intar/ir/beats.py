"""Moves of whole beats: where every `lanes` elements of the output are one beat of an input, beats move and not elements.

Where they are one run of beats that follow each other, nothing may have to move at all (`beat_runs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from intar.ir.circuit import piece_indices
from intar.ir.quantgraph import GRID, QMove, QTensor, QuantGraph

MOST_BEATS = 512
"""Beats of a tensor of which runs need no step, at most: block memories have as many words, so that one for a part of them
is no smaller."""


def beat_addresses(
    task: QMove, tensors: Mapping[str, QTensor], lanes: int, depth: int = 1
) -> list[tuple[int, np.ndarray]] | None:
    """(input slot, addresses in beats), piece by piece in the order of the output; None where a beat would be cut apart.

    Rows are padded to whole beats: row `r` of a tensor of `c` columns begins at beat ``r * ceil(c / lanes)``. Where rows of
    the output end inside of a beat, each last beat has to be the last one of a row of the input that ends at the same lane.
    What stands behind those ends moves along: where cells multiply `depth` channels at a time and rows are no multiple of
    these, it has to be 0, as moves of elements leave it.
    """
    out = tensors[task.output].cols
    if out % lanes and out % depth:
        return None
    found = []
    for visit in range(task.visits):
        for piece in task.pieces:
            cols = tensors[task.inputs[piece.input]].cols
            index = piece_indices(piece, visit)
            if len(index) % (out if out % lanes else lanes) or (out - cols) % lanes * (out % lanes):
                return None
            row, column = np.divmod(index, cols)
            address = row * (-(-cols // lanes) * lanes) + column
            if out % lanes:
                address = _padded(address, column, out, cols, lanes)
            address = address.reshape(-1, lanes)
            first = address[:, :1]
            if (first % lanes).any() or (address != first + np.arange(lanes)).any():
                return None
            found.append((piece.input, first[:, 0] // lanes))
    return found


def _padded(address: np.ndarray, column: np.ndarray, out: int, cols: int, lanes: int) -> np.ndarray:
    """Addresses of rows of `out` elements with the rest of each last beat; negative ones where the input's don't end so."""
    rows = address.reshape(-1, out)
    ends = rows[:, -1:] + np.arange(1, -out % lanes + 1)
    whole = column.reshape(-1, out)[:, -1:] == cols - 1
    return np.concatenate([rows, np.where(whole, ends, -1)], axis=1).reshape(-1)


def one_run(beats: Sequence[tuple[int, np.ndarray]]) -> tuple[int, int] | None:
    """The input slot and the first beat of a move that takes one run of beats of one input, in order."""
    if len({slot for slot, _ in beats}) != 1:
        return None
    addresses = np.concatenate([part for _, part in beats])
    return (beats[0][0], int(addresses[0])) if (np.diff(addresses) == 1).all() else None


def beat_runs(graph: QuantGraph, lanes: int, depth: int = 1) -> frozenset[str]:
    """Moves that need no step where nothing of it goes off chip: who makes the tensor of which they take one run of beats
    writes these for their readers, too. By name; not those whose results are read in windows."""
    tensors = {tensor.name: tensor for tensor in graph.tensors}
    windows = {name for task in graph.tasks if isinstance(task, GRID) for name in task.inputs}
    root = {task.output: task.output for task in graph.tasks}
    found = set()
    for task in graph.tasks:
        beats = beat_addresses(task, tensors, lanes, depth) if isinstance(task, QMove) else None
        run = one_run(beats) if beats else None
        if run is None or task.output in windows:
            continue
        source = root.get(task.inputs[run[0]])
        if source and tensors[source].rows * -(-tensors[source].cols // lanes) <= MOST_BEATS:
            found.add(task.name)
            root[task.output] = source
    return frozenset(found)
