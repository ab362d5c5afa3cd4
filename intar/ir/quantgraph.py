"""The quantised task graph: integers, scales and exactly defined operations (`docs/numerics.md`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field

from intar.ir.bits import INDEX_BITS
from intar.ir.frozen import Frozen
from intar.ir.ops import POSITION

SCHEMA = "intar.quantgraph/3"

Method = Literal["table", "pieces", "direct"]
"""How a function is built: an entry for each input, straight or curved pieces, numerator and denominator evaluated."""


class QTensor(Frozen):
    """An activation tensor: real value = ``scale * (q - zero)``; `bits` wide signed integers.

    Rows = product of all axes but the last, columns = the last axis (a scalar or vector has one row).
    """

    name: str
    shape: tuple[int, ...]
    bits: int
    scale: float
    zero: int = 0
    unsigned: bool = Field(default=False, description="the model's own integers are q + 2**(bits-1)")

    @property
    def cols(self) -> int:
        """Elements of a row."""
        return self.shape[-1] if self.shape else 1

    @property
    def rows(self) -> int:
        """Rows: the product of all axes but the last."""
        return int(np.prod(self.shape[:-1], dtype=np.int64)) if len(self.shape) > 1 else 1


class FunctionSpec(Frozen):
    """A unary function of `in_bits`-bit inputs: what its forms have in common.

    With `groups` > 1 so many blocks of columns (of a convolution: of channels) have functions of their own, in each of the
    `repeats` equal parts of all columns (an image's phases). `lo`, `hi`: clamp of the result.
    """

    function: str
    in_bits: int
    groups: int = Field(default=1, gt=0)
    repeats: int = Field(default=1, gt=0)
    lo: int
    hi: int
    max_error: float = Field(
        description="largest error over all inputs, in units of the last place of the output"
    )

    def group_of(self, columns: int) -> np.ndarray:
        """The group of each of `columns` columns: blocks of ``ceil(size / groups)`` in each part, the last may be less."""
        size = columns // self.repeats
        return np.arange(columns) % size // -(-size // self.groups)


class TableSpec(FunctionSpec):
    """A function as a table for each group; `base`, `slope` and `curve` lie in the constants, with
    ``groups << log_entries`` elements, group after group."""

    log_entries: int
    q: int
    base: str
    slope: str = ""
    curve: str = ""

    @property
    def method(self) -> Method:
        """How it is built."""
        return "pieces" if self.slope else "table"

    @property
    def entries(self) -> int:
        """Entries of all groups."""
        return self.groups << self.log_entries

    @property
    def arrays(self) -> dict[str, str]:
        """Names of the constants by what they are."""
        named = {"base": self.base, "slope": self.slope, "curve": self.curve}
        return {role: name for role, name in named.items() if name}


class DirectSpec(FunctionSpec):
    """A rational function that is evaluated: `coefficients` in the constants, (groups, `intar.ir.rational.WORDS`).

    `zero`, `out_zero`: zero points of input and result; `lift`, `fraction`: see `docs/numerics.md`.
    """

    zero: int
    out_zero: int
    lift: int
    fraction: int
    coefficients: str

    @property
    def method(self) -> Method:
        """How it is built."""
        return "direct"

    @property
    def arrays(self) -> dict[str, str]:
        """Names of the constants by what they are."""
        return {"coefficients": self.coefficients}


class _QTask(Frozen):
    name: str
    inputs: tuple[str, ...]
    output: str
    lo: int
    hi: int
    zero: int = 0
    relu: bool = False
    table: TableSpec | DirectSpec | None = None
    source: str = ""
    fused: tuple[str, ...] = Field(default=(), description="names of the float tasks that this one performs")

    @property
    def operands(self) -> tuple[str, ...]:
        """All tensors that it reads: its inputs, and what ports bring for it alone."""
        return self.inputs


class QEmbedding(_QTask):
    """``weight[clamp(id, 0, rows - 1)]`` for each id of an input of the network.

    `weight` (rows, columns) names an array in the constants, in the format of the output.
    """

    kind: Literal["embedding"] = "embedding"
    weight: str


class QArgmax(_QTask):
    """The index of the first largest element of every row; its output is one of the network's."""

    kind: Literal["argmax"] = "argmax"


class QTail(Frozen):
    """A sum or product with another tensor, taken while the results of a matmul or convolution pass (fields as in QBinary).

    `late`: a matmul's bias is not added to its sums, but to the result of the operation, in steps of that.
    """

    op: Literal["add", "mul"]
    zx: int
    zy: int
    mx: int
    my: int = 0
    shift: int
    zero: int = 0
    lo: int
    hi: int
    relu: bool = False
    late: bool = False


class QMatmul(_QTask):
    """``r = clamp(rq(x @ weight + bias, mult, shift) + zero, lo, hi)``, then the tail, then the table.

    `weight` (K, N), `bias` (N,), `mult` (N,), `shift` (N,) name arrays in the constants: int64, the weight as `weight_type`
    says. With a `tail` the inputs are ``(x, y)``: the tail's operation joins ``r``, as its first operand, with ``y``, which
    has the shape of the output, or one column as in QBinary.
    """

    kind: Literal["matmul"] = "matmul"
    weight: str
    weight_bits: int
    bias: str
    mult: str
    shift: str
    acc_bits: int
    tail: QTail | None = None


class QProduct(_QTask):
    """``clamp(rq(x @ y, mult, shift) + zero, lo, hi)``, then the table; x and y are activations with zero point 0.

    `batch` products of the same size lie one below the other: x is (batch * M, K), y (batch * K, N), or (batch * N, K)
    when `transposed`; the output is (batch * M, N). With a `state`, an input of the network, y are the rows behind those of
    the state, item by item.
    """

    kind: Literal["product"] = "product"
    state: str = ""
    batch: int = Field(default=1, gt=0)
    transposed: bool = False
    mult: int
    shift: int
    acc_bits: int

    @property
    def operands(self) -> tuple[str, ...]:
        """The tensors that it reads, the state among them."""
        return (*self.inputs, self.state) if self.state else self.inputs


class QSoftmax(_QTask):
    """Softmax of every row, in integers (`docs/numerics.md`): `mult`, `shift` scale the distance to the row's maximum
    to powers of two, `numerator` and `out_shift` stand for one over the output's scale.

    The rows are `batch` items of equal size. In the first row of each only the first `visible` elements count (0: all), and
    with `causal` one more in each row that follows. With `cached`, columns from the call's position up to `cached` (not
    included) don't count either: rows of a state that no token has filled yet.
    """

    kind: Literal["softmax"] = "softmax"
    mult: int
    shift: int
    numerator: int
    out_shift: int
    batch: int = Field(default=1, gt=0)
    visible: int = Field(default=0, ge=0)
    causal: bool = False
    cached: int = Field(default=0, ge=0)


class QNorm(_QTask):
    """LayerNorm (`centred`) or RMSNorm of every row, in integers (`docs/numerics.md`).

    Inputs are taken times ``2**lift``; `gain` and `offset` name int64 arrays in the constants, one element a column;
    `epsilon`, `shift` and `out_shift` are E, s and q. The rows node looks functions up and evaluates none.
    """

    kind: Literal["norm"] = "norm"
    table: TableSpec | None = None
    centred: bool
    lift: int
    epsilon: int
    shift: int
    out_shift: int
    gain: str
    offset: str


class QUnit(_QTask):
    """Every row over its largest magnitude, in integers (`docs/numerics.md`); the input has zero point 0.

    `numerator` and `out_shift` stand for one over the output's scale, times ``2**-24``.
    """

    kind: Literal["unit"] = "unit"
    numerator: int
    out_shift: int


class QPeak(_QTask):
    """The largest magnitude of every row, at least 1: one column, in steps of the input, which has zero point 0."""

    kind: Literal["peak"] = "peak"


class QAffine(_QTask):
    """``clamp(rq(x + bias, mult, shift) + zero, lo, hi)`` per column, then the table. Arrays as in QMatmul."""

    kind: Literal["affine"] = "affine"
    bias: str
    mult: str
    shift: str


class QBinary(_QTask):
    """Elementwise add or mul of two tensors of the same shape, then the table (`docs/numerics.md`).

    The second operand of a ``mul`` may have one column: the factor of a whole row (peaks of rows, factors of channels).
    """

    kind: Literal["binary"] = "binary"
    op: Literal["add", "mul"]
    zx: int
    zy: int
    mx: int
    my: int = 0
    shift: int


class Piece(Frozen):
    """Elements of one input, in the order in which they go to the output: nested loops over the flat index.

    ``index = offset + sum_d i_d * strides[d]``, loops outermost first, at most five; `counts` multiply to the number
    of elements taken *per visit*. With several pieces the output takes ``visits`` rounds of (piece 0, piece 1, …), and
    every round adds `step` to a piece's offset.
    """

    input: int
    offset: int
    counts: tuple[int, ...]
    strides: tuple[int, ...]
    step: int = 0


class QMove(_QTask):
    """reshape, transpose, concat, slice: the output's elements in row-major order from pieces of the inputs.

    `host`: a reordering at the network's border that the host does: its input is an input of the network that nothing else
    reads (the circuit loads the move's output), or its output is an output of the network that nothing reads (the circuit
    stores the move's input).
    """

    kind: Literal["move"] = "move"
    pieces: tuple[Piece, ...]
    visits: int = 1
    host: bool = False


class Tap(Frozen):
    """One read of a convolution or pooling window: input channel `channel`, `dy` rows down and `dx` columns right.

    A channel that is a phase of a space-to-depth image may have one valid row or column less than the others
    (`short_rows`, `short_columns`): 7 rows in steps of 2 are 4 even and 3 odd ones.
    """

    channel: int
    dy: int
    dx: int
    short_rows: Literal[0, 1] = 0
    short_columns: Literal[0, 1] = 0


class TapGroup(Frozen):
    """`channels` consecutive output channels that read the same taps, in this order."""

    channels: int = Field(gt=0)
    taps: tuple[Tap, ...]


class _QGrid(_QTask):
    """A task on images that lie flat: ``x`` is (channels, in_height * in_pitch), the output (channels, height * pitch).

    Element (r, c) of a channel is at ``r * pitch + c``; columns from `in_width` (`width` in the output) up to the pitch are
    filler whose values mean nothing. Output position (r, c) of a channel reads ``x[tap.channel, r * stride[0] + tap.dy,
    c * stride[1] + tap.dx]`` for the taps of its group; a position outside the valid
    ``(in_height - tap.short_rows) × (in_width - tap.short_columns)`` gives `pad`. `groups` cover all output channels in
    order. Most strides, transposed convolutions and upsampling become space-to-depth channels before this form.
    """

    in_height: int = Field(gt=0)
    in_width: int = Field(gt=0)
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    in_pitch: int = Field(gt=0)
    pitch: int = Field(gt=0)
    pad: int = 0
    stride: tuple[int, int] = (1, 1)
    groups: tuple[TapGroup, ...]


class QConv(_QGrid):
    """``clamp(rq(sum_t weight[f, t] * read_t + bias[f], mult[f], shift[f]) + zero, lo, hi)``, then the tail, then the table.

    `weight` (filters, most taps of a group; zero beyond a group's own), `bias`, `mult`, `shift` (filters,) name arrays in
    the constants, as in QMatmul. The channels of group ``g`` have the filters from ``filters[g]`` on; groups that are phases
    of one convolution have the same ones. With `reduce` > 1 each channel of the output is the maximum of so many channels in
    a row, which have as many taps; there is no table then. `useful`: products of an output position, if groups read taps
    that not all of their channels have (`intar.quant.phases`); 0: all. With a `tail` the inputs are ``(x, y)`` as in
    QMatmul: y is another image than x, of the output's shape and pitch, and there are no maxima.
    """

    kind: Literal["conv"] = "conv"
    weight: str
    weight_bits: int
    bias: str
    mult: str
    shift: str
    acc_bits: int
    filters: tuple[int, ...]
    tail: QTail | None = None
    reduce: int = Field(default=1, gt=0)
    useful: int = Field(default=0, ge=0)

    @property
    def channel_filters(self) -> np.ndarray:
        """The filter of each channel, before maxima."""
        return np.concatenate(
            [
                np.arange(first, first + group.channels)
                for first, group in zip(self.filters, self.groups, strict=True)
            ]
        )

    @property
    def filter_taps(self) -> dict[int, int]:
        """How many taps each filter has."""
        groups = zip(self.filters, self.groups, strict=True)
        return {first + i: len(group.taps) for first, group in groups for i in range(group.channels)}

    @property
    def filter_sizes(self) -> tuple[tuple[int, int], ...]:
        """(how many filters, their taps), by taps."""
        return tuple((count, taps) for taps, count in sorted(Counter(self.filter_taps.values()).items()))


class QPool(_QGrid):
    """``clamp(max_t read_t, lo, hi)``; `pad` is the least integer of the input's type. The format does not change."""

    kind: Literal["pool"] = "pool"


QTask = Annotated[
    QMatmul
    | QProduct
    | QSoftmax
    | QNorm
    | QUnit
    | QPeak
    | QAffine
    | QBinary
    | QMove
    | QConv
    | QPool
    | QEmbedding
    | QArgmax,
    Field(discriminator="kind"),
]


class QuantGraph(Frozen):
    """Topologically ordered tasks on quantised tensors."""

    schema_: str = Field(default=SCHEMA, alias="schema")
    name: str
    tensors: tuple[QTensor, ...]
    tasks: tuple[QTask, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    digest: str = Field(default="", description="digest of the constants")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def tensor(self, name: str) -> QTensor:
        """The tensor called `name` (KeyError if there is none)."""
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(name)

    @property
    def positions(self) -> int:
        """The last position of a call: rows of a state that its softmaxes know of; 0: it has no position."""
        return max((task.cached for task in self.tasks if isinstance(task, QSoftmax)), default=0)

    @property
    def given(self) -> tuple[str, ...]:
        """What a call is given: the inputs, and the number `POSITION` where something depends on it."""
        return (*self.inputs, *((POSITION,) if self.positions else ()))


@dataclass(frozen=True)
class Quantised:
    """A QuantGraph with its constant arrays, by name: int64, but weights as `weight_type` says."""

    graph: QuantGraph
    constants: dict[str, np.ndarray] = field(repr=False)


@dataclass(frozen=True)
class Record:
    """Where a part finds, or leaves, a tensor in what lies in memory from part to part: `rows` rows from row `row` of `name`
    on, in each round `step` rows further."""

    name: str
    row: int
    rows: int
    step: int = 0


@dataclass(frozen=True)
class Part:
    """A piece of a network: the same graph in each round, but for its numbers (scales, factors, bounds) and its constants.

    `takes` are the inputs that come from the part or the round before, `gives` the outputs that go to the next one, in the
    same order. The first round of a first part takes the network's inputs; `leaves` are the network's own names of what the
    last part gives, and of those outputs that another part with `records` gives. `kept`: for each round the network's own
    names of states and their new rows (`intar.ir.states`), by the names in the graph. `records`: of a network whose rounds
    read or make rows of a whole (`intar.quant.records`) the places of all that the part takes and gives, by name.
    """

    rounds: tuple[Quantised, ...]
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    leaves: tuple[str, ...] = ()
    kept: tuple[Mapping[str, str], ...] = ()
    records: Mapping[str, Record] = field(default_factory=dict)

    @property
    def graph(self) -> QuantGraph:
        """The graph of the first round, which is that of all but for its numbers."""
        return self.rounds[0].graph

    @cached_property
    def same(self) -> bool:
        """All rounds have the same numbers and constants, too."""
        first = self.rounds[0]
        plain = _sourceless(first.graph)
        return all(
            _sourceless(one.graph) == plain
            and one.constants.keys() == first.constants.keys()
            and all(np.array_equal(array, first.constants[name]) for name, array in one.constants.items())
            for one in self.rounds[1:]
        )


def _sourceless(graph: QuantGraph) -> QuantGraph:
    """The graph without what its tasks come from."""
    tasks = tuple(task.model_copy(update={"source": "", "fused": ()}) for task in graph.tasks)
    return graph.model_copy(update={"tasks": tasks})


def weight_type(bits: int) -> type[np.int8] | type[np.int16]:
    """The type in which weights of so many bits are kept: all of a network's are in memory at once."""
    return np.int8 if bits <= 8 else np.int16


def weight_types(graph: QuantGraph) -> dict[str, type[np.int8] | type[np.int16]]:
    """The types of the weights, by the names of their constants."""
    return {
        task.weight: weight_type(task.weight_bits)
        for task in graph.tasks
        if isinstance(task, QMatmul | QConv)
    }


GRID = (QConv, QPool)
"""Tasks that read windows of images."""


PORT_WISE = (QEmbedding, QArgmax)
"""Tasks that ports do while they load an input or store an output: no stage has them."""


ROW_WISE = (QSoftmax, QNorm, QUnit, QPeak)
"""Tasks of the rows node: a row's results need the whole row."""


def state_bits(graph: QuantGraph, stored: int) -> int:
    """Bits of an element of a state in device memory: as `stored` on chip, or 8 or 16 where products read it there."""
    bits = {tensor.name: tensor.bits for tensor in graph.tensors}
    read = [bits[task.inputs[1]] for task in graph.tasks if isinstance(task, QProduct) and task.state]
    return (8 if max(read) <= 8 else 16) if read else stored


def operand_bits(graph: QuantGraph) -> tuple[int, int]:
    """Bits that the operands of all arrays fit in: those of a core's ports ``a`` and ``w`` (1 where there is no array).

    Less than `stored_bits` where the machine keeps them in the width of other tensors.
    """
    bits = {tensor.name: tensor.bits for tensor in graph.tensors}
    found = [(1, 1)]
    for task in graph.tasks:
        if isinstance(task, QMatmul):
            found.append((bits[task.inputs[0]], task.weight_bits))
        elif isinstance(task, QConv):
            found.append((task.weight_bits, bits[task.inputs[0]]))
        elif isinstance(task, QProduct):
            found.append((bits[task.inputs[0]], bits[task.inputs[1]]))
    a, w = zip(*found, strict=True)
    return max(a), max(w)


def weight_bits(graph: QuantGraph) -> int:
    """Bits in which a matmul's weights come through the ports: of products' second operands, which stand where weights do,
    these know nothing."""
    if any(isinstance(task, QConv) for task in graph.tasks):
        return stored_bits(graph)[1]
    weighted = [task.weight_bits for task in graph.tasks if isinstance(task, QMatmul)]
    return max(weighted, default=stored_bits(graph)[1])


def stored_bits(graph: QuantGraph) -> tuple[int, int]:
    """Bits in which the machine keeps activations and weights: the widest of the graph (activations: at least 8; 10: 16).

    With convolutions both are one: the weights of a convolution stand where a matmul has its activations. The second operand
    of a product of two activations stands where a matmul has its weights.
    """
    activations = max([8, *(tensor.bits for tensor in graph.tensors if tensor.bits < INDEX_BITS)])
    bits = {tensor.name: tensor.bits for tensor in graph.tensors}
    weighted = [task.weight_bits for task in graph.tasks if isinstance(task, QMatmul | QConv)]
    seconds = [bits[task.inputs[1]] for task in graph.tasks if isinstance(task, QProduct)]
    weights = max([*weighted, *seconds], default=activations)
    activations, weights = (next(b for b in (4, 8, 16) if b >= most) for most in (activations, weights))
    if any(isinstance(task, QConv) for task in graph.tasks):
        activations = weights = max(activations, weights)
    return activations, weights
