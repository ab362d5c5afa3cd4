"""How a call is cut into tiles and sums: from its shape alone, so that gradients have the same bits on every run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from intar.gpu.layout import Layout

TILE = 256
"""Vectors in a tile of the backward kernel: two for each thread of four warps."""
VECTOR_BYTES = 16
LEAST_VECTORS, MOST_VECTORS = 8, 64
"""Vectors side by side in a tile: at least a cache line of 128 bytes, at most a quarter of a tile."""
MOST_PROGRAMS, LEAST_TILES = 1024, 16
"""Programs that share the rows of a column of tiles, and the tiles that each has at least, unless there are fewer."""


@dataclass(frozen=True)
class Tiling:
    """Tiles of one call.

    Parameters
    ----------
    vec : neighbouring channels in a vector, all in one group.
    vectors, lanes : vectors and rows of a tile.
    columns : tiles side by side.
    programs : backward programs for each column; program `p` has the tiles of rows p, p + programs, …
    group : vectors of a group.
    width : vectors of all groups (the last one filled up).
    """

    vec: int
    vectors: int
    lanes: int
    columns: int
    programs: int
    group: int
    width: int


def tiling(layout: Layout, item_bytes: int) -> Tiling:
    """The tiles for elements of `item_bytes`."""
    vec = math.gcd(layout.size, layout.channels, VECTOR_BYTES // item_bytes)
    group = layout.size // vec
    width = layout.groups * group
    sizes = [2**k for k in range(12) if LEAST_VECTORS <= 2**k <= MOST_VECTORS]
    vectors = min(sizes, key=lambda size: (-(-width // size) * size, -size))
    lanes = TILE // vectors
    tiles = -(-layout.rows // lanes)
    programs = min(MOST_PROGRAMS, max(1, tiles // LEAST_TILES))
    return Tiling(vec, vectors, lanes, -(-width // vectors), programs, group, width)
