"""ONNX nodes as plain values, and the errors that their translation raises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

SCORES = "intar.scores"
"""An attribute of a choice that softmaxes read and nothing else."""


class Rejected(Exception):
    """A node that can't be translated; the importer turns it into a finding and goes on.

    `code` is ``unsupported`` (intar lacks it) or ``graph`` (the model is wrong).
    """

    def __init__(self, what: str, why: str = "", hint: str = "", *, code: str = "unsupported"):
        super().__init__(what)
        self.what, self.why, self.hint, self.code = what, why, hint, code


@dataclass
class Node:
    """One node: its operator, the names it reads and writes, and its attributes as Python values.

    `origin` is the operator in the model of a node that a pattern put in its place; `line` is where in the model's
    program it was written, for models that are programs.
    """

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)
    domain: str = ""
    proto: onnx.NodeProto | None = None
    origin: str = ""
    line: str = ""

    @property
    def label(self) -> str:
        """How messages call the node."""
        op = self.origin or self.op
        line = f" ({self.line})" if self.line else ""
        return (
            f"{op} node '{self.name}'{line}"
            if self.name
            else f"{op} node that makes '{self.outputs[0]}'{line}"
        )

    def became(self, op: str, inputs: list[str], attrs: Mapping[str, Any]) -> Node:
        """The node that a pattern puts in this one's place: it makes the same outputs."""
        origin = self.origin or self.op
        return Node(op, self.name, inputs, self.outputs, dict(attrs), origin=origin, line=self.line)

    def at(self, last: Node) -> Node:
        """The node in the place of the last of those that it stands for: it makes what that one makes."""
        return replace(self, name=last.name, outputs=last.outputs, line=last.line)

    @property
    def source(self) -> str:
        """The same, short, for listings and generated comments."""
        op = self.origin or self.op
        return f"{op} '{self.name}'" if self.name else f"{op} → '{self.outputs[0]}'"

    def input(self, position: int) -> str:
        """Name of an input; empty when it is left out."""
        return self.inputs[position] if position < len(self.inputs) else ""


def from_proto(proto: onnx.NodeProto) -> Node:
    """The node of a protobuf message. Tensors in attributes become arrays, bytes become text."""
    attrs: dict[str, Any] = {}
    for attribute in proto.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif isinstance(value, onnx.TensorProto):
            value = numpy_helper.to_array(value)
        attrs[attribute.name] = value
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    return Node(proto.op_type, proto.name, list(proto.input), list(proto.output), attrs, domain, proto)


def in_order(nodes: Sequence[Node], known: Iterable[str]) -> tuple[list[Node], list[Node]]:
    """The nodes sorted so that each follows what it reads, and those that can't be (a cycle, or missing tensors)."""
    ready = set(known) | {""}
    done: list[Node] = []
    waiting = list(nodes)
    while waiting:
        later = []
        for node in waiting:
            if ready.issuperset(node.inputs):
                done.append(node)
                ready.update(node.outputs)
            else:
                later.append(node)
        if len(later) == len(waiting):
            break
        waiting = later
    return done, waiting


def live(nodes: Sequence[Node], outputs: Iterable[str]) -> list[Node]:
    """The nodes that some output needs, in the same order."""
    needed = set(outputs)
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def scalar(values: Mapping[str, np.ndarray], name: str) -> float | None:
    """The number that a constant of one element holds; None for anything else."""
    value = values.get(name)
    return (
        float(value.reshape(-1)[0])
        if value is not None and value.size == 1 and value.dtype.kind in "fiu"
        else None
    )
