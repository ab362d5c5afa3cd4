"""What a set of tasks looks like to the search: sets that look alike are run alike."""

from __future__ import annotations

from dataclasses import dataclass

from intar.schedule.work import Work


@dataclass(frozen=True)
class Shape:
    """What a set of tasks looks like, by position: their work, whether its axis is decided, their producers in the set, of
    these the ones that a matmul needs only on the way out (`tails`) and the one that makes its first input (`firsts`, -1:
    none). `parts`: the number of the part to which a task belongs, where several that are alike run side by side."""

    works: tuple[Work, ...]
    decided: tuple[bool, ...]
    edges: tuple[tuple[int, ...], ...]
    tails: tuple[tuple[int, ...], ...]
    firsts: tuple[int, ...]
    parts: tuple[int, ...]

    @property
    def count(self) -> int:
        """Parts side by side."""
        return max(self.parts) + 1

    @property
    def first_part(self) -> Shape:
        """The first of the parts that are alike."""
        if self.count == 1:
            return self
        inside = [at for at, part in enumerate(self.parts) if part == 0]

        def of(places: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(inside.index(at) for at in places)

        return Shape(
            works=tuple(self.works[at] for at in inside),
            decided=tuple(self.decided[at] for at in inside),
            edges=tuple(of(self.edges[at]) for at in inside),
            tails=tuple(of(self.tails[at]) for at in inside),
            firsts=tuple(inside.index(self.firsts[at]) if self.firsts[at] >= 0 else -1 for at in inside),
            parts=(0,) * len(inside),
        )
