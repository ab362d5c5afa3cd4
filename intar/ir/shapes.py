"""Shapes and attributes of tasks, and the mistake that shape rules report."""

from __future__ import annotations

from collections.abc import Mapping

Shape = tuple[int, ...]
AttrValue = int | float | str | tuple[int, ...]
Attrs = Mapping[str, AttrValue]


class ShapeMismatch(ValueError):
    """The operands or attributes of a task do not fit together; the message is a sentence for the user."""


def show(shape: Shape) -> str:
    """A shape as the user reads it: ``1×256``; ``scalar`` for rank 0."""
    return "×".join(str(n) for n in shape) if shape else "scalar"
