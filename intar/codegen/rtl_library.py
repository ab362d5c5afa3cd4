"""The library modules of `rtl/`, and which of them a kernel needs."""

from __future__ import annotations

from collections.abc import Iterable

USES = {
    "intar_load": ("intar_steps", "intar_rounds", "intar_axi_read", "intar_unpack"),
    "intar_store": ("intar_steps", "intar_rounds", "intar_axi_write", "intar_pack"),
    "intar_axi_read": ("intar_fifo",),
    "intar_axi_write": ("intar_fifo",),
    "intar_buffer": ("intar_steps", "intar_walk"),
    "intar_constant": ("intar_steps", "intar_walk"),
    "intar_image": ("intar_steps", "intar_walk"),
    "intar_gather": ("intar_steps", "intar_walk"),
    "intar_argmax": ("intar_steps",),
    "intar_feed": ("intar_steps",),
    "intar_core": ("intar_steps", "intar_array"),
    "intar_round_steps": ("intar_steps",),
    "intar_vector": (
        *("intar_round_steps", "intar_maximum"),
        *("intar_vector_params", "intar_vector_load", "intar_vector_lanes"),
    ),
    "intar_vector_params": ("intar_round_steps",),
    "intar_vector_load": ("intar_table_load",),
    "intar_vector_lanes": ("intar_vector_settings", "intar_slice", "intar_vector_lane"),
    "intar_vector_settings": ("intar_delay",),
    "intar_vector_lane": ("intar_scale", "intar_shift", "intar_rational", "intar_lookup", "intar_delay"),
    "intar_rational": ("intar_reciprocal", "intar_delay"),
    "intar_router": ("intar_steps", "intar_slice"),
    "intar_rows": (
        *("intar_rows_walk", "intar_rows_maximum", "intar_rows_terms", "intar_rows_divisions"),
        *("intar_rows_results", "intar_delay", "intar_round_steps"),
    ),
    "intar_rows_results": (
        *("intar_rows_products", "intar_rows_columns", "intar_rows_lookups", "intar_delay"),
    ),
    "intar_rows_walk": ("intar_round_steps",),
    "intar_rows_terms": ("intar_rows_power", "intar_delay"),
    "intar_rows_divisions": ("intar_rows_divide", "intar_rows_root"),
    "intar_rows_products": ("intar_rows_product", "intar_delay"),
    "intar_rows_columns": ("intar_rows_norm", "intar_delay"),
    "intar_rows_lookups": ("intar_lookup", "intar_table_load", "intar_round_steps", "intar_delay"),
    "intar_rows_power": ("intar_rows_table",),
}
"""Modules that a library module instantiates."""


def modules(used: Iterable[str]) -> list[str]:
    """The modules that are used, and all that these instantiate, in alphabetical order."""
    pending, found = list(used), set[str]()
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            pending += USES.get(module, ())
    return sorted(found)
