"""From a sequence of moves to the Schedule value: stages, residency, banks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, count
from typing import Literal

from intar.errors import InternalError
from intar.ir.schedule import MOST_APART, Bank, Copy, Placement, Residency, Schedule, Stage
from intar.schedule.banks import Banks, Tenant, assign, colour
from intar.schedule.moves import Move
from intar.schedule.problem import Problem

Place = Literal["chip", "tile", "spill"]


def stage_of(problem: Problem, move: Move) -> Stage:
    """The stage that a move stands for."""
    config = move.config
    placements = tuple(
        Placement(
            task=problem.tasks[t].name,
            cores=group,
            resident=keep,
            follows=follow,
            axis="rows" if by_rows else "columns",
            unit=unit,
        )
        for t, group, by_rows, keep, follow, unit in zip(
            config.tasks,
            config.cores,
            config.by_rows,
            config.resident,
            config.follows,
            config.units,
            strict=True,
        )
    )
    return Stage(pattern=config.pattern, tasks=placements, tile_rows=config.tile_rows, cycles=move.cycles)


@dataclass(frozen=True)
class Home:
    """Where a tensor lives: its place, and its copies on chip."""

    place: Place
    tenants: tuple[Tenant, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all copies that are there at a time."""
        return max(
            sum(t.bytes for t in self.tenants if t.first <= one.first <= t.last) for one in self.tenants
        )


def _home(problem: Problem, moves: Sequence[Move], tensor: int) -> Home:
    entry = problem.tensors[tensor]
    touched: list[tuple[int, int, bool]] = []
    for position, move in enumerate(moves):
        makes = entry.producer >= 0 and bool(move.mask >> entry.producer & 1)
        reads = entry.reads(move.mask)
        if makes or reads:
            touched.append((position, max(1, reads), makes))
    first, last = touched[0][0], touched[-1][0]

    def tenants(start: int, end: int, size: int, copies: int, windows: bool = False) -> tuple[Tenant, ...]:
        loaded, stored = tensor in moves[start].loads, tensor in moves[end].stores
        moved = entry.producer >= 0 and problem.tasks[entry.producer].work.beats
        return (Tenant(entry.name, start, end, size, loaded, stored, windows, moved),) * copies

    for move in moves:
        for kept, copies in move.kept:
            if kept == tensor:
                windows = tenants(first, last, entry.bytes, entry.windowed, True)
                return Home("chip", windows + tenants(first, last, entry.bytes, copies - len(windows)))
    heights = [
        0 if problem.whole(moves[position].mask) >> tensor & 1 else moves[position].config.tile_rows
        for position, _, _ in touched
    ]
    spread: tuple[Tenant, ...] = ()
    for (position, copies, _), height in zip(touched, heights, strict=True):
        on_grid = bool(entry.windows & moves[position].mask)
        spread += tenants(position, position, problem.staging(tensor, height), copies, on_grid)
    once = len(touched) == 1
    if once and entry.producer < 0 and not heights[0]:
        return Home("chip", spread)
    if once and touched[0][2] and tensor not in moves[first].stores:
        return Home("tile", spread)
    return Home("spill", spread)


@dataclass(frozen=True)
class Layout:
    """The homes of all tensors (by index) and their banks, numbered tenant after tenant."""

    homes: dict[int, Home]
    banks: Banks


def lay_out(problem: Problem, moves: Sequence[Move], *, overlap: bool = False) -> Layout:
    """Give every copy of every tensor a bank; with `overlap` stages on other cores need not wait for a bank, if it fits."""
    homes = {
        index: _home(problem, moves, index)
        for index, tensor in enumerate(problem.tensors)
        if tensor.readers or tensor.producer >= 0
    }
    room = problem.capacity - sum(move.weights for move in moves)
    tenants = [t for home in homes.values() for t in home.tenants]
    if overlap:
        apart = colour([replace(t, first=0, last=len(moves) - 1) for t in tenants])
        if apart.total <= room and len(apart.sizes) <= MOST_APART:
            return Layout(homes, apart)
    return Layout(homes, assign(tenants, room))


def build_schedule(
    problem: Problem,
    mode: Literal["auto", "intar", "sequential", "dataflow"],
    moves: Sequence[Move],
    layout: Layout,
    bound: int,
    engine: str,
    seconds: float,
) -> Schedule:
    """The Schedule of a sequence of moves."""
    bank_of = iter(layout.banks.of)
    residency = tuple(
        Residency(
            tensor=problem.tensors[index].name,
            place=home.place,
            bytes=home.bytes,
            first_stage=home.tenants[0].first,
            last_stage=home.tenants[-1].last,
            copies=tuple(
                Copy(
                    bank=next(bank_of),
                    bytes=t.bytes,
                    first_stage=t.first,
                    last_stage=t.last,
                    windows=t.windows,
                )
                for t in home.tenants
            ),
        )
        for index, home in layout.homes.items()
    )
    sizes = layout.banks.sizes
    objective = sum(move.cycles for move in moves)
    if bound > objective:
        raise InternalError(f"schedule of {problem.name}: bound {bound} above the objective {objective}")
    return Schedule(
        name=problem.name,
        mode=mode,
        machine=problem.machine,
        stages=tuple(stage_of(problem, move) for move in moves),
        residency=residency,
        banks=tuple(Bank(address=sum(sizes[:i]), bytes=size) for i, size in enumerate(sizes)),
        objective=objective,
        bound=bound,
        status="OPTIMAL" if bound == objective else "FEASIBLE",
        seconds=seconds,
        engine=engine,
    )


def own_banks(schedule: Schedule) -> Schedule:
    """The schedule with a bank for every copy of every tensor, whether they fit or not."""
    sizes = [copy.bytes for home in schedule.residency for copy in home.copies]
    number = count()
    residency = tuple(
        home.model_copy(
            update={"copies": tuple(copy.model_copy(update={"bank": next(number)}) for copy in home.copies)}
        )
        for home in schedule.residency
    )
    banks = tuple(
        Bank(address=first, bytes=size)
        for first, size in zip(accumulate(sizes, initial=0), sizes, strict=False)
    )
    return schedule.model_copy(update={"residency": residency, "banks": banks})
