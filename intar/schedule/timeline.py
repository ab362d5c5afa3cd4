"""When the tasks of a schedule run: stage after stage without barriers, as the machine does.

The objective that the search minimises adds stages up. In the machine nothing but data, memory and the order of each node's
steps holds a task back: a softmax follows the matmul that makes its rows, the arrays go on while it runs, tasks on different
cores run side by side, and parameters, kernels and functions have to be there. This module goes through a schedule once and
gives each task the cycles in which it begins and ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from intar.ir.circuit import circuit
from intar.ir.quantgraph import QuantGraph
from intar.ir.schedule import Placement, Schedule, Stage
from intar.schedule import cost
from intar.schedule.check.facts import Facts
from intar.schedule.check.tiled import Interleaved, Pipelined
from intar.schedule.constants import Constants
from intar.schedule.cost import Piece
from intar.schedule.latencies import ARRAY, LOAD, READ, ROUTER, ROWS_OUT, WRITE, latencies
from intar.schedule.occupancy import Free, Made, Memories
from intar.schedule.problem import Task, make_problem, members
from intar.schedule.work import Work, ceil_div, row_beats

PORTIONS = 8
"""Portions in which a tensor of one row is handed over."""

PARTS = 64
"""Parts, at most, in which a move of whole beats follows."""

BANDS = 16
"""Bands of tiles in which images are handed over to other cores."""


@dataclass(frozen=True)
class Span:
    """Cycles in which a task's first products (or rows, elements) begin and its last ones end."""

    task: str
    first: int
    last: int


def timeline(schedule: Schedule, graph: QuantGraph) -> tuple[tuple[Span, ...], int]:
    """The span of each task, in the order of the schedule, and the cycles of an inference."""
    return _Walk(schedule, graph).run()


class _Walk:
    """One walk through a schedule."""

    def __init__(self, schedule: Schedule, graph: QuantGraph):
        self.schedule, self.machine = schedule, schedule.machine
        self.graph = circuit(graph)
        self.facts = Facts(schedule, self.graph)
        self.problem = make_problem(graph, schedule.machine)
        self.numbers = {task.name: n for n, task in enumerate(self.problem.tasks)}
        self.inside = [
            [self.problem.tasks[self.numbers[p.task]] for p in stage.tasks] for stage in schedule.stages
        ]
        self.places = {p.task: p for stage in schedule.stages for p in stage.tasks}
        copies = {home.tensor: home.copies for home in schedule.residency}
        self.memories = Memories(self.problem.tensors, copies, self.inside)
        self.ways = latencies(self.graph, self.problem)
        self.ring = self._ring()
        self.free = Free()
        constants = Constants(schedule, self.graph, self.problem)
        self.constants = constants.ready()
        for ready, takes, cores in constants.functions():
            for core in cores:
                self.free.vectors[core] = max(self.free.vectors[core], ready) + takes
        self.made: dict[int, Made] = {}
        self.spans: list[Span] = []
        self.done = 0

    def run(self) -> tuple[tuple[Span, ...], int]:
        """Spans and cycles."""
        for number, stage in enumerate(self.schedule.stages):
            tasks = self.inside[number]
            names = set(self.facts.loads(number))
            loads = dict.fromkeys(t for task in tasks for t in task.inputs if self._name(t) in names)
            for tensor in loads:
                self._load(number, tensor, stage.tile_rows)
            if stage.tile_rows:
                self._in_tiles(number, stage, tasks)
            else:
                for place, task in zip(stage.tasks, tasks, strict=True):
                    self._alone(number, place, task)
            names = set(self.facts.stores(number))
            for task in tasks:
                if self._name(task.output) in names:
                    self._store(number, task.output)
        return tuple(self.spans), self.done

    def _name(self, tensor: int) -> str:
        return self.problem.tensors[tensor].name

    def _ring(self) -> bool:
        """True if weights go through a ring: some are used for more than one array tile, or stay."""
        for stage in self.schedule.stages:
            for place in stage.tasks:
                work = self.problem.tasks[self.numbers[place.task]].work
                rows = min(stage.tile_rows or work.rows, work.rows // work.items)
                ringed = work.kind == "product" or not self.machine.on_chip
                if work.arrays and ringed and (place.resident or rows > self.machine.rows):
                    return True
        return False

    @property
    def _arrival(self) -> int:
        """When the first weights may be there."""
        return 0 if self.machine.on_chip else self.machine.latency + LOAD

    # Tensors that go through the ports, and memory that they use in turn.
    def _load(self, stage: int, tensor: int, tile_rows: int) -> None:
        """Bring a tensor on chip."""
        machine, entry = self.machine, self.problem.tensors[tensor]
        start = max(self.free.loads, self.memories.free(stage, tensor))
        if tensor in self.made:  # it comes back
            start = max(start, self.made[tensor].last)
        pitch = row_beats(entry.cols, machine)
        beats = pitch * min(entry.rows, tile_rows or machine.rows)
        if entry.windows:  # an image: channel after channel
            beats = (entry.rows - 1) * pitch + 1
        there = start + machine.latency + LOAD
        first = there + cost.port_cycles(beats, self.problem.a_bits, machine, entry.ports)
        self.made[tensor] = Made(
            first, there + entry.words, machine.rows, follows=True, even=True, rounds=entry.words
        )
        self.free.loads = start + entry.words

    def _store(self, stage: int, tensor: int) -> None:
        """Store a tensor as it comes."""
        machine, entry, made = self.machine, self.problem.tensors[tensor], self.made[tensor]
        begin, beats = made.first if made.follows else made.last, made.behind
        if not beats:
            rows = min(entry.rows, made.height or entry.rows) if made.follows else entry.rows
            beats = 1 if made.follows and entry.rows == 1 else rows * row_beats(entry.cols, machine)
        rest = cost.port_cycles(beats, self.problem.a_bits, machine, entry.ports)
        begin = made.begun or begin
        end = max(max(self.free.stores, begin) + entry.words, made.last + rest)
        self.free.stores = end
        self.memories.emptied(stage, tensor, end)
        self.done = max(self.done, end + READ + ROUTER + machine.latency)

    # Tasks by themselves.
    def _alone(self, stage: int, place: Placement, task: Task) -> None:
        work = replace(task.work, by_rows=place.axis == "rows")
        if work.arrays:
            start, end = self._matmul(stage, place, task, work)
        elif work.on_grid:
            start, end = self._image(stage, place, task, work)
        else:
            kinds = {"rows": self._rows, "vector": self._vector, "stream": self._stream, "move": self._move}
            start, end = kinds[work.kind](stage, place, task, work)
        last = cost.array_tile(work, self.machine) if work.arrays else 0
        ends = [end - last] * len(task.inputs)
        if work.kind == "product":
            ends[1] = self._second(work, len(place.cores), start, end)
        self.memories.read(stage, task, ends)
        self.spans.append(Span(task.name, start, end))

    def _second(self, work: Work, count: int, start: int, end: int) -> int:
        """When a product has taken its second operand: the ring holds two column tiles."""
        machine = self.machine
        column = cost.pieces(work, count, machine)[-1].column
        begin = start - (cost.fetch_cycles(work, count, machine) if self.ring else 0)
        return max(begin + cost.weight_cycles(work, work.rows, count, machine), end - 2 * column)

    def _matmul(self, stage: int, place: Placement, task: Task, work: Work) -> tuple[int, int]:
        """A matmul or a product: its first column tile follows its input, its last one is followed."""
        machine, free, count = self.machine, self.free, len(place.cores)
        cores = place.cores if work.by_rows else place.cores[: row_beats(work.cols, machine)]
        tile, item = cost.array_tile(work, machine), work.rows // work.items
        takes = cost.task_cycles(work, work.rows, count, True, machine)
        ahead = min(takes, 2 * tile)  # before a result has to leave
        pieces = cost.pieces(work, count, machine)
        rows, height = pieces[0].rows, pieces[0].height
        given = self.made[task.inputs[0]]
        even = given.even and given.height > 0 and not height % given.height
        even = even and (height <= given.height or not rows % height)
        begin = given.first if even or (work.rows == 1 and given.follows) else given.last
        begin = max(begin, self.memories.reader(stage, task))
        start = max([begin + self.ways.taken(height), *(free.arrays[core] for core in cores)])
        left = max(free.vectors[core] for core in cores)
        left = max(left, self.memories.free(stage, task.output) - self.ways.drain)
        for tensor in task.inputs[1:] if work.tail else ():
            left = max(left, self.made[tensor].last + READ + 2 * ROUTER)
        start = max(start, left - ahead, self.constants.get(self.numbers[task.name], 0) - tile - ARRAY)
        fetch = cost.fetch_cycles(work, count, machine) if self.ring else 0
        if work.kind == "product":
            start = max(start, self.made[task.inputs[1]].last + 2 * READ + 3 * ROUTER + fetch)
        else:
            began = max(self._arrival, *(free.columns[core] for core in cores))
            start = max(start, began + READ + fetch)
        ends, end, taken = [], start, 0
        part = ceil_div(tile, min(PORTIONS, given.rounds)) if work.rows == 1 else tile
        slow = takes / sum(piece.cycles for piece in pieces)  # weights or results may take longer
        for piece in pieces:
            taken += piece.rows
            there = given.first + (given.last - given.first) * taken // work.rows
            own = round(piece.cycles * slow)
            end = max(end + own, there + self.ways.taken(piece.rest) + part + max(0, own - piece.column))
            ends.append(end)
        self.made[task.output] = self._made(work, count, pieces, start, ends)
        last = min(takes, pieces[-1].column)
        for core in cores:
            free.arrays[core], free.columns[core] = end, end - last
            free.vectors[core] = end + ARRAY + min(item, machine.rows) * self.ways.slices
        return start, end

    def _made(self, work: Work, count: int, pieces: Sequence[Piece], start: int, ends: Sequence[int]) -> Made:
        """What a matmul or product makes on `count` cores: the first piece is there with its own last column tile."""
        machine, tile, rounds = (
            self.machine,
            cost.array_tile(work, self.machine),
            cost.rounds(work, count, self.machine),
        )
        first = ends[0] - min(ends[0] - start, pieces[0].column) + tile
        if work.rows == 1:
            first = start + (ends[0] - start) // rounds
        idle = tile - min(
            tile, max(machine.pairs(work.k), machine.rows)
        )  # the last results drain behind their products
        high, low = (min(machine.rows, piece.rest) for piece in (pieces[0], pieces[-1]))
        return Made(
            min(first, ends[0]) - idle + self.ways.left(high),
            ends[-1] - idle + self.ways.left(low),
            pieces[0].height,
            follows=True,
            even=len(pieces) == 1,
            rounds=rounds * ceil_div(work.rows, machine.rows),
        )

    def _rows(self, stage: int, place: Placement, task: Task, work: Work) -> tuple[int, int]:
        """A row reduction follows who makes its rows, and is followed."""
        machine, given, free = self.machine, self.made[task.inputs[0]], self.free
        each, read = cost.row_cycles(work, machine), READ + ROUTER
        block = min(work.rows, given.height or machine.rows)
        begin = given.first if given.follows else given.last
        begin = max(begin, self.memories.reader(stage, task))
        start = max(begin + read, free.units[place.unit], self.constants.get(self.numbers[task.name], 0))
        start = max(start, self.memories.free(stage, task.output) - ROWS_OUT["peak"])
        end = max(start + work.rows * each, given.last + read + block * each)
        free.units[place.unit] = end
        late = self.ways.late(work)
        size = min(machine.rows, work.rows)
        self.made[task.output] = Made(start + size * each + late, end + late, size, True, True)
        return start, end

    def _vector(self, stage: int, place: Placement, task: Task, work: Work) -> tuple[int, int]:
        """An affine or binary task takes whole tensors, but images and single rows as they come."""
        core = place.cores[0]
        takes = cost.compute_cycles(work, work.rows, 1, self.machine)
        given = [self.made[tensor] for tensor in task.inputs]
        images = any(self.problem.tensors[tensor].windows for tensor in (*task.inputs, task.output))
        follows = images or work.rows == 1
        begin = max(m.first if follows and m.follows else m.last for m in given)
        read, begin = READ + 2 * ROUTER, max(begin, self.memories.reader(stage, task))
        start = max(begin + read, self.free.vectors[core], self.constants.get(self.numbers[task.name], 0))
        start = max(start, self.memories.free(stage, task.output) - self.ways.drain)
        end = max(start + takes, max(m.last for m in given) + read + self.ways.slices)
        self.free.vectors[core] = end
        first = start + ceil_div(takes, PORTIONS) if follows else end
        drain, rounds = self.ways.drain, self._beats(task.output)
        self.made[task.output] = Made(first + drain, end + drain, 0, follows, rounds=rounds)
        return start, end

    def _move(self, stage: int, place: Placement, task: Task, work: Work) -> tuple[int, int]:
        """A move of whole beats follows the rounds in which each input is made; one of elements takes whole tensors."""
        given = [self.made[tensor] for tensor in task.inputs]
        last = max(m.last for m in given)
        if work.run and all(self.problem.tensors[tensor].producer >= 0 for tensor in task.inputs):
            self.made[task.output] = replace(
                given[0], first=given[0].first if work.rows == 1 else last, even=False
            )
            return last, last
        takes = cost.compute_cycles(work, work.rows, 1, self.machine)
        begin = rest = last
        if work.beats:
            beats = [min(takes, self._beats(tensor)) for tensor in task.inputs]
            begins = [
                m.last - own + ceil_div(own, min(PARTS, m.rounds))
                for m, own in zip(given, beats, strict=True)
            ]
            begin = min(begins)
            rest = max(first + own for first, own in zip(begins, beats, strict=True))
        begin = max(begin, self.memories.reader(stage, task))
        start = max(begin + READ + ROUTER, self.memories.free(stage, task.output))
        if not work.beats:
            start = max(start, self.free.gather)
            self.free.gather = start + takes
        end = max(start + takes, rest + READ + ROUTER)
        there = end + ROUTER + WRITE
        self.made[task.output] = Made(there, there, rounds=takes if work.beats else 1)
        return start, end

    def _beats(self, tensor: int) -> int:
        """Beats of a tensor, its rows padded."""
        entry = self.problem.tensors[tensor]
        return entry.rows * row_beats(entry.cols, self.machine)

    def _stream(self, stage: int, place: Placement, task: Task, work: Work) -> tuple[int, int]:
        """A product with a state has all cores."""
        cores = range(self.machine.cores)
        begin = self.made[task.inputs[0]].last + self.ways.taken(1)
        start = max([begin, self.machine.latency + LOAD, *(self.free.arrays[core] for core in cores)])
        end = start + cost.streamed_cycles(work, self.machine)
        for core in cores:
            self.free.arrays[core] = end
            self.free.vectors[core] = end + ARRAY + self.ways.slices
        self.made[task.output] = Made(end + self.ways.left(1), end + self.ways.left(1), 1, True)
        return start, end

    def _image(self, stage: int, place: Placement, task: Task, work: Work) -> tuple[int, int]:
        """A convolution or pool: its first block of channels follows its image tile by tile, its last one is followed; or in
        bands of tiles where tasks on other cores are before or behind it."""
        machine, free, cores = self.machine, self.free, place.cores
        given = [self.made[tensor] for tensor in task.inputs]
        begin, whole = max(made.first for made in given), max(made.last for made in given)
        count, beats = len(cores), row_beats(work.cols, machine)
        takes = cost.tiles_cycles(work, count, machine)
        tiles = ceil_div(beats, count)
        bands = ceil_div(tiles, ceil_div(tiles, BANDS)) if self._hands_over(task, cores) else 1
        taken = READ + 1 + ROUTER
        start = max([begin + taken, *(free.arrays[core] for core in cores)])
        start = max(start, self.constants.get(self.numbers[task.name], 0))
        start = max(start, self.memories.free(stage, task.output) - self.ways.drain)
        if bands > 1:
            end = max(start + takes, whole + taken + takes // bands)
            first, behind = start + takes // bands, (work.rows - 1) * beats + 1
        else:
            column = min(takes, cost.first_pass(work, count, machine))
            end = max(start + column, whole + taken + column // tiles) + takes - column
            last = min(takes, cost.last_pass(work, count, machine))
            first, behind = end - last + last // tiles, cost.beats_behind(work, machine)
        for core in cores:
            free.arrays[core] = end
            free.vectors[core] = end + ARRAY + self.ways.slices
        left = self.ways.left(1)
        begun = start + cost.first_pass(work, count, machine) // tiles + left
        self.made[task.output] = Made(first + left, end + left, 0, True, begun=begun, behind=behind)
        return start, end

    def _hands_over(self, task: Task, cores: Sequence[int]) -> bool:
        """True if a task that makes what this one reads, or reads what it makes, has other cores."""
        number = self.numbers[task.name]
        near = [*members(self.problem.predecessors[number]), *self.problem.successors[number]]
        others = (self.places[self.problem.tasks[n].name].cores for n in near)
        return any(set(other) - set(cores) for other in others)

    # Stages in row tiles.
    def _in_tiles(self, number: int, stage: Stage, tasks: Sequence[Task]) -> None:
        """A stage in row tiles takes its parts of the machine for itself; its first tile follows what makes its inputs."""
        machine, free = self.machine, self.free
        busy = (Interleaved if stage.pattern == "interleaved" else Pipelined)(self.facts, number).cycles()
        busy -= cost.hop(machine)  # here it counts with the readers
        rows = tasks[0].work.rows
        count = ceil_div(rows, stage.tile_rows)
        inside = {task.output for task in tasks}
        whole = {task.inputs[1] for task in tasks if task.whole}
        start = last = 0
        for tensor in dict.fromkeys(t for task in tasks for t in task.inputs if t not in inside):
            given = self.made[tensor]
            if tensor in whole or not given.follows:
                start = max(start, given.last + self.ways.taken(machine.rows))
            else:
                begin = given.first + (given.last - given.first) // count * (rows > 1)
                start = max(start, begin + self.ways.taken(machine.rows))
                last = max(last, given.last + self.ways.taken(machine.rows))
        for place, task in zip(stage.tasks, tasks, strict=True):
            work, fetch = task.work, 0
            ahead = cost.array_tile(work, machine) + ARRAY if work.arrays else 0
            if work.kind == "matmul" and self.ring:
                fetch = cost.fetch_cycles(work, len(place.cores), machine)
            if work.kind == "rows":
                start = max(start, free.units[place.unit])
            if inside.isdisjoint(task.inputs):  # others begin later
                start = max(start, self.constants.get(self.numbers[task.name], 0) - ahead)
            start = max(start, self.memories.free(number, task.output) - ahead)
            for core in place.cores:
                start = max(start, free.arrays[core], free.vectors[core] - ahead)
                start = max(start, max(free.columns[core], self._arrival) + fetch)
        end = max(start + busy, last + busy // count)
        left = self.ways.left(min(rows, machine.rows))
        for place, task in zip(stage.tasks, tasks, strict=True):
            for core in place.cores:
                free.arrays[core] = free.vectors[core] = end
                free.columns[core] = end - busy // count
            if task.work.kind == "rows":
                free.units[place.unit] = end
            first = start + (end - start) // count + left
            self.made[task.output] = Made(first, end + left, min(stage.tile_rows, rows), True)
            self.memories.read(number, task, [end] * len(task.inputs))
            self.spans.append(Span(task.name, start, end))
