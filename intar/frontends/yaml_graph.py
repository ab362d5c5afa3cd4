"""Networks that a person writes by hand, in YAML (`docs/task-graph.md` has the form and a complete example)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from math import isfinite, isnan, prod
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from intar.errors import Finding, GraphError
from intar.frontends.assemble import Assembly
from intar.ir.cycles import cycle_finding, rings
from intar.ir.image_ops import spread
from intar.ir.io import load_npz, read_bytes
from intar.ir.ops import OPS, Op
from intar.ir.shapes import AttrValue
from intar.ir.taskgraph import TaskGraph
from intar.ir.validate import not_finite

TOP_KEYS = ("network", "inputs", "constants", "weights", "random", "tasks", "outputs")
CONSTANT_KEYS = ("random", "shape", "scale")
LAYER_KEYS = {
    Op.MATMUL: ("units", "random", "bias"),
    Op.CONV2D: ("channels", "kernel", "random", "bias"),
    Op.CONV_TRANSPOSE2D: ("channels", "kernel", "random", "bias"),
}
"""Keys of operators whose weight is left out."""

Item = tuple[str, yaml.Node, int]
"""A key of a mapping, its value's node, its line (from 1)."""


def import_yaml(source: str | Path) -> TaskGraph:
    """The task graph of a YAML file (a path), or of YAML text (a string of several lines).

    Raises
    ------
    GraphError
        All mistakes at once, each with its line: unknown keys and names (with what was probably meant), wrong
        values, shapes that do not fit, missing weights.
    """
    if isinstance(source, str) and "\n" in source:
        return _Reader("text", None).run(source)
    path = Path(source)
    try:
        text = read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise GraphError(Finding(f"the file is not UTF-8 text: {error.reason}", path.name)) from None
    return _Reader(path.name, path.parent).run(text)


class _Reader:
    def __init__(self, where: str, folder: Path | None) -> None:
        self.where, self.folder = where, folder
        self.graph = Assembly("network")
        self.found = self.graph.findings
        self.weights: dict[str, np.ndarray] = {}
        self.seed = 0
        self.poisoned: set[str] = set()
        self.later: dict[str, int] = {}

    def run(self, text: str) -> TaskGraph:
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or str(error)
            raise GraphError(Finding(f"it is not valid YAML: {problem}", f"{self.where}{line}")) from None
        if not isinstance(root, yaml.MappingNode):
            raise GraphError(
                Finding("the top level has to be a mapping", self.where, hint="see docs/task-graph.md")
            )
        top = {key: (node, line) for key, node, line in self._items(root, TOP_KEYS)}
        for key in ("inputs", "tasks", "outputs"):
            if key not in top:
                self._note(f"the key '{key}' is missing", 1)
        if "network" in top:
            self.graph.name = str(self._plain(top["network"][0]))
        if "random" in top:
            self.seed = self._integer(*top["random"], "random")
        for key, read in (
            ("weights", self._weights),
            ("inputs", self._inputs),
            ("constants", self._constants),
            ("tasks", self._tasks),
            ("outputs", self._outputs),
        ):
            if key in top:
                read(*top[key])
        if self.found:
            raise GraphError(sorted(self.found, key=_line))
        return self.graph.finish()

    # Reading YAML with its lines

    def _note(self, what: str, line: int, why: str = "", hint: str = "") -> None:
        self.found.append(Finding(what, f"{self.where}:{line}", why, hint))

    def _plain(self, node: yaml.Node) -> Any:
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            self._note(
                f"the value can't be read: {getattr(error, 'problem', error)}", node.start_mark.line + 1
            )
            return None
        finally:
            loader.dispose()

    def _items(self, node: yaml.Node, allowed: Iterable[str] | None = None, what: str = "") -> list[Item]:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            self._note(f"{what or 'this'} has to be a mapping (key: value)", line)
            return []
        items: list[Item] = []
        for key_node, value in node.value:
            key, key_line = str(self._plain(key_node)), key_node.start_mark.line + 1
            if allowed is not None and key not in allowed:
                self._note(f"unknown key '{key}'", key_line, hint=_meant(key, allowed))
            elif any(key == other for other, _, _ in items):
                self._note(f"the key '{key}' appears twice", key_line)
            else:
                items.append((key, value, key_line))
        return items

    def _integer(self, node: yaml.Node, line: int, what: str) -> int:
        value = self._plain(node)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self._note(f"'{what}' has to be a whole number from 0 on, got {value!r}", line)
        return 1

    def _shape(self, node: yaml.Node, line: int) -> tuple[int, ...] | None:
        value = self._plain(node)
        value = [value] if isinstance(value, int) else value
        if isinstance(value, list) and value and all(type(n) is int and n > 0 for n in value):
            return tuple(value)
        self._note(f"a shape is a list of positive whole numbers, got {value!r}", line)
        return None

    # The sections

    def _weights(self, node: yaml.Node, line: int) -> None:
        name = self._plain(node)
        if self.folder is None or not isinstance(name, str):
            self._note("'weights' names an .npz file beside the YAML file", line)
            return
        path = self.folder / name
        if self.folder.resolve() not in path.resolve().parents:
            self._note(f"the weights file '{name}' is outside the folder of the YAML file", line)
            return
        try:
            self.weights = load_npz(path)
        except GraphError as error:
            for finding in error.findings:
                self._note(f"weights file '{name}': {finding.what}", line)

    def _inputs(self, node: yaml.Node, line: int) -> None:
        for name, value, at in self._items(node, what="'inputs'"):
            shape = self._shape(value, at)
            if shape is None:
                self.poisoned.add(name)
            else:
                self.graph.input(name, shape, f"{self.where}:{at}")

    def _constants(self, node: yaml.Node, line: int) -> None:
        for name, value, at in self._items(node, what="'constants'"):
            array = self._constant(value, at)
            if name in self.graph.shapes:
                self._note(f"the name '{name}' is used twice", at)
            elif array is None:
                self.poisoned.add(name)
            else:
                self.graph.constant(name, self._finite(name, array, at))

    def _finite(self, name: str, array: np.ndarray, line: int) -> np.ndarray:
        """The array, with a finding when it holds NaN or infinite values."""
        if not np.isfinite(array).all():
            found = not_finite(array, f"{self.where}:{line}")
            self.found.append(replace(found, what=f"constant '{name}': {found.what}"))
        return array

    def _constant(self, node: yaml.Node, line: int) -> np.ndarray | None:
        if not isinstance(node, yaml.MappingNode):
            try:
                value = self._plain(node)
                return np.asarray("" if value is None else value, np.float64)
            except (ValueError, TypeError):
                self._note(
                    "a constant is a number, a (nested) list of numbers, or {random: seed, shape: […]}", line
                )
                return None
        items = {key: (value, at) for key, value, at in self._items(node, CONSTANT_KEYS)}
        if "shape" not in items:
            self._note("a random constant needs a 'shape'", line)
            return None
        shape = self._shape(*items["shape"])
        seed = self._integer(*items["random"], "random") if "random" in items else self.seed
        scale = self._plain(items["scale"][0]) if "scale" in items else 1.0
        if not _is_number(scale) or not isfinite(scale):
            self._note(f"'scale' has to be a finite number, got {scale!r}", line)
            return None
        return None if shape is None else _random(seed, shape, float(scale))

    def _outputs(self, node: yaml.Node, line: int) -> None:
        names = self._plain(node)
        for name in names if isinstance(names, list) else [names]:
            if self._operand(name, line) is not None:
                self.graph.outputs.append(str(name))

    def _tasks(self, node: yaml.Node, line: int) -> None:
        ops = [op.value for op in Op]
        tasks = self._items(node, what="'tasks'")
        self.later = {name: at for name, _, at in tasks}
        needs = {name: _operands(body) for name, body, _ in tasks if name not in self.graph.shapes}
        for ring in rings(needs):
            self.found.append(cycle_finding(ring, f"{self.where}:{self.later[ring[0]]}"))
            self.poisoned.update(ring)
        for name, body, at in tasks:
            if name in self.graph.shapes:
                self._note(f"the name '{name}' is used twice", at)
                continue
            before = len(self.found)
            items = self._items(body, what=f"task '{name}'")
            chosen = [item for item in items if item[0] in ops]
            if len(chosen) != 1 or items[0] != chosen[0]:
                first = items[0] if items else ("", body, at)
                known = first[0] in ops
                what = f"task '{name}' has two operators" if known else f"'{first[0]}' is not an operator"
                self._note(what, first[2], hint="" if known else _meant(first[0], ops))
            else:
                self._task(name, Op(chosen[0][0]), chosen[0][1], items[1:], at)
            if name not in self.graph.shapes and len(self.found) == before:
                self.poisoned.add(name)  # what it reads was wrong already
            if len(self.found) > before:
                self.poisoned.add(name)

    def _task(self, name: str, op: Op, operands: yaml.Node, rest: list[Item], line: int) -> None:
        value = self._plain(operands)
        given = value if isinstance(value, list) else [value]
        inputs = [self._operand(operand, operands.start_mark.line + 1) for operand in given]
        layer = op in LAYER_KEYS and len(given) == 1
        allowed = [*OPS[op].attrs, *(LAYER_KEYS[op] if layer else ())]
        extra: dict[str, Any] = {}
        for key, node, at in rest:
            if key not in allowed or key == "broadcast":
                self._note(f"unknown key '{key}' of {op}", at, hint=_meant(key, allowed) if allowed else "")
            else:
                extra[key] = self._plain(node)
        if None in inputs or any(each in self.poisoned for each in inputs):
            return
        names = [each for each in inputs if each is not None]
        if layer:
            names += self._layer(name, op, names[0], extra, line)
        attrs = self._attrs(op, extra, names, line)
        low, high = OPS[op].inputs
        if not low <= len(names) <= (high or len(names)):
            needs = str(low) if low == high else f"{low} to {high}" if high else f"{low} or more"
            if not layer:
                self._note(f"{op} takes {needs} operands, got {len(names)}", line)
            return
        if attrs is not None:
            self.graph.task(op, names, name, attrs, source=f"{self.where}:{line}")

    def _operand(self, operand: Any, line: int) -> str | None:
        """Name of a tensor, declaring a constant where it is a number or is in the weights file."""
        if _is_number(operand):
            array = self._finite(str(operand), np.asarray(operand, np.float64), line)
            return self.graph.constant(f"constant_{line}", array)
        if isinstance(operand, str):
            if operand in self.graph.shapes or operand in self.poisoned:
                return operand
            if operand in self.weights:
                array = self.weights[operand]
                array = array if array.dtype.kind == "f" else array.astype(np.float64)
                return self.graph.constant(operand, self._finite(operand, array, line))
        known = [*self.graph.shapes, *self.weights]
        hint = _meant(str(operand), known) if known else ""
        if operand in self.later:
            hint = f"write the task '{operand}' (line {self.later[operand]}) before those that read it"
        self._note(f"there is no tensor or weight '{operand}' (yet)", line, hint=hint)
        return None

    def _layer(self, name: str, op: Op, x: str, extra: dict[str, Any], line: int) -> list[str]:
        """Random weight and bias of an operator that gives only its sizes."""
        seed, bias = extra.get("random", self.seed), extra.get("bias", True)
        units: Any = extra.get(LAYER_KEYS[op][0])
        kernel: Any = spread("kernel", extra.get("kernel", 1))
        hint = "give [x, weight, bias], or 'units: 64'"
        if op is not Op.MATMUL:
            hint = "give [x, weight, bias], or 'channels: 16' and 'kernel: 3'"
        sizes = (units, *kernel) if isinstance(kernel, tuple) and len(kernel) == 2 else (0,)
        if any(type(n) is not int or n <= 0 for n in sizes) or ("kernel" in LAYER_KEYS[op]) > (
            "kernel" in extra
        ):
            self._note(f"{op} '{name}' has no weight", line, hint=hint)
            return []
        if type(seed) is not int or seed < 0 or type(bias) is not bool:
            self._note("'random' is a whole number from 0 on, 'bias' is true or false", line)
            return []
        shape, groups = self.graph.shapes[x], extra.get("groups", 1)
        weight: tuple[int, ...]
        if op is Op.MATMUL:
            width = shape[-1] if shape else 1
            weight = (width, units)
        elif len(shape) != 4 or type(groups) is not int or groups < 1 or shape[1] % groups or units % groups:
            self._note(f"{op} '{name}' takes an image whose channels make up its groups", line)
            return []
        else:
            # Each result of a transposed convolution sums about kernel / stride² products of a channel.
            pair = spread("stride", extra.get("stride", 1))
            stride = prod(pair) if op is Op.CONV_TRANSPOSE2D and isinstance(pair, tuple) else 1
            width = max(1, shape[1] // groups * prod(kernel) // max(stride, 1))
            sides = (units, shape[1] // groups) if op is Op.CONV2D else (shape[1], units // groups)
            weight = (*sides, *kernel)
        names = [self.graph.constant(f"{name}_weight", _random(seed, weight, width**-0.5))]
        return (
            [*names, self.graph.constant(f"{name}_bias", _random(seed + 1, (units,), 0.1))] if bias else names
        )

    def _attrs(
        self, op: Op, extra: dict[str, Any], names: list[str], line: int
    ) -> dict[str, AttrValue] | None:
        attrs: dict[str, AttrValue] = {}
        shape = self.graph.shapes[names[0]] if names else ()
        defaults: dict[str, Any] = {
            "approximate": "none",
            "transposed": "none",
            "axis": -1,
            "perm": list(range(len(shape)))[::-1],
        }
        for key, kind in OPS[op].attrs.items():
            if key == "broadcast":
                continue
            value: Any = spread(key, extra.get(key, defaults.get(key, OPS[op].defaults.get(key))))
            if key == "stride" and "kernel" in OPS[op].attrs and key not in extra:
                value = spread(key, extra.get("kernel"))  # pools step by their window
            if kind is int and type(value) in (int, bool):
                attrs[key] = int(value) + len(shape) * (key == "axis" and value < 0)
            elif kind is float and type(value) in (int, float) and not isnan(value):
                attrs[key] = float(value)
            elif kind is tuple and isinstance(value, (list, tuple)) and all(type(n) is int for n in value):
                attrs[key] = tuple(value)
            elif isinstance(kind, tuple) and value in kind:
                attrs[key] = value
            else:
                wanted = (
                    " or ".join(kind)
                    if isinstance(kind, tuple)
                    else "a whole number"
                    if kind is int
                    else "a number"
                    if kind is float
                    else "a list"
                )
                self._note(f"'{key}' of {op} has to be {wanted}, got {value!r}", line)
                return None
        return attrs


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _operands(body: yaml.Node) -> list[str]:
    """Names after a task's operator, its first key."""
    if not isinstance(body, yaml.MappingNode) or not body.value:
        return []
    _, operands = body.value[0]
    listed = operands.value if isinstance(operands, yaml.SequenceNode) else [operands]
    return [operand.value for operand in listed if isinstance(operand, yaml.ScalarNode)]


def _random(seed: int, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """Normal values, float32: the same for the same seed and shape on every machine."""
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def _line(finding: Finding) -> int:
    number = finding.where.rpartition(":")[2]
    return int(number) if number.isdigit() else 0


def _meant(word: str, known: Iterable[str]) -> str:
    listed = list(known)
    close = difflib.get_close_matches(word, listed, 1)
    return f"did you mean '{close[0]}'?" if close else f"one of: {', '.join(listed[:20])}"
