"""Several products in one multiplier: how many lanes of an array may share one (`rtl/intar_array.sv`, `hls/intar_core.h`).

Weights stand side by side in one factor, a field apart that holds any of their products with the other factor (one that is
negative borrows from the next; the array gives that back). So products are exact for all operands, and each is split off
at once: no chain of sums has to fit in a field.
"""

from __future__ import annotations


def factor_bits(a_bits: int, w_bits: int, products: int) -> int:
    """Bits of the factor that holds the weights of so many products."""
    return w_bits if products == 1 else (products - 1) * (a_bits + w_bits) + w_bits + 1


def products_at_once(a_bits: int, w_bits: int, multiplier: tuple[int, int]) -> int:
    """The most products, `a_bits` by `w_bits`, that one multiplier of ``(wide, narrow)`` bits makes; at least 1.

    Of 27 × 18 or 25 × 18 bits: 3 of 4 × 4, 2 of 8 × 8, 8 × 4, 4 × 8 and 16 × 4, with 27 of 10 × 8, too; 1 of all
    wider ones. Of 18 × 18 bits: 2 of 4 × 4 and 8 × 4.
    """
    wide, narrow = multiplier
    if a_bits > narrow:
        return 1
    products = 1
    while factor_bits(a_bits, w_bits, products + 1) <= wide:
        products += 1
    return products


def array_blocks(cores: int, rows: int, lanes: int, products: int) -> int:
    """Multipliers of all arrays, each of which makes up to `products` products of a row."""
    return cores * rows * -(-lanes // products)
