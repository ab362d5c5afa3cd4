"""The comparison with the RTL builds its kernels with the helpers of the tests of the RTL nodes."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "rtl_nodes"))
