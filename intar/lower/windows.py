"""Memories of images under construction: copies of tensors that convolutions and pools read in windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from intar.ir.nodes.memories import Image, ImageStep, Window
from intar.ir.quantgraph import Tap
from intar.lower.buffers import Memory, TensorMemory, affine_runs


@dataclass
class ImageMemory(Memory):
    """One image node: its two programs so far. `places` say where taps stand."""

    taps: list[Window] = field(default_factory=list)
    windows: list[ImageStep] = field(default_factory=list)
    places: dict[tuple[Window, ...], int] = field(default_factory=dict)

    def read_windows(self, taps: Sequence[Window], step: ImageStep) -> None:
        """Append a read step; its first tap is a position in `taps`."""
        first = self.places.setdefault(tuple(taps), len(self.taps))
        if first == len(self.taps):
            self.taps.extend(taps)
        self.windows.append(step.model_copy(update={"tap": first + step.tap}))
        self.read += step.tiles * step.passes
        self.order.append(("r", step.tiles * step.passes))

    def node(self) -> Image:  # type: ignore[override]
        """The node with what was appended so far."""
        return Image(
            name=self.name,
            depth=self.depth,
            lanes=self.lanes,
            bits=self.bits,
            taps=tuple(self.taps),
            writes=tuple(self.writes),
            reads=tuple(self.windows),
            merged=tuple(self.order),
        )


def window(tap: Tap, row: int, pitch: int, height: int, width: int) -> Window:
    """A tap on a tensor whose channels take `row` elements each."""
    return Window(
        offset=tap.channel * row + tap.dy * pitch + tap.dx,
        dy=tap.dy,
        dx=tap.dx,
        height=height - tap.short_rows,
        width=width - tap.short_columns,
    )


def _moved(taps: Sequence[Window], elements: int) -> Sequence[Window]:
    """The same windows of channels so many elements further on."""
    return [tap.model_copy(update={"offset": tap.offset + elements}) for tap in taps] if elements else taps


def read_tiles(
    source: TensorMemory, taps: Sequence[Window], step: ImageStep, last_reads: Sequence[int]
) -> None:
    """Have windows of a tensor arrive: of each tile as soon as the pixels that it reads are there, all tiles `passes` times.

    `step` says which tiles; when each may start is added here. `last_reads` are the last elements that they read.
    """
    memory = source.memory
    assert isinstance(memory, ImageMemory)
    complete = source.complete or [source.ready[0]] * source.pitch
    tiles = range(step.first, step.first + step.tiles * step.stride, step.stride)
    needs = [complete[min(max(last // memory.lanes, 0), len(complete) - 1)] for last in last_reads]
    # All is there after the first pass, which is a step for each stretch of tiles whose needs grow evenly.
    last = max(needs)
    runs = list(affine_runs(needs)) if last > source.awaited else [(0, len(needs), last, 0)]
    source.awaited = max(source.awaited, last)
    plan = [(*run, step.passes if len(runs) == 1 else 1) for run in runs]
    if step.passes > 1 and len(runs) > 1:
        plan.append((0, len(needs), last, 0, step.passes - 1))
    for number, (first, count, need, growth, passes) in enumerate(plan):
        read = {
            "first": tiles[first],
            "tiles": count,
            "passes": passes,
            "need": need,
            "need_step": growth,
            "need_limit": need + growth * (count - 1),
        }
        moved = step.pass_step * memory.lanes if number == len(runs) else 0
        memory.read_windows(_moved(taps, moved), step.model_copy(update=read))
    source.drained[0] = memory.read
