"""Bytes of the kernel's arguments: tensors as padded rows, beats packed from the least significant bit on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from intar.ir.program import Argument, Region


def beats_to_bytes(elements: np.ndarray, bits: int) -> bytes:
    """Pack signed integers of `bits` bits (4, 8, 16 or 32), in order; 4-bit: low nibble first, an odd one beside a 0."""
    flat = np.asarray(elements).reshape(-1)
    if bits == 4:
        nibbles = np.pad((flat & 15).astype(np.uint8), (0, len(flat) % 2))
        return (nibbles[0::2] | (nibbles[1::2] << 4)).tobytes()
    return flat.astype(f"<i{bits // 8}").tobytes()


def bytes_to_elements(data: bytes, bits: int) -> np.ndarray:
    """Inverse of `beats_to_bytes` (int64)."""
    if bits == 4:
        raw = np.frombuffer(data, dtype=np.uint8)
        nibbles = np.stack([raw & 15, raw >> 4], axis=1).reshape(-1).astype(np.int64)
        return (nibbles ^ 8) - 8
    return np.frombuffer(data, dtype=f"<i{bits // 8}").astype(np.int64)


def pad_to_word(data: bytes, port_bits: int) -> bytes:
    """Zero fill to a whole number of port words."""
    word = port_bits // 8
    return data + bytes(-len(data) % word)


def region_bytes(region: Region) -> int:
    """Bytes that a region takes, without padding to a word."""
    return region.beats * region.lanes * region.bits // 8


def pack_region(region: Region, values: np.ndarray) -> bytes:
    """A tensor's integers as the bytes of its region; `values` has rows*cols elements. The padding of a row is 0."""
    padded = np.zeros((region.rows, region.row_beats * region.lanes), dtype=np.int64)
    padded[:, : region.cols] = np.asarray(values).reshape(region.rows, region.cols)
    return beats_to_bytes(_beats(padded, region), region.bits)


def _beats(padded: np.ndarray, region: Region) -> np.ndarray:
    """The beats of a region (a view) in the padded rows of its tensor."""
    return padded.reshape(-1, region.lanes)[region.first :: region.step]


def argument_bytes(argument: Argument, tensors: Mapping[str, np.ndarray]) -> bytes:
    """The whole image of an argument from the tensors that lie in it; all other bits are 0."""
    word = argument.port_bits // 8
    image = bytearray(argument.words * word)
    for region in argument.fields:
        data = pack_region(region, tensors[region.name])
        image[region.base * word : region.base * word + len(data)] = data
    return bytes(image)


def stored_tensors(arguments: Iterable[Argument], images: Mapping[str, bytes]) -> dict[str, np.ndarray]:
    """The tensors in the images of the output arguments, by argument name, each (rows, cols)."""
    padded: dict[str, np.ndarray] = {}
    cols: dict[str, int] = {}
    for argument in arguments:
        word = argument.port_bits // 8
        for region in argument.fields:
            shape = (region.rows, region.row_beats * region.lanes)
            rows = padded.setdefault(region.name, np.zeros(shape, dtype=np.int64))
            start = region.base * word
            data = images[argument.name][start : start + region_bytes(region)]
            _beats(rows, region)[:] = bytes_to_elements(data, region.bits).reshape(-1, region.lanes)
            cols[region.name] = region.cols
    return {name: rows[:, : cols[name]] for name, rows in padded.items()}


def argument_tensors(argument: Argument, image: bytes) -> dict[str, np.ndarray]:
    """The tensors in an output argument's image, each (rows, cols)."""
    return stored_tensors([argument], {argument.name: image})
