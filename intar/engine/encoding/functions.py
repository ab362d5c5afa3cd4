"""Tables of functions as the C++ side reads them."""

from __future__ import annotations

from intar.engine.encoding.encoder import Encoder
from intar.ir.nodes.vector import Lookups


def tables(e: Encoder, node: Lookups) -> None:
    """Append the geometry of the tables of a unit."""
    e.expect(node.slopes or not node.curves, node.name, "curves without slopes")
    fits = not node.tables or node.widest_number <= node.entry_bits
    e.expect(fits, node.name, f"tables of {node.widest_number} bits are loaded with {node.entry_bits}")
    e.put(node.lanes, node.parts)
    e.put(node.base_bits, node.slope_bits, node.curve_bits, node.entry_bits, node.table_entries)
    e.put(len(node.tables))
    for table in node.tables:
        e.expect(4 <= table.log_entries <= table.in_bits <= 32, node.name, "bad table geometry")
        e.put(table.first, table.in_bits, table.log_entries, table.groups, table.q, table.lo, table.hi)
