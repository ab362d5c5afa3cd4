"""Where an operator of an exported program comes from: the module's path and the line of the user's source."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch.fx import Node as FxNode

LIBRARY = str(Path(torch.__file__).parent)

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in .*\n(?P<code>[^\n]*)')


def operator(node: FxNode) -> str:
    """The operator's name without namespace and overload: ``linear`` of ``aten.linear.default``."""
    target = node.target
    name = target if isinstance(target, str) else getattr(target, "_opname", None) or str(target)
    plain = str(name).rsplit(".", 1)[-1].lstrip("_").removeprefix("native_")
    return "batch_norm" if "batch_norm" in plain else plain


def qualified(node: FxNode) -> str:
    """The operator as PyTorch calls it, without the default overload: ``aten.linear``, ``intar::group_rational``."""
    return str(node.target).removesuffix(".default")


def module_path(node: FxNode) -> tuple[str, str]:
    """Path and class of the module that the operator belongs to; both empty when the program does not say."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return "", ""
    path, kind = list(stack.values())[-1]
    name = kind if isinstance(kind, str) else kind.__qualname__
    return str(path), name.rsplit(".", 1)[-1]


def task_name(node: FxNode, part: str = "") -> str:
    """The module's path when the module is this operator (``fc1`` of a Linear), else path and operator; of an operator's
    `part`, path and part."""
    path, kind = module_path(node)
    if part:
        return f"{path}.{part}" if path else part
    op, plain = operator(node), operator(node).replace("_", "")
    if path and (plain.startswith(kind.lower()) or kind.lower().startswith(plain)):
        return path
    return f"{path}.{op}" if path else op


def source_line(node: FxNode) -> str:
    """File, line and text of the innermost frame that is not PyTorch's own; empty when there is none."""
    frames = _FRAME.finditer(node.meta.get("stack_trace") or "")
    own = [frame for frame in frames if not frame["file"].startswith(LIBRARY)]
    return f"{Path(own[-1]['file']).name}:{own[-1]['line']}: {own[-1]['code'].strip()}" if own else ""
