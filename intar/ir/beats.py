"""Moves of whole beats: where every `lanes` elements of the output are one beat of an input, beats move and not elements."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from intar.ir.circuit import piece_indices
from intar.ir.quantgraph import QMove, QTensor


def beat_addresses(
    task: QMove, tensors: Mapping[str, QTensor], lanes: int
) -> list[tuple[int, np.ndarray]] | None:
    """(input slot, addresses in beats), piece by piece in the order of the output; None where a beat would be cut apart.

    Rows of inputs are padded to whole beats: row `r` of a tensor of `c` columns begins at beat ``r * ceil(c / lanes)``.
    Rows of the output must be whole beats.
    """
    if tensors[task.output].cols % lanes:
        return None
    found = []
    for visit in range(task.visits):
        for piece in task.pieces:
            cols = tensors[task.inputs[piece.input]].cols
            row, column = np.divmod(piece_indices(piece, visit), cols)
            if len(row) % lanes:
                return None
            address = (row * (-(-cols // lanes) * lanes) + column).reshape(-1, lanes)
            first = address[:, :1]
            if (first % lanes).any() or (address != first + np.arange(lanes)).any():
                return None
            found.append((piece.input, first[:, 0] // lanes))
    return found
