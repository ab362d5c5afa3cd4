"""How many phases each image is stored in, so that every stride becomes a choice of channels.

Each operator says how many phases its input has for each phase of its output. Along connected operators that fixes all
numbers of phases up to a common factor; the smallest whole numbers are taken. Where two ways through the network
contradict each other, or an image would fall into more than `MAX_PHASES` along an axis, the later operator reads a copy in
another layout: made in steps where it has more phases, element by element otherwise. A multiple of these numbers is as good
a layout: more channels on a smaller grid.

An operator with a stride may also step over the elements of its input (`Relation.steps`): then its images' numbers of phases
need not be in that proportion. That takes wider windows of the memory, and saves copies, and products where phases are so
small that they leave lanes of a tile without a pixel; images are read so where it saves much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from math import gcd, lcm, prod

from intar.ir.shapes import Shape

MAX_PHASES = 8

TILE = 16
"""Pixels of a tile as the layouts are compared; the machine is chosen later."""

FURTHEST = 4
"""Elements from one that is read to the next one, at most: windows of the memory are as many times wider."""

COPIED = 512
"""Products in the time in which a copy moves an element. Those that step over elements (`steps_to`) are faster, but layouts
that have them where others have none are not: operators wait for them, and lanes of the images behind are empty."""

STEPS_SAVE = 20
"""Images are read in steps where that saves one part in so many of all products."""

Ratio = tuple[Fraction | None, Fraction | None]


def steps_to(old: tuple[int, int], new: tuple[int, int]) -> list[tuple[int, int]] | None:
    """The steps, as narrow as possible, in which copies of an image one after the other take it from `old` phases to more;
    None where there is no such way."""
    ways = [_factors(after, before) for before, after in zip(old, new, strict=True)]
    if None in ways:
        return None
    rows, columns = ways
    return list(zip_longest(rows or (), columns or (), fillvalue=1))


def _factors(number: int, unit: int) -> list[int] | None:
    """The prime factors of ``number / unit``; None where that is not whole, or one is too large for a step."""
    if number % unit:
        return None
    rest, found = number // unit, []
    for factor in range(2, FURTHEST + 1):
        while rest % factor == 0:
            rest //= factor
            found.append(factor)
    return found if rest == 1 else None


@dataclass(frozen=True)
class Relation:
    """Image `x` has `ratio` phases (rows, columns) for each one of image `y`; None where any go together.

    `steps`: the operator may step over elements of x, so that x has fewer. `products` that make y.
    """

    x: str
    y: str
    ratio: Ratio
    steps: bool = False
    products: int = 0


class _Classes:
    """Sets of images along one axis with the proportions of their numbers of phases."""

    def __init__(self) -> None:
        self.members: dict[str, dict[str, Fraction]] = {}
        self.root: dict[str, str] = {}
        self.largest: dict[str, Fraction] = {}
        self.unit: dict[str, Fraction] = {}

    def add(self, name: str) -> None:
        if name not in self.root:
            self.root[name], self.members[name] = name, {name: Fraction(1)}
            self.largest[name] = self.unit[name] = Fraction(1)

    def _factor(self, x: str, y: str, ratio: Fraction) -> Fraction:
        """What the members of y's set are multiplied by in x's set."""
        return self.members[self.root[x]][x] / ratio / self.members[self.root[y]][y]

    def _together(self, x: str, y: str, ratio: Fraction) -> tuple[Fraction, Fraction]:
        """The largest member of both sets as one, and the unit of which all are whole multiples."""
        factor, first, second = self._factor(x, y, ratio), self.root[x], self.root[y]
        one, other = self.unit[first], self.unit[second] * factor
        down = one.denominator * other.denominator
        unit = Fraction(gcd(one.numerator * other.denominator, other.numerator * one.denominator), down)
        return max(self.largest[first], self.largest[second] * factor), unit

    def fits(self, x: str, y: str, ratio: Fraction) -> bool:
        """Whether the relation contradicts nothing and leaves few enough phases."""
        if self.root[x] == self.root[y]:
            members = self.members[self.root[x]]
            return members[x] == ratio * members[y]
        largest, unit = self._together(x, y, ratio)
        return largest / unit <= MAX_PHASES

    def join(self, x: str, y: str, ratio: Fraction) -> None:
        if self.root[x] == self.root[y]:
            return
        factor = self._factor(x, y, ratio)
        self.largest[self.root[x]], self.unit[self.root[x]] = self._together(x, y, ratio)
        moved = {name: value * factor for name, value in self.members.pop(self.root[y]).items()}
        self.members[self.root[x]].update(moved)
        self.root.update(dict.fromkeys(moved, self.root[x]))


def whole(values: dict[str, Fraction]) -> dict[str, int]:
    """The smallest whole numbers in these proportions."""
    down = lcm(*(value.denominator for value in values.values()))
    up = gcd(*(int(value * down) for value in values.values()))
    return {name: int(value * down) // up for name, value in values.items()}


Phases = dict[str, tuple[int, int]]
Copies = dict[int, str]
"""By position of a relation that can't hold, the name of the copy of `x` that it is about instead."""


def choose(
    shapes: Mapping[str, Shape], relations: Sequence[Relation], times: tuple[int, int]
) -> tuple[Phases, Copies]:
    """Phases (rows, columns) of each image, and copies.

    Parameters
    ----------
    shapes : channels, rows and columns of each image.
    relations : between them, in the order in which they take precedence.
    times : every number of phases is this many times the smallest. Then no image is read in steps.
    """
    sizes = {name: (rows, columns) for name, (_, rows, columns) in shapes.items()}
    best = assign(sizes, relations, times)
    if times != (1, 1):
        return best
    stepped: frozenset[str] = frozenset()
    cost = _cost(shapes, relations, *best)
    least = sum(relation.products for relation in relations) / STEPS_SAVE
    together = _together(shapes, relations)
    while more := [stepped | names for names in together if not names <= stepped]:
        tried = [(names, assign(sizes, relations, times, names)) for names in more]
        rated = [
            (_cost(shapes, relations, *made), names, made)
            for names, made in tried
            if _fit(relations, names, *made)
        ]
        if not rated or min(rated, key=lambda one: one[0])[0] > cost - least:
            break
        cost, stepped, best = min(rated, key=lambda one: one[0])
    return best


def _together(shapes: Mapping[str, Shape], relations: Sequence[Relation]) -> list[frozenset[str]]:
    """Sets of images that may be read in steps: each alone, and all those together that lead from one set of images, which
    operators without a stride connect, to another: a residual block's convolution and what goes past it."""
    sets = _Classes()
    for name in shapes:
        sets.add(name)
    for relation in relations:
        if not relation.steps:
            sets.join(relation.x, relation.y, Fraction(1))
    ways: dict[tuple[str, str], set[str]] = {}
    alone = dict.fromkeys(relation.x for relation in relations if relation.steps)
    for relation in relations:
        if relation.steps:
            ways.setdefault((sets.root[relation.x], sets.root[relation.y]), set()).add(relation.x)
    found = [frozenset({name}) for name in alone] + [frozenset(names) for names in ways.values()]
    return list(dict.fromkeys(found))


def _fit(relations: Sequence[Relation], stepped: frozenset[str], phases: Phases, copies: Copies) -> bool:
    """Operators that step over elements of these images find what they read of a phase in one phase, and near enough."""
    for position, relation in enumerate(relations):
        if relation.steps and relation.x in stepped:
            x, y = phases[copies.get(position, relation.x)], phases[relation.y]
            for axis, ratio in enumerate(relation.ratio):
                step = Fraction(1) if ratio is None else ratio * y[axis] / x[axis]
                if step.denominator > 1 or step > FURTHEST:
                    return False
    return True


def _cost(
    shapes: Mapping[str, Shape], relations: Sequence[Relation], phases: Phases, copies: Copies
) -> float:
    """Products, those of lanes without a pixel among them, and in the time of the copies."""
    total = 0.0
    for position, relation in enumerate(relations):
        pixels = prod(-(-n // p) for n, p in zip(shapes[relation.y][1:], phases[relation.y], strict=True))
        total += relation.products * (-(-pixels // TILE) * TILE / pixels)
        total += COPIED * prod(shapes[relation.x]) if position in copies else 0
    return total


def assign(
    sizes: Mapping[str, tuple[int, int]],
    relations: Sequence[Relation],
    times: tuple[int, int],
    stepped: frozenset[str] = frozenset(),
) -> tuple[Phases, Copies]:
    """Phases (rows, columns) of each image, and copies, if operators step over elements of the images `stepped` where they
    may."""
    axes = (_Classes(), _Classes())
    copies: Copies = {}
    known = dict(sizes)
    for name in sizes:
        for axis in axes:
            axis.add(name)
    for position, relation in enumerate(relations):
        x, y = relation.x, relation.y
        if relation.steps and x in stepped:
            continue
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
    assigned = {name: (found[0][name], found[1][name]) for name in known}
    same: dict[tuple[str, tuple[int, int]], str] = {}
    for position, name in copies.items():  # copies that are alike are one
        copies[position] = same.setdefault((relations[position].x, assigned[name]), name)
    return assigned, copies
