"""The one table of latencies that the engine counts with, and the model of off-chip memory."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Timing:
    """Latencies and sizes of the RTL, in cycles, words and bursts. The order is that of `Timing` in sim.h.

    A latency of a pipeline is the number of cycles from taking a beat to pushing its result into the link.

    Parameters
    ----------
    start : ap_start to the first cycle in which nodes act.
    done : last write response to ap_done.
    load_command : extra cycles before the first read command.
    load_row : an id taken until the command for its row.
    load_out : stages between the gearbox of a load and its link.
    load_burst, load_fifo, load_outstanding : longest burst (words), word FIFO (words), bursts on their way.
    store_issue : issue of a write burst to its first word on W.
    store_burst, store_fifo, store_outstanding : as for loads.
    token : extra cycles until a load sees a store's finished command.
    buffer_read, image_read : pipeline of the read side of a buffer, of an image.
    buffer_post : extra cycles until the other side sees a finished iteration.
    buffer_step : idle cycles between two steps of a side.
    feed : last row of a block taken until its bank is sent; feed_out: register behind the banks.
    core : last pair of a tile taken until the shadow accumulators take the tile; core_out: register behind them.
    vector : pipeline of a vector unit without operations; vector_affine, vector_binary, vector_rational, vector_table,
        vector_slopes, vector_curves: what each operation that the unit has adds (tables with slopes: vector_slopes, with
        curves: vector_curves).
    gather, router : pipelines.
    rows_max : last slice of a row taken until its powers may begin; rows_sum : last power begun until the division;
        rows_divide, rows_root : the division, the reciprocal root, one row at a time; rows_peak : a peak, which takes its
        turn among them; rows_out : pipeline of the product;
        rows_norm : how much longer it is where the node normalises.
    """

    start: int = 1
    done: int = 2
    load_command: int = 0
    load_row: int = 2
    load_out: int = 0
    load_burst: int = 64
    load_fifo: int = 512
    load_outstanding: int = 16
    store_issue: int = 1
    store_burst: int = 16
    store_fifo: int = 64
    store_outstanding: int = 16
    token: int = 0
    buffer_read: int = 2
    image_read: int = 3
    buffer_post: int = 0
    buffer_step: int = 0
    feed: int = 1
    feed_out: int = 1
    core: int = 2
    core_out: int = 1
    vector: int = 2
    vector_affine: int = 7
    vector_binary: int = 8
    vector_rational: int = 19
    vector_table: int = 2
    vector_slopes: int = 5
    vector_curves: int = 7
    gather: int = 1
    router: int = 1
    rows_max: int = 2
    rows_sum: int = 12
    rows_divide: int = 20
    rows_root: int = 25
    rows_peak: int = 1
    rows_out: int = 7
    rows_norm: int = 6

    def encoded(self) -> tuple[int, ...]:
        """The fields in the order of the C++ side."""
        return astuple(self)


RTL = Timing()
"""What the SystemVerilog does (`docs/program.md`)."""

STRICT = Timing(
    buffer_read=0,
    image_read=0,
    feed_out=0,
    core=1,
    core_out=0,
    vector=0,
    vector_affine=0,
    vector_binary=0,
    vector_table=0,
    vector_rational=0,
    vector_slopes=0,
    vector_curves=0,
    gather=0,
    router=0,
    rows_out=0,
    rows_norm=0,
)
"""No beat is held in a pipeline: the least buffering a single-threaded node can have. For merged runs."""


@dataclass(frozen=True)
class MemoryModel:
    """Off-chip memory as every port sees it.

    Parameters
    ----------
    latency : cycles from the address handshake of a read to its first word.
    words_num, words_den : bandwidth of each port and direction: `words_num` port words in `words_den` cycles,
        at most one a cycle.
    write_latency : cycles from the last word of a write burst to its response; the read latency when None.
    """

    latency: int = 64
    words_num: int = 1
    words_den: int = 1
    write_latency: int | None = None

    def __post_init__(self) -> None:
        if self.latency < 1 or (self.write_latency is not None and self.write_latency < 1):
            raise ValueError("memory latencies are at least 1 cycle")
        if not 1 <= self.words_num <= self.words_den:
            raise ValueError("the bandwidth of a port is more than 0 and at most 1 word a cycle")

    def encoded(self) -> tuple[int, ...]:
        """The fields in the order of the C++ side."""
        write = self.latency if self.write_latency is None else self.write_latency
        return self.latency, self.words_num, self.words_den, write
