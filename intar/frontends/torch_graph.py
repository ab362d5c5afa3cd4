"""Import a PyTorch model as a task graph.

The steps, each in a module of its own: export and decompose (`torch_export`), compute what is constant (`torch_fold`),
write each operator in ONNX's vocabulary (`torch_ops`, `torch_moves`, `torch_images`, `torch_attention`); from there on
the path is that of ONNX models: spelled-out functions are found, nodes translated, tasks merged (`importer`).
"""

from __future__ import annotations

import operator
from collections import ChainMap
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Node as FxNode

from intar.errors import InternalError, quoted
from intar.frontends.importer import Importer
from intar.frontends.onnx_nodes import Node, Rejected
from intar.frontends.refusals import counted, refusal
from intar.frontends.torch_export import program_of
from intar.frontends.torch_fold import decided, fold, given_constants, to_array
from intar.frontends.torch_nodes import Writer
from intar.frontends.torch_ops import HANDLERS, SUPPORTED
from intar.frontends.torch_places import operator as operator_name
from intar.frontends.torch_places import qualified, source_line, task_name
from intar.ir.ops import POSITION
from intar.ir.taskgraph import TaskGraph

OPSET = 20
"""The operator set of ONNX whose meaning the nodes have that the handlers write."""

SILENT = ("_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size")
"""Operators that check and compute nothing."""


def import_torch(model: Any, samples: Any = None, name: str = "") -> TaskGraph:
    """The task graph of a module (with `samples`, see :func:`program_of`) or of an ExportedProgram.

    Raises
    ------
    UnsupportedError
        The model uses what intar does not have: all such operators at once, each with the module's path and the line
        of the user's source.
    GraphError
        The module can't be exported, or its shapes are dynamic.
    """
    program = program_of(model, samples)
    called = name or ("model" if isinstance(model, ExportedProgram) else type(model).__name__)
    return TorchImporter(program, called).run()


class TorchImporter(Importer):
    """The import of one exported program."""

    def __init__(self, program: ExportedProgram, name: str) -> None:
        self.writer = Writer()
        super().__init__(name, self.writer.values, OPSET)
        self.program = program
        self._places: dict[tuple[str, str], list[str]] = {}
        self._position: tuple[FxNode, torch.Tensor] | None = None

    def run(self) -> TaskGraph:
        """Translate everything."""
        given = given_constants(self.program)
        kinds = {spec.arg.name: spec.kind for spec in self.program.graph_signature.input_specs}
        for node in self.program.graph.nodes:
            self.writer.current = node
            if node.op == "placeholder" and node.name in given:
                label, tensor = given[node.name]
                self.writer.constants[node] = tensor
                self.writer.names[node] = self.writer.constant(tensor, label)
            elif node.op == "placeholder" and kinds.get(node.name) is InputKind.USER_INPUT:
                self._input(node)
            elif node.op == "call_function":
                self._operator(node)
        outputs = self._results()
        return self.translate(self.writer.nodes, outputs, self.graph.name)

    def at_position(self, name: str, position: int) -> np.ndarray:
        """The value of a tensor that the position decides."""
        if self._position is None:
            raise InternalError(f"'{name}' does not depend on a position")
        start, given = self._position
        known: ChainMap[FxNode, Any] = ChainMap(
            {start: torch.full_like(given, position)}, self.writer.constants
        )
        for node in self.writer.placed:
            fold(node, known)
            if self.writer.names.get(node) == name:
                return to_array(known[node])
        raise InternalError(f"'{name}' is no tensor that the position decides")

    def is_read(self, name: str) -> bool:
        """Whether something in the model, or the model itself, uses the tensor."""
        return bool(name) and any(name in node.inputs for node in self.writer.nodes)

    def _input(self, node: FxNode) -> None:
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            return  # a number that the export has made a constant
        name = self.writer.names[node] = self.writer.fresh(node.name)
        if not value.dtype.is_floating_point:
            self.ids[name] = str(value.dtype).removeprefix("torch.")
        self.alias[name] = self.graph.input(name, [int(n) for n in value.shape])
        if name == POSITION and name in self.ids and value.numel() == 1:
            self._position = node, torch.empty(value.shape, dtype=value.dtype)

    def _placed(self, node: FxNode) -> bool:
        """Note a node that the position and constants decide; True when it is one (but rows of tables that it chooses)."""
        if self._position is None or operator_name(node) == "embedding" or not decided(node):
            return False
        placed = {self._position[0], *self.writer.placed}
        sources = set(node.all_input_nodes)
        if not sources & placed or sources - placed - self.writer.constants.keys():
            return False
        self.writer.placed.append(node)
        self.placed.add(self.writer.name(node))
        return True

    def _operator(self, node: FxNode) -> None:
        if node in self.writer.names or fold(node, self.writer.constants) or self._placed(node):
            return
        if node.target is operator.getitem:
            self._item(node)
            return
        value = node.meta.get("val")
        if isinstance(value, (torch.SymInt, torch.SymBool)):
            return  # a size that nobody knows, which was rejected, or a check of one
        if isinstance(value, torch.Tensor) and not all(isinstance(n, int) for n in value.shape):
            if all(self._written(source) for source in node.all_input_nodes):
                self.reject(self._place(node), counted())
            return
        schema = getattr(node.target, "_schema", None)
        base = schema.name.rsplit("::", 1)[-1] if schema is not None else str(node.target)
        if base in SILENT:
            return
        handler = HANDLERS.get(base)
        if handler is None and (reason := refusal(base)) is not None:
            self.reject(
                Node(operator_name(node), task_name(node), [], [node.name], line=source_line(node)), reason
            )
            return
        if handler is None or schema is None:
            self._places.setdefault((qualified(node), source_line(node)), []).append(task_name(node))
            return
        if not all(self._written(source) for source in node.all_input_nodes):
            return  # what it reads was rejected already
        try:
            handler(self.writer, _bound(node, schema))
        except Rejected as reason:
            self.reject(self._place(node), reason)

    def _item(self, node: FxNode) -> None:
        """A result of an operator that has several: only the first is computed, but of splits."""
        source, position = node.args
        assert isinstance(source, FxNode)
        if not self._written(source):
            return
        if position == 0:
            self.writer.names[node] = self.writer.names[source]
        elif node.users:
            place = Node(operator_name(source), task_name(source), [], [node.name], line=source_line(source))
            self.reject(place, Rejected(f"its result {position} is used", "only the first is computed"))

    def _place(self, node: FxNode) -> Node:
        """What messages say of a node of the program."""
        return Node(operator_name(node), task_name(node), [], [node.name], line=source_line(node))

    def _written(self, node: FxNode) -> bool:
        return node in self.writer.names or node in self.writer.constants

    def _results(self) -> list[str]:
        """Give each output a name of its own: ``output``, or ``output_0`` and so on, or a dictionary's keys."""
        (end,) = (node for node in self.program.graph.nodes if node.op == "output")
        kinds = [spec.kind for spec in self.program.graph_signature.output_specs]
        returned = [
            node
            for node, kind in zip(end.args[0], kinds, strict=True)
            if kind is OutputKind.USER_OUTPUT and isinstance(node, FxNode)
        ]
        outputs = []
        for node, label in zip(returned, self._labels(len(returned)), strict=True):
            if self._written(node):
                source, name = self.writer.name(node), self.writer.fresh(label)
                self.writer.nodes.append(Node("Identity", name, [source], [name], origin="output"))
                outputs.append(name)
        return outputs

    def _labels(self, count: int) -> list[str]:
        spec = self.program.call_spec.out_spec
        keys = list(spec.context) if spec is not None and spec.type is dict else []
        if len(keys) == count and all(isinstance(key, str) for key in keys):
            return keys
        return ["output"] if count == 1 else [f"output_{position}" for position in range(count)]

    def unknown(self, node: Node) -> None:
        """Note a node that the rest of the path does not know: it is called as the program calls it."""
        self._places.setdefault((f"aten.{node.origin}", node.line), []).append(node.name)

    def report_unknown(self) -> None:
        """One finding for each operator and line of source, with the modules that use it."""
        found = []
        for (kind, line), names in self._places.items():
            uses = f"{len(names)} uses" if len(names) > 1 else "1 use"
            where = f"{quoted(names)} ({line})" if line else quoted(names)
            found.append((f"the operator {kind} is not supported ({uses})", where))
        self.lack_operators(found, SUPPORTED)


def _bound(node: FxNode, schema: Any) -> Mapping[str, Any]:
    """The arguments by name, defaults filled in."""
    bound = {argument.name: argument.default_value for argument in schema.arguments}
    bound |= dict(zip((argument.name for argument in schema.arguments), node.args, strict=False))
    return bound | dict(node.kwargs)
