"""The state of a translation into a task graph, as the handlers of operators see it.

Both models of files (ONNX) and of programs (torch.export) become nodes in ONNX's vocabulary; what differs is where the
nodes and the constants come from, and that is what a subclass adds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from intar.errors import Finding, GraphError, InternalError, UnsupportedError, quoted
from intar.frontends.assemble import Assembly
from intar.frontends.onnx_moments import rewrite_moments
from intar.frontends.onnx_nodes import Node, Rejected, live
from intar.frontends.onnx_patterns import rewrite
from intar.frontends.onnx_quant import DOMAINS
from intar.frontends.positions import Masked, PositionMask, position_mask
from intar.frontends.refusals import refusal
from intar.frontends.simplify import simplify
from intar.ir.ops import POSITION, Op, broadcast_shape
from intar.ir.shapes import AttrValue, Shape, show
from intar.ir.taskgraph import QuantParams, TaskGraph

if TYPE_CHECKING:
    from intar.frontends.id_tables import IdTable, OfIds

INTEGER_OPERATORS = (
    *("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QGemm", "QLinearAdd", "QLinearMul"),
    *("QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearConcat", "QLinearSigmoid", "QLinearSoftmax"),
)
"""Operators of quantised models that have no scales between them for anybody else to read."""


ON_SHAPES = (
    *("Shape", "Size", "ConstantOfShape", "Range", "NonZero", "OneHot", "Tile", "Equal", "Not", "And", "Or"),
    *("Mod", "If"),
)
"""Operators that exporters mostly compute shapes with: of a tensor whose shape is not known they say nothing new."""


class Importer(ABC):
    """The state of one import.

    Attributes
    values : arrays known now, by the model's name.
    packed : quantised constants: integers and their format, by name of the dequantised tensor.
    grids : integer tensors made by QuantizeLinear: the real tensor (name in `graph`) and the format.
    integer_inputs : type (``int8``) of each input that arrives as integers.
    ids : type (``int64``) of each input that holds ids, which only choose rows of tables.
    of_ids : tensors, by the model's name, that ids decide.
    id_tables : the tables that these are looked up in.
    placed : tensors, by the model's name, that the input `POSITION` and constants decide.
    masked : scores under a mask of these, by the model's name of the sum or choice.
    alias : name in `graph` of each activation, by the model's name.
    graph : the task graph in the making.
    opset : version of ONNX's own operator set whose meaning the nodes have.
    """

    def __init__(self, name: str, values: dict[str, np.ndarray], opset: int) -> None:
        self.values = values
        self.packed: dict[str, tuple[np.ndarray, QuantParams]] = {}
        self.grids: dict[str, tuple[str, QuantParams | None]] = {}
        self.integer_inputs: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.of_ids: dict[str, OfIds] = {}
        self.id_tables: list[IdTable] = []
        self.placed: set[str] = set()
        self.masked: dict[str, Masked] = {}
        self._masks: dict[str, PositionMask] = {}
        self.alias: dict[str, str] = {}
        self.graph = Assembly(name)
        self.opset = opset
        self.wrong: list[Finding] = []
        self.lacking: list[Finding] = []
        self._unknown_ops: dict[str, list[str]] = {}
        self._registered: dict[str, str] = {}

    def fold(self, node: Node) -> bool:
        """Compute the node's outputs if they are known before the circuit runs; True when it was done."""
        return False

    def translate(self, nodes: Sequence[Node], outputs: list[str], where: str) -> TaskGraph:
        """The task graph of nodes in order; `where` is what messages call the model.

        Raises
        UnsupportedError, GraphError
            With everything that was found.
        """
        nodes = rewrite_moments(live(nodes, outputs), self.values, outputs)
        for node in rewrite(nodes, self.values, outputs):
            self._translate(node)
        self.report_unknown()
        self._settle_ids(outputs)
        self._check_ids(outputs)
        self._outputs(outputs)
        if self.lacking:
            raise UnsupportedError([*self.lacking, *self.wrong, *self.graph.findings])
        if self.wrong or self.graph.findings:
            raise GraphError([*self.wrong, *self.graph.findings])
        if len(self.graph.outputs) != len(outputs):
            raise InternalError(f"an output of {where} was lost without a finding")
        simplify(self.graph)
        self._name_outputs(outputs)
        return self.graph.finish()

    def _translate(self, node: Node) -> None:
        from intar.frontends.id_tables import follow_ids
        from intar.frontends.onnx_ops import HANDLERS

        if self.fold(node):
            return
        handler = HANDLERS.get(f"{node.domain}.{node.op}" if node.domain else node.op)
        known = all(self.known(name) for name in node.inputs if name)
        if not known and (handler is not None or (node.op in ON_SHAPES and not node.domain)):
            return  # what it reads was rejected already
        if handler is None:
            self.unknown(node)
            return
        try:
            if not follow_ids(self, node):
                handler(self, node)
        except Rejected as reason:
            self.reject(node, reason)

    def reject(self, node: Node, reason: Rejected) -> None:
        """Note why a node cannot be translated, with the findings that its code (``unsupported`` or not) belongs to."""
        found = self.lacking if reason.code == "unsupported" else self.wrong
        found.append(Finding(reason.what, node.label, reason.why, reason.hint))

    def unknown(self, node: Node) -> None:
        """Note a node whose operator has no handler."""
        if (reason := refusal(node.op)) is not None and not node.domain:
            self.reject(node, reason)
            return
        kind = f"{node.domain}.{node.op}" if node.domain else node.op
        self._unknown_ops.setdefault(kind, []).append(node.name or node.outputs[0])

    def report_unknown(self) -> None:
        """Turn those nodes into findings."""
        from intar.frontends.onnx_ops import HANDLERS

        found = []
        for kind, names in self._unknown_ops.items():
            plural = "s" if len(names) > 1 else ""
            what = f"the operator {kind} is not supported ({len(names)} node{plural})"
            if kind.split(".")[-1] in INTEGER_OPERATORS:
                hint = "export it with QuantizeLinear and DequantizeLinear (onnxruntime: quant_format=QuantFormat.QDQ)"
                self.lacking.append(
                    Finding(what, f"node{plural} {quoted(names)}", "it computes on integers itself", hint)
                )
                continue
            found.append((what, f"node{plural} {quoted(names)}"))
        ours = ("intar.", *DOMAINS[1:])  # spellings of our own, former names of QONNX's domain
        named = [name for name in HANDLERS if not name.startswith(ours) or name == "intar.GroupRational"]
        self.lack_operators(found, named)

    def lack_operators(self, found: Sequence[tuple[str, str]], supported: Iterable[str]) -> None:
        """Findings of (what, where) about operators without handler; the last one says which there are."""
        hint = f"supported are: {', '.join(sorted(supported))}; run other operators on the host"
        for what, where in found:
            self.lacking.append(Finding(what, where, hint=hint if (what, where) == found[-1] else ""))

    def _settle_ids(self, outputs: list[str]) -> None:
        """Make what ids decide tasks where it is an output, and then all of their tables."""
        from intar.frontends.id_tables import settle

        for name in outputs:
            if name in self.of_ids:
                try:
                    self.tensor(name)
                except Rejected as reason:
                    self.reject(self.of_ids[name].node, reason)
        self.lacking += settle(self)

    def _check_ids(self, outputs: list[str]) -> None:
        """Inputs of integers do nothing but choose rows of tables, or say where a call stands."""
        tasks = self.graph.needed(self.alias[name] for name in outputs if name in self.alias)
        for name, kind in self.ids.items():
            readers = [task for task in tasks if self.alias.get(name) in task.inputs]
            if not readers and self.placed and name == POSITION:
                continue  # what it decides was rejected already, or nothing needs it
            if not readers and (self.lacking or self.wrong) and kind != "bool":
                continue  # what reads it was rejected already
            if not readers or any(task.op not in (Op.EMBEDDING, Op.CACHED_SOFTMAX) for task in readers):
                self.lacking.append(
                    Finding(
                        f"it has type {kind}, and is not only looked up",
                        f"input '{name}'",
                        "inputs are real numbers, ids of an embedding, or 8 and 16 bit integers that are dequantised first",
                        "take an image as real numbers (divided by 255 before), a mask as numbers that are added to the "
                        "scores (0, or -10000 for what is hidden); "
                        f"cut the model after other operators that take it, or {self.made_constant(name)}",
                    )
                )

    def _outputs(self, outputs: list[str]) -> None:
        """Make each output a task's result: one that is an input, a constant or another output gets a copy."""
        for name in outputs:
            if name in self.values or name in self.packed:
                self.lacking.append(
                    Finding(
                        "it is constant",
                        f"output '{name}'",
                        "there is nothing to compute",
                        "remove the output",
                    )
                )
            elif name in self.placed or name in self.masked:
                what = f"what the input '{POSITION}' decides reaches it without a softmax"
                self.lacking.append(Finding(what, f"output '{name}'", hint="compute it on the host"))
            elif name in self.grids:
                tensor, quant = self.grids[name]
                if quant is not None:
                    self.graph.outputs.append(self.on_grid(tensor, quant, name))
                else:
                    self.lacking.append(
                        Finding("it is an integer input that goes straight out", f"output '{name}'")
                    )
            elif name in self.alias and self.alias[name] in self.graph.shapes:
                tensor = self.alias[name]
                if tensor in self.graph.inputs or tensor in self.graph.outputs:
                    shape = self.graph.shapes[tensor]
                    copy = self.graph.fresh(f"{name}:copy" if name == tensor else name)
                    tensor = self.graph.task(
                        Op.RESHAPE, [tensor], copy, {"shape": shape}, source=f"output '{name}'"
                    )
                self.graph.outputs.append(tensor)

    def _name_outputs(self, outputs: list[str]) -> None:
        for name, tensor in zip(outputs, list(self.graph.outputs), strict=True):
            if tensor != name and name not in self.graph.shapes and tensor in self.graph.makers:
                self.graph.rename(tensor, name)

    # What the handlers use

    def known(self, name: str) -> bool:
        """Whether the tensor has been translated."""
        tensor = self.grids[name][0] if name in self.grids else self.alias.get(name, "")
        given = (self.values, self.packed, self.placed, self.masked, self.of_ids)
        return any(name in each for each in given) or tensor in self.graph.shapes

    def mask(self, name: str) -> PositionMask | None:
        """The mask that a tensor is if the position decides it, else None. Raises Rejected where it is no such mask."""
        if name not in self.placed:
            return None
        if name not in self._masks:
            self._masks[name] = position_mask(partial(self.at_position, name))
        return self._masks[name]

    def at_position(self, name: str, position: int) -> np.ndarray:
        """The value of a `placed` tensor in a call at a position."""
        raise InternalError(f"'{name}' does not depend on a position")

    def put_mask(self, node: Node, scores: str, mask: PositionMask) -> None:
        """Put scores under a mask. Raises Rejected where they have another shape."""
        x = self.tensor(scores)
        shape = self.graph.shapes[x]
        if (
            len(mask.shape) > len(shape)
            or broadcast_shape(shape, mask.shape) != shape
            or mask.shape[-2:] != shape[-2:]
        ):
            raise Rejected(
                f"the mask {show(mask.shape)} that the input '{POSITION}' decides does not fit the scores {show(shape)}"
            )
        self.masked[node.outputs[0]] = Masked(x, mask)

    def id_input(self, name: str) -> str | None:
        """The input of ids (its name in `graph`) that a tensor is, maybe in another shape."""
        tensor = self.alias.get(name, "")
        while (maker := self.graph.makers.get(tensor)) is not None and maker.op is Op.RESHAPE:
            tensor = maker.inputs[0]
        return tensor if tensor in {self.alias.get(each) for each in self.ids} else None

    def is_constant(self, name: str) -> bool:
        """Whether its value is known before the circuit runs."""
        return name in self.values or name in self.packed

    def made_constant(self, name: str) -> str:
        """How a user makes an input a constant."""
        return "make it a constant"

    @abstractmethod
    def is_read(self, name: str) -> bool:
        """Whether something in the model, or the model itself, uses the tensor."""

    def value(self, name: str, role: str) -> np.ndarray:
        """The array of a constant that is no operand but a parameter (shape, axes, scale). Raises Rejected."""
        if name not in self.values:
            raise Rejected(
                f"its {role} ('{name}') is computed at run time",
                "the circuit is made for fixed shapes and parameters",
                "make it a constant in the model",
            )
        return self.values[name]

    def integers(self, node: Node, position: int, attr: str) -> list[int] | None:
        """A parameter that is an attribute in older operator sets and an input in newer ones; None if left out."""
        if attr in node.attrs:
            given = node.attrs[attr]
            return [int(n) for n in (given if isinstance(given, (list, tuple)) else [given])]
        name = node.input(position)
        return [int(n) for n in self.value(name, attr).reshape(-1)] if name else None

    def shape(self, name: str) -> Shape:
        """Shape of an activation or constant."""
        if name in self.packed:
            return self.packed[name][0].shape
        if name in self.values:
            return self.values[name].shape
        if name in self.of_ids:
            return self.of_ids[name].shape
        return self.graph.shapes[self.tensor(name)]

    def tensor(self, name: str) -> str:
        """Name in `graph` of an operand: an activation, or a constant (declared when it is first needed)."""
        if name in self.grids:
            raise Rejected(
                f"it computes on the integers of '{name}'",
                "integers are only understood between QuantizeLinear and DequantizeLinear",
                "export the model in QDQ form",
            )
        if name in self.alias:
            return self.alias[name]
        if name in self.of_ids:
            from intar.frontends.id_tables import numbers

            return numbers(self, name)
        if name in self.placed or name in self.masked:
            raise Rejected(
                f"it computes on what the input '{POSITION}' decides",
                "such a mask is added to scores, or chooses between them and -inf, before a softmax along the last axis",
            )
        if name not in self._registered:
            if name in self.packed:
                array, quant = self.packed[name]
                self._registered[name] = self.graph.constant(name, array, quant)
            else:
                self._registered[name] = self.graph.constant(name, as_real(self.values[name], name))
        return self._registered[name]

    def real(self, name: str) -> np.ndarray:
        """The real values of a constant operand, float32 or float64."""
        from intar.ir.taskgraph import dequantise

        return dequantise(*self.packed[name]) if name in self.packed else as_real(self.values[name], name)

    def emit(
        self,
        node: Node,
        op: Op,
        inputs: Sequence[str],
        attrs: Mapping[str, AttrValue] | None = None,
        output: str = "",
    ) -> str:
        """Add a task on tensors of `graph`. Without `output` it makes the node's (first) output."""
        target = output or node.outputs[0]
        name = self.graph.fresh(target)
        self.graph.task(op, inputs, name, attrs, name=node.name or name, source=node.source)
        if not output:
            self.alias[target] = name
        return name

    def on_grid(self, tensor: str, quant: QuantParams, name: str, source: str = "") -> str:
        """A copy of `tensor`, rounded to the format."""
        copy = self.graph.copy(tensor, self.graph.fresh(name), source)
        self.graph.quant[copy] = quant
        return copy


def as_real(array: np.ndarray, name: str) -> np.ndarray:
    """A constant as float32 or float64. Raises Rejected for other things than numbers."""
    if array.dtype in (np.float32, np.float64):
        return array
    if array.dtype.kind in "iu":
        return array.astype(np.float64)
    try:
        return array.astype(np.float32)
    except (ValueError, TypeError):
        raise Rejected(f"the constant '{name}' holds {array.dtype}, not numbers") from None
