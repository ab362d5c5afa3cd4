"""Reshape, transpose, slice, concat and reorderings of images as moves."""

from __future__ import annotations

from intar.errors import InternalError
from intar.ir.ops import Op
from intar.quant import pieces
from intar.quant.emit import images
from intar.quant.emit.emitter import Emitter
from intar.quant.fuse import Group


def move(emitter: Emitter, group: Group) -> None:
    """A move of elements; its inputs get the output's format first."""
    task, out = group.first, emitter.formats.stored[group.output]
    shapes = emitter.graph.shapes(task)
    aligned = {name: emitter.in_format(task, name, out) for name in dict.fromkeys(group.inputs)}
    inputs = tuple(aligned.values())
    visits, host = 1, False
    if task.op in (Op.SPACE_TO_DEPTH, Op.DEPTH_TO_SPACE):
        made, host = images.move_pieces(emitter, group)
        host = host and inputs == group.inputs
    elif task.op is Op.RESHAPE:
        made = pieces.reshape(shapes[0])
    elif task.op is Op.TRANSPOSE:
        made = pieces.transpose(shapes[0], task.attrs["perm"])  # type: ignore[arg-type]
    elif task.op is Op.SLICE:
        axis, start, stop, step = (int(task.attrs[key]) for key in ("axis", "start", "stop", "step"))  # type: ignore[arg-type]
        made = pieces.take(shapes[0], axis, start, stop, step)
    elif task.op is Op.CONCAT:
        positions = [list(aligned).index(name) for name in group.inputs]
        flat = group.output in emitter.on_grid  # channel after channel
        kept = [emitter.shape(name) for name in group.inputs]
        made, visits = pieces.concat(kept, 0 if flat else int(task.attrs["axis"]), positions)  # type: ignore[arg-type]
    else:
        raise InternalError(f"{task.op} is not a move")
    emitter.move("", inputs, group.output, made, visits, task, host)
