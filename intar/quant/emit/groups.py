"""Which emitter writes a group of float operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from intar.errors import Finding
from intar.ir.validate import where
from intar.quant import pieces
from intar.quant.emit import elementwise, images, moves, products, rows
from intar.quant.emit.emitter import Emitter
from intar.quant.fixed import FactorRange
from intar.quant.fuse import Group

EMITTERS: Mapping[str, Callable[[Emitter, Group], None]] = {
    "matmul": products.matmul,
    "product": products.product,
    "embedding": products.embedding,
    "conv": images.conv,
    "pool": images.pool,
    "softmax": rows.softmax,
    "norm": rows.norm,
    "unit": rows.unit,
    "peak": rows.peak,
    "argmax": rows.argmax,
    "affine": elementwise.affine,
    "binary": elementwise.binary,
    "move": moves.move,
}


def emit(emitter: Emitter, group: Group) -> None:
    """Write one group; the makers of its inputs have been written."""
    emitter.tensor(group.output, emitter.shape(group.output), emitter.formats.stored[group.output])
    try:
        EMITTERS[group.kind](emitter, group)
    except FactorRange as error:
        _range_finding(emitter, group, error)
    except pieces.TooDeep as error:
        hint = "split it into two transposes, or merge axes before"
        emitter.found.append(Finding(str(error), where(group.first), hint=hint))


def _range_finding(emitter: Emitter, group: Group, error: FactorRange) -> None:
    name = group.pre or group.output
    emitter.found.append(
        Finding(
            f"{error}: the range of '{emitter.graph.tensor(name).source or name}' is far smaller than what "
            "its operands can make",
            where(group.first),
            "a requantisation factor has to stay below 128",
            "calibrate with more, or more varied, samples",
        )
    )
