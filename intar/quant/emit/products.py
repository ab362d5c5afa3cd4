"""Matmuls, products of two activations, and embeddings as integer tasks."""

from __future__ import annotations

import numpy as np

from intar.errors import Finding
from intar.ir.quantgraph import QEmbedding, QMatmul, QProduct
from intar.ir.validate import where
from intar.quant.affine import accumulator_integers
from intar.quant.emit.emitter import Emitter, form_of
from intar.quant.fixed import factor, limits
from intar.quant.formats import Format
from intar.quant.fuse import Group
from intar.quant.ranges import MAX_ACC_BITS, product_bits
from intar.quant.weights import Weights, imported_weights, quantise_weights


def matmul(emitter: Emitter, group: Group) -> None:
    """A product with weights."""
    source, target = emitter.operand(group, 0), emitter.target(group)
    x = form_of(emitter.tensors[source])
    data = _weights(emitter, group, x)
    bias, mult, shift, zero = accumulator_integers(data, x.scale, target)
    name = group.first.name
    emitter.tasks.append(
        QMatmul(
            **emitter.common(group, (source,), target, group.output) | {"zero": zero},
            weight=emitter.constant(name, "weight", data.ints),
            weight_bits=data.bits,
            bias=emitter.constant(name, "bias", bias),
            mult=emitter.constant(name, "mult", mult),
            shift=emitter.constant(name, "shift", shift),
            acc_bits=data.acc_bits,
        )
    )


def _weights(emitter: Emitter, group: Group, x: Format) -> Weights:
    source = group.first.inputs[1]
    quant = emitter.graph.tensor(source).quant
    if quant is not None:
        ints = emitter.graph.constants[source]
        return imported_weights(
            ints, quant, group.gain, group.offset, x.bits, x.scale, x.zero, where(group.first)
        )
    weight = emitter.graph.constant(source)
    weight *= group.gain
    power_of_two = emitter.scheme.power_of_two
    return quantise_weights(
        weight, group.offset, emitter.weight_bits(group), x.bits, x.scale, x.zero, power_of_two
    )


def product(emitter: Emitter, group: Group) -> None:
    """A product of two activations, both without zero points."""
    task, target = group.first, emitter.target(group)
    names = tuple(emitter.centred(task, emitter.operand(group, index)) for index in (0, 1))
    x, y = (emitter.tensors[name] for name in names)
    width = product_bits(emitter.range(x.name), emitter.range(y.name), x.cols)
    if width > MAX_ACC_BITS:
        emitter.found.append(
            Finding(
                f"{x.cols} products of {x.bits} and {y.bits} bits need an accumulator of {width} bits, "
                f"{MAX_ACC_BITS} are the limit",
                where(task),
                hint="use narrower activations, or split the reduction",
            )
        )
        return
    mult, shift = factor(x.scale * y.scale * float(group.gain[0]) / target.scale)
    emitter.tasks.append(
        QProduct(
            **emitter.common(group, names, target, group.output),
            batch=int(np.prod(x.shape[:-2], dtype=np.int64)),
            transposed=task.attrs["transposed"] == "second",
            mult=mult,
            shift=shift,
            acc_bits=width,
        )
    )


def embedding(emitter: Emitter, group: Group) -> None:
    """Rows of a table, chosen by ids."""
    out = emitter.formats.stored[group.output]
    table = emitter.graph.constant(group.first.inputs[1])
    ints = np.clip(np.rint(table / out.scale) + out.zero, *limits(out.bits))
    weight = emitter.constant(group.first.name, "weight", ints)
    common = emitter.common(group, group.inputs, out, group.output)
    emitter.tasks.append(QEmbedding(**common, weight=weight))
