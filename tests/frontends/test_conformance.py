"""ONNX's own test suite through the importer: nothing that is translated may be wrong."""

from __future__ import annotations

import json

import pytest

from intar.frontends import conformance
from intar.frontends.onnx_ops import HANDLERS


@pytest.fixture(scope="module")
def report() -> conformance.Report:
    def interesting(case) -> bool:  # type: ignore[no-untyped-def]
        return case.model is not None and case.model.graph.node[-1].op_type in HANDLERS

    return conformance.run_conformance(conformance.load_cases(("node",)), interesting)


def test_no_case_is_wrong(report: conformance.Report) -> None:
    wrong = [f"{outcome.case}: {outcome.message}" for outcome in report.outcomes if outcome.result == "wrong"]
    assert not wrong, "\n".join(wrong)


def test_as_many_cases_pass_as_before(report: conformance.Report) -> None:
    assert report.count("given") >= 200 and report.passed >= 700


@pytest.mark.parametrize(
    "op",
    [
        *("Gemm", "Concat", "Transpose", "Flatten", "Unsqueeze", "Squeeze", "Gelu", "Swish"),
        *("Elu", "Selu", "Celu", "Softplus", "Mish", "InstanceNormalization", "GroupNormalization"),
        *(
            "Softmax",
            "Conv",
            "GlobalAveragePool",
            "GlobalMaxPool",
            "Upsample",
            "SpaceToDepth",
            "DepthToSpace",
        ),
        *("LSTM", "GRU", "RNN", "Tile", "Resize", "LRN", "Mean", "GatherElements"),
    ],
)
def test_every_case_of_some_operators_passes(report: conformance.Report, op: str) -> None:
    results = {outcome.case: outcome.result for outcome in report.outcomes if outcome.op == op}
    assert results and set(results.values()) <= {"given", "bound"}, results


def test_unsupported_cases_say_why(report: conformance.Report) -> None:
    messages = {
        outcome.case: outcome.message for outcome in report.outcomes if outcome.result == "unsupported"
    }
    assert messages and all(messages.values())
    assert "the 3 largest elements" in messages["test_top_k"]


@pytest.mark.full
def test_the_whole_suite(capsys: pytest.CaptureFixture[str]) -> None:
    assert conformance.main(["--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["wrong"] == 0 and document["supported"] == document["passed"] >= 218
    assert document["passed"] + document["unsupported"] == document["total"] == len(document["cases"])
