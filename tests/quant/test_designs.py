"""The convolutional reference designs: what they cost on the grid, and how accurate their integers are."""

from __future__ import annotations

import pytest

from intar import designs
from intar.frontends import load_model
from intar.grid import prepare
from intar.ir.circuit import identity_move
from intar.ir.quantgraph import QConv, QMove, QPool
from intar.quant.accuracy import numerics_report
from intar.quant.quantise import quantise
from intar.quant.scheme import scheme


@pytest.mark.parametrize(
    ("name", "macs", "on_grid", "channels"),
    [
        ("cnn4l", 11_289_600, 6_272_000, [1, 4, 16, 4, 4]),
        ("cnn4l_small", 90_000, 50_000, [1, 4, 16, 4, 4]),
        ("vae", 256_576, 343_808 + 2 * 18 * 18, [2, 2, 2, 2, 2]),
        ("vae_small", 23_888, 33_888, [2, 2, 2, 2, 2]),
    ],
)
def test_kernels_of_images(name: str, macs: int, on_grid: int, channels: list[int]) -> None:
    folder, spec = designs.load(name)
    graph = load_model(folder / spec.model)
    data = designs.samples(folder, spec.calibration, graph)
    assert sum(graph.macs().values()) == macs
    assert sum(prepare(graph).macs().values()) == on_grid
    quantised = quantise(graph, scheme(spec.scheme), data)
    images = [task for task in quantised.graph.tasks if isinstance(task, (QConv, QPool))]
    assert [sum(group.channels for group in task.groups) for task in images] == channels
    assert all((task.in_pitch, task.pitch) == (task.in_width, task.width) for task in images)
    moves = [task for task in quantised.graph.tasks if isinstance(task, QMove)]
    (image,) = (task for task in moves if task.inputs[0] == "image")
    assert not image.host and image.pieces[0].strides == (1,)  # the same bytes
    tensors = {tensor.name: tensor for tensor in quantised.graph.tensors}
    reordered = [task for task in moves if not identity_move(task, tensors)]
    inside = [task for task in reordered if not task.host]
    assert all(piece.strides == (1,) for task in inside for piece in task.pieces)  # whole channels
    rows = {
        row["name"]: row for row in numerics_report(graph, quantised, {k: v[:2] for k, v in data.items()})
    }
    assert rows["y"]["output"] and rows["y"]["sqnr_db"] > 70


def test_a_design_can_leave_passes_out() -> None:
    folder, spec = designs.load("cnn4l_small")
    graph = load_model(folder / spec.model)
    assert sum(prepare(graph, ["upsample_phases"]).macs().values()) == 90_000


def test_more_phases_leave_out_what_meets_only_padding() -> None:
    folder, spec = designs.load("vae")
    graph = load_model(folder / spec.model)
    data = designs.samples(folder, spec.calibration, graph)
    prepared = prepare(graph, phases=(28, 1))
    assert sum(prepared.macs().values()) == 293_632 + 2 * 18 * 18
    quantised = quantise(prepared, scheme(spec.scheme), data)
    images = [task for task in quantised.graph.tasks if isinstance(task, QConv)]
    assert all((task.height, task.pitch) == (1, task.width) for task in images)
    rows = {
        row["name"]: row for row in numerics_report(prepared, quantised, {k: v[:2] for k, v in data.items()})
    }
    assert rows["y"]["sqnr_db"] > 70


@pytest.mark.parametrize(("name", "macs"), [("self_attn", 939_524_096), ("self_attn_small", 294_912)])
def test_self_attention(name: str, macs: int) -> None:
    folder, spec = designs.load(name)
    assert sum(load_model(folder / spec.model).macs().values()) == macs
