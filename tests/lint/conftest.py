"""Makes the random programs of the engine's and the HLS nodes' tests importable here."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "engine"), str(TESTS / "hls_nodes")]
