"""Memories of images under construction: copies of tensors that convolutions and pools read in windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from intar.ir.program import Image, ImageStep, Window
from intar.ir.quantgraph import Tap
from intar.lower.buffers import Memory, TensorMemory, affine_runs


@dataclass
class ImageMemory(Memory):
    """One image node: its two programs so far. `pitch` is the width of a row of pixels; `places` say where taps stand."""

    pitch: int = 1
    taps: list[Window] = field(default_factory=list)
    windows: list[ImageStep] = field(default_factory=list)
    places: dict[tuple[Window, ...], int] = field(default_factory=dict)

    def read_windows(self, taps: Sequence[Window], step: ImageStep) -> None:
        """Append a read step of these taps."""
        first = self.places.setdefault(tuple(taps), len(self.taps))
        if first == len(self.taps):
            self.taps.extend(taps)
        self.windows.append(step.model_copy(update={"tap": first, "taps": len(taps)}))
        self.read += step.tiles * step.passes

    def node(self) -> Image:  # type: ignore[override]
        return Image(
            name=self.name,
            depth=self.depth,
            lanes=self.lanes,
            bits=self.bits,
            pitch=self.pitch,
            taps=tuple(self.taps),
            writes=tuple(self.writes),
            reads=tuple(self.windows),
        )


def window(tap: Tap, row_beats: int, lanes: int, pitch: int, height: int, width: int) -> Window:
    """A tap on a tensor whose channels take `row_beats` beats each."""
    return Window(
        offset=tap.channel * row_beats * lanes + tap.dy * pitch + tap.dx,
        dy=tap.dy,
        dx=tap.dx,
        height=height - tap.short_rows,
        width=width - tap.short_columns,
    )


def read_tiles(
    source: TensorMemory, taps: Sequence[Window], reach: int, tiles: range, passes: int, pad: int, note: str
) -> None:
    """Have windows of a tensor arrive: of each of `tiles` as soon as the pixels that it reads are there, `passes` times.

    `reach` is how many pixels a tap reads ahead at most.
    """
    memory = source.memory
    assert isinstance(memory, ImageMemory)
    ahead = 1 + (memory.lanes - 1 + reach) // memory.lanes
    complete = source.complete or [source.ready[0]] * source.pitch
    needs = [complete[min(max(tile + ahead, 1), len(complete)) - 1] for tile in tiles]
    # All is there after the first pass, which is a step for each stretch of tiles whose needs grow evenly.
    last = max(needs)
    runs = list(affine_runs(needs)) if last > source.awaited else [(0, len(needs), last, 0)]
    source.awaited = max(source.awaited, last)
    plan = [(*run, passes if len(runs) == 1 else 1) for run in runs]
    if passes > 1 and len(runs) > 1:
        plan.append((0, len(needs), last, 0, passes - 1))
    for first, count, need, step, times in plan:
        run = tiles[first : first + count]
        read = ImageStep(
            first=run.start,
            stride=tiles.step,
            tiles=count,
            passes=times,
            taps=1,
            pad=pad,
            need=need,
            need_step=step,
            need_limit=need + step * (count - 1),
            note=note,
        )
        memory.read_windows(taps, read)
    source.drained[0] = memory.read
