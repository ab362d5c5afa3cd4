"""Where the hand-written libraries and templates lie: in the source tree, or inside the wheel."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from intar.errors import InternalError

_PACKAGE = Path(__file__).resolve().parent


def asset_dir(name: str) -> Path:
    """Return the directory `name` (``templates``, ``hls``, ``rtl``, ``sim`` or ``designs``)."""
    for candidate in (_PACKAGE / "_assets" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise InternalError(f"the asset directory {name!r} is missing from the installation")


@lru_cache(maxsize=1)
def asset_digest() -> str:
    """SHA-256 over the templates and libraries that projects are made from."""
    total = hashlib.sha256()
    for name in ("templates", "hls", "rtl"):
        for path in sorted(asset_dir(name).rglob("*")):
            if path.suffix in (".j2", ".h", ".sv"):
                total.update(f"{name}/{path.relative_to(asset_dir(name)).as_posix()}\0".encode())
                total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
