"""The program: what each node of the machine is and does, independent of any back end.

`docs/program.md` defines every node to the bit; this module is its typed, frozen, JSON-serialisable form.
A machine is a Kahn network: nodes joined by links (bounded FIFOs of beats); each node runs its own list of steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from intar.ir.bits import signed_bits

SCHEMA = "intar.program/1"

INDEX_BITS = 32
"""Width of ids and indices: integers that choose rows, which no core and no vector unit sees (scale 1, zero point 0)."""

UNIT_MULT = 1 << 30
"""The multiplier of a factor ``2**(30 - shift)``: what the quantiser gives every power of two down to 2**-32."""


def power_of_two(multiplier: int) -> bool:
    """True for 1, 2, 4, …"""
    return multiplier > 0 and multiplier & (multiplier - 1) == 0


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(Frozen):
    """A step of some node, played in segment `segment` of the program; `note` says what for.

    `only`: the one round of the segment in which it is played; -1: in each.
    """

    segment: int = Field(default=0, ge=0)
    only: int = Field(default=-1, ge=-1)
    note: str = ""


class Link(Frozen):
    """A FIFO from one output port to one input port.

    `src` and `dst` are ``"node.port"``; a beat is `lanes` signed elements of `bits` bits; `depth` is in beats.
    """

    name: str
    src: str
    dst: str
    lanes: int = Field(gt=0)
    bits: int = Field(gt=0)
    depth: int = Field(gt=0)


class Walk(Frozen):
    """An affine address walk: five nested loops, outermost first.

    ``address = base + (i0*strides[0]) % wrap + i1*strides[1] + ... + i4*strides[4]`` (no modulo when `wrap` is 0).
    In the last iteration of loop `ragged` the innermost loop runs `last` times instead of `counts[4]`
    (`ragged` = -1: never).
    """

    base: int = 0
    wrap: int = 0
    counts: tuple[int, int, int, int, int] = (1, 1, 1, 1, 1)
    strides: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    ragged: int = -1
    last: int = 0

    @property
    def beats(self) -> int:
        """Number of addresses visited."""
        c0, c1, c2, c3, c4 = self.counts
        total = c0 * c1 * c2 * c3 * c4
        if self.ragged < 0:
            return total
        return total - (total // c4 // self.counts[self.ragged]) * (c4 - self.last)

    def addresses(self) -> Iterator[int]:
        """Every address, in order."""
        for i0 in range(self.counts[0]):
            yield from self.iteration(i0)

    def iteration(self, i0: int) -> Iterator[int]:
        """The addresses of one iteration of the outermost loop."""
        _, c1, c2, c3, c4 = self.counts
        s0, s1, s2, s3, s4 = self.strides
        outer = i0 * s0
        if self.wrap:
            outer %= self.wrap
        index = [i0, 0, 0, 0]
        for index[1] in range(c1):
            for index[2] in range(c2):
                for index[3] in range(c3):
                    start = self.base + outer + index[1] * s1 + index[2] * s2 + index[3] * s3
                    is_last = self.ragged >= 0 and index[self.ragged] == self.counts[self.ragged] - 1
                    for i4 in range(self.last if is_last else c4):
                        yield start + i4 * s4


class LoadStep(Step):
    """Read `beats` beats from word `base` of the argument, `repeat` times over.

    With `table` > 0 so many rows lie from `base` on, each `pitch` words behind the one before; each repetition takes an id
    from ``ids`` and reads the first `beats` beats of row ``clamp(id, 0, table - 1)``.

    Starts when the store node `Load.after` has finished `need` commands (0: at once). In every second round of its
    segment it reads from `swap` words further on, and in each round further on by the segment's `Load.strides`.
    """

    base: int
    beats: int = Field(gt=0)
    repeat: int = Field(default=1, gt=0)
    need: int = 0
    swap: int = 0
    table: int = Field(default=0, ge=0)
    pitch: int = Field(default=0, ge=0)


class Load(Frozen):
    """AXI read port of `port_bits`: memory words to beats. Output port ``out``.

    Where steps look rows up (`LoadStep.table`; then all do) ids come from input port ``ids``, one a beat.

    `strides`: words by which all steps of a segment move on with each of its rounds, by segment (empty: none moves).
    """

    kind: Literal["load"] = "load"
    name: str
    port_bits: int
    argument: str
    words: int = Field(gt=0, description="size of the argument's buffer, port words")
    after: str = ""
    strides: tuple[int, ...] = ()
    steps: tuple[LoadStep, ...]

    @property
    def lookup(self) -> bool:
        """Ids choose what is read."""
        return any(step.table for step in self.steps)

    def base(self, step: LoadStep, round: int) -> int:
        """Where a step reads in a round of its segment, words."""
        stride = self.strides[step.segment] if self.strides else 0
        return step.base + round * stride + (round % 2) * step.swap


class StoreStep(Step):
    """Write the next `beats` beats from word `base` of the argument on, in odd rounds of the segment `swap` further; and
    further on by what the node moves with the round (`Store.strides`) and the call's position (`Store.row`).
    """

    base: int
    beats: int = Field(gt=0)
    swap: int = 0


class Store(Frozen):
    """AXI write port. Input port ``in``.

    A load that waits for this store may read the same argument, through the read channel of the same AXI master. `turns`
    is then a static order of the commands of both, as runs ``(side, commands)`` with side ``"w"`` or ``"r"``, in which a
    back end with one process for the argument (HLS) performs them. A run lies in one segment.

    `strides`: as in `Load`. `row`: words by which all steps move on with each position of a call (`Program.positions`).
    """

    kind: Literal["store"] = "store"
    name: str
    port_bits: int
    argument: str
    words: int = Field(gt=0)
    strides: tuple[int, ...] = ()
    row: int = Field(default=0, ge=0)
    steps: tuple[StoreStep, ...]
    turns: tuple[tuple[Literal["w", "r"], int], ...] = ()

    def base(self, step: StoreStep, round: int, position: int = 0) -> int:
        """Where a step writes in a round of its segment in a call at `position`, words."""
        stride = self.strides[step.segment] if self.strides else 0
        return step.base + round * stride + (round % 2) * step.swap + position * self.row


class BufferStep(Step):
    """One walk of one side of a buffer.

    Iteration `i` of the walk's outermost loop starts when the *other* side has posted at least
    ``need + i*need_step`` iterations in this inference; each finished iteration posts one.
    With `elements`, the walk counts elements and the beat address is ``address // lanes``.
    """

    walk: Walk
    need: int = 0
    need_step: int = 0
    elements: bool = False

    def needs(self) -> Iterator[int]:
        """What the other side must have posted, for each iteration."""
        for iteration in range(self.walk.counts[0]):
            yield self.need + iteration * self.need_step


class Buffer(Frozen):
    """On-chip memory of `depth` beats, one write side (port ``in``) and one read side (port ``out``).

    `merged` is a static interleaving of the two sides' iterations, as runs ``(side, iterations)`` with side
    ``"w"`` or ``"r"``: the order in which a single-threaded back end (HLS) performs them. A run lies in one segment. Before
    `plan_merged` has found it, it is the order of the tasks, which may break rules (`need`).
    """

    kind: Literal["buffer"] = "buffer"
    name: str
    depth: int = Field(gt=0)
    lanes: int
    bits: int
    writes: tuple[BufferStep, ...]
    reads: tuple[BufferStep, ...]
    merged: tuple[tuple[Literal["w", "r"], int], ...] = ()


class Window(Frozen):
    """One tap of a window: lane ``j`` of its beat is the pixel `dy` rows below and `dx` columns right of pixel ``j`` of the
    tile, and the step's `pad` where that is outside of the channel's `height` × `width` valid pixels.

    `offset` = channel base + dy * pitch + dx: how far that element is from the one in the place of pixel ``j``.
    """

    offset: int
    dy: int
    dx: int
    height: int = Field(ge=0)
    width: int = Field(ge=0)


class ImageStep(Step):
    """Read windows of pixel tiles: ``for pass in passes: for tile in tiles: for tap in taps`` one beat.

    Tile ``i`` is flat pixels ``(first + i * stride) * lanes`` and so on of an image of `rows` rows of `columns` pixels:
    pixel ``p`` is row ``p // columns``, column ``p % columns``, and in its place in the memory is element
    ``p // columns * pitch + p % columns``; below the last row every lane is `pad`. The taps are
    ``node.taps[tap : tap + taps]``. One iteration is one tile of one pass: it starts when the write side has posted
    ``min(need + i*need_step, need_limit)``.
    """

    first: int = 0
    stride: int = 1
    tiles: int = Field(gt=0)
    passes: int = Field(default=1, gt=0)
    rows: int = Field(gt=0)
    columns: int = Field(gt=0)
    tap: int = 0
    taps: int = Field(gt=0)
    pad: int = 0
    need: int = 0
    need_step: int = 0
    need_limit: int = 0

    def needs(self) -> Iterator[int]:
        """What the write side must have posted, for each iteration."""
        for _ in range(self.passes):
            for tile in range(self.tiles):
                yield min(self.need + tile * self.need_step, self.need_limit)


class Image(Frozen):
    """On-chip memory of flat images (`docs/numerics.md`): written like a buffer (port ``in``), read in windows (``out``).

    Pixel (r, c) of a channel is element ``r * pitch + c`` of it. `merged` as in `Buffer`.
    """

    kind: Literal["image"] = "image"
    name: str
    depth: int = Field(gt=0)
    lanes: int
    bits: int
    pitch: int = Field(gt=0)
    taps: tuple[Window, ...]
    writes: tuple[BufferStep, ...]
    reads: tuple[ImageStep, ...]
    merged: tuple[tuple[Literal["w", "r"], int], ...] = ()


class FeedStep(Step):
    """Turn row beats into operand beats.

    ``for tile in tiles: for m in m_tiles: for b in blocks:`` take `rows` beats (`rows_last` when ``m`` is the last),
    then, `replay` times, for each channel ``l`` of the block (from `k_first` in the first block, else 0, up to `k_last` - 1
    in the last block, else the last one) send one beat of the `rows` parameter of the node: element ``l`` of each row taken,
    0 for rows not taken. Where the node has a `depth`, a channel is as many neighbouring elements.
    """

    tiles: int = Field(gt=0)
    m_tiles: int = Field(gt=0)
    rows: int
    rows_last: int
    blocks: int = Field(gt=0)
    k_first: int = Field(default=0, ge=0)
    k_last: int
    replay: int = 1


class Feed(Frozen):
    """Transposer before a core: ``in`` (`lanes` elements of one row) to ``out`` (`rows` elements of one channel).

    With a `depth` the elements of a row go out so many at a time: element ``r * depth + d`` of a beat is the ``d``-th of row
    ``r``; `by_channel`: element ``d * rows + r``.
    """

    kind: Literal["feed"] = "feed"
    name: str
    rows: int
    lanes: int
    bits: int
    depth: int = Field(default=1, gt=0)
    by_channel: bool = False
    steps: tuple[FeedStep, ...]

    @property
    def channels(self) -> int:
        """Beats that a block of rows goes out in."""
        return self.lanes // self.depth


class CoreStep(Step):
    """Matrix product tiles.

    ``for tile in tiles: for m in m_tiles: for v in visits: for x in contexts:``
    the accumulators start at 0 (``v == 0``) or at context ``x``; then `k` times (`k_last` in the last visit)
    one beat of ``a`` and one of ``w`` are taken and ``acc[r][c] += a[r]*w[c]``; then the accumulators go to context
    ``x``, or in the last visit to ``out``: one beat per row, `rows` beats (`rows_last` when ``m`` is the last).
    With one visit, `k_last` equals `k`.
    """

    tiles: int = Field(gt=0)
    m_tiles: int = Field(gt=0)
    visits: int = 1
    contexts: int = 1
    k: int = Field(gt=0)
    k_last: int = Field(gt=0)
    rows: int
    rows_last: int


class Core(Frozen):
    """`rows` × `lanes` MAC array, output-stationary, double accumulators. Ports ``a``, ``w``, ``out``.

    A cell adds up `depth` products a cycle: ``acc[r][c] += sum(a[r * depth + d] * w[c * depth + d])``.

    `a_used`, `w_used`: bits that its operands fit in, the width of its multipliers (0: as wide as the elements, `a_bits` and
    `w_bits`). `pack` lanes of a row share a multiplier; no bit and no cycle depends on it.
    """

    kind: Literal["core"] = "core"
    name: str
    rows: int
    lanes: int
    depth: int = Field(default=1, gt=0)
    a_bits: int
    w_bits: int
    a_used: int = Field(default=0, ge=0)
    w_used: int = Field(default=0, ge=0)
    pack: int = Field(default=1, gt=0)
    acc_bits: int
    contexts: int = 1
    steps: tuple[CoreStep, ...]

    @property
    def operand_bits(self) -> tuple[int, int]:
        """Bits that the operands from ``a`` and ``w`` fit in."""
        return self.a_used or self.a_bits, self.w_used or self.w_bits

    @property
    def multipliers(self) -> int:
        """Multipliers of the array: `pack` products of a row have one."""
        return self.rows * self.depth * -(-self.lanes // self.pack)


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
    (multiplier, shift, low and high 32 bits of the 64-bit bias, one element per lane), with ``"row"`` one beat whose
    first four elements are these four for all lanes (``ceil(4 / lanes)`` beats where a beat has fewer); the upper 16 bits of
    the shift's element are the group of the table that the lane looks up (0 without parameters). Then `beats`
    beats pass through the chain source (``acc`` or ``x``) → affine → binary (operand from ``y``) → table → ``out``.
    With `reduce` > 1 each of these beats is the elementwise maximum of `reduce` consecutive beats of ``x``; ``y`` gives
    one beat for each maximum.

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
    reduce: int = Field(default=1, gt=0)
    pool: int = Field(default=1, gt=0)
    mult: int = 0
    shift: int = 24
    bias: int = 0
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


class GatherStep(Step):
    """Pick element ``address % lanes`` of each beat taken, for each address of the walk (in elements).

    Elements are packed into beats of `lanes`; after every `row` elements a partly filled beat is sent, padded with 0.
    Place and row count go on across steps (a row of a concat comes from several walks).
    """

    walk: Walk
    row: int = Field(gt=0)


class Gather(Frozen):
    """Element mover for transpose, reshape, concat and slice: one element per cycle. Ports ``in``, ``out``."""

    kind: Literal["gather"] = "gather"
    name: str
    lanes: int
    bits: int
    steps: tuple[GatherStep, ...]


class ArgmaxStep(Step):
    """The index of the first largest element of each of `rows` rows of `cols` elements (`ceil(cols / lanes)` beats)."""

    rows: int = Field(gt=0)
    cols: int = Field(gt=0)


class Argmax(Frozen):
    """Indices of largest elements: one for each row, one a beat. Ports ``in``, ``out`` (1 × 32 bits)."""

    kind: Literal["argmax"] = "argmax"
    name: str
    lanes: int
    bits: int
    steps: tuple[ArgmaxStep, ...]

    def beats(self, step: ArgmaxStep) -> tuple[int, int]:
        """Beats of a row of a step, and elements in the last of them."""
        beats = -(-step.cols // self.lanes)
        return beats, step.cols - (beats - 1) * self.lanes


class LoadTable(Step):
    """Fill table slot `table` from ``tables``: `Lookups.beats` beats."""

    table: int = Field(ge=0)


class RowsStep(Step):
    """Softmax or normalisation of `rows` rows of `cols` elements, in the integers of `docs/numerics.md`.

    ``softmax``: `mult` and `shift` turn distances to the row's maximum into exponents; `numerator` and `out_shift` are one
    over the output's scale. In the first row only the first `visible` elements count (0: all), with `grow` one more in each
    row that follows, and in no row those from the call's position up to `cached`, which is less than `visible`; others, like
    those beyond `cols`, leave as if their power were 0.
    ``norm``: inputs are taken times ``2**lift``, their mean is subtracted where `centred`; `epsilon`, `shift` and
    `out_shift` are E, s and q. For each beat of a row two beats are taken from ``params``: gains of 25 bits and offsets (0
    beyond `cols`). With a `table` the result is looked up there, `lo` and `hi` are the limits of what is looked up, and
    above its gain a column's word has the table's group.
    `tensor` is the tensor that the step makes, for statistics and messages.
    """

    op: Literal["softmax", "norm"] = "softmax"
    rows: int = Field(gt=0)
    cols: int = Field(gt=0)
    visible: int = Field(default=0, ge=0)
    grow: bool = False
    cached: int = Field(default=0, ge=0)
    mult: int = 0
    shift: int
    numerator: int = 0
    out_shift: int
    centred: bool = False
    lift: int = 0
    epsilon: int = 0
    zero: int = 0
    lo: int
    hi: int
    table: int = -1
    relu: bool = False
    tensor: str = ""

    @property
    def first(self) -> int:
        """Elements of the first row that count."""
        return min(self.visible or self.cols, self.cols)


class Rows(Lookups):
    """Row reductions: `rate` elements a cycle, rows of at most `depth` beats of `lanes`.

    In each play `loads` fill tables from the first cycle on; no row with a table leaves before all of them are done.
    `held` rows, a power of two, are on their way at a time, of which `divisions` rows of a softmax are divided at a time.

    Ports ``in``, ``params`` (32-bit elements; there when a step is a ``norm``), ``tables`` (32-bit elements; there when
    there are `loads`), ``out``.
    """

    kind: Literal["rows"] = "rows"
    bits: int
    depth: int = Field(gt=0)
    held: int = Field(default=4, ge=4)
    divisions: int = Field(default=1, gt=0)
    steps: tuple[RowsStep, ...]
    loads: tuple[LoadTable, ...] = ()

    @property
    def softmax(self) -> bool:
        """A step is a softmax."""
        return any(step.op == "softmax" for step in self.steps)

    @property
    def placed(self) -> bool:
        """Which elements count in a step depends on the call's position."""
        return any(step.cached for step in self.steps)

    @property
    def norm(self) -> bool:
        """A step is a normalisation."""
        return any(step.op == "norm" for step in self.steps)


class Leg(Frozen):
    """Move beats from input `src` to every output of `dsts`."""

    src: int
    dsts: tuple[int, ...]


class RouterStep(Step):
    """``for round in rounds: for leg in legs:`` move `beats` beats.

    Every `period`-th round (``round % period == period-1``) each leg moves `beats_last` beats instead.
    """

    rounds: int = Field(gt=0)
    legs: tuple[Leg, ...]
    beats: int
    period: int = 1
    beats_last: int


class Router(Frozen):
    """Static switch. Ports ``in0``…, ``out0``…; beats pass unchanged.

    With `out_bits` the elements leave in so many bits, which hold all their values.
    """

    kind: Literal["router"] = "router"
    name: str
    inputs: int
    outputs: int
    lanes: int
    bits: int
    out_bits: int = Field(default=0, ge=0)
    steps: tuple[RouterStep, ...]

    @property
    def leaving_bits(self) -> int:
        """Bits of an element on the outputs."""
        return self.out_bits or self.bits


Node = Annotated[
    Load | Store | Buffer | Image | Feed | Core | Vector | Rows | Gather | Argmax | Router,
    Field(discriminator="kind"),
]


class Region(Frozen):
    """A rectangular piece of a kernel argument that holds a tensor or constant data.

    `rows` rows of `row_beats` beats of `lanes` elements of `bits` bits, `cols` of the elements used per row,
    starting at port word `base`; beats are packed from the least significant bit on. Where several ports share a tensor,
    this one has every `step`-th beat of all rows, from beat `first` on; where several share a state, it has every `parts`-th
    block of rows, from block `part` on. It is a tensor of the entry `entry`.
    """

    name: str
    base: int
    rows: int
    cols: int
    row_beats: int
    lanes: int
    bits: int
    first: int = 0
    step: int = 1
    part: int = 0
    parts: int = 1
    entry: int = 0

    @property
    def beats(self) -> int:
        """Beats of the tensor that lie here."""
        return len(range(self.first, self.rows * self.row_beats, self.step))


class Argument(Frozen):
    """One pointer argument of the kernel = one AXI bundle.

    role: ``input`` and ``output`` hold network tensors (`fields`), ``constant`` is an image made by the compiler,
    ``state`` holds what the network keeps from call to call, ``scratch`` is spill space.
    """

    name: str
    role: Literal["input", "output", "constant", "state", "scratch"]
    port_bits: int
    words: int
    fields: tuple[Region, ...] = ()


class Entry(Frozen):
    """A network that a call can perform: segments `first` to `end` - 1."""

    name: str
    first: int
    end: int


class Program(Frozen):
    """The whole machine. `constants` of the images are kept beside it (`Images`), keyed by argument name.

    Segment `i` of all nodes' programs is played ``rounds[i]`` times before segment ``i + 1``. A play ends when all nodes
    have ended theirs; then the next one starts, and all counts (`need`) with it from 0. Vector units and rows nodes may have
    steps of each round for a segment (`Step.only`), which differ in their numbers alone: multipliers, shifts, offsets,
    bounds, functions.

    A call plays the segments of one of the `entries`, which its argument `entry` chooses; without any there is one, of all
    segments.

    `positions`: a call has an argument `position` from 0 to this one, which says where in a state it stores its new rows and
    how many rows of it count; the last one is behind all rows of a state (0: there is no such argument).
    """

    schema_: str = Field(default=SCHEMA, alias="schema")
    name: str
    rounds: tuple[Annotated[int, Field(gt=0)], ...] = (1,)
    entries: tuple[Entry, ...] = ()
    positions: int = Field(default=0, ge=0)
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    arguments: tuple[Argument, ...]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def node(self, name: str) -> Node:
        """The node called `name` (KeyError if there is none)."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def scalars(self) -> tuple[str, ...]:
        """The arguments of a call that are numbers, 64 bits each, behind the pointers."""
        return ("entry",) * bool(self.entries) + ("position",) * bool(self.positions)

    def call(self, entry: int, position: int) -> tuple[int, ...]:
        """The numbers of a call, in the order of `scalars`."""
        return tuple({"entry": entry, "position": position}[name] for name in self.scalars)

    @property
    def segments(self) -> range:
        return range(len(self.rounds))

    @property
    def plays(self) -> Iterator[tuple[int, int]]:
        """(segment, round) of every play of all entries, in order."""
        return self.plays_of(None)

    def plays_of(self, entry: int | None) -> Iterator[tuple[int, int]]:
        """(segment, round) of every play of a call, in order; None: of all entries, one behind the other."""
        chosen = self.entries[entry] if self.entries and entry is not None else None
        segments = range(chosen.first, chosen.end) if chosen else self.segments
        return ((segment, round) for segment in segments for round in range(self.rounds[segment]))

    def inputs_of(self, node: str) -> dict[str, Link]:
        """Links into `node`, by port name."""
        return {port: link for link in self.links for owner, port in [link.dst.split(".")] if owner == node}

    def outputs_of(self, node: str) -> dict[str, Link]:
        """Links out of `node`, by port name."""
        return {port: link for link in self.links for owner, port in [link.src.split(".")] if owner == node}

    def to_json(self) -> str:
        """Canonical JSON text."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"

    @staticmethod
    def from_json(text: str) -> Program:
        """Parse and validate; pydantic's ValidationError on a malformed file."""
        return Program.model_validate_json(text)
