"""Compiler launcher that keeps the object files of library sources: `object_cache.py DIR g++ ... -c -o X Y`.

Every Verilator build compiles the same run-time library (half a minute).  Where ccache is not installed this
keeps its objects, keyed by the preprocessed source, the options and the compiler.  Sources of the build
directory itself are compiled as usual: they differ every time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def cacheable(command: list[str]) -> tuple[Path, Path] | None:
    """Return (source, object) when `command` compiles one library source, else None."""
    sources = [Path(a) for a in command if a.endswith((".cpp", ".cc")) and not a.startswith("-")]
    if "-c" not in command or "-o" not in command or len(sources) != 1:
        return None
    if not sources[0].is_absolute() or sources[0].resolve().parent == Path.cwd().resolve():
        return None
    return sources[0], Path(command[command.index("-o") + 1])


def digest(command: list[str], source: Path, target: Path) -> str:
    options = [a for a in command if a not in (str(source), str(target), "-MMD")]
    drop = options.index("-o")
    preprocess = [*options[:drop], *options[drop + 1 :], "-E", "-P", str(source)]
    preprocess.remove("-c")
    text = subprocess.run(preprocess, capture_output=True, check=True).stdout
    version = subprocess.run([command[0], "-v"], capture_output=True, check=True).stderr
    return hashlib.sha256(b"\0".join([text, version, " ".join(options).encode()])).hexdigest()


def main(arguments: list[str]) -> int:
    folder, command = Path(arguments[0]), arguments[1:]
    found = cacheable(command)
    if found is None:
        return subprocess.run(command, check=False).returncode
    source, target = found
    try:
        stored = folder / (digest(command, source, target) + ".o")
    except (subprocess.CalledProcessError, ValueError):
        return subprocess.run(command, check=False).returncode
    if stored.is_file():
        shutil.copyfile(stored, target)
        return 0
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        folder.mkdir(parents=True, exist_ok=True)
        partial = stored.with_suffix(f".{os.getpid()}")
        shutil.copyfile(target, partial)
        partial.replace(stored)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
