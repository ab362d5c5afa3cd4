"""The Triton kernels: forward, backward with partial sums, and the sum of these.

A tile is ``LANES`` rows of ``VECTORS`` vectors of ``VEC`` neighbouring channels. ``VEC`` divides the group size, so a vector
lies in one group: its coefficients are loaded once a program and every access is one vector of at most 16 bytes.

Backward keeps ten float32 sums for each lane and vector of its tile, over every `programs`-th tile of rows (for float32
operands with what rounding loses), and adds the lanes up in float64 at the end; `fold` adds the programs' sums, in float64
too. Nothing is atomic, and what is added to what depends on the
shape alone: neither on the order in which programs run nor on what the autotuner chooses.

Set ``TRITON_INTERPRET=1`` before the import to run them on the CPU.
"""

# Triton reads annotations: only compile-time constants have one.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def reciprocal(q, APPROXIMATE: tl.constexpr):
    """1 / q for q >= 1: the hardware's, right to one unit in the last place, where there is hardware."""
    if APPROXIMATE:
        return tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [q], dtype=tl.float32, is_pure=True, pack=1
        )
    else:
        return 1.0 / q


@triton.jit
def coefficients(
    a,
    b,
    vector,
    SIZE: tl.constexpr,
    VEC: tl.constexpr,
    GROUPS: tl.constexpr,
    SHARED_A: tl.constexpr,
    SHARED_B: tl.constexpr,
):
    """The numerator and the denominator's absolute values, float32: scalars where shared, else one for each vector."""
    group = tl.minimum(vector * VEC // SIZE, GROUPS - 1)
    a_row = a if SHARED_A else a + group * 6
    b_row = b if SHARED_B else b + group * 4
    numerator = (
        tl.load(a_row).to(tl.float32),
        tl.load(a_row + 1).to(tl.float32),
        tl.load(a_row + 2).to(tl.float32),
        tl.load(a_row + 3).to(tl.float32),
        tl.load(a_row + 4).to(tl.float32),
        tl.load(a_row + 5).to(tl.float32),
    )
    denominator = (
        tl.abs(tl.load(b_row).to(tl.float32)),
        tl.abs(tl.load(b_row + 1).to(tl.float32)),
        tl.abs(tl.load(b_row + 2).to(tl.float32)),
        tl.abs(tl.load(b_row + 3).to(tl.float32)),
    )
    return numerator, denominator


@triton.jit
def horner(x, coefficients, COUNT: tl.constexpr):
    """c0 + c1 x + … of COUNT coefficients."""
    total = coefficients[COUNT - 1]
    for i in tl.static_range(1, COUNT):
        total = tl.fma(total, x, coefficients[COUNT - 1 - i])
    return total


@triton.jit(do_not_specialize=["rows"])
def forward(
    x, a, b, y, rows, x_stride,
    CHANNELS: tl.constexpr, SIZE: tl.constexpr, GROUPS: tl.constexpr, SHARED_A: tl.constexpr, SHARED_B: tl.constexpr,
    VEC: tl.constexpr, VECTORS: tl.constexpr, LANES: tl.constexpr, APPROXIMATE: tl.constexpr,
):  # fmt: skip
    """One tile of `y` [rows, CHANNELS], contiguous; rows of `x` are `x_stride` elements apart. Grid: tiles, columns."""
    vector = (tl.program_id(1) * VECTORS + tl.arange(0, VECTORS))[None, :, None]
    numerator, denominator = coefficients(a, b, vector, SIZE, VEC, GROUPS, SHARED_A, SHARED_B)
    lane = tl.arange(0, LANES)[:, None, None]
    column = vector * VEC + tl.arange(0, VEC)[None, None, :]
    first = tl.program_id(0).to(tl.int64) * LANES
    inside = (first + lane < rows) & (vector * VEC < CHANNELS)
    value = tl.load(x + first * x_stride + (lane * x_stride + column), inside, other=0.0).to(tl.float32)
    size = tl.abs(value)
    q = tl.fma(horner(size, denominator, 4), size, 1.0)
    result = horner(value, numerator, 6) * reciprocal(q, APPROXIMATE)
    tl.store(y + first * CHANNELS + (lane * CHANNELS + column), result, inside)


@triton.jit(do_not_specialize=["rows", "programs"])
def backward(
    grad, x, a, b, dx, partial, rows, programs, grad_stride, x_stride,
    CHANNELS: tl.constexpr, SIZE: tl.constexpr, GROUPS: tl.constexpr, SHARED_A: tl.constexpr, SHARED_B: tl.constexpr,
    VEC: tl.constexpr, VECTORS: tl.constexpr, LANES: tl.constexpr, WIDTH: tl.constexpr,
    APPROXIMATE: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """`dx` [rows, CHANNELS], contiguous, and sums of this program's rows: `partial` [10, programs, WIDTH vectors].

    With t = grad / Q and y = P / Q the sums are of t x^i (i = 0 … 5) and of y t |x|^i (i = 1 … 4).
    """
    program = tl.program_id(0).to(tl.int64)
    vector = (tl.program_id(1) * VECTORS + tl.arange(0, VECTORS))[None, :, None]
    a, b = coefficients(a, b, vector, SIZE, VEC, GROUPS, SHARED_A, SHARED_B)
    slope_a = (a[1], 2 * a[2], 3 * a[3], 4 * a[4], 5 * a[5])
    slope_b = (b[0], 2 * b[1], 3 * b[2], 4 * b[3])
    lane = tl.arange(0, LANES)[:, None, None]
    column = vector * VEC + tl.arange(0, VEC)[None, None, :]

    COMPENSATED: tl.constexpr = x.dtype.element_ty == tl.float32
    zero = tl.zeros((LANES, VECTORS), tl.float32)
    a0, a1, a2, a3, a4 = zero, zero, zero, zero, zero
    a5, b1, b2, b3, b4 = zero, zero, zero, zero, zero
    # What rounding took from each of these sums.
    la0, la1, la2, la3, la4 = zero, zero, zero, zero, zero
    la5, lb1, lb2, lb3, lb4 = zero, zero, zero, zero, zero
    for tile in tl.range(program, tl.cdiv(rows, LANES), programs, num_stages=STAGES):
        first = tile * LANES
        inside = (first + lane < rows) & (vector * VEC < CHANNELS)
        here = x + first * x_stride + (lane * x_stride + column)
        value = tl.load(here, inside, other=0.0).to(tl.float32)
        here = grad + first * grad_stride + (lane * grad_stride + column)
        upper = tl.load(here, inside, other=0.0).to(tl.float32)
        size = tl.abs(value)
        inverse = reciprocal(tl.fma(horner(size, b, 4), size, 1.0), APPROXIMATE)
        t = upper * inverse
        yt = horner(value, a, 6) * inverse * t
        signed = tl.where(value < 0, -yt, yt)
        result = tl.fma(t, horner(value, slope_a, 5), -signed * horner(size, slope_b, 4))
        tl.store(dx + first * CHANNELS + (lane * CHANNELS + column), result, inside)

        power2 = value * value
        power3 = power2 * value
        power4 = power2 * power2
        power5 = power4 * value
        a0, la0 = add(a0, la0, tl.sum(t, 2), COMPENSATED)
        a1, la1 = add(a1, la1, tl.sum(t * value, 2), COMPENSATED)
        a2, la2 = add(a2, la2, tl.sum(t * power2, 2), COMPENSATED)
        a3, la3 = add(a3, la3, tl.sum(t * power3, 2), COMPENSATED)
        a4, la4 = add(a4, la4, tl.sum(t * power4, 2), COMPENSATED)
        a5, la5 = add(a5, la5, tl.sum(t * power5, 2), COMPENSATED)
        b1, lb1 = add(b1, lb1, tl.sum(signed * value, 2), COMPENSATED)
        b2, lb2 = add(b2, lb2, tl.sum(yt * power2, 2), COMPENSATED)
        b3, lb3 = add(b3, lb3, tl.sum(signed * power3, 2), COMPENSATED)
        b4, lb4 = add(b4, lb4, tl.sum(yt * power4, 2), COMPENSATED)

    place = partial + program * WIDTH + tl.program_id(1) * VECTORS
    count = WIDTH - tl.program_id(1) * VECTORS
    sums = (a0, a1, a2, a3, a4, a5, b1, b2, b3, b4)
    lost = (la0, la1, la2, la3, la4, la5, lb1, lb2, lb3, lb4)
    for i in tl.static_range(10):
        lanes = sums[i].to(tl.float64) + lost[i].to(tl.float64)
        store_lanes(place + i * programs * WIDTH, lanes, count, LANES, VECTORS)


@triton.jit
def add(total, lost, part, COMPENSATED: tl.constexpr):
    """`part` onto `total`, and what its rounding loses onto `lost`, so that long sums are as exact as short ones.

    Kept for float32 operands only: those of other types are known to three digits.
    """
    new = total + part
    if COMPENSATED:
        lost += part - (new - total)
    return new, lost


@triton.jit
def store_lanes(place, sums, count, LANES: tl.constexpr, VECTORS: tl.constexpr):
    """Adds neighbouring lanes until one is left: a sum of two is the same in every layout of threads."""
    if LANES == 1:
        vector = tl.arange(0, VECTORS)
        tl.store(place + vector, tl.reshape(sums, (VECTORS,)), vector < count)
    else:
        pairs = tl.sum(tl.reshape(sums, (LANES // 2, 2, VECTORS)), 1)
        store_lanes(place, pairs, count, LANES // 2, VECTORS)


@triton.jit(do_not_specialize=["programs"])
def fold(
    partial, b, da, db, programs,
    WIDTH: tl.constexpr, GROUP: tl.constexpr, ROWS_A: tl.constexpr, ROWS_B: tl.constexpr,
    DEPTH: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """One coefficient's gradient from `partial` [10, programs, WIDTH]: its group's GROUP vectors, or all where shared.

    Grid: ROWS_A x 6 + ROWS_B x 4 coefficients.
    """
    index = tl.program_id(0)
    numerator = index < ROWS_A * 6
    other = index - ROWS_A * 6
    row = tl.where(numerator, index // 6, other // 4)
    moment = tl.where(numerator, index % 6, 6 + other % 4)
    shared = tl.where(numerator, ROWS_A, ROWS_B) == 1
    start = tl.where(shared, 0, row * GROUP)
    stop = tl.where(shared, WIDTH, start + GROUP)

    total = tl.zeros((DEPTH, COLUMNS), tl.float64)
    for program in range(0, programs, DEPTH):
        for column in range(start, stop, COLUMNS):
            depth = (program + tl.arange(0, DEPTH))[:, None]
            vector = (column + tl.arange(0, COLUMNS))[None, :]
            inside = (depth < programs) & (vector < stop)
            place = partial + (moment * programs + depth) * WIDTH + vector
            total += tl.load(place, inside, other=0.0).to(tl.float64)
    result = tl.sum(tl.sum(total, 1), 0).to(tl.float32)
    if numerator:
        tl.store(da + index, result)
    else:
        tl.store(db + other, tl.where(tl.load(b + other) < 0, result, -result))
