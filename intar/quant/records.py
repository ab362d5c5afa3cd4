"""Recurrent layers in parts: tensors of which each round of a loop reads a row, and tensors of which each round makes one.

Both lie in memory as a whole, row by row, and a round finds its own. So the moves that cut rows out of the one, and those
that put rows together, read these rows instead: a round takes one row, and what is behind the loop takes all rows that the
rounds have made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from intar.errors import Finding
from intar.ir.circuit import move_indices
from intar.ir.quantgraph import QMove, QTask, QTensor, QuantGraph


@dataclass(frozen=True)
class Loop:
    """Pieces `first` … `end` - 1 are rounds of a part."""

    first: int
    end: int

    @property
    def rounds(self) -> range:
        """The pieces."""
        return range(self.first, self.end)


@dataclass
class Recorded:
    """The tasks of each piece, reading records.

    Attributes
    ----------
    tasks : of each piece.
    tensors : rows and records that are none of the network's tensors.
    rows : of each piece what it takes of other pieces' tensors row by row: the name there, the whole tensor, its first row.
    whole : of each piece what it takes of all rounds of a loop: the name there, and the tensor of each round.
    """

    tasks: list[list[QTask]]
    tensors: list[QTensor] = field(default_factory=list)
    rows: list[dict[str, tuple[str, int]]] = field(default_factory=list)
    whole: list[dict[str, tuple[str, ...]]] = field(default_factory=list)
    found: list[Finding] = field(default_factory=list)


def recurrent(graph: QuantGraph, tasks: Sequence[Sequence[QTask]], loops: Sequence[Loop]) -> bool:
    """Rounds of a loop but the first read a tensor from before it."""
    made = {task.output: index for index, own in enumerate(tasks) for task in own}
    return any(
        made.get(name, index) < loop.first
        for loop in loops
        for index in loop.rounds[1:]
        for task in tasks[index]
        for name in task.inputs
    )


def record(graph: QuantGraph, tasks: Sequence[Sequence[QTask]], loops: Sequence[Loop]) -> Recorded:
    """The tasks of each piece, with rows of records in place of what a loop's rounds cut out or what is put together of
    theirs."""
    return _Recorder(graph, tasks, loops).made


class _Recorder:
    def __init__(self, graph: QuantGraph, tasks: Sequence[Sequence[QTask]], loops: Sequence[Loop]) -> None:
        self.graph = graph
        self.tensors = {tensor.name: tensor for tensor in graph.tensors}
        self.where = {task.output: index for index, own in enumerate(tasks) for task in own}
        self.loop = {index: loop for loop in loops for index in loop.rounds}
        self.made = Recorded([])
        for index, own in enumerate(tasks):
            self.made.rows.append({})
            self.made.whole.append({})
            self.made.tasks.append([self._task(task, index) for task in own])

    def _task(self, task: QTask, index: int) -> QTask:
        """The task as its piece has it."""
        if not isinstance(task, QMove):
            return task
        loop = self.loop.get(index)
        if len(task.inputs) == 1:
            (source,) = task.inputs
            made = self.where.get(source, index)
            if made < (loop.first if loop else index) and made not in self.loop:
                return self._cut(task, source, index)
        behind = {
            self.loop[made].first: self.loop[made]
            for name in task.inputs
            if (made := self.where.get(name, index)) in self.loop and self.loop[made] is not loop
        }
        for other in behind.values():
            task = self._join(task, other, index)
        return task

    def _cut(self, task: QMove, source: str, index: int) -> QTask:
        """A move that takes elements of one row of a tensor from another piece: it takes them of that row."""
        tensor = self.tensors[source]
        taken = move_indices(task)
        row = int(taken.min()) // tensor.cols
        if int(taken.max()) // tensor.cols != row:
            if index in self.loop:
                what = f"a round reads several rows of {source!r} from before the loop"
                self.made.found.append(Finding(what, self.graph.name))
            return task
        name = f"{source}_row_{row}"
        if name not in self.made.rows[index]:
            self.made.rows[index][name] = source, row
            self._note(tensor.model_copy(update={"name": name, "shape": (1, tensor.cols)}))
        pieces = tuple(
            piece.model_copy(update={"offset": piece.offset - row * tensor.cols}) for piece in task.pieces
        )
        return task.model_copy(update={"inputs": (name,), "pieces": pieces})

    def _join(self, task: QMove, loop: Loop, index: int) -> QMove:
        """A move that reads what rounds have made: it reads the record of all rounds."""
        mine = [n for n, name in enumerate(task.inputs) if self.where.get(name) in loop.rounds]
        if mine == [n for n in mine if self.where[task.inputs[n]] == loop.end - 1]:
            return task  # what the last round has made lies there as it is
        rounds = {self.where[task.inputs[n]] - loop.first: n for n in mine}
        tensor = self.tensors[task.inputs[mine[0]]]
        if len(rounds) != len(mine) or len(rounds) != len(loop.rounds) or tensor.rows != 1:
            self.made.found.append(
                Finding(
                    f"{task.name!r} reads some rounds of a loop, or more than a row of each", self.graph.name
                )
            )
            return task
        size, count = tensor.cols, len(rounds)
        names = tuple(task.inputs[rounds[number]] for number in range(count))
        name = f"{names[0]}_rounds"
        self.made.whole[index][name] = names
        self._note(tensor.model_copy(update={"name": name, "shape": (count, size)}))
        kept = [given for n, given in enumerate(task.inputs) if n not in mine]
        place = {n: (kept.index(given), 0) for n, given in enumerate(task.inputs) if n not in mine}
        place |= {n: (len(kept), number * size) for number, n in rounds.items()}
        pieces = []
        for piece in task.pieces:
            where, shift = place[piece.input]
            pieces.append(piece.model_copy(update={"input": where, "offset": piece.offset + shift}))
        return task.model_copy(update={"inputs": (*kept, name), "pieces": tuple(pieces)})

    def _note(self, tensor: QTensor) -> None:
        if tensor.name not in self.tensors:
            self.tensors[tensor.name] = tensor
            self.made.tensors.append(tensor)
