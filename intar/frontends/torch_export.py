"""From a PyTorch module, an exported program, its file or a function that makes one, to a program of few operators."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from intar.assets import import_file
from intar.errors import ConfigError, Finding, GraphError, UnsupportedError, UserError
from intar.frontends.torch_failures import export_finding, file_finding, silent

KEPT = {
    *("linear", "matmul", "addmm", "embedding", "scaled_dot_product_attention", "softmax"),
    *("layer_norm", "rms_norm", "batch_norm", "instance_norm"),
    *("elu", "selu", "celu", "glu", "mish", "softplus", "log_softmax", "log_sigmoid_forward"),
    *("std", "expm1", "exp2", "log1p", "log2", "log10", "logsumexp"),
    *("maximum", "minimum", "amax", "amin", "flip", "roll"),
    *("gelu", "silu", "hardswish", "hardsigmoid", "prelu", "leaky_relu", "relu6", "hardtanh"),
    *("conv1d", "conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"),
    *("adaptive_max_pool2d", "upsample_bilinear2d", "conv_transpose1d"),
    *("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "pixel_shuffle", "pixel_unshuffle"),
    *("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d"),
    *("upsample_linear1d", "upsample_bicubic2d", "upsample_trilinear3d", "pad", "col2im"),
    *("conv3d", "max_pool3d", "avg_pool3d", "logaddexp", "one_hot", "bilinear"),
    *("lstm", "gru", "rnn_tanh", "rnn_relu"),
    *("fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine"),
}
"""Operators that have a counterpart of their own and stay whole; all others may be decomposed to core ATen."""


def program_of(model: Any, samples: Any = None) -> ExportedProgram:
    """The exported program of a module or of a program, its operators decomposed but for those in KEPT.

    Parameters
    ----------
    model : a module in evaluation mode, or an ExportedProgram.
    samples : for a module, one array or tensor (or a tuple, or a mapping by argument name of them) whose first axis
        counts samples; the program is made for the first one, with a first axis of 1.

    Raises
    ------
    GraphError
        The module can't be exported; the message quotes PyTorch's reason.
    """
    program = model if isinstance(model, ExportedProgram) else export(model, samples)
    _static(program)
    table = torch.export.default_decompositions()
    for overload in list(table):
        name = str(overload).split(".")[1] if str(overload).startswith("aten.") else ""
        if name in KEPT:
            table.pop(overload)
    with silent(), torch.no_grad():
        return program.run_decompositions(table)


def export(module: torch.nn.Module, samples: Any) -> ExportedProgram:
    """``torch.export.export`` on the first sample. Raises GraphError."""
    name = type(module).__name__
    if samples is None:
        raise GraphError(
            Finding(
                "a module needs example inputs: they give the shapes",
                name,
                hint="pass them: intar.compile(module, samples)",
            )
        )
    arguments, keywords = _first(samples)
    try:
        with silent(), torch.no_grad(), masks_as_given():
            return torch.export.export(module, arguments, keywords, strict=False)
    except Exception as error:  # torch.export raises whatever the module's own code and its tracer raise
        raise GraphError(export_finding(module, arguments, keywords, error)) from None


@contextlib.contextmanager
def masks_as_given() -> Iterator[None]:
    """PyTorch's transformers take a mask for what it is: they would look at its values to see whether it is the causal one,
    which is a hint for faster kernels, and an export has no values."""
    module: Any = torch.nn.modules.transformer
    before = getattr(module, "_detect_is_causal_mask", None)
    if before is None:
        yield
        return
    module._detect_is_causal_mask = lambda mask, is_causal=None, size=None: is_causal is True
    try:
        yield
    finally:
        module._detect_is_causal_mask = before


def load_program(path: Path) -> ExportedProgram:
    """The program that ``torch.export.save`` wrote. Raises GraphError."""
    try:
        with silent():
            return torch.export.load(path)
    except Exception as error:  # a damaged archive raises whatever its parts raise
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise GraphError(
            Finding(
                "the file is not a program that torch.export.save wrote",
                str(path),
                reason,
                "save it with torch.export.save(torch.export.export(module, inputs), path)",
            )
        ) from None


def call_factory(path: Path, function: str) -> tuple[Any, Any]:
    """What ``function()`` in a Python file returns: (module, example inputs), or a program and None.

    Raises GraphError when there is no such function or it returns something else. The file's code is run.
    """
    where = f"{path}:{function}"
    if not path.is_file():
        raise GraphError(Finding("there is no such Python file", where))
    made = _theirs(where, "the file can't be run", lambda: getattr(import_file(path), function, None))
    if not callable(made):
        raise GraphError(Finding(f"the file has no function '{function}'", where))
    try:
        inspect.signature(made).bind()
    except TypeError as error:
        hint = f"write one without arguments beside it that calls {function}"
        raise GraphError(
            Finding("the function can't be called without arguments", where, str(error), hint)
        ) from None
    result = _theirs(where, "the function raises an exception", made)
    if isinstance(result, ExportedProgram):
        return result, None
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], torch.nn.Module):
        return result
    raise GraphError(
        Finding(
            f"the function returns {_described(result)}",
            where,
            "a model is (module, example inputs), or an ExportedProgram",
            "end it with `return module.eval(), samples`, the first axis of samples counting them",
        )
    )


def _theirs(where: str, what: str, run: Callable[[], Any]) -> Any:
    """What code in a user's file gives; what it prints goes to the standard error. Raises GraphError."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return run()
    except UserError:
        raise
    except Exception as error:  # whatever the file's own code raises
        raise GraphError(file_finding(where, what, error)) from None


def _described(result: Any) -> str:
    """What a function has returned, for a message."""
    if isinstance(result, tuple):
        return f"a tuple of {', '.join(type(one).__name__ for one in result)}"
    return "nothing" if result is None else f"one {type(result).__name__}"


def _first(samples: Any) -> tuple[tuple[torch.Tensor, ...], dict[str, torch.Tensor]]:
    """The first sample with its first axis kept, as positional and keyword arguments. Raises ConfigError."""
    if isinstance(samples, Mapping):
        return (), {str(key): _first_of(value) for key, value in samples.items()}
    if isinstance(samples, tuple):
        return tuple(_first_of(value) for value in samples), {}
    return (_first_of(samples),), {}


def _first_of(value: Any) -> torch.Tensor:
    """The first sample of one input."""
    what = f"{type(value).__name__} is no array of numbers with an axis for samples"
    hint = "give an array or tensor, of shape (n, …); for several inputs a tuple of them"
    array: Any = value
    if isinstance(value, torch.Tensor):
        good = value.ndim > 0 and value.layout is torch.strided
    else:
        try:
            array = np.asarray(value)
            good = array.ndim > 0 and array.dtype.kind in "fiub"
        except ValueError:  # arrays of several shapes
            good = False
    if not good:
        raise ConfigError(Finding(what, "example inputs", hint=hint))
    tensor = torch.as_tensor(array[:1])
    return tensor.float() if tensor.dtype == torch.float64 else tensor


def _static(program: ExportedProgram) -> None:
    """Refuse programs with dynamic axes, and those that change their own buffers."""
    found: list[Finding] = []
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op != "placeholder" or not isinstance(value, torch.Tensor):
            continue
        axes = [f"axis {a} ('{n}')" for a, n in enumerate(value.shape) if not isinstance(n, int)]
        if axes:
            found.append(
                Finding(
                    f"{', '.join(axes)} is dynamic",
                    f"input '{node.name}'",
                    "the circuit is made for one size",
                    "export it without dynamic_shapes, for the size that the circuit is to have",
                )
            )
    if found:
        raise GraphError(found)
    changed = program.graph_signature.buffers_to_mutate
    if changed:
        raise UnsupportedError(
            Finding(
                "it is written to",
                f"buffer '{name}'",
                "a circuit keeps no state between inferences",
                "make the state an input and an output, or call .eval()",
            )
            for name in sorted(changed.values())
        )
