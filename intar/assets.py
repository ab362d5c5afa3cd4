"""Where the hand-written libraries and templates lie: in the source tree, or inside the wheel."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from intar.errors import InternalError

_PACKAGE = Path(__file__).resolve().parent


def asset_dir(name: str) -> Path:
    """Return the directory `name` (``templates``, ``hls``, ``rtl``, ``sim`` or ``designs``)."""
    for candidate in (_PACKAGE / "_assets" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise InternalError(f"the asset directory {name!r} is missing from the installation")


def import_file(path: Path) -> ModuleType:
    """A Python file as a module, under a name of its own; its code is run. The file has to exist."""
    name = f"intar_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InternalError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


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
