"""The number format of every activation: the model's own, or from calibration; shared where integers only move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from math import ceil

import numpy as np

from intar.errors import CalibrationError, Finding, UnsupportedError
from intar.grid.masks import ADDED
from intar.ir.bits import INDEX_BITS
from intar.ir.loops import is_copy
from intar.ir.ops import Op
from intar.ir.repeats import shares_constants
from intar.ir.taskgraph import QuantParams, TaskGraph
from intar.quant.calibrate import WAY_OUT, Observed, merge, observe, value_range
from intar.quant.direct import evaluated
from intar.quant.fixed import limits, power_above
from intar.quant.fuse import Group
from intar.quant.scheme import WIDTHS, Scheme
from intar.quant.tables import CORNERS, JUMPS, MAX_LOG_ENTRIES, MIN_LOG_ENTRIES, bent_range
from intar.quant.widths import OPERANDS, Widths, find_widths

TABLE_BITS = 10
"""Width of a table's input when activations are narrower: the widest that is still tabulated exactly."""

LOG_TABLE_ENTRIES = 11
"""Entries of such a table with groups, where activations are not wider: what half a block memory holds."""

CORNER_STEPS = 16
"""Least segments of a table between 0 and a corner: so much finer, at most, is a scale with which it ends a segment."""

SMALLEST_SCALE = 1e-30

MASKED_BITS = 16
"""Width of scores that a mask has been added to: its hidden elements take most of their range."""


@dataclass(frozen=True)
class Format:
    """Real value = ``scale * (q - zero)``; see :class:`intar.ir.quantgraph.QTensor`."""

    bits: int
    scale: float
    zero: int
    unsigned: bool = False

    def same_integers(self, other: Format) -> bool:
        """Equal integers stand for equal values."""
        return (self.bits, self.scale, self.zero) == (other.bits, other.scale, other.zero)


@dataclass(frozen=True)
class Formats:
    """Formats by tensor name: `stored` for tensors that exist in memory, `pre` for inputs of fused functions.

    `masked` are scores that a mask has been added to; `operands` are formats of copies that a matmul or product reads where
    a tensor itself is wider, by what it makes and the operand's number; `weights` are bits of weights, where they are not
    the scheme's, by what is made with them.
    """

    stored: dict[str, Format]
    pre: dict[str, Format]
    masked: frozenset[str] = frozenset()
    operands: Mapping[tuple[str, int], Format] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)


INDEX = Format(INDEX_BITS, 1.0, 0)
"""Ids and indices: integers as they are."""


def own_format(quant: QuantParams) -> Format | None:
    """The format of a model's own quantisation; None when it is per channel or of a width we don't have."""
    scale, zero = np.unique(np.asarray(quant.scale)), np.unique(np.asarray(quant.zero_point))
    if scale.size != 1 or zero.size != 1 or quant.bits not in WIDTHS:
        return None
    offset = 0 if quant.signed else 1 << (quant.bits - 1)
    return Format(quant.bits, float(scale[0]), int(zero[0]) - offset, not quant.signed)


def format_of_range(low: float, high: float, bits: int, power_of_two: bool = False) -> Format:
    """The asymmetric format that covers ``low … high`` (0 inside). The scale is a float32 number, as in ONNX; with
    `power_of_two` the next power of two above."""
    qmin, qmax = limits(bits)
    scale = float(np.float32((high - low) / (qmax - qmin)))
    if scale < SMALLEST_SCALE:
        return Format(bits, 1.0, 0)
    if power_of_two:
        scale = float(power_above(np.asarray(scale)))
    return Format(bits, scale, int(np.clip(np.rint(qmin - low / scale), qmin, qmax)))


def symmetric_format(low: float, high: float, bits: int, power_of_two: bool = False) -> Format:
    """The format without zero point that covers ``low … high``: operands of products of two activations."""
    top = max(-low, high)
    scale = float(np.float32(top / limits(bits)[1]))
    if scale < SMALLEST_SCALE:
        return Format(bits, 1.0, 0)
    return Format(bits, float(power_above(np.asarray(scale))) if power_of_two else scale, 0)


def table_bits(group: Group, bits: int, scheme: Scheme) -> int:
    """Width of the input of a group's function, where that is no tensor of its own: `bits`, or that of an exact table.

    A function that is evaluated has no entries that groups could make too many.
    """
    if bits > MAX_LOG_ENTRIES:
        return bits
    direct = group.function is not None and evaluated(group.function.op, scheme)
    groups = 1 if direct else max(len(group.functions), 1)
    return max(bits, min(TABLE_BITS, LOG_TABLE_ENTRIES - (groups - 1).bit_length()))


def corner_format(form: Format, corner: float) -> Format:
    """A format that covers no less, in which 0 and ±corner begin equal segments of a table of wide inputs.

    Segments as large as possible: `CORNER_STEPS` at least up to the corner, so that the scale grows little.
    """
    qmin = limits(form.bits)[0]
    low = form.scale * (qmin - form.zero)
    for log_step in range(form.bits - MIN_LOG_ENTRIES, form.bits - MAX_LOG_ENTRIES - 1, -1):
        step = 1 << log_step
        # One segment is spare, so that some multiple of a segment can be the zero point.
        pieces = int(corner * (1 - step / (1 << form.bits)) / form.scale / step)
        if pieces >= (CORNER_STEPS if log_step > form.bits - MAX_LOG_ENTRIES else 1):
            scale = corner / (pieces * step)
            return Format(form.bits, scale, ceil((qmin - low / scale) / step) * step)
    return form


def centres(group: Group) -> bool:
    """Reads integers whose zero point is 0."""
    return group.kind in ("product", "unit", "peak") or group.first.op is Op.RMS_NORM


def masked_scores(groups: list[Group]) -> set[str]:
    """Inputs of softmaxes that a mask has been added to."""
    read = {name for group in groups if group.kind == "softmax" for name in group.inputs}
    return {g.output for g in groups if g.output in read and g.kind == "affine" and g.offset.min() <= ADDED}


def operand_roots(graph: TaskGraph, groups: list[Group], classes: Classes) -> set[str]:
    """Tensors that only matmuls and products read, perhaps after moves (by the root of their class)."""
    read: set[str] = set()
    others = {classes.root(name) for name in (*graph.inputs, *graph.outputs)}
    for group in groups:
        target = read if group.kind in OPERANDS else others
        target.update(classes.root(name) for name in group.inputs if group.kind != "move")
    return read - others


class Classes:
    """Sets of tensors that have to share a format, unless the model itself gives two of them different ones."""

    def __init__(self, fixed: Mapping[str, Format]) -> None:
        self._parent: dict[str, str] = {}
        self.fixed = dict(fixed)

    def copy(self) -> Classes:
        """The same sets, to join more of them."""
        made = Classes(self.fixed)
        made._parent = dict(self._parent)
        return made

    def root(self, name: str) -> str:
        """The tensor that stands for the set of `name`."""
        self._parent.setdefault(name, name)
        while self._parent[name] != name:
            name = self._parent[name]
        return name

    def join(self, a: str, b: str) -> None:
        """Make one set of two, unless the model gives them different formats."""
        a, b = self.root(a), self.root(b)
        first, second = self.fixed.get(a), self.fixed.get(b)
        if a == b or (first is not None and second is not None and not first.same_integers(second)):
            return
        self._parent[b] = a
        if first is None and second is not None:
            self.fixed[a] = second


def choose_formats(
    graph: TaskGraph,
    groups: list[Group],
    scheme: Scheme,
    calibration: Mapping[str, np.ndarray] | None,
    alike: Sequence[Sequence[str]] = (),
    known: Mapping[str, Observed] | None = None,
) -> Formats:
    """A format for every tensor that the groups read, write or pass to a function; of each set in `alike` as wide.

    Where images meet windows a set has one format: what stands outside of an image is no number of a step. So it has where
    all rounds have the same constants, as the steps of a recurrent layer do: then their integers are the same, too.

    `known` is what the calibration data has been found to do; None: it is found out.

    Raises
    ------
    ConfigError
        The scheme asks for widths of what is not there (:func:`intar.quant.widths.find_widths`).
    UnsupportedError
        The model quantises an activation in a way that we don't have.
    CalibrationError
        A tensor needs a range and there is no calibration data, or it does not fit the model.
    """
    widths = find_widths(graph, groups, scheme.bits, alike)
    stored = list(dict.fromkeys([*graph.inputs, *(n for g in groups for n in (*g.inputs, g.output))]))
    inner = [group.pre for group in groups if group.pre and not group.identity]
    fixed = {name: INDEX for name in _indices(groups)}
    fixed |= _fixed(graph, [name for name in (*stored, *inner) if name not in fixed])
    classes = Classes(fixed)
    for group in groups:
        if group.kind in ("move", "pool", "peak"):
            for name in group.inputs:
                classes.join(group.output, name)
    kept = set(stored)
    windows = {name for g in groups if g.kind in ("conv", "pool") for name in (*g.inputs, g.output)}
    recurrent = shares_constants(graph, alike)
    rounds = classes.copy()  # what has one width: in the same place of all rounds, too
    for same in alike:
        for name in same[1:]:
            if {name, same[0]} <= kept:
                rounds.join(same[0], name)
                if recurrent or windows & {*same}:
                    classes.join(same[0], name)
    roots = {name: classes.root(name) for name in stored}
    open_roots = {root for root in roots.values() if root not in classes.fixed}
    needed = [name for name in stored if roots[name] in open_roots] + [n for n in inner if n not in fixed]
    observed = dict(_observe(graph, needed, scheme, calibration) if known is None else known)
    for group in groups:
        if group.kind == "embedding" and group.output in observed:
            table = graph.constant(group.first.inputs[1])  # samples have only some of its rows
            observed[group.output] = Observed(float(table.min()), float(table.max()))
        elif group.kind == "unit":
            observed[group.output] = Observed(-1.0, 1.0)
        elif group.kind == "affine" and is_copy(graph, group.first) and group.output in observed:
            observed[group.output] = observed.get(group.inputs[0], observed[group.output])

    if recurrent:
        _observe_together(groups, alike, observed)
    together: dict[str, Observed] = {}
    for name in stored:
        if name in observed:
            root = roots[name]
            together[root] = merge(together[root], observed[name]) if root in together else observed[name]
    chosen = dict(classes.fixed)
    centred = {rounds.root(name) for group in groups if centres(group) for name in group.inputs}
    centred |= {rounds.root(group.output) for group in groups if group.kind == "unit"}
    bits = class_bits(graph, groups, rounds, scheme, widths)

    def made(root: str, bits: int) -> Format:
        cover = symmetric_format if rounds.root(root) in centred else format_of_range
        return cover(*value_range(together[root], scheme, bits), bits, scheme.power_of_two)

    for root in open_roots:
        chosen[root] = made(root, bits[rounds.root(root)])
    operands = {}
    for group in groups:
        if group.kind in OPERANDS:
            for index, name in enumerate(group.inputs):
                read = operand_bits(group, index, scheme, widths)
                wide = chosen[roots[name]]
                if read < wide.bits and roots[name] in open_roots:
                    operands[group.output, index] = made(roots[name], read)
                elif (
                    read < wide.bits <= scheme.activation_bits
                ):  # a state's format, taken over from another network
                    cover = symmetric_format if rounds.root(name) in centred else format_of_range
                    low, high = (wide.scale * (limit - wide.zero) for limit in limits(wide.bits))
                    operands[group.output, index] = cover(low, high, read, scheme.power_of_two)
    formats = {name: fixed.get(name, chosen[roots[name]]) for name in stored}
    pre = {}
    for group in groups:
        if group.identity and group.pre:
            pre[group.pre] = formats[group.inputs[0]]
        elif group.pre in fixed:
            pre[group.pre] = fixed[group.pre]
        elif group.pre:
            width = table_bits(group, max(scheme.activation_bits, formats[group.output].bits), scheme)
            low, high = value_range(observed[group.pre], scheme, width)
            jumps = group.function is not None and group.function.attrs.get("function") in JUMPS
            if width > MAX_LOG_ENTRIES and group.function is not None and not jumps:
                step = formats[group.output].scale
                ends = [bent_range(function, low, high, step) for function in group.functions]
                low, high = min(end[0] for end in ends), max(end[1] for end in ends)
            form = format_of_range(low, high, width, scheme.power_of_two)
            if width > MAX_LOG_ENTRIES and jumps:
                form = corner_format(form, max(-low, high))
            elif width > MAX_LOG_ENTRIES and group.function is not None and group.function.op in CORNERS:
                form = corner_format(form, CORNERS[group.function.op])
            pre[group.pre] = form
    return Formats(formats, pre, frozenset(masked_scores(groups)), operands, widths.weights)


def _observe_together(
    groups: Sequence[Group], alike: Sequence[Sequence[str]], observed: dict[str, Observed]
) -> None:
    """What functions in the same place of all rounds take, seen as one."""
    pre = {group.output: group.pre for group in groups if group.pre and not group.identity}
    for same in alike:
        names = [pre[name] for name in same if name in pre and pre[name] in observed]
        if names:
            observed |= dict.fromkeys(names, reduce(merge, (observed[name] for name in names)))


def operand_bits(group: Group, index: int, scheme: Scheme, widths: Widths) -> int:
    """Width of an operand of a matmul or product."""
    return widths.operands.get((group.output, index), scheme.operand_bits or scheme.activation_bits)


def class_bits(
    graph: TaskGraph, groups: list[Group], classes: Classes, scheme: Scheme, widths: Widths
) -> dict[str, int]:
    """Width of each set of tensors that share a format, by its root: the widest that is asked for one of them or of what
    reads it; where nothing is, the scheme's."""
    asked: dict[str, int] = {}
    read: dict[str, int] = {}

    def widen(bits: dict[str, int], name: str, width: int) -> None:
        root = classes.root(name)
        bits[root] = max(bits.get(root, 0), width)

    for name, width in widths.tensors.items():
        widen(asked, name, width)
    for group in groups:
        if group.kind in OPERANDS:
            for index, name in enumerate(group.inputs):
                widen(read, name, operand_bits(group, index, scheme, widths))
                if (group.output, index) in widths.operands:
                    widen(asked, name, widths.operands[group.output, index])
    found = {classes.root(name): scheme.activation_bits for g in groups for name in (*g.inputs, g.output)}
    found |= {classes.root(name): scheme.activation_bits for name in graph.inputs}
    found |= {root: read[root] for root in operand_roots(graph, groups, classes)}
    found |= {classes.root(name): MASKED_BITS for name in masked_scores(groups)}
    named = {classes.root(name) for name in widths.tensors}
    return found | {
        root: width if root in named else max(width, found[root])
        for root, width in asked.items()
        if root in found
    }


def _indices(groups: Sequence[Group]) -> list[str]:
    """Tensors of ids and indices, and the call's position."""
    looked = [name for group in groups if group.kind == "embedding" for name in group.inputs]
    looked += [name for group in groups if group.cached for name in group.first.inputs[1:]]
    return [*looked, *(group.output for group in groups if group.kind == "argmax")]


def _fixed(graph: TaskGraph, names: list[str]) -> dict[str, Format]:
    fixed, found = {}, []
    for name in dict.fromkeys(names):
        tensor = graph.tensor(name)
        if tensor.quant is None:
            continue
        own = own_format(tensor.quant)
        if own is None:
            found.append(
                Finding(
                    "the model quantises it per channel or to a width other than 4, 8, 10 or 16 bits",
                    f"tensor '{tensor.source or name}'",
                    "activations have one scale and one zero point",
                    "export the model with per-tensor int8 or int16 activations",
                )
            )
        else:
            fixed[name] = own
    if found:
        raise UnsupportedError(found)
    return fixed


def _observe(
    graph: TaskGraph, needed: list[str], scheme: Scheme, calibration: Mapping[str, np.ndarray] | None
) -> dict[str, Observed]:
    if not needed:
        return {}
    if calibration is None:
        names = list(dict.fromkeys(f"'{graph.tensor(name).source or name}'" for name in needed))
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise CalibrationError(
            Finding(
                f"{len(names)} tensors have no range: {shown}",
                graph.name,
                "the model does not quantise them itself, so their scales come from real data",
                WAY_OUT,
            )
        )
    return observe(graph, calibration, histograms=scheme.method != "minmax")
