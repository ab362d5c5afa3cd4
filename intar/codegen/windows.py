"""Where the taps of an image read, as both back ends write it down: offsets in beats, bounds of rows, masks of columns.

Lanes are pixels of a tile. Where its rows are not as long as those of the memory (`Track`), a lane's element lies further
on, or back, with every row end before it, and with strides lanes read elements that are no neighbours: they choose from a
window of elements that may be longer than a beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

from intar.ir.nodes.memories import Image, ImageStep, Window


@dataclass(frozen=True, order=True)
class Track:
    """How the pixels of tiles lie in the memory.

    Parameters
    ----------
    columns : pixels from row to row of a tile.
    skip : how many more (or, negative, fewer) elements these rows are apart in the memory than their pixels take.
    rows : of the image; 1 without a skip: it does not matter then.
    right, down : columns and rows of the memory's image from pixel to pixel, from row to row.
    """

    columns: int
    skip: int
    rows: int
    right: int
    down: int

    @property
    def lead(self) -> int:
        """How far before a tile's first element its window begins: a row end may move a lane back."""
        return max(0, -self.skip - self.right)

    def place(self, pixel: int) -> int:
        """The element in the place of a pixel."""
        return pixel * self.right + pixel // self.columns * self.skip

    def window(self, lanes: int) -> int:
        """Elements from which the lanes of a tile choose, wherever in a row the tile begins."""
        ends = min(self.rows - 1, (self.columns - 1 + lanes - 1) // self.columns)
        return self.lead + (lanes - 1) * self.right + 1 + max(0, self.skip) * ends

    def source(self, lane: int) -> tuple[int, int, int]:
        """(near, far, turn): a lane's element of the window, and the one that it has where its tile begins in column `turn`
        or later: each row end before a lane moves it on by `skip`, and there is one more or one less."""
        ends, column = divmod(lane, self.columns)
        near = min(ends, self.rows - 1)
        far = near + 1 if column and ends < self.rows - 1 else near
        return (
            self.lead + lane * self.right + near * self.skip,
            self.lead + lane * self.right + far * self.skip,
            self.columns - column,
        )


def track(step: ImageStep) -> Track:
    """The track of a step."""
    return _track(*_shape(step))


def _shape(step: ImageStep) -> tuple[int, int, int, int, int]:
    return step.columns, step.rows, step.right, step.down, step.pitch


def _track(columns: int, rows: int, right: int, down: int, pitch: int) -> Track:
    skip = down * pitch - right * columns if rows > 1 else 0
    return Track(columns, skip, rows if skip else 1, right, down)


def _steps(node: Image) -> dict[Track, list[ImageStep]]:
    """The steps of each track, in the order of the tracks."""
    alike: dict[
        tuple[int, int, int, int, int], list[ImageStep]
    ] = {}  # steps are many, and shapes of images few
    for step in node.reads:
        alike.setdefault(_shape(step), []).append(step)
    found: dict[Track, list[ImageStep]] = {}
    for shape, steps in alike.items():
        found.setdefault(_track(*shape), []).extend(steps)
    return dict(sorted(found.items()))


def tracks(node: Image) -> list[Track]:
    """The different tracks of a node's steps."""
    return list(_steps(node))


def apart(node: Image) -> bool:
    """Rows of some tiles are not as long as those of the memory: their windows begin anywhere in a beat."""
    return any(made.skip for made in tracks(node))


def window(node: Image) -> int:
    """Elements from which lanes choose."""
    return max(made.window(node.lanes) for made in tracks(node))


def part(node: Image) -> int:
    """Elements of a part of a beat that has an address of its own, so that a window may begin anywhere: a beat, or fewer
    where that takes fewer banks."""
    half = ((node.lanes - 1).bit_length() or 1) // 2
    small = gcd(node.lanes, 1 << half)
    return small if apart(node) and _banks(node, small) < _banks(node, node.lanes) else node.lanes


def banks(node: Image) -> int:
    """Neighbouring beats that are in different memories: a power of two, such that a window is read in one cycle."""
    return _banks(node, part(node))


def _banks(node: Image, size: int) -> int:
    """The same if parts of beats have so many elements; without reads apart a beat's window begins in one of two."""
    count = 2
    while count * node.lanes < window(node) + size - 1:
        count *= 2
    return count


def _spans(node: Image, steps: Sequence[ImageStep]) -> list[tuple[int, int]]:
    """The different (distance in columns, valid columns) of the taps of these steps; their masks lie in this order."""
    taps = (node.taps[index] for index in _indices(steps))
    return sorted({(tap.dx, tap.width) for tap in taps})


def _indices(steps: Sequence[ImageStep]) -> list[int]:
    """Positions in the node's list of the taps of these steps."""
    return sorted(
        {index for first, taps in {(s.tap, s.taps) for s in steps} for index in range(first, first + taps)}
    )


def _phases(node: Image, made: Track, steps: Sequence[ImageStep]) -> int:
    """How many tiles it takes until a tile on this track starts in the same column again, or how many there are."""
    tiles = max(s.first + (s.tiles - 1) * s.stride for s in steps) + 1
    return min(made.columns // gcd(made.columns, node.lanes), tiles)


def masks(node: Image) -> list[tuple[int, str]]:
    """A mask with a bit per lane, and a note, for each track, phase and span: which lanes stay in a row of the image."""
    found = []
    for made, steps in _steps(node).items():
        different = _spans(node, steps)
        for phase in range(_phases(node, made, steps)):
            for dx, width in different:
                pixels = [(phase * node.lanes + lane) % made.columns for lane in range(node.lanes)]
                at = [column * made.right + dx for column in pixels]
                mask = sum((0 <= column < width) << lane for lane, column in enumerate(at))
                found.append((mask, f"tile {phase}, {dx:+} of {width} columns"))
    return found


def _places(node: Image) -> list[tuple[Track, int, list[int]]]:
    """Track, rows of the image and positions in the node's list of the taps as written down; a step's stand together."""
    alike: dict[tuple[Track, int], list[ImageStep]] = {}
    for made, steps in _steps(node).items():
        for step in steps:
            alike.setdefault((made, step.rows), []).append(step)
    return [(made, rows, _indices(steps)) for (made, rows), steps in sorted(alike.items())]


def taps(node: Image) -> list[tuple[dict[str, int], str]]:
    """Fields and a note for each tap: offset as beat and element, flat pixels low..high-1 that read a valid row, mask."""
    found = []
    known = {
        made: {span: number for number, span in enumerate(_spans(node, steps))}
        for made, steps in _steps(node).items()
    }
    for made, rows, indices in _places(node):
        lead, columns = made.lead, known[made]
        for tap in (node.taps[index] for index in indices):
            beat, element = divmod(tap.offset - lead, node.lanes)
            low, high = _bounds(made, rows, tap)
            fields = {
                "beat": beat,
                "element": element,
                "low": low,
                "high": high,
                "column": columns[tap.dx, tap.width],
            }
            found.append((fields, f"{tap.dy:+} rows, {tap.dx:+} columns: {tap.offset:+} elements"))
    return found


def _bounds(made: Track, rows: int, tap: Window) -> tuple[int, int]:
    """Flat pixels low..high-1 of an image of so many rows, which read a valid row with this tap."""
    first, end = (-(edge // made.down) for edge in (tap.dy, tap.dy - tap.height))
    return first * made.columns, min(end, rows) * made.columns


def step_fields(node: Image) -> list[dict[str, int]]:
    """Of each step: its taps, where its first tile is, in beats, pixels and masks, and how far the next one is from it.

    The next tile is `tile_step` beats and `element_step` elements on, or where its first column is past the end of a row
    `tile_wrap` and `element_wrap`. Each pass begins `pass_step` beats further on.
    """
    place: dict[tuple[Track, int], dict[int, int]] = {}
    start = 0
    for made, rows, indices in _places(node):
        place[made, rows] = {index: position for position, index in enumerate(indices, start)}
        start += len(indices)
    turns: dict[
        tuple[int, int, int, int, int], tuple[Track, dict[int, int], int, int, int, int]
    ] = {}  # of steps alike: track, places of taps, number of the track, its first mask, masks of a tile, tiles
    base = 0
    for number, (made, steps) in enumerate(_steps(node).items()):
        count, period = len(_spans(node, steps)), _phases(node, made, steps)
        for shape in {_shape(step) for step in steps}:
            turns[shape] = made, place[made, shape[1]], number, base, count, period
        base += period * count
    found = []
    for step in node.reads:
        made, places, *turn = turns[_shape(step)]
        found.append(_step(node, step, made, places[step.tap], *turn))
    return found


def _step(
    node: Image, step: ImageStep, made: Track, tap: int, number: int, base: int, count: int, period: int
) -> dict[str, int]:
    """The fields of a step of this track."""
    lanes = node.lanes
    pixel, pixel_step = step.first * lanes, step.stride * lanes
    tile, element = divmod(made.place(pixel), lanes)
    tile_step, element_step = divmod(made.place(pixel_step), lanes)
    tile_wrap, element_wrap = divmod(made.place(pixel_step) + made.skip, lanes)
    return {
        "tap": tap,
        "tile": tile,
        "element": element,
        "tile_step": tile_step,
        "element_step": element_step,
        "tile_wrap": tile_wrap,
        "element_wrap": element_wrap,
        "column": pixel % made.columns,
        "column_step": pixel_step % made.columns,
        "track": number,
        "pixel": pixel,
        "pixel_step": pixel_step,
        "phase": base + step.first % period * count,
        "phase_step": step.stride % period * count,
        "phase_end": base + period * count,
        "phase_wrap": period * count,
        "pass_step": step.pass_step,
    }


def pixel_bits(node: Image) -> int:
    """Bits of the flat pixels and bounds of rows that an image compares, signed."""
    last = max((step.first + step.tiles * step.stride + 1) * node.lanes for step in node.reads)
    bounds = {
        abs(bound)
        for made, rows, indices in _places(node)
        for index in indices
        for bound in _bounds(made, rows, node.taps[index])
    }
    return (max(bounds) + last).bit_length() + 1
