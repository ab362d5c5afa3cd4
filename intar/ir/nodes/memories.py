"""Memories on chip: buffers, walked through in beats or elements, and images, read in windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from intar.ir.frozen import Frozen
from intar.ir.nodes.step import Step


class Walk(Frozen):
    """An affine address walk: five nested loops, outermost first.

    ``address = base + (i0*strides[0]) % wrap + i1*strides[1] + ... + i4*strides[4]`` (no modulo when `wrap` is 0).
    In the last iteration of loop `ragged` the innermost loop runs `last` times instead of `counts[4]`
    (`ragged` = -1: never).
    """

    base: int = 0
    wrap: int = 0
    counts: tuple[int, int, int, int, int] = (1, 1, 1, 1, 1)
    strides: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    ragged: int = -1
    last: int = 0

    @property
    def beats(self) -> int:
        """Number of addresses visited."""
        c0, c1, c2, c3, c4 = self.counts
        total = c0 * c1 * c2 * c3 * c4
        if self.ragged < 0:
            return total
        return total - (total // c4 // self.counts[self.ragged]) * (c4 - self.last)

    def addresses(self) -> Iterator[int]:
        """Every address, in order."""
        for i0 in range(self.counts[0]):
            yield from self.iteration(i0)

    def iteration(self, i0: int) -> Iterator[int]:
        """The addresses of one iteration of the outermost loop."""
        _, c1, c2, c3, c4 = self.counts
        s0, s1, s2, s3, s4 = self.strides
        outer = i0 * s0
        if self.wrap:
            outer %= self.wrap
        index = [i0, 0, 0, 0]
        for index[1] in range(c1):
            for index[2] in range(c2):
                for index[3] in range(c3):
                    start = self.base + outer + index[1] * s1 + index[2] * s2 + index[3] * s3
                    is_last = self.ragged >= 0 and index[self.ragged] == self.counts[self.ragged] - 1
                    for i4 in range(self.last if is_last else c4):
                        yield start + i4 * s4


class BufferStep(Step):
    """One walk of one side of a buffer.

    Iteration `i` of the walk's outermost loop starts when the *other* side has posted at least
    ``need + i*need_step`` iterations in this inference; each finished iteration posts one.
    With `elements`, the walk counts elements and the beat address is ``address // lanes``.
    """

    walk: Walk
    need: int = 0
    need_step: int = 0
    elements: bool = False

    def needs(self) -> Iterator[int]:
        """What the other side must have posted, for each iteration."""
        for iteration in range(self.walk.counts[0]):
            yield self.need + iteration * self.need_step


class Buffer(Frozen):
    """On-chip memory of `depth` beats, one write side (port ``in``) and one read side (port ``out``).

    `merged` is a static interleaving of the two sides' iterations, as runs ``(side, iterations)`` with side
    ``"w"`` or ``"r"``: the order in which a single-threaded back end (HLS) performs them. A run lies in one segment. Before
    `plan_merged` has found it, it is the order of the tasks, which may break rules (`need`).
    """

    kind: Literal["buffer"] = "buffer"
    name: str
    depth: int = Field(gt=0)
    lanes: int
    bits: int
    writes: tuple[BufferStep, ...]
    reads: tuple[BufferStep, ...]
    merged: tuple[tuple[Literal["w", "r"], int], ...] = ()


class ReadStep(Step):
    """One walk over a memory of constants."""

    walk: Walk


class ConstantMemory(Frozen):
    """On-chip memory of `depth` beats that are there from the start: the image of this name, kept beside the program.

    The image is the bits of all beats, one behind the other, lowest first, filled with zeros to a whole byte. The memory has
    a read side only (port ``out``), with a buffer's latency. Segments walk over it as they please.
    """

    kind: Literal["constant"] = "constant"
    name: str
    depth: int = Field(gt=0)
    lanes: int
    bits: int
    reads: tuple[ReadStep, ...]

    @property
    def image_bytes(self) -> int:
        """Size of its image."""
        return -(-self.depth * self.lanes * self.bits // 8)


class Window(Frozen):
    """One tap of a window: lane ``j`` of its beat is the pixel `dy` rows below and `dx` columns right of the place of pixel
    ``j`` of the tile, and the step's `pad` where that is outside of the channel's `height` × `width` valid pixels.

    `offset` = channel base + dy * pitch + dx: how far that element is from the one in the place of pixel ``j``.
    """

    offset: int
    dy: int
    dx: int
    height: int = Field(ge=0)
    width: int = Field(ge=0)


class ImageStep(Step):
    """Read windows of pixel tiles: ``for pass in passes: for tile in tiles: for tap in taps`` one beat.

    Tile ``i`` is flat pixels ``(first + i * stride) * lanes`` and so on of an image of `rows` rows of `columns` pixels:
    pixel ``p`` is row ``p // columns``, column ``p % columns``. Its place in the memory is `down` times that row and `right`
    times that column, element ``p // columns * down * pitch + p % columns * right`` (`pitch`: pixels from row to row of the
    memory's image); below the last row of the tiles' image
    every lane is `pad`. The taps are
    ``node.taps[tap : tap + taps]``, in pass ``n`` each ``n * pass_step`` beats further on (in other channels). One iteration
    is one tile of one pass: it starts when the write side has posted ``min(need + i*need_step, need_limit)``.
    """

    first: int = 0
    stride: int = 1
    tiles: int = Field(gt=0)
    passes: int = Field(default=1, gt=0)
    pass_step: int = 0
    rows: int = Field(gt=0)
    columns: int = Field(gt=0)
    down: int = Field(default=1, gt=0)
    right: int = Field(default=1, gt=0)
    pitch: int = Field(gt=0)
    tap: int = 0
    taps: int = Field(gt=0)
    pad: int = 0
    need: int = 0
    need_step: int = 0
    need_limit: int = 0

    def needs(self) -> Iterator[int]:
        """What the write side must have posted, for each iteration."""
        for _ in range(self.passes):
            for tile in range(self.tiles):
                yield min(self.need + tile * self.need_step, self.need_limit)


class Image(Frozen):
    """On-chip memory of flat images (`docs/numerics.md`): written like a buffer (port ``in``), read in windows (``out``).

    Pixel (r, c) of a channel is element ``r * pitch + c`` of it, with the pitch of the step that reads it. `merged` as in
    `Buffer`.
    """

    kind: Literal["image"] = "image"
    name: str
    depth: int = Field(gt=0)
    lanes: int
    bits: int
    taps: tuple[Window, ...]
    writes: tuple[BufferStep, ...]
    reads: tuple[ImageStep, ...]
    merged: tuple[tuple[Literal["w", "r"], int], ...] = ()
