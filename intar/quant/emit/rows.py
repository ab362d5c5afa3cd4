"""Softmax, normalisations and argmax as integer tasks."""

from __future__ import annotations

import numpy as np

from intar.errors import Finding
from intar.ir import exp2
from intar.ir import norm as exact
from intar.ir.ops import Op
from intar.ir.quantgraph import QArgmax, QNorm, QPeak, QSoftmax, QUnit
from intar.ir.validate import where
from intar.quant.emit.emitter import Emitter
from intar.quant.fixed import exponent_factor, inverse_factor, unit_factor
from intar.quant.formats import INDEX
from intar.quant.fuse import Group
from intar.quant.norms import norm_factors


def softmax(emitter: Emitter, group: Group) -> None:
    """A softmax of rows, of which not all elements may count."""
    task, target, x = group.first, emitter.target(group), emitter.formats.stored[group.inputs[0]]
    columns = emitter.tensors[group.inputs[0]].cols
    if columns > 1 << exp2.MAX_LOG_COLS:
        emitter.found.append(
            Finding(
                f"softmax over {columns} elements", where(task), f"{1 << exp2.MAX_LOG_COLS} are the limit"
            )
        )
        return
    mult, shift = exponent_factor(x.scale)
    numerator, out_shift = inverse_factor(target.scale)
    common = emitter.common(group, group.inputs, target, group.output)
    common["lo"] = max(common["lo"], target.zero)
    emitter.tasks.append(
        QSoftmax(
            **common,
            mult=mult,
            shift=shift,
            numerator=numerator,
            out_shift=out_shift,
            batch=int(np.prod(emitter.shape(group.output)[:-2], dtype=np.int64)),
            visible=group.visible,
            causal=group.causal,
            cached=group.cached,
        )
    )


def norm(emitter: Emitter, group: Group) -> None:
    """A LayerNorm or RMSNorm; what is not centred comes without a zero point."""
    task, target = group.first, emitter.target(group)
    centred = task.op is Op.LAYER_NORM
    source = group.inputs[0] if centred else emitter.centred(task, group.inputs[0])
    x = emitter.tensors[source]
    if x.cols > exact.MAX_COLS:
        emitter.found.append(
            Finding(f"{task.op} over {x.cols} elements", where(task), f"{exact.MAX_COLS} are the limit")
        )
        return
    epsilon = float(task.attrs["epsilon"])  # type: ignore[arg-type]
    lift = exact.BITS - x.bits
    made = norm_factors(group.gain, group.offset, epsilon, x.scale / (1 << lift), target.scale)
    emitter.tasks.append(
        QNorm(
            **emitter.common(group, (source,), target, group.output),
            centred=centred,
            lift=lift,
            epsilon=made.epsilon,
            shift=made.shift,
            out_shift=made.out_shift,
            gain=emitter.constant(task.name, "gain", made.gain),
            offset=emitter.constant(task.name, "offset", made.offset),
        )
    )


def unit(emitter: Emitter, group: Group) -> None:
    """Rows over their peaks."""
    target = emitter.target(group)
    source = emitter.centred(group.first, group.inputs[0])
    numerator, out_shift = unit_factor(target.scale)
    common = emitter.common(group, (source,), target, group.output)
    emitter.tasks.append(QUnit(**common, numerator=numerator, out_shift=out_shift))


def peak(emitter: Emitter, group: Group) -> None:
    """The peaks of rows, in steps of what they are peaks of."""
    source = emitter.centred(group.first, group.inputs[0])
    emitter.tasks.append(QPeak(**emitter.common(group, (source,), emitter.target(group), group.output)))


def argmax(emitter: Emitter, group: Group) -> None:
    """Indices of the largest elements of rows."""
    common = emitter.common(group, group.inputs, INDEX, group.output)
    columns = emitter.tensors[group.inputs[0]].cols
    emitter.tasks.append(QArgmax(**(common | {"lo": 0, "hi": columns - 1})))
