"""Calibration data: how it is given, what is refused, which range comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intar.errors import CalibrationError
from intar.frontends.builder import Builder
from intar.ir.taskgraph import TaskGraph
from intar.quant.calibrate import Observed, load_calibration, merge, observe, samples, value_range
from intar.quant.formats import format_of_range
from intar.quant.scheme import W8A8, scheme


def graph(inputs: int = 1) -> TaskGraph:
    g = Builder("t")
    tensors = [g.input(f"in{i}", (1, 4)) for i in range(inputs)]
    g.output(*(g.relu(t) for t in tensors))
    return g.build()


@pytest.mark.parametrize("shape", [(5, 1, 4), (5, 4)])
def test_leading_axis_enumerates_samples(shape: tuple[int, ...]) -> None:
    data = np.arange(20.0).reshape(shape)
    batch = samples(graph(), {"in0": data})
    assert len(batch) == 5 and batch[2]["in0"].tolist() == [[8.0, 9.0, 10.0, 11.0]]


def test_one_sample_of_the_exact_shape() -> None:
    assert len(samples(graph(), {"in0": np.zeros((1, 4))})) == 1


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "the input has no array"),
        ({"in0": np.zeros((3, 5))}, "its shape is 3×5"),
        ({"in0": np.full((3, 4), np.nan)}, "not finite"),
        ({"in0": np.zeros((0, 4))}, "no sample"),
        ({"in0": np.array([["a"] * 4])}, "not numbers"),
        ({"in0": np.zeros((3, 4)), "other": np.zeros(3)}, "no input 'other'"),
    ],
)
def test_refused_data(arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        samples(graph(), arrays)


def test_sample_counts_have_to_agree() -> None:
    with pytest.raises(CalibrationError, match="'in0' 3, 'in1' 2"):
        samples(graph(2), {"in0": np.zeros((3, 4)), "in1": np.zeros((2, 4))})


def test_files_and_folders(tmp_path: Path) -> None:
    a, b = np.ones((3, 4)), np.zeros((2, 1, 4))
    np.save(tmp_path / "a.npy", a)
    np.savez(tmp_path / "b.npz", in0=b)
    assert load_calibration(tmp_path / "a.npy", graph())["in0"].shape == (3, 1, 4)
    assert load_calibration(tmp_path / "b.npz", graph())["in0"].shape == (2, 1, 4)
    both = load_calibration(tmp_path, graph())["in0"]
    assert both.shape == (5, 1, 4) and both[:3].all() and not both[3:].any()
    named = tmp_path / "named"
    named.mkdir()
    np.save(named / "in0.npy", a)
    np.save(named / "in1.npy", a + 1)
    assert set(load_calibration(named, graph(2))) == {"in0", "in1"}


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="does not exist"):
        load_calibration(tmp_path / "none.npz", graph())
    with pytest.raises(CalibrationError, match="holds no"):
        load_calibration(tmp_path, graph())
    (tmp_path / "bad.npz").write_bytes(b"nonsense")
    with pytest.raises(CalibrationError, match="can't be read"):
        load_calibration(tmp_path, graph())
    (tmp_path / "bad.npz").unlink()
    np.savez(tmp_path / "c.npz", wrong=np.zeros((2, 4)), in0=np.zeros((2, 9)))
    with pytest.raises(CalibrationError) as caught:
        load_calibration(tmp_path, graph())
    assert len(caught.value.findings) == 2


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CalibrationError, match="can't be read"):
        load_calibration(tmp_path / "x.npy", graph())


def test_methods_cut_outliers_as_they_should() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2000, 1, 4))
    data[0, 0, 0] = 400.0
    seen = observe(graph(), {"in0": data}, histograms=True)["in0"]
    assert (seen.low, seen.high) == (data.min(), 400.0) and seen.counts.sum() == data.size
    assert value_range(seen, W8A8, 8) == (data.min(), 400.0)
    low, high = value_range(seen, scheme("w8a8", "percentile", 99.9), 8)
    assert high < 5 and low > -5
    low, high = value_range(seen, scheme("w8a8", "mse"), 8)
    assert 50 < high < 400


def test_ranges_always_hold_zero() -> None:
    for low, high in ((2.0, 5.0), (-5.0, -2.0)):
        a, b = value_range(Observed(low, high), W8A8, 8)
        assert a <= 0 <= b
        form = format_of_range(a, b, 8)
        assert -128 <= form.zero <= 127 and form.scale == np.float32(form.scale)
    assert format_of_range(0.0, 0.0, 8).scale == 1.0


def test_shared_formats_merge_what_was_seen() -> None:
    a = Observed(0.0, 1.0, np.full(2048, 2))
    b = Observed(-3.0, 0.0, np.full(2048, 1))
    both = merge(a, b)
    assert (both.low, both.high) == (-3.0, 1.0) and both.counts.sum() == 3 * 2048
    assert both.counts[1536:].sum() == 2 * 2048
