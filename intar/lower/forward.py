"""Moves that need no step: a tensor that is a run of another's beats.

Whoever makes the other one writes all of its beats into the run's memories, too, and readers of the run begin at an offset.
So the memories hold more than the run, and for longer: from the stage in which the source is made. Where another tensor is
in the way, the run gets a bank of its own; a network with too many of them for a switch moves them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from intar.ir.beats import MOST_BEATS, one_run
from intar.ir.quantgraph import QMove
from intar.ir.schedule import Copy
from intar.lower.buffers import TensorMemory
from intar.lower.site import Site
from intar.lower.visits import Visit


@dataclass(frozen=True)
class Run:
    """The beats of `source`, which is made in stage `made`, from beat `offset` on, in order."""

    source: str
    made: int
    offset: int


@dataclass(frozen=True)
class Forward:
    """A memory of a run: as the maker of the source writes it, and as it is read."""

    written: TensorMemory
    read: TensorMemory

    def settle(self) -> None:
        """The source has been written: the run is there when the last of its beats is."""
        first = self.read.offset
        counts = self.written.counts.reshape(-1)[first : first + self.read.rows * self.read.pitch].tolist()
        self.read.start, self.read.ready[0] = self.written.start, max(counts)
        if self.read.by_beats:
            self.read.beats = dict(enumerate(counts))


def find_runs(site: Site, visits: Sequence[Visit]) -> dict[str, Run]:
    """The runs of what tasks of earlier stages make and keep on chip, by name; none that comes back from off chip."""
    homes = {home.tensor: home.place for home in site.schedule.residency}
    read = {name for visit in visits for name in visit.task.inputs}
    back = {name for name, place in homes.items() if place != "chip" and name in read}
    made = {visit.task.output: visit.stage for visit in visits}
    found: dict[str, Run] = {}
    for visit, source, offset in _moves(site, visits):
        root = found.get(source) or Run(source, made.get(source, visit.stage), 0)
        small = site.tensors[root.source].rows * site.pitch(root.source) <= MOST_BEATS
        if small and root.made < visit.stage and not {visit.task.output, root.source} & back:
            found[visit.task.output] = Run(root.source, root.made, root.offset + offset)
    return found


def _moves(site: Site, visits: Sequence[Visit]) -> Iterator[tuple[Visit, str, int]]:
    """The visits of moves that take one run of beats of one tensor, that tensor and the first beat."""
    for visit in visits:
        beats = site.beats.get(visit.task.name)
        if isinstance(visit.task, QMove) and beats and (run := one_run(beats)):
            slot, first = run
            yield visit, visit.task.inputs[slot], first


def in_the_way(copy: Copy, run: Run, others: Iterable[Copy]) -> bool:
    """Another copy is in the bank of a run's from the making of its source on, as long as the run's is."""
    return any(
        held.bank == copy.bank and held.first_stage <= copy.last_stage and run.made <= held.last_stage
        for held in others
    )
