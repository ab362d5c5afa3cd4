"""The contents of memories of constants, a line for each beat: for ``$readmemh``, and as rows of an array in C++."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from intar.errors import InternalError
from intar.ir.nodes.memories import ConstantMemory


def hexadecimal(node: ConstantMemory, images: Mapping[str, bytes]) -> bytes:
    """A line of digits for each beat, as ``$readmemh`` takes them."""
    width, beats = node.lanes * node.bits, _beats(node, images)[:, ::-1]
    digits, size = beats.tobytes().hex(), 2 * beats.shape[1]
    unused = size - -(-width // 4)
    return "".join(digits[at + unused : at + size] + "\n" for at in range(0, len(digits), size)).encode()


def rows_file(node: ConstantMemory) -> str:
    """The file with its rows in C++, below ``hls``."""
    return f"constants/{node.name}.inc"


def words_of(node: ConstantMemory) -> tuple[int, int]:
    """Bits of the integers that hold a beat in C++, and how many there are: the widest without bits to spare in whole
    bytes."""
    size = -(-node.lanes * node.bits // 8) * 8
    bits = next(bits for bits in (64, 32, 16, 8) if size % bits == 0)
    return bits, size // bits


def cpp_rows(node: ConstantMemory, images: Mapping[str, bytes]) -> bytes:
    """A braced row of integers for each beat."""
    bits, _ = words_of(node)
    rows = _beats(node, images).view(f"<u{bits // 8}").tolist()
    suffix = "u" if bits < 64 else "ull"
    return "".join("{" + ", ".join(f"{word:#x}{suffix}" for word in row) + "},\n" for row in rows).encode()


def _beats(node: ConstantMemory, images: Mapping[str, bytes]) -> np.ndarray:
    """The bytes of each beat (depth, bytes), lowest first."""
    width = node.lanes * node.bits
    image = images.get(node.name, b"")
    if len(image) != node.image_bytes:
        raise InternalError(
            f"the constants {node.name!r} need an image of {node.image_bytes} bytes, got {len(image)}"
        )
    packed = np.frombuffer(image, dtype=np.uint8)
    if width % 8 == 0:
        return packed.reshape(node.depth, width // 8)
    bits = np.unpackbits(packed, bitorder="little")[: node.depth * width].reshape(node.depth, width)
    return np.packbits(np.pad(bits, ((0, 0), (0, -width % 8))), axis=1, bitorder="little")
