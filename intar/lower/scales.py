"""What the requantisations of one vector unit need: how wide their values are, and whether shifts are enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intar.ir.nodes.vector import UNIT_MULT, VectorStep, power_of_two
from intar.lower.site import Site

WIDEST = 48
"""Holds every value that `docs/numerics.md` allows."""


def value_bits(site: Site, steps: Sequence[VectorStep], acc_bits: int) -> int:
    """Two's complement bits of source + bias over all affine operations of `steps`, at least those of a tensor."""
    widest = site.a_bits
    for source, of in {(s.source, s.tensor if s.per_channel else s.bias) for s in _affine(steps)}:
        biases = _channels(site, of, "bias")
        if biases is None:
            return WIDEST
        largest = (1 << ((acc_bits if source == "acc" else site.a_bits) - 1)) + int(
            np.abs(biases).max(initial=0)
        )
        widest = max(widest, largest.bit_length() + 1)
    return min(widest, WIDEST)


def shift_only(site: Site, steps: Sequence[VectorStep]) -> bool:
    """True when every multiplier of `steps` is one that a shift stands for (see `Vector.shift_only`)."""
    for of in {step.tensor if step.per_channel else step.mult for step in _affine(steps)}:
        mults = _channels(site, of, "mult")
        if mults is None or np.any(mults != UNIT_MULT):
            return False
    for step in steps:
        if step.load < 0 and step.binary == "mul" and step.b_mx != UNIT_MULT:
            return False
        if (
            step.load < 0
            and step.binary == "add"
            and not (power_of_two(step.b_mx) and power_of_two(abs(step.b_my)))
        ):
            return False
    return True


def _affine(steps: Sequence[VectorStep]) -> list[VectorStep]:
    return [step for step in steps if step.load < 0 and step.affine]


def _channels(site: Site, of: str | int, name: str) -> np.ndarray | None:
    """The one constant, or those that the task that makes a tensor gives its channels; None where these are not an array."""
    if isinstance(of, int):
        return np.array([of])
    for task in site.graph.tasks:
        if task.output == of and isinstance(constant := getattr(task, name, None), str):
            return site.constants[constant]
    return None
