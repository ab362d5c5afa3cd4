"""The Triton kernels: forward, backward with partial sums, and the sum of these.

A tile is ``LANES`` rows of ``VECTORS`` vectors of ``VEC`` neighbouring channels. ``VEC`` divides the group size, so a vector
lies in one group: its coefficients are loaded once a program and every access is one vector of at most 16 bytes.

Backward keeps ten float32 sums for each lane and vector of its tile, over every `programs`-th tile of rows (for float32
operands with what rounding loses), and adds the lanes up in float64 at the end; `fold` adds the programs' sums and
`finish` the groups', in float64 too. Nothing is atomic, and what is added to what depends on the shape alone: neither on the
order in which programs run nor on what the autotuner chooses.

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
    functions = (a, b, slope_a, slope_b)
    lane = tl.arange(0, LANES)[:, None, None]
    column = vector * VEC + tl.arange(0, VEC)[None, None, :]
    columns = vector * VEC < CHANNELS

    zero = tl.zeros((LANES, VECTORS) if x.dtype.element_ty == tl.float32 else (LANES, VECTORS, 1), tl.float32)
    sums = (zero, zero, zero, zero, zero, zero, zero, zero, zero, zero)
    lost = sums  # what rounding took from them
    full = rows // LANES  # tiles: the last one may be shorter, and only that one needs a mask of rows
    for tile in tl.range(program, full, programs, num_stages=STAGES):
        inside = None if CHANNELS % (VECTORS * VEC) == 0 else columns
        sums, lost = tile_gradients(
            grad, x, dx, tile * LANES, grad_stride, x_stride, lane, column, inside, functions, sums, lost,
            CHANNELS, APPROXIMATE,
        )  # fmt: skip
    if full % programs == program:
        first = full.to(tl.int64) * LANES
        inside = (first + lane < rows) & columns
        sums, lost = tile_gradients(
            grad, x, dx, first, grad_stride, x_stride, lane, column, inside, functions, sums, lost,
            CHANNELS, APPROXIMATE,
        )  # fmt: skip

    place = partial + program * WIDTH + tl.program_id(1) * VECTORS
    count = WIDTH - tl.program_id(1) * VECTORS
    for i in tl.static_range(10):
        lanes = tl.reshape(sums[i].to(tl.float64) + lost[i].to(tl.float64), (LANES, VECTORS))
        store_lanes(place + i * programs * WIDTH, lanes, count, LANES, VECTORS)


@triton.jit
def tile_gradients(
    grad, x, dx, first, grad_stride, x_stride, lane, column, inside, functions, sums, lost,
    CHANNELS: tl.constexpr, APPROXIMATE: tl.constexpr,
):  # fmt: skip
    """Stores `dx` of the rows from `first`, where `inside` (everywhere if None); the sums with the tile's terms."""
    other: tl.constexpr = None if inside is None else 0.0
    value = tl.load(x + first * x_stride + (lane * x_stride + column), inside, other=other)
    upper = tl.load(grad + first * grad_stride + (lane * grad_stride + column), inside, other=other)
    if value.dtype == tl.float32:
        result, terms = gradients(value, upper, functions, APPROXIMATE)
        sums, lost = add_vectors(sums, lost, value, terms)
    else:
        value, upper = widened(value, APPROXIMATE), widened(upper, APPROXIMATE)
        result, sums = add_elements(value, upper, functions, sums, APPROXIMATE)
    tl.store(dx + first * CHANNELS + (lane * CHANNELS + column), result, inside)
    return sums, lost


@triton.jit
def widened(x, HARDWARE: tl.constexpr):
    """`x` in float32; two of bfloat16 in two instructions, where Triton takes three."""
    if HARDWARE and x.dtype == tl.bfloat16:
        code: tl.constexpr = "shl.b32 $0, $2, 16; and.b32 $1, $2, 0xffff0000;"
        return tl.inline_asm_elementwise(code, "=r,=r,r", [x], dtype=tl.float32, is_pure=True, pack=2)
    else:
        return x.to(tl.float32)


@triton.jit
def gradients(x, upper, functions, APPROXIMATE: tl.constexpr):
    """The gradient of `x`, and what the coefficients' gradients are made of: t, and y t."""
    a, b, slope_a, slope_b = functions
    size = tl.abs(x)
    inverse = reciprocal(tl.fma(horner(size, b, 4), size, 1.0), APPROXIMATE)
    t = upper * inverse
    yt = horner(x, a, 6) * inverse * t
    dx = tl.fma(t, horner(x, slope_a, 5), -with_sign(yt, x) * horner(size, slope_b, 4))
    return dx, (t, yt)


@triton.jit
def with_sign(y, x):
    """`y`, negated where the sign bit of `x` is set: one logical instruction."""
    bits = (x.to(tl.int32, bitcast=True) & -0x80000000) ^ y.to(tl.int32, bitcast=True)
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def powers(x):
    """x^2 … x^5."""
    x2 = x * x
    x4 = x2 * x2
    return x2, x2 * x, x4, x4 * x


@triton.jit
def add_elements(x, upper, functions, sums, APPROXIMATE: tl.constexpr):
    """`x` [LANES, VECTORS, VEC] one element of each vector after the other: their gradients, and the sums with their terms.

    A fused multiply-add a term. For operands of 16 bits, which are known to three digits.
    """
    if x.shape[2] > 1:
        halves: tl.constexpr = (x.shape[0], x.shape[1], x.shape[2] // 2, 2)
        even, odd = tl.split(tl.reshape(x, halves))
        upper_even, upper_odd = tl.split(tl.reshape(upper, halves))
        even, sums = add_elements(even, upper_even, functions, sums, APPROXIMATE)
        odd, sums = add_elements(odd, upper_odd, functions, sums, APPROXIMATE)
        return tl.reshape(tl.join(even, odd), x.shape), sums
    else:
        result, terms = gradients(x, upper, functions, APPROXIMATE)
        t, yt = terms
        x2, x3, x4, x5 = powers(x)
        sums = (
            sums[0] + t,
            tl.fma(t, x, sums[1]),
            tl.fma(t, x2, sums[2]),
            tl.fma(t, x3, sums[3]),
            tl.fma(t, x4, sums[4]),
            tl.fma(t, x5, sums[5]),
            tl.fma(yt, tl.abs(x), sums[6]),
            tl.fma(yt, x2, sums[7]),
            tl.fma(yt, tl.abs(x3), sums[8]),
            tl.fma(yt, x4, sums[9]),
        )
        return result, sums


@triton.jit
def add_vectors(sums, lost, x, terms):
    """The sums with the `terms` of `x` [LANES, VECTORS, VEC], each vector's added up first, and what this rounds off.

    For float32 operands: long sums are as exact as short ones.
    """
    t, yt = terms
    x2, x3, x4, x5 = powers(x)
    s0, l0 = add(sums[0], lost[0], t)
    s1, l1 = add(sums[1], lost[1], t * x)
    s2, l2 = add(sums[2], lost[2], t * x2)
    s3, l3 = add(sums[3], lost[3], t * x3)
    s4, l4 = add(sums[4], lost[4], t * x4)
    s5, l5 = add(sums[5], lost[5], t * x5)
    s6, l6 = add(sums[6], lost[6], yt * tl.abs(x))
    s7, l7 = add(sums[7], lost[7], yt * x2)
    s8, l8 = add(sums[8], lost[8], yt * tl.abs(x3))
    s9, l9 = add(sums[9], lost[9], yt * x4)
    return (s0, s1, s2, s3, s4, s5, s6, s7, s8, s9), (l0, l1, l2, l3, l4, l5, l6, l7, l8, l9)


@triton.jit
def add(total, lost, terms):
    """The sum of a vector's `terms` onto `total`, and what its rounding loses onto `lost` (Fast2Sum)."""
    part = tl.sum(terms, 2)
    new = total + part
    return new, lost + (part - (new - total))


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
    partial, totals, programs,
    WIDTH: tl.constexpr, GROUP: tl.constexpr, GROUPS: tl.constexpr, DEPTH: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """One moment of one group, `totals` [10, GROUPS] float64, from `partial` [10, programs, WIDTH]: its GROUP vectors.

    Grid: GROUPS, 10.
    """
    group, moment = tl.program_id(0), tl.program_id(1)
    start = group * GROUP
    total = tl.zeros((DEPTH, COLUMNS), tl.float64)
    for program in range(0, programs, DEPTH):
        for column in range(start, start + GROUP, COLUMNS):
            depth = (program + tl.arange(0, DEPTH))[:, None]
            vector = (column + tl.arange(0, COLUMNS))[None, :]
            inside = (depth < programs) & (vector < start + GROUP)
            place = partial + (moment * programs + depth) * WIDTH + vector
            total += tl.load(place, inside, other=0.0).to(tl.float64)
    tl.store(totals + moment * GROUPS + group, tl.sum(tl.sum(total, 1), 0))


@triton.jit
def finish(
    totals, b, da, db,
    GROUPS: tl.constexpr, ROUND: tl.constexpr, ROWS_A: tl.constexpr, ROWS_B: tl.constexpr,
):  # fmt: skip
    """One coefficient's gradient from `totals` [10, GROUPS]: its group's, or the sum of all where shared.

    Grid: ROWS_A x 6 + ROWS_B x 4 coefficients. ROUND is the power of two from GROUPS.
    """
    index = tl.program_id(0)
    numerator = index < ROWS_A * 6
    other = index - ROWS_A * 6
    row = tl.where(numerator, index // 6, other // 4)
    moment = tl.where(numerator, index % 6, 6 + other % 4)
    shared = tl.where(numerator, ROWS_A, ROWS_B) == 1
    group = tl.arange(0, ROUND)
    inside = (group >= tl.where(shared, 0, row)) & (group < tl.where(shared, GROUPS, row + 1))
    result = tl.sum(tl.load(totals + moment * GROUPS + group, inside, other=0.0), 0).to(tl.float32)
    if numerator:
        tl.store(da + index, result)
    else:
        tl.store(db + other, tl.where(tl.load(b + other).to(tl.float32) < 0, result, -result))
