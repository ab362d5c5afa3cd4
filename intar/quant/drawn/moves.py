"""Random moves: reshaped, transposed, sliced, joined."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from intar.ir.quantgraph import Piece, QMove, QTensor
from intar.quant import pieces
from intar.quant.drawn.maker import MAX_ELEMENTS, Maker
from intar.quant.fixed import limits


def move(
    m: Maker, inputs: Sequence[QTensor], shape: Sequence[int], made: tuple[Piece, ...], visits: int = 1
) -> bool:
    """A move of these pieces; its result has the format of the first input."""
    out = m.tensor(shape, like=inputs[0])
    lo, hi = limits(out.bits)
    names = tuple(dict.fromkeys(tensor.name for tensor in inputs))
    m.tasks.append(
        QMove(
            name=f"op{len(m.tasks)}",
            inputs=names,
            output=out.name,
            lo=lo,
            hi=hi,
            pieces=made,
            visits=visits,
        )
    )
    m.read |= set(names)
    return True


def reshape(m: Maker) -> bool:
    """To any two axes."""
    x = m.operand()
    assert x is not None
    size = prod(x.shape)
    rows = m.pick([n for n in range(1, size + 1) if size % n == 0])
    return move(m, (x,), (rows, size // rows), pieces.reshape(x.shape))


def transpose(m: Maker) -> bool:
    """Along any permutation of its axes."""
    x = m.operand(lambda tensor: len(tensor.shape) > 1)
    if x is None:
        return False
    perm = [int(axis) for axis in m.rng.permutation(len(x.shape))]
    return move(m, (x,), [x.shape[axis] for axis in perm], pieces.transpose(x.shape, perm))


def take(m: Maker) -> bool:
    """Any part along one axis."""
    x = m.operand()
    assert x is not None
    axis = int(m.rng.integers(len(x.shape)))
    start = int(m.rng.integers(x.shape[axis]))
    stop = int(m.rng.integers(start + 1, x.shape[axis] + 1))
    shape = (*x.shape[:axis], stop - start, *x.shape[axis + 1 :])
    return move(m, (x,), shape, pieces.take(x.shape, axis, start, stop))


def concat(m: Maker) -> bool:
    """Two or three tensors of one format; a tensor without a partner is joined with itm."""
    x = m.operand()
    assert x is not None
    axis = int(m.rng.integers(len(x.shape)))

    def fits(tensor: QTensor) -> bool:
        outside = len(tensor.shape) == len(x.shape) and all(
            a == b for i, (a, b) in enumerate(zip(tensor.shape, x.shape, strict=True)) if i != axis
        )
        return outside and (tensor.bits, tensor.scale, tensor.zero) == (x.bits, x.scale, x.zero)

    parts = [x] + [m.operand(fits) or x for _ in range(m.pick((1, 1, 2)))]
    names = list(dict.fromkeys(tensor.name for tensor in parts))
    shape = (*x.shape[:axis], sum(t.shape[axis] for t in parts), *x.shape[axis + 1 :])
    if prod(shape) > MAX_ELEMENTS:
        return False
    positions = [names.index(tensor.name) for tensor in parts]
    made, visits = pieces.concat([t.shape for t in parts], axis, positions)
    return move(m, parts, shape, made, visits)
