"""All files of a generated project, from a design: sources, C++, RTL, host, images, and data of its test bench."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import numpy as np

import intar
from intar.assets import asset_digest
from intar.codegen.hls import BuildTarget, render_hls
from intar.codegen.host import render_host
from intar.codegen.rtl import render_rtl, top_name
from intar.design import Design, random_inputs
from intar.device import find_board
from intar.hosting import host_moves, host_tensors, text_entries
from intar.ir.circuit import as_stored
from intar.ir.io import to_npz
from intar.ir.schedule import Machine
from intar.lower.images import argument_bytes
from intar.lower.kept import new_rows_image
from intar.project import LOCK, LOCK_SCHEMA, Project
from intar.quant.golden import golden_outputs
from intar.quant.store import CONSTANTS_FILE, GRAPH_FILE
from intar.quant.store import to_json as quant_json

INPUTS_FILE = "data/inputs.npz"
"""Integer samples of a network in a project, below its folder."""

BENCH_INFERENCES = 4
"""Inferences that a generated test bench carries."""


def build_target(machine: Machine) -> BuildTarget:
    """What the vendor scripts build for: the board's part; its Vitis platform is the user's to name (PLATFORM=…)."""
    if not machine.device:
        return BuildTarget(clock_mhz=machine.clock_mhz)
    board = find_board(machine.device)
    default = BuildTarget()
    platform = default.platform if board.part == default.part else ""
    return BuildTarget(board.part, platform, machine.clock_mhz, uram=board.uram, board=board.vivado_board)


def _bench_data(made: Design, inputs: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """Images for the generated test bench: inputs and golden outputs, inference after inference, and which bits of the
    outputs count: what pads rows, spills and what goes from round to round are the kernel's own.
    """
    graph = made.quantised.graph
    count = min(BENCH_INFERENCES, *(len(array) for array in inputs.values()))
    batch = [{name: array[i] for name, array in inputs.items()} for i in range(count)]
    sources = [made.input_images(one) for one in batch]
    data = {f"data/{name}.bin": b"".join(source[name] for source in sources) for name in sources[0]}
    stored = [as_stored(graph, result) for result in golden_outputs(made.quantised, batch)]
    ones = as_stored(graph, {name: np.full(graph.tensor(name).shape, -1) for name in graph.outputs})
    for out in made.arguments("output"):
        data[f"data/{out.name}.golden.bin"] = b"".join(argument_bytes(out, one) for one in stored)
        data[f"data/{out.name}.mask.bin"] = argument_bytes(out, ones)
    places = [made.position(one) for one in batch]
    for kept in made.arguments("state"):
        for kind, sets in (("golden", stored), ("mask", [ones] * count)):
            rows = [new_rows_image(kept, made.states, *each) for each in zip(sets, places, strict=True)]
            data[f"data/{kept.name}.{kind}.bin"] = b"".join(rows)
    if made.program.scalars:
        numbers = [made.program.call(made.entry, place) for place in places]
        data["data/calls.bin"] = np.array(numbers, "<i8").tobytes()
    return data


def _sources(made: Design, folder: str = "") -> dict[str, bytes]:
    """What a network is made from again."""
    return {
        f"{folder}{GRAPH_FILE}": quant_json(made.quantised.graph).encode(),
        f"{folder}{CONSTANTS_FILE}": to_npz(made.quantised.constants),
        f"{folder}schedule.json": made.schedule.to_json().encode(),
    }


def project(
    made: Design,
    inputs: Mapping[str, np.ndarray] | None = None,
    others: Sequence[Design] = (),
    other_inputs: Sequence[Mapping[str, np.ndarray]] = (),
) -> Project:
    """All files of the generated project.

    Parameters
    ----------
    inputs : integer samples to keep with it and to give to its test bench, which gets random integers where there are
        none; None: no data for a test bench.
    others, other_inputs : the other networks of the program and their samples.
    """
    graph = made.quantised.graph
    files: dict[str, bytes] = {**_sources(made), "program.json": made.program.to_json().encode()}
    for other in others:
        if other.of:
            files[f"{other.folder}schedule.json"] = other.schedule.to_json().encode()
        else:
            files |= _sources(other, other.folder)
    for other, samples in zip(others, other_inputs, strict=False):
        if not samples:
            continue
        files[f"{other.folder}{INPUTS_FILE}"] = to_npz(dict(samples))
    files |= {f"data/{name}.bin": data for name, data in made.images.items()}
    target = build_target(made.schedule.machine)
    files |= render_rtl(made.program, made.images, uram=target.uram)
    files |= render_hls(made.program, target, made.images)
    networks = (made, *others)
    moves = [host_moves(one.quantised.graph) for one in networks]
    tensors = [host_tensors(one.quantised.graph) for one in networks]
    files |= render_host(made.program, target, moves, text_entries(networks), tensors)
    if inputs:
        files[INPUTS_FILE] = to_npz(dict(inputs))
    if inputs is not None:
        files |= _bench_data(made, inputs or random_inputs(made.quantised, BENCH_INFERENCES))
    lock = {
        "schema": LOCK_SCHEMA,
        "intar": intar.__version__,
        "model": graph.digest,
        "templates": asset_digest(),
        "tools": {name: version(name) for name in ("jinja2", "numpy", "ortools")},
        "files": Project(files).digests,
        "top": top_name(made.program),
    }
    if made.program.entries:
        names = [entry.name for entry in made.program.entries]
        lock["entries"] = names
        lock["lengths"] = {
            names[one.entry]: [one.of, one.quantised.graph.positions] for one in networks if one.of
        }
    files[LOCK] = (json.dumps(lock, indent=1, sort_keys=True) + "\n").encode()
    return Project(dict(sorted(files.items())))
