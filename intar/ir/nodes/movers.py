"""Nodes that pass elements on, or pick among them: gather, argmax, router."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from intar.ir.frozen import Frozen
from intar.ir.nodes.memories import Walk
from intar.ir.nodes.step import Step


class GatherStep(Step):
    """Pick element ``address % lanes`` of each beat taken, for each address of the walk (in elements).

    Elements are packed into beats of `lanes`; after every `row` elements a partly filled beat is sent, padded with 0.
    Place and row count go on across steps (a row of a concat comes from several walks).
    """

    walk: Walk
    row: int = Field(gt=0)


class Gather(Frozen):
    """Element mover for transpose, reshape, concat and slice: one element per cycle. Ports ``in``, ``out``."""

    kind: Literal["gather"] = "gather"
    name: str
    lanes: int
    bits: int
    steps: tuple[GatherStep, ...]


class ArgmaxStep(Step):
    """The index of the first largest element of each of `rows` rows of `cols` elements (`ceil(cols / lanes)` beats)."""

    rows: int = Field(gt=0)
    cols: int = Field(gt=0)


class Argmax(Frozen):
    """Indices of largest elements: one for each row, one a beat. Ports ``in``, ``out`` (1 × 32 bits)."""

    kind: Literal["argmax"] = "argmax"
    name: str
    lanes: int
    bits: int
    steps: tuple[ArgmaxStep, ...]

    def beats(self, step: ArgmaxStep) -> tuple[int, int]:
        """Beats of a row of a step, and elements in the last of them."""
        beats = -(-step.cols // self.lanes)
        return beats, step.cols - (beats - 1) * self.lanes


class Leg(Frozen):
    """Move beats from input `src` to every output of `dsts`."""

    src: int
    dsts: tuple[int, ...]


class RouterStep(Step):
    """``for round in rounds: for leg in legs:`` move `beats` beats.

    Every `period`-th round (``round % period == period-1``) each leg moves `beats_last` beats instead.
    """

    rounds: int = Field(gt=0)
    legs: tuple[Leg, ...]
    beats: int
    period: int = 1
    beats_last: int


class Router(Frozen):
    """Static switch. Ports ``in0``…, ``out0``…; beats pass unchanged.

    With `out_bits` the elements leave in so many bits, which hold all their values.
    """

    kind: Literal["router"] = "router"
    name: str
    inputs: int
    outputs: int
    lanes: int
    bits: int
    out_bits: int = Field(default=0, ge=0)
    steps: tuple[RouterStep, ...]

    @property
    def leaving_bits(self) -> int:
        """Bits of an element on the outputs."""
        return self.out_bits or self.bits
