"""Scales for each token: the first operand of a matmul or a product as rows over their peaks, its result times the peaks.

``x @ W + b`` becomes ``(x / peak(x)) @ W * peak(x) + b`` with ``peak(x)`` the largest magnitude of each row, found while the
circuit runs: the same in real numbers, but the 8 bits of the operand are spread over each row's own range. What reads one
tensor shares its rows and peaks.
"""

from __future__ import annotations

from collections.abc import Set

from intar.errors import ConfigError, Finding
from intar.grid.sketch import Sketch
from intar.ir.ops import Op, broadcast_kind
from intar.ir.taskgraph import Task, TaskGraph
from intar.ir.validate import where
from intar.quant.fuse import fuse
from intar.quant.scheme import TOKEN, Scheme
from intar.quant.widths import resolve

SCALED = (Op.MATMUL, Op.PRODUCT)


def token_scaled(graph: TaskGraph, scheme: Scheme) -> TaskGraph:
    """The graph with the tasks rewritten whose operand the scheme asks to have a scale for each token; itself without any.

    Parameters
    ----------
    graph : a prepared graph; tasks that have been rewritten stay as they are.

    Raises
    ------
    ConfigError
        Patterns that mean nothing, or a scale for each token of what is no first operand (all of them).
    """
    if all(width != TOKEN for _, width in scheme.bits):
        return graph
    groups = fuse(graph, scheme.rational == "direct")
    asked = {place for place, width in resolve(graph, groups, scheme.bits).items() if width == TOKEN}
    chosen = {group.first.name for group in groups if ("in0", group.output) in asked}
    return rewrite(graph, chosen)


def scalable(graph: TaskGraph) -> set[str]:
    """Names of all tasks that can have a scale for each token: the model quantises nothing around them itself."""
    return {task.name for task in graph.tasks if task.op in SCALED and not _own(graph, task)}


def rewrite(graph: TaskGraph, chosen: Set[str]) -> TaskGraph:
    """The graph with the tasks of these names rewritten, but for those that have been. Raises ConfigError."""
    todo = [task for task in graph.tasks if task.name in chosen and task.op in SCALED]
    todo = [task for task in todo if not _done(graph, task)]
    if found := [finding for task in todo for finding in _own(graph, task)]:
        raise ConfigError(found)
    return _Rewriter(graph, {task.name for task in todo}).run() if todo else graph


def _done(graph: TaskGraph, task: Task) -> bool:
    maker = graph.producer(task.inputs[0])
    return maker is not None and maker.op is Op.ROW_UNIT


def _own(graph: TaskGraph, task: Task) -> list[Finding]:
    """What the model quantises itself of what a task reads and makes."""
    return [
        Finding(
            f"the model quantises '{graph.tensor(name).source or name}' itself",
            where(task),
            "a scale for each token takes the place of its one scale",
            f"leave {TOKEN} away, or export the model in float",
        )
        for name in (*task.inputs, task.output)
        if graph.tensor(name).quant is not None
    ]


class _Rewriter(Sketch):
    def __init__(self, graph: TaskGraph, chosen: Set[str]) -> None:
        super().__init__(graph)
        self.chosen = chosen
        self.rows: dict[str, tuple[str, str]] = {}  # rows over their peaks, and the peaks, of a tensor

    def run(self) -> TaskGraph:
        for name in self.graph.constants:
            self._keep(name)
        for task in self.graph.tasks:
            if task.name in self.chosen:
                self._scale(task)
            else:
                self.tensors[task.output] = self.graph.tensor(task.output)
                self.tasks.append(task)
        return self._finish()

    def _scale(self, task: Task) -> None:
        x, second, *bias = task.inputs
        unit, peak = self._rows(task, x)
        out = self.graph.tensor(task.output)
        made = self._add(
            task, task.op, [unit, second], self._suffixed(out.name, "rows"), out.shape, task.attrs
        )
        scaled = self._suffixed(out.name, "scaled") if bias else out.name
        last = "" if bias else out.source
        self._put(Op.MUL, task, [made, peak], scaled, self._kind(made, peak), last)
        if bias:
            self._put(Op.ADD, task, [scaled, *bias], out.name, self._kind(scaled, *bias), out.source)

    def _rows(self, task: Task, x: str) -> tuple[str, str]:
        if x not in self.rows:
            unit, peak = self._suffixed(x, "unit"), self._suffixed(x, "peak")
            self.tensors.setdefault(x, self.graph.tensor(x))
            self._put(Op.ROW_UNIT, task, [x], unit)
            self._put(Op.ROW_PEAK, task, [x], peak)
            self.rows[x] = unit, peak
        return self.rows[x]

    def _kind(self, a: str, b: str) -> str:
        return broadcast_kind(self.tensors[a].shape, self.tensors[b].shape)

    def _put(
        self, op: Op, task: Task, inputs: list[str], output: str, broadcast: str = "", source: str = ""
    ) -> None:
        """A task of its own name that stands for the rewritten one in the model."""
        shape = self.tensors[inputs[0]].shape
        shape = (*shape[:-1], 1) if op is Op.ROW_PEAK else shape
        own = Task(name=self._suffixed(task.name, str(op).removeprefix("row_")), op=op, inputs=(), output="",
                   source=task.source)  # fmt: skip
        self._add(
            own, op, inputs, output, shape, {"broadcast": broadcast} if broadcast else {}, source=source
        )
