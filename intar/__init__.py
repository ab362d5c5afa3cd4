"""intar: a compiler from trained neural networks to statically scheduled FPGA accelerators."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["Accelerator", "__version__", "compile"]


def __getattr__(name: str) -> Any:
    """`compile` and `Accelerator`, loaded when they are first used: `import intar` stays cheap."""
    if name in ("compile", "Accelerator"):
        from intar import api

        return getattr(api, name)
    raise AttributeError(f"module 'intar' has no attribute {name!r}")
