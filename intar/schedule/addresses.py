"""Addresses of on-chip buffers: rectangles (stages × bytes) that must not overlap, by CP-SAT's NoOverlap2D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intar.schedule import solver


@dataclass(frozen=True)
class Block:
    """Memory with one address for the whole run: spans are (first stage, last stage, bytes)."""

    name: str
    spans: tuple[tuple[int, int, int], ...]

    @property
    def bytes(self) -> int:
        return max((size for _, _, size in self.spans), default=0)


def peak(blocks: Sequence[Block]) -> int:
    """Largest number of bytes in use in any stage."""
    demand: dict[int, int] = {}
    for block in blocks:
        for first, last, size in block.spans:
            for stage in range(first, last + 1):
                demand[stage] = demand.get(stage, 0) + size
    return max(demand.values(), default=0)


def pack(blocks: Sequence[Block], capacity: int, limit: float = 20.0) -> dict[str, int] | None:
    """An address for each block within `capacity` bytes, or None if none was found.

    The smallest possible height (the peak of the demand) is tried first, then the whole capacity.
    """
    least = peak(blocks)
    if least > capacity:
        return None
    for height in (least, capacity) if least < capacity else (capacity,):
        placed = _pack(blocks, height, limit)
        if placed is not None:
            return placed
    return None


def _first_fit(blocks: Sequence[Block]) -> dict[str, int]:
    """Biggest first, each at the lowest free address: a hint for the solver and often the answer."""
    placed: dict[str, int] = {}
    done: list[tuple[int, int, int, int]] = []
    for block in sorted(blocks, key=lambda b: (-b.bytes, b.name)):
        taken = sorted(
            {
                (low, low + size, own)
                for first, last, own in block.spans
                for f, end, low, size in done
                if f <= last and first <= end
            }
        )
        address, moved = 0, True
        while moved:
            moved = False
            for low, high, own in taken:
                if address < high and low < address + own:
                    address, moved = high, True
        placed[block.name] = address
        done += [(first, last, address, size) for first, last, size in block.spans]
    return placed


def _pack(blocks: Sequence[Block], height: int, limit: float) -> dict[str, int] | None:
    guess = _first_fit(blocks)
    if all(guess[block.name] + block.bytes <= height for block in blocks):
        return guess
    model = solver.Model()
    starts, across, along = {}, [], []
    for block in blocks:
        start = model.new_int_var(0, height - block.bytes, block.name)
        model.add_hint(start, min(guess[block.name], height - block.bytes))
        starts[block.name] = start
        for first, last, size in block.spans:
            across.append(model.new_fixed_size_interval_var(first, last - first + 1, ""))
            along.append(model.new_fixed_size_interval_var(start, size, ""))
    model.add_no_overlap_2d(across, along)
    outcome = solver.run(model, list(starts.values()), limit=limit)
    return {name: outcome[start] for name, start in starts.items()} if outcome.found else None
