"""Where the hand-written libraries and templates lie: in the source tree, or inside the wheel."""

from __future__ import annotations

from pathlib import Path

from intar.errors import InternalError

_PACKAGE = Path(__file__).resolve().parent


def asset_dir(name: str) -> Path:
    """Return the directory `name` (``templates``, ``hls``, ``rtl``, ``sim`` or ``designs``)."""
    for candidate in (_PACKAGE / "_assets" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise InternalError(f"the asset directory {name!r} is missing from the installation")
