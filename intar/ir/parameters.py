"""Where the parameters of a convolution's channels lie on chip: sets of four numbers, several in a beat."""

from __future__ import annotations

from collections.abc import Sequence

from intar.ir.nodes.vector import SET_WORDS, set_places


def placed(at: int, sets: int, count: int, lanes: int) -> tuple[int, int]:
    """Where `count` blocks of `sets` sets begin and end that come behind `at` sets, in sets.

    One block follows what is before it at once, and may begin within a beat; of several each begins a beat.
    """
    if count == 1:
        return at, at + sets
    places = set_places(lanes)
    first = -(-at // places) * places
    return first, first + count * -(-sets // places) * places


def parameter_beats(channels: Sequence[int], rows: int, reduce: int, lanes: int) -> int:
    """Beats of 32-bit numbers with the parameters of a convolution once, at most.

    `channels`: of each group of channels with the same taps; `rows` of the array take a block of a group at a time, or one
    all `reduce` channels that make one of the output.
    """
    end = 0
    if reduce > 1:
        end = placed(0, reduce, sum(channels) // reduce, lanes)[1]
    for group in channels if reduce == 1 else ():
        full, rest = (1, 0) if rows == 1 else divmod(group, rows)
        if full:
            end = placed(end, group if rows == 1 else rows, full, lanes)[1]
        if rest:
            end = placed(end, rest, 1, lanes)[1]
    return -(-end // set_places(lanes)) * -(-SET_WORDS // lanes)


def parameter_bytes(channels: Sequence[int], rows: int, reduce: int, lanes: int) -> int:
    """Bytes of these beats."""
    return parameter_beats(channels, rows, reduce, lanes) * lanes * 4
