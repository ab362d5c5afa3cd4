"""What the requantisations of one vector unit need: how wide their values are, and whether shifts are enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intar.ir.program import UNIT_MULT, VectorStep, power_of_two
from intar.lower.site import Site

WIDEST = 48
"""Holds every value that `docs/numerics.md` allows."""


def value_bits(site: Site, steps: Sequence[VectorStep], acc_bits: int) -> int:
    """Two's complement bits of source + bias over all affine operations of `steps`, at least those of a tensor."""
    widest = site.a_bits
    for step in steps:
        if step.load < 0 and step.affine:
            source = acc_bits if step.source == "acc" else site.a_bits
            biases = _channels(site, step, "bias") if step.per_channel else np.array([step.bias])
            if biases is None:
                return WIDEST
            largest = (1 << (source - 1)) + max((abs(int(bias)) for bias in biases), default=0)
            widest = max(widest, largest.bit_length() + 1)
    return min(widest, WIDEST)


def shift_only(site: Site, steps: Sequence[VectorStep]) -> bool:
    """True when every multiplier of `steps` is one that a shift stands for (see `Vector.shift_only`)."""
    for step in steps:
        if step.load < 0 and step.affine:
            mults = _channels(site, step, "mult") if step.per_channel else np.array([step.mult])
            if mults is None or np.any(mults != UNIT_MULT):
                return False
        if step.load < 0 and step.binary == "mul" and step.b_mx != UNIT_MULT:
            return False
        if (
            step.load < 0
            and step.binary == "add"
            and not (power_of_two(step.b_mx) and power_of_two(abs(step.b_my)))
        ):
            return False
    return True


def _channels(site: Site, step: VectorStep, name: str) -> np.ndarray | None:
    """The constants that the task behind a step gives its channels; None where that is not one array of the task."""
    for task in site.graph.tasks:
        if task.output == step.tensor and isinstance(constant := getattr(task, name, None), str):
            return site.constants[constant]
    return None
