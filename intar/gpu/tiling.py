"""How a call is cut into tiles and sums: from its shape alone, so that gradients have the same bits on every run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from intar.gpu.layout import Layout

TILE = {4: 128, 2: 32}
"""Vectors in a tile of the backward kernel, by the bytes of an element: for two warps, and for one."""
VECTOR_BYTES = 16
LEAST_VECTORS = 8
MOST_VECTORS = {"forward": {4: 64, 2: 32}, "backward": {4: 64, 2: 16}}
"""Vectors side by side in a tile: at least a cache line of 128 bytes; at most what is fastest on an H200."""
PROGRAMS = {4: 1056, 2: 2112}
"""Backward programs in all, by the bytes of an element: 8 and 16 for each multiprocessor of an H100."""
LEAST_TILES = 16
"""Tiles that a program has at least, unless there are fewer."""


@dataclass(frozen=True)
class Tiling:
    """Tiles of one call.

    Parameters
    ----------
    vec : neighbouring channels in a vector, all in one group.
    vectors, lanes : vectors and rows of a tile.
    columns : tiles side by side.
    programs : backward programs for each column; program `p` has the tiles of rows p, p + programs, …
    fills : there is work for as many programs as are ever started: what is best for such a call is not for a small one.
    group : vectors of a group.
    width : vectors of all groups (the last one filled up).
    """

    vec: int
    vectors: int
    lanes: int
    columns: int
    programs: int
    fills: bool
    group: int
    width: int


def tiling(layout: Layout, item_bytes: int, kernel: Literal["forward", "backward"]) -> Tiling:
    """The tiles of `kernel` for elements of `item_bytes`."""
    vec = math.gcd(layout.size, layout.channels, VECTOR_BYTES // item_bytes)
    group = layout.size // vec
    width = layout.groups * group
    sizes = [2**k for k in range(12) if LEAST_VECTORS <= 2**k <= MOST_VECTORS[kernel][item_bytes]]
    vectors = min(sizes, key=lambda size: (-(-width // size) * size, -size))
    columns = -(-width // vectors)
    lanes = TILE[item_bytes] // vectors
    tiles = -(-layout.rows // lanes)
    most = max(1, PROGRAMS[item_bytes] // columns)
    programs = max(1, min(most, tiles // LEAST_TILES))
    return Tiling(vec, vectors, lanes, columns, programs, programs == most, group, width)
