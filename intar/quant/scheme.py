"""How numbers are represented: bit widths, and how ranges are found from calibration data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from intar.errors import ConfigError, Finding

Method = Literal["minmax", "percentile", "mse"]
METHODS = ("minmax", "percentile", "mse")
WIDTHS = (4, 8, 10, 16)
"""Bits that a tensor may have; a weight has 4, 8 or 16."""
TOKEN: Literal["8t"] = "8t"
"""8 bits with a scale for each token, that is for each row: what a matmul may read (`intar.quant.tokens`)."""
Width = int | Literal["8t"]
Rational = Literal["auto", "table", "pieces", "direct"]
RATIONALS = ("auto", "table", "pieces", "direct")


@dataclass(frozen=True)
class Scheme:
    """Widths and range method of a quantisation.

    Parameters
    ----------
    name : what the user calls it.
    weight_bits, activation_bits : widths of what the model does not quantise itself.
    method : ``minmax`` takes the calibration data's extremes; ``percentile`` cuts `percentile` of the values; ``mse``
        takes the range with the least mean squared error.
    percentile : per cent of the values that stay inside the range (both tails together cut the rest).
    operand_bits : width of what matmuls and products of activations read, when that is less than `activation_bits`; a
        tensor that others read, too, keeps its width, and the matmul reads a rounded copy. 0: `activation_bits`.
    power_of_two : scales are rounded up to powers of two, so that requantisation is a shift and needs no multiplier; up
        to one bit of precision is lost. Scales of the model itself stay as they are.
    bits : widths of single tensors, operands and weights, as (pattern, bits) (`intar.quant.widths`), of operands of matmuls
        also `TOKEN`; of several patterns for one place the last one holds.
    rational : how rational functions are built (`docs/numerics.md`); ``auto``: as costs least.
    """

    name: str
    weight_bits: int
    activation_bits: int
    method: Method = "minmax"
    percentile: float = 99.99
    power_of_two: bool = False
    operand_bits: int = 0
    bits: tuple[tuple[str, Width], ...] = ()
    rational: Rational = "auto"

    def __post_init__(self) -> None:
        found = []
        if self.weight_bits not in (4, 8, 16):
            found.append(Finding(f"weight_bits is {self.weight_bits}, expected 4, 8 or 16", "scheme"))
        if self.activation_bits not in (8, 16):
            found.append(Finding(f"activation_bits is {self.activation_bits}, expected 8 or 16", "scheme"))
        if self.operand_bits not in (0, 8) or self.operand_bits > self.activation_bits:
            found.append(Finding(f"operand_bits is {self.operand_bits}, expected 0 or 8", "scheme"))
        if self.method not in METHODS:
            found.append(
                Finding(f"method is {self.method!r}, expected one of: {', '.join(METHODS)}", "scheme")
            )
        if self.rational not in RATIONALS:
            found.append(
                Finding(f"rational is {self.rational!r}, expected one of: {', '.join(RATIONALS)}", "scheme")
            )
        if not 50 < self.percentile <= 100:
            found.append(Finding(f"percentile is {self.percentile}, expected 50 < p <= 100", "scheme"))
        found += [
            Finding(
                f"{bits} bits are asked for, expected {', '.join(map(str, WIDTHS))} or {TOKEN}",
                f"bits of {pattern!r}",
            )
            for pattern, bits in self.bits
            if bits not in (*WIDTHS, TOKEN)
        ]
        if found:
            raise ConfigError(found)

    def with_bits(self, bits: Mapping[str, Width]) -> Scheme:
        """The scheme with widths by pattern, after those that it has."""
        return replace(self, bits=(*self.bits, *bits.items()))

    def with_rational(self, method: str) -> Scheme:
        """The scheme with another way of building rational functions. Raises ConfigError."""
        return replace(self, rational=method)  # type: ignore[arg-type]


W8A8 = Scheme("w8a8", 8, 8)
W16A16 = Scheme("w16a16", 16, 16)
W4A8 = Scheme("w4a8", 4, 8)
W8A8R16 = Scheme("w8a8r16", 8, 16, operand_bits=8)
"""8-bit operands of matmuls, 16 bits everywhere else: residual sums, normalisations, scores."""

W4A8R16 = Scheme("w4a8r16", 4, 16, operand_bits=8)
"""The same with 4-bit weights."""

_ALL = (W8A8, W16A16, W4A8, W8A8R16, W4A8R16)
SCHEMES = {scheme.name: scheme for scheme in _ALL}
SCHEMES |= {f"{s.name}-pow2": replace(s, name=f"{s.name}-pow2", power_of_two=True) for s in _ALL}
"""The schemes that can be asked for by name."""


def scheme(name: str, method: Method = "minmax", percentile: float = 99.99) -> Scheme:
    """The scheme called `name`, with the given range method. Raises ConfigError."""
    if name not in SCHEMES:
        raise ConfigError(
            Finding(f"there is no scheme {name!r}", "scheme", hint=f"one of: {', '.join(SCHEMES)}")
        )
    return replace(SCHEMES[name], method=method, percentile=percentile)
