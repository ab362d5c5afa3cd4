"""Where states lie in device memory between calls, and their images.

A block of a state has room for its positions and as many more as a call adds: a call at any position up to the last one
stores its new rows inside of the block, and at the last one behind all that it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from intar.ir.program import Argument, Region
from intar.ir.quantgraph import QuantGraph, state_bits
from intar.ir.schedule import Machine
from intar.ir.states import State, exposed, states
from intar.lower.images import argument_bytes, stored_tensors


@dataclass(frozen=True)
class Kept:
    """A state from word `base` of its arguments on: a row of `cols` elements of `bits` bits has `words` words, a block room
    for `room` positions. Block `b` lies in the argument of port ``b % ports``, behind those before it."""

    state: State
    base: int
    words: int
    room: int
    cols: int
    bits: int
    ports: int = 1

    @property
    def position_words(self) -> int:
        """Words that a position takes in a block."""
        return self.state.inner * self.words

    @property
    def rows(self) -> int:
        """Rows of all blocks of a port, room included."""
        return self.state.blocks // self.ports * self.room * self.state.inner

    def runs(self, name: str, row: int, rows: int) -> Iterator[tuple[int, int, int]]:
        """(port, first word, rows) of each run in which rows of the state or of its new rows lie, those at position 0."""
        state = self.state
        height = (state.rows if name == state.name else state.length) * state.inner
        while rows:
            block, at = divmod(row, height)
            count = min(rows, height - at)
            first = self.base + block // self.ports * self.room * self.position_words + at * self.words
            yield block % self.ports, first, count
            row, rows = row + count, rows - count


def kept_states(graph: QuantGraph, machine: Machine, a_bits: int, room: int = 0) -> dict[str, Kept]:
    """Where each state of a network lies, by the names of the state and of its new rows.

    Empty unless every row begins a port word and all states take as many words a position and have as many positions: the
    kernel has one `position`, and one distance from it to the next. Empty also where an output shows what rows hold that
    don't count (`intar.ir.states.exposed`).

    Parameters
    ----------
    a_bits : of an element as it is stored.
    room : positions of a block, at least; those of the state and of a call when 0.
    """
    found: dict[str, Kept] = {}
    if exposed(graph):
        return found
    base, element = 0, state_bits(graph, a_bits)
    for state in states(graph):
        tensor = graph.tensor(state.name)
        bits = -(-tensor.cols // machine.lanes) * machine.lanes * element
        if bits % machine.port_bits:
            return {}
        room_here = max(room, state.rows + state.length)
        form = {"cols": tensor.cols, "bits": element, "ports": max(1, machine.state_ports)}
        kept = Kept(state, base, bits // machine.port_bits, room_here, **form)
        found[state.name] = found[state.new] = kept
        base += kept.rows * kept.words
    alike = {(kept.position_words, kept.state.rows) for kept in found.values()}
    return found if len(alike) == 1 else {}


def kept_region(kept: Kept, lanes: int, port: int) -> Region:
    """A state's place in the argument of states of a port, room included."""
    return Region(
        name=kept.state.name,
        base=kept.base,
        rows=kept.rows,
        cols=kept.cols,
        row_beats=-(-kept.cols // lanes),
        lanes=lanes,
        bits=kept.bits,
        part=port,
        parts=kept.ports,
    )


def state_image(argument: Argument, kept: Iterable[State], tensors: Mapping[str, np.ndarray]) -> bytes:
    """The argument of states that holds these states; the room is 0."""
    return _image(argument, kept, tensors, 0)


def new_rows_image(
    argument: Argument, kept: Iterable[State], tensors: Mapping[str, np.ndarray], position: int
) -> bytes:
    """The argument of states that holds nothing but the new rows of a call at `position`."""
    kept = list(kept)
    return _image(argument, kept, {state.name: tensors[state.new] for state in kept}, position)


def new_rows(
    arguments: Iterable[Argument], kept: Iterable[State], images: Mapping[str, bytes], position: int
) -> dict[str, np.ndarray]:
    """The new rows that a call at `position` has stored, by output."""
    known = {state.name: state for state in kept}
    found: dict[str, np.ndarray] = {}
    for argument in arguments:
        stored = stored_tensors([argument], images)
        for region in argument.fields:
            state = known[region.name]
            blocks = stored[region.name].reshape(_blocks(region, state), -1, state.inner, region.cols)
            shape = (state.blocks, state.length, state.inner, region.cols)
            made = found.setdefault(state.new, np.zeros(shape, blocks.dtype))
            made[region.part :: region.parts] = blocks[:, position : position + state.length]
    return found


def _image(argument: Argument, kept: Iterable[State], rows: Mapping[str, np.ndarray], position: int) -> bytes:
    """The argument of states with rows of each, by the state's name, from `position` on."""
    known = {state.name: state for state in kept}
    return argument_bytes(
        argument, {r.name: _roomy(r, known[r.name], rows[r.name], position) for r in argument.fields}
    )


def _blocks(region: Region, state: State) -> int:
    """Blocks of a state in a region."""
    return state.blocks // region.parts


def _roomy(region: Region, state: State, values: np.ndarray, position: int) -> np.ndarray:
    """Rows of a state with room for all positions of the region; `values` stand from `position` on."""
    blocks = _blocks(region, state)
    shape = (blocks, region.rows // blocks // state.inner, state.inner, region.cols)
    made = np.zeros(shape, np.int64)
    given = np.asarray(values).reshape(state.blocks, -1, state.inner, region.cols)
    given = given[region.part :: region.parts]
    made[:, position : position + given.shape[1]] = given
    return made
