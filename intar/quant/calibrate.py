"""Calibration: which values each tensor takes on real data, and the range that is kept of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intar.errors import CalibrationError, Finding
from intar.grid.valid import valid_elements
from intar.ir.ops import HIDDEN, Op
from intar.ir.reference import AT_ONCE, float_tensors
from intar.ir.shapes import show
from intar.ir.taskgraph import TaskGraph
from intar.quant.scheme import Scheme

REACH = 19.0
"""So far below a row's largest score an element is nothing to the circuit's softmax (`docs/numerics.md`: from 26·ln 2)."""

BINS = 2048
MSE_STEPS = 64

WAY_OUT = (
    "give real samples (--calibration; in Python example_inputs): an .npz with an array for each input, or a folder of .npy "
    "or .npz files"
)


@dataclass(frozen=True)
class Observed:
    """The values of one tensor: extremes, and counts in :data:`BINS` equal bins between them (or None)."""

    low: float
    high: float
    counts: np.ndarray | None = None


def samples(
    graph: TaskGraph, calibration: Mapping[str, np.ndarray], called: str = "calibration data"
) -> list[dict[str, np.ndarray]]:
    """One dict of inputs (float64, by graph name) for each sample; `called`: what they are in messages.

    The leading axis of each array enumerates the samples; each is of its input's shape (leading axes of size one of
    that shape may be left out). An array of exactly the input's shape is one sample.

    Raises
    ------
    CalibrationError
        An input is missing or unknown, a shape or the number of samples does not fit, or a value is not finite.
    """
    found, arrays, used = [], {}, set()
    for name in graph.inputs:
        tensor = graph.tensor(name)
        key = name if name in calibration else tensor.source
        place = f"{called} for '{tensor.source or name}'"
        if key not in calibration:
            found.append(Finding("the input has no array", place, hint=WAY_OUT))
            continue
        used.add(key)
        array = _batch(np.asarray(calibration[key]), tensor.shape)
        if array is None:
            got = show(np.asarray(calibration[key]).shape)
            found.append(
                Finding(
                    f"its shape is {got}, expected samples of {show(tensor.shape)} along a first axis", place
                )
            )
        elif array.dtype.kind not in "fiub":
            found.append(Finding(f"its values are {array.dtype}, not numbers", place))
        elif not np.isfinite(array.astype(np.float64)).all():
            found.append(Finding("it holds values that are not finite", place, hint="remove those samples"))
        elif not len(array):
            found.append(Finding("it holds no sample", place, hint=WAY_OUT))
        elif wrong := _no_ids(graph, name, array):
            found.append(
                Finding(
                    wrong,
                    place,
                    hint="ids are the rows of the table that they choose from, positions the tokens before",
                )
            )
        else:
            arrays[name] = array.astype(np.float64)
    for key in calibration:
        if key not in used:
            known = ", ".join(f"'{graph.tensor(name).source or name}'" for name in graph.inputs)
            found.append(Finding(f"the model has no input '{key}'", called, hint=f"inputs: {known}"))
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        text = ", ".join(f"'{name}' {count}" for name, count in counts.items())
        found.append(Finding(f"the inputs have different numbers of samples: {text}", called))
    if found:
        raise CalibrationError(found)
    return [{name: array[i] for name, array in arrays.items()} for i in range(next(iter(counts.values()), 0))]


def in_batches(
    graph: TaskGraph, calibration: Mapping[str, np.ndarray] | None, size: int
) -> dict[str, np.ndarray] | None:
    """Samples of `graph` as those of the network that takes `size` of them a call (`intar.ir.batch`); the first ones again
    where the last call is not full.

    Raises
    ------
    CalibrationError
        As `samples`.
    """
    if calibration is None or size == 1:
        return None if calibration is None else dict(calibration)
    each = samples(graph, calibration)
    order = np.arange(-(-len(each) // size) * size) % max(1, len(each))
    calls = order.reshape(-1, size)
    return {
        name: np.stack([np.concatenate([each[n][name] for n in call]) for call in calls])
        for name in graph.inputs
    }


def _no_ids(graph: TaskGraph, name: str, array: np.ndarray) -> str:
    """What is wrong with samples of an input that holds ids, or the position; nothing for other inputs."""
    placed = [
        task for task in graph.consumers(name) if task.op is Op.CACHED_SOFTMAX and task.inputs[1] == name
    ]
    last = min((int(task.attrs["cached"]) for task in placed), default=0)  # type: ignore[arg-type]
    if placed and not (np.all(array == np.rint(array)) and array.min() >= 0 and array.max() <= last):
        return f"its values are not all positions 0 … {last}"
    tables = [task.inputs[1] for task in graph.consumers(name) if task.op is Op.EMBEDDING]
    rows = min((graph.tensor(table).shape[0] for table in tables), default=0)
    if not tables or (np.all(array == np.rint(array)) and array.min() >= 0 and array.max() < rows):
        return ""
    return f"its values are not all ids 0 … {rows - 1}"


def _batch(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array as (samples, *shape); None when it does not fit."""
    if array.shape == shape:
        return array[None]
    bare = shape
    while True:
        if array.ndim == len(bare) + 1 and array.shape[1:] == bare:
            return array.reshape(len(array), *shape)
        if not bare or bare[0] != 1:
            return None
        bare = bare[1:]


def observe(graph: TaskGraph, calibration: Mapping[str, np.ndarray], histograms: bool) -> dict[str, Observed]:
    """Run the float reference over every sample and note what each activation does.

    Two passes when `histograms` are wanted, so that memory does not grow with the number of samples.
    Raises CalibrationError (see :func:`samples`).
    """
    batch = samples(graph, calibration)
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    for name, array in _activations(graph, batch):
        low[name] = min(low.get(name, np.inf), float(array.min()))
        high[name] = max(high.get(name, -np.inf), float(array.max()))
    found = [
        Finding(
            "the float model overflows on the calibration data",
            f"tensor '{graph.tensor(name).source or name}'",
            hint="check the samples' scale, or the model",
        )
        for name in low
        if not (np.isfinite(low[name]) and np.isfinite(high[name]))
    ]
    if found:
        raise CalibrationError(found)
    if not histograms:
        return {name: Observed(low[name], high[name]) for name in low}
    counts = {name: np.zeros(BINS, np.int64) for name in low}
    for name, array in _activations(graph, batch):
        if high[name] > low[name]:
            counts[name] += np.histogram(array, BINS, (low[name], high[name]))[0]
    return {name: Observed(low[name], high[name], counts[name]) for name in low}


def counted(graph: TaskGraph, name: str, array: np.ndarray, beside: np.ndarray | None = None) -> np.ndarray:
    """The values of a tensor that can make a difference: all, but of scores under a mask that only a softmax reads those far
    below their row's largest as `REACH` below it.

    With `beside`, an array of the same shape, its values under the bounds of `array`'s.
    """
    readers = graph.consumers(name)
    only = bool(readers) and name not in graph.outputs and all(task.op is Op.SOFTMAX for task in readers)
    values = array if beside is None else beside
    if not only or array.min(initial=0.0) > HIDDEN:
        return values
    return np.maximum(values, array.max(axis=-1, keepdims=True) - REACH)


def _activations(graph: TaskGraph, batch: list[dict[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
    """What every activation takes on in every sample, by name."""
    masks = valid_elements(graph)
    for first in range(0, len(batch), AT_ONCE):
        for name, arrays in float_tensors(graph, batch[first : first + AT_ONCE]):
            for array in arrays:
                yield name, array[masks[name]] if name in masks else counted(graph, name, array)


def value_range(observed: Observed, scheme: Scheme, bits: int) -> tuple[float, float]:
    """The real interval, with 0 inside, that a tensor's integers shall cover."""
    low, high = min(observed.low, 0.0), max(observed.high, 0.0)
    if scheme.method == "minmax" or observed.counts is None or observed.high <= observed.low:
        return low, high
    edges = np.linspace(observed.low, observed.high, BINS + 1)
    if scheme.method == "percentile":
        tail = (100 - scheme.percentile) / 200 * observed.counts.sum()
        total = np.cumsum(observed.counts)
        first = int(np.searchsorted(total, tail, side="right"))
        last = int(np.searchsorted(total, total[-1] - tail, side="left"))
        return min(float(edges[first]), 0.0), max(float(edges[last + 1]), 0.0)
    return _least_error(edges, observed.counts, low, high, bits)


def _least_error(
    edges: np.ndarray, counts: np.ndarray, low: float, high: float, bits: int
) -> tuple[float, float]:
    """The fraction of the range with the least squared error: rounding inside, clipping outside."""
    middle = (edges[:-1] + edges[1:]) / 2
    best, kept = np.inf, (low, high)
    for step in range(MSE_STEPS, MSE_STEPS // 8, -1):
        part = step / MSE_STEPS
        a, b = low * part, high * part
        clipped = middle - np.clip(middle, a, b)
        error = float((counts * clipped**2).sum() + counts.sum() * ((b - a) / (2**bits - 1)) ** 2 / 12)
        if error < best:
            best, kept = error, (a, b)
    return kept


def merge(first: Observed, second: Observed) -> Observed:
    """What two tensors that share a format take on together."""
    low, high = min(first.low, second.low), max(first.high, second.high)
    if first.counts is None or second.counts is None:
        return Observed(low, high)
    counts = np.zeros(BINS, np.int64)
    for part in (first, second):
        if (
            part.counts is None or not part.counts.any()
        ):  # a constant tensor: its one value decides nothing but the extremes
            continue
        edges = np.linspace(part.low, part.high, BINS + 1)
        where = ((edges[:-1] + edges[1:]) / 2 - low) / (high - low or 1.0) * BINS
        np.add.at(counts, np.clip(where.astype(np.int64), 0, BINS - 1), part.counts)
    return Observed(low, high, counts)


def load_calibration(path: str | Path, graph: TaskGraph) -> dict[str, np.ndarray]:
    """Read calibration arrays: an ``.npz``, an ``.npy`` (models with one input), or a folder of either.

    In a folder the files are taken in the order of their names and their samples are put one after the other; an
    ``.npy`` is for the input that its name says, or for the only input.

    Raises
    ------
    CalibrationError
        The path does not exist, holds nothing, or a file can't be read or does not fit.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".npy", ".npz"))
    elif path.is_file():
        files = [path]
    else:
        raise CalibrationError(Finding("the calibration data does not exist", str(path), hint=WAY_OUT))
    if not files:
        raise CalibrationError(Finding("the folder holds no .npy or .npz file", str(path), hint=WAY_OUT))
    by_key = {key: name for name in graph.inputs for key in (graph.tensor(name).source, name) if key}
    parts: dict[str, list[np.ndarray]] = {}
    found = []
    for file in files:
        for key, array in _read(file, graph, by_key).items():
            name = by_key.get(key)
            batch = None if name is None else _batch(array, graph.tensor(name).shape)
            if name is None:
                found.append(
                    Finding(f"the model has no input '{key}'", file.name, hint=f"inputs: {', '.join(by_key)}")
                )
            elif batch is None:
                expected = show(graph.tensor(name).shape)
                found.append(
                    Finding(
                        f"'{key}' has shape {show(array.shape)}, expected samples of {expected}", file.name
                    )
                )
            else:
                parts.setdefault(name, []).append(batch)
    if found:
        raise CalibrationError(found)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def load_array(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file, or of an ``.npz`` file with one. Raises CalibrationError."""
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            (name,) = content.files
            return content[name]
    except FileNotFoundError:
        raise CalibrationError(
            Finding("there is no such file", str(path), hint="name one of numpy.save")
        ) from None
    except Exception:  # NumPy raises many types for a damaged file
        what, hint = "the file can't be read as one array", "store it with numpy.save"
        raise CalibrationError(Finding(what, str(path), hint=hint)) from None


def _read(file: Path, graph: TaskGraph, by_key: Mapping[str, str]) -> dict[str, np.ndarray]:
    try:
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray):
            only = len(graph.inputs) == 1 and file.stem not in by_key
            return {graph.inputs[0] if only else file.stem: content}
        with content:
            if len(graph.inputs) == 1 and content.files == ["arr_0"]:  # savez of an array without a name
                return {graph.inputs[0]: content["arr_0"]}
            return {key: content[key] for key in content.files}
    except Exception:  # NumPy raises many types for a damaged file, with advice that does not fit here
        raise CalibrationError(
            Finding(
                "the file can't be read",
                str(file),
                "it is no .npy or .npz file, is damaged, or holds Python objects",
                "store arrays of numbers with numpy.save or savez",
            )
        ) from None
