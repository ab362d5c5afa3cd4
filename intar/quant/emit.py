"""Writes the quantised graph: one group of float operators after the other becomes integer tasks and constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np

from intar.errors import Finding, InternalError
from intar.grid.components import grids
from intar.ir import exp2, norm
from intar.ir.names import MAX_LENGTH, is_safe
from intar.ir.ops import Op
from intar.ir.quantgraph import (
    DirectSpec,
    Piece,
    QAffine,
    QArgmax,
    QBinary,
    QEmbedding,
    QMatmul,
    QMove,
    QNorm,
    QProduct,
    QSoftmax,
    QTask,
    QTensor,
    TableSpec,
)
from intar.ir.taskgraph import Task, TaskGraph
from intar.ir.validate import where
from intar.quant import emit_images, pieces
from intar.quant.direct import build_direct, evaluated, too_coarse
from intar.quant.fixed import (
    FactorRange,
    add_factors,
    exponent_factor,
    factor,
    factors,
    inverse_factor,
    limits,
    requantise,
)
from intar.quant.formats import INDEX, Format, Formats
from intar.quant.fuse import Group
from intar.quant.norms import norm_factors
from intar.quant.ranges import MAX_ACC_BITS, product_bits
from intar.quant.scheme import Scheme
from intar.quant.tables import TableData, rational_groups, wrong_width
from intar.quant.weights import Weights, imported_weights, quantise_weights

NEGLIGIBLE = 1 << 40

FAR_BELOW = 45.9
"""Scores so far apart are still above every element that an added mask of -64 hides (docs/numerics.md)."""


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
            self._tensor(name, graph.tensor(name).shape, formats.stored[name])

    def group(self, group: Group) -> None:
        """Emit one group; the makers of its inputs have been emitted."""
        self._tensor(group.output, self._shape(group.output), self.formats.stored[group.output])
        try:
            if group.kind == "matmul":
                self._matmul(group)
            elif group.kind == "conv":
                emit_images.emit_conv(self, group)
            elif group.kind == "pool":
                emit_images.emit_pool(self, group)
            elif group.kind == "product":
                self._product(group)
            elif group.kind == "softmax":
                self._softmax(group)
            elif group.kind == "norm":
                self._norm(group)
            elif group.kind == "affine":
                self._affine(group)
            elif group.kind == "binary":
                self._binary(group)
            elif group.kind == "embedding":
                self._embedding(group)
            elif group.kind == "argmax":
                self._argmax(group)
            else:
                self._move(group)
        except FactorRange as error:
            self._range_finding(group, error)
        except pieces.TooDeep as error:
            self.found.append(
                Finding(
                    str(error), where(group.first), hint="split it into two transposes, or merge axes before"
                )
            )

    # ------------------------------------------------------------ names and common fields

    def _tensor(self, name: str, shape: Sequence[int], form: Format) -> str:
        self.tensors[name] = QTensor(
            name=name,
            shape=tuple(shape),
            bits=form.bits,
            scale=form.scale,
            zero=form.zero,
            unsigned=form.unsigned,
        )
        return name

    def _shape(self, name: str) -> tuple[int, ...]:
        """Shape of a float tensor as it is kept: images on a grid lie flat."""
        return self.on_grid[name].shape if name in self.on_grid else self.graph.tensor(name).shape

    def _fresh(self, base: str, suffix: str, taken: set[str]) -> str:
        """A safe name that nobody has: base_suffix, shortened and numbered as need be."""
        count = 1
        while True:
            tail = f"_{suffix}" if count == 1 else f"_{suffix}{count}"
            name = base[: MAX_LENGTH - len(tail)].rstrip("_") + tail
            if name not in taken and is_safe(name):
                taken.add(name)
                return name
            count += 1

    def _constant(self, task: str, role: str, array: np.ndarray) -> str:
        name = f"{task}_{role}"
        while name in self.constants:
            name += "x"
        self.constants[name] = array
        return name

    def _target(self, group: Group) -> Format:
        """The format of the linear part's result."""
        return self.formats.pre[group.pre] if group.pre else self.formats.stored[group.output]

    def _common(self, group: Group, inputs: tuple[str, ...], target: Format, output: str) -> dict[str, Any]:
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
            base=self._constant(name, "table", data.base),
            slope="" if data.slope is None else self._constant(name, "slope", data.slope),
            curve="" if data.curve is None else self._constant(name, "curve", data.curve),
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
            coefficients=self._constant(group.first.name, "coefficients", made.coefficients),
            max_error=made.max_error,
        )

    def _range_finding(self, group: Group, error: FactorRange) -> None:
        name = group.pre or group.output
        self.found.append(
            Finding(
                f"{error}: the range of '{self.graph.tensor(name).source or name}' is far smaller than what "
                "its operands can make",
                where(group.first),
                "a requantisation factor has to stay below 128",
                "calibrate with more, or more varied, samples",
            )
        )

    def _check_mask(self, group: Group, x: Format) -> None:
        """Where a mask is added, its hidden elements are far below all others."""
        low, high = limits(x.bits)
        spread = float(np.abs(group.gain).max()) * x.scale * (high - low)
        if spread > FAR_BELOW:
            self.found.append(
                Finding(
                    f"the scores under the mask of '{group.output}' are up to {spread:.1f} apart",
                    where(group.first),
                    f"hidden elements come to nothing only while scores are less than {FAR_BELOW} apart",
                    "use a mask that hides the end of rows (causal or padding), which is exact for all scores",
                )
            )

    # ------------------------------------------------------------ operators

    def _matmul(self, group: Group) -> None:
        source, target = self._operand(group, 0), self._target(group)
        x = _form(self.tensors[source])
        data = self._weights(group, x)
        mult, shift = factors(x.scale * data.scale / target.scale)
        name = group.first.name
        self.tasks.append(
            QMatmul(
                **self._common(group, (source,), target, group.output),
                weight=self._constant(name, "weight", data.ints),
                weight_bits=data.bits,
                bias=self._constant(name, "bias", data.bias),
                mult=self._constant(name, "mult", mult),
                shift=self._constant(name, "shift", shift),
                acc_bits=data.acc_bits,
            )
        )

    def _weights(self, group: Group, x: Format) -> Weights:
        source = group.first.inputs[1]
        quant = self.graph.tensor(source).quant
        if quant is not None:
            ints = self.graph.constants[source]
            return imported_weights(ints, quant, group.offset, x.bits, x.scale, x.zero, where(group.first))
        weight = self.graph.constant(source)
        weight *= group.gain
        power_of_two = self.scheme.power_of_two
        return quantise_weights(
            weight, group.offset, self.weight_bits(group), x.bits, x.scale, x.zero, power_of_two
        )

    def _product(self, group: Group) -> None:
        task, target = group.first, self._target(group)
        names = tuple(self._centred(task, self._operand(group, index)) for index in (0, 1))
        x, y = (self.tensors[name] for name in names)
        width = product_bits(self._range(x.name), self._range(y.name), x.cols)
        if width > MAX_ACC_BITS:
            self.found.append(
                Finding(
                    f"{x.cols} products of {x.bits} and {y.bits} bits need an accumulator of {width} bits, "
                    f"{MAX_ACC_BITS} are the limit",
                    where(task),
                    hint="use narrower activations, or split the reduction",
                )
            )
            return
        mult, shift = factor(x.scale * y.scale * float(group.gain[0]) / target.scale)
        self.tasks.append(
            QProduct(
                **self._common(group, names, target, group.output),
                batch=int(np.prod(x.shape[:-2], dtype=np.int64)),
                transposed=task.attrs["transposed"] == "second",
                mult=mult,
                shift=shift,
                acc_bits=width,
            )
        )

    def _operand(self, group: Group, index: int) -> str:
        """What a matmul or product reads: the tensor itself, or its copy with fewer bits."""
        name, form = group.inputs[index], self.formats.operands.get((group.output, index))
        if form is None:
            return name
        if (name, form.bits) not in self._copies:
            self._copies[name, form.bits] = self._in_format(group.first, name, form)
        return self._copies[name, form.bits]

    def weight_bits(self, group: Group) -> int:
        """Width of a group's weights, where the model does not bring its own."""
        return self.formats.weights.get(group.output, self.scheme.weight_bits)

    def _centred(self, task: Task, name: str) -> str:
        """The tensor itself, or its integers less their zero point in 16 bits: exact."""
        form = _form(self.tensors[name])
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
        return self._in_format(task, name, Format(16, form.scale, 0))

    def _range(self, name: str) -> tuple[int, int]:
        """Least and greatest integer of a tensor, by its type and by the clamps of the task that makes it."""
        for task in self.tasks:
            if task.output == name:
                return (task.table.lo, task.table.hi) if task.table else (task.lo, task.hi)
        return limits(self.tensors[name].bits)

    def _softmax(self, group: Group) -> None:
        task, target, x = group.first, self._target(group), self.formats.stored[group.inputs[0]]
        columns = self.tensors[group.inputs[0]].cols
        if columns > 1 << exp2.MAX_LOG_COLS:
            self.found.append(
                Finding(
                    f"softmax over {columns} elements", where(task), f"{1 << exp2.MAX_LOG_COLS} are the limit"
                )
            )
            return
        mult, shift = exponent_factor(x.scale)
        numerator, out_shift = inverse_factor(target.scale)
        common = self._common(group, group.inputs, target, group.output)
        common["lo"] = max(common["lo"], target.zero)
        self.tasks.append(
            QSoftmax(
                **common,
                mult=mult,
                shift=shift,
                numerator=numerator,
                out_shift=out_shift,
                batch=int(np.prod(self._shape(group.output)[:-2], dtype=np.int64)),
                visible=group.visible,
                causal=group.causal,
                cached=group.cached,
            )
        )

    def _norm(self, group: Group) -> None:
        task, target = group.first, self._target(group)
        centred = task.op is Op.LAYER_NORM
        source = group.inputs[0] if centred else self._centred(task, group.inputs[0])
        x = self.tensors[source]
        if x.cols > norm.MAX_COLS:
            self.found.append(
                Finding(f"{task.op} over {x.cols} elements", where(task), f"{norm.MAX_COLS} are the limit")
            )
            return
        epsilon = float(task.attrs["epsilon"])  # type: ignore[arg-type]
        lift = norm.BITS - x.bits
        made = norm_factors(group.gain, group.offset, epsilon, x.scale / (1 << lift), target.scale)
        self.tasks.append(
            QNorm(
                **self._common(group, (source,), target, group.output),
                centred=centred,
                lift=lift,
                epsilon=made.epsilon,
                shift=made.shift,
                out_shift=made.out_shift,
                gain=self._constant(task.name, "gain", made.gain),
                offset=self._constant(task.name, "offset", made.offset),
            )
        )

    def _affine(self, group: Group) -> None:
        shape = self._shape(group.output)
        source, output = group.inputs[0], group.output
        x, target = self.formats.stored[source], self._target(group)
        if output in self.formats.masked:
            self._check_mask(group, x)
        gain, offset, flat = group.gain, group.offset, shape
        if source in self.on_grid:
            gain, offset, same = emit_images.by_place(self, group)
            gain, offset = (gain[0], offset[0]) if same else (gain.reshape(-1), offset.reshape(-1))
        if group.elementwise and gain.size != shape[-1]:
            flat = (1, int(np.prod(shape)))
            source = self._reshape(source, flat, x)
            output = self._fresh(output, "flat", self._tensor_names)
            self._tensor(output, flat, self.formats.stored[group.output])
        columns = self.tensors[source].cols
        bias, mult, shift, zero = affine_integers(
            np.broadcast_to(gain, (columns,)),
            np.broadcast_to(offset, (columns,)),
            x,
            target,
            self.scheme.power_of_two,
        )
        name = group.first.name
        self.tasks.append(
            QAffine(
                **self._common(group, (source,), target, output) | {"zero": zero},
                bias=self._constant(name, "bias", bias),
                mult=self._constant(name, "mult", mult),
                shift=self._constant(name, "shift", shift),
            )
        )
        if output != group.output:
            self._move_task(name, (output,), group.output, pieces.reshape(flat))

    def _binary(self, group: Group) -> None:
        shape = self._shape(group.output)
        target = self._target(group)
        x, y = (self.formats.stored[name] for name in group.inputs)
        inputs = tuple(
            name
            if self.tensors[name].shape == shape
            else self._reshape(name, shape, self.formats.stored[name])
            for name in group.inputs
        )
        if group.first.op is Op.MUL:
            (mx, shift), my = factor(x.scale * y.scale / target.scale), 0
        else:
            sign = -1 if group.first.op is Op.SUB else 1
            mx, my, shift = add_factors(x.scale / target.scale, sign * y.scale / target.scale)
        self.tasks.append(
            QBinary(
                **self._common(group, inputs, target, group.output),
                op="mul" if group.first.op is Op.MUL else "add",
                zx=x.zero,
                zy=y.zero,
                mx=mx,
                my=my,
                shift=shift,
            )
        )

    def _embedding(self, group: Group) -> None:
        out = self.formats.stored[group.output]
        table = self.graph.constant(group.first.inputs[1])
        ints = np.clip(np.rint(table / out.scale) + out.zero, *limits(out.bits))
        weight = self._constant(group.first.name, "weight", ints)
        common = self._common(group, group.inputs, out, group.output)
        self.tasks.append(QEmbedding(**common, weight=weight))

    def _argmax(self, group: Group) -> None:
        common = self._common(group, group.inputs, INDEX, group.output)
        columns = self.tensors[group.inputs[0]].cols
        self.tasks.append(QArgmax(**(common | {"lo": 0, "hi": columns - 1})))

    def _move(self, group: Group) -> None:
        task, out = group.first, self.formats.stored[group.output]
        shapes = self.graph.shapes(task)
        aligned = {name: self._in_format(task, name, out) for name in dict.fromkeys(group.inputs)}
        inputs = tuple(aligned.values())
        visits, host = 1, False
        if task.op in (Op.SPACE_TO_DEPTH, Op.DEPTH_TO_SPACE):
            made, host = emit_images.move_pieces(self, group)
            host = host and inputs == group.inputs
        elif task.op is Op.RESHAPE:
            made = pieces.reshape(shapes[0])
        elif task.op is Op.TRANSPOSE:
            made = pieces.transpose(shapes[0], task.attrs["perm"])  # type: ignore[arg-type]
        elif task.op is Op.SLICE:
            axis, start, stop = (int(task.attrs[key]) for key in ("axis", "start", "stop"))  # type: ignore[arg-type]
            made = pieces.take(shapes[0], axis, start, stop)
        elif task.op is Op.CONCAT:
            positions = [list(aligned).index(name) for name in group.inputs]
            flat = group.output in self.on_grid  # channel after channel
            kept = [self._shape(name) for name in group.inputs]
            made, visits = pieces.concat(kept, 0 if flat else int(task.attrs["axis"]), positions)  # type: ignore[arg-type]
        else:
            raise InternalError(f"{task.op} is not a move")
        self._move_task("", inputs, group.output, made, visits, task, host)

    # ------------------------------------------------------------ inserted tasks

    def _reshape(self, source: str, shape: Sequence[int], form: Format) -> str:
        output = self._tensor(self._fresh(source, "flat", self._tensor_names), shape, form)
        self._move_task(output, (source,), output, pieces.reshape(tuple(shape)))
        return output

    def _in_format(self, task: Task, name: str, form: Format) -> str:
        """The tensor `name` in another format: itself, or the output of an inserted requantisation."""
        old = _form(self.tensors[name])
        if old.same_integers(form):
            return name
        output = self._fresh(name, "rescaled", self._tensor_names)
        self._tensor(output, self.tensors[name].shape, form)
        own = self._fresh(task.name, "rescale", self._task_names)
        if name in self.on_grid:
            self.tasks.append(emit_images.rescale(self, name, output, own, task.source, old, form))
            return output
        columns = self.tensors[name].cols
        bias, mult, shift, zero = affine_integers(np.ones(columns), np.zeros(columns), old, form)
        lo, hi = limits(form.bits)
        self.tasks.append(
            QAffine(
                name=own,
                inputs=(name,),
                output=output,
                lo=lo,
                hi=hi,
                zero=zero,
                source=task.source,
                bias=self._constant(own, "bias", bias),
                mult=self._constant(own, "mult", mult),
                shift=self._constant(own, "shift", shift),
            )
        )
        return output

    def _move_task(
        self,
        base: str,
        inputs: tuple[str, ...],
        output: str,
        made: tuple[Piece, ...],
        visits: int = 1,
        task: Task | None = None,
        host: bool = False,
    ) -> None:
        lo, hi = limits(self.tensors[output].bits)
        self.tasks.append(
            QMove(
                name=task.name if task else self._fresh(base, "reshape", self._task_names),
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


OFFSET = 1 << 16
"""What an affine's zero point is lowered by where offsets are fractions of an input step: with it fits 18 bits."""

LARGEST_BIAS = 1 << 45
"""Beside it an input of 16 bits moves the result by less than a thousandth of a step."""

NEIGHBOURS = 8
"""Biases tried on either side of the nearest one."""


def affine_integers(
    gain: np.ndarray, offset: np.ndarray, x: Format, target: Format, plain: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Bias, multiplier and shift (int64, one a column) of ``gain * x + offset``, and the zero point. Raises FactorRange.

    The bias counts input steps. Where the offset is a fraction of one, the zero point is lowered by `OFFSET` output steps
    and the line goes through a bias near ``(OFFSET + offset) / slope``, with its slope turned by less than
    ``slope / OFFSET``; of the biases around that one the one with the fewest wrong results over the input's range is taken
    (docs/numerics.md). With `plain` the offset is rounded to input steps: slopes stay what they are, powers of two.
    """
    slope, shifted = gain * x.scale / target.scale, offset / target.scale
    with np.errstate(divide="ignore", invalid="ignore"):
        units = shifted / slope
    constant = ~(np.abs(units) < NEGLIGIBLE)
    units = np.where(constant, 0.0, units)
    bias = np.where(constant, 1 << 30, np.rint(units)).astype(np.int64) - x.zero
    simple = (bias, *factors(np.where(constant, shifted / (1 << 30), slope)))
    if plain or (not constant.any() and np.abs((units - np.rint(units)) * slope).max(initial=0.0) < 1e-6):
        return *simple, target.zero
    low, high = limits(x.bits)
    inputs = np.unique(np.linspace(low, high, min(high - low + 1, 1024)).astype(np.int64))[:, None]
    wanted = np.floor(slope * (inputs - x.zero) + shifted + 0.5)
    exact = _through(slope, OFFSET + shifted - slope * x.zero, inputs, wanted + OFFSET)
    gaps = [
        np.abs(requantise(inputs + bias, mult, shift) - lowered - wanted)
        for (bias, mult, shift), lowered in ((simple, 0), (exact, OFFSET))
    ]
    if (gaps[0].max(), gaps[0].sum()) <= (gaps[1].max(), gaps[1].sum()):
        return *simple, target.zero
    return *exact, target.zero - OFFSET


def _through(
    slope: np.ndarray, level: np.ndarray, inputs: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bias, multiplier and shift of ``slope * q + level``: the line through ``level`` at 0 whose zero is a whole number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        nearest = np.rint(level / slope)
    nearest = np.where(np.abs(nearest) < LARGEST_BIAS, nearest, LARGEST_BIAS).astype(np.int64)
    best: tuple[np.ndarray, ...] = ()
    for step in sorted(range(-NEIGHBOURS, NEIGHBOURS + 1), key=abs):
        bias = np.where(nearest + step == 0, 1, nearest + step)
        mult, shift = factors(level / bias)
        wrong = (requantise(inputs + bias, mult, shift) != wanted).sum(axis=0)
        found = (wrong, bias, mult, shift)
        best = (
            tuple(np.where(wrong < best[0], a, b) for a, b in zip(found, best, strict=True))
            if best
            else found
        )
        if not best[0].any():
            break
    return best[1], best[2], best[3]


def _form(tensor: QTensor) -> Format:
    return Format(tensor.bits, tensor.scale, tensor.zero, tensor.unsigned)


def _function_name(task: Task) -> str:
    return f"{task.op}_tanh" if task.attrs.get("approximate") == "tanh" else str(task.op)
