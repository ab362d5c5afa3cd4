"""The filters of convolutions, each kept once: phases of an image are groups of channels that have the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from intar.ir.quantgraph import FunctionSpec, TapGroup

ARRAYS = ("weight", "bias", "mult", "shift")
"""What makes a filter, and what the constants of a convolution are called."""


def share(
    arrays: Mapping[str, np.ndarray], groups: Sequence[TapGroup], spec: FunctionSpec | None = None
) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
    """The arrays with every filter once, and for each group its first filter (`QConv.filters`).

    Groups share their filters as a whole: where weights, bias, multiplier and shift of all channels are those of a group
    before it, which has as many taps, whatever these read.

    Parameters
    ----------
    arrays : `ARRAYS`, each with a row for each channel.
    groups : of all these channels, in order.
    spec : a table behind the convolution; channels of different groups of its functions share nothing.
    """
    channels = sum(group.channels for group in groups)
    function = np.zeros(channels, np.int64) if spec is None else spec.group_of(channels)
    known: dict[tuple[int, int, bytes], int] = {}
    kept: list[int] = []
    filters, first = [], 0
    for group in groups:
        part, taps = slice(first, first + group.channels), len(group.taps)
        own = [arrays["weight"][part, :taps], *(arrays[name][part] for name in ARRAYS[1:]), function[part]]
        key = group.channels, taps, b"".join(np.ascontiguousarray(array).tobytes() for array in own)
        if key not in known:
            known[key] = len(kept)
            kept.extend(range(part.start, part.stop))
        filters.append(known[key])
        first = part.stop
    return {name: arrays[name][kept] for name in ARRAYS}, tuple(filters)


def share_members(
    arrays: Mapping[str, np.ndarray], members: np.ndarray
) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
    """The same where channels of the output are maxima of several: filters in the order in which these are made.

    Parameters
    ----------
    arrays : `ARRAYS`, each with a row for each filter.
    members : (outputs, n): the filters that each output is the largest result of. Those of an output are one filter, or
        stand behind each other.

    Returns
    -------
    The arrays, and the filter of each member, output after output.
    """
    known: dict[tuple[int, ...], int] = {}
    kept: list[int] = []
    filters = []
    for row in members.tolist():
        own = tuple(row[:1] if len(set(row)) == 1 else row)
        if own not in known:
            known[own] = len(kept)
            kept.extend(own)
        filters.append(known[own] + np.arange(len(row)) * (len(own) > 1))
    return {name: arrays[name][kept] for name in ARRAYS}, tuple(np.concatenate(filters).tolist())
