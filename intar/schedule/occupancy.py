"""What is known at a point of a timeline: when tensors are on chip, and when each part of the machine is free."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from intar.ir.schedule import Copy
from intar.schedule.problem import Task, Tensor


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
    """When each part of the machine is free; `columns`: when each core has begun its last column tile."""

    arrays: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    columns: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    vectors: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    units: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    gather: int = 0
    loads: int = 0
    stores: int = 0


@dataclass
class Memories:
    """The memories that tensors use in turn: the `copies` of each tensor by name, and the tasks `inside` each stage.

    `banks`: when what is in a bank has been read in all stages so far; `readers`: when its one read side is free.
    """

    tensors: Sequence[Tensor]
    copies: Mapping[str, Sequence[Copy]]
    inside: Sequence[Sequence[Task]]
    banks: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    readers: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))

    def _copies(self, stage: int, tensor: int) -> list[int]:
        """The banks in which a tensor is in a stage."""
        copies = self.copies.get(self.tensors[tensor].name, ())
        return [copy.bank for copy in copies if copy.first_stage <= stage <= copy.last_stage]

    def free(self, stage: int, tensor: int) -> int:
        """When whatever was in the banks of a tensor before has been read for the last time."""
        return max((self.banks[bank] for bank in self._copies(stage, tensor)), default=0)

    def _side(self, stage: int, task: Task, slot: int) -> int | None:
        """The bank from which a task of a stage reads an input beat by beat; None where it isn't known."""
        tensor = task.inputs[slot]
        entry, banks = self.tensors[tensor], self._copies(stage, tensor)
        if entry.windows or not banks:
            return None
        if task.work.kind == "move":
            return banks[0]
        reads = [(t, n) for t in self.inside[stage] for n, one in enumerate(t.inputs) if one == tensor]
        return banks[reads.index((task, slot)) % len(banks)]

    def reader(self, stage: int, task: Task) -> int:
        """When the memories that a task reads are done with what was read before."""
        sides = (self._side(stage, task, slot) for slot in range(len(task.inputs)))
        return max((self.readers[bank] for bank in sides if bank is not None), default=0)

    def read(self, stage: int, task: Task, ends: Sequence[int]) -> None:
        """A task of a stage has read its inputs."""
        for slot, (tensor, end) in enumerate(zip(task.inputs, ends, strict=True)):
            self.emptied(stage, tensor, end)
            bank = self._side(stage, task, slot)
            if bank is not None:
                self.readers[bank] = max(self.readers[bank], end)

    def emptied(self, stage: int, tensor: int, end: int) -> None:
        """A tensor has been read in a stage."""
        for bank in self._copies(stage, tensor):
            self.banks[bank] = max(self.banks[bank], end)
