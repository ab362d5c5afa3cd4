"""Segments of a program: which steps, runs and commands of a node belong to which, and the rules that they keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeVar

from intar.errors import InternalError
from intar.ir.nodes.memories import Buffer, BufferStep, ConstantMemory, Image, ImageStep
from intar.ir.nodes.ports import Load, Store
from intar.ir.nodes.rows import Rows
from intar.ir.nodes.step import Step
from intar.ir.nodes.vector import Vector
from intar.ir.program import Node, Program

StepT = TypeVar("StepT", bound=Step)
Runs = tuple[tuple[Literal["w", "r"], int], ...]


def is_played(step: Step, segment: int, round: int) -> bool:
    """True if a step belongs to a play."""
    return step.segment == segment and step.only in (-1, round)


def steps_in(steps: Sequence[StepT], segment: int, round: int = 0) -> tuple[StepT, ...]:
    """The steps of a play; all rounds of a segment have as many."""
    return tuple(step for step in steps if is_played(step, segment, round))


def first_rounds(steps: Sequence[StepT]) -> tuple[StepT, ...]:
    """The steps without those that only later rounds play."""
    return tuple(step for step in steps if step.only <= 0)


def ends(owners: Sequence[int], segments: int) -> tuple[int, ...]:
    """For each segment the index behind its last entry of a list; its entries begin where those of the one before end.

    `owners` : the segment of each entry, ascending.
    """
    return tuple(sum(owner <= segment for owner in owners) for segment in range(segments))


def iterations(steps: Sequence[BufferStep | ImageStep]) -> int:
    """Iterations of a side of a buffer."""
    return sum(s.walk.counts[0] if isinstance(s, BufferStep) else s.tiles * s.passes for s in steps)


def merged_in(node: Buffer | Image, segment: int) -> Runs:
    """The part of `Buffer.merged` that a segment performs."""
    totals = [
        iterations(steps_in(node.writes, s)) + iterations(steps_in(node.reads, s)) for s in range(segment + 1)
    ]
    return _cut(node.merged, sum(totals[:-1]), sum(totals))


def turns_in(store: Store, load: Load, segment: int) -> Runs:
    """The part of `Store.turns` that a segment performs, where `load` is the other side."""
    totals = [len(steps_in(store.steps, s)) + len(steps_in(load.steps, s)) for s in range(segment + 1)]
    return _cut(store.turns, sum(totals[:-1]), sum(totals))


def _cut(runs: Runs, first: int, end: int) -> Runs:
    found, at = [], 0
    for side, count in runs:
        low, high = max(first, at), min(end, at + count)
        if low < high:
            found.append((side, high - low))
        at += count
    return tuple(found)


def lists(node: Node) -> Iterator[tuple[str, Sequence[Step]]]:
    """The step lists of a node, by name."""
    if isinstance(node, Buffer | Image):
        yield "write", node.writes
        yield "read", node.reads
    elif isinstance(node, ConstantMemory):
        yield "read", node.reads
    else:
        yield "step", node.steps
    if isinstance(node, Rows):
        yield "load", node.loads


def check_segments(program: Program) -> None:
    """Raise InternalError unless each list has its segments in order, none is empty everywhere, strides are complete, and
    where rounds have steps of their own each has as many."""
    found = []
    known = len(program.rounds)
    used: set[int] = set()
    for node in program.nodes:
        for name, steps in lists(node):
            order = [step.segment for step in steps]
            used.update(order)
            if order != sorted(order) or (order and order[-1] >= known):
                found.append(f"the {name}s of {node.name!r} are in segments {order} of {known}")
            own = [(step.segment, step.only) for step in steps if step.only >= 0]
            if own and not isinstance(node, Vector | Rows):
                found.append(f"{node.name!r} has {name}s of single rounds")
            for segment in {segment for segment, _ in own} & {*program.segments}:
                counts = {own.count((segment, round)) for round in range(program.rounds[segment])}
                mixed = any(step.segment == segment and step.only < 0 for step in steps)
                if mixed or len(counts) > 1 or own != sorted(own):
                    found.append(
                        f"the {name}s of {node.name!r} in segment {segment} differ from round to round"
                    )
        if isinstance(node, Load | Store) and node.strides and len(node.strides) != known:
            found.append(f"{node.name!r} has {len(node.strides)} strides for {known} segments")
    covered = [segment for entry in program.entries for segment in range(entry.first, entry.end)]
    if program.entries and covered != list(program.segments):
        found.append(f"the entries play segments {covered} of {known}")
    found += [f"segment {segment} has no steps" for segment in program.segments if segment not in used]
    if found:
        raise InternalError(f"the segments of program {program.name!r}: " + "; ".join(found))
