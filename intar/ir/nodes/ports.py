"""Memory ports: loads and stores."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from intar.ir.frozen import Frozen
from intar.ir.nodes.step import Step


class LoadStep(Step):
    """Read `beats` beats from word `base` of the argument, `repeat` times over.

    With `table` > 0 so many rows lie from `base` on, each `pitch` words behind the one before; each repetition takes an id
    from ``ids`` and reads the first `beats` beats of row ``clamp(id, 0, table - 1)``.

    Starts when the store node `Load.after` has finished `need` commands (0: at once). In every second round of its
    segment it reads from `swap` words further on, and in each round further on by the segment's `Load.strides`.
    """

    base: int
    beats: int = Field(gt=0)
    repeat: int = Field(default=1, gt=0)
    need: int = 0
    swap: int = 0
    table: int = Field(default=0, ge=0)
    pitch: int = Field(default=0, ge=0)


class Load(Frozen):
    """AXI read port of `port_bits`: memory words to beats. Output port ``out``.

    Where steps look rows up (`LoadStep.table`; then all do) ids come from input port ``ids``, one a beat.

    `strides`: words by which all steps of a segment move on with each of its rounds, by segment (empty: none moves).
    """

    kind: Literal["load"] = "load"
    name: str
    port_bits: int
    argument: str
    words: int = Field(gt=0, description="size of the argument's buffer, port words")
    after: str = ""
    strides: tuple[int, ...] = ()
    steps: tuple[LoadStep, ...]

    @property
    def lookup(self) -> bool:
        """Ids choose what is read."""
        return any(step.table for step in self.steps)

    def base(self, step: LoadStep, round: int) -> int:
        """Where a step reads in a round of its segment, words."""
        stride = self.strides[step.segment] if self.strides else 0
        return step.base + round * stride + (round % 2) * step.swap


class StoreStep(Step):
    """Write the next `beats` beats from word `base` of the argument on, in odd rounds of the segment `swap` further; and
    further on by what the node moves with the round (`Store.strides`) and the call's position (`Store.row`).
    """

    base: int
    beats: int = Field(gt=0)
    swap: int = 0


class Store(Frozen):
    """AXI write port. Input port ``in``.

    A load that waits for this store may read the same argument, through the read channel of the same AXI master. `turns`
    is then a static order of the commands of both, as runs ``(side, commands)`` with side ``"w"`` or ``"r"``, in which a
    back end with one process for the argument (HLS) performs them. A run lies in one segment.

    `strides`: as in `Load`. `row`: words by which all steps move on with each position of a call (`Program.positions`).
    """

    kind: Literal["store"] = "store"
    name: str
    port_bits: int
    argument: str
    words: int = Field(gt=0)
    strides: tuple[int, ...] = ()
    row: int = Field(default=0, ge=0)
    steps: tuple[StoreStep, ...]
    turns: tuple[tuple[Literal["w", "r"], int], ...] = ()

    def base(self, step: StoreStep, round: int, position: int = 0) -> int:
        """Where a step writes in a round of its segment in a call at `position`, words."""
        stride = self.strides[step.segment] if self.strides else 0
        return step.base + round * stride + (round % 2) * step.swap + position * self.row
