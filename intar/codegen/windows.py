"""Where the taps of an image read, as both back ends write it down: offsets in beats, bounds of rows, masks of columns."""

from __future__ import annotations

from math import gcd

from intar.ir.program import Image, ImageStep


def spans(node: Image) -> list[tuple[int, int]]:
    """The different (distance in columns, valid columns) that the taps have; their masks lie in this order."""
    return sorted({(tap.dx, tap.width) for tap in node.taps})


def phases(node: Image) -> int:
    """How many tiles it takes until a tile starts in the same column again."""
    return node.pitch // gcd(node.pitch, node.lanes)


def masks(node: Image) -> list[tuple[int, str]]:
    """A mask with a bit per lane, and a note, for each phase and span: which lanes stay in a row of the image."""
    tiles = 1 + max(step.first + (step.tiles - 1) * step.stride for step in node.reads)
    found = []
    for phase in range(min(phases(node), tiles)):
        for dx, width in spans(node):
            at = [(phase * node.lanes + lane) % node.pitch + dx for lane in range(node.lanes)]
            mask = sum((0 <= column < width) << lane for lane, column in enumerate(at))
            found.append((mask, f"tile {phase}, {dx:+} of {width} columns"))
    return found


def taps(node: Image) -> list[tuple[dict[str, int], str]]:
    """Fields and a note for each tap: offset as beat and element, flat pixels low..high-1 that read a valid row, mask."""
    known = spans(node)
    found = []
    for tap in node.taps:
        beat, element = divmod(tap.offset, node.lanes)
        low, high = -tap.dy * node.pitch, (tap.height - tap.dy) * node.pitch
        fields = {
            "beat": beat,
            "element": element,
            "low": low,
            "high": high,
            "column": known.index((tap.dx, tap.width)),
        }
        base = tap.offset - tap.dy * node.pitch - tap.dx
        found.append((fields, f"{tap.dy:+} rows, {tap.dx:+} columns from element {base}"))
    return found


def tile_position(node: Image, step: ImageStep) -> dict[str, int]:
    """Where the first tile of a step is, in beats, pixels and masks, and how far the next one is from it."""
    period, count = phases(node), len(spans(node))
    return {
        "tile": step.first,
        "tile_step": step.stride,
        "pixel": step.first * node.lanes,
        "pixel_step": step.stride * node.lanes,
        "phase": step.first % period * count,
        "phase_step": step.stride % period * count,
    }


def pixel_bits(node: Image) -> int:
    """Bits of the flat pixels and bounds of rows that an image compares, signed."""
    tiles = max(step.first + step.tiles * step.stride for step in node.reads)
    far = max(tap.height + abs(tap.dy) for tap in node.taps) * node.pitch
    return (far + (tiles + 1) * node.lanes).bit_length() + 1
