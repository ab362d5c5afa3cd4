"""The task graph: the network as typed tasks on tensors of known shape, before any number is quantised.

A :class:`TaskGraph` is what every front end makes and what the quantiser reads.  Activations are real
numbers; constants (weights, biases, scales) are arrays held beside the model.  :mod:`intar.ir.validate`
checks a graph, :mod:`intar.ir.io` stores it, :mod:`intar.ir.reference` runs it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, field_validator

from intar.ir.frozen import Frozen
from intar.ir.ops import OPS, Op
from intar.ir.shapes import AttrValue

if TYPE_CHECKING:
    import networkx
    from rich.table import Table

SCHEMA: Literal["intar.taskgraph/1"] = "intar.taskgraph/1"


class QuantParams(Frozen):
    """The model's own quantisation of a tensor: real value = ``scale * (q - zero_point)``.

    Present only where the model itself says so (QDQ).  On an activation it means that the tensor's values are
    rounded (ties to even) and saturated to this grid; on a constant the stored array holds the integers
    ``q``.

    Parameters
    ----------
    bits : width of an integer.
    signed : two's complement, or unsigned.
    scale : one factor, or one for each index of `axis`.
    zero_point : the integer that stands for 0; one for each index of `axis` when `scale` is a tuple of
    several. axis : the channel axis of per-channel parameters; None when they are per tensor.
    """

    bits: Literal[4, 8, 10, 16, 32]
    signed: bool = True
    scale: float | tuple[float, ...]
    zero_point: int | tuple[int, ...] = 0
    axis: int | None = None

    @property
    def qmin(self) -> int:
        """Smallest integer of the type."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def qmax(self) -> int:
        """Largest integer of the type."""
        return (1 << (self.bits - self.signed)) - 1


class Tensor(Frozen):
    """A tensor of known shape: an activation, or a constant when the graph's `constants` hold its name.

    `source` is the name that the model gives it; `name` is safe for files and for every generated language.
    """

    name: str
    shape: tuple[int, ...]
    quant: QuantParams | None = None
    source: str = ""

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))


class Task(Frozen):
    """One operator with one output.

    Parameters
    ----------
    name : unique, ``[a-z][a-z0-9_]*``.
    op : see :data:`intar.ir.ops.OPS` for inputs, attributes and shape rule of each.
    inputs : names of tensors, constants included (matmul: x, weight[, bias]; scale_shift: x, scale, shift).
    output : name of the tensor that it computes.
    attrs : the operator's attributes; axes are counted from 0, never negative.
    source : where it comes from, as the user knows it: ONNX node name, YAML line, Python line.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    output: str
    attrs: dict[str, AttrValue] = Field(default_factory=dict)
    source: str = ""


def _readonly(array: np.ndarray) -> np.ndarray:
    copy = np.array(array, order="C")
    copy.setflags(write=False)
    return copy


class TaskGraph(Frozen):
    """Tasks in topological order and the tensors between them.

    `tensors` has an entry for each activation and each constant; `constants` maps names to read-only arrays:
    float32 or float64, or integers when the tensor has `quant`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        arbitrary_types_allowed=True,
        ignored_types=(cached_property,),
    )

    schema_: Literal["intar.taskgraph/1"] = Field(default=SCHEMA, alias="schema")
    name: str
    tensors: tuple[Tensor, ...]
    tasks: tuple[Task, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: dict[str, np.ndarray] = Field(default_factory=dict, repr=False, exclude=True)

    @field_validator("constants", mode="after")
    @classmethod
    def _freeze(cls, constants: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: _readonly(array) for name, array in constants.items()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskGraph) and self.digest() == other.digest()

    def __hash__(self) -> int:
        return hash(self.digest())

    @cached_property
    def by_name(self) -> dict[str, Tensor]:
        """Every tensor, by its name."""
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def _producers(self) -> dict[str, Task]:
        return {task.output: task for task in self.tasks}

    @cached_property
    def _consumers(self) -> dict[str, tuple[Task, ...]]:
        found: dict[str, list[Task]] = {}
        for task in self.tasks:
            for name in dict.fromkeys(task.inputs):
                found.setdefault(name, []).append(task)
        return {name: tuple(readers) for name, readers in found.items()}

    def tensor(self, name: str) -> Tensor:
        """The tensor called `name` (KeyError if there is none)."""
        return self.by_name[name]

    def producer(self, name: str) -> Task | None:
        """The task that computes tensor `name`; None for inputs and constants."""
        return self._producers.get(name)

    def consumers(self, name: str) -> tuple[Task, ...]:
        """The tasks that read tensor `name`, in order."""
        return self._consumers.get(name, ())

    def constant(self, name: str) -> np.ndarray:
        """The real values (float64) of a constant: dequantised when the tensor has `quant`.

        Raises KeyError when `name` is no constant.
        """
        array, quant = self.constants[name], self.tensor(name).quant
        return array.astype(np.float64) if quant is None else dequantise(array, quant)

    def shapes(self, task: Task) -> list[tuple[int, ...]]:
        """Shapes of the task's inputs."""
        return [self.tensor(name).shape for name in task.inputs]

    def macs(self) -> dict[str, int]:
        """Multiply-accumulates of each task, by task name."""
        return {task.name: OPS[task.op].macs(self.shapes(task), task.attrs) for task in self.tasks}

    def digest(self) -> str:
        """SHA-256 (hex) of structure and constants; independent of the platform."""
        text = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True, separators=(",", ":"))
        total = hashlib.sha256(text.encode())
        for name in sorted(self.constants):
            array = self.constants[name]
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            total.update(f"\0{name}\0{little.dtype.str}\0{array.shape}\0".encode())
            total.update(little.tobytes())
        return total.hexdigest()

    def to_networkx(self) -> networkx.MultiDiGraph:
        """The tasks (node data ``task``) with an edge for each activation read (data ``tensor``)."""
        import networkx

        view = networkx.MultiDiGraph(name=self.name)
        view.add_nodes_from((task.name, {"task": task}) for task in self.tasks)
        for task in self.tasks:
            for name in dict.fromkeys(task.inputs):
                if (maker := self.producer(name)) is not None:
                    view.add_edge(maker.name, task.name, key=name, tensor=self.tensor(name))
        return view

    def table(self) -> Table:
        """The graph as a table for the terminal."""
        return _table(self)


def dequantise(array: np.ndarray, quant: QuantParams) -> np.ndarray:
    """Real values (float64) of the integers `array`."""
    scale, zero = quant_arrays(quant, array.ndim)
    return scale * (array.astype(np.float64) - zero)


def quant_arrays(quant: QuantParams, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point as float64 arrays that broadcast against a tensor of that rank."""
    scale, zero = np.asarray(quant.scale, np.float64), np.asarray(quant.zero_point, np.float64)
    if quant.axis is not None:
        spread = [1] * rank
        spread[quant.axis] = -1
        scale = scale.reshape(spread) if scale.ndim else scale
        zero = zero.reshape(spread) if zero.ndim else zero
    return scale, zero


def topological(tasks: Iterable[Task]) -> list[Task]:
    """The tasks so that each comes after the makers of its inputs, else in the given order.

    Tasks on or behind a cycle keep their order at the end; :func:`intar.ir.validate.findings` names the
    cycle.
    """
    waiting = list(tasks)
    made_here = {task.output for task in waiting}
    ready: set[str] = set()
    done: list[Task] = []
    while waiting:
        later = []
        for task in waiting:
            if all(name in ready or name not in made_here for name in task.inputs):
                done.append(task)
                ready.add(task.output)
            else:
                later.append(task)
        if len(later) == len(waiting):
            return done + later
        waiting = later
    return done


def make_graph(
    name: str,
    tensors: Sequence[Tensor],
    tasks: Sequence[Task],
    inputs: Sequence[str],
    outputs: Sequence[str],
    constants: Mapping[str, np.ndarray],
) -> TaskGraph:
    """Sort the tasks, check everything and return the graph.

    Raises
    ------
    GraphError
        With every finding of :func:`intar.ir.validate.findings`.
    """
    from intar.ir.validate import check

    graph = TaskGraph(
        name=name,
        tensors=tuple(tensors),
        tasks=tuple(topological(tasks)),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        constants=dict(constants),
    )
    check(graph)
    return graph


def _table(graph: TaskGraph) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from intar.ir.shapes import show

    def label(name: str) -> str:
        tensor = graph.tensor(name)
        kind = "" if tensor.quant is None else f" {'' if tensor.quant.signed else 'u'}int{tensor.quant.bits}"
        return f"{name} {show(tensor.shape)}{kind}"

    macs = graph.macs()
    table = Table(title=escape(f"{graph.name}: {len(graph.tasks)} tasks, {sum(macs.values())} MACs"))
    for column in ("task", "op", "inputs", "output", "attributes", "MACs", "source"):
        table.add_column(column, justify="right" if column == "MACs" else "left")
    for task in graph.tasks:
        cells: list[Any] = [task.name, task.op.value, "\n".join(map(label, task.inputs)), label(task.output)]
        cells += [
            ", ".join(f"{k}={v}" for k, v in task.attrs.items()),
            str(macs[task.name] or ""),
            task.source,
        ]
        table.add_row(*(escape(cell) for cell in cells))
    return table
