"""A quantised network in parts: pieces that follow each other, and equal pieces that are one part in rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeVar

from intar.errors import Finding, UnsupportedError
from intar.ir.circuit import border_moves, identity_move
from intar.ir.quantgraph import (
    Frozen,
    Part,
    QArgmax,
    QConv,
    QEmbedding,
    QMatmul,
    QMove,
    QProduct,
    QTask,
    QTensor,
    QuantGraph,
    Quantised,
    Record,
)
from intar.ir.states import states
from intar.quant.records import Loop, Recorded, record, recurrent

ROLES = ("weight", "bias", "mult", "shift", "gain", "offset")
"""Fields of tasks that name constants (in some kinds of tasks some of them are numbers)."""

NUMBERS = frozenset(
    [
        *("lo", "hi", "zero", "mult", "shift", "numerator", "out_shift", "epsilon", "zx", "zy", "mx", "my"),
        *("acc_bits", "max_error", "in_bits", "q", "out_zero", "lift", "fraction"),
    ]
)
"""Fields of tasks, their tails and functions that are numbers of a step: they may differ from round to round."""


def divide(quantised: Quantised, pieces: Sequence[Sequence[Sequence[str]]]) -> tuple[Part, ...]:
    """Cut a network into parts.

    Parameters
    ----------
    pieces : for each part the names of the tasks of each of its rounds.

    Raises
    ------
    UnsupportedError
        A tensor is read further on than in the next piece, or rounds of a part are not alike: in everything but their
        numbers (scales, factors, bounds) and the values of their constants.
    """
    ends = list(accumulate((len(rounds) for rounds in pieces), initial=0))
    loops = [Loop(first, end) for first, end in pairwise(ends) if end - first > 1]
    cutter = _Cutter(quantised, [set(names) for rounds in pieces for names in rounds], loops)
    parts, first = [], 0
    for rounds in pieces:
        parts.append(cutter.part(first, len(rounds)))
        first += len(rounds)
    cutter.check_ways(parts)
    if cutter.found:
        raise UnsupportedError(cutter.found)
    return tuple(parts)


class _Cutter:
    def __init__(self, quantised: Quantised, pieces: Sequence[set[str]], loops: Sequence[Loop]):
        self.quantised, self.graph = quantised, quantised.graph
        self.pieces = pieces
        self.found: list[Finding] = []
        self.tensors = {tensor.name: tensor for tensor in self.graph.tensors}
        where = {name: index for index, names in enumerate(pieces) for name in names}
        self.kept = {name for state in states(self.graph) for name in (state.name, state.new)}
        self.tasks: list[list[QTask]] = [[] for _ in pieces]
        made: dict[str, int] = {}
        for task in self.graph.tasks:
            if task.name not in where:
                self._say(f"task {task.name!r} belongs to no part")
                continue
            self.tasks[where[task.name]].append(task)
            made[task.output] = where[task.name]
        self.crossing: list[list[str]] = [[] for _ in pieces]  # from each piece to the next
        self.recorded: Recorded | None = None
        if recurrent(self.graph, self.tasks, loops):
            self._record(loops, made)
            return
        for tensor in self.graph.tensors:
            if tensor.name in made and (tensor.name not in self.kept or self._leaves(tensor.name, where)):
                self._cross(tensor.name, made[tensor.name], where)

    def _say(self, what: str, why: str = "") -> None:
        self.found.append(Finding(what, self.graph.name, why))

    def _leaves(self, name: str, where: Mapping[str, int]) -> bool:
        """True if new rows of a state are read in another piece than the one that makes them."""
        pieces = {where.get(task.name) for task in self.graph.tasks if name in (*task.inputs, task.output)}
        return len(pieces) > 1

    def _cross(self, name: str, made: int, where: Mapping[str, int]) -> None:
        readers = {where[task.name] for task in self.graph.tasks if name in task.inputs} - {made}
        if readers - {made + 1}:
            self._say(
                f"tensor {name!r} of piece {made} is read in pieces {sorted(readers)}", "only the next may"
            )
        if name in self.graph.outputs and (readers or made != len(self.pieces) - 1):
            self._say(f"output {name!r} is made before the last piece")
        if readers or name in self.graph.outputs:
            self.crossing[made].append(name)

    def _record(self, loops: Sequence[Loop], made: Mapping[str, int]) -> None:
        """Let pieces read rows and records; what crosses is what any other piece reads."""
        self.recorded = recorded = record(self.graph, self.tasks, loops)
        self.found += recorded.found
        self.tasks = recorded.tasks
        self.tensors |= {tensor.name: tensor for tensor in recorded.tensors}
        read = {
            name
            for index, tasks in enumerate(self.tasks)
            for task in tasks
            for name in task.operands
            if made.get(name, index) != index
        }
        read |= {name for rows in recorded.rows for name, _ in rows.values()}
        read |= {name for whole in recorded.whole for names in whole.values() for name in names}
        for tensor in self.graph.tensors:
            if tensor.name in read or tensor.name in self.graph.outputs:
                self.crossing[made[tensor.name]].append(tensor.name)
        early = {name for own in self.crossing[:-1] for name in own if name in self.graph.outputs}
        looked = {task.output for task in self.graph.tasks if isinstance(task, QArgmax)}
        if wrong := sorted(
            name for name in early if name in looked or any(made[name] in x.rounds for x in loops)
        ):
            self._say(
                f"outputs {wrong} are made in a loop, or are indices that are made before the last piece"
            )
        if self.kept or self.graph.positions:
            self._say("the network keeps states from call to call")
        read |= early
        if loops[-1].end == len(self.pieces):
            self._say("a loop over rows is the last part", "what is behind it puts its rows together")
        self.places = {name: (name, 0) for own in self.crossing for name in own if name in read}
        for loop in loops:
            self._trail(loop)

    def _trail(self, loop: Loop) -> None:
        """What one round of a loop gives, every round gives: row after row, behind what the first round takes for it."""
        plain = [self._piece(index).graph for index in loop.rounds]
        names = [_renames(plain[0], one, set(self.graph.inputs)).tensors for one in plain]
        given = {
            own.get(name, name)
            for own, index in zip(names, loop.rounds, strict=True)
            for name in self.crossing[index]
        }
        for number, (own, index) in enumerate(zip(names, loop.rounds, strict=True)):
            made = [task.output for task in self.tasks[index] if own.get(task.output, task.output) in given]
            self.crossing[index] = made
            for name in made:
                first = own.get(name, name)
                self.places[name] = first, number + (first in names[1])
        for name in self.crossing[loop.first]:
            start = names[1].get(name)
            if start is not None and self.places.get(start) != (start, 0):
                self._say(f"{start!r} is what several tensors of a loop begin with, or comes from outside")
            elif start is not None:
                self.places[start] = name, 0

    def _records(self, first: int, rounds: int, graph: QuantGraph) -> dict[str, Record]:
        """Where the first round of a part finds and leaves what crosses."""
        assert self.recorded is not None
        cut, whole = self.recorded.rows[first : first + rounds], self.recorded.whole[first]
        found: dict[str, Record] = {}
        for name in (*graph.inputs, *self.crossing[first]):
            step = int(rounds > 1)
            if name in whole:
                place, row = self.places[whole[name][0]]
            elif name in cut[0]:
                source, row = cut[0][name]
                place, start = self.places[source]
                row += start
                taken = [[*own.values()][[*cut[0]].index(name)][1] for own in cut]
                steps = {b - a for a, b in pairwise(taken)} or {0}
                step = steps.pop()
                if steps or abs(step) != (rounds > 1):
                    self._say(f"rounds do not read one row of {source!r} after the other")
            elif name in self.places:
                place, row = self.places[name]
                if rounds > 1 and place not in self.crossing[first]:
                    self._say(f"rounds of the loop read {name!r} as a whole")
            else:
                continue  # an input or output of the network
            rows = graph.tensor(name).rows
            if rounds > 1 and rows != 1:
                self._say(f"rounds hand over several rows of {name!r}")
            found[name] = Record(place, row, rows, step)
        return found

    def part(self, first: int, rounds: int) -> Part:
        """The pieces from `first` on as a part of so many rounds."""
        plain = [self._piece(index) for index in range(first, first + rounds)]
        last = first + rounds == len(self.pieces)
        outside = set(self.graph.inputs) - self.kept
        renames = [_renames(plain[0].graph, one.graph, outside) for one in plain]
        gives = tuple(self.crossing[first])
        takes = tuple(self.crossing[first - 1]) if first else ()
        if self.recorded:
            takes = tuple(name for name in plain[0].graph.inputs if name not in self.graph.inputs)
        elif rounds > 1:
            given = renames[1].of(self.crossing[first])
            if first and given != takes:
                self._say(f"the rounds of the part take over {given} and {takes}")
            takes = given
            self._same_formats(plain[0].graph, takes, gives)
        alike = [_renamed(one, rename) for one, rename in zip(plain, renames, strict=True)]
        alike = [_ordered(one, alike[0].graph) for one in alike]
        graphs = _widest([one.graph for one in alike])
        graph = graphs[0]
        for index, one in enumerate(alike):
            self._compare(graph, one.graph, first + index)
            ends = renames[index].of(self.crossing[first + index])
            if ends != gives:
                self._say(f"piece {first + index} hands over {ends}, the first of its part {gives}")
        looked = {t.output for t in graph.tasks if isinstance(t, QEmbedding)} & {*takes, *gives}
        if looked:
            self._say(f"the looked-up rows {sorted(looked)} go from part to part as they are")
        moves = border_moves(graph)
        moved = {name for name, move in moves.items() if not _as_it_lies(graph, move)}
        moved &= {*takes} | (set() if last and rounds == 1 else {*gives})
        if moved:
            self._say(f"{sorted(moved)} take another shape or order where they go from part to part")
        made = tuple(Quantised(own, one.constants) for own, one in zip(graphs, alike, strict=True))
        kept = [
            {
                rename.tensors.get(name, name): name
                for name in (*one.graph.inputs, *one.graph.outputs)
                if name in self.kept
            }
            for one, rename in zip(plain, renames, strict=True)
        ]
        leaves = tuple(self.crossing[-1]) if last else ()
        if self.recorded and not last:
            leaves = tuple(name for name in gives if name in self.graph.outputs)
        records = self._records(first, rounds, plain[0].graph) if self.recorded else {}
        return Part(made, takes, gives, leaves, tuple(kept), records)

    def check_ways(self, parts: Sequence[Part]) -> None:
        """Rows lie in the order in which all loops read or make them, and those of outputs in the usual one."""
        ways: dict[str, set[int]] = {}
        for place in (place for part in parts for place in part.records.values()):
            ways.setdefault(place.name, set()).add(place.step)
        for name, steps in ways.items():
            if {1, -1} <= steps or (-1 in steps and name in self.graph.outputs):
                self._say(
                    f"loops go through the rows of {name!r} in both directions, or backwards through an output"
                )

    def _piece(self, index: int) -> Quantised:
        tasks = self.tasks[index]
        made = {task.output for task in tasks}
        used = {name for task in tasks for name in (*task.operands, task.output)}
        read = [name for task in tasks for name in task.operands if name not in made]
        graph = QuantGraph(
            name=self.graph.name,
            tensors=tuple(tensor for tensor in self.tensors.values() if tensor.name in used),
            tasks=tuple(tasks),
            inputs=tuple(dict.fromkeys(read)),
            outputs=tuple(dict.fromkeys([*self.crossing[index], *sorted(made & self.kept)])),
        )
        constants = {n: self.quantised.constants[n] for task in tasks for n in constant_names(task)}
        return Quantised(graph, constants)

    def _same_formats(self, graph: QuantGraph, takes: Sequence[str], gives: Sequence[str]) -> None:
        for taken, given in zip(takes, gives, strict=True):
            a, b = (_bare(graph.tensor(name)).model_copy(update={"name": ""}) for name in (taken, given))
            if a != b:
                self._say(f"a round takes {taken!r} and gives {given!r}: their shapes or widths differ")

    def _compare(self, graph: QuantGraph, other: QuantGraph, index: int) -> None:
        yours = {tensor.name: _bare(tensor) for tensor in other.tensors}
        differ = [tensor.name for tensor in graph.tensors if yours.get(tensor.name) != _bare(tensor)]
        differ += [a.name for a, b in zip(graph.tasks, other.tasks, strict=False) if _plain(a) != _plain(b)]
        if differ or len(graph.tasks) != len(other.tasks) or graph.inputs != other.inputs:
            self._say(
                f"piece {index} is not like the first of its part",
                f"other shapes, widths or operations: {', '.join(differ[:5])}" if differ else "other tasks",
            )


def _as_it_lies(graph: QuantGraph, move: QMove) -> bool:
    """A move changes neither the order of elements nor rows and columns."""
    tensors = {tensor.name: tensor for tensor in graph.tensors}
    a, b = tensors[move.inputs[0]], tensors[move.output]
    return identity_move(move, tensors) and (a.rows, a.cols) == (b.rows, b.cols)


def constant_names(task: QTask) -> list[str]:
    """The names of the constants that a task has."""
    fields = [getattr(task, name, "") for name in ROLES]
    fields += task.table.arrays.values() if task.table else []
    return [name for name in fields if isinstance(name, str) and name]


def _plain(task: QTask) -> QTask:
    """What must be the same in all rounds."""
    update: dict[str, object] = {"source": "", "fused": (), "table": task.table and _numberless(task.table)}
    if isinstance(task, QMatmul | QConv):
        update["tail"] = task.tail and _numberless(task.tail)
    return _numberless(task.model_copy(update=update))


FieldsT = TypeVar("FieldsT", bound=Frozen)


def _numberless(value: FieldsT) -> FieldsT:
    """A task, tail or function without its numbers; what names constants stays."""
    fields = NUMBERS & set(type(value).model_fields)
    numbers = [name for name in fields if not isinstance(getattr(value, name), str)]
    return value.model_copy(update=dict.fromkeys(numbers, 0))


def _bare(tensor: QTensor) -> QTensor:
    """A tensor without its scale and zero point."""
    return tensor.model_copy(update={"scale": 1.0, "zero": 0})


@dataclass(frozen=True)
class _Names:
    """Names of a piece → those of the same things in the first piece of its part."""

    tensors: dict[str, str]
    tasks: dict[str, str]
    constants: dict[str, str]

    def of(self, tensors: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.tensors.get(name, name) for name in tensors)


def _renames(first: QuantGraph, other: QuantGraph, inputs: Set[str]) -> _Names:
    """Names by their places; the network's `inputs` keep theirs, unless they stand for what comes from the round before."""
    found = _Names({}, {}, {})
    for a, b in zip(first.tasks, other.tasks, strict=False):
        for x, y in zip([*a.operands, a.output], [*b.operands, b.output], strict=False):
            if y not in inputs:
                found.tensors.setdefault(y, x)
        found.tasks[b.name] = a.name
        found.constants.update(zip(constant_names(b), constant_names(a), strict=False))
    return found


def _renamed(quantised: Quantised, names: _Names) -> Quantised:
    graph = quantised.graph
    tasks = []
    for task in graph.tasks:
        update: dict[str, object] = {
            "name": names.tasks.get(task.name, task.name),
            "inputs": names.of(task.inputs),
            "output": names.of((task.output,))[0],
        }
        if isinstance(task, QProduct):
            update["state"] = names.tensors.get(task.state, task.state)
        for role in ROLES:
            if isinstance(value := getattr(task, role, None), str):
                update[role] = names.constants.get(value, value)
        if task.table:
            arrays = task.table.arrays.items()
            update["table"] = task.table.model_copy(
                update={role: names.constants.get(value, value) for role, value in arrays}
            )
        tasks.append(task.model_copy(update=update))
    renamed = graph.model_copy(
        update={
            "tensors": tuple(t.model_copy(update={"name": names.of((t.name,))[0]}) for t in graph.tensors),
            "tasks": tuple(tasks),
            "inputs": names.of(graph.inputs),
            "outputs": names.of(graph.outputs),
        }
    )
    constants = {names.constants.get(name, name): array for name, array in quantised.constants.items()}
    return Quantised(renamed, constants)


def _ordered(quantised: Quantised, first: QuantGraph) -> Quantised:
    """The same with its tensors in the order in which those of the first round stand: a network's inputs come first."""
    place = {tensor.name: number for number, tensor in enumerate(first.tensors)}
    tensors = sorted(quantised.graph.tensors, key=lambda tensor: place.get(tensor.name, len(place)))
    return Quantised(quantised.graph.model_copy(update={"tensors": tuple(tensors)}), quantised.constants)


def _widest(graphs: Sequence[QuantGraph]) -> list[QuantGraph]:
    """The graphs, with accumulators for the sums of all."""
    widths = [
        max((task.acc_bits for task in same if isinstance(task, QMatmul | QProduct | QConv)), default=0)
        for same in zip(*(graph.tasks for graph in graphs), strict=False)
    ]
    made = []
    for graph in graphs:
        tasks = list(graph.tasks)
        for index, (task, width) in enumerate(zip(tasks, widths, strict=False)):
            if isinstance(task, QMatmul | QProduct | QConv):
                tasks[index] = task.model_copy(update={"acc_bits": width})
        made.append(graph.model_copy(update={"tasks": tuple(tasks)}))
    return made
