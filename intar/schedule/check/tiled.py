"""Cycles of stages in row tiles: pipelined, and interleaved."""

from __future__ import annotations

from functools import cache
from math import ceil

from intar.ir.quantgraph import ROW_WISE, QMatmul, QProduct
from intar.ir.schedule import Stage
from intar.schedule.check.facts import Facts
from intar.schedule.check.work import column_tile, delay, lag, passes


class _Tiles:
    """What each task of a stage takes for each of its tiles, and whose results it waits for."""

    def __init__(self, facts: Facts, stage: Stage):
        self.facts, self.stage = facts, stage
        self.tasks = {p.task: facts.tasks[p.task] for p in stage.tasks}
        self.places = {p.task: p for p in stage.tasks}
        self.order = list(self.tasks)
        rows = facts.rows[self.tasks[self.order[0]].output]
        self.count = ceil(rows / stage.tile_rows)
        self.takes: dict[tuple[str, int], int] = {}
        for p in stage.tasks:
            for t in range(self.count):
                height = min(stage.tile_rows, rows - t * stage.tile_rows)
                compute, fetch = passes(facts, self.tasks[p.task], height, p, once=p.resident)
                alone = max(compute, fetch)
                self.takes[p.task, t] = compute + (0 if t else fetch) if p.resident else alone
        self.before = {
            n: [facts.maker[t] for t in self.tasks[n].inputs if facts.maker.get(t) in self.tasks]
            for n in self.order
        }


class Pipelined(_Tiles):
    """When each task begins and ends each tile, and when tensors come and go beside them."""

    def __init__(self, facts: Facts, i: int):
        super().__init__(facts, facts.schedule.stages[i])
        self.after = {n: [m for m in self.order if n in self.before[m]] for n in self.order}
        moved = [
            t
            for t in (*facts.loads(i), *facts.stores(i))
            if facts.home[t].place != "chip" and not facts.read_whole(t, i)
        ]
        reads = [t for n in self.order for t in self.tasks[n].inputs if facts.maker.get(t) not in self.tasks]
        self.coming = [t for t in dict.fromkeys(reads) if t in moved]
        self.going = [self.tasks[n].output for n in self.order if self.tasks[n].output in moved]
        uses = sum(tensor in self.tasks[n].inputs for n in self.order for tensor in self.coming)
        self.in_turns = uses > 1 or len(self.going) > 1  # then a tile waits for its tensors' turn at a port
        self.lags = {name: lag(facts, self.tasks[name]) for name in self.order}
        self.delay = delay(facts)
        self.end = cache(self._end)
        self.came = cache(self._came)
        self.went = cache(self._went)

    def cycles(self) -> int:
        """Until the last result of the last tile is there."""
        for t in range(self.count):
            for name in self.order:
                self.end(name, t)
        return max(self.end(name, self.count - 1) + self.lags[name] for name in self.order) + self.delay

    def _end(self, name: str, t: int, began: bool = False) -> int:
        """End of a task's tile, or its beginning."""
        if t < 0:
            return 0
        if self.places[name].follows:
            return self._followed(name)
        ahead = min(self.takes[name, t], 2 * self._array_tile(name))
        starts = [self.end(name, t - 1), self._row_node_free(name, t)]
        for u in self.before[name]:
            early = ahead if self._late(name, u) else 0
            starts.append(self.end(u, t) + self.lags[u] + self.delay - early)
        if t >= 2:
            for w in self.after[name]:
                early = self._array_tile(w) if self._late(w, name) else 0
                starts.append(self.end(w, t - 2) - early - ahead)
        if self.in_turns:
            for k, tensor in enumerate(self.coming if t else ()):
                if tensor in self.tasks[name].inputs:
                    early = 2 * self._array_tile(name) if self._on_the_way_out(name, tensor) else 0
                    starts.append(self.came(k, t) - early)
            output = self.tasks[name].output
            if t >= 2 and output in self.going:
                left = self.went(self.going.index(output), t - 2)
                starts.append(left - 2 * self._array_tile(name))
        return max(starts) + (0 if began else self.takes[name, t])

    def _row_node_free(self, name: str, t: int) -> int:
        """When the rows node of a task has taken in what comes before its tile: tile by tile, in each the tasks in order."""
        if not isinstance(self.tasks[name], ROW_WISE):
            return 0
        unit = self.places[name].unit
        same = [n for n in self.order if isinstance(self.tasks[n], ROW_WISE) and self.places[n].unit == unit]
        at = same.index(name)
        return self.end(same[at - 1], t if at else t - 1)

    def _followed(self, name: str) -> int:
        """End of a task that takes each column block of its input when it is made, in the only tile."""
        machine = self.facts.machine
        source = self.facts.maker[self.tasks[name].inputs[0]]
        drain = machine.rows * machine.lanes // machine.rate
        ahead = min(self.takes[name, 0], 2 * self._array_tile(name))
        block = ceil(self.takes[source, 0] / self._turns(source))
        starts = [self.end(source, 0, began=True) + block + self.delay]
        for u in self.before[name]:
            if u != source:
                made = self.end(u, 0) + self.lags[u] + self.delay
                starts.append(made - (ahead if self._late(name, u) else 0))
        last = self._turns(name) * max(ceil(machine.lanes / machine.depth), machine.rows, drain)
        return max(max(starts) + self.takes[name, 0], self.end(source, 0) + self.delay + last)

    def _came(self, k: int, t: int) -> int:
        """When tile `t` of the k-th tensor that is loaded is there; the first tiles are there from the start."""
        if t == 0:
            return 0
        slot = 0
        for n in self.order:
            if self.coming[k] in self.tasks[n].inputs:
                early = self._array_tile(n) if t >= 2 and self._on_the_way_out(n, self.coming[k]) else 0
                slot = max(slot, self.end(n, t - 2) - early)
        turn = self.came(k - 1, t) if k else self.came(len(self.coming) - 1, t - 1)
        return max(slot, turn) + self.facts.words(self.coming[k], self.stage.tile_rows)

    def _went(self, k: int, t: int) -> int:
        """When tile `t` of the k-th tensor that is stored has left."""
        if t < 0:
            return 0
        turn = self.went(k - 1, t) if k else self.went(len(self.going) - 1, t - 1)
        maker = self.facts.maker[self.going[k]]
        made = self.end(maker, t) + self.lags[maker] + self.delay
        return max(turn, made) + self.facts.words(self.going[k], self.stage.tile_rows)

    def _array_tile(self, name: str) -> int:
        task = self.tasks[name]
        return self.facts.tile(task) if isinstance(task, QMatmul | QProduct) else 0

    def _turns(self, name: str) -> int:
        """Column blocks of a task on each of its cores."""
        blocks = ceil(self.facts.cols[self.tasks[name].output] / self.facts.machine.lanes)
        return ceil(blocks / len(self.places[name].cores))

    def _on_the_way_out(self, name: str, tensor: str) -> bool:
        """True if a task reads a tensor only where its results come out of the array."""
        return isinstance(self.tasks[name], QMatmul) and self.tasks[name].inputs[0] != tensor

    def _late(self, name: str, producer: str) -> bool:
        """True if a task needs a producer's results only when its own come out."""
        return self._on_the_way_out(name, self.tasks[producer].output)


class Interleaved(_Tiles):
    """A stage whose tasks share the arrays, the first vector unit and the rows node, each in visit order: what stands in
    front of the first matmul is a tile ahead.

    The arrays get two of their tiles ahead of a busy vector unit, no more; the first weights of a matmul come while
    the last column tile of the matmul before is computed.
    """

    def __init__(self, facts: Facts, i: int):
        super().__init__(facts, facts.schedule.stages[i])
        self.array = self.vector = self.rows = 0
        """When each is free."""
        self.column: int | None = None
        """When the arrays began their last column tile."""

    def cycles(self) -> int:
        """Until the last result of the last tile is there."""
        done: dict[tuple[str, int], int] = {}
        matmuls = [k for k, name in enumerate(self.order) if isinstance(self.tasks[name], QMatmul | QProduct)]
        first_array = matmuls[0] if matmuls else 0
        for step in range(self.count + 1):
            for position, name in enumerate(self.order):
                t = step if position < first_array else step - 1
                if t in range(self.count):
                    arrived = [done[u, t] + delay(self.facts) for u in self.before[name]]
                    done[name, t] = self._visit(name, self.takes[name, t], arrived)
        return max(done.values()) + delay(self.facts)

    def _visit(self, name: str, time: int, arrived: list[int]) -> int:
        """When a task that takes so long has made a tile from what arrived."""
        task = self.tasks[name]
        if isinstance(task, ROW_WISE):
            self.rows = max([self.rows, *arrived]) + time
            return self.rows + lag(self.facts, task)
        if isinstance(task, QMatmul | QProduct):
            self._multiply(task, time, arrived)
            self.vector = max(self.vector, self.array)
        else:
            self.vector = max([self.vector, *arrived]) + time
        return self.vector

    def _multiply(self, task: QMatmul | QProduct, time: int, arrived: list[int]) -> None:
        facts, place, height = self.facts, self.places[task.name], self.stage.tile_rows
        ends = [start + time for start in (self.array, *arrived)]
        ends.append(self.vector + max(0, time - 2 * facts.tile(task)))
        kept = place.resident or (facts.machine.on_chip and isinstance(task, QMatmul))
        if not kept and self.column is not None:
            depth = facts.cols[task.inputs[0]]
            first = facts.weigh(1, depth)
            if isinstance(task, QProduct):
                first = depth * (1 if place.axis == "rows" else len(place.cores))
            ends.append(self.column + first + min(time, passes(facts, task, height, place)[0]))
        self.array = max(ends)
        self.column = self.array - column_tile(facts, task, height, place)
