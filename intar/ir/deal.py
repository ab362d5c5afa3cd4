"""How the rows of a matmul, or of a product of two activations, are dealt out to cores that are split by rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from intar.ir.schedule import Machine


@dataclass(frozen=True)
class Deal:
    """In each of `rounds` rounds the cores ``first … first + cores - 1`` (of the task's) take `rows` rows each, in order."""

    rounds: int
    first: int
    cores: int
    rows: int

    @property
    def height(self) -> int:
        """Rows of one round."""
        return self.cores * self.rows

    @property
    def total(self) -> int:
        """Rows of all rounds."""
        return self.rounds * self.height


def row_cores(k: int, cores: int, machine: Machine) -> int:
    """Of `cores` cores as many as a reduction of length `k` can keep busy by rows.

    In the cycles of an array tile (its products, or its drain if that is longer) a beat of activations goes to one core in
    each cycle, and every core needs a beat for each of its rows and each `lanes` channels.
    """
    tile = max(machine.pairs(k), machine.rows, machine.rows * machine.lanes // machine.rate)
    beats = machine.rows * -(-k // machine.lanes)
    return min(cores, -(-tile // beats))


def deal(rows: int, cores: int, machine: Machine) -> Iterator[Deal]:
    """Rows for `cores` arrays, in order.

    Full arrays as long as there are rows for all cores. The rest goes to as few cores as can take it: in equal parts if it
    can be divided so; otherwise all but the last one are full, and that one has what is left, in a round of its own.
    """
    size = machine.rows
    full, rest = divmod(rows, cores * size)
    if full:
        yield Deal(full, 0, cores, size)
    count = -(-rest // size)
    if rest and rest % count == 0:
        yield Deal(1, 0, count, rest // count)
    elif rest:
        yield Deal(1, 0, count - 1, size)
        yield Deal(1, count - 1, 1, rest % size)
