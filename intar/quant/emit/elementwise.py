"""Scale and offset, and sums, differences and products of two tensors, as integer tasks."""

from __future__ import annotations

import numpy as np

from intar.errors import Finding
from intar.ir.ops import Op
from intar.ir.quantgraph import QBinary
from intar.ir.validate import where
from intar.quant import pieces
from intar.quant.affine import affine_integers
from intar.quant.emit import images, tokens
from intar.quant.emit.emitter import Emitter
from intar.quant.fixed import add_factors, factor, limits
from intar.quant.formats import Format
from intar.quant.fuse import Group

FAR_BELOW = 45.9
"""Scores so far apart are still above every element that an added mask of -64 hides (docs/numerics.md)."""


def affine(emitter: Emitter, group: Group) -> None:
    """Scale and offset of each column; where every element has its own, of the tensor laid flat."""
    shape = emitter.shape(group.output)
    source, output = group.inputs[0], group.output
    x, target = emitter.formats.stored[source], emitter.target(group)
    if output in emitter.formats.masked:
        _check_mask(emitter, group, x)
    gain, offset, flat = group.gain, group.offset, shape
    if source in emitter.on_grid:
        gain, offset, same = images.by_place(emitter, group)
        gain, offset = (gain[0], offset[0]) if same else (gain.reshape(-1), offset.reshape(-1))
    if group.elementwise and gain.size != shape[-1]:
        flat = (1, int(np.prod(shape)))
        source = emitter.reshape(source, flat, x)
        output = emitter.another(output, "flat", flat, emitter.formats.stored[group.output])
    columns = emitter.tensors[source].cols
    integers = affine_integers(
        np.broadcast_to(gain, (columns,)),
        np.broadcast_to(offset, (columns,)),
        x,
        target,
        emitter.scheme.power_of_two,
    )
    emitter.affine(emitter.common(group, (source,), target, output), integers)
    if output != group.output:
        emitter.move(group.first.name, (output,), group.output, pieces.reshape(flat))


def _check_mask(emitter: Emitter, group: Group, x: Format) -> None:
    """Where a mask is added, its hidden elements are far below all others."""
    low, high = limits(x.bits)
    spread = float(np.abs(group.gain).max()) * x.scale * (high - low)
    if spread > FAR_BELOW:
        emitter.found.append(
            Finding(
                f"the scores under the mask of '{group.output}' are up to {spread:.1f} apart",
                where(group.first),
                f"hidden elements come to nothing only while scores are less than {FAR_BELOW} apart",
                "use a mask that hides the end of rows (causal or padding), which is exact for all scores",
            )
        )


def binary(emitter: Emitter, group: Group) -> None:
    """A sum, difference or product of two tensors of one shape, or a product with the factors of whole rows."""
    if group.scaled:
        tokens.scale_rows(emitter, group)
        return
    shape = emitter.shape(group.output)
    target = emitter.target(group)
    x, y = (emitter.formats.stored[name] for name in group.inputs)
    inputs = tuple(
        name
        if emitter.tensors[name].shape in (shape, (*shape[:-1], 1))
        else emitter.reshape(name, shape, emitter.formats.stored[name])
        for name in group.inputs
    )
    if group.first.op is Op.MUL:
        (mx, shift), my = factor(x.scale * y.scale / target.scale), 0
    else:
        sign = -1 if group.first.op is Op.SUB else 1
        mx, my, shift = add_factors(x.scale / target.scale, sign * y.scale / target.scale)
    emitter.tasks.append(
        QBinary(
            **emitter.common(group, inputs, target, group.output),
            op="mul" if group.first.op is Op.MUL else "add",
            zx=x.zero,
            zy=y.zero,
            mx=mx,
            my=my,
            shift=shift,
        )
    )
