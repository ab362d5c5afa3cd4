"""A generated project: a mapping from path to bytes with a digest, written in one atomic step."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from intar.errors import Finding, OutputError

LOCK = "intar.lock.json"
LOCK_SCHEMA = "intar.lock/3"

TOOLS = ("build", "report")
"""Folders of a project in which tools leave what they make."""

SOURCES = ("quant.json", "constants.npz", "schedule.json", "program.json")
"""What a project is made from and can be opened by; the other files may be edited to try something."""


@dataclass(frozen=True)
class Project:
    """Files of a project by relative POSIX path. Rendering makes one; only `write` touches the disk."""

    files: Mapping[str, bytes] = field(repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 over paths and contents, independent of their order."""
        return hashlib.sha256(json.dumps(self.digests, sort_keys=True).encode()).hexdigest()

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of every file, by path."""
        return {path: hashlib.sha256(data).hexdigest() for path, data in sorted(self.files.items())}

    def write(self, directory: str | Path) -> Path:
        """Write every file, all or nothing.

        An existing directory is replaced when it is empty or an earlier project of ours (see `refuse_foreign`).

        Raises
        ------
        OutputError
            The directory holds something else, or can't be written.
        """
        refuse_foreign(directory)
        target = Path(directory).absolute()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        except OSError as error:
            raise OutputError(Finding(f"can't write there: {error.strerror}", str(directory))) from error
        try:
            self._fill(staging)
            self._swap(staging, target)
        except OSError as error:
            raise OutputError(Finding(f"can't write there: {error.strerror}", str(directory))) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return target

    def _fill(self, staging: Path) -> None:
        for name, data in self.files.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise OutputError(Finding("a generated path leaves the project", name))
            file = staging / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        staging.chmod(0o755)

    @staticmethod
    def _swap(staging: Path, target: Path) -> None:
        """Put the new tree in the old one's place; the old one goes only when the new one is there."""
        if not target.exists():
            os.replace(staging, target)
            return
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
        os.replace(target, old / "project")
        os.replace(staging, target)
        shutil.rmtree(old, ignore_errors=True)


def refuse_foreign(directory: str | Path) -> None:
    """OutputError when something would be lost by writing a project to `directory`.

    Nothing is lost when it does not exist, is empty, or holds nothing but a project of ours: what its lock lists, as it
    was written, what tools made in ``build/`` and ``report/``, and caches.
    """
    target = Path(directory)
    why = "nothing that intar did not make is overwritten"
    if target.exists() and not target.is_dir():
        raise OutputError(
            Finding("there is a file of this name", str(directory), why, "name another directory")
        )
    refuse_unwritable(target)
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not (target / LOCK).is_file():
        what = "the directory is not empty and is not an intar project"
        raise OutputError(Finding(what, str(directory), why, "name an empty or a new directory"))
    ours = read_lock(target)["files"]
    lost = []
    for path in sorted(target.rglob("*")):
        name = path.relative_to(target)
        if path.is_dir() or name.parts[0] in TOOLS or "__pycache__" in path.parts or str(name) == LOCK:
            continue
        if name.as_posix() not in ours:
            lost.append(("the file is not of the project", name))
        elif _digest(path) != ours[name.as_posix()]:
            lost.append(("the file was changed after the project was made", name))
    if lost:
        raise OutputError(
            Finding(what, f"{directory}/{name.as_posix()}", why, "move it elsewhere") for what, name in lost
        )


def refuse_unwritable(path: Path) -> None:
    """OutputError when nothing can be written at `path` or made there: before the work, not after it."""
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise OutputError(
            Finding(f"{_as_named(above, path)!r} is a file", str(path), hint="name another directory")
        )
    if not os.access(above, os.W_OK | os.X_OK):
        what = f"nothing can be written to {_as_named(above, path)!r}"
        raise OutputError(Finding(what, str(path), hint="name another directory"))


def _as_named(above: Path, path: Path) -> str:
    """A folder above `path` as the user named it: relative where `path` is."""
    return str(above if path.is_absolute() else os.path.relpath(above))


def read_lock(directory: str | Path) -> dict[str, Any]:
    """The contents of a project's lock file; OutputError when it is not one of ours."""
    file = Path(directory) / LOCK
    try:
        lock = json.loads(file.read_text())
        if lock["schema"] == LOCK_SCHEMA and isinstance(lock["files"], dict):
            return lock
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise OutputError(
        Finding(
            "the lock file is damaged or from another version of intar",
            str(file),
            hint="make the project again, in a new directory",
        )
    )


def read_project(directory: str | Path) -> Path:
    """The directory, if it is an unchanged project of ours (OutputError otherwise)."""
    path = Path(directory)
    if not (path / LOCK).is_file():
        raise OutputError(
            Finding(
                "there is no intar project here",
                str(directory),
                hint="make one with `intar compile … -o DIR`",
            )
        )
    lock = read_lock(path)
    sources = [*SOURCES, *(name for name in lock["files"] if name.startswith("entries/"))]
    changed = [name for name in sources if lock["files"].get(name) != _digest(path / name)]
    if changed:
        raise OutputError(
            Finding(
                "the file was changed or removed after the project was made",
                str(path / name),
                "C++, RTL and weights were made from it",
                "make the project again; an edited schedule goes in with `intar compile … --schedule FILE`",
            )
            for name in changed
        )
    return path


def _digest(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
