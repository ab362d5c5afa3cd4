"""Flattens a program into the int64 array that the C++ side reads, and checks what memory safety rests on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from intar.engine.encoding import arrays, memories, movers, ports, rows, vector
from intar.engine.encoding.encoder import Encoded, Encoder
from intar.errors import InternalError
from intar.ir.program import Program

_KINDS: tuple[tuple[str, Callable[[Encoder, Any], None]], ...] = (
    ("load", ports.load),
    ("store", ports.store),
    ("buffer", memories.buffer),
    ("feed", arrays.feed),
    ("core", arrays.core),
    ("vector", vector.vector),
    ("gather", movers.gather),
    ("router", movers.router),
    ("image", memories.image),
    ("rows", rows.rows),
    ("argmax", movers.argmax),
    ("constant", memories.constant),
)
"""Kinds of nodes in the order of their numbers, and what encodes them."""


def encode(
    program: Program,
    segment: int = 0,
    round: int = 0,
    *,
    position: int = 0,
    merged: bool = False,
    policy: int = 0,
    turns: bool = False,
    align: int = 0,
) -> Encoded:
    """Flatten one play of `program`.

    Parameters
    ----------
    segment, round : which play.
    position : of the call, in the text that its states hold.
    merged : each buffer is one unit with both sides instead of two.
    policy : 0: merged buffers follow `Buffer.merged`, which must then cover every iteration.
    turns : stores and loads of one argument take turns (`Store.turns`), as they do in merged runs.
    align : for runs without values: where in a block of so many words a step begins is all that its base says. A multiple
        of every burst length, at whose multiples the ports cut their commands: nothing else depends on addresses. All
        rounds have the numbers of the first one then.

    Raises
    ------
    InternalError : ports without links, wrong widths, addresses outside of an argument: all of them at once.
    """
    e = Encoder(program, segment, round, position, merged, policy, turns, align)
    e.put(len(program.links))
    for link in program.links:
        e.put(link.lanes, link.bits, link.depth)
    e.put(len(program.nodes))
    e.place_units()
    numbers = {kind: (number, encoded) for number, (kind, encoded) in enumerate(_KINDS)}
    for node in program.nodes:
        number, encoded = numbers[node.kind]
        e.put(number)
        encoded(e, node)
    for name, port in e.ports:
        if (name, port) not in e.used:
            e.problems.append(f"{name}.{port}: there is no such port")
    if e.problems:
        raise InternalError(f"malformed program {program.name!r}: " + "; ".join(e.problems))
    return e.result
