"""No module of the RTL library is without a test of its own."""

from __future__ import annotations

import re

import leaf_top
import pins_top
import unit_top

from intar.assets import asset_dir


def test_every_module_has_a_bench_at_its_own_pins() -> None:
    """The benches drive every instance in their tops; so a module is tested when a top instantiates it."""
    tops = [leaf_top.top_text(), unit_top.top_text()]
    tops += [top.text() for top, _ in (pins_top.nodes(), pins_top.nodes_with_segments())]
    instantiated = {
        module for text in tops for module in re.findall(r"^  (intar_\w+) #\(", text, re.MULTILINE)
    }
    library = {file.stem for file in asset_dir("rtl").glob("*.sv")}
    assert library <= instantiated, f"no test of {sorted(library - instantiated)}"
    assert instantiated - library == {"intar_axi_mem"}  # the memory model of the simulation
