"""What a user is told where PyTorch, or the user's own file, raises: in which line of theirs, why, and the way out."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from intar.errors import Finding
from intar.frontends.torch_places import LIBRARY
from intar.ir.shapes import show

OWN = str(Path(__file__).parents[1])


class _Others:
    """A stream without what this thread writes: a progress bar has a thread of its own, and moves on."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._thread else self._stream.write(text)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """PyTorch neither warns, logs nor prints (it prints whole graphs where an export fails)."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(_Others(sys.stdout)),  # type: ignore[type-var]
            contextlib.redirect_stderr(_Others(sys.stderr)),  # type: ignore[type-var]
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def export_finding(
    module: torch.nn.Module,
    arguments: Sequence[torch.Tensor],
    keywords: Mapping[str, torch.Tensor],
    error: Exception,
) -> Finding:
    """Why a module has no program for these inputs: it is being trained, fails on them, or decides by values."""
    name = type(module).__name__
    norms = [path for path, part in module.named_modules() if part.training and _is_norm(part)]
    if norms:
        what = f"'{norms[0]}' is in training mode: it would take its statistics from the samples"
        return Finding(what, name, reason(error), "call module.eval() first")
    try:
        with silent(), torch.no_grad():
            module(*arguments, **keywords)
    except Exception as failed:  # whatever the module's own code raises
        given = [*arguments, *keywords.values()]
        shapes = " and ".join(show(tensor.shape) for tensor in given)
        return Finding(
            f"it can't be run on one sample, which is {shapes}",
            name,
            reason(failed),
            "module(*inputs) has to work with the first sample of each input, cut out as samples[:1]",
        )
    return Finding(
        "PyTorch can't export it as one program",
        name,
        reason(error),
        "torch.export.export(module, example_inputs, strict=False) has to succeed; control flow that depends on "
        "values is to be removed",
    )


def file_finding(where: str, what: str, error: BaseException) -> Finding:
    """An exception that code in a user's file raised."""
    return Finding(what, where, reason(error), "mend it there: the file is run as it is")


def reason(error: BaseException) -> str:
    """The exception's kind, the first line of what it says, and the user's line that it comes from."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = ": ".join(filter(None, (type(error).__name__, said)))
    if isinstance(error, SyntaxError):
        return f"{text} ({error.text.strip()})" if error.text else text
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((LIBRARY, OWN, "<"))
    ]
    if not frames:
        return text
    last = frames[-1]
    return f"{text} ({Path(last.filename).name}:{last.lineno}: {(last.line or '').strip()})"


def _is_norm(module: torch.nn.Module) -> bool:
    """Batch and instance normalisation (a private class is what they have in common)."""
    return isinstance(module, torch.nn.modules.batchnorm._NormBase)
