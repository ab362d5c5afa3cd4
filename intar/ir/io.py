"""Store and read task graphs: JSON or YAML for the structure, one ``.npz`` beside it for the constants.

The bytes are deterministic, writes are atomic, and reading checks the digest of the constants.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from intar.errors import Finding, GraphError
from intar.ir.taskgraph import SCHEMA, TaskGraph
from intar.ir.validate import check


def to_document(graph: TaskGraph) -> dict[str, Any]:
    """The graph without its constants' values, as plain JSON values; ``digest`` covers the values too."""
    return {**graph.model_dump(mode="json", by_alias=True), "digest": graph.digest()}


def to_json(graph: TaskGraph) -> str:
    """The graph's JSON text (see :func:`to_document`), one task or tensor a line."""
    document = to_document(graph)
    lines = []
    for key, value in document.items():
        if key in ("tensors", "tasks") and value:
            body = ",\n".join(f"    {json.dumps(item, ensure_ascii=False)}" for item in value)
            lines.append(f"  {json.dumps(key)}: [\n{body}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def to_npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The arrays as an uncompressed ``.npz``: sorted names, little endian, no time stamps."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name]).reshape(arrays[name].shape)
            member = io.BytesIO()
            np.lib.format.write_array(
                member,
                array.astype(array.dtype.newbyteorder("<"), copy=False),
                version=(1, 0),
                allow_pickle=False,
            )
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()


def from_document(
    document: Mapping[str, Any], constants: Mapping[str, np.ndarray], where: str = ""
) -> TaskGraph:
    """The graph of a document of :func:`to_document`.

    Raises
    ------
    GraphError
        Wrong schema, wrong keys or values (all of them), a graph that breaks a rule, or constants whose
        digest is not the document's.
    """
    if document.get("schema") != SCHEMA:
        raise GraphError(
            Finding(
                f"schema is {document.get('schema')!r}, expected {SCHEMA!r}",
                where,
                "the file is not a task graph, or another version of intar wrote it",
                "make it again from the model",
            )
        )
    digest = document.get("digest")
    body = {key: value for key, value in document.items() if key != "digest"}
    try:
        graph = TaskGraph.model_validate({**body, "constants": dict(constants)})
    except ValidationError as error:
        raise GraphError(
            Finding(
                f"{issue['msg']} (got {issue['input']!r})", f"{where}: {'.'.join(map(str, issue['loc']))}"
            )
            for issue in error.errors()
        ) from None
    check(graph)
    if digest is not None and digest != graph.digest():
        raise GraphError(
            Finding(
                "the digest does not match",
                where,
                "the structure or the constants were changed after the file was written",
                "remove the key 'digest' if you edited the file on purpose",
            )
        )
    return graph


def save_graph(graph: TaskGraph, path: str | Path) -> tuple[Path, Path]:
    """Write the graph to `path` (``.json``, ``.yaml`` or ``.yml``) and its constants to the ``.npz`` beside
    it.

    Returns both paths. Each file is replaced atomically.
    """
    path = Path(path)
    if path.suffix in (".yaml", ".yml"):
        import yaml

        text = yaml.safe_dump(to_document(graph), sort_keys=False, allow_unicode=True, width=110)
    else:
        text = to_json(graph)
    arrays = path.with_suffix(".npz")
    write_atomic(arrays, to_npz(graph.constants))
    write_atomic(path, text.encode())
    return path, arrays


def load_graph(path: str | Path) -> TaskGraph:
    """Read what :func:`save_graph` wrote.

    Raises
    ------
    GraphError
        Missing or corrupt file, or one of :func:`from_document`.
    """
    path = Path(path)
    text = read_bytes(path)
    try:
        if path.suffix in (".yaml", ".yml"):
            import yaml

            document = yaml.safe_load(text)
        else:
            document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GraphError(Finding(f"the file is not valid {path.suffix[1:]}: {error}", path.name)) from None
    except Exception as error:  # yaml's own error type, imported only where YAML is read
        raise GraphError(Finding(f"the file is not valid YAML: {error}", path.name)) from None
    if not isinstance(document, dict):
        raise GraphError(Finding("the file holds no task graph", path.name, "its top level is not a mapping"))
    beside = path.with_suffix(".npz")
    return from_document(document, load_npz(beside) if beside.exists() else {}, path.name)


def load_npz(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz``, never unpickling anything. Raises GraphError when it can't be read."""
    raw = read_bytes(Path(path))
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            if not hasattr(archive, "files"):
                raise ValueError("it holds a single array, not named arrays")
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise GraphError(Finding(f"the file is no readable .npz: {error}", Path(path).name)) from None


def read_bytes(path: Path) -> bytes:
    """The file's bytes; GraphError, naming the file, when there is none or it can't be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise GraphError(Finding("the file does not exist", str(path), hint="check the path")) from None
    except OSError as error:
        raise GraphError(Finding(f"the file can't be read: {error.strerror}", str(path))) from None


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by a file with these bytes; readers see the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
