"""Vector units, and the functions that they and rows nodes look up or evaluate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from intar.ir.bits import signed_bits
from intar.ir.frozen import Frozen
from intar.ir.nodes.step import Step

UNIT_MULT = 1 << 30
"""The multiplier of a factor ``2**(30 - shift)``: what the quantiser gives every power of two down to 2**-32."""


SET_WORDS = 4
"""Numbers of a set of parameters by row: multiplier, shift, low and high 32 bits of the bias."""


def set_places(lanes: int) -> int:
    """Sets of parameters by row that a beat of `lanes` numbers holds."""
    return max(1, lanes // SET_WORDS)


def power_of_two(multiplier: int) -> bool:
    """True for 1, 2, 4, …"""
    return multiplier > 0 and multiplier & (multiplier - 1) == 0


class Table(Frozen):
    """Geometry of one table slot (`docs/numerics.md`): input bits, log2 of the entries, shift and clamp.

    `groups` tables of that size stand one behind the other, from entry `first` of the lanes' memory on; a column's
    parameters say which one it takes. Slots may overlap: what is loaded last is there.
    """

    first: int = 0
    in_bits: int
    log_entries: int
    groups: int = Field(default=1, gt=0)
    q: int
    lo: int
    hi: int

    @property
    def entries(self) -> int:
        """Entries of all groups."""
        return self.groups << self.log_entries


class Rational(Frozen):
    """A slot for a rational function that is evaluated (`docs/numerics.md`): the coefficients of `groups` groups, in the
    lanes' memory from set `first` on; a column's parameters say which one it takes.

    `zero`, `out_zero`: zero points of input and result; `lift`: how far the input is shifted up; `fraction`: bits after the
    point of the numerator, one of :data:`intar.ir.rational.FRACTIONS`; then the clamp.
    """

    groups: int = Field(default=1, gt=0)
    first: int = 0
    zero: int
    out_zero: int
    lift: int
    fraction: int
    lo: int
    hi: int


class Lookups(Frozen):
    """Tables of a unit with `lanes` elements a beat, `rate` of them a cycle.

    `slopes`, `curves`: what entries of tables have besides their bases, `curves` only with `slopes`. `base_bits`,
    `slope_bits` and `curve_bits` hold all of each that there are, `slope_bits` also what a curve makes of a slope.

    A table comes from ``params`` as its bases, then slopes, then curves, each in beats of their own, in address order from
    the lowest bit on, in `entry_bits` bits each, which hold all numbers and results.
    """

    name: str
    lanes: int
    rate: int
    tables: tuple[Table, ...] = ()
    slopes: bool = False
    curves: bool = False
    base_bits: int = Field(default=32, gt=0, le=32)
    slope_bits: int = Field(default=32, gt=0, le=32)
    curve_bits: int = Field(default=18, gt=0, le=18)
    entry_bits: Literal[8, 16, 32] = 32

    @property
    def parts(self) -> int:
        """Numbers that an entry of a table has."""
        return 1 + self.slopes + self.curves

    @property
    def slots(self) -> tuple[Table | Rational, ...]:
        """What steps count by: all tables, then all rational functions."""
        return self.tables

    @property
    def group_bits(self) -> int:
        """Bits of the number of a function's group; 0 when no function has groups."""
        return (max((slot.groups for slot in self.slots), default=1) - 1).bit_length()

    @property
    def table_entries(self) -> int:
        """Entries of tables that the lanes hold."""
        return max((slot.first + slot.entries for slot in self.tables), default=0)

    @property
    def result_bits(self) -> int:
        """Two's complement bits of the results of all tables."""
        bounds = [bound for table in self.tables for bound in (table.lo, table.hi)]
        return signed_bits(min(bounds, default=0), max(bounds, default=0))

    def beats(self, table: Table) -> int:
        """Beats of ``params`` that fill a table."""
        return self.parts * -(-table.entries * self.entry_bits // (32 * self.lanes))

    @property
    def widest_number(self) -> int:
        """Bits that hold each number of an entry and, where bases become results when they are loaded, these."""
        numbers = [self.base_bits, self.slope_bits, self.curve_bits][: self.parts]
        return max(numbers) if self.slopes else max(*numbers, self.result_bits)


class VectorStep(Step):
    """A chain of operations on ``groups × beats`` beats.

    ``for group in groups:`` when `per_channel`, parameters are taken from ``params``: with `params` ``"lane"`` four beats
    (multiplier, shift, low and high 32 bits of the 64-bit bias, one element per lane), with ``"row"`` a set of four elements
    that are these four for all lanes; the upper 16 bits of the shift's element are the group of the table that the lane
    looks up (0 without parameters). A beat holds the sets of :func:`set_places` consecutive groups, one behind the other
    (with fewer than four lanes a set is ``ceil(4 / lanes)`` beats): every `block` groups a new beat begins, of which the
    sets before place `first` are left out. Then `beats`
    beats pass through the chain source (``acc`` or ``x``) → affine → binary (operand from ``y``) → table → ``out``.
    With `reduce` > 1 each of these beats is the elementwise maximum of `reduce` consecutive beats of ``x``; ``y`` gives
    one beat for each maximum.

    With `late` the bias of each column is added to the result of the binary operation, before its clamp, and not in the
    affine one: 18 bits with the zero point.

    With `spread` the first element of a beat of ``y`` is the operand of all lanes.

    With `pool` > 1 so many consecutive results go out as one beat, their elementwise maximum.

    `table` is a slot (`Vector.slots`); -1: no function.
    A step with `load` ≥ 0 does something else: it fills slot `load` from ``params``. A table: `Lookups.beats` beats. A
    rational function: for each group ``ceil(WORDS / lanes)`` beats of its `intar.ir.rational.WORDS` numbers.
    `relu` says that the last clamp's lower bound is a ReLU: reaching it is not a saturation (statistics only).
    `tensor` is the tensor that the step makes, for statistics and messages.
    """

    groups: int = 1
    beats: int = 0
    source: Literal["acc", "x"] = "acc"
    affine: bool = True
    per_channel: bool = True
    params: Literal["lane", "row"] = "lane"
    block: int = Field(default=1, gt=0)
    first: int = Field(default=0, ge=0)
    reduce: int = Field(default=1, gt=0)
    pool: int = Field(default=1, gt=0)
    mult: int = 0
    shift: int = 24
    bias: int = 0
    late: bool = False
    zero: int = 0
    lo: int = 0
    hi: int = 0
    binary: Literal["none", "add", "mul"] = "none"
    b_zx: int = 0
    b_zy: int = 0
    b_mx: int = 0
    b_my: int = 0
    b_shift: int = 24
    b_zero: int = 0
    b_lo: int = 0
    b_hi: int = 0
    spread: bool = False
    table: int = -1
    load: int = -1
    relu: bool = False
    tensor: str = ""


class Vector(Lookups):
    """Vector unit of `lanes` elements per beat, `rate` of them per cycle.

    `value_bits` hold source + bias of every affine operation (48 hold all that `docs/numerics.md` allows).
    `shift_only`: no back end needs a multiplier to requantise, because every multiplier is a power of two: `UNIT_MULT`
    in affine operations (constant or from ``params``) and in products, any in sums (negative ones for ``y`` only).

    Ports ``acc``, ``x``, ``y``, ``params`` (32-bit elements), ``out``; a port that no step uses is not there.
    """

    kind: Literal["vector"] = "vector"
    acc_bits: int
    bits: int
    rationals: tuple[Rational, ...] = ()
    value_bits: int = Field(default=48, gt=0, le=48)
    shift_only: bool = False
    steps: tuple[VectorStep, ...]

    @property
    def slots(self) -> tuple[Table | Rational, ...]:
        """What steps count by: all tables, then all rational functions."""
        return (*self.tables, *self.rationals)

    def places(self, slot: int) -> tuple[int, int]:
        """The slot among the tables and among the rational functions; -1 where it is none."""
        table, rational = slot < len(self.tables), slot - len(self.tables)
        return (slot, -1) if table else (-1, rational)

    @property
    def rational_groups(self) -> int:
        """Groups of coefficients that the lanes hold."""
        return max((slot.first + slot.groups for slot in self.rationals), default=0)

    @property
    def merged(self) -> bool:
        """Affine and binary operations occur, but never in one step: they share hardware."""
        work = [step for step in self.steps if step.load < 0]
        both = any(step.affine and step.binary != "none" for step in work)
        return not both and any(s.affine for s in work) and any(s.binary != "none" for s in work)
