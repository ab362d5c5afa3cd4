"""Makes the random programs and the plain Python model of the engine's and the lowering's tests importable here."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "engine")]
