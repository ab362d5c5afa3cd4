"""Banks: which tensor copies use one and the same memory, one after the other.

A memory has one write side and one read side, so that only copies whose stages do not overlap can share it; it is as large
as the largest of them. The fewest bytes in all: an interval colouring with weights. Largest first, each into the largest
bank that is free, or into the smallest one, is proved best where it meets the bound; otherwise CP-SAT looks for less, where
there are at most MOST_TENANTS copies. Where every copy is there several times (one for each core), it looks for the banks of
one of each, and all others lie as these do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from math import gcd

from intar.schedule import solver

LIMIT = 5.0
"""Deterministic time of the solver, about seconds."""

MOST_TENANTS = 100
"""Copies up to which the solver looks for less: it has a variable for each two of them, and with some hundreds it spends its
limit without a find (272 of an image network: 26 s)."""


@dataclass(frozen=True)
class Tenant:
    """A copy of a tensor: stages, bytes, whether it comes from off chip, whether it goes there in its last stage.

    `windows`: it is read so, from a memory of another kind; only copies of one kind share. `moved`: a move of whole beats
    makes it, which can begin before its stage.
    """

    name: str
    first: int
    last: int
    bytes: int
    loaded: bool = False
    stored: bool = False
    windows: bool = False
    moved: bool = False

    def meets(self, other: Tenant) -> bool:
        """True if a stage has both."""
        return self.first <= other.last and other.first <= self.last

    @property
    def ahead(self) -> Tenant:
        """With a stage more for prefetching what is loaded or moved, and for writing back what is stored."""
        first, last = max(0, self.first - (self.loaded or self.moved)), self.last + self.stored
        return Tenant(self.name, first, last, self.bytes, windows=self.windows)


@dataclass(frozen=True)
class Banks:
    """Bytes of each bank, the bank of each tenant, and a proved bound of the bytes in all."""

    sizes: tuple[int, ...]
    of: tuple[int, ...]
    bound: int

    @property
    def total(self) -> int:
        """Bytes of all banks."""
        return sum(self.sizes)


def assign(tenants: Sequence[Tenant], room: int) -> Banks:
    """Banks for all tenants, with time for transfers ahead of and behind their stages, and for moves ahead, if that fits
    into `room` bytes; or without the moves, or without both."""
    still = [replace(tenant, moved=False) for tenant in tenants]
    for wanted in ([tenant.ahead for tenant in some] for some in (tenants, still)):
        if (found := colour(wanted)).total <= room:
            return found
    return colour(still)


def colour(tenants: Sequence[Tenant]) -> Banks:
    """The fewest bytes that were found, kind by kind."""
    sizes: tuple[int, ...] = ()
    of = [0] * len(tenants)
    bound = 0
    for windows in sorted({tenant.windows for tenant in tenants}):
        mine = [i for i, tenant in enumerate(tenants) if tenant.windows == windows]
        found = _colour([tenants[i] for i in mine])
        for i, bank in zip(mine, found.of, strict=True):
            of[i] = len(sizes) + bank
        sizes, bound = sizes + found.sizes, bound + found.bound
    return Banks(sizes, tuple(of), bound)


def _colour(tenants: Sequence[Tenant]) -> Banks:
    """The fewest bytes that were found for tenants of one kind."""
    order = sorted(
        range(len(tenants)), key=lambda i: (-tenants[i].bytes, tenants[i].first, tenants[i].name, i)
    )
    ranked = [tenants[i] for i in order]
    bound = least(ranked)
    leaders = _fitted(ranked, 0)
    if _total(ranked, leaders) > bound:
        leaders = min(leaders, _fitted(ranked, -1), key=lambda found: _total(ranked, found))
    if _total(ranked, leaders) > bound:
        times = _times(ranked)
        one = ranked[::times]
        found = _fewer(tuple(one), tuple(_fitted(one, 0))) if len(one) <= MOST_TENANTS else None
        every = [times * leader + turn for leader in found or () for turn in range(times)]
        if every and _total(ranked, every) < _total(ranked, leaders):
            leaders = every
    numbers = {leader: bank for bank, leader in enumerate(sorted(set(leaders)))}
    of = dict(zip(order, (numbers[leader] for leader in leaders), strict=True))
    sizes = tuple(ranked[leader].bytes for leader in numbers)
    return Banks(sizes, tuple(of[i] for i in range(len(tenants))), bound)


def _times(ranked: Sequence[Tenant]) -> int:
    """How often every tenant is there, at least; equal ones follow each other."""
    return gcd(*(len(list(alike)) for _, alike in groupby(ranked)))


def least(tenants: Sequence[Tenant]) -> int:
    """No banks have fewer bytes: of those at least as large as a size there are as many as tenants of that size meet."""
    total = 0
    sizes = sorted({tenant.bytes for tenant in tenants}, reverse=True)
    for size, below in zip(sizes, [*sizes[1:], 0], strict=True):
        large = [tenant for tenant in tenants if tenant.bytes >= size]
        total += (size - below) * max(sum(t.first <= u.first <= t.last for t in large) for u in large)
    return total


def _total(ranked: Sequence[Tenant], leaders: Sequence[int]) -> int:
    return sum(ranked[leader].bytes for leader in set(leaders))


def _fitted(ranked: Sequence[Tenant], which: int) -> list[int]:
    """The leader (largest tenant) of each tenant's bank: of the free ones, largest first, number `which`."""
    banks: dict[int, list[Tenant]] = {}
    leaders = []
    for i, tenant in enumerate(ranked):
        free = [leader for leader, inside in banks.items() if not any(tenant.meets(t) for t in inside)]
        leader = free[which] if free else i
        banks.setdefault(leader, []).append(tenant)
        leaders.append(leader)
    return leaders


@lru_cache(maxsize=16)
def _fewer(ranked: tuple[Tenant, ...], hint: tuple[int, ...]) -> list[int] | None:
    """The same by CP-SAT: every tenant joins a bank that a larger one leads, or leads one. Modes often find one and the same
    schedule, whose banks are asked for once."""
    model = solver.Model()
    joins = [[model.new_bool_var("") for _ in range(i + 1)] for i in range(len(ranked))]
    for i, row in enumerate(joins):
        model.add_exactly_one(row)
        for leader, joined in enumerate(row):
            model.add_hint(joined, int(hint[i] == leader))
            model.add_implication(joined, joins[leader][leader])
    for first in sorted({tenant.first for tenant in ranked}):
        here = [i for i, tenant in enumerate(ranked) if tenant.first <= first <= tenant.last]
        for leader in range(len(ranked)):
            model.add_at_most_one([joins[i][leader] for i in here if leader <= i])
    leads = [row[i] for i, row in enumerate(joins)]
    model.minimize(solver.weighted_sum(leads, [tenant.bytes for tenant in ranked]))
    outcome = solver.run(model, [joined for row in joins for joined in row], limit=LIMIT)
    if not outcome.found:
        return None
    return [next(leader for leader, joined in enumerate(row) if outcome[joined]) for row in joins]
