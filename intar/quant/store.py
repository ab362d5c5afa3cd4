"""Store and read quantised graphs: ``quant.json`` and ``constants.npz``, byte for byte the same for the same graph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from intar.errors import Finding, GraphError, field_findings
from intar.ir.io import load_npz, read_bytes, to_npz, write_atomic
from intar.ir.quantgraph import QuantGraph, Quantised, weight_types
from intar.quant.quantise import constants_digest, finish

GRAPH_FILE, CONSTANTS_FILE = "quant.json", "constants.npz"


def to_json(graph: QuantGraph) -> str:
    """The graph's JSON text, one tensor or task a line."""
    lines = []
    for key, value in graph.model_dump(mode="json", by_alias=True).items():
        if key in ("tensors", "tasks") and value:
            body = ",\n".join(f"    {json.dumps(item)}" for item in value)
            lines.append(f"  {json.dumps(key)}: [\n{body}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def save(quantised: Quantised, folder: str | Path) -> tuple[Path, Path]:
    """Write ``quant.json`` and ``constants.npz`` into `folder` (made when missing); each is replaced atomically."""
    graph_file, constants_file = Path(folder) / GRAPH_FILE, Path(folder) / CONSTANTS_FILE
    write_atomic(constants_file, to_npz(quantised.constants))
    write_atomic(graph_file, to_json(quantised.graph).encode())
    return graph_file, constants_file


def load(folder: str | Path) -> Quantised:
    """Read what :func:`save` wrote.

    Raises
    ------
    GraphError
        A file is missing or damaged, has another schema, or the constants are not those that the graph was made with.
    """
    path = Path(folder) / GRAPH_FILE
    try:
        document = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise GraphError(Finding(f"the file is not valid JSON: {error}", str(path))) from None
    schema = document.get("schema") if isinstance(document, dict) else None
    expected = QuantGraph.model_fields["schema_"].default
    if schema != expected:
        raise GraphError(
            Finding(
                f"schema is {schema!r}, expected {expected!r}", str(path), hint="quantise the model again"
            )
        )
    try:
        graph = QuantGraph.model_validate(document)
    except ValidationError as error:
        raise GraphError(field_findings(error, str(path))) from None
    arrays = load_npz(Path(folder) / CONSTANTS_FILE)
    types = weight_types(graph)
    typed = all(array.dtype == types.get(name, np.int64) for name, array in arrays.items())
    if not typed or constants_digest(arrays) != graph.digest:
        raise GraphError(
            Finding(
                "the constants do not match the graph",
                str(Path(folder) / CONSTANTS_FILE),
                "one of the two files was changed or comes from another run",
                "quantise the model again",
            )
        )
    return finish(graph, arrays)
