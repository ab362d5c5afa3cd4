"""What all nodes and their steps have in common."""

from __future__ import annotations

from pydantic import Field

from intar.ir.frozen import Frozen


class Step(Frozen):
    """A step of some node, played in segment `segment` of the program; `note` says what for.

    `only`: the one round of the segment in which it is played; -1: in each.
    """

    segment: int = Field(default=0, ge=0)
    only: int = Field(default=-1, ge=-1)
    note: str = ""
