"""Matmuls whose operands have a scale for each token: peaks of rows, and the bias, meet the results on their way out."""

from __future__ import annotations

import numpy as np

from intar.ir.quantgraph import QBinary, QMatmul
from intar.quant.absorb import merge
from intar.quant.affine import affine_integers
from intar.quant.emit.emitter import Emitter
from intar.quant.fixed import FactorRange, factor, limits
from intar.quant.formats import Format
from intar.quant.fuse import Group

LATE_BITS = 18
"""Of a bias behind the peaks of rows, together with the zero point."""

FINE_BITS = 16
"""Such a bias is in steps of the result: where that has fewer bits, a finer result is rounded in a pass of its own. Else the
bias of each column would be off by up to half a step, in all rows alike."""


def scale_rows(emitter: Emitter, group: Group) -> None:
    """The matmul that makes the first operand of a scaled group takes the rest of the group as its tail."""
    target, (x, y) = emitter.target(group), (emitter.formats.stored[name] for name in group.inputs)
    common = emitter.common(group, group.inputs, target, group.output)
    biased = group.offset.size > 1 or bool(group.offset.any())
    fine, more = target, FINE_BITS - target.bits
    if biased and more > 0:
        fine = Format(FINE_BITS, target.scale / (1 << more), target.zero << more)
        output = emitter.another(group.output, "fine", emitter.shape(group.output), fine)
        lo, hi = limits(FINE_BITS)
        plain = {"output": output, "lo": lo, "hi": hi, "zero": fine.zero, "relu": False, "table": None}
        _into_matmul(emitter, group, common | plain, (x, y, fine), biased)
        columns = emitter.tensors[output].cols
        integers = affine_integers(np.ones(columns), np.zeros(columns), fine, target)
        emitter.affine(common | {"inputs": (output,), "fused": ()}, integers)
    else:
        _into_matmul(emitter, group, common, (x, y, fine), biased)


def _into_matmul(
    emitter: Emitter, group: Group, common: dict, forms: tuple[Format, Format, Format], biased: bool
) -> None:
    x, y, target = forms
    mx, shift = factor(x.scale * y.scale / target.scale)
    task = QBinary(**common, op="mul", zx=x.zero, zy=y.zero, mx=mx, shift=shift)
    bias = np.rint(np.broadcast_to(group.offset, emitter.shape(group.output)[-1:]) / target.scale)
    if np.abs(bias).max() + abs(target.zero) >= 1 << LATE_BITS - 1:
        raise FactorRange(f"the bias {np.abs(group.offset).max():.4g}")
    host = next((made for made in emitter.tasks if made.output == task.inputs[0]), None)
    if host is None:  # it has been refused, which is reported with everything else
        return
    assert isinstance(host, QMatmul) and not emitter.constants[host.bias].any()
    emitter.constants[host.bias] = bias
    emitter.tasks.remove(host)
    emitter.tasks.append(merge(host, task, late=biased))
