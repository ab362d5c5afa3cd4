"""Where the taps of an image read, as both back ends write it down: offsets in beats, bounds of rows, masks of columns.

Lanes are pixels of a tile. Where its rows are not as long as those of the memory (`Track`), a lane's element lies further
on, or back, with every row end before it: lanes choose from a window of elements that may be longer than a beat.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from intar.ir.nodes.memories import Image, ImageStep, Window


@dataclass(frozen=True, order=True)
class Track:
    """How the pixels of tiles lie in the memory.

    Parameters
    ----------
    columns : pixels from row to row of a tile.
    skip : how many more (or, negative, fewer) elements these rows are apart in the memory.
    rows : of the image; 1 without a skip: it does not matter then.
    """

    columns: int
    skip: int
    rows: int

    @property
    def lead(self) -> int:
        """How far before a tile's first element its window begins: a row end may move a lane back."""
        return max(0, -self.skip - 1)

    def place(self, pixel: int) -> int:
        """The element in the place of a pixel."""
        return pixel + pixel // self.columns * self.skip

    def window(self, lanes: int) -> int:
        """Elements from which the lanes of a tile choose, wherever in a row the tile begins."""
        ends = min(self.rows - 1, (self.columns - 1 + lanes - 1) // self.columns)
        return self.lead + lanes + max(0, self.skip) * ends

    def source(self, lane: int) -> tuple[int, int, int]:
        """(near, far, turn): a lane's element of the window, and the one that it has where its tile begins in column `turn`
        or later: each row end before a lane moves it on by `skip`, and there is one more or one less."""
        ends, column = divmod(lane, self.columns)
        near = min(ends, self.rows - 1)
        far = near + 1 if column and ends < self.rows - 1 else near
        return (
            self.lead + lane + near * self.skip,
            self.lead + lane + far * self.skip,
            self.columns - column,
        )


def track(node: Image, step: ImageStep) -> Track:
    """The track of a step."""
    skip = node.pitch - step.columns if step.rows > 1 else 0
    return Track(step.columns, skip, step.rows if skip else 1)


def tracks(node: Image) -> list[Track]:
    """The different tracks of a node's steps."""
    return sorted({track(node, step) for step in node.reads})


def apart(node: Image) -> bool:
    """Rows of some tiles are not as long as those of the memory."""
    return any(made.skip for made in tracks(node))


def window(node: Image) -> int:
    """Elements from which lanes choose."""
    return max(made.window(node.lanes) for made in tracks(node))


def part(node: Image) -> int:
    """Elements of a part of a beat that has an address of its own, so that a window may begin anywhere: a beat, or fewer."""
    half = ((node.lanes - 1).bit_length() or 1) // 2
    return gcd(node.lanes, 1 << half) if apart(node) else node.lanes


def banks(node: Image) -> int:
    """Neighbouring beats that are in different memories: a power of two, such that a window is read in one cycle."""
    count = 2
    while count * node.lanes < window(node) + part(node) - 1:
        count *= 2
    return count


def spans(node: Image, made: Track) -> list[tuple[int, int]]:
    """The different (distance in columns, valid columns) of the taps on a track; their masks lie in this order."""
    return sorted(
        {(tap.dx, tap.width) for step in node.reads if track(node, step) == made for tap in _taps(node, step)}
    )


def _taps(node: Image, step: ImageStep) -> tuple[Window, ...]:
    return node.taps[step.tap : step.tap + step.taps]


def phases(node: Image, made: Track) -> int:
    """How many tiles it takes until a tile starts in the same column again, or how many there are."""
    tiles = max(s.first + (s.tiles - 1) * s.stride for s in node.reads if track(node, s) == made) + 1
    return min(made.columns // gcd(made.columns, node.lanes), tiles)


def masks(node: Image) -> list[tuple[int, str]]:
    """A mask with a bit per lane, and a note, for each track, phase and span: which lanes stay in a row of the image."""
    found = []
    for made in tracks(node):
        different = spans(node, made)
        for phase in range(phases(node, made)):
            for dx, width in different:
                at = [(phase * node.lanes + lane) % made.columns + dx for lane in range(node.lanes)]
                mask = sum((0 <= column < width) << lane for lane, column in enumerate(at))
                found.append((mask, f"tile {phase}, {dx:+} of {width} columns"))
    return found


def _places(node: Image) -> list[tuple[Track, int, int]]:
    """Track, rows of the image and position in the node's list of each tap as written down; a step's stand together."""
    found = {
        (track(node, step), step.rows, index)
        for step in node.reads
        for index in range(step.tap, step.tap + step.taps)
    }
    return sorted(found)


def taps(node: Image) -> list[tuple[dict[str, int], str]]:
    """Fields and a note for each tap: offset as beat and element, flat pixels low..high-1 that read a valid row, mask."""
    found = []
    known = {made: spans(node, made) for made in tracks(node)}
    for made, rows, index in _places(node):
        tap = node.taps[index]
        beat, element = divmod(tap.offset - made.lead, node.lanes)
        fields = {
            "beat": beat,
            "element": element,
            "low": -tap.dy * made.columns,
            "high": min(tap.height - tap.dy, rows) * made.columns,
            "column": known[made].index((tap.dx, tap.width)),
        }
        base = tap.offset - tap.dy * node.pitch - tap.dx
        found.append((fields, f"{tap.dy:+} rows, {tap.dx:+} columns from element {base}"))
    return found


def step_fields(node: Image) -> list[dict[str, int]]:
    """Of each step: its taps, where its first tile is, in beats, pixels and masks, and how far the next one is from it.

    The next tile is `tile_step` beats and `element_step` elements on, or where its first column is past the end of a row
    `tile_wrap` and `element_wrap`. Each pass begins `pass_step` beats further on.
    """
    place = {found: position for position, found in reversed(list(enumerate(_places(node))))}
    turns: dict[
        Track, tuple[int, int, int, int]
    ] = {}  # number of the track, its first mask, masks of a tile, tiles
    base = 0
    for number, made in enumerate(tracks(node)):
        count, period = len(spans(node, made)), phases(node, made)
        turns[made] = number, base, count, period
        base += period * count
    found = []
    for step in node.reads:
        made = track(node, step)
        found.append(_step(node, step, made, place[made, step.rows, step.tap], *turns[made]))
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
    bounds = [abs(fields[side]) for fields, _ in taps(node) for side in ("low", "high")]
    return (max(bounds) + last).bit_length() + 1
