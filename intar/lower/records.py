"""Where the rows lie that rounds of a loop read and make, of networks that have such (`intar.ir.quantgraph.Record`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from intar.ir.program import Region
from intar.ir.quantgraph import Part
from intar.ir.schedule import Machine
from intar.lower.site import Place


class Records:
    """The first `reserved` words of the output argument hold all that goes from part to part, one tensor behind the other.

    Those of which rounds read or make rows have one row every `step` words: so far a round moves on. A tensor whose rows are
    read from the last one on lies the other way round.
    """

    def __init__(self, parts: Sequence[Part], machine: Machine, a_bits: int):
        self.parts, self.machine, self.a_bits = parts, machine, a_bits
        rows: dict[str, int] = {}
        words: dict[str, int] = {}
        ways: dict[str, set[int]] = {}
        for part in parts:
            for name, record in part.records.items():
                row_beats = -(-part.graph.tensor(name).cols // machine.lanes)
                last = record.row + record.rows + max(record.step, 0) * (len(part.rounds) - 1)
                rows[record.name] = max(rows.get(record.name, 0), last)
                words[record.name] = -(-row_beats * machine.lanes * a_bits // machine.port_bits)
                ways.setdefault(record.name, set()).update({record.step} - {0})
        self.step = max(words[name] for name, way in ways.items() if way)
        pitch = {name: self.step if way else words[name] for name, way in ways.items()}
        ends = list(accumulate((rows[name] * pitch[name] for name in rows), initial=0))
        self.reserved = ends[-1]
        self._places = {
            name: Place(base + (rows[name] - 1) * pitch[name], 0, -pitch[name])
            if ways[name] == {-1}
            else Place(base, 0, pitch[name])
            for name, base in zip(rows, ends, strict=False)
        }

    def places(self, number: int) -> Iterator[tuple[str, Place]]:
        """Where a part's first round finds and leaves what crosses."""
        for name, record in self.parts[number].records.items():
            place = self._places[record.name]
            yield name, Place(place.base + record.row * place.pitch, 0, place.pitch)

    def leaves(self) -> list[Region]:
        """The network's outputs that other parts than the last one make, which stores its own."""
        found = []
        for number, part in enumerate(self.parts[:-1]):
            places = dict(self.places(number))
            for name in part.leaves:
                place, tensor, lanes = places[name], part.graph.tensor(name), self.machine.lanes
                beats = place.pitch * self.machine.port_bits // (lanes * self.a_bits)
                shape = {"rows": tensor.rows, "cols": tensor.cols, "row_beats": beats}
                found.append(Region(name=name, base=place.base, lanes=lanes, bits=self.a_bits, **shape))
        return found
