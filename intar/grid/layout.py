"""How many phases each image is stored in, so that every stride becomes a choice of channels.

Each operator says how many phases its input has for each phase of its output. Along connected operators that fixes all
numbers of phases up to a common factor; the smallest whole numbers are taken. Where two ways through the network
contradict each other, or an image would fall into more than `MAX_PHASES` along an axis, the later operator reads a copy in
another layout. A multiple of these numbers is as good a layout: more channels on a smaller grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

MAX_PHASES = 8

Ratio = tuple[Fraction | None, Fraction | None]


@dataclass(frozen=True)
class Relation:
    """Image `x` has `ratio` phases (rows, columns) for each one of image `y`; None where any go together."""

    x: str
    y: str
    ratio: Ratio


class _Classes:
    """Sets of images along one axis with the proportions of their numbers of phases."""

    def __init__(self) -> None:
        self.members: dict[str, dict[str, Fraction]] = {}
        self.root: dict[str, str] = {}

    def add(self, name: str) -> None:
        if name not in self.root:
            self.root[name], self.members[name] = name, {name: Fraction(1)}

    def _scaled(self, x: str, y: str, ratio: Fraction) -> dict[str, Fraction]:
        """The members of y's set in units of x's set."""
        first, second = self.members[self.root[x]], self.members[self.root[y]]
        factor = first[x] / ratio / second[y]
        return {name: value * factor for name, value in second.items()}

    def fits(self, x: str, y: str, ratio: Fraction) -> bool:
        """Whether the relation contradicts nothing and leaves few enough phases."""
        if self.root[x] == self.root[y]:
            members = self.members[self.root[x]]
            return members[x] == ratio * members[y]
        together = {**self.members[self.root[x]], **self._scaled(x, y, ratio)}
        return max(whole(together).values()) <= MAX_PHASES

    def join(self, x: str, y: str, ratio: Fraction) -> None:
        if self.root[x] == self.root[y]:
            return
        moved = self._scaled(x, y, ratio)
        del self.members[self.root[y]]
        self.members[self.root[x]].update(moved)
        self.root.update(dict.fromkeys(moved, self.root[x]))


def whole(values: dict[str, Fraction]) -> dict[str, int]:
    """The smallest whole numbers in these proportions."""
    down = lcm(*(value.denominator for value in values.values()))
    up = gcd(*(int(value * down) for value in values.values()))
    return {name: int(value * down) // up for name, value in values.items()}


def assign(
    sizes: Mapping[str, tuple[int, int]], relations: Iterable[Relation], times: tuple[int, int]
) -> tuple[dict[str, tuple[int, int]], dict[int, str]]:
    """Phases (rows, columns) of each image.

    Parameters
    ----------
    sizes : rows and columns of each image.
    relations : between them, in the order in which they take precedence.
    times : every number of phases is this many times the smallest.

    Returns
    -------
    The phases by name, and for each relation (by position) that can't hold the name of the copy of `x` that it is about
    instead.
    """
    axes = (_Classes(), _Classes())
    copies: dict[int, str] = {}
    known = dict(sizes)
    for name in sizes:
        for axis in axes:
            axis.add(name)
    for position, relation in enumerate(relations):
        x, y = relation.x, relation.y
        parts = [(axis, ratio) for axis, ratio in zip(axes, relation.ratio, strict=True) if ratio is not None]
        if not all(axis.fits(x, y, ratio) for axis, ratio in parts):
            known[f"{x}:{position}"] = known[x]
            x = copies[position] = f"{x}:{position}"
            for axis in axes:
                axis.add(x)
        for axis, ratio in parts:
            axis.join(x, y, ratio)
    found: list[dict[str, int]] = [{}, {}]
    for which, classes in enumerate(axes):
        for members in classes.members.values():
            phases = {name: n * times[which] for name, n in whole(members).items()}
            # With a phase for every row, or more, the phases beyond an image's last row are not kept.
            if all(known[name][which] <= n for name, n in phases.items()):
                phases = {name: known[name][which] for name in phases}
            found[which] |= phases
    return {name: (found[0][name], found[1][name]) for name in known}, copies
