"""Import an ONNX model as a task graph.

The steps, each in a module of its own: read the file (`onnx_load`), compute what is constant (`onnx_fold`),
find spelled-out functions (`onnx_patterns`), translate node by node (`onnx_ops`, `onnx_qdq`), merge
(`simplify`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from intar.errors import Finding, GraphError, InternalError, UnsupportedError
from intar.frontends.assemble import Assembly
from intar.frontends.onnx_fold import fold
from intar.frontends.onnx_load import load_onnx
from intar.frontends.onnx_nodes import Node, Rejected, from_proto, in_order, live
from intar.frontends.onnx_norms import rewrite_norms
from intar.frontends.onnx_patterns import rewrite
from intar.frontends.simplify import simplify
from intar.ir.ops import AttrValue, Op, Shape
from intar.ir.taskgraph import QuantParams, TaskGraph

Shapes = Mapping[str, int | Sequence[int]]

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
SMALL_INTEGERS = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16)


def import_onnx(
    source: str | Path | bytes | onnx.ModelProto,
    shapes: Shapes | None = None,
    values: Mapping[str, np.ndarray] | None = None,
) -> TaskGraph:
    """The task graph of an ONNX model.

    Parameters
    source : path of the file, its bytes, or the model itself.
    shapes : sizes of dynamic axes by symbol (``{"batch": 1}``), or whole shapes by input (``{"x": (1,
    256)}``). values : inputs of the model that are to be constants, with their arrays.

    Raises
    UnsupportedError
        The model uses what intar does not have: all such nodes at once, with everything else that is wrong.
    GraphError
        The file or the model is wrong, or its shapes are dynamic.
    """
    model, where = load_onnx(source)
    importer = Importer(model, dict(shapes or {}), dict(values or {}))
    return importer.run(where)


class Importer:
    """The state of one import.

    Attributes
    values : arrays known now, by ONNX name.
    packed : quantised constants: integers and their format, by ONNX name of the dequantised tensor.
    grids : integer tensors made by QuantizeLinear: the real tensor (name in `graph`) and the format.
    alias : name in `graph` of each activation, by ONNX name.
    graph : the task graph in the making.
    opset : version of ONNX's own operator set.
    """

    def __init__(
        self, model: onnx.ModelProto, shapes: dict[str, int | Sequence[int]], values: dict[str, np.ndarray]
    ):
        self.model = model
        self.shapes = shapes
        self.values = values
        self.packed: dict[str, tuple[np.ndarray, QuantParams]] = {}
        self.grids: dict[str, tuple[str, QuantParams | None]] = {}
        self.alias: dict[str, str] = {}
        self.graph = Assembly(model.graph.name or "model")
        self.opsets = {entry.domain: entry.version for entry in model.opset_import}
        self.opset = self.opsets.get("", self.opsets.get("ai.onnx", 0))
        self.wrong: list[Finding] = []
        self.lacking: list[Finding] = []
        self._unknown_ops: dict[str, list[str]] = {}
        self._registered: dict[str, str] = {}

    # The walk

    def run(self, where: str) -> TaskGraph:
        """Translate everything; `where` is what messages call the model."""
        from intar.frontends.onnx_qdq import expand_quantised

        outputs = [output.name for output in self.model.graph.output]
        self._initializers()
        self._declare_inputs()
        nodes = [from_proto(proto) for proto in self.model.graph.node if any(proto.output)]
        given = {entry.name for entry in self.model.graph.input} | self.values.keys()
        nodes, stuck = in_order(nodes, given)
        if stuck:
            raise GraphError(_stuck(node, given, stuck) for node in stuck[:10])
        made = {name for node in nodes for name in node.outputs} | given | self.values.keys()
        self.wrong += [
            Finding("nothing computes it", f"output '{name}'", hint="export the model again")
            for name in outputs
            if name not in made
        ]
        nodes = [node for whole in nodes for node in expand_quantised(whole)]
        nodes = live([node for node in nodes if not self._fold(node)], outputs)
        nodes = rewrite_norms(nodes, self.values, outputs)
        for node in rewrite(nodes, self.values, outputs):
            self._translate(node)
        self._report_unknown()
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

    def _initializers(self) -> None:
        for tensor in self.model.graph.initializer:
            try:
                self.values.setdefault(tensor.name, numpy_helper.to_array(tensor))
            except (ValueError, TypeError, KeyError) as error:
                self.wrong.append(
                    Finding(f"its data does not fit its shape or type: {error}", f"tensor '{tensor.name}'")
                )
        for sparse in self.model.graph.sparse_initializer:
            self.lacking.append(
                Finding(
                    "sparse tensors are not supported",
                    f"tensor '{sparse.values.name}'",
                    hint="export it dense",
                )
            )

    def _declare_inputs(self) -> None:
        symbols: set[str] = set()
        for entry in self.model.graph.input:
            if entry.name in self.values:
                continue
            if not entry.type.HasField("tensor_type"):
                self.lacking.append(Finding("only tensors can be inputs", f"input '{entry.name}'"))
                continue
            kind = entry.type.tensor_type.elem_type
            shape = self._input_shape(entry, symbols)
            if kind not in FLOATS + SMALL_INTEGERS:
                self.lacking.append(
                    Finding(
                        f"it has type {_type_name(kind)}",
                        f"input '{entry.name}'",
                        "inputs are real numbers, or 8 and 16 bit integers that are dequantised first",
                        "cut the model after the operators that take it (token lookup, masks), or make it a constant",
                    )
                )
            elif shape is not None:
                self.alias[entry.name] = self.graph.input(entry.name, shape)
                if kind in SMALL_INTEGERS:
                    self.grids[entry.name] = (self.alias.pop(entry.name), None)
        known = symbols | {entry.name for entry in self.model.graph.input}
        for key in self.shapes:
            if key not in known:
                close = difflib.get_close_matches(key, known, 1)
                listed = ", ".join(f"'{name}'" for name in sorted(known)) or "none"
                hint = (
                    f"did you mean '{close[0]}'?" if close else f"symbols and inputs of the model: {listed}"
                )
                self.wrong.append(
                    Finding(f"the model has no dynamic axis or input '{key}'", "shapes", hint=hint)
                )

    def _input_shape(self, entry: onnx.ValueInfoProto, symbols: set[str]) -> Shape | None:
        place = f"input '{entry.name}'"
        given = self.shapes.get(entry.name)
        dims = entry.type.tensor_type.shape.dim
        symbols.update(dim.dim_param for dim in dims if dim.dim_param)
        if given is not None and not isinstance(given, int):
            return tuple(int(n) for n in given)
        if not entry.type.tensor_type.HasField("shape"):
            hint = (
                f"give its shape: --shape {entry.name}=1x16, or shapes={{{entry.name!r}: (1, 16)}} in Python"
            )
            self.wrong.append(
                Finding("its shape is unknown", place, "the circuit is made for one size", hint)
            )
            return None
        sizes, missing = [], {}
        for axis, dim in enumerate(dims):
            size = dim.dim_value if dim.HasField("dim_value") else self.shapes.get(dim.dim_param)
            if not isinstance(size, int) or size <= 0:
                missing[axis] = dim.dim_param
            sizes.append(size if isinstance(size, int) else 0)
        if not missing:
            return tuple(sizes)
        axes = ", ".join(
            f"axis {axis} ('{name}')" if name else f"axis {axis}" for axis, name in missing.items()
        )
        if all(missing.values()):
            names = dict.fromkeys(missing.values())
            option = " ".join(f"--shape {name}=1" for name in names)
            python = ", ".join(f"{name!r}: 1" for name in names)
        else:
            whole = [1 if axis in missing else size for axis, size in enumerate(sizes)]
            option = f"--shape {entry.name}={'x'.join(map(str, whole))}"
            python = f"{entry.name!r}: {tuple(whole)}"
        hint = f"give the size: {option}, or shapes={{{python}}} in Python"
        self.wrong.append(Finding(f"{axes} is dynamic", place, "the circuit is made for one size", hint))
        return None

    def _fold(self, node: Node) -> bool:
        def shape_of(name: str) -> Shape | None:
            if name in self.packed:
                return self.packed[name][0].shape
            tensor = self.alias.get(name) or (self.grids[name][0] if name in self.grids else "")
            return self.graph.shapes.get(tensor)

        try:
            return fold(node, self.values, self.opsets, shape_of)
        except Rejected as reason:
            self._reject(node, reason)
            return True

    def _translate(self, node: Node) -> None:
        from intar.frontends.onnx_ops import HANDLERS

        if self._fold(node):
            return
        handler = HANDLERS.get(node.op) if node.domain == "" else None
        if handler is None:
            kind = f"{node.domain}.{node.op}" if node.domain else node.op
            self._unknown_ops.setdefault(kind, []).append(node.name or node.outputs[0])
            return
        if not all(self.known(name) for name in node.inputs if name):
            return  # what it reads was rejected already
        try:
            handler(self, node)
        except Rejected as reason:
            self._reject(node, reason)

    def _reject(self, node: Node, reason: Rejected) -> None:
        found = self.lacking if reason.code == "unsupported" else self.wrong
        found.append(Finding(reason.what, node.label, reason.why, reason.hint))

    def _report_unknown(self) -> None:
        from intar.frontends.onnx_ops import HANDLERS

        for kind, names in self._unknown_ops.items():
            listed = ", ".join(f"'{name}'" for name in names[:20]) + (", …" if len(names) > 20 else "")
            plural = "s" if len(names) > 1 else ""
            self.lacking.append(
                Finding(
                    f"the operator {kind} is not supported ({len(names)} node{plural})",
                    f"node{plural} {listed}",
                )
            )
        if self._unknown_ops:
            last = self.lacking.pop()
            hint = f"supported are: {', '.join(sorted(HANDLERS))}; run other operators on the host"
            self.lacking.append(Finding(last.what, last.where, last.why, hint))

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
        return name in self.values or name in self.packed or tensor in self.graph.shapes

    def is_constant(self, name: str) -> bool:
        """Whether its value is known before the circuit runs."""
        return name in self.values or name in self.packed

    def is_read(self, name: str) -> bool:
        """Whether a node of the model, or the model itself, uses the tensor."""
        read = any(name in node.input for node in self.model.graph.node)
        return bool(name) and (read or any(name == entry.name for entry in self.model.graph.output))

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


def _type_name(kind: int) -> str:
    return (
        TensorProto.DataType.Name(kind).lower() if kind in TensorProto.DataType.values() else f"number {kind}"
    )


def _stuck(node: Node, given: set[str], stuck: list[Node]) -> Finding:
    made = {name for other in stuck for name in other.outputs}
    missing = [name for name in node.inputs if name and name not in given and name not in made]
    if missing:
        return Finding(f"it reads '{missing[0]}', which nothing computes", node.label)
    return Finding(
        "it is part of a cycle, or waits for one",
        node.label,
        "each node would wait for its own result",
        "cut the cycle",
    )
