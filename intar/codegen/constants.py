"""The contents of memories of constants, as beats in hexadecimal and as integers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from intar.errors import InternalError
from intar.ir.nodes.memories import ConstantMemory


def hexadecimal(node: ConstantMemory, images: Mapping[str, bytes]) -> bytes:
    """A line of digits for each beat, as ``$readmemh`` takes them."""
    width = node.lanes * node.bits
    bits = np.pad(_bits(node, images).reshape(node.depth, width), ((0, 0), (0, -width % 8)))
    beats = np.packbits(bits, axis=1, bitorder="little")[:, ::-1]
    digits, size = beats.tobytes().hex(), 2 * beats.shape[1]
    unused = size - -(-width // 4)
    return "".join(digits[at + unused : at + size] + "\n" for at in range(0, len(digits), size)).encode()


def integers(node: ConstantMemory, images: Mapping[str, bytes]) -> np.ndarray:
    """The elements of all beats (depth, lanes), int64."""
    bits = _bits(node, images).reshape(-1, node.bits).astype(np.int64)
    weights = 1 << np.arange(node.bits, dtype=np.int64)
    weights[-1] = -weights[-1]
    return (bits @ weights).reshape(node.depth, node.lanes)


def _bits(node: ConstantMemory, images: Mapping[str, bytes]) -> np.ndarray:
    """All bits of the image that count, lowest first."""
    image = images.get(node.name, b"")
    if len(image) != node.image_bytes:
        raise InternalError(
            f"the constants {node.name!r} need an image of {node.image_bytes} bytes, got {len(image)}"
        )
    bits = np.unpackbits(np.frombuffer(image, dtype=np.uint8), bitorder="little")
    return bits[: node.depth * node.lanes * node.bits]
