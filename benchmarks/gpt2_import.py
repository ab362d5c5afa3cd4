"""Time and memory from GPT-2 as a PyTorch module to its task graph.

python benchmarks/gpt2_import.py [scaled|small|medium]      one JSON line
"""

from __future__ import annotations

import json
import resource
import sys
import time

from intar.assets import asset_dir
from intar.frontends import load_model
from intar.frontends.load import make_model
from intar.ir.repeats import repeated_blocks


def measure(size: str) -> dict[str, object]:
    """Seconds of each step, tasks, blocks, and the process's peak memory in GB."""
    start = time.perf_counter()
    module, samples = make_model(f"{asset_dir('designs') / 'gpt2' / 'model.py'}:{size}")
    made = time.perf_counter()
    graph = load_model(module, samples=samples)
    imported = time.perf_counter()
    (blocks,) = repeated_blocks(graph) or ((),)
    found = time.perf_counter()
    return {
        "size": size,
        "make_s": round(made - start, 1),
        "import_s": round(imported - made, 1),
        "blocks_s": round(found - imported, 2),
        "tasks": len(graph.tasks),
        "blocks": len(blocks),
        "tasks_of_a_block": len(blocks[0]) if blocks else 0,
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1] if len(sys.argv) > 1 else "scaled")))
