"""What memories are made of: which ones are UltraRAM, and in how many memories the beats of an image lie."""

from __future__ import annotations

import pytest

from intar.codegen.storage import memory_style, shape, ultra_memories
from intar.ir.nodes.memories import Buffer, BufferStep, ConstantMemory, Image, ImageStep, Walk, Window
from intar.ir.program import Node, Program

WRITE = BufferStep(walk=Walk())


def buffer(name: str, depth: int, lanes: int) -> Buffer:
    return Buffer(name=name, depth=depth, lanes=lanes, bits=8, writes=(WRITE,), reads=(WRITE,))


def image(lanes: int, depth: int, **step: int) -> Image:
    """Read in windows of a tile whose rows are not as long as the memory's."""
    return Image(
        name="image",
        depth=depth,
        lanes=lanes,
        bits=8,
        taps=(Window(offset=0, dy=0, dx=0, height=28, width=28),),
        writes=(WRITE,),
        reads=(ImageStep(tiles=1, taps=1, rows=7, **step),),
    )


def ultra(blocks: int, *nodes: Node) -> frozenset[str]:
    return ultra_memories(Program.model_construct(nodes=nodes), blocks)


def test_the_largest_memories_that_fill_their_blocks_are_ultraram() -> None:
    """9,216 beats of 256 bits take 12 blocks, 8,192 take 8; 1,024 of 1,024 bits would leave most of theirs empty."""
    large, small, flat = buffer("large", 9216, 32), buffer("small", 8192, 32), buffer("flat", 1024, 128)
    constant = ConstantMemory(name="constant", depth=9216, lanes=32, bits=8, reads=())
    assert ultra(960, small, flat, constant, large) == {"large", "small"}
    assert ultra(19, small, large) == {"large"}
    assert ultra(11, small, large) == {"small"}
    assert ultra(0, small, large) == frozenset()
    styles = [memory_style(node, frozenset({"large"})) for node in (large, small, buffer("tiny", 64, 32))]
    assert styles == ["ultra", "block", "distributed"]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (image(32, 25600, columns=14, pitch=28, down=2, right=2), (8, 256, 3200)),  # windows of 147 elements
        (image(16, 100, columns=6, pitch=7), (8, 32, 50)),  # of 19: parts of 4 elements do with two beats
        (image(16, 100, columns=7, pitch=7), (2, 128, 50)),  # of 16
    ],
)
def test_whole_beats_have_addresses_where_parts_save_no_memory(
    made: Image, expected: tuple[int, int, int]
) -> None:
    assert shape(made) == expected


def test_images_of_a_large_network_are_ultraram() -> None:
    assert ultra(96, image(32, 25600, columns=14, pitch=28, down=2, right=2)) == {"image"}
