"""Random sequences of "wait in this cycle", by name, for both sides of a handshake."""

from __future__ import annotations

import random
from collections.abc import Iterator

PATTERNS = ("none", "light", "heavy", "bursts")


def waits(pattern: str, rng: random.Random) -> Iterator[bool]:
    """Endless: never, in 1 cycle of 5, in 4 of 5, or in runs of up to a dozen cycles in turn with runs without."""
    if pattern == "bursts":
        waiting = rng.random() < 0.5
        while True:
            yield from [waiting] * rng.randint(1, 12)
            waiting = not waiting
    chance = {"none": 0.0, "light": 0.2, "heavy": 0.8}[pattern]
    while True:
        yield rng.random() < chance
