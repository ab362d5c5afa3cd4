"""From a sequence of moves to the Schedule value: stages, residency, addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from intar.errors import InternalError
from intar.ir.schedule import Placement, Residency, Schedule, Stage
from intar.schedule.addresses import Block, pack
from intar.schedule.moves import Move
from intar.schedule.problem import Problem

Place = Literal["chip", "tile", "spill"]


def stage_of(problem: Problem, move: Move) -> Stage:
    """The stage that a move stands for."""
    config = move.config
    placements = tuple(
        Placement(task=problem.tasks[t].name, cores=group, resident=keep)
        for t, group, keep in zip(config.tasks, config.cores, config.resident, strict=True)
    )
    return Stage(pattern=config.pattern, tasks=placements, tile_rows=config.tile_rows, cycles=move.cycles)


def _home(
    problem: Problem, moves: Sequence[Move], tensor: int
) -> tuple[Place, tuple[tuple[int, int, int], ...]]:
    """Where a tensor lives, and its (first stage, last stage, bytes)."""
    entry = problem.tensors[tensor]
    touched: list[tuple[int, int, bool]] = []
    for position, move in enumerate(moves):
        makes = entry.producer >= 0 and bool(move.mask >> entry.producer & 1)
        reads = entry.reads(move.mask)
        if makes or reads:
            touched.append((position, max(1, reads), makes))
    first, last = touched[0][0], touched[-1][0]
    for move in moves:
        for kept, copies in move.kept:
            if kept == tensor:
                return "chip", ((first, last, copies * entry.bytes),)
    spans = tuple(
        (position, position, copies * problem.staging(tensor, moves[position].config.tile_rows))
        for position, copies, _ in touched
    )
    once = len(touched) == 1
    if once and entry.producer < 0 and not moves[first].config.tile_rows:
        return "chip", spans
    if once and touched[0][2] and tensor not in moves[first].stores:
        return "tile", spans
    return "spill", spans


def _addresses(
    problem: Problem, moves: Sequence[Move], spans: dict[str, tuple[tuple[int, int, int], ...]]
) -> dict[str, int] | None:
    """Byte addresses: packed with the stages' weights where memory is shared, else one after the other."""
    if problem.sharing:
        blocks = [Block(name, where) for name, where in spans.items()]
        blocks += [Block(f"w{i}", ((i, i, m.config.work),)) for i, m in enumerate(moves) if m.config.work]
        return pack(blocks, problem.capacity)
    address, top = {}, 0
    for name, where in spans.items():
        address[name] = top
        top += max(size for _, _, size in where)
    return address


def build_schedule(
    problem: Problem,
    mode: Literal["auto", "intar", "sequential", "dataflow"],
    moves: Sequence[Move],
    bound: int,
    engine: str,
    seconds: float,
) -> Schedule | None:
    """The Schedule, or None if the buffers can't be given addresses within the memory."""
    homes = {}
    for index, tensor in enumerate(problem.tensors):
        if tensor.readers or tensor.producer >= 0:
            homes[index] = _home(problem, moves, index)
    address = _addresses(problem, moves, {f"t{index}": spans for index, (_, spans) in homes.items()})
    if address is None:
        return None
    residency = tuple(
        Residency(
            tensor=problem.tensors[index].name,
            place=place,
            bytes=max(size for _, _, size in spans),
            first_stage=spans[0][0],
            last_stage=spans[-1][1],
            address=address[f"t{index}"],
        )
        for index, (place, spans) in homes.items()
    )
    objective = sum(move.cycles for move in moves)
    if bound > objective:
        raise InternalError(f"schedule of {problem.name}: bound {bound} above the objective {objective}")
    return Schedule(
        name=problem.name,
        mode=mode,
        machine=problem.machine,
        stages=tuple(stage_of(problem, move) for move in moves),
        residency=residency,
        objective=objective,
        bound=bound,
        status="OPTIMAL" if bound == objective else "FEASIBLE",
        seconds=seconds,
        engine=engine,
    )
