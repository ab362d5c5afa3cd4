"""A network's outputs on many samples: the integers beside the real numbers, and beside what is right."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from intar.errors import CalibrationError, Finding
from intar.ir.quantgraph import Quantised
from intar.ir.reference import AT_ONCE, float_tensors
from intar.ir.shapes import show
from intar.ir.taskgraph import TaskGraph
from intar.quant.golden import dequantise, golden_outputs, quantise_input

Outputs = Sequence[Mapping[str, np.ndarray]]
"""For each sample the network's outputs by name, real values."""


@dataclass(frozen=True)
class Compared:
    """One output over all samples.

    `sqnr_db`: signal to quantisation noise, decibel (None without noise); `alike`: samples in which float and integers have
    their largest element in the same place (of indices: the same one; None of single real numbers); `right`, `right_float`:
    samples in which that place is the label's, None without labels.
    """

    output: str
    samples: int
    sqnr_db: float | None
    cosine: float
    max_error: float
    alike: int | None
    right: int | None = None
    right_float: int | None = None


def float_outputs(graph: TaskGraph, batch: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """The outputs of the float reference for each sample, in the network's order."""
    found: list[dict[str, np.ndarray]] = [{} for _ in batch]
    for first in range(0, len(batch), AT_ONCE):
        for name, arrays in float_tensors(graph, batch[first : first + AT_ONCE]):
            if name in graph.outputs:
                for one, array in zip(found[first:], arrays, strict=False):
                    one[name] = array
    return [{name: one[name] for name in graph.outputs} for one in found]


def real_outputs(
    graph: TaskGraph, made: Quantised, batch: Sequence[Mapping[str, np.ndarray]]
) -> list[dict[str, np.ndarray]]:
    """Golden's outputs for each sample as real values, in the shapes of the float graph."""
    tensors = {tensor.name: tensor for tensor in made.graph.tensors}
    inputs = [{name: quantise_input(tensors[name], array) for name, array in one.items()} for one in batch]
    return [
        {
            name: dequantise(tensors[name], array).reshape(graph.tensor(name).shape)
            for name, array in one.items()
        }
        for one in golden_outputs(made, inputs)
    ]


def stacked(outputs: Outputs) -> dict[str, np.ndarray]:
    """Outputs of all samples along a first axis; a first axis of one, which a network has for it, is that axis."""
    return {
        name: np.concatenate(arrays) if arrays[0].shape[:1] == (1,) else np.stack(arrays)
        for name in outputs[0]
        for arrays in [[one[name] for one in outputs]]
    }


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of an ``.npz`` file."""
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def compare(
    real: Mapping[str, np.ndarray], golden: Mapping[str, np.ndarray], labels: np.ndarray | None = None
) -> list[Compared]:
    """Each output's `Compared`, of stacked outputs; labels are for the first one.

    Raises
    ------
    CalibrationError
        There are not as many labels as samples, they are not whole numbers, or the output chooses nothing.
    """
    found: list[Compared] = []
    for name, ours in golden.items():
        x, y = (array.reshape(len(array), -1).astype(np.float64) for array in (real[name], ours))
        noise, signal = float(((x - y) ** 2).sum()), float((x**2).sum())
        norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
        cosines = np.where(
            norms > 0, (x * y).sum(axis=1) / np.where(norms > 0, norms, 1), (x == y).all(axis=1)
        )
        chooses = x.shape[1] > 1 or bool((x == np.round(x)).all())
        theirs, chosen = (a.argmax(axis=1) if a.shape[1] > 1 else a[:, 0] for a in (x, y))
        right = right_float = None
        if labels is not None and not found:
            known = _labels(labels, len(x))
            if not chooses:
                what = f"the output '{name}' is one real number, which chooses nothing"
                raise CalibrationError(
                    Finding(what, "labels", hint="judge by --out's numbers, or leave them away")
                )
            right, right_float = int((chosen == known).sum()), int((theirs == known).sum())
        found.append(
            Compared(
                name,
                len(x),
                float(10 * np.log10(signal / noise)) if noise and signal else None,
                float(cosines.mean()),
                float(np.abs(x - y).max(initial=0.0)),
                int((theirs == chosen).sum()) if chooses else None,
                right,
                right_float,
            )
        )
    return found


def _labels(labels: np.ndarray, count: int) -> np.ndarray:
    """A whole number for each sample; of rows of one-hot labels the place of the largest element."""
    flat = labels.reshape(len(labels), -1) if labels.ndim else labels.reshape(1, 1)
    chosen = flat.argmax(axis=1) if flat.shape[1] > 1 else flat[:, 0]
    if len(chosen) != count or (chosen.dtype.kind not in "iub" and not (chosen == np.round(chosen)).all()):
        what = f"labels of shape {show(labels.shape)}, and there are {count} samples"
        hint = "give a whole number for each sample, or a row with its largest element there"
        raise CalibrationError(Finding(what, "labels", hint=hint))
    return chosen
