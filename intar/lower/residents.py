"""Where functions lie in the memories of vector lanes: side by side, or in turns where there are too many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TABLE_ROOM = 4096
"""Entries of tables that a lane holds: two half block memories of 8 bits."""

SET_ROOM = 64
"""Sets of coefficients that a lane holds: what a LUT has as a memory."""


@dataclass(frozen=True)
class Need:
    """A function: entries or sets of coefficients, and the stages whose tasks use it."""

    size: int
    stages: frozenset[int]


def places(needs: Sequence[Need], room: int) -> list[int]:
    """The address of each function.

    Functions of one stage never overlap. Others do where `room` is not enough for all: then they take the place of which the
    fewest entries belong to others. A stage that needs more than `room` gets it.
    """
    found: list[int] = []
    for number, need in enumerate(needs):
        others = [(found[n], needs[n]) for n in range(number)]
        tried = sorted({0, *(address + other.size for address, other in others)})
        free = [
            at
            for at in tried
            if not any(
                overlap(at, need.size, address, other.size)
                for address, other in others
                if need.stages & other.stages
            )
        ]
        inside = [at for at in free if at + need.size <= room]
        taken = {
            at: sum(overlap(at, need.size, address, other.size) for address, other in others)
            for at in inside or free
        }
        found.append(min(taken, key=lambda at: (taken[at] if inside else 0, at)))
    return found


def overlap(first: int, size: int, second: int, other: int) -> int:
    """Entries that two functions share."""
    return max(0, min(first + size, second + other) - max(first, second))


def loads(needs: Sequence[Need], addresses: Sequence[int], stages: int) -> dict[int, list[int]]:
    """The functions to load before each stage: those that it needs and that are not there, or no longer.

    Where no two overlap all are loaded before the first stage.
    """
    everything = range(len(needs))
    meet = [
        [
            m
            for m in everything
            if m != n and overlap(addresses[n], needs[n].size, addresses[m], needs[m].size)
        ]
        for n in everything
    ]
    if not any(meet):
        return {0: list(everything)}
    there: set[int] = set()
    found: dict[int, list[int]] = {}
    for stage in range(stages):
        for n in everything:
            if stage in needs[n].stages and n not in there:
                found.setdefault(stage, []).append(n)
                there = (there | {n}) - set(meet[n])
    return found
