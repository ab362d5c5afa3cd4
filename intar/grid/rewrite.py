"""Rewrite a network of images into lists of taps (`intar.ir.taps`) on images that share one grid.

An image is stored in phases: of a layout (2, 3), row ``2 i + a`` and column ``3 j + b`` are element (i, j) of phase
``3 a + b``, and the phases are channels. Strides, transposed convolutions and upsampling then only choose channels, and
operators that move elements (upsampling, depth to space, space to depth, parts of the channels) are another way to look
at the same channels. What is left are convolutions and maxima over taps, elementwise operators, and a reordering where an
image comes from or goes to something else. It is exact: in real numbers up to the order of summation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import reduce

import numpy as np

from intar.errors import Finding, UnsupportedError
from intar.grid.images import BINARY, TAPS, VIEWS, channel_factor, follows, gated_in_any_order, grid_images
from intar.grid.layout import Relation, choose, steps_to
from intar.grid.sketch import Sketch
from intar.grid.stored import Stored, beside, canonical, reads, stored_weight, tap, weighted
from intar.grid.windows import WINDOWS, Window, means_apart
from intar.ir.image_reference import space_to_depth
from intar.ir.ops import Op, broadcast_kind
from intar.ir.shapes import AttrValue, Shape, show
from intar.ir.taps import attributes
from intar.ir.taskgraph import Task, TaskGraph
from intar.ir.validate import where as place_of

FEW = 8
"""Channels from which on those of a group of a convolution fill rows of an array. All phases of fewer stand together where a
product with a pixel reads them, as neighbours for an array that takes them at once (`intar.ir.phases`): behind a convolution
that only windows read, they can be put in another order when the array is known."""


def to_grid(graph: TaskGraph, *, copy_upsampled: bool = False, phases: tuple[int, int] = (1, 1)) -> TaskGraph:
    """The graph with all operators on images as taps; itself when there are none (or it has been rewritten before).

    Parameters
    ----------
    graph : a valid graph.
    copy_upsampled : make nearest upsampling an image of its own. Otherwise the convolution after it reads the small image
        with summed weights: of a 3×3 kernel after 2×2 upsampling, four taps for each output.
    phases : how many times the least number of phases (rows, columns) all images fall into.

    Raises
    ------
    UnsupportedError
        A batch of several images, or an operator on images in a way that the circuit does not have (all of them).
    """
    ops = {task.op for task in graph.tasks}
    if ops & TAPS or not ops & {*WINDOWS, Op.UPSAMPLE_NEAREST}:
        return graph
    return Rewriter(graph, copy_upsampled, phases).run()


class Rewriter(Sketch):
    """One rewriting."""

    def __init__(self, graph: TaskGraph, copy_upsampled: bool, times: tuple[int, int]) -> None:
        super().__init__(graph)
        self.copy_upsampled, self.times = copy_upsampled, times
        self.images = grid_images(graph)
        self.stored: dict[str, Stored] = {}
        self.plain: set[str] = set(graph.inputs)
        self.found: list[Finding] = []
        self.made = {task.output for task in graph.tasks if self._on_grid(task)}
        self.border = set(graph.outputs) | {
            name for task in graph.tasks if not self._on_grid(task) for name in task.inputs
        }
        self._images_of: dict[tuple[str, str], str] = {}

    def _on_grid(self, task: Task) -> bool:
        return task.output in self.images and (
            task.op in WINDOWS or task.op in VIEWS or follows(self.graph, task)
        )

    # ------------------------------------------------------------ the walk

    def run(self) -> TaskGraph:
        """The network on the grid.

        Raises
        UnsupportedError
            With everything about its images that cannot be done.
        """
        graph = self.graph
        self._check()
        if self.found:
            raise UnsupportedError(self.found)
        relations = [
            relation for task in graph.tasks if self._on_grid(task) for relation in self._relations(task)
        ]
        shapes = {t.name: t.shape[1:] for t in graph.tensors if t.name in self.images}
        self.phases, copies = choose(shapes, relations, self.times)
        self.border |= {relations[position].x for position in copies}
        self._images_of = {(r.x, r.y): copies.get(i, r.x) for i, r in enumerate(relations)}
        for task in graph.tasks:
            if self._on_grid(task):
                self._task(task)
            else:
                self._copy(task)
        for name in graph.outputs:
            self._as_plain(name)
        if self.found:
            raise UnsupportedError(self.found)
        return self._finish()

    def _check(self) -> None:
        for task in self.graph.tasks:
            if task.op not in WINDOWS and task.op not in VIEWS:
                continue
            shape = self.graph.tensor(task.inputs[0]).shape
            if shape[0] != 1:
                self._refuse(
                    task, f"{task.op} of a batch of {shape[0]} images", "give one image at a time (batch 1)"
                )
            if task.op is Op.SPACE_TO_DEPTH and any(
                n % b for n, b in zip(shape[2:], _pair(task, "block"), strict=True)
            ):
                self._refuse(
                    task, f"blocks that do not divide the image {show(shape)}", "pad the image before"
                )
            if task.op is Op.DEPTH_TO_SPACE:
                whole = tuple(n * b for n, b in zip(shape[2:], _pair(task, "block"), strict=True))
                if whole != _pair(task, "size"):
                    self._refuse(
                        task,
                        f"depth_to_space cuts its result to {show(_pair(task, 'size'))}",
                        "slice it after",
                    )

    def _refuse(self, task: Task, what: str, hint: str) -> None:
        self.found.append(
            Finding(what, place_of(task), "the circuit works on whole images, one by one", hint)
        )

    def _relations(self, task: Task) -> list[Relation]:
        one: tuple[Fraction | None, Fraction | None] = (Fraction(1), Fraction(1))
        x, y = task.inputs[0], task.output
        if task.op in WINDOWS:
            window = WINDOWS[task.op](self.graph, task)
            axes = (window.rows, window.columns)
            steps = all(axis.up == 1 for axis in axes) and max(axis.stride for axis in axes) > 1
            ratio = (window.rows.ratio, window.columns.ratio)
            return [Relation(x, y, ratio, steps, self._products(task, window))]
        if task.op in VIEWS:
            down, right = _pair(task, "factors" if task.op is Op.UPSAMPLE_NEAREST else "block")
            if task.op is Op.SPACE_TO_DEPTH:
                return [Relation(x, y, (Fraction(down), Fraction(right)))]
            return [Relation(x, y, (Fraction(1, down), Fraction(1, right)))]
        if channel_factor(self.graph, task):
            return [Relation(x, y, one), Relation(task.inputs[1], y, (None, None))]
        return [Relation(name, y, one) for name in task.inputs if name not in self.graph.constants]

    def _products(self, task: Task, window: Window) -> int:
        """Taps of all output elements."""
        taps = len(window.rows.offsets) * len(window.columns.offsets)
        inner = 1 if window.weight is None else window.weight.shape[1]
        return taps * inner * int(np.prod(self.graph.tensor(task.output).shape))

    def _copy(self, task: Task) -> None:
        """A task that is none of ours, on images as they are."""
        for name in task.inputs:
            if name in self.graph.constants:
                self._keep(name)
            else:
                self._as_plain(name)
        self.tensors[task.output] = self.graph.tensor(task.output)
        self.plain.add(task.output)
        self.tasks.append(task)

    def _task(self, task: Task) -> None:
        if task.op in WINDOWS:
            self._window(task, WINDOWS[task.op](self.graph, task))
        elif task.op in VIEWS or task.op is Op.SLICE:
            self._view(task)
        elif task.op is Op.PRELU:
            self._prelu(task)
        elif task.op is Op.CONCAT:
            self._concat(task)
        elif task.op in BINARY:
            self._binary(task)
        elif task.op is Op.SCALE_SHIFT:
            scale, shift = (self.graph.constant(name) for name in task.inputs[1:])
            self._scale_shift(task, self._image(task.inputs[0], task), scale, shift)
        elif task.op is Op.RATIONAL and task.attrs["groups"] != 1:
            # The groups of channels again in each phase.
            x = self._image(task.inputs[0], task)
            x = x if x.canonical else self._select(x, sums=True)
            for name in task.inputs[1:]:
                self._keep(name)
            attrs = {**task.attrs, "repeats": len(x.where)}
            self._emit(task, task.op, [x.name, *task.inputs[1:]], attrs, x)
        else:
            x = self._needed(self._image(task.inputs[0], task), sums=True)
            for name in task.inputs[1:]:
                self._keep(name)
            self._emit(task, task.op, [x.name, *task.inputs[1:]], task.attrs, x)

    def _storage(self, image: str) -> str:
        """The name of a grid tensor for an image: the image's own unless that is needed beside it."""
        return self._suffixed(image, "grid") if image in self.border or image in self.plain else image

    def _emit(
        self, task: Task, op: Op, inputs: list[str], attrs: Mapping[str, AttrValue], like: Stored,
        channels: int | None = None,
    ) -> None:  # fmt: skip
        """The task's result, kept as `like` says, under a name of its own."""
        image = self.graph.tensor(task.output)
        name = self._storage(image.name)
        count = like.channels if channels is None else channels
        source = image.source or image.name
        self._add(task, op, inputs, name, (1, count, *like.grid), attrs, image.quant, source)
        self.stored[image.name] = replace(like, name=name, channels=count)

    # ------------------------------------------------------------ images, as they are and in phases

    def _image(self, name: str, reader: Task) -> Stored:
        """The image as its reader needs it."""
        key = self._images_of[name, reader.output]
        if key not in self.stored and name in self.stored:
            x = self.stored[name]
            steps = steps_to(x.phases, self.phases[key])
            if steps is not None:
                self.stored[key] = reduce(self._stepped, steps, x)
        if key not in self.stored:
            image = self.graph.tensor(name)
            self._as_plain(name)
            phases, (_, channels, height, width) = self.phases[key], image.shape
            count = phases[0] * phases[1]
            like = Stored("", count * channels, canonical(count, channels), phases, (height, width))
            grid = self._suffixed(name, "grid")
            shape, source = (1, like.channels, *like.grid), image.source or name
            maker = Task(name=grid, op=Op.SPACE_TO_DEPTH, inputs=(), output=grid, source=reader.source)
            self._add(maker, Op.SPACE_TO_DEPTH, [name], grid, shape, {"block": phases}, image.quant, source)
            self.stored[key] = replace(like, name=grid)
        return self.stored[key]

    def _stepped(self, x: Stored, steps: tuple[int, int]) -> Stored:
        """A copy of the image in so many times as many phases: maxima of one tap, which keep the format."""
        phases = (x.phases[0] * steps[0], x.phases[1] * steps[1])
        channels = x.where.shape[1]
        like = Stored("", 0, canonical(phases[0] * phases[1], channels), phases, x.size)
        groups: list[tuple[int, list[Shape]]] = []
        for a, b in np.ndindex(phases):
            (down, i), (right, j) = divmod(a, x.phases[0]), divmod(b, x.phases[1])
            slot = (i * x.phases[1] + j, down, right, x.short(0, i), x.short(1, j))
            groups += [(1, [tap(x, slot, channel)]) for channel in range(channels)]
        name, old = self._suffixed(x.name.removesuffix("_grid"), "grid"), self.tensors[x.name]
        own = Task(name=name, op=Op.TAP_MAX, inputs=(), output=name, source="")
        shape, attrs = (1, len(groups), *like.grid), attributes(groups, like.grid, steps)
        self._add(own, Op.TAP_MAX, [x.name], name, shape, attrs, old.quant, old.source)
        return replace(like, name=name, channels=len(groups))

    def _as_plain(self, name: str) -> None:
        """Make the image itself, row by row."""
        if name in self.plain or name not in self.made:
            return
        image, x = self.graph.tensor(name), self._in_order(self.stored[name])
        maker = self.graph.producer(name)
        assert maker is not None
        own = Task(name=self._fresh(name), op=Op.DEPTH_TO_SPACE, inputs=(), output=name, source=maker.source)
        attrs: dict[str, AttrValue] = {"block": x.phases, "size": x.size}
        self._add(own, Op.DEPTH_TO_SPACE, [x.name], name, image.shape, attrs, image.quant, image.source)
        self.plain.add(name)

    def _select(self, x: Stored, *, sums: bool = False) -> Stored:
        """The image's channels copied into their own order: as maxima, which keep the format, or as sums of one tap, which
        what follows can join."""
        flat = x.where.reshape(-1)
        groups = [(1, [(int(c), 0, 0, 0, 0)]) for c in flat]
        name = self._suffixed(x.name, "copy")
        own = Task(name=name, op=Op.TAP_MAX, inputs=(), output=name, source="")
        old = self.tensors[x.name]
        shape, attrs = (1, flat.size, *x.grid), attributes(groups, x.grid)
        if sums:
            ones = self._constant(f"{name}_taps", np.ones((flat.size, 1)))
            self._add(own, Op.TAP_CONV, [x.name, ones], name, shape, attrs)
        else:
            self._add(own, Op.TAP_MAX, [x.name], name, shape, attrs, old.quant, old.source)
        return Stored(name, flat.size, canonical(*x.where.shape), x.phases, x.size)

    def _in_order(self, x: Stored) -> Stored:
        return x if x.canonical else self._select(x)

    def _needed(self, x: Stored, *, sums: bool = False) -> Stored:
        """Without channels that the image does not have."""
        return self._select(x, sums=sums) if x.channels > len(np.unique(x.where)) else x

    def _apart(self, x: Stored) -> Stored:
        """For an operator that treats each channel in its own way: every channel kept by itself, and no other."""
        return self._needed(x, sums=True) if x.apart else self._select(x, sums=True)

    # ------------------------------------------------------------ operators

    def _window(self, task: Task, window: Window) -> None:
        x = self._image(task.inputs[0], task)
        if task.op is Op.GLOBAL_AVG_POOL and self._apart_pays(task, x):
            down, window = means_apart(self.graph.tensor(task.inputs[0]).shape)
            x = self._columns(task, down, x)
        _, channels, height, width = self.graph.tensor(task.output).shape
        phases = self.phases[task.output]
        count = phases[0] * phases[1]
        out = Stored("", count * channels, canonical(count, channels), phases, (height, width))
        few = channels // window.groups
        if few < FEW and window.gain is None and gated_in_any_order(self.graph, task.output):
            out = replace(out, where=beside(count, channels, few))
        attrs, weight = self._taps(window, x, out)
        if weight is None:
            self._emit(task, Op.TAP_MAX, [x.name], attrs, out)
            return
        constants = [self._constant(f"{task.name}_taps", *stored_weight(weight, window.quant, out.where))]
        if window.bias is not None:
            bias = np.empty(count * channels)
            bias[out.where] = window.bias
            constants.append(self._constant(f"{task.name}_bias", bias))
        if window.gain is None:
            self._emit(task, Op.TAP_CONV, [x.name, *constants], attrs, out)
            return
        name = self._suffixed(task.output, "sum")
        self._add(task, Op.TAP_CONV, [x.name, *constants], name, (1, out.channels, *out.grid), attrs)
        self._by_place(task, Op.MUL, replace(out, name=name), window.gain[None, None], first=False)

    def _taps(self, window: Window, x: Stored, out: Stored) -> tuple[dict[str, AttrValue], np.ndarray | None]:
        """What the window reads of an image for another: the attributes, and the weights (channels of `out`, taps)."""
        found: list[tuple[int, int, list[Shape], np.ndarray | None]] = []
        for phase in range(len(out.where)):
            slots, sums = reads(window, x, out, divmod(phase, out.phases[1]))
            first = out.where[phase].tolist()
            if window.weight is None:
                found += [(first[c], 1, [tap(x, slot, c) for slot in slots], None) for c in range(len(first))]
                continue
            made = weighted(window, x, slots, sums)
            few = len(first) // len(made)
            found += [(first[n * few], few, taps, weights) for n, (taps, weights) in enumerate(made)]
        found.sort(key=lambda one: one[0])
        axes = (window.rows, window.columns)
        steps = tuple(axis.step(out.phases[a], x.phases[a]) for a, axis in enumerate(axes))
        attrs = attributes([(few, taps) for _, few, taps, _ in found], out.grid, steps)
        parts = [(first, part) for first, _, _, part in found if part is not None]
        if not parts:
            return attrs, None
        weight = np.zeros((out.channels, max(part.shape[1] for _, part in parts)), parts[0][1].dtype)
        for start, part in parts:
            weight[start : start + len(part), : part.shape[1]] = part
        return attrs, weight

    def _apart_pays(self, task: Task, x: Stored) -> bool:
        """A global average as two (`means_apart`) has far fewer taps, as of an image in phases, of which it is no product
        with a column of weights; and nobody has decided the integers of what is between."""
        _, _, height, width = self.graph.tensor(task.inputs[0]).shape
        own = self.graph.tensor(task.output).quant is not None
        return len(x.where) > 1 and not own and height * width >= 2 * (x.phases[1] * height + width)

    def _columns(self, task: Task, window: Window, x: Stored) -> Stored:
        """The averages of an image's columns."""
        channels, width, phases = x.where.shape[1], x.size[1], (1, x.phases[1])
        out = Stored("", phases[1] * channels, canonical(phases[1], channels), phases, (1, width))
        attrs, weight = self._taps(window, x, out)
        assert weight is not None
        name = self._suffixed(task.output, "columns")
        constant = self._constant(f"{name}_taps", weight)
        self._add(task, Op.TAP_CONV, [x.name, constant], name, (1, out.channels, *out.grid), attrs)
        return replace(out, name=name)

    def _view(self, task: Task) -> None:
        x, image = self._image(task.inputs[0], task), self.graph.tensor(task.output)
        py, px = self.phases[task.output]
        channels = image.shape[1]
        qx = x.phases[1]
        if task.op is Op.SLICE:
            start, stop, step = (int(task.attrs[key]) for key in ("start", "stop", "step"))  # type: ignore[arg-type]
            chosen = x.where[:, start:stop:step]
        else:
            chosen = np.zeros((py * px, channels), np.int64)
            by, bx = _pair(task, "factors" if task.op is Op.UPSAMPLE_NEAREST else "block")
            for a, b in np.ndindex(py, px):
                if task.op is Op.SPACE_TO_DEPTH:
                    inner = [x.where[(a * by + u) * qx + b * bx + v] for u in range(by) for v in range(bx)]
                    chosen[a * px + b] = np.concatenate(inner)
                    continue
                row = x.where[a // by * qx + b // bx]
                first = (a % by * bx + b % bx) * channels if task.op is Op.DEPTH_TO_SPACE else 0
                chosen[a * px + b] = row[first : first + channels]
        view = replace(x, where=chosen, phases=(py, px), size=(image.shape[2], image.shape[3]))
        if task.op is Op.UPSAMPLE_NEAREST and self.copy_upsampled:
            view = self._select(view)
        self._look(task, view)

    def _look(self, task: Task, view: Stored) -> None:
        """The result is stored already; only a format of its own makes it a copy."""
        quant = self.graph.tensor(task.output).quant
        if quant is not None and quant != self.tensors[view.name].quant:
            channels = view.where.shape[1]
            self._scale_shift(task, view, np.ones(channels), np.zeros(channels))
        else:
            self.stored[task.output] = view

    def _concat(self, task: Task) -> None:
        for name in task.inputs:
            if name in self.graph.constants:
                self._refuse(
                    task, f"constant operand '{name}' of concat", "move the constant out of the network"
                )
                return
        seen = [self._image(name, task) for name in task.inputs]
        if len({part.name for part in seen}) == 1:
            self._look(task, replace(seen[0], where=np.concatenate([part.where for part in seen], axis=1)))
            return
        parts = [self._needed(part) for part in seen]
        starts = np.cumsum([0, *(part.channels for part in parts)])
        chosen = np.concatenate(
            [part.where + start for part, start in zip(parts, starts, strict=False)], axis=1
        )
        like = replace(parts[0], where=chosen)
        self._emit(task, Op.CONCAT, [part.name for part in parts], {"axis": 1}, like, int(starts[-1]))

    def _scale_shift(self, task: Task, x: Stored, scale: np.ndarray, shift: np.ndarray) -> None:
        x = self._apart(x)
        gain, offset = np.ones(x.channels), np.zeros(x.channels)
        gain[x.where], offset[x.where] = scale, shift
        constants = [
            self._constant(f"{task.name}_{role}", a) for role, a in (("gain", gain), ("shift", offset))
        ]
        self._emit(task, Op.SCALE_SHIFT, [x.name, *constants], {"axis": 1}, x)

    def _binary(self, task: Task) -> None:
        operands = [name for name in task.inputs if name not in self.graph.constants]
        if channel_factor(self.graph, task):
            self._channel_factor(task)
            return
        if len(operands) == 2:
            x, y = (self._image(name, task) for name in operands)
            if x.channels != y.channels or not np.array_equal(x.where, y.where):
                x, y = self._in_order(x), self._in_order(y)
            self._emit(task, task.op, [x.name, y.name], {"broadcast": "none"}, x)
            return
        x, first = self._image(operands[0], task), task.inputs[0] in self.graph.constants
        value = self.graph.constant(task.inputs[0 if first else 1])
        value = value.reshape((1,) * (4 - value.ndim) + value.shape)
        if value.shape[2:] != (1, 1):
            self._by_place(task, task.op, x, value, first)
            return
        row = np.broadcast_to(value.reshape(-1), (x.where.shape[1],))
        ones, zeros = np.ones(row.size), np.zeros(row.size)
        gain = row if task.op is Op.MUL else -ones if task.op is Op.SUB and first else ones
        shift = zeros if task.op is Op.MUL else -row if task.op is Op.SUB and not first else row
        self._scale_shift(task, x, gain, shift)

    def _channel_factor(self, task: Task) -> None:
        """A product with a pixel: the number of each channel of the image once for each channel in which it is kept."""
        x, pixel = (self._image(name, task) for name in task.inputs)
        x = self._apart(x)
        owner = np.zeros(x.channels, np.int64)
        owner[x.where] = np.arange(x.where.shape[1])
        wanted = Stored(pixel.name, pixel.channels, pixel.where[0, owner][None], (1, 1), (1, 1))
        factors = self._in_order(wanted)
        kind = broadcast_kind(self.tensors[x.name].shape, self.tensors[factors.name].shape)
        self._emit(task, Op.MUL, [x.name, factors.name], {"broadcast": kind}, x)

    def _by_place(self, task: Task, op: Op, x: Stored, value: np.ndarray, first: bool) -> None:
        """A sum or product with a constant image."""
        x = self._in_order(x)
        whole = np.broadcast_to(value, (1, x.where.shape[1], *x.size))
        constant = self._constant(f"{task.name}_image", space_to_depth([whole], {"block": x.phases}))
        inputs = [constant, x.name] if first else [x.name, constant]
        shapes = [self.tensors[name].shape for name in inputs]
        self._emit(task, op, inputs, {"broadcast": broadcast_kind(*shapes)}, x)

    def _prelu(self, task: Task) -> None:
        """``relu(x) - slope * relu(-x)``: both halves as channels, then a weighted sum of two taps."""
        x = self._apart(self._image(task.inputs[0], task))
        slope = np.ones(x.channels)
        slope[x.where] = self.graph.constant(task.inputs[1])
        alone = [(1, [(c, 0, 0, 0, 0)]) for c in range(x.channels)]
        signs = np.repeat([1.0, -1.0], x.channels)[:, None]
        shape = (1, 2 * x.channels, *x.grid)
        halves, cut = self._suffixed(task.output, "halves"), self._suffixed(task.output, "positive")
        weight = self._constant(f"{task.name}_signs", signs)
        self._add(task, Op.TAP_CONV, [x.name, weight], halves, shape, attributes(alone + alone, x.grid))
        self._add(task, Op.RELU, [halves], cut, shape, {})
        both = [(1, [(c, 0, 0, 0, 0), (x.channels + c, 0, 0, 0, 0)]) for c in range(x.channels)]
        weight = self._constant(f"{task.name}_slopes", np.stack([np.ones(x.channels), -slope], axis=1))
        self._emit(task, Op.TAP_CONV, [cut, weight], attributes(both, x.grid), x)


def _pair(task: Task, name: str) -> tuple[int, int]:
    value = task.attrs[name]
    assert isinstance(value, tuple)
    return value[0], value[1]
