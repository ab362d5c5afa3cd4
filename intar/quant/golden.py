"""The golden model: runs a quantised graph in NumPy integers, as `docs/numerics.md` says, bit by bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from intar.errors import ConfigError, Finding, GraphError
from intar.ir.ops import POSITION
from intar.ir.quantgraph import (
    DirectSpec,
    Piece,
    QAffine,
    QArgmax,
    QBinary,
    QConv,
    QEmbedding,
    QMatmul,
    QMove,
    QNorm,
    QPeak,
    QPool,
    QProduct,
    QSoftmax,
    QTail,
    QTask,
    QTensor,
    QuantGraph,
    Quantised,
    QUnit,
    TableSpec,
    Tap,
)
from intar.ir.reference import AT_ONCE
from intar.ir.shapes import show
from intar.ir.taps import batches, largest, read_taps, weigh
from intar.quant.direct import evaluate
from intar.quant.fixed import clamp, limits, peak, requantise, softmax, unit
from intar.quant.norms import NormFactors, normalise

EXACT = {25: np.float32, 54: np.float64}
"""Every two's complement integer of so many bits is a number of the type: sums whose partial sums are such are exact."""
GRID_ELEMENTS = 1 << 21
"""Reads of taps that are held at a time."""


@dataclass(frozen=True)
class GoldenResult:
    """Every activation of one inference.

    Parameters
    ----------
    tensors : int64 arrays of the declared shapes, by tensor name: inputs, intermediates and outputs.
    saturations : for each tensor that a task makes, how many of its clamps changed a value (the lower bound of a
        fused ReLU does not count).
    """

    tensors: dict[str, np.ndarray] = field(repr=False)
    saturations: dict[str, int]


def quantise_input(tensor: QTensor, array: np.ndarray) -> np.ndarray:
    """The integers (int64) of real values: nearest, ties to even, saturated.

    The division is a float32 one, as in ONNX QuantizeLinear, so that ties fall as they do there.
    """
    lo, hi = limits(tensor.bits)
    ratio = np.asarray(array, np.float32) / np.float32(tensor.scale)
    return np.clip(np.rint(ratio).astype(np.float64) + tensor.zero, lo, hi).astype(np.int64)


def integer_samples(
    quantised: Quantised, data: Mapping[str, np.ndarray] | None, count: int = 64
) -> dict[str, np.ndarray]:
    """Real samples as the network's input integers, (samples, *shape) by input; empty without data."""
    graph, given = quantised.graph, data or {}
    return {
        name: np.stack([quantise_input(graph.tensor(name), sample) for sample in given[name][:count]])
        for name in graph.given
        if name in given
    }


def dequantise(tensor: QTensor, ints: np.ndarray) -> np.ndarray:
    """The real values (float64) of a tensor's integers."""
    return tensor.scale * (np.asarray(ints).astype(np.float64) - tensor.zero)


def run_golden(quantised: Quantised, inputs: Mapping[str, np.ndarray]) -> GoldenResult:
    """Run one inference.

    Parameters
    ----------
    quantised : the graph and its constants.
    inputs : integers for each input of the graph, of its shape (or any shape with as many elements in the same
        order), within its type.

    Raises
    ------
    GraphError
        An input is missing, unknown, no integer array, of another size, or out of its type's range (all of them).
    """
    tensors, saturations = {}, {}
    for name, (array,), count in golden_tensors(quantised, [inputs]):
        tensors[name] = array
        if name not in quantised.graph.given:
            saturations[name] = count
    return GoldenResult(
        {tensor.name: tensors[tensor.name] for tensor in quantised.graph.tensors}, saturations
    )


def golden_outputs(
    quantised: Quantised, inputs: Sequence[Mapping[str, np.ndarray]]
) -> list[dict[str, np.ndarray]]:
    """Golden's network outputs for each inference, in the network's order."""
    results: list[dict[str, np.ndarray]] = [{} for _ in inputs]
    for first in range(0, len(inputs), AT_ONCE):
        for name, arrays, _ in golden_tensors(quantised, inputs[first : first + AT_ONCE]):
            if name in quantised.graph.outputs:
                for result, array in zip(results[first:], arrays, strict=False):
                    result[name] = array
    return [{name: result[name] for name in quantised.graph.outputs} for result in results]


def golden_tensors(
    quantised: Quantised, batch: Sequence[Mapping[str, np.ndarray]]
) -> Iterator[tuple[str, list[np.ndarray], int]]:
    """Run several inferences side by side, and give each tensor as soon as it is made.

    Yields
    ------
    name of a tensor; its integers (int64, of its shape) in each inference; how many clamps of all inferences changed one of
    them. A tensor that all its readers have read is kept no longer. Inputs and errors are those of :func:`run_golden`.
    """
    graph, constants = quantised.graph, quantised.constants
    known = {tensor.name: tensor for tensor in graph.tensors}
    bound = [_bind(graph, one) for one in batch]
    unread = Counter(name for task in graph.tasks for name in set(task.operands))
    values = {name: [one[name].reshape(-1, known[name].cols) for one in bound] for name in graph.given}
    positions = [int(one[POSITION].item()) for one in bound] if graph.positions else [0] * len(batch)
    for name in graph.given:
        yield name, [array.reshape(known[name].shape) for array in values[name]], 0
    for task in graph.tasks:
        operands = [values[name] for name in task.operands]
        if isinstance(
            task, QMatmul
        ):  # the rows of all inferences take their turn with one copy of the weights
            rows, count = _perform(task, [np.concatenate(arrays) for arrays in operands], constants)
            results = np.split(rows, len(batch))
        else:
            done = [
                _perform(task, list(arrays), constants, position)
                for *arrays, position in zip(*operands, positions, strict=True)
            ]
            results, count = [result for result, _ in done], sum(count for _, count in done)
        tensor = known[task.output]
        yield task.output, [result.reshape(tensor.shape) for result in results], count
        values[task.output] = [result.reshape(-1, tensor.cols) for result in results]
        unread.subtract(set(task.operands))
        for name in {*task.operands, task.output}:
            if not unread[name]:
                del values[name]


def _perform(
    task: QTask, operands: list[np.ndarray], constants: Mapping[str, np.ndarray], position: int = 0
) -> tuple[np.ndarray, int]:
    """What a task makes of its operands (rows, columns) in a call at `position`, and the saturations."""
    if isinstance(task, QMove):
        return move(operands, task.pieces, task.visits), 0
    if isinstance(task, QEmbedding):
        table = constants[task.weight]
        return table[np.clip(operands[0].reshape(-1), 0, len(table) - 1)].astype(np.int64), 0
    if isinstance(task, QArgmax):
        return operands[0].argmax(axis=-1), 0
    if isinstance(task, (QConv, QPool)):
        return on_grid(task, operands, constants)
    if isinstance(task, QMatmul):
        v = _matmul(task, operands[0], constants)
    elif isinstance(task, QAffine):
        v = _affine(task, operands[0], constants)
    elif isinstance(task, QProduct):
        v = _product(task, *operands)
    elif isinstance(task, QSoftmax):
        counts = counted(task, operands[0], position)
        v = softmax(operands[0], task.mult, task.shift, task.numerator, task.out_shift, counts)
    elif isinstance(task, QNorm):
        v = _norm(task, operands[0], constants)
    elif isinstance(task, QUnit):
        v = unit(operands[0], task.numerator, task.out_shift)
    elif isinstance(task, QPeak):
        v = peak(operands[0])
    else:
        v = _binary(task, *operands)
    result, count = clamp(v + task.zero, task.lo, task.hi, task.relu)
    if isinstance(task, QMatmul) and task.tail is not None:
        result, more = _tail(task.tail, result, operands[1], constants[task.bias])
        count += more
    if task.table is not None:
        result, more = lookup(task.table, result, constants, task.table.group_of(result.shape[1]))
        count += more
    return result, count


def _tail(tail: QTail, x: np.ndarray, y: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, int]:
    """The operation of a tail on results and another operand, and the saturations of its clamp."""
    v = _binary(tail, x, y)
    return clamp(v + bias + tail.zero if tail.late else v + tail.zero, tail.lo, tail.hi, tail.relu)


CURVE_SHIFT = 8
"""Fraction bits that a table's curves have beyond its slopes."""


def id_rows(quantised: Quantised) -> dict[str, int]:
    """For each input that holds ids how many there are: the rows of the smallest table that they choose from."""
    found: dict[str, int] = {}
    for task in quantised.graph.tasks:
        if isinstance(task, QEmbedding):
            rows = len(quantised.constants[task.weight])
            found[task.inputs[0]] = min(rows, found.get(task.inputs[0], rows))
    return found


def check_ids(quantised: Quantised, inputs: Mapping[str, np.ndarray]) -> None:
    """Ids are rows of their tables (the circuit takes the first or last row), a position is inside of the states or right
    behind them (the circuit takes that one): ConfigError with all that are not."""
    found = []
    last = quantised.graph.positions
    if last and POSITION in inputs and not 0 <= (at := int(np.asarray(inputs[POSITION]).item())) <= last:
        why = f"the states hold {last} tokens: a position is 0 … {last}"
        found.append(Finding(f"the position {at} is out of range", f"input '{POSITION}'", why))
    for name, rows in id_rows(quantised).items():
        ids = np.asarray(inputs.get(name, 0))
        wrong = ids[(ids < 0) | (ids >= rows)]
        if wrong.size:
            found.append(
                Finding(
                    f"{wrong.size} of {ids.size} ids are out of range, the first one is {int(wrong[0])}",
                    f"input '{name}'",
                    f"the table has {rows} rows: ids are 0 … {rows - 1}",
                    "take the tokenizer that belongs to the model",
                )
            )
    if found:
        raise ConfigError(found)


def lookup(
    table: TableSpec | DirectSpec,
    t: np.ndarray,
    constants: Mapping[str, np.ndarray],
    group: np.ndarray | int = 0,
) -> tuple[np.ndarray, int]:
    """``T(t)`` of every element, each in its group, and the number of saturations of the function's own clamp."""
    if isinstance(table, DirectSpec):
        words = np.moveaxis(constants[table.coefficients][group], -1, 0)
        form = (table.zero, table.lift, table.fraction, table.out_zero, table.lo, table.hi)
        return evaluate(t, words, *form)
    low_bits = table.in_bits - table.log_entries
    index = t + (1 << (table.in_bits - 1))
    segment = (index >> low_bits) + (group << table.log_entries)
    v = constants[table.base][segment]
    if table.slope:
        fraction, slope = index & ((1 << low_bits) - 1), constants[table.slope][segment]
        if table.curve:
            slope = slope + (constants[table.curve][segment] * fraction >> CURVE_SHIFT)
        v = v + slope * fraction
    if table.q:
        v = (v + (1 << (table.q - 1))) >> table.q
    return clamp(v, table.lo, table.hi)


def on_grid(
    task: QConv | QPool, operands: Sequence[np.ndarray], constants: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, int]:
    """A convolution or maximum on flat images: (channels, height * pitch) with filler 0, and the saturations."""
    x = operands[0]
    image = x.reshape(len(x), task.in_height, task.in_pitch)[:, :, : task.in_width]
    groups = [(group.channels, [_fields(tap) for tap in group.taps]) for group in task.groups]
    channels = sum(group.channels for group in task.groups)
    filters = task.channel_filters if isinstance(task, QConv) else np.arange(channels)
    values = np.zeros((channels, task.height, task.width), np.int64)  # before the clamp
    for batch in batches(groups):
        part = slice(batch.first, batch.first + batch.channels)
        step = max(1, GRID_ELEMENTS // (len(batch.taps) * task.width))
        for row in range(0, task.height, step):
            size = (min(step, task.height - row), task.width)
            moved = [
                (c, dy + row * task.stride[0], dx, rows, columns) for c, dy, dx, rows, columns in batch.taps
            ]
            reads = read_taps(image, moved, size, task.pad, task.stride).reshape(len(moved), -1)
            if isinstance(task, QConv):
                taps = len(moved) if batch.index is None else batch.index.shape[1]
                own = filters[part]
                weight = constants[task.weight][own, :taps]
                acc = (
                    _sums(weight, reads, task.acc_bits)
                    if batch.index is None
                    else weigh(weight, reads, batch.index)
                )
                bias, mult, shift = (constants[n][own, None] for n in (task.bias, task.mult, task.shift))
                v = requantise(acc + bias, mult, shift) + task.zero
            else:
                v = largest(reads, batch.index, batch.channels)
            values[part, row : row + size[0]] = v.reshape(-1, *size)
    if isinstance(task, QConv) and task.reduce > 1:
        values = values.reshape(-1, task.reduce, task.height, task.width).max(axis=1)
    result, count = clamp(values, task.lo, task.hi, task.relu)
    if isinstance(task, QConv) and task.tail is not None:
        other = operands[1].reshape(len(result), task.height, task.pitch)[:, :, : task.width]
        result, more = _tail(task.tail, result, other, constants[task.bias])
        count += more
    if task.table is not None:
        group = task.table.group_of(len(result))[:, None, None]
        result, more = lookup(task.table, result, constants, group)
        count += more
    out = np.zeros((len(result), task.height, task.pitch), np.int64)
    out[:, :, : task.width] = result
    return out.reshape(len(out), -1), count


def _fields(tap: Tap) -> tuple[int, ...]:
    return tap.channel, tap.dy, tap.dx, tap.short_rows, tap.short_columns


def _sums(a: np.ndarray, b: np.ndarray, bits: int) -> np.ndarray:
    """``a @ b`` of integers whose sums over any subset of the products have at most `bits` bits.

    In real numbers, which is much faster than in integers, and exact in any order of summation.
    """
    real = next(kind for limit, kind in EXACT.items() if bits <= limit)
    return (a.astype(real) @ b.astype(real)).astype(np.int64)


def move(operands: list[np.ndarray], pieces: tuple[Piece, ...], visits: int) -> np.ndarray:
    """The output's elements, flat: `visits` rounds of the pieces, each with its offset moved on by its step."""
    rounds = []
    for piece in pieces:
        index = np.array([piece.offset], np.int64)
        for count, stride in zip(piece.counts, piece.strides, strict=True):
            index = (index[:, None] + np.arange(count, dtype=np.int64) * stride).reshape(-1)
        steps = np.arange(visits, dtype=np.int64) * piece.step
        rounds.append(operands[piece.input].reshape(-1)[steps[:, None] + index])
    return np.concatenate(rounds, axis=1).reshape(-1)


def _matmul(task: QMatmul, x: np.ndarray, constants: Mapping[str, np.ndarray]) -> np.ndarray:
    acc = _sums(x, constants[task.weight], task.acc_bits)
    bias = 0 if task.tail is not None and task.tail.late else constants[task.bias]
    return requantise(acc + bias, constants[task.mult], constants[task.shift])


def _product(task: QProduct, x: np.ndarray, *rows: np.ndarray) -> np.ndarray:
    left, *parts = (array.reshape(task.batch, -1, array.shape[-1]) for array in (x, *rows))
    right = np.concatenate(parts[::-1], axis=1)  # a state stands before what is new
    if task.transposed:
        right = right.swapaxes(1, 2)
    acc = _sums(left, right, task.acc_bits)
    return requantise(acc.reshape(len(x), -1), task.mult, task.shift)


def counted(task: QSoftmax, x: np.ndarray, position: int) -> np.ndarray:
    """Which elements of the rows of a softmax count in a call at `position`."""
    rows, columns = x.shape
    inner = np.arange(rows) % (rows // task.batch)
    at = np.arange(columns)
    empty = (at >= position) & (at < task.cached)
    return (at < ((task.visible or columns) + inner * task.causal)[:, None]) & ~empty


def _norm(task: QNorm, x: np.ndarray, constants: Mapping[str, np.ndarray]) -> np.ndarray:
    gain, offset = constants[task.gain], constants[task.offset]
    return normalise(
        x << task.lift, task.centred, NormFactors(task.epsilon, task.shift, task.out_shift, gain, offset)
    )


def _affine(task: QAffine, x: np.ndarray, constants: Mapping[str, np.ndarray]) -> np.ndarray:
    return requantise(x + constants[task.bias], constants[task.mult], constants[task.shift])


def _binary(task: QBinary | QTail, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = x - task.zx, y - task.zy
    if task.op == "mul":
        return requantise(x * y, task.mx, task.shift)
    return (x * task.mx + y * task.my + (1 << (task.shift - 1))) >> task.shift


def _bind(graph: QuantGraph, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found, bound = [], {}
    for name in graph.given:
        tensor, place = graph.tensor(name), f"input '{name}'"
        if name not in inputs:
            found.append(Finding("no integers were given", place))
            continue
        array = np.asarray(inputs[name])
        number = name not in graph.inputs
        lo, hi = (0, graph.positions) if number else limits(tensor.bits)
        if array.dtype.kind not in "iu":
            found.append(
                Finding(f"the values are {array.dtype}, not integers", place, hint="use quantise_input")
            )
        elif array.size != tensor.rows * tensor.cols:
            found.append(
                Finding(f"the array has shape {show(array.shape)}, expected {show(tensor.shape)}", place)
            )
        elif int(array.min()) < lo or int(array.max()) > hi:
            what = "the position is none of" if number else "values leave the type's range"
            found.append(Finding(f"{what} {lo} … {hi}", place))
        bound[name] = array.astype(np.int64)
    found += [Finding(f"the graph has no input '{name}'", graph.name) for name in inputs if name not in bound]
    if found:
        raise GraphError(found)
    return bound
