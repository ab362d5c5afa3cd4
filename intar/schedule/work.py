"""What one task asks of the machine, in numbers that the cost model understands."""

from __future__ import annotations

from dataclasses import dataclass

from intar.ir.schedule import Machine


@dataclass(frozen=True)
class Work:
    """What one task asks of the machine.

    `kind` is ``matmul``, ``product`` (of two activations), ``rows`` (of `cols` elements, on the rows node, which does what
    `row_op` says), ``stream`` (a product with a state that comes through ports, whose rows take `words` words an item),
    ``vector`` (affine, binary), ``move``, ``conv`` or ``pool``. `rows` × `cols` is the output (of a peak, the input); `k` is
    the reduction length of a matmul or product, 0 otherwise;
    `w_bits` the stored weight width, `stream_bits` that of weights on their way through a port;
    `tail` says that a matmul's results meet a second tensor on their way out; a product is
    `items` products of ``rows / items`` rows each, one below the other. `groups` are the (channels, taps) of a convolution
    or pool, of which the tiles of each of the `runs` (first tile, end) read so many taps of each group, `sets` are its sets
    of parameters, `filters` how many it has of so many taps, `reduce` convolution channels give one channel of the output,
    `passing` beats of weights come beside the products (`intar.ir.kernels`), block of channels by block where they come
    `in_blocks`, `reach` is the last element of a channel that the first tile reads, `stored` says that the output leaves
    the chip.
    `beats` says that a move takes whole beats, `run` that it needs no step where its input is on chip. `by_rows` is decided
    by the search: cores share the rows of a matmul or product instead of its columns.
    """

    kind: str
    rows: int
    cols: int
    k: int = 0
    w_bits: int = 0
    tail: bool = False
    items: int = 1
    groups: tuple[tuple[int, int], ...] = ()
    runs: tuple[tuple[int, int, tuple[int, ...]], ...] = ()
    sets: int = 1
    filters: tuple[tuple[int, int], ...] = ()
    reduce: int = 1
    passing: int = 0
    in_blocks: bool = False
    reach: int = 0
    stored: bool = False
    row_op: str = ""
    beats: bool = False
    run: bool = False
    by_rows: bool = False
    stream_bits: int = 0
    words: int = 0

    @property
    def products(self) -> int:
        """Products of a matmul or a convolution."""
        if self.kind == "conv":
            return self.cols * sum(channels * taps for channels, taps in self.groups)
        return self.rows * self.cols * self.k

    @property
    def on_grid(self) -> bool:
        """Works on images, tile of pixels by tile of pixels."""
        return self.kind in ("conv", "pool")

    @property
    def arrays(self) -> bool:
        """True for what runs on the MAC arrays."""
        return self.kind in ("matmul", "product")


def ceil_div(a: int, b: int) -> int:
    """Smallest integer not below ``a / b``."""
    return -(-a // b)


def row_beats(cols: int, machine: Machine) -> int:
    """Beats of one row of `cols` elements."""
    return ceil_div(cols, machine.lanes)
