"""The sentence encoder: one layer with random weights through every executor; the real one against float and people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conformance.graphs import machine

from intar import pipeline, proof, rendering
from intar.assets import asset_dir, import_file
from intar.errors import ToolError
from intar.frontends.load import load_model, make_model, sample_arrays
from intar.ir.quantgraph import Quantised
from intar.ir.reference import run_float
from intar.options import parse_bits
from intar.quant.golden import dequantise, quantise_input, run_golden
from intar.quant.quantise import quantise
from intar.quant.scheme import W8A8R16
from intar.session import open_source

HOME = asset_dir("designs") / "minilm"
WIDE = {"*.in": 10, "*.in1": 8}


Texts = tuple[Quantised, list[dict[str, np.ndarray]], list[np.ndarray]]


@pytest.fixture(scope="module")
def tiny() -> Texts:
    """Integers, the inputs of all 12 texts, and float's vectors."""
    model, examples = make_model(f"{HOME / 'model.py'}:tiny")
    graph = load_model(model, None, examples)
    data = sample_arrays(examples, graph.inputs)
    made = quantise(graph, W8A8R16.with_bits(WIDE), data)
    texts = [{name: array[index : index + 1] for name, array in data.items()} for index in range(12)]
    real = [run_float(graph, text)[graph.outputs[0]] for text in texts]
    inputs = [{name: quantise_input(made.graph.tensor(name), text[name]) for name in text} for text in texts]
    return made, inputs, real


def vector(made: Quantised, inputs: dict[str, np.ndarray]) -> np.ndarray:
    out = made.graph.outputs[0]
    return dequantise(made.graph.tensor(out), run_golden(made, inputs).tensors[out]).reshape(-1)


def test_vectors_are_those_of_float(
    tiny: Texts,
) -> None:
    made, inputs, real = tiny
    for one, wanted in zip(inputs, real, strict=True):
        got = vector(made, one)
        assert abs(np.linalg.norm(got) - 1) < 1e-3
        assert got @ wanted.reshape(-1) > 0.999


def test_nothing_behind_the_end_of_a_text_counts(
    tiny: Texts,
) -> None:
    made, inputs, _ = tiny
    text = next(one for one in inputs if (one["share"] == 0).sum() == 5)
    other = text["tokens"].copy()
    other[text["share"].reshape(other.shape) == 0] = 7
    assert (vector(made, text) == vector(made, text | {"tokens": other})).all()
    assert (vector(made, text) != vector(made, text | {"tokens": text["tokens"][:, ::-1]})).any()


def test_one_layer_in_engine_and_csim(tiny: Texts, tmp_path: Path) -> None:
    made, inputs, _ = tiny
    design = pipeline.compile_quantised(made, machine(2, rows=4))
    rendering.project(design).write(tmp_path)
    for check in (proof.verify_engine(design, inputs[:1]), proof.verify_csim(design, inputs, tmp_path)):
        assert check.bit_exact, f"{check.executor}: {check.first}"


@pytest.mark.sim
@pytest.mark.full
def test_one_layer_in_rtl(tiny: Texts, tmp_path: Path) -> None:
    made, inputs, _ = tiny
    design = pipeline.compile_quantised(made, machine(2, rows=4))
    rendering.project(design).write(tmp_path)
    check = proof.verify_rtl(design, inputs[:3], tmp_path)
    assert check.bit_exact, check.first
    assert set(check.cycles) == {design.predicted.cycles}


def test_missing_packages_are_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_file(HOME / "model.py")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ToolError) as caught:
        module.encoder()
    assert len(caught.value.findings) == len(module.PACKAGES)


@pytest.mark.full
def test_real_texts_against_float_and_people() -> None:
    """50 texts of 128 tokens on golden, with operands of 10 bits, weights and second operands of 8."""
    import torch

    lee = import_file(HOME / "model.py")
    scheme, bits = parse_bits(["*.in=10", "*.in1=8"], "w8a8r16")
    source = open_source(f"{HOME / 'model.py'}:encoder", scheme=scheme, bits=bits)
    given = lee.encode(lee.lee(), 128)
    with torch.no_grad():
        real = lee.make()(**given)["embedding"][:, 0].numpy()
    tensors = source.quantised.graph
    got = np.array(
        [
            vector(
                source.quantised,
                {
                    name: quantise_input(tensors.tensor(name), given[name][index : index + 1].numpy())
                    for name in tensors.inputs
                },
            )
            for index in range(len(real))
        ]
    )
    assert (got * real).sum(axis=1).mean() > 0.997
    pairs, judged = np.triu_indices(len(real), 1), lee.judgements()
    people = [np.corrcoef((v @ v.T)[pairs], judged[pairs])[0, 1] for v in (real, got)]
    assert people[0] == pytest.approx(0.654, abs=0.001) and abs(people[1] - people[0]) < 0.005
