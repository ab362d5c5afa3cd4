"""One door for all front ends: choose by file suffix or type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from intar.errors import ConfigError, Finding, GraphError, UnsupportedError, quoted
from intar.frontends.builder import Builder
from intar.frontends.keras_model import SUFFIXES as KERAS
from intar.frontends.keras_model import as_module, is_keras, load_keras
from intar.ir.io import load_graph, read_bytes
from intar.ir.taskgraph import SCHEMA, TaskGraph

Values = Mapping[str, float | np.ndarray] | None
"""Inputs that are to be constants."""

PICKLED = (".pt", ".pth", ".ckpt", ".safetensors", ".bin")
"""Files in which people have their weights."""

SUFFIXES = (".onnx", ".pt2", ".keras", ".h5", ".yaml", ".yml", ".json")


def load_model(
    model: Any,
    shapes: Mapping[str, int | Sequence[int]] | None = None,
    samples: Any = None,
    function: str = "",
    values: Values = None,
) -> TaskGraph:
    """The task graph of a model.

    Parameters
    ----------
    model : path of an ``.onnx`` file, of a program that ``torch.export.save`` wrote (``.pt2``), of a Keras model
        (``.keras``, ``.h5``), of a hand-written ``.yaml`` network, or of a stored task graph (``.json`` or ``.yaml``);
        ``file.py:function``, a function that makes a PyTorch module with its example inputs, or a program; an ONNX model
        object; a PyTorch module or exported program; a Keras model; a
        :class:`~intar.frontends.builder.Builder`; a task graph.
    shapes : sizes of an ONNX model's dynamic axes by symbol, or whole shapes by input name.
    samples : example inputs of a PyTorch module (:func:`intar.frontends.torch_export.program_of`).
    function : what made the module: the network's name where the module's class is one of PyTorch's own, whose name
        says nothing.
    values : numbers or arrays of inputs of an ONNX model that are to be constants, by name.

    Raises
    ------
    GraphError, UnsupportedError
        See the front ends. ONNX needs the package ``intar[onnx]``, PyTorch ``intar[torch]``, Keras ``intar[keras]``.
    """
    if isinstance(model, (str, Path)):
        return _from_file(Path(model), shapes, values)
    kinds = {f"{kind.__module__.split('.')[0]}.{kind.__name__}" for kind in type(model).__mro__}
    if "onnx.ModelProto" in kinds or type(model).__name__ == "ModelProto":
        return _onnx(model, shapes, values)
    _refuse_sizes(f"a {type(model).__name__}", shapes, values)
    if isinstance(model, TaskGraph):
        return model
    if isinstance(model, Builder):
        return model.build()
    if is_keras(model):
        return _keras(model, samples)
    if any(kind.startswith("torch.") for kind in kinds):
        own = type(model).__module__.startswith("torch.")
        return _torch(model, samples, function if own else "")
    name = f"{type(model).__module__}.{type(model).__qualname__}"
    raise GraphError(
        Finding(
            f"a {name} is no model",
            hint="pass a path, an ONNX model, a PyTorch module, a Builder or a TaskGraph",
        )
    )


def _from_file(path: Path, shapes: Mapping[str, int | Sequence[int]] | None, values: Values) -> TaskGraph:
    if _is_factory(str(path)):
        _refuse_sizes(str(path), shapes, values)
        module, examples = make_model(str(path))
        return load_model(module, samples=examples, function=function_name(str(path)))
    suffix = path.suffix.lower()
    if path.is_dir():
        hint = f"name the model's file in it, ending in {', '.join(SUFFIXES)}"
        raise GraphError(Finding("this is a folder, not a model", str(path), hint=hint))
    if suffix not in SUFFIXES:
        hint = f"give a file ending in {', '.join(SUFFIXES)}"
        if suffix == ".py":
            hint = f"name the function that makes the module: {path}:FUNCTION (docs/torch.md)"
        if suffix in PICKLED:
            hint = (
                "weights alone, or a pickle, are no program: write FILE.py with a function that loads them into the "
                "module and returns (module.eval(), samples), and name FILE.py:FUNCTION (docs/torch.md)"
            )
        raise GraphError(Finding(f"files ending in '{path.suffix}' are not understood", str(path), hint=hint))
    data = read_bytes(path)
    if suffix == ".onnx":
        return _onnx(path, shapes, values)
    _refuse_sizes(str(path), shapes, values)
    if suffix == ".pt2":
        return _program(path)
    if suffix in KERAS:
        return _keras(load_keras(path))
    if suffix == ".json" or f"schema: {SCHEMA}".encode() in data[:200]:
        return load_graph(path)
    from intar.frontends.yaml_graph import import_yaml

    return import_yaml(path)


def _refuse_sizes(model: str, shapes: Mapping[str, int | Sequence[int]] | None, values: Values) -> None:
    """ConfigError where sizes or constants are given for a model that is no ONNX model, and has its own."""
    given = {"shapes": tuple(shapes or ()), "values": tuple(values or ())}
    what, hint = (
        f"{model} has its own sizes and constants",
        "shapes and values are for ONNX models: change the model itself",
    )
    if found := [
        Finding(what, f"{kind} {quoted(names)}", hint=hint) for kind, names in given.items() if names
    ]:
        raise ConfigError(found)


def _onnx(model: Any, shapes: Mapping[str, int | Sequence[int]] | None, values: Values) -> TaskGraph:
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise UnsupportedError(
            Finding("reading ONNX models needs the package onnx", hint="pip install 'intar[onnx]'")
        ) from None
    from intar.frontends.onnx_graph import import_onnx

    return import_onnx(model, shapes, values)


def _torch(model: Any, samples: Any, name: str = "") -> TaskGraph:
    _need_torch()
    from intar.frontends.torch_graph import import_torch

    return import_torch(model, samples, name)


def _keras(model: Any, samples: Any = None) -> TaskGraph:
    module, examples = as_module(model)
    given = examples if samples is None else sample_arrays(samples, list(examples))
    typed = {
        name: array.astype(np.int64) if name in examples and examples[name].dtype.kind == "i" else array
        for name, array in given.items()
    }
    return _torch(module, typed, model.name)


def _program(path: Path) -> TaskGraph:
    _need_torch()
    from intar.frontends.torch_export import load_program

    return _torch(load_program(path), None, path.stem)


def _is_factory(model: str) -> bool:
    file, colon, _ = model.rpartition(":")
    return bool(colon) and file.endswith(".py")


def function_name(model: str) -> str:
    """The function of ``file.py:function``; nothing for any other model."""
    return model.rpartition(":")[2] if _is_factory(model) else ""


def make_model(model: str) -> tuple[Any, Any]:
    """Model and samples for `load_model`: of ``file.py:function`` what the function makes, else the path and None.

    The function returns a PyTorch module and its example inputs, or an exported program (GraphError when it does not).
    """
    if not _is_factory(model):
        return model, None
    _need_torch()
    from intar.frontends.torch_export import call_factory

    file, _, function = model.rpartition(":")
    return call_factory(Path(file), function)


def sample_arrays(samples: Any, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Samples as arrays by input: of an array or tensor, a tuple of them in the order of the inputs, or a mapping.

    Raises ConfigError when a tuple has the wrong length.
    """

    if isinstance(samples, Mapping):
        return {str(name): as_array(value) for name, value in samples.items()}
    listed = samples if isinstance(samples, tuple) else (samples,)
    if isinstance(samples, tuple) and len(listed) != len(names):
        hint = f"give one for each input: {', '.join(names)}"
        raise ConfigError(Finding(f"{len(listed)} arrays were given", "example inputs", hint=hint))
    return dict(zip(names, map(as_array, listed), strict=False))


def as_array(value: Any) -> np.ndarray:
    """An array, or a tensor of PyTorch, wherever it lies and whatever it is part of."""
    if not hasattr(value, "detach"):
        return np.asarray(value)
    tensor = value.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def _need_torch() -> None:
    """UnsupportedError without the packages of the extra ``torch``."""
    missing = [name for name in ("torch", "onnx") if find_spec(name) is None]
    if missing:
        what = f"reading PyTorch models needs the package{'s' * (len(missing) > 1)} {' and '.join(missing)}"
        raise UnsupportedError(Finding(what, hint="pip install 'intar[torch]'"))
