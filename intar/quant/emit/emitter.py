"""What all emitters share: tensors, tasks and constants so far, formats of a group, and tasks that are put in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np

from intar.errors import Finding
from intar.grid.components import grids
from intar.ir.names import MAX_LENGTH, is_safe
from intar.ir.ops import Op
from intar.ir.quantgraph import DirectSpec, Piece, QAffine, QMove, QTask, QTensor, TableSpec
from intar.ir.taskgraph import Task, TaskGraph
from intar.ir.validate import where
from intar.quant import pieces
from intar.quant.affine import affine_integers
from intar.quant.direct import build_direct, evaluated, too_coarse
from intar.quant.emit import images
from intar.quant.fixed import limits
from intar.quant.formats import Format, Formats
from intar.quant.fuse import Group
from intar.quant.scheme import Scheme
from intar.quant.tables import TableData, rational_groups, wrong_width


class Emitter:
    """Collects tensors, tasks and constants; what can't be done goes to `found`, so that all of it is reported."""

    def __init__(
        self, graph: TaskGraph, formats: Formats, scheme: Scheme, functions: Mapping[str, TableData]
    ) -> None:
        self.graph, self.scheme, self.formats = graph, scheme, formats
        self.functions = functions  # tables, by output
        self.on_grid = grids(graph)
        self.tensors: dict[str, QTensor] = {}
        self.tasks: list[QTask] = []
        self.constants: dict[str, np.ndarray] = {}
        self.found: list[Finding] = []
        self._copies: dict[tuple[str, int], str] = {}
        self._task_names = {task.name for task in graph.tasks}
        self._tensor_names = {tensor.name for tensor in graph.tensors}
        for name in graph.inputs:
            self.tensor(name, graph.tensor(name).shape, formats.stored[name])

    def tensor(self, name: str, shape: Sequence[int], form: Format) -> str:
        """Note a tensor, and give its name."""
        self.tensors[name] = QTensor(
            name=name,
            shape=tuple(shape),
            bits=form.bits,
            scale=form.scale,
            zero=form.zero,
            unsigned=form.unsigned,
        )
        return name

    def another(self, base: str, suffix: str, shape: Sequence[int], form: Format) -> str:
        """A tensor that is put in, with a name that nobody has."""
        return self.tensor(self.fresh(base, suffix, self._tensor_names), shape, form)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a float tensor as it is kept: images on a grid lie flat."""
        return self.on_grid[name].shape if name in self.on_grid else self.graph.tensor(name).shape

    def fresh(self, base: str, suffix: str, taken: set[str]) -> str:
        """A safe name that nobody has: base_suffix, shortened and numbered as need be."""
        count = 1
        while True:
            tail = f"_{suffix}" if count == 1 else f"_{suffix}{count}"
            name = base[: MAX_LENGTH - len(tail)].rstrip("_") + tail
            if name not in taken and is_safe(name):
                taken.add(name)
                return name
            count += 1

    def constant(self, task: str, role: str, array: np.ndarray) -> str:
        """Keep a constant of a task, and give its name."""
        name = f"{task}_{role}"
        while name in self.constants:
            name += "x"
        self.constants[name] = array
        return name

    def target(self, group: Group) -> Format:
        """The format of the linear part's result."""
        return self.formats.pre[group.pre] if group.pre else self.formats.stored[group.output]

    def common(self, group: Group, inputs: tuple[str, ...], target: Format, output: str) -> dict[str, Any]:
        """The fields that the tasks of all groups have."""
        lo, hi = limits(target.bits)
        if group.low > -inf:
            lo = int(np.clip(round(group.low / target.scale) + target.zero, lo, hi))
        if group.high < inf:
            hi = int(np.clip(round(group.high / target.scale) + target.zero, lo, hi))
        sources = list(dict.fromkeys(task.source for task in group.fused if task.source))
        return {
            "name": group.first.name,
            "inputs": inputs,
            "output": output,
            "lo": min(max(lo, target.zero), hi) if group.relu else lo,
            "hi": hi,
            "zero": target.zero,
            "relu": group.relu,
            "table": self._table(group, target),
            "source": " + ".join(sources),
            "fused": tuple(task.name for task in group.fused),
        }

    def _table(self, group: Group, target: Format) -> TableSpec | DirectSpec | None:
        if group.function is None:
            return None
        task, out = group.function, self.formats.stored[group.output]
        if evaluated(task.op, self.scheme):
            return self._direct(group, target)
        if task.op is Op.RATIONAL and (wrong := wrong_width(self.scheme, target.bits, where(task))):
            self.found.append(wrong)
            return None
        lo, hi = limits(out.bits)
        data, name = self.functions[group.output], group.first.name
        return TableSpec(
            function=_function_name(task),
            in_bits=target.bits,
            log_entries=data.log_entries,
            groups=len(group.functions),
            repeats=group.repeats,
            q=data.q,
            lo=lo,
            hi=hi,
            base=self.constant(name, "table", data.base),
            slope="" if data.slope is None else self.constant(name, "slope", data.slope),
            curve="" if data.curve is None else self.constant(name, "curve", data.curve),
            max_error=data.max_error,
        )

    def _direct(self, group: Group, target: Format) -> DirectSpec | None:
        """The rational function at the end of a group, evaluated."""
        assert group.function is not None
        out = self.formats.stored[group.output]
        made = build_direct(
            rational_groups(group.function.attrs, group.coefficients),
            (target.bits, target.scale, target.zero),
            (out.bits, out.scale, out.zero),
        )
        if made is None or not made.good:
            self.found.append(too_coarse(made, where(group.function)))
            return None
        lo, hi = limits(out.bits)
        return DirectSpec(
            function=_function_name(group.function),
            in_bits=target.bits,
            groups=len(made.coefficients),
            repeats=group.repeats,
            zero=target.zero,
            out_zero=out.zero,
            lift=made.lift,
            fraction=made.fraction,
            lo=lo,
            hi=hi,
            coefficients=self.constant(group.first.name, "coefficients", made.coefficients),
            max_error=made.max_error,
        )

    def operand(self, group: Group, index: int) -> str:
        """What a matmul or product reads: the tensor itself, or its copy with fewer bits."""
        name, form = group.inputs[index], self.formats.operands.get((group.output, index))
        if form is None:
            return name
        if (name, form.bits) not in self._copies:
            self._copies[name, form.bits] = self.in_format(group.first, name, form)
        return self._copies[name, form.bits]

    def weight_bits(self, group: Group) -> int:
        """Width of a group's weights, where the model does not bring its own."""
        return self.formats.weights.get(group.output, self.scheme.weight_bits)

    def centred(self, task: Task, name: str) -> str:
        """The tensor itself, or its integers less their zero point in 16 bits: exact."""
        form = form_of(self.tensors[name])
        if form.zero == 0:
            return name
        if form.bits == 16:
            self.found.append(
                Finding(
                    f"'{self.graph.tensor(name).source or name}' has 16 bits and the zero point {form.zero}",
                    where(task),
                    "an operand of a product of two activations is centred: a zero point needs a bit more",
                    "quantise it symmetrically, or with 8 bits",
                )
            )
            return name
        return self.in_format(task, name, Format(16, form.scale, 0))

    def range(self, name: str) -> tuple[int, int]:
        """Least and greatest integer of a tensor, by its type and by the clamps of the task that makes it."""
        for task in self.tasks:
            if task.output == name:
                return (task.table.lo, task.table.hi) if task.table else (task.lo, task.hi)
        return limits(self.tensors[name].bits)

    def reshape(self, source: str, shape: Sequence[int], form: Format) -> str:
        """The tensor in another shape."""
        output = self.another(source, "flat", shape, form)
        self.move(output, (source,), output, pieces.reshape(tuple(shape)))
        return output

    def in_format(self, task: Task, name: str, form: Format) -> str:
        """The tensor `name` in another format: itself, or the output of an inserted requantisation."""
        old = form_of(self.tensors[name])
        if old.same_integers(form):
            return name
        output = self.another(name, "rescaled", self.tensors[name].shape, form)
        own = self.fresh(task.name, "rescale", self._task_names)
        if name in self.on_grid:
            self.tasks.append(images.rescale(self, name, output, own, task.source, old, form))
            return output
        columns = self.tensors[name].cols
        integers = affine_integers(np.ones(columns), np.zeros(columns), old, form)
        lo, hi = limits(form.bits)
        common = {"name": own, "inputs": (name,), "output": output, "lo": lo, "hi": hi}
        self.affine(common | {"source": task.source}, integers)
        return output

    def affine(
        self, common: Mapping[str, Any], integers: tuple[np.ndarray, np.ndarray, np.ndarray, int]
    ) -> None:
        """A scale and shift with these fields, of the integers that :func:`intar.quant.affine.affine_integers` gives."""
        bias, mult, shift, zero = integers
        name = common["name"]
        self.tasks.append(
            QAffine(
                **{**common, "zero": zero},
                bias=self.constant(name, "bias", bias),
                mult=self.constant(name, "mult", mult),
                shift=self.constant(name, "shift", shift),
            )
        )

    def move(
        self,
        base: str,
        inputs: tuple[str, ...],
        output: str,
        made: tuple[Piece, ...],
        visits: int = 1,
        task: Task | None = None,
        host: bool = False,
    ) -> None:
        """A task that moves integers of `inputs` into `output` as the pieces `made` say.

        Parameters
        ----------
        base : what its name begins with where it has no `task` of the model.
        visits : rounds in which the pieces are taken, as much of each in every one (`QMove`).
        host : the host reorders in its place (`QMove`).
        """
        lo, hi = limits(self.tensors[output].bits)
        self.tasks.append(
            QMove(
                name=task.name if task else self.fresh(base, "reshape", self._task_names),
                inputs=inputs,
                output=output,
                lo=lo,
                hi=hi,
                pieces=made,
                visits=visits,
                host=host,
                source=task.source if task else "",
                fused=(task.name,) if task else (),
            )
        )


def form_of(tensor: QTensor) -> Format:
    """The format of a tensor of integers."""
    return Format(tensor.bits, tensor.scale, tensor.zero, tensor.unsigned)


def _function_name(task: Task) -> str:
    return f"{task.op}_tanh" if task.attrs.get("approximate") == "tanh" else str(task.op)
