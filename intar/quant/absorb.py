"""Sums and products that a matmul or convolution performs on its way out: its results meet the other operand in the vector
unit.

A binary task joins a matmul or convolution when it is the only reader of its result, and that has no ReLU and no table of
its own. The integers stay the same; the result alone is no tensor any more. A convolution reads the other operand from
a memory of images, and one memory can't give it two things in turn: an image that it reads itself it does not add. Nor does
it multiply by a number for each channel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from intar.ir.quantgraph import QBinary, QConv, QMatmul, QTail, QTask, QTensor


def absorb_binaries(
    tasks: Sequence[QTask], tensors: Mapping[str, QTensor], outputs: Sequence[str]
) -> list[QTask]:
    """The tasks, in topological order, with every binary task merged into a matmul or convolution where that is
    possible.

    Where both operands come from such a task, the later one takes the operation: the other has run by then.
    """
    reads = Counter(name for task in tasks for name in task.inputs)
    made: list[QTask] = []
    for task in tasks:
        host = _host(task, made, tensors, reads, outputs) if isinstance(task, QBinary) else None
        if host is None or not isinstance(task, QBinary):
            made.append(task)
            continue
        made.remove(host)
        made.append(merge(host, task))
    return made


def _host(
    task: QBinary,
    made: Sequence[QTask],
    tensors: Mapping[str, QTensor],
    reads: Mapping[str, int],
    outputs: Sequence[str],
) -> QMatmul | QConv | None:
    for before in reversed(made):
        if (
            isinstance(before, QMatmul | QConv)
            and before.output in task.inputs
            and reads[before.output] == 1
            and before.output not in outputs
            and not before.relu
            and before.table is None
            and before.tail is None
            and tensors[before.output].shape == tensors[task.output].shape
            and not (
                isinstance(before, QConv) and (before.inputs[0] in task.inputs or _factors(task, tensors))
            )
        ):
            return before
    return None


def _factors(task: QBinary, tensors: Mapping[str, QTensor]) -> bool:
    """The second operand is a number for each row: a convolution adds and multiplies pixel by pixel."""
    return tensors[task.inputs[1]].shape != tensors[task.output].shape


def merge(host: QMatmul | QConv, task: QBinary, late: bool = False) -> QMatmul | QConv:
    """The matmul or convolution with a binary task that reads its result as its tail; `late`: with its bias behind that."""
    zx, zy, mx, my = task.zx, task.zy, task.mx, task.my
    second = task.inputs[1] == host.output
    other = task.inputs[0] if second else task.inputs[1]
    if second:
        zx, zy = zy, zx
        if task.op == "add":
            mx, my = my, mx
    tail = QTail(
        op=task.op,
        zx=zx,
        zy=zy,
        mx=mx,
        my=my,
        shift=task.shift,
        zero=task.zero,
        lo=task.lo,
        hi=task.hi,
        relu=task.relu,
        late=late,
    )
    sources = dict.fromkeys(source for source in (host.source, task.source) if source)
    return host.model_copy(
        update={
            "inputs": (*host.inputs, other),
            "output": task.output,
            "tail": tail,
            "table": task.table,
            "source": " + ".join(sources),
            "fused": (*host.fused, *task.fused),
        }
    )
