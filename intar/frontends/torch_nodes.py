"""Write the operators of an exported program down as nodes in ONNX's vocabulary, one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.fx import Node as FxNode

from intar.frontends.onnx_nodes import Node
from intar.frontends.torch_fold import to_array
from intar.frontends.torch_places import operator, source_line, task_name
from intar.ir.names import free_name
from intar.ir.shapes import Shape


class Writer:
    """The nodes so far, and what the handlers of operators need to add more.

    Attributes
    ----------
    nodes : in the program's order.
    values : arrays of constants by name.
    constants : values known before the circuit runs, by node of the program.
    names : name of the tensor that stands for a node of the program.
    placed : nodes of the program that the call's position and constants decide, in the program's order.
    current : the node of the program that is being written.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.values: dict[str, np.ndarray] = {}
        self.constants: dict[FxNode, Any] = {}
        self.names: dict[FxNode, str] = {}
        self.placed: list[FxNode] = []
        self.current: FxNode
        self._taken: set[str] = set()

    def fresh(self, name: str) -> str:
        """`name`, or the first of ``name.2``, ``name.3``, … that is not in use."""
        candidate = free_name(name, self._taken)
        self._taken.add(candidate)
        return candidate

    def name(self, operand: Any) -> str:
        """The name of an operand: a node of the program, a number, an array, or None (left out: empty)."""
        if operand is None:
            return ""
        if isinstance(operand, str):
            return operand
        if not isinstance(operand, FxNode):
            return self.constant(operand)
        if operand not in self.names and operand in self.placed:
            self.names[operand] = self.fresh(operand.name)
        if operand not in self.names:
            self.names[operand] = self.constant(self.constants[operand], operand.name)
        return self.names[operand]

    def constant(self, value: Any, name: str = "") -> str:
        """The name of a new constant; numbers and real arrays become float32 unless they are wider."""
        if isinstance(value, torch.Tensor):
            array = to_array(value)
        else:
            array = np.asarray(value, np.float32 if isinstance(value, (int, float)) else None)
        given = self.fresh(name or f"{self.current.name}:constant")
        self.values[given] = array
        return given

    def integers(self, numbers: Sequence[int]) -> str:
        """A constant vector of integers (a shape, axes, sizes)."""
        return self.constant(np.asarray(numbers, np.int64))

    def is_constant(self, operand: Any) -> bool:
        """Whether the operand's value is known before the circuit runs."""
        return not isinstance(operand, FxNode) or operand in self.constants

    def array(self, operand: Any) -> np.ndarray:
        """The value of a constant operand."""
        value = self.constants[operand] if isinstance(operand, FxNode) else operand
        return to_array(value) if isinstance(value, torch.Tensor) else np.asarray(value)

    def shape(self, operand: Any) -> Shape:
        """Shape of an operand; of a number, none."""
        if not isinstance(operand, FxNode):
            return np.shape(operand)
        if isinstance(value := self.constants.get(operand), torch.Tensor):
            return tuple(value.shape)
        return tuple(int(n) for n in operand.meta["val"].shape)

    def holds(self, operand: Any, dtype: torch.dtype) -> bool:
        """Whether an operand is a tensor of this type."""
        value = operand.meta.get("val") if isinstance(operand, FxNode) else operand
        return isinstance(value, torch.Tensor) and value.dtype == dtype

    def emit(
        self,
        op: str,
        inputs: Sequence[Any],
        attrs: Mapping[str, Any] | None = None,
        outputs: Sequence[str] = (),
        part: str = "",
    ) -> str:
        """Add a node with results of its own; returns the name of the first. `part`: what it is in an operator of several
        nodes, which it is named after instead of the operator."""
        made = list(outputs) or [self.fresh(f"{self.current.name}:{op}")]
        node = self.current
        self.nodes.append(
            Node(
                op,
                task_name(node, part),
                [self.name(each) for each in inputs],
                made,
                dict(attrs or {}),
                origin=operator(node),
                line=source_line(node),
            )
        )
        return made[0]

    def give(
        self, op: str, inputs: Sequence[Any], attrs: Mapping[str, Any] | None = None, part: str = ""
    ) -> None:
        """Add the node that makes the result of the current operator."""
        self.names[self.current] = self.emit(op, inputs, attrs, [self.fresh(self.current.name)], part)
