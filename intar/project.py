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

from intar.errors import Finding, OutputError

LOCK = "intar.lock.json"


@dataclass(frozen=True)
class Project:
    """Files of a project by relative POSIX path. Rendering makes one; only `write` touches the disk."""

    files: Mapping[str, bytes] = field(repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 over paths and contents, independent of their order."""
        sums = {path: hashlib.sha256(data).hexdigest() for path, data in self.files.items()}
        return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()

    def write(self, directory: str | Path) -> Path:
        """Write every file, all or nothing.

        An existing directory is replaced when it is empty or an earlier project of ours (it has a lock file).

        Raises
        ------
        OutputError
            The directory holds something else, or can't be written.
        """
        target = Path(directory).absolute()
        if target.exists() and not target.is_dir():
            raise OutputError(
                Finding("there is a file of this name", str(directory), hint="name another directory")
            )
        if target.is_dir() and any(target.iterdir()) and not (target / LOCK).exists():
            raise OutputError(
                Finding(
                    "the directory is not empty and is not an intar project",
                    str(directory),
                    why="nothing that intar did not make is overwritten",
                    hint="name an empty or a new directory",
                )
            )
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


def read_project(directory: str | Path) -> Path:
    """The directory, if it is a project of ours (OutputError otherwise)."""
    path = Path(directory)
    if not (path / LOCK).is_file():
        raise OutputError(
            Finding(
                "there is no intar project here",
                str(directory),
                hint="make one with `intar compile … -o DIR`",
            )
        )
    return path
