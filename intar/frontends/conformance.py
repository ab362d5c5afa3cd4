"""Score the ONNX front end with ONNX's own backend tests.

Each case is a model with inputs and expected outputs.  A case counts as *given* when it runs as it is, as
*bound* when operands that are inputs in the test had to become constants (weights and parameters are
constants for this compiler), as *unsupported* with the error that a user would get, and as *wrong* when it
runs and a number differs by more than the case's own tolerance, or when the front end fails in another way
than with a typed error. Cases with other types than float32 and int64 at their borders are left out.

``python -m intar.frontends.conformance [--json] [--errors]``
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from intar.errors import ConfigError, Finding, UserError
from intar.frontends.onnx_graph import import_onnx
from intar.ir.ops import Op
from intar.ir.reference import run_float
from intar.ir.taskgraph import TaskGraph

KINDS = ("node", "simple")
BORDER_TYPES = (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64)


@dataclass(frozen=True)
class Outcome:
    """What became of one case: `result` is ``given``, ``bound``, ``unsupported`` or ``wrong``; `message` says why."""

    case: str
    op: str
    result: str
    message: str = ""


@dataclass(frozen=True)
class Report:
    """All outcomes, in the order of the test suite, and how many cases other types left out."""

    outcomes: tuple[Outcome, ...]
    other_types: int

    def count(self, *results: str) -> int:
        """Number of cases with one of these results."""
        return sum(outcome.result in results for outcome in self.outcomes)

    @property
    def passed(self) -> int:
        """Cases whose numbers are right."""
        return self.count("given", "bound")

    @property
    def supported(self) -> int:
        """Cases that are translated, right or wrong."""
        return self.passed + self.count("wrong")

    def summary(self) -> dict[str, int]:
        """The counts, by name."""
        return {
            "passed": self.passed,
            "passed_as_given": self.count("given"),
            "passed_with_bound_operands": self.count("bound"),
            "supported": self.supported,
            "wrong": self.count("wrong"),
            "unsupported": self.count("unsupported"),
            "total": len(self.outcomes),
            "left_out_for_their_types": self.other_types,
        }

    def to_json(self) -> dict[str, Any]:
        """Counts and outcomes as plain JSON values."""
        cases = [asdict(outcome) for outcome in self.outcomes]
        return {"schema": "intar.conformance/1", "onnx": onnx.__version__, **self.summary(), "cases": cases}


def load_cases(kinds: Sequence[str] = KINDS) -> list[Any]:
    """ONNX's test cases of these kinds (a few seconds)."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the suite overflows on purpose while it makes its expected values
        return [case for kind in kinds for case in load_model_tests(kind=kind)]


def run_conformance(
    cases: Iterable[Any] | None = None, select: Callable[[Any], bool] = lambda case: True
) -> Report:
    """Run the cases (all of :func:`load_cases` by default) that `select` accepts."""
    outcomes, other_types = [], 0
    for case in load_cases() if cases is None else cases:
        if not select(case):
            continue
        model, data_sets = _load(case)
        if not data_sets or not _border_types(model):
            other_types += 1
            continue
        outcomes.append(run_case(case.name, model, data_sets, case.rtol, case.atol))
    return Report(tuple(outcomes), other_types)


def run_case(
    name: str,
    model: onnx.ModelProto,
    data_sets: Sequence[tuple[Sequence[np.ndarray], Sequence[np.ndarray]]],
    rtol: float,
    atol: float,
) -> Outcome:
    """Translate one model and compare its numbers."""
    op = model.graph.node[0].op_type if model.graph.node else ""
    inputs = [entry.name for entry in model.graph.input]
    result, message = "given", ""
    try:
        for given, expected in data_sets:
            values = dict(zip(inputs, given, strict=False))
            graph, bound = _translate(model, values)
            result = "bound" if bound else result
            _compare(
                graph, {key: array for key, array in values.items() if key not in bound}, expected, rtol, atol
            )
    except UserError as error:
        result, message = "unsupported", str(error)
    except Exception as error:  # whatever else goes wrong is our mistake, and it is counted
        result, message = "wrong", f"{type(error).__name__}: {error}"
    return Outcome(name, op, result, message)


def _translate(model: onnx.ModelProto, values: dict[str, np.ndarray]) -> tuple[TaskGraph, list[str]]:
    """The graph, and the inputs that had to become constants: none, the integers, or all but one."""
    names = [entry.name for entry in model.graph.input]
    integers = [name for name in names if name in values and values[name].dtype.kind == "i"]
    errors = []
    for bound in _bindings(names, integers):
        try:
            return import_onnx(model, values={name: values[name] for name in bound if name in values}), bound
        except UserError as error:
            errors.append(error)
    raise errors[-1]


def _bindings(names: list[str], integers: list[str]) -> Iterator[list[str]]:
    yield []
    if integers and integers != names:
        yield integers
    if names[1:] and names[1:] != integers:
        yield names[1:]


def _compare(
    graph: TaskGraph, inputs: dict[str, np.ndarray], expected: Sequence[np.ndarray], rtol: float, atol: float
) -> None:
    for task in graph.tasks:
        name = graph.tensor(task.inputs[0]).source
        if task.op is Op.EMBEDDING and name in inputs:  # a call refuses ids that no row belongs to
            rows = graph.tensor(task.inputs[1]).shape[0]
            if inputs[name].min() < 0 or inputs[name].max() >= rows:
                raise ConfigError(Finding(f"ids are from 0 to {rows - 1}", f"input '{name}'"))
    results = run_float(graph, inputs)
    for name, wanted in zip(graph.outputs, expected, strict=True):
        if results[name].shape != wanted.shape:
            raise ValueError(f"output '{name}' has shape {results[name].shape}, expected {wanted.shape}")
        np.testing.assert_allclose(results[name], wanted, rtol=rtol, atol=atol)


def _border_types(model: onnx.ModelProto) -> bool:
    borders = [*model.graph.input, *model.graph.output]
    return all(
        entry.type.HasField("tensor_type") and entry.type.tensor_type.elem_type in BORDER_TYPES
        for entry in borders
    )


def _load(case: Any) -> tuple[onnx.ModelProto, list[tuple[list[Any], list[Any]]]]:
    """Model and data of a case; those of the kinds beside ``node`` are files."""
    if case.model_dir is None:
        return case.model, list(case.data_sets)
    folder = Path(case.model_dir)
    model = onnx.load(folder / "model.onnx")
    sets: list[tuple[list[Any], list[Any]]] = []
    if not _border_types(model):
        return model, sets
    for data in sorted(folder.glob("test_data_set_*")):
        arrays = []
        for kind in ("input", "output"):
            count = len(list(data.glob(f"{kind}_*.pb")))
            files = [data / f"{kind}_{position}.pb" for position in range(count)]
            arrays.append([numpy_helper.to_array(onnx.load_tensor(file)) for file in files])
        sets.append((arrays[0], arrays[1]))
    return model, sets


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; the exit status is 1 when a case is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m intar.frontends.conformance", description="ONNX backend tests"
    )
    parser.add_argument("--json", action="store_true", help="counts and every case as JSON")
    parser.add_argument("--errors", action="store_true", help="also print each unsupported case's error")
    options = parser.parse_args(arguments)
    report = run_conformance()
    if options.json:
        print(json.dumps(report.to_json(), indent=2))
        return 1 if report.count("wrong") else 0
    for name, number in report.summary().items():
        print(f"{name.replace('_', ' '):<28}{number:>6}")
    by_op = Counter((outcome.op, outcome.result) for outcome in report.outcomes)
    print(f"\n{'first operator':<24}{'passed':>8}{'of':>6}")
    for op in sorted({outcome.op for outcome in report.outcomes if outcome.result in ("given", "bound")}):
        total = sum(number for (name, _), number in by_op.items() if name == op)
        print(f"{op:<24}{by_op[op, 'given'] + by_op[op, 'bound']:>8}{total:>6}")
    for outcome in report.outcomes:
        if outcome.result == "wrong" or (options.errors and outcome.result == "unsupported"):
            print(f"\n{outcome.case}: {outcome.result}\n{outcome.message}")
    return 1 if report.count("wrong") else 0


if __name__ == "__main__":
    sys.exit(main())
