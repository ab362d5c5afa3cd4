"""What is known at a point of a timeline: when tensors are on chip, and when each part of the machine is free."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Made:
    """A tensor as it comes on chip: its first block of `height` rows can be read from cycle `first` on, the last one from
    `last` on, evenly in between. `follows`: readers that take rows as they come can follow; `even`: those, too, that take
    blocks of a multiple of `height` rows. `rounds`: in so many parts, which moves of whole beats and readers of a
    single row can follow. Of what is made on images `begun` is when its first beat can be read, and `behind` are the beats,
    row after row, that are left when the last one can.
    """

    first: int
    last: int
    height: int = 0
    follows: bool = False
    even: bool = False
    rounds: int = 1
    begun: int = 0
    behind: int = 0


@dataclass
class Free:
    """When each part of the machine is free; `columns`: when each core has begun its last column tile; `banks`: when what is
    in a bank has been read in all stages so far; `readers`: when its one read side is free."""

    arrays: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    columns: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    vectors: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    units: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    banks: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    readers: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    gather: int = 0
    loads: int = 0
    stores: int = 0
