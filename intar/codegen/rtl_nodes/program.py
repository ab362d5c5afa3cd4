"""Step programs of the RTL nodes: layouts of steps, and the words that they are.

A layout is a table of ``(field, bits)``, lowest bits first; the modules in `rtl/` read the same offsets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from intar.errors import InternalError
from intar.ir.nodes.step import Step

Layout = tuple[tuple[str, int], ...]
ROW_BITS = 16
"""Bits of the row of a step's numbers."""


def fields(bits: int, names: str) -> Layout:
    """So many fields of `bits` bits each."""
    return tuple((name, bits) for name in names.split())


def step_bits(layout: Layout) -> int:
    """Bits of one step."""
    return sum(bits for _, bits in layout)


@dataclass(frozen=True)
class Rom:
    """A step program as a parameter: `steps` words of `bits` bits with a note and the segment of each."""

    bits: int
    steps: tuple[int, ...]
    notes: tuple[str, ...]
    segments: tuple[int, ...] = ()


def pack(layout: Layout, values: Mapping[str, int], where: str) -> int:
    """Put `values` into a word; negative values in two's complement, missing fields are 0.

    Raises
    ------
    InternalError : a value does not fit its field, or has no field.
    """
    word = position = known = 0
    for name, bits in layout:
        if name in values:
            value = int(values[name])
            if not -(1 << (bits - 1)) <= value < (1 << bits):
                raise InternalError(f"{where}: {name} = {value} does not fit in {bits} bits")
            word |= (value & ((1 << bits) - 1)) << position
            known += 1
        position += bits
    if known < len(values):
        unknown = set(values) - {name for name, _ in layout}
        raise InternalError(f"{where}: the step has no field {sorted(unknown)}")
    return word


def rom(
    layout: Layout, node: str, words: Iterable[tuple[Mapping[str, int], str]], steps: Sequence[Step] = ()
) -> Rom:
    """The fields and notes of the words, which stand for `steps` if they are steps."""
    packed = [
        (pack(layout, values, f"{node} step {index}"), note) for index, (values, note) in enumerate(words)
    ]
    if not packed:
        raise InternalError(f"node {node!r} has a side without steps")
    return Rom(
        step_bits(layout),
        tuple(word for word, _ in packed),
        tuple(note for _, note in packed),
        tuple(step.segment for step in steps),
    )


def numbers_apart(rom: Rom, played: Sequence[Step], head: int) -> tuple[Rom, Rom | None]:
    """A program in which the steps of single rounds (`Step.only`), if there are any, are one, and the bits from `head` on of
    all steps as rows of a memory beside it.

    Above its head a step then has the row of its numbers, and whether round r has them r rows further on.

    Raises
    ------
    InternalError
        Steps of a segment differ in their heads from round to round, or there are too many rows.
    """
    if all(step.only < 0 for step in played):
        return rom, None
    lists: dict[int, dict[int, list[int]]] = {}
    for place, step in enumerate(played):
        lists.setdefault(step.segment, {}).setdefault(step.only, []).append(place)
    rows: dict[tuple[int, ...], int] = {}
    numbers: list[tuple[int, str]] = []
    program: list[tuple[int, str, int]] = []
    for segment, by_round in lists.items():
        for same in zip(*by_round.values(), strict=True):
            heads = {rom.steps[place] & ((1 << head) - 1) for place in same}
            if len(heads) > 1:
                raise InternalError(
                    f"{rom.notes[same[0]]!r} differs from round to round in more than numbers"
                )
            tails = tuple(rom.steps[place] >> head for place in same)
            tails = tails[:1] if len(set(tails)) == 1 else tails
            if tails not in rows:
                rows[tails] = len(numbers)
                of = f"{rom.notes[same[0]]}, round "
                numbers += [(tail, f"{of}{n}" if n else rom.notes[same[0]]) for n, tail in enumerate(tails)]
            word = heads.pop() | rows[tails] << head | (len(tails) > 1) << (head + ROW_BITS)
            program.append((word, rom.notes[same[0]], segment))
    if len(numbers) > 1 << ROW_BITS:
        raise InternalError(f"{len(numbers)} rows of numbers are too many for one node")
    words_, notes, segments = zip(*program, strict=True)
    made = Rom(head + ROW_BITS + 1, words_, notes, segments)
    return made, Rom(rom.bits - head, tuple(tail for tail, _ in numbers), tuple(note for _, note in numbers))


def concatenated(bits: int, values: Sequence[int]) -> str:
    """A parameter of so many words, the first one lowest."""
    mask = (1 << bits) - 1
    return "{" + ", ".join(f"{bits}'d{value & mask}" for value in reversed(values)) + "}"


def last_of(where: str, **counts: int) -> dict[str, int]:
    """Fields ``<name>_end`` with the last index of each count."""
    for name, count in counts.items():
        if not 1 <= count < 1 << 31:
            raise InternalError(f"{where}: {name} = {count}, at least 1 is needed")
    return {f"{name}_end": count - 1 for name, count in counts.items()}
