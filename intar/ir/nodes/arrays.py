"""The MAC array of a core, and the feed that turns rows into its operands."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from intar.ir.frozen import Frozen
from intar.ir.nodes.step import Step


class FeedStep(Step):
    """Turn row beats into operand beats.

    ``for tile in tiles: for m in m_tiles: for b in blocks:`` take `rows` beats (`rows_last` when ``m`` is the last),
    then, `replay` times, for each channel ``l`` of the block (from `k_first` in the first block, else 0, up to `k_last` - 1
    in the last block, else the last one) send one beat of the `rows` parameter of the node: element ``l`` of each row taken,
    0 for rows not taken. Where the node has a `depth`, a channel is as many neighbouring elements.
    """

    tiles: int = Field(gt=0)
    m_tiles: int = Field(gt=0)
    rows: int
    rows_last: int
    blocks: int = Field(gt=0)
    k_first: int = Field(default=0, ge=0)
    k_last: int
    replay: int = 1


class Feed(Frozen):
    """Transposer before a core: ``in`` (`lanes` elements of one row) to ``out`` (`rows` elements of one channel).

    With a `depth` the elements of a row go out so many at a time: element ``r * depth + d`` of a beat is the ``d``-th of row
    ``r``; `by_channel`: element ``d * rows + r``.
    """

    kind: Literal["feed"] = "feed"
    name: str
    rows: int
    lanes: int
    bits: int
    depth: int = Field(default=1, gt=0)
    by_channel: bool = False
    steps: tuple[FeedStep, ...]

    @property
    def channels(self) -> int:
        """Beats that a block of rows goes out in."""
        return self.lanes // self.depth


class CoreStep(Step):
    """Matrix product tiles.

    ``for tile in tiles: for m in m_tiles: for v in visits: for x in contexts:``
    the accumulators start at 0 (``v == 0``) or at context ``x``; then `k` times (`k_last` in the last visit)
    one beat of ``a`` and one of ``w`` are taken and ``acc[r][c] += a[r]*w[c]``; then the accumulators go to context
    ``x``, or in the last visit to ``out``: one beat per row, `rows` beats (`rows_last` when ``m`` is the last).
    With one visit, `k_last` equals `k`.
    """

    tiles: int = Field(gt=0)
    m_tiles: int = Field(gt=0)
    visits: int = 1
    contexts: int = 1
    k: int = Field(gt=0)
    k_last: int = Field(gt=0)
    rows: int
    rows_last: int


class Core(Frozen):
    """`rows` × `lanes` MAC array, output-stationary, double accumulators. Ports ``a``, ``w``, ``out``.

    A cell adds up `depth` products a cycle: ``acc[r][c] += sum(a[r * depth + d] * w[c * depth + d])``.

    `a_used`, `w_used`: bits that its operands fit in, the width of its multipliers (0: as wide as the elements, `a_bits` and
    `w_bits`). `pack` lanes of a row share a multiplier; no bit and no cycle depends on it.
    """

    kind: Literal["core"] = "core"
    name: str
    rows: int
    lanes: int
    depth: int = Field(default=1, gt=0)
    a_bits: int
    w_bits: int
    a_used: int = Field(default=0, ge=0)
    w_used: int = Field(default=0, ge=0)
    pack: int = Field(default=1, gt=0)
    acc_bits: int
    contexts: int = 1
    steps: tuple[CoreStep, ...]

    @property
    def operand_bits(self) -> tuple[int, int]:
        """Bits that the operands from ``a`` and ``w`` fit in."""
        return self.a_used or self.a_bits, self.w_used or self.w_bits

    @property
    def multipliers(self) -> int:
        """Multipliers of the array: `pack` products of a row have one."""
        return self.rows * self.depth * -(-self.lanes // self.pack)
