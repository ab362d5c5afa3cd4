"""Reshape, transpose, concat and slice: whole beats from memory to memory, or on the gather node, element by element.

Beats follow who makes them: those that are complete together move together, in whatever order that is. So do those of
several moves one after the other that take from the same tensor. A move of several tensors takes those of earlier stages
first, each as a whole, and of what the last of these stages makes side by side equal shares in turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from intar.ir.nodes.memories import Walk
from intar.ir.nodes.movers import GatherStep
from intar.ir.quantgraph import QMove
from intar.lower.moves import WHOLE, element_walks, fit_walks
from intar.lower.visits import Visit
from intar.lower.work import Work

MOST_PARTS = 64
"""A move goes in so many parts at most."""


def vector_cores(work: Work, visit: Visit) -> Sequence[int]:
    """None: a move passes no vector unit."""
    return ()


def prepare(work: Work, visit: Visit) -> None:
    """A move has no constants."""


@dataclass(frozen=True)
class _Part:
    """Beats `sources` of an input (`slot`) of a move to the places `targets` of its output; they are there from write count
    `need` on."""

    need: int
    visit: Visit
    slot: int
    sources: np.ndarray
    targets: np.ndarray


def append(work: Work, visit: Visit) -> None:
    """A move by itself (several out of one tensor: `append_together`)."""
    append_together(work, [visit])


def together(work: Work, visits: Sequence[Visit]) -> Iterator[list[Visit]]:
    """The visits in order, moves that take whole beats of one and the same tensor at a time."""
    group: list[Visit] = []
    for visit in visits:
        if group and not (_alike(work, group[0]) and _alike(work, visit) and _same(work, group[0], visit)):
            yield group
            group = []
        group.append(visit)
    if group:
        yield group


def _alike(work: Work, visit: Visit) -> bool:
    """A move of whole beats of a single tensor."""
    task = visit.task
    whole = task.name in work.site.beats and len(set(task.inputs)) == 1
    return whole and task.output not in work.tensors.runs


def _same(work: Work, first: Visit, second: Visit) -> bool:
    """Two moves take from the same memory."""
    same = first.task.inputs[0] == second.task.inputs[0]
    return same and work.tensors.reader(first, 0) is work.tensors.reader(second, 0)


def append_together(work: Work, visits: Sequence[Visit]) -> None:
    """Append moves; several only if they are `together`."""
    parts: list[_Part] = []
    for visit in visits:
        task = visit.task
        assert isinstance(task, QMove)
        if task.output in work.tensors.runs:
            for forward in work.tensors.forwarded.get(task.output, ()):
                forward.settle()
            continue
        beats = work.site.beats.get(task.name)
        found = _parts(work, visit, beats) if beats else []
        parts += found
        if not found:
            _whole(work, visit, task, beats)
    if len(visits) > 1:
        parts.sort(key=lambda part: part.need)
    for part in parts:
        _move(work, part)


def _whole(work: Work, visit: Visit, task: QMove, beats: Sequence[tuple[int, np.ndarray]] | None) -> None:
    """Append a move that waits for all that it takes."""
    pitch = work.site.pitch(task.output)
    if beats is None:
        _by_elements(work, visit, task, visit.rows * pitch)
    else:
        _by_beats(work, visit, beats)
    walk = Walk(counts=(1, 1, 1, visit.rows, pitch), strides=(0, 0, 0, pitch, 1))
    for memory in work.tensors.results(visit):
        memory.write(0, walk, task.name)


def _parts(work: Work, visit: Visit, beats: Sequence[tuple[int, np.ndarray]]) -> list[_Part]:
    """The beats part by part, as these are there; none where none of them is before the whole of its tensor.

    Tensors of earlier stages than the last one come first, each as a whole.
    """
    slots = np.concatenate([np.full(len(part), slot) for slot, part in beats])
    addresses = np.concatenate([part for _, part in beats])
    made = {slot: work.tensors.made.get(visit.task.inputs[slot], -1) for slot, _ in beats}
    turns: list[tuple[tuple[int, float], _Part]] = []
    early = len(set(made.values())) > 1
    for slot, stage in made.items():
        source, places = work.tensors.reader(visit, slot), np.flatnonzero(slots == slot)
        if source.slots > 1:
            return []
        needs = source.counts.reshape(-1)[addresses[places]]
        times = np.unique(needs) if stage == max(made.values()) else needs.max(keepdims=True)
        early = early or times[0] < source.ready[0]
        size = -(-len(times) // MOST_PARTS)
        ends = np.append(times[size - 1 : -1 : size], times[-1])
        number = np.searchsorted(ends, needs)
        for n, end in enumerate(ends):
            targets = places[number == n]
            part = _Part(int(end), visit, slot, addresses[targets], targets)
            turns.append(((stage, (n + 1) / len(ends)), part))
    return [part for _, part in sorted(turns, key=lambda turn: turn[0])] if early else []


def _move(work: Work, part: _Part) -> None:
    visit, name = part.visit, part.visit.task.name
    source = work.tensors.reader(visit, part.slot)
    for walk in fit_walks(part.sources, WHOLE):
        source.fetch_beats(walk, part.need, name)
    work.net.move(source.port("out"), work.tensors.sinks(visit), len(part.targets), note=name)
    for walk in fit_walks(part.targets, WHOLE):
        for memory in work.tensors.results(visit):
            memory.write_beats(walk, name)


def _by_beats(work: Work, visit: Visit, beats: Sequence[tuple[int, np.ndarray]]) -> None:
    name = visit.task.name
    for slot, addresses in beats:
        source = work.tensors.reader(visit, slot)
        for walk in fit_walks(addresses, WHOLE):
            source.fetch(0, walk, name)
            work.net.move(source.port("out"), work.tensors.sinks(visit), walk.beats, note=name)


def _by_elements(work: Work, visit: Visit, task: QMove, beats: int) -> None:
    site = work.site
    for slot, walk in element_walks(task, site.tensors, site.machine.lanes):
        source = work.tensors.reader(visit, slot)
        source.fetch(0, walk, task.name, elements=True)
        work.step("gather", GatherStep(walk=walk, row=site.tensors[task.output].cols, note=task.name))
        work.net.move(source.port("out"), ["gather.in"], walk.beats, note=task.name)
    work.net.move("gather.out", work.tensors.sinks(visit), beats, note=task.name)
