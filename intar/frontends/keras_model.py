"""Keras 3 models, which are PyTorch modules where Keras runs on PyTorch."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from intar.errors import Finding, GraphError, UnsupportedError

SUFFIXES = (".keras", ".h5")


def is_keras(model: Any) -> bool:
    """Whether an object is a Keras model that knows its inputs, on whatever backend."""
    return bool(getattr(model, "inputs", None)) and any(
        kind.__module__.split(".")[0] == "keras" and kind.__name__ == "Model" for kind in type(model).__mro__
    )


def load_keras(path: Path) -> Any:
    """The model that ``model.save`` wrote.

    Raises
    ------
    GraphError
        Keras can't read the file.
    UnsupportedError
        Keras is not installed, or runs on another backend in this process.
    """
    keras = _keras()
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever zip files, HDF5 and the layers' own code raise
        reason = next(
            (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
        )
        hint = "save it with model.save; layers of your own need docs/torch.md's FILE.py:FUNCTION"
        raise GraphError(Finding("Keras can't read it", str(path), reason, hint)) from None


def as_module(model: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """A PyTorch module that takes the model's inputs by name, and an example of them.

    Several outputs are called as the model calls them. Raises UnsupportedError (another backend), GraphError (a size that
    is not known).
    """
    _keras()
    import torch

    names = [tensor.name for tensor in model.inputs]
    outputs = list(
        getattr(model, "output_names", [])
    )  # a Sequential has one input and one output, without structure
    structure = getattr(model, "input", None)

    class Named(torch.nn.Module):
        """The model with its inputs by name."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, **inputs: Any) -> Any:
            """Its result; a dictionary where there are several."""
            given: Any = [inputs[name] for name in names]
            if isinstance(structure, dict):
                given = {key: inputs[tensor.name] for key, tensor in structure.items()}
            elif not isinstance(structure, (list, tuple)):
                (given,) = given
            made = self.model(given, training=False)
            if isinstance(made, (list, tuple)) and len(made) > 1:
                return dict(zip(outputs, made, strict=True))
            return made[0] if isinstance(made, (list, tuple)) else made

    examples = {}
    for tensor in model.inputs:
        sizes = tuple(tensor.shape)[1:]
        if any(size is None for size in sizes):
            shown = ", ".join("?" if size is None else str(size) for size in sizes)
            why, hint = (
                "the circuit is made for one size",
                "build the model with keras.Input of a fixed shape",
            )
            raise GraphError(Finding(f"its shape is ({shown})", f"input '{tensor.name}'", why, hint))
        examples[tensor.name] = np.zeros((1, *sizes), np.int64 if _holds_ids(tensor) else np.float32)
    return Named().eval(), examples


def _holds_ids(tensor: Any) -> bool:
    """Whether an input is of integers, or chooses rows of a table: Keras gives every input single precision that says
    nothing else, and takes whole numbers of it."""
    readers = [node.operation for node in tensor._keras_history.operation._outbound_nodes]
    looked_up = any(type(layer).__name__ == "Embedding" for layer in readers)
    return str(tensor.dtype).startswith(("int", "uint")) or looked_up


def _keras() -> Any:
    if missing := [name for name in ("keras", "torch", "onnx") if find_spec(name) is None]:
        what = f"reading Keras models needs the package{'s' * (len(missing) > 1)} {' and '.join(missing)}"
        raise UnsupportedError(Finding(what, hint="pip install 'intar[keras]'"))
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
    import keras

    if keras.backend.backend() != "torch":
        hint = "set KERAS_BACKEND=torch before keras is imported, or save the model and compile its file"
        raise UnsupportedError(Finding(f"Keras runs on {keras.backend.backend()} here", hint=hint))
    return keras
