"""Import an ONNX model as a task graph.

The steps, each in a module of its own: read the file (`onnx_load`), compute what is constant (`onnx_fold`),
find spelled-out functions (`onnx_patterns`), translate node by node (`onnx_ops`, `onnx_qdq`), merge
(`simplify`).
"""

from __future__ import annotations

import difflib
import re
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from intar.errors import Finding, GraphError
from intar.frontends.importer import Importer
from intar.frontends.onnx_branches import take_branches
from intar.frontends.onnx_fold import decided, evaluate, fold
from intar.frontends.onnx_load import load_onnx
from intar.frontends.onnx_nodes import Node, Rejected, from_proto, in_order
from intar.frontends.onnx_qdq import ONNX_TYPES, expand_quantised
from intar.ir.cycles import cycle_finding, rings
from intar.ir.ops import POSITION
from intar.ir.shapes import Shape
from intar.ir.taskgraph import TaskGraph

Shapes = Mapping[str, int | Sequence[int]]

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
ID_TYPES = {TensorProto.INT32: "int32", TensorProto.INT64: "int64"}
SMALL_INTEGERS = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16)


def import_onnx(
    source: str | Path | bytes | onnx.ModelProto,
    shapes: Shapes | None = None,
    values: Mapping[str, float | np.ndarray] | None = None,
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
    constants = {name: np.asarray(value) for name, value in (values or {}).items()}
    importer = OnnxImporter(model, dict(shapes or {}), constants)
    return importer.run(where)


class OnnxImporter(Importer):
    """The import of one ONNX model."""

    def __init__(
        self, model: onnx.ModelProto, shapes: dict[str, int | Sequence[int]], values: dict[str, np.ndarray]
    ):
        self.opsets = {entry.domain: entry.version for entry in model.opset_import}
        opset = self.opsets.get("", self.opsets.get("ai.onnx", 0))
        super().__init__(model.graph.name or "model", values, opset)
        self.model = model
        self.shapes = shapes
        self._decided: list[Node] = []

    def run(self, where: str) -> TaskGraph:
        """Translate everything; `where` is what messages call the model."""
        outputs = [output.name for output in self.model.graph.output]
        self._bind()
        self._initializers(self.model.graph.initializer)
        self._declare_inputs()
        shapes = {name: self.graph.shapes[tensor] for name, tensor in self.alias.items()}
        shapes |= {name: self.graph.shapes[tensor] for name, (tensor, _) in self.grids.items()}
        shapes |= {name: value.shape for name, value in self.values.items()}
        self._initializers(take_branches(self.model, shapes, self.values, self.opsets))
        nodes = [from_proto(proto) for proto in self.model.graph.node if any(proto.output)]
        given = {entry.name for entry in self.model.graph.input} | self.values.keys()
        nodes, stuck = in_order(nodes, given)
        if stuck:
            raise GraphError(_stuck(stuck, given))
        made = {name for node in nodes for name in node.outputs} | given | self.values.keys()
        self.wrong += [
            Finding("nothing computes it", f"output '{name}'", hint="export the model again")
            for name in outputs
            if name not in made
        ]
        nodes = [node for whole in nodes for node in expand_quantised(whole)]
        return self.translate([node for node in nodes if not self.fold(node)], outputs, where)

    def _bind(self) -> None:
        """Give the inputs that are to be constants the model's types, and a single number the shape it stands for."""
        entries = {entry.name: entry for entry in self.model.graph.input}
        for name, value in self.values.items():
            if name not in entries:
                self.wrong.append(
                    Finding(f"the model has no input '{name}'", "values", hint=_close(name, entries))
                )
                continue
            kind = entries[name].type.tensor_type
            array = value
            if kind.elem_type in TensorProto.DataType.values() and kind.elem_type != TensorProto.UNDEFINED:
                array = array.astype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
            sizes = [dim.dim_value or 1 for dim in kind.shape.dim]
            self.values[name] = np.broadcast_to(array, sizes) if array.size == 1 else array

    def _initializers(self, tensors: Iterable[onnx.TensorProto]) -> None:
        for tensor in tensors:
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
            if kind in ID_TYPES and shape is not None:
                self.ids[entry.name] = ID_TYPES[kind]
                self.alias[entry.name] = self.graph.input(entry.name, shape)
            elif kind not in (*FLOATS, *SMALL_INTEGERS, *ID_TYPES):
                self.lacking.append(
                    Finding(
                        f"it has type {_type_name(kind)}",
                        f"input '{entry.name}'",
                        "inputs are real numbers, or 8 and 16 bit integers that are dequantised first",
                        "cut the model after the operators that take it (token lookup, masks), or "
                        + self.made_constant(entry.name),
                    )
                )
            elif shape is not None:
                self.alias[entry.name] = self.graph.input(entry.name, shape)
                if kind in SMALL_INTEGERS:
                    self.grids[entry.name] = (self.alias.pop(entry.name), None)
                    self.integer_inputs[entry.name] = ONNX_TYPES[kind]
        known = symbols | {entry.name for entry in self.model.graph.input}
        for key in self.shapes:
            if key not in known:
                what = f"the model has no dynamic axis or input '{key}'"
                self.wrong.append(Finding(what, "shapes", hint=_close(key, known, "symbols and inputs")))

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
        if all(re.fullmatch(r"[\w.]+", name) for name in missing.values()):  # Paddle calls every size '?'
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

    def fold(self, node: Node) -> bool:
        """Also nodes that the position and constants decide; one that is wrong is noted, and counts as done."""

        def shape_of(name: str) -> Shape | None:
            if name in self.packed:
                return self.packed[name][0].shape
            if name in self.of_ids:
                return self.of_ids[name].shape
            tensor = self.alias.get(name) or (self.grids[name][0] if name in self.grids else "")
            return self.graph.shapes.get(tensor)

        try:
            return fold(node, self.values, self.opsets, shape_of) or self._decided_by_position(node)
        except Rejected as reason:
            self.reject(node, reason)
            return True

    def _decided_by_position(self, node: Node) -> bool:
        """Note a node that the position and constants decide; True when it is one (but rows of tables that it chooses)."""
        if POSITION not in self.ids or prod(self.graph.shapes[self.alias[POSITION]]) != 1:
            return False
        placed = {POSITION, *self.placed}
        read = {name for name in node.inputs if name}
        if (
            not read & placed
            or read - placed - self.values.keys()
            or not decided(node)
            or node.op == "Gather"
        ):
            return False
        self._decided.append(node)
        self.placed.update(node.outputs)
        return True

    def at_position(self, name: str, position: int) -> np.ndarray:
        """The value of a tensor that the position decides."""
        shape = self.graph.shapes[self.alias[POSITION]]
        known = ChainMap({POSITION: np.full(shape, position, self.ids[POSITION])}, self.values)
        for node in self._decided:
            known.update(zip(node.outputs, evaluate(node, known, self.opsets), strict=False))
            if name in node.outputs:
                break
        return known[name]

    def made_constant(self, name: str) -> str:
        """By an option."""
        return f"make it a constant (--value {name}=NUMBER, values={{{name!r}: …}} in Python)"

    def is_read(self, name: str) -> bool:
        """Whether a node of the model, or the model itself, uses the tensor."""
        read = any(name in node.input for node in self.model.graph.node)
        return bool(name) and (read or any(name == entry.name for entry in self.model.graph.output))


def _close(name: str, known: Iterable[str], what: str = "inputs") -> str:
    """A way out of a wrong name."""
    if close := difflib.get_close_matches(name, known, 1):
        return f"did you mean '{close[0]}'?"
    listed = ", ".join(f"'{each}'" for each in sorted(known)) or "none"
    return f"{what} of the model: {listed}"


def _type_name(kind: int) -> str:
    return (
        TensorProto.DataType.Name(kind).lower() if kind in TensorProto.DataType.values() else f"number {kind}"
    )


def _stuck(stuck: list[Node], given: set[str]) -> list[Finding]:
    """Why nodes can't be put in order: tensors that nothing makes, and cycles; what waits for either is left out."""
    makers = {name: node for node in stuck for name in node.outputs if name}
    found = [
        Finding(f"it reads '{name}', which nothing computes", node.label)
        for node in stuck
        for name in node.inputs
        if name and name not in given and name not in makers
    ]
    needs = {
        name: [read for read in node.inputs if read not in given]
        for name, node in makers.items()
        if name not in given
    }
    for ring in rings(needs):
        names = [makers[name].name or name for name in ring]
        found.append(cycle_finding(names, makers[ring[0]].label, "nodes"))
    return found[:10]
