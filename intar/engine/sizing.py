"""Which FIFOs cost cycles because they are too shallow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intar.engine.run import run
from intar.engine.timing import MemoryModel
from intar.ir.program import Program


@dataclass(frozen=True)
class FifoAdvice:
    """A link that was full while its producer waited, for so many `cycles`.

    `starved` counts the cycles in which the consumer waited for the same link at other times: a link that is
    now full and now empty carries bursts that a deeper FIFO would smooth.
    """

    link: str
    depth: int
    cycles: int
    starved: int


def size_fifos(
    program: Program, images: Mapping[str, bytes] | None = None, memory: MemoryModel | None = None
) -> tuple[FifoAdvice, ...]:
    """Links whose high-water mark reached their depth while the producer waited, the most costly first.

    `images` may be left out: values don't change the timing.
    """
    result = run(program, images, memory, values=images is not None)
    found = [
        FifoAdvice(name, use.depth, use.producer_waits, use.consumer_waits)
        for name, use in result.links.items()
        if use.high_water >= use.depth and use.producer_waits
    ]
    return tuple(sorted(found, key=lambda item: (-min(item.cycles, item.starved), -item.cycles, item.link)))
